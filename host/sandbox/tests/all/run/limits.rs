//! Each limit ends a task as it says, and not a task that stays below it.

use wasmgrid_proto::{
    ByteCount, Digest, Fuel, Grant, Limit, Limits, Millis, ModuleKind, Outcome, TaskSpec,
};
use wasmgrid_sandbox::Isolation;

use super::{Bench, Ended, command, run_one, spec, task};

const SPIN: &str = "(loop $again (br $again)) (i32.const 0)";

async fn run_task(body: &str, more: &str, limits: Limits) -> Ended {
    let module = task(body, more);
    run_one(&module, &wasmgrid_proto::TaskSpec { limits, ..spec(&module, ModuleKind::Task) }, b"")
        .await
}

async fn run_command(body: &str, limits: Limits, grants: Vec<Grant>) -> Ended {
    let module = command(body, "");
    let spec = spec(&module, ModuleKind::Preview1);
    run_one(&module, &wasmgrid_proto::TaskSpec { limits, grants, ..spec }, b"").await
}

fn limited(ended: &Ended) -> (Limit, u64, u64) {
    match ended.outcome {
        Outcome::Limit { limit, used, allowed } => (limit, used, allowed),
        ref other => panic!("{other:?}"),
    }
}

/// A deadline of 50 ms was kept, by the task's own clock.
fn assert_ended_soon(ended: &Ended) {
    let (limit, used, allowed) = limited(ended);
    assert_eq!((limit, allowed), (Limit::Deadline, 50));
    assert!((50..=150).contains(&used), "{used} ms");
    assert!((50_000..=150_000).contains(&ended.usage.wall_us), "{} us", ended.usage.wall_us);
}

#[tokio::test]
async fn a_loop_ends_at_its_fuel() {
    let limits = Limits { fuel: Fuel(1_000_000), ..Limits::default() };
    let ended = run_task(SPIN, "", limits).await;
    assert_eq!(limited(&ended), (Limit::Fuel, 1_000_000, 1_000_000));
    assert_eq!(ended.usage.fuel, 1_000_000);
}

#[tokio::test]
async fn a_loop_before_the_task_begins_ends_at_the_tasks_fuel() {
    let more = "(func $begin (loop $again (br $again))) (start $begin)";
    let limits = Limits { fuel: Fuel(1_000_000), ..Limits::default() };
    let ended = run_task("(i32.const 0)", more, limits).await;
    assert_eq!(limited(&ended), (Limit::Fuel, 1_000_000, 1_000_000));
}

#[tokio::test]
async fn a_flood_of_host_calls_ends_at_its_fuel() {
    let limits = Limits { fuel: Fuel(1_000_000), ..Limits::default() };
    let body = "(loop $again (drop (call $cancelled)) (br $again)) (i32.const 0)";
    let ended = run_task(body, "", limits).await;
    assert_eq!(limited(&ended), (Limit::Fuel, 1_000_000, 1_000_000));
}

#[tokio::test]
async fn a_loop_ends_at_its_deadline() {
    let limits = Limits { fuel: Fuel(u64::MAX), deadline: Millis(50), ..Limits::default() };
    assert_ended_soon(&run_task(SPIN, "", limits).await);
}

#[tokio::test]
async fn a_real_sleep_ends_at_its_deadline() {
    let limits = Limits { deadline: Millis(50), ..Limits::default() };
    let body = "(drop (call $sleep (i64.const 3600000000000)))";
    assert_ended_soon(&run_command(body, limits, vec![Grant::Clock]).await);
}

#[tokio::test]
async fn a_virtual_sleep_beyond_the_deadline_ends_at_once() {
    let limits = Limits { deadline: Millis(60_000), ..Limits::default() };
    let body = "(drop (call $sleep (i64.const 3600000000000)))";
    let ended = run_command(body, limits, Vec::new()).await;
    assert_eq!(limited(&ended), (Limit::VirtualDeadline, 3_600_000, 60_000));
    assert!(ended.usage.wall_us < 10_000_000, "{} us", ended.usage.wall_us);
}

