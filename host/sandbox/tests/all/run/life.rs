//! The life of runners: they are started ahead, replaced when they have served their time, and
//! killed where a task could outstay its deadline; what they had goes on in the next one.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;
use wasmgrid_proto::{
    ByteCount, Fuel, Grant, JobId, Limit, Limits, Millis, ModuleKind, Outcome, TaskSpec,
};
use wasmgrid_sandbox::{Isolation, SandboxConfig, SlotBatch, SlotEvent};

use super::{Bench, Ended, PATIENCE, command, echo_or_spin, spec, task};
use crate::programs;

/// Those that can be killed.
const PROCESSES: [Isolation; 2] = [Isolation::Process, Isolation::Task];

const DEADLINE: Millis = Millis(200);

/// A sandbox of one slot whose runners are noted in `directory`.
fn noted(isolation: Isolation, directory: &Path) -> Bench {
    Bench::with_program(isolation, noting(directory))
}

/// The children's program behind a script that writes down the process of each runner.
fn noting(directory: &Path) -> std::path::PathBuf {
    let (notes, children) = (directory.join("runners"), env!("CARGO_BIN_EXE_sandbox-children"));
    let lines = format!(
        "[ \"$1\" = runner ] && echo $$ >> '{}'\nexec '{children}' \"$@\"\n",
        notes.display()
    );
    programs::script(directory, "noting", &lines)
}

/// The runner that serves the slot.
fn runner(bench: &Bench) -> Pid {
    let pid = bench.slot.input.runner_pid().expect("a runner");
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// The process of the task that this runner has forked.
fn child(runner: Pid) -> Option<Pid> {
    let runner = runner.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{runner}/task/{runner}/children")).unwrap();
    Pid::from_raw(children.trim().parse().ok()?)
}

/// The runners that were started.
fn runners(directory: &Path) -> Vec<Pid> {
    let notes = fs::read_to_string(directory.join("runners")).unwrap_or_default();
    let pid = |line: &str| Pid::from_raw(line.parse().unwrap()).unwrap();
    notes.lines().map(pid).collect()
}

/// Waits until so many runners were started, the spare one among them, and sees that they were
/// no more and are gone with the sandbox.
async fn ends_with_runners(bench: Bench, directory: &Path, count: usize) {
    until(|| runners(directory).len() >= count).await;
    bench.sandbox.shutdown().await;
    let runners = runners(directory);
    assert_eq!(runners.len(), count, "the spare one among them");
    for runner in runners {
        until(|| !is_alive(runner)).await;
    }
}

fn is_alive(process: Pid) -> bool {
    rustix::process::test_kill_process(process).is_ok()
}

/// Whether the runner has made its engine, and waits; or has ended.
fn rests(runner: &Pid) -> bool {
    let process = format!("/proc/{}", runner.as_raw_nonzero());
    let Ok(stat) = fs::read_to_string(format!("{process}/stat")) else { return true };
    let is_runner = stat.contains("(sandbox-childre) S");
    let maps = fs::read_to_string(format!("{process}/maps")).unwrap_or_default();
    stat.contains(") Z") || is_runner && maps.contains("wasmgrid-board")
}

async fn until(mut met: impl FnMut() -> bool) {
    let waiting = async {
        while !met() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("what is waited for");
}

/// The deadline was kept, by the clock of the one that ended the task.
fn assert_kept(ended: &Ended) {
    let Outcome::Limit { limit: Limit::Deadline, used, allowed } = ended.outcome else {
        panic!("{:?}", ended.outcome);
    };
    assert_eq!(allowed, DEADLINE.0);
    assert!((DEADLINE.0..=DEADLINE.0 + 100).contains(&used), "{used} ms");
    let wall_ms = ended.usage.wall_us / 1_000;
    assert!((DEADLINE.0..=DEADLINE.0 + 100).contains(&wall_ms), "{wall_ms} ms");
}

/// Runs `module` on an input without and one with bytes: the first must end at its deadline.
async fn outstays(module: &[u8], spec: &TaskSpec) {
    for isolation in PROCESSES {
        let mut bench = Bench::new(isolation);
        let batch = bench.batch(module, spec, &[b"", b"a"]).await;
        bench.slot.input.run(batch).await.unwrap();
        let ended = bench.results(2).await;
        assert_kept(&ended[0]);
        assert_eq!((&ended[1].outcome, &ended[1].output[..]), (&Outcome::Ok, &b"a"[..]));
        bench.sandbox.shutdown().await;
    }
}

fn unlimited(memory: u64) -> Limits {
    let fuel = Fuel(u64::MAX);
    Limits { fuel, deadline: DEADLINE, memory: ByteCount(memory), ..Limits::default() }
}

#[tokio::test]
async fn an_endless_loop_outstays_no_deadline() {
    let module = echo_or_spin();
    let limits = unlimited(64 << 20);
    outstays(&module, &TaskSpec { limits, ..spec(&module, ModuleKind::Task) }).await;
}

#[tokio::test]
async fn one_instruction_that_takes_long_outstays_no_deadline() {
    // Half a gigabyte takes longer to fill than the deadline has left, and cannot be interrupted.
    let module = task(
        r#"(if (i32.eqz (local.get $len)) (then
               (drop (memory.grow (i32.const 16384)))
               (loop $again
                   (memory.fill (i32.const 131072) (i32.const 1) (i32.const 1073741824))
                   (br $again))))
           (call $ok (local.get $in) (local.get $len))"#,
        "",
    );
    let limits = unlimited(2 << 30);
    outstays(&module, &TaskSpec { limits, ..spec(&module, ModuleKind::Task) }).await;
}

