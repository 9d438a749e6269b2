//! The same task ends the same wherever and whenever it runs: in a hundred processes, in both of
//! two slots, beside other load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use wasmgrid_proto::{ByteCount, Fuel, Limits, Millis, ModuleKind, Outcome, TaskSpec};
use wasmgrid_sandbox::{Isolation, Sandbox, SandboxConfig, Slot};

use super::{Bench, Ended, command, purity::LOOK_AROUND, spec, task};
use crate::modules::wat;

/// How often each task is run, each time in a fresh process.
const TIMES: usize = 100;

/// A task of the corpus, and whether it ends as it shall.
struct Sample {
    name: &'static str,
    module: Vec<u8>,
    kind: ModuleKind,
    limits: Limits,
    outcome: &'static str,
}

/// One of each kind of outcome that a task without grants can have by itself.
fn corpus() -> Vec<Sample> {
    let sample = |name, module, kind, outcome| Sample {
        name,
        module,
        kind,
        limits: Limits { fuel: Fuel(20_000_000), ..Limits::default() },
        outcome,
    };
    let of_task =
        |name, body, more, outcome| sample(name, task(body, more), ModuleKind::Task, outcome);
    let of_command =
        |name, body, outcome| sample(name, command(body, ""), ModuleKind::Preview1, outcome);
    let small = Limits { output: ByteCount(1_000), ..Limits::default() };
    let short = Limits { deadline: Millis(60_000), ..Limits::default() };
    vec![
        of_task(
            "output, record and log",
            r#"(call $emit (local.get $in) (local.get $len))
               (call $log (i32.const 1) (local.get $in) (i32.const 3) (local.get $in) (i32.const 5))
               (call $info (i32.const 2048))
               (i64.store (i32.const 2080) (call $fuel_left))
               (call $ok (i32.const 2048) (i32.const 40))"#,
            "",
            "ok",
        ),
        of_task("floats", FLOATS, "", "ok"),
        of_task(
            "rejected",
            "(call $err (i32.const 0) (local.get $in) (local.get $len))",
            "",
            "rejected",
        ),
        of_task("retry", "(call $err (i32.const 1) (local.get $in) (local.get $len))", "", "retry"),
        of_task("trap", "(i32.div_u (local.get $len) (i32.const 0))", "", "trap"),
        of_task("stack", "(call $deep) (i32.const 0)", "(func $deep (call $deep))", "trap"),
        of_task("fuel", "(loop $again (br $again)) (i32.const 0)", "", "limit"),
        of_task(
            "fuel of calls",
            "(loop $again (drop (call $cancelled)) (br $again)) (i32.const 0)",
            "",
            "limit",
        ),
        of_task(
            "growth",
            "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
             (i32.store (i32.const 2048) (memory.size)) (call $ok (i32.const 2048) (i32.const 4))",
            "",
            "ok",
        ),
        Sample {
            limits: small,
            ..of_task(
                "output",
                "(loop $again (call $emit (i32.const 0) (i32.const 10)) (br $again)) (i32.const 0)",
                "",
                "limit",
            )
        },
        of_command("clocks and randomness", LOOK_AROUND, "ok"),
        of_command("exit", "(call $exit (i32.const 126))", "exit"),
        Sample {
            limits: short,
            ..of_command("virtual sleep", "(drop (call $sleep (i64.const 3600000000000)))", "limit")
        },
        sample("a command component", wat(COMMAND), ModuleKind::Command, "exit"),
    ]
}

/// A sum of square roots and quotients: no two orders or precisions give the same bits.
const FLOATS: &str = r#"(local $n i32) (local $sum f64)
    (loop $again
        (local.set $sum (f64.add (local.get $sum) (f64.div
            (f64.sqrt (f64.convert_i32_s (local.get $n)))
            (f64.convert_i32_s (i32.add (local.get $n) (i32.const 3))))))
        (br_if $again (i32.lt_u
            (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000))))
    (f64.store (i32.const 2048) (local.get $sum))
    (call $ok (i32.const 2048) (i32.const 8))"#;

/// Fails by itself, without a host call.
const COMMAND: &str = r#"(component
    (core module $m (func (export "run") (result i32) (i32.const 1)))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $it (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $it)))"#;

/// Threads that take what of the machine they can get, for as long as it lives.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start() -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        for _ in 0..2 {
            let go_on = Arc::clone(&go_on);
            thread::spawn(move || while go_on.load(Ordering::Relaxed) {});
        }
        Self(go_on)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// All but time.
fn timeless(mut ended: Ended) -> Ended {
    ended.usage.wall_us = 0;
    ended
}

#[tokio::test]
async fn the_same_task_ends_the_same_in_a_hundred_processes_beside_other_load() {
    let _load = Load::start();
    // Each batch has a process of its own.
    let config = SandboxConfig {
        slots: 2,
        runner_tasks: 1,
        program: env!("CARGO_BIN_EXE_sandbox-children").into(),
        ..SandboxConfig::default()
    };
    let (sandbox, slots) = Sandbox::start(config.clone()).unwrap();
    let in_process = SandboxConfig { isolation: Isolation::InProcess, ..config };
    let (threads, more_slots) = Sandbox::start(SandboxConfig { slots: 1, ..in_process }).unwrap();
    let bench = |sandbox: &Sandbox, slot: Slot| Bench { sandbox: sandbox.clone(), slot };
    let mut processes: Vec<Bench> = slots.into_iter().map(|slot| bench(&sandbox, slot)).collect();
    let mut thread: Vec<Bench> = more_slots.into_iter().map(|slot| bench(&threads, slot)).collect();
    for sample in corpus() {
        let spec = TaskSpec { limits: sample.limits, ..spec(&sample.module, sample.kind) };
        let first = run_one(&mut thread[0], &sample.module, &spec).await;
        assert_eq!(first.outcome.name(), sample.outcome, "{}: {:?}", sample.name, first.outcome);
        for _ in 0..TIMES / 2 {
            let [one, other] = processes.as_mut_slice() else { panic!("two slots") };
            let (one, other) = tokio::join!(
                run_one(one, &sample.module, &spec),
                run_one(other, &sample.module, &spec)
            );
            assert_eq!(one, first, "{}", sample.name);
            assert_eq!(other, first, "{}", sample.name);
        }
    }
    sandbox.shutdown().await;
    threads.shutdown().await;
}

async fn run_one(bench: &mut Bench, module: &[u8], spec: &TaskSpec) -> Ended {
    let batch = bench.batch(module, spec, &[b"some input"]).await;
    bench.slot.input.run(batch).await.unwrap();
    timeless(bench.results(1).await.remove(0))
}

#[test]
fn what_depends_on_time_or_the_host_is_marked() {
    use wasmgrid_proto::{Limit, TrapKind};
    let limit = |limit| Outcome::Limit { limit, used: 1, allowed: 1 };
    let trap = |kind| Outcome::Trap { kind, backtrace: String::new() };
    for outcome in [
        limit(Limit::Deadline),
        limit(Limit::Compile),
        limit(Limit::CompileMemory),
        limit(Limit::Quota),
        trap(TrapKind::Stack),
        Outcome::Lost(String::new()),
        Outcome::Cancelled(String::new()),
    ] {
        assert!(!outcome.is_deterministic(), "{outcome:?}");
    }
    for outcome in [
        Outcome::Ok,
        Outcome::Exit(3),
        limit(Limit::Fuel),
        limit(Limit::VirtualDeadline),
        trap(TrapKind::DivisionByZero),
    ] {
        assert!(outcome.is_deterministic(), "{outcome:?}");
    }
}