#[tokio::test]
async fn a_module_that_starts_above_its_memory_ends_there() {
    let limits = Limits { memory: ByteCount(100_000), ..Limits::default() };
    let ended = run_task("(i32.const 0)", "", limits).await;
    assert_eq!(limited(&ended), (Limit::Memory, 2 << 16, 100_000));
}

#[tokio::test]
async fn growing_beyond_the_memory_fails_inside_the_guest() {
    let limits = Limits { memory: ByteCount(3 << 16), ..Limits::default() };
    let body = r#"(i32.store (i32.const 2048) (memory.grow (i32.const 1)))
                  (i32.store (i32.const 2052) (memory.grow (i32.const 1)))
                  (call $ok (i32.const 2048) (i32.const 8))"#;
    let ended = run_task(body, "", limits).await;
    assert_eq!(ended.outcome, Outcome::Ok);
    assert_eq!(ended.output, [2, 0, 0, 0, 255, 255, 255, 255]);
    assert_eq!(ended.usage.memory_bytes, 3 << 16);
}

#[tokio::test]
async fn a_module_that_starts_above_its_table_ends_there() {
    let limits = Limits { table_elements: 99, ..Limits::default() };
    let ended = run_task("(i32.const 0)", "(table 100 funcref)", limits).await;
    let (limit, used, allowed) = limited(&ended);
    assert_eq!((limit, allowed), (Limit::TableElements, 99));
    assert!(used >= 100, "{used}");
}

#[tokio::test]
async fn one_record_above_its_limit_ends_the_task() {
    let limits = Limits { record: ByteCount(10), ..Limits::default() };
    let body = "(call $emit (i32.const 0) (i32.const 11)) (i32.const 0)";
    assert_eq!(limited(&run_task(body, "", limits).await), (Limit::Record, 11, 10));
}

#[tokio::test]
async fn records_and_output_together_end_at_the_output_limit() {
    let limits = Limits { output: ByteCount(25), ..Limits::default() };
    let endless =
        "(loop $again (call $emit (i32.const 0) (i32.const 10)) (br $again)) (i32.const 0)";
    assert_eq!(limited(&run_task(endless, "", limits).await), (Limit::Output, 30, 25));
    let both = r#"(call $emit (i32.const 0) (i32.const 10))
                  (call $ok (i32.const 0) (i32.const 16))"#;
    assert_eq!(limited(&run_task(both, "", limits).await), (Limit::Output, 26, 25));
    let below = r#"(call $emit (i32.const 0) (i32.const 10))
                   (call $ok (i32.const 0) (i32.const 15))"#;
    assert_eq!(run_task(below, "", limits).await.outcome, Outcome::Ok);
}

#[tokio::test]
async fn endless_output_of_a_command_ends_at_the_output_limit() {
    let limits = Limits { output: ByteCount(10_000), ..Limits::default() };
    let body = "(loop $again (drop (call $write (i32.const 1) (i32.const 0) (i32.const 4096)))
                    (br $again))";
    let ended = run_command(body, limits, Vec::new()).await;
    let (limit, used, allowed) = limited(&ended);
    assert_eq!((limit, allowed), (Limit::Output, 10_000));
    assert!(used > 10_000, "{used}");
}

#[tokio::test]
async fn a_log_is_kept_to_its_limit_and_the_rest_counted() {
    let limits = Limits { log: ByteCount(10), ..Limits::default() };
    let body = r#"(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 3))
                  (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 3))
                  (call $ok (i32.const 0) (i32.const 0))"#;
    let ended = run_task(body, r#"(data (i32.const 1024) "abc")"#, limits).await;
    assert_eq!(ended.outcome, Outcome::Ok);
    assert_eq!((&ended.log[..], ended.log_dropped), ("INFO abc\nI", 8));
}