#[tokio::test]
async fn a_call_that_waits_outstays_no_deadline() {
    let module = command(
        r#"(local $got i32)
           (i32.store (i32.const 16) (i32.const 4096))
           (i32.store (i32.const 20) (i32.const 4096))
           (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
           (if (i32.eqz (i32.load (i32.const 24)))
               (then (drop (call $sleep (i64.const 3600000000000)))))
           (drop (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 24))))"#,
        "",
    );
    let (limits, grants) = (unlimited(64 << 20), vec![Grant::Clock]);
    outstays(&module, &TaskSpec { limits, grants, ..spec(&module, ModuleKind::Preview1) }).await;
}

#[tokio::test]
async fn a_stopped_runner_outstays_no_deadline() {
    for isolation in PROCESSES {
        let directory = tempfile::tempdir().unwrap();
        let mut bench = noted(isolation, directory.path());
        let module = echo_or_spin();
        let spec = TaskSpec { limits: unlimited(64 << 20), ..spec(&module, ModuleKind::Task) };
        let batch = bench.batch(&module, &spec, &[b"", b"a"]).await;
        bench.slot.input.run(batch).await.unwrap();
        bench.started().await;
        kill_process(runner(&bench), Signal::STOP).unwrap();
        let ended = bench.results(2).await;
        assert_kept(&ended[0]);
        assert_eq!(ended[1].output, b"a", "the rest runs on the next runner");
        ends_with_runners(bench, directory.path(), 3).await;
    }
}

#[tokio::test]
async fn a_stopped_runner_is_killed_after_a_cancellation() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = noted(Isolation::Process, directory.path());
    let module = echo_or_spin();
    let batch = bench.batch(&module, &spec(&module, ModuleKind::Task), &[b"", b"a"]).await;
    bench.slot.input.run(batch).await.unwrap();
    bench.started().await;
    kill_process(runner(&bench), Signal::STOP).unwrap();
    bench.slot.input.cancel(JobId(1), "ann");
    let ended = bench.results(2).await;
    assert!(ended.iter().all(|task| task.outcome == Outcome::Cancelled("ann".into())), "{ended:?}");
    bench.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_runner_is_replaced_after_its_tasks_or_its_time() {
    let (old, many) = (Millis(0), 1);
    let default = SandboxConfig::default();
    for (runner_age, runner_tasks) in [(old, default.runner_tasks), (default.runner_age, many)] {
        let directory = tempfile::tempdir().unwrap();
        let mut bench = Bench::with(SandboxConfig {
            program: noting(directory.path()),
            runner_age,
            runner_tasks,
            ..default.clone()
        });
        let module = echo_or_spin();
        let spec = spec(&module, ModuleKind::Task);
        for _ in 0..3 {
            let batch = bench.batch(&module, &spec, &[b"a", b"b"]).await;
            bench.slot.input.run(batch).await.unwrap();
            assert!(bench.results(2).await.iter().all(|task| task.outcome == Outcome::Ok));
        }
        let gone = |first: &Pid| !is_alive(*first);
        until(|| runners(directory.path()).iter().filter(|first| gone(first)).count() == 2).await;
        ends_with_runners(bench, directory.path(), 4).await;
    }
}

