//! Programs that give a function pointers, lengths and counts that are none.

use wasmgrid_proto::{Arg, Grant, Limit, ModuleKind, Outcome, TaskSpec, TrapKind};
use wasmgrid_sandbox::{Isolation, SandboxConfig};

use super::{
    super::{Bench, command, run_one, spec},
    BADF, Call, INVAL, asking, assert_answers, words,
};

/// What the calls below point to: lists of one buffer each.
const OUT_OF_MEMORY: i64 = 16;
const ENDLESS: i64 = 24;
const OVER_THE_END: i64 = 32;
const GOOD: i64 = 40;
/// A subscription to a clock: all of it is 0.
const CLOCK: i64 = 512;

fn data() -> Vec<(u32, Vec<u8>)> {
    vec![
        (16, words(&[0xffff_fff0, 64])),
        (24, words(&[0, u32::MAX])),
        (32, words(&[65_532, 8])),
        (40, words(&[1_024, 8])),
    ]
}

/// Each pointer of each function, out of the memory.
const OUT_OF_BOUNDS: &[Call<'_>] = &[
    ("args_get", &[-4, 1_024]),
    ("args_get", &[1_024, -1]),
    ("args_get", &[65_533, 1_024]),
    ("args_sizes_get", &[-4, 0]),
    ("args_sizes_get", &[0, -4]),
    ("environ_sizes_get", &[65_533, 0]),
    ("clock_res_get", &[1, -8]),
    ("clock_time_get", &[1, 0, -8]),
    ("clock_time_get", &[0, 0, 65_529]),
    ("fd_fdstat_get", &[1, 65_513]),
    ("fd_filestat_get", &[1, -64]),
    ("fd_read", &[0, -8, 1, 0]),
    ("fd_read", &[0, OUT_OF_MEMORY, 1, 0]),
    ("fd_read", &[0, ENDLESS, 1, 0]),
    ("fd_read", &[0, OVER_THE_END, 1, 0]),
    ("fd_read", &[0, GOOD, 1, -4]),
    ("fd_read", &[0, 0, -1, 0]),
    // A list whose length in bytes is 0 in 32 bits.
    ("fd_read", &[0, 0, 0x2000_0000, 0]),
    ("fd_read", &[0, 65_529, 1, 0]),
    ("fd_write", &[1, -8, 1, 0]),
    ("fd_write", &[1, OUT_OF_MEMORY, 1, 0]),
    ("fd_write", &[1, ENDLESS, 1, 0]),
    ("fd_write", &[2, ENDLESS, 1, 0]),
    ("fd_write", &[2, OVER_THE_END, 1, 0]),
    ("fd_write", &[1, GOOD, 1, 65_533]),
    ("fd_write", &[2, 0, -1, 0]),
    ("fd_write", &[2, 0, 0x2000_0000, 0]),
    ("fd_pread", &[0, OUT_OF_MEMORY, 1, 0, 0]),
    ("fd_pwrite", &[1, OUT_OF_MEMORY, 1, 0, 0]),
    ("fd_readdir", &[3, -16, 64, 0, 0]),
    ("fd_readdir", &[3, 0, -1, 0, 0]),
    ("path_open", &[3, 0, -16, 64, 0, 2, 0, 0, 0]),
    ("path_open", &[3, 0, 0, -1, 0, 2, 0, 0, 0]),
    ("path_filestat_get", &[3, 0, 0, 65_537, 0]),
    ("path_filestat_set_times", &[3, 0, -1, 2, 0, 0, 0]),
    ("path_create_directory", &[3, -1, -1]),
    ("path_link", &[3, 0, 1_024, 1, 3, -1, 2]),
    ("path_readlink", &[3, 65_536, 1, 0, 0, 0]),
    ("path_remove_directory", &[3, -2, 3]),
    ("path_rename", &[3, -2, 3, 3, 0, 1]),
    ("path_symlink", &[0, 1, 3, -1, 2]),
    ("path_unlink_file", &[3, 0, -1]),
    ("poll_oneoff", &[-48, 0, 1, 0]),
    ("poll_oneoff", &[CLOCK, -32, 1, 0]),
    ("poll_oneoff", &[CLOCK, 0, 1, -4]),
    ("poll_oneoff", &[65_489, 0, 1, 0]),
    ("random_get", &[-16, 64]),
    ("random_get", &[65_536, 1]),
];

/// A slot that is given one bad program after another.
fn cage(isolation: Isolation) -> Bench {
    let program = env!("CARGO_BIN_EXE_sandbox-children").into();
    Bench::with(SandboxConfig { isolation, program, slots: 1, ..SandboxConfig::default() })
}

#[tokio::test]
async fn a_pointer_out_of_the_memory_is_a_trap_in_each_function() {
    let data = data();
    let data: Vec<_> = data.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    let good = command("(drop (call $write (i32.const 1) (i32.const 1024) (i32.const 2)))", "");
    let mut bench = cage(Isolation::Process);
    for call in OUT_OF_BOUNDS {
        let module = asking(&data, &[*call]);
        for (module, is_bad) in [(&module, true), (&good, false)] {
            let spec = spec(module, ModuleKind::Preview1);
            let batch = bench.batch(module, &spec, &[b"some input"]).await;
            bench.slot.input.run(batch).await.unwrap();
            let ended = bench.results(1).await.remove(0);
            match ended.outcome {
                Outcome::Trap { kind: TrapKind::MemoryOutOfBounds, backtrace } if is_bad => {
                    assert!(backtrace.contains("main"), "{call:?}: {backtrace}");
                }
                Outcome::Ok if !is_bad => assert_eq!(ended.output, [0, 0]),
                other => panic!("{call:?}: {other:?}"),
            }
        }
    }
    bench.sandbox.shutdown().await;
}

