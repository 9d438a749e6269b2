//! Whether a machine can run tasks: it is found out before the first, what fails is named, what a
//! slot has waits, and the sandbox comes back by itself.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::timeout;
use wasmgrid_proto::{JobId, LeaseId, ModuleKind, TaskRange};
use wasmgrid_sandbox::{
    Condition, Isolation, ModuleSource, PrepareError, Sandbox, SandboxConfig, SandboxError,
    SlotEvent,
};

use crate::{
    modules::command,
    programs,
    run::{Bench, echo_or_spin, spec},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The children's program, which fails in this role for as long as there is a file `broken`.
fn breakable(directory: &Path, role: &str) -> PathBuf {
    let (broken, children) = (directory.join("broken"), env!("CARGO_BIN_EXE_sandbox-children"));
    let lines = format!(
        "[ \"$1\" = {role} ] && [ -e '{}' ] && exit 7\nexec '{children}' \"$@\"\n",
        broken.display()
    );
    programs::script(directory, "breakable", &lines)
}

fn with(program: PathBuf) -> SandboxConfig {
    SandboxConfig { program, ..SandboxConfig::default() }
}

/// Waits until the sandbox's condition is so.
async fn until(sandbox: &Sandbox, met: impl FnMut(&Condition) -> bool) -> Condition {
    let mut condition = sandbox.condition();
    let condition = timeout(PATIENCE, condition.wait_for(met)).await.expect("a change");
    condition.expect("a sandbox").clone()
}

#[tokio::test]
async fn a_sandbox_is_able_once_a_task_has_run_in_each_isolation() {
    for isolation in [Isolation::Process, Isolation::Task, Isolation::InProcess] {
        let bench = Bench::new(isolation);
        timeout(PATIENCE, bench.sandbox.proven()).await.unwrap().unwrap();
        assert!(bench.sandbox.condition().borrow().is_able());
        bench.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn a_machine_that_starts_no_runners_says_why_and_gives_back_what_has_not_begun() {
    let mut bench = Bench::with(with("/bin/false".into()));
    let why = bench.sandbox.proven().await.unwrap_err();
    assert!(matches!(why.error(), SandboxError::Child { role: "runner", .. }), "{why}");
    assert!(why.to_string().contains("exit code 1"), "{why}");

    let (module, other) = (echo_or_spin(), Bench::new(Isolation::InProcess));
    let batch = other.batch(&module, &spec(&module, ModuleKind::Task), &[b"a", b"b"]).await;
    bench.slot.input.run(batch).await.unwrap();
    let all = TaskRange { first: 0, count: 2 };
    bench.slot.input.revoke(JobId(1), LeaseId(1), &[all]);
    // Neither lost nor anything else.
    let SlotEvent::Returned { tasks, .. } = bench.next().await else { panic!("not given back") };
    assert_eq!(tasks, [all]);
    bench.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let bench = Bench::with(with("/nowhere/wasmgrid".into()));
    let why = bench.sandbox.proven().await.unwrap_err();
    assert!(matches!(why.error(), SandboxError::Start { .. }), "{why}");
    let text = why.to_string();
    assert!(text.contains("/nowhere/wasmgrid") && text.contains("No such file"), "{text}");
}

#[tokio::test]
async fn a_child_of_another_build_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let children = env!("CARGO_BIN_EXE_sandbox-children");
    for role in ["runner", "compiler"] {
        let lines = format!(
            "[ \"$1\" = {role} ] && exec '{children}' $1 00000000\nexec '{children}' \"$@\"\n"
        );
        let program = programs::script(directory.path(), role, &lines);
        let bench = Bench::with(with(program));
        let why = bench.sandbox.proven().await.unwrap_err();
        assert!(matches!(why.error(), SandboxError::Build { .. }), "{role}: {why}");
        bench.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn what_a_slot_has_waits_while_runners_do_not_start_and_none_of_it_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken");
    let mut bench = Bench::with(with(breakable(directory.path(), "runner")));
    bench.sandbox.proven().await.unwrap();
    let module = echo_or_spin();
    let batch = bench.batch(&module, &spec(&module, ModuleKind::Task), &[b"a"]).await;
    bench.slot.input.run(batch.clone()).await.unwrap();
    bench.results(1).await;

    fs::write(&broken, "").unwrap();
    kill(bench.slot.input.runner_pid().unwrap());
    let SlotEvent::Died { .. } = bench.next().await else { panic!("it did not die") };
    // The spare one may still be there; the next starts with the doubt about it.
    bench.slot.input.run(batch.clone()).await.unwrap();
    let ended = bench.results(1).await;
    assert_eq!(ended[0].output, b"a");
    kill(bench.slot.input.runner_pid().unwrap());
    let SlotEvent::Died { .. } = bench.next().await else { panic!("it did not die") };
    until(&bench.sandbox, Condition::is_unable).await;
    bench.slot.input.run(batch).await.unwrap();

    fs::remove_file(&broken).unwrap();
    until(&bench.sandbox, Condition::is_able).await;
    assert_eq!(bench.results(1).await[0].output, b"a");
    bench.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_machine_that_starts_no_compilers_any_more_is_unable_until_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken");
    let bench = Bench::with(with(breakable(directory.path(), "compiler")));
    bench.sandbox.proven().await.unwrap();
    // The compiler of the trial is still there for one module.
    let first = echo_or_spin();
    let source = ModuleSource::Bytes(Bytes::from(first.clone()));
    bench.sandbox.prepare(&spec(&first, ModuleKind::Task), source).await.unwrap();
    fs::write(&broken, "").unwrap();
    let module = command();
    let spec = spec(&module, ModuleKind::Preview1);
    let source = ModuleSource::Bytes(Bytes::from(module));
    let error = bench.sandbox.prepare(&spec, source.clone()).await.unwrap_err();
    assert!(matches!(error, PrepareError::Sandbox(SandboxError::Child { .. })), "{error:?}");
    until(&bench.sandbox, Condition::is_unable).await;
    fs::remove_file(&broken).unwrap();
    until(&bench.sandbox, Condition::is_able).await;
    bench.sandbox.prepare(&spec, source).await.unwrap();
    bench.sandbox.shutdown().await;
}

fn kill(process: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(process, Signal::KILL).unwrap();
}