#[tokio::test]
async fn a_spare_runner_that_dies_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let bench = noted(Isolation::Process, directory.path());
    until(|| runners(directory.path()).len() == 2).await;
    let spare = runners(directory.path()).into_iter().find(|noted| *noted != runner(&bench));
    kill_process(spare.unwrap(), Signal::KILL).unwrap();
    ends_with_runners(bench, directory.path(), 3).await;
}

#[tokio::test]
async fn the_first_task_of_another_tenant_waits_for_no_start() {
    let module = echo_or_spin();
    for isolation in PROCESSES {
        let directory = tempfile::tempdir().unwrap();
        let mut bench = noted(isolation, directory.path());
        for tenant in 0..5 {
            let spec = TaskSpec { tenant: tenant.to_string(), ..spec(&module, ModuleKind::Task) };
            let batch = bench.batch(&module, &spec, &[b"a"]).await;
            let ready = |runners: &[Pid]| runners.len() > tenant && runners.iter().all(rests);
            until(|| ready(&runners(directory.path()))).await;
            let ready = runners(directory.path());
            bench.slot.input.run(batch).await.unwrap();
            bench.results(1).await;
            assert!(ready.contains(&runner(&bench)), "it was there before it was asked for");
        }
        bench.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn a_guest_that_kills_its_process_loses_its_task_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = noted(Isolation::Task, directory.path());
    let module = echo_or_spin();
    let batch = bench.batch(&module, &spec(&module, ModuleKind::Task), &[b"", b"a"]).await;
    bench.slot.input.run(batch).await.unwrap();
    bench.started().await;
    let runner = runner(&bench);
    until(|| child(runner).is_some()).await;
    kill_process(child(runner).unwrap(), Signal::KILL).unwrap();
    let ended = bench.results(2).await;
    assert!(ended[0].outcome.to_string().contains("signal: 9"), "{:?}", ended[0].outcome);
    assert_eq!(ended[1].output, b"a");
    ends_with_runners(bench, directory.path(), 2).await;
}

#[tokio::test]
async fn what_a_killed_task_had_used_is_told_as_far_as_it_is_known() {
    let module = task(
        r#"(drop (memory.grow (i32.const 14)))
           (call $progress (i64.const 1) (i64.const 2))
           (loop $again (br $again))
           (unreachable)"#,
        "",
    );
    let task_alone: fn(Pid) -> Pid = |runner| child(runner).unwrap();
    let all: fn(Pid) -> Pid = |runner| runner;
    for (isolation, victim) in
        [(Isolation::Process, all), (Isolation::Task, all), (Isolation::Task, task_alone)]
    {
        let mut bench = Bench::new(isolation);
        let batch = bench.batch(&module, &spec(&module, ModuleKind::Task), &[b""]).await;
        bench.slot.input.run(batch).await.unwrap();
        until(|| bench.slot.input.running().is_some_and(|task| task.progress.is_some())).await;
        kill_process(victim(runner(&bench)), Signal::KILL).unwrap();
        let ended = bench.results(1).await.remove(0);
        assert_eq!(ended.outcome.name(), "lost");
        assert_eq!(ended.usage.memory_bytes, 16 << 16);
        assert!(ended.usage.fuel >= 200, "the call of `progress`: {:?}", ended.usage);
        assert!(ended.usage.wall_us > 0);
        bench.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn a_killed_runner_loses_the_task_that_ran_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let module = echo_or_spin();
    let mut bench = Bench::with_program(Isolation::Process, noting(directory.path()));
    let spec = spec(&module, ModuleKind::Task);
    let first = bench.batch(&module, &spec, &[b"a", b"", b"c"]).await;
    let second = SlotBatch { first: 3, ..bench.batch(&module, &spec, &[b"d"]).await };
    bench.slot.input.run(first).await.unwrap();
    bench.slot.input.run(second).await.unwrap();
    while bench.started().await.first != 1 {
        tokio::task::yield_now().await;
    }
    let runner = runner(&bench);
    kill_process(runner, Signal::KILL).unwrap();

    let mut ended = bench.results(4).await;
    ended.sort_by_key(|task| task.index);
    let outcomes: Vec<_> = ended.iter().map(|task| task.outcome.name()).collect();
    assert_eq!(outcomes, ["ok", "lost", "ok", "ok"]);
    assert_eq!(ended[1].outcome, Outcome::Lost("runner died by signal 9".into()));
    ends_with_runners(bench, directory.path(), 3).await;
}

#[tokio::test]
async fn an_idle_slot_that_loses_its_runner_gets_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let module = echo_or_spin();
    let mut bench = Bench::with_program(Isolation::Process, noting(directory.path()));
    let spec = spec(&module, ModuleKind::Task);
    let batch = bench.batch(&module, &spec, &[b"a"]).await;
    bench.slot.input.run(batch.clone()).await.unwrap();
    assert_eq!(bench.results(1).await[0].output, b"a");
    let runner = runner(&bench);
    kill_process(runner, Signal::KILL).unwrap();
    let SlotEvent::Died { reason } = bench.next().await else { panic!("it did not die") };
    assert_eq!(reason, "runner died by signal 9");
    bench.slot.input.run(batch).await.unwrap();
    assert_eq!(bench.results(1).await[0].output, b"a");
    bench.sandbox.shutdown().await;
}

/// Runs a task of this tenant; gives the runner that ran it.
async fn runner_of(bench: &mut Bench, tenant: &str) -> Pid {
    let module = echo_or_spin();
    let spec = TaskSpec { tenant: tenant.into(), ..spec(&module, ModuleKind::Task) };
    let batch = bench.batch(&module, &spec, &[b"a"]).await;
    bench.slot.input.run(batch).await.unwrap();
    assert_eq!(bench.results(1).await[0].outcome, Outcome::Ok);
    runner(bench)
}

#[tokio::test]
async fn each_tenant_has_a_runner_of_its_own() {
    for isolation in PROCESSES {
        let directory = tempfile::tempdir().unwrap();
        let mut bench = noted(isolation, directory.path());
        let mut served = Vec::new();
        for tenant in ["ann", "ann", "bob", "ann", "bob"] {
            served.push(runner_of(&mut bench, tenant).await);
        }
        let [ann, bob] = [served[0], served[2]];
        assert_ne!(ann, bob);
        assert_eq!(served, [ann, ann, bob, ann, bob], "who comes back finds the same one");
        ends_with_runners(bench, directory.path(), 3).await;
    }
}

#[tokio::test]
async fn a_slot_keeps_the_runners_of_a_few_tenants_and_for_a_few_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = noted(Isolation::Process, directory.path());
    let mut served = Vec::new();
    for tenant in ["ann", "bob", "cid", "dan", "eve"] {
        served.push(runner_of(&mut bench, tenant).await);
    }
    let [kept @ .., dan, eve] = &served[..] else { panic!("five runners") };
    until(|| !is_alive(*dan)).await;
    assert!(kept.iter().all(|runner| is_alive(*runner)), "three beside the one that is used");
    until(|| !kept.iter().any(|runner| is_alive(*runner))).await;
    assert!(is_alive(*eve), "the one that was used last stays");
    assert_ne!(runner_of(&mut bench, "bob").await, kept[1]);
    bench.sandbox.shutdown().await;
}