#[tokio::test]
async fn a_poll_of_very_many_ends_at_the_resource_limit_and_takes_no_memory() {
    // 40 million subscriptions, which the guest says lie behind one another in its 64 MB.
    let body = "(drop (memory.grow (i32.const 996)))
                (drop (call $poll (i32.const 64) (i32.const 64) (i32.const 40000000)
                    (i32.const 32)))";
    let module = command(body, "");
    let spec = spec(&module, ModuleKind::Preview1);
    let mut bench = Bench::new(Isolation::Process);
    let small = command("", "");
    let small_spec = TaskSpec { module: Digest::of(&small), ..spec.clone() };
    let batch = bench.batch(&small, &small_spec, &[b""]).await;
    bench.slot.input.run(batch).await.unwrap();
    assert_eq!(bench.results(1).await[0].outcome, Outcome::Ok);
    let before = peak_bytes(&bench);
    let batch = bench.batch(&module, &spec, &[b""]).await;
    bench.slot.input.run(batch).await.unwrap();
    assert_eq!(limited(&bench.results(1).await[0]), (Limit::Resources, 40_000_000, 1_024));
    let more = peak_bytes(&bench) - before;
    assert!(more < 8 << 20, "{more} bytes");
    bench.sandbox.shutdown().await;
}

/// A growth, a fill, a reference: each calls into the engine, also where it is of nothing.
#[tokio::test]
async fn what_calls_into_the_engine_costs_fuel_though_it_does_nothing() {
    const TIMES: u64 = 1_000;
    let more = format!(
        "(global $left (mut i32) (i32.const {TIMES}))
         (table $some 1 funcref) (elem $none func) (elem declare func $referred) (func $referred)"
    );
    let count = "(global.set $left (i32.sub (global.get $left) (i32.const 1)))
                 (br_if $again (global.get $left))";
    let fuel_of = async |operator: &str| {
        let body = format!("(loop $again {operator} {count}) (i32.const 0)");
        run_task(&body, &more, Limits::default()).await.usage.fuel
    };
    let plain = fuel_of("").await;
    for (operator, least) in [
        ("(drop (memory.grow (i32.const 0)))", 150),
        ("(drop (table.grow $some (ref.null func) (i32.const 0)))", 100),
        ("(drop (ref.func $referred))", 100),
        ("(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))", 100),
        ("(table.init $some $none (i32.const 0) (i32.const 0) (i32.const 0))", 15),
        ("(elem.drop $none)", 30),
    ] {
        let fuel = fuel_of(operator).await - plain;
        assert!(fuel >= least * TIMES, "{operator}: {fuel}");
    }
}

/// A program that has the host make and drop a resource so many times.
fn dropping(times: usize) -> Vec<u8> {
    let body = "(call $drop (call $get))".repeat(times);
    wat::parse_str(format!(
        r#"(component
            (import "wasi:io/streams@0.2.0" (instance $streams
                (export "output-stream" (type (sub resource)))))
            (alias export $streams "output-stream" (type $stream))
            (import "wasi:cli/stderr@0.2.0" (instance $stderr
                (alias outer 1 $stream (type $outer))
                (export "output-stream" (type $exported (eq $outer)))
                (export "get-stderr" (func (result (own $exported))))))
            (core func $get (canon lower (func $stderr "get-stderr")))
            (core func $drop (canon resource.drop $stream))
            (core module $main
                (import "host" "get" (func $get (result i32)))
                (import "host" "drop" (func $drop (param i32)))
                (func (export "run") (result i32) {body} (i32.const 0)))
            (core instance $run (instantiate $main
                (with "host" (instance (export "get" (func $get)) (export "drop" (func $drop))))))
            (func $run_lifted (result (result)) (canon lift (core func $run "run")))
            (component $shim
                (import "run" (func $run (result (result))))
                (export "run" (func $run)))
            (instance $exported (instantiate $shim (with "run" (func $run_lifted))))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    ))
    .expect("a component")
}

#[tokio::test]
async fn dropping_what_the_host_holds_costs_a_call() {
    let fuel_of = async |times| {
        let module = dropping(times);
        let ended = run_one(&module, &spec(&module, ModuleKind::Command), b"").await;
        assert_eq!(ended.outcome, Outcome::Ok);
        ended.usage.fuel
    };
    let fuel = fuel_of(11).await - fuel_of(1).await;
    assert!(fuel >= 10 * 2 * 200, "{fuel}");
}

