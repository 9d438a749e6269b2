//! What a task without grants sees is the same everywhere: no real clock, no real entropy, no
//! trace of another task.

use wasmgrid_proto::{Grant, Limits, Millis, ModuleKind, Outcome, TaskSpec};

use wasmgrid_sandbox::Isolation;

use super::{command, run_each, run_each_in, run_one, spec, task};

/// Writes two readings of the monotonic clock, one of the wall clock and 16 random bytes.
pub(super) const LOOK_AROUND: &str = r#"
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 1024)))
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 1032)))
    (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 1040)))
    (drop (call $random (i32.const 1048) (i32.const 16)))
    (drop (call $write (i32.const 1) (i32.const 1024) (i32.const 40)))"#;

#[tokio::test]
async fn the_same_task_gives_the_same_bytes_and_the_same_fuel_each_time() {
    let module = command(LOOK_AROUND, "");
    let spec = spec(&module, ModuleKind::Preview1);
    let first = run_one(&module, &spec, b"").await;
    assert_eq!(first.outcome, Outcome::Ok);
    assert_eq!(first.output.len(), 40);
    for _ in 0..4 {
        // One batch has the indices 0 to 24; the first task of each is the same.
        let ended = run_each(&module, &spec, &[&b""[..]; 25]).await;
        assert_eq!((&ended[0].output, ended[0].usage.fuel), (&first.output, first.usage.fuel));
        for other in &ended[1..] {
            assert_eq!(other.output[..24], first.output[..24], "clocks do not tell the index");
            assert_ne!(other.output[24..], first.output[24..], "randomness does");
            assert_eq!(other.usage.fuel, first.usage.fuel);
        }
    }
}

#[tokio::test]
async fn virtual_clocks_begin_at_their_epoch_and_move_by_readings() {
    let module = command(LOOK_AROUND, "");
    let ended = run_one(&module, &spec(&module, ModuleKind::Preview1), b"").await;
    let word = |at: usize| u64::from_le_bytes(ended.output[at..at + 8].try_into().unwrap());
    assert_eq!(word(8) - word(0), 1_000);
    let epoch_ns = 946_684_800_000_000_000;
    assert!((epoch_ns..epoch_ns + 1_000_000).contains(&word(16)), "{}", word(16));
}

#[tokio::test]
async fn another_seed_gives_other_randomness() {
    let module = command(LOOK_AROUND, "");
    let spec = spec(&module, ModuleKind::Preview1);
    let one = run_one(&module, &spec, b"").await;
    let other = run_one(&module, &TaskSpec { seed: 1, ..spec }, b"").await;
    assert_ne!(one.output[24..], other.output[24..]);
}

#[tokio::test]
async fn grants_give_the_real_clock_and_real_entropy() {
    let module = command(LOOK_AROUND, "");
    let grants = vec![Grant::Clock, Grant::Random];
    let spec = TaskSpec { grants, ..spec(&module, ModuleKind::Preview1) };
    let ended = run_each_in(Isolation::Process, &module, &spec, &[b"", b""]).await;
    let wall_ns = u64::from_le_bytes(ended[0].output[16..24].try_into().unwrap());
    let real = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let apart = real.abs_diff(std::time::Duration::from_nanos(wall_ns));
    assert!(apart.as_secs() < 60, "{apart:?} from the test's clock");
    assert_ne!(ended[0].output[24..], ended[1].output[24..]);
}

#[tokio::test]
async fn a_virtual_sleep_takes_no_real_time_and_moves_the_clock() {
    let module = command(
        r#"(drop (call $clock (i32.const 1) (i64.const 1) (i32.const 1024)))
           (drop (call $sleep (i64.const 3600000000000)))
           (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 1032)))
           (drop (call $write (i32.const 1) (i32.const 1024) (i32.const 16)))"#,
        "",
    );
    let limits = Limits { deadline: Millis(7_200_000), ..Limits::default() };
    let spec = TaskSpec { limits, ..spec(&module, ModuleKind::Preview1) };
    let ended = run_one(&module, &spec, b"").await;
    let word = |at: usize| u64::from_le_bytes(ended.output[at..at + 8].try_into().unwrap());
    let slept_ns = word(8) - word(0);
    assert!((3_600_000_000_000..3_600_001_000_000).contains(&slept_ns), "{slept_ns}");
    assert!(ended.usage.wall_us < 10_000_000, "{} us", ended.usage.wall_us);
}

#[tokio::test]
async fn nothing_of_a_task_is_seen_by_the_next() {
    let module = task(
        r#"(global.set $count (i32.add (global.get $count) (i32.const 1)))
           (i32.store (i32.const 8192) (i32.add (i32.load (i32.const 8192)) (i32.const 1)))
           (i32.store (i32.const 2048) (global.get $count))
           (i32.store (i32.const 2052) (i32.load (i32.const 8192)))
           (call $ok (i32.const 2048) (i32.const 8))"#,
        "(global $count (mut i32) (i32.const 0))",
    );
    let ended = run_each(&module, &spec(&module, ModuleKind::Task), &[&b""[..]; 50]).await;
    for task in ended {
        assert_eq!(task.output, [1, 0, 0, 0, 1, 0, 0, 0], "task {}", task.index);
    }
}
