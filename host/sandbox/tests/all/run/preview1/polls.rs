//! Sleeping, and waiting for more than one thing.

use wasmgrid_proto::{Grant, ModuleKind, Outcome, TaskSpec};

use super::{
    super::spec, BADF, Call, INVAL, ISOLATIONS, OK, SHOWN_BYTES, asking, assert_answers, run_in,
    words,
};

const WALL: u32 = 0;
const MONOTONIC: u32 = 1;

/// 2000-01-01T00:00:00Z, at which virtual time begins.
const EPOCH_NS: u64 = 946_684_800_000_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// A subscription to a clock.
fn timer(userdata: u64, clock: u32, timeout_ns: u64, is_absolute: bool) -> Vec<u8> {
    let mut bytes = userdata.to_le_bytes().to_vec();
    bytes.extend(words(&[0, 0, clock, 0]));
    bytes.extend(timeout_ns.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(words(&[is_absolute.into(), 0]));
    bytes
}

/// A subscription to a descriptor: 1 to read, 2 to write.
fn descriptor(userdata: u64, kind: u32, fd: u32) -> Vec<u8> {
    let mut bytes = userdata.to_le_bytes().to_vec();
    bytes.extend(words(&[kind, 0, fd, 0]));
    bytes.extend([0; 24]);
    bytes
}

#[tokio::test]
async fn a_sleep_moves_the_virtual_clock_to_its_end() {
    let timers = [
        timer(11, MONOTONIC, 5 * SECOND_NS, false),
        timer(12, MONOTONIC, 20 * SECOND_NS, true),
        timer(13, WALL, EPOCH_NS + 30 * SECOND_NS, true),
        timer(14, WALL, 2 * SECOND_NS, false),
    ];
    let list = timers.concat();
    let now = |at| ("clock_time_get", [1, 0, at]);
    let reads: Vec<_> = (0..4).map(|n| now(2_048 + 8 * n)).collect();
    let poll = |n: i64| ("poll_oneoff", [1_024 + 48 * n, 256, 1, 300]);
    let polls: Vec<_> = (0..4).map(poll).collect();
    let mut expected = Vec::new();
    for (poll, read) in polls.iter().zip(&reads) {
        expected.push(((poll.0, &poll.1[..]), OK));
        expected.push(((read.0, &read.1[..]), OK));
    }
    let answers = assert_answers(&[(1_024, &list)], &expected, &[], b"").await;
    let times = [0, 1, 2, 3].map(|n| answers.u64(2_048 + 8 * n));
    // Each reading before it has moved the clock by a tick.
    let due = [5 * SECOND_NS, 20 * SECOND_NS, 30 * SECOND_NS, 32 * SECOND_NS + 1_000];
    assert_eq!(times, due);
    assert_eq!((answers.u32(300), answers.u64(256)), (1, 14), "one event, with its word");
}

#[tokio::test]
async fn what_is_ready_is_told_at_once_and_the_clock_stays() {
    let list = [
        timer(1, MONOTONIC, SECOND_NS, false),
        descriptor(2, 1, 0),
        timer(3, MONOTONIC, 0, false),
        descriptor(4, 2, 1),
        descriptor(5, 2, 2),
    ]
    .concat();
    let expected: &[(Call<'_>, u32)] =
        &[(("poll_oneoff", &[1_024, 256, 5, 248]), OK), (("clock_time_get", &[1, 0, 2_048]), OK)];
    let answers = assert_answers(&[(1_024, &list)], expected, &[], b"input").await;
    assert_eq!(answers.u32(248), 4);
    // Word, error, kind, bytes and flags of each.
    let event = |n: usize| {
        let at = 256 + 32 * n;
        let memory = &answers.memory;
        let error = u16::from_le_bytes([memory[at + 8], memory[at + 9]]);
        (answers.u64(at), error, memory[at + 10], answers.u64(at + 16), answers.u32(at + 24))
    };
    let events = [(2, 0, 1, 5, 0), (3, 0, 0, 0, 0), (4, 0, 2, 1, 0), (5, 0, 2, 1, 0)];
    assert_eq!([0, 1, 2, 3].map(event), events);
    assert_eq!(answers.u64(2_048), 0, "nobody slept");
}

#[tokio::test]
async fn an_input_that_has_ended_is_ready_and_says_so() {
    let list = descriptor(9, 1, 0);
    let poll: Call<'_> = ("poll_oneoff", &[1_024, 256, 1, 248]);
    let answers = assert_answers(&[(1_024, &list)], &[(poll, OK)], &[], b"").await;
    assert_eq!((answers.u32(248), answers.u64(256 + 16), answers.u32(256 + 24)), (1, 0, 1));
}

#[tokio::test]
async fn a_subscription_without_sense_is_answered() {
    let lists = [
        timer(1, 2, 0, false),
        timer(1, 99, 0, false),
        descriptor(1, 3, 0),
        descriptor(1, 1, 1),
        descriptor(1, 2, 0),
        descriptor(1, 1, 77),
    ];
    let calls: Vec<_> = (0..6).map(|n| [1_024 + 48 * n, 256, 1, 248]).collect();
    let errnos = [INVAL, INVAL, INVAL, BADF, BADF, BADF];
    let expected: Vec<_> =
        calls.iter().zip(errnos).map(|(call, errno)| (("poll_oneoff", &call[..]), errno)).collect();
    assert_answers(&[(1_024, &lists.concat())], &expected, &[], b"").await;
}

#[tokio::test]
async fn with_the_clock_granted_a_sleep_is_real() {
    let list = timer(1, MONOTONIC, 60_000_000, false);
    let calls: [Call<'_>; 3] = [
        ("clock_time_get", &[1, 0, 2_048]),
        ("poll_oneoff", &[1_024, 256, 1, 248]),
        ("clock_time_get", &[1, 0, 2_056]),
    ];
    let module = asking(&[(1_024, &list)], &calls);
    let spec = TaskSpec { grants: vec![Grant::Clock], ..spec(&module, ModuleKind::Preview1) };
    for isolation in ISOLATIONS {
        let ended = run_in(isolation, &module, &spec, b"").await;
        assert_eq!(ended.outcome, Outcome::Ok);
        let at = ended.output.len() - SHOWN_BYTES + 2_048;
        let word = |at: usize| u64::from_le_bytes(ended.output[at..at + 8].try_into().unwrap());
        let slept_ns = word(at + 8) - word(at);
        assert!(slept_ns >= 60_000_000, "{isolation:?}: {slept_ns}");
        assert!(ended.usage.wall_us >= 60_000, "{isolation:?}: {}", ended.usage.wall_us);
    }
}