#[tokio::test]
async fn what_asks_for_too_much_ends_at_its_limit() {
    let asked: [(Call<'_>, u64, u64); 3] = [
        (("poll_oneoff", &[0, 0, -1, 0]), u32::MAX.into(), 1_024),
        (("poll_oneoff", &[0, 0, 1_025, 0]), 1_025, 1_024),
        (("random_get", &[0, -1]), u32::MAX.into(), 4 << 20),
    ];
    for (call, used, allowed) in asked {
        let module = asking(&[], &[call]);
        let ended = run_one(&module, &spec(&module, ModuleKind::Preview1), b"").await;
        let limit = Limit::Resources;
        assert_eq!(ended.outcome, Outcome::Limit { limit, used, allowed }, "{call:?}");
    }
}

#[tokio::test]
async fn buffers_may_lie_over_each_other_and_over_their_list() {
    // The first buffer is the list itself, so that the second would be another after reading it.
    let list = words(&[48, 16, 64, 4]);
    let read: Call<'_> = ("fd_read", &[0, 48, 2, 256]);
    let input = *b"################rest";
    let answers = assert_answers(&[(48, &list)], &[(read, 0)], &[], &input).await;
    assert_eq!(answers.u32(256), 20);
    assert_eq!(answers.text(48, 20), "################rest");
}

#[tokio::test]
async fn more_buffers_than_a_call_moves_are_left_for_the_next() {
    // 2,000 buffers of a byte.
    let list: Vec<u8> = (0..2_000).flat_map(|_| words(&[60_200, 1])).collect();
    let write: Call<'_> = ("fd_write", &[2, 40_000, 2_000, 256]);
    let answers = assert_answers(&[(40_000, &list)], &[(write, 0)], &[], b"").await;
    assert_eq!(answers.u32(256), 1_024);
}

#[tokio::test]
async fn lengths_that_have_no_number_and_calls_without_sense_are_answered() {
    // The same page over and over: more is moved than there is memory.
    let list: Vec<u8> = (0..32).flat_map(|_| words(&[0, 65_536])).collect();
    let expected: &[(Call<'_>, u32)] = &[
        (("fd_write", &[2, 40_000, 32, 256]), 0),
        (("fd_read", &[99, GOOD, 1, 256]), BADF),
        (("fd_write", &[-1, GOOD, 1, 256]), BADF),
        (("fd_write", &[0, GOOD, 1, 256]), BADF),
        (("fd_read", &[1, GOOD, 1, 256]), BADF),
        // Nothing at all, from anywhere: whether it is open is looked at first.
        (("fd_write", &[77, 0, 0, 256]), BADF),
        (("fd_close", &[-1]), BADF),
        (("poll_oneoff", &[0, 0, 0, 0]), INVAL),
        (("clock_time_get", &[2, 0, 256]), BADF),
        (("clock_time_get", &[77, 0, 256]), INVAL),
        (("fd_advise", &[0, 0, 0, 99]), INVAL),
        (("fd_seek", &[99, 0, 0, 256]), BADF),
    ];
    let good = words(&[1_024, 8]);
    assert_answers(&[(40, &good), (40_000, &list)], expected, &[], b"").await;
}

/// Thousands of arguments, and variables as long: what a program can ask for again and again.
#[tokio::test]
async fn to_ask_for_arguments_and_variables_costs_what_there_is_of_them() {
    const TEXTS: usize = 4_000;
    let fuel_of = async |name: &str, change: &dyn Fn(TaskSpec) -> TaskSpec| {
        let module = asking(&[], &[(name, &[0, 8_192])]);
        let spec = change(spec(&module, ModuleKind::Preview1));
        let ended = run_one(&module, &spec, b"").await;
        assert_eq!(ended.outcome, Outcome::Ok, "{name}");
        ended.usage.fuel
    };
    let many = |spec| TaskSpec { args: vec![Arg::from(""); TEXTS], ..spec };
    let variable = |value: String| Grant::Env { name: "A".to_owned(), value };
    let long = |spec| TaskSpec { grants: vec![variable("x".repeat(TEXTS))], ..spec };
    for (name, least) in [("args_sizes_get", TEXTS / 2), ("args_get", 50 * TEXTS)] {
        let more = fuel_of(name, &many).await - fuel_of(name, &|spec| spec).await;
        assert!(more >= least as u64, "{name}: {more}");
    }
    let more = fuel_of("environ_get", &long).await - fuel_of("environ_get", &|spec| spec).await;
    assert!(more >= TEXTS as u64 / 2, "environ_get: {more}");
}

#[tokio::test]
async fn buffers_of_nothing_cost_what_their_list_has_of_bytes() {
    let fuel_of = async |name: &str, fd: i64, count: i64| {
        let mut arguments = vec![fd, 0, count];
        if name.starts_with("fd_p") {
            arguments.push(0);
        }
        arguments.push(60_200);
        let module = asking(&[], &[(name, &arguments)]);
        let ended = run_one(&module, &spec(&module, ModuleKind::Preview1), b"").await;
        assert_eq!(ended.outcome, Outcome::Ok, "{name}");
        ended.usage.fuel
    };
    // What cannot be read or written costs as much.
    for (name, fd) in
        [("fd_read", 0), ("fd_write", 2), ("fd_read", 99), ("fd_pread", 0), ("fd_pwrite", 1)]
    {
        let [none, some, more] = [0, 1_024, 7_000].map(|count| fuel_of(name, fd, count));
        let (none, some, more) = (none.await, some.await, more.await);
        assert_eq!(some - none, 8 * 1_024, "{name} of {fd}");
        assert_eq!(more, some, "{name} of {fd}: no call reads more of its list");
    }
}