/// A program whose strings are `encoding` logs or returns `bytes` of its memory.
fn in_encoding(encoding: &str, call: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (import "wasi:logging/logging@0.1.0-draft" (instance $logging
                (type $level (enum "trace" "debug" "info" "warn" "error" "critical"))
                (export "level" (type $exported (eq $level)))
                (export "log" (func (param "level" $exported) (param "context" string)
                    (param "message" string)))))
            (core module $memory (memory (export "memory") 640)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
            (core instance $kept (instantiate $memory))
            (core func $log (canon lower (func $logging "log") (memory (core memory $kept "memory"))
                (realloc (core func $kept "realloc")) string-encoding={encoding}))
            (core module $main
                (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
                (import "kept" "memory" (memory 1))
                (func (export "run") (result i32) {call}))
            (core instance $run (instantiate $main
                (with "host" (instance (export "log" (func $log))))
                (with "kept" (instance $kept))))
            (func $run_lifted (result (result)) (canon lift (core func $run "run")))
            (component $shim
                (import "run" (func $run (result (result))))
                (export "run" (func $run)))
            (instance $exported (instantiate $shim (with "run" (func $run_lifted))))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    ))
    .expect("a component")
}

#[tokio::test]
async fn a_text_in_another_encoding_is_bounded_before_it_is_copied() {
    let log = |context: u32, message: u32| {
        format!(
            "(call $log (i32.const 2) (i32.const 16) (i32.const {context}) (i32.const 16)
                (i32.const {message})) (i32.const 0)"
        )
    };
    let wide = |units: u32| units | 1 << 31;
    let mut bench = Bench::new(Isolation::Process);
    let mut peak = None;
    for (encoding, call, ends) in [
        // What a memory of 40 MiB and a log take.
        ("utf8", log(0, 3 << 20), Ok(3 << 20)),
        ("latin1+utf16", log(0, 3 << 20), Ok(3 << 20)),
        ("utf8", log(0, 39 << 20), Ok(39 << 20)),
        ("latin1+utf16", log(0, 39 << 20), Ok(39 << 20)),
        ("latin1+utf16", log(0, wide(19 << 20)), Ok(19 << 20)),
        ("utf16", log(19 << 20, 5), Ok((19 << 20) + 5)),
        ("latin1+utf16", log(39 << 20, 39 << 20), Err(64 << 20)),
        ("utf16", log(19 << 20, 19 << 20), Err(64 << 20)),
    ] {
        let module = in_encoding(encoding, &call);
        let spec = spec(&module, ModuleKind::Command);
        let batch = bench.batch(&module, &spec, &[b""]).await;
        bench.slot.input.run(batch).await.unwrap();
        let ended = bench.results(1).await.remove(0);
        match ends {
            Ok(bytes) => {
                assert_eq!(ended.outcome, Outcome::Ok, "{encoding}");
                let all = ended.log.len() as u64 + ended.log_dropped;
                assert!((bytes..bytes + 16).contains(&all), "{encoding}: {all} of {bytes}");
            }
            Err(most) => assert_eq!(limited(&ended), (Limit::Resources, most + 1, most)),
        }
        if encoding != "utf8" && peak.is_none() {
            peak = Some(peak_bytes(&bench));
        }
    }
    let more = peak_bytes(&bench) - peak.unwrap();
    assert!(more < 8 << 20, "{more} bytes");
    bench.sandbox.shutdown().await;
}

/// The most memory that the slot's runner has had.
fn peak_bytes(bench: &Bench) -> u64 {
    let pid = bench.slot.input.runner_pid().expect("a runner");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn one_call_for_much_randomness_ends_at_the_resource_limit() {
    let body = "(drop (memory.grow (i32.const 1100)))
                (drop (call $random (i32.const 0) (i32.const 68157440)))";
    let limits = Limits { memory: ByteCount(128 << 20), ..Limits::default() };
    let ended = run_command(body, limits, Vec::new()).await;
    assert_eq!(limited(&ended), (Limit::Resources, 68_157_440, 4 << 20));
}