#[tokio::test]
async fn of_more_tenants_in_turn_than_a_slot_has_places_most_find_their_runner() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = noted(Isolation::Process, directory.path());
    let mut turns = async |tenants: &[&str]| {
        let mut rounds = Vec::new();
        for _ in 0..3 {
            let mut served = Vec::new();
            for tenant in tenants {
                served.push(runner_of(&mut bench, tenant).await);
            }
            rounds.push(served);
        }
        rounds
    };
    let rounds = turns(&["ann", "bob", "cid", "dan"]).await;
    assert!(rounds.iter().all(|round| *round == rounds[0]), "one each: {rounds:?}");
    let rounds = turns(&["ann", "bob", "cid", "dan", "eve"]).await;
    let found = |nth: usize| rounds.iter().all(|round| round[nth] == rounds[0][nth]);
    assert!((0..5).filter(|nth| found(*nth)).count() >= 2, "{rounds:?}");
    bench.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_kept_runner_that_dies_costs_its_tenant_no_task() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = noted(Isolation::Process, directory.path());
    let ann = runner_of(&mut bench, "ann").await;
    let bob = runner_of(&mut bench, "bob").await;
    kill_process(ann, Signal::KILL).unwrap();
    assert_ne!(runner_of(&mut bench, "ann").await, ann);
    assert_eq!(runner_of(&mut bench, "bob").await, bob);
    bench.sandbox.shutdown().await;
}
