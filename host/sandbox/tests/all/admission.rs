//! Modules looked at in processes of their own: they find what is found here, and what keeps one is
//! ended and refused.

use std::{fs, path::PathBuf, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use wasmgrid_proto::{Millis, ModuleInfo};
use wasmgrid_sandbox::{
    Caps, Refusal, SandboxError,
    admission::{Admission, AdmissionConfig, AdmissionError},
    admit,
};

use crate::{
    modules::{command, echo_component},
    programs,
    texts::{lowered, wat},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn children() -> PathBuf {
    env!("CARGO_BIN_EXE_sandbox-children").into()
}

fn config(caps: Caps) -> AdmissionConfig {
    AdmissionConfig { program: children(), ..AdmissionConfig::new(caps) }
}

async fn admitted(admission: &Admission, module: &[u8]) -> Result<ModuleInfo, AdmissionError> {
    let module = Bytes::copy_from_slice(module);
    timeout(PATIENCE, admission.admit(&module)).await.expect("an answer")
}

fn refusal(result: Result<ModuleInfo, AdmissionError>) -> Refusal {
    match result {
        Err(AdmissionError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_process_finds_what_would_be_found_here() {
    let admission = Admission::start(config(Caps::default())).await.expect("it starts");
    admission.proven().await.expect("in its jail");
    for module in [command(), echo_component()] {
        let here = admit::admit(&module, &Caps::default()).expect("a task");
        assert_eq!(admitted(&admission, &module).await.expect("a task"), here);
    }
    let damaged = &echo_component()[..100];
    let here = admit::admit(damaged, &Caps::default()).expect_err("cut off");
    assert_eq!(refusal(admitted(&admission, damaged).await), here);
}

#[tokio::test]
async fn names_without_end_are_carried_back() {
    let exports: String =
        (0..2_000).map(|at| format!("(export \"{}{at}\" (func 0))", "x".repeat(500))).collect();
    let module = wat(&format!("(module (func (export \"_start\")) {exports})"));
    let admission = Admission::start(config(Caps::default())).await.expect("it starts");
    let info = admitted(&admission, &module).await.expect("a command");
    assert_eq!(info.exports.len(), 2_001);
}

#[tokio::test]
async fn a_module_that_keeps_its_process_is_ended_and_refused() {
    let caps = Caps::with(&["work=1000000000".parse().expect("a cap")]);
    let config = AdmissionConfig { cpu: Millis(1_000), ..config(caps) };
    let admission = Admission::start(config).await.expect("it starts");
    let module = wat(&format!("(component {})", lowered(4_000)));
    let found = refusal(admitted(&admission, &module).await);
    assert_eq!(found, Refusal::AdmissionTime { allowed: Millis(1_000) });
    admitted(&admission, &command()).await.expect("the next one is looked at");
}

#[tokio::test]
async fn a_process_that_ended_while_it_waited_is_no_fault_of_the_module() {
    let directory = tempfile::tempdir().expect("a directory");
    let broken = directory.path().join("broken");
    fs::write(&broken, "").expect("written");
    let lines = format!(
        "if [ -e '{0}' ]; then rm '{0}'; kill -9 $$; fi\nexec '{1}' \"$@\"\n",
        broken.display(),
        children().display()
    );
    let program = programs::script(directory.path(), "mortal", &lines);
    let config = AdmissionConfig { program, ..AdmissionConfig::new(Caps::default()) };
    let admission = Admission::start(config).await.expect("it starts");
    admitted(&admission, &command()).await.expect("by another process");
    assert!(!broken.exists(), "the first has ended");
}

#[tokio::test]
async fn a_machine_that_cannot_look_at_modules_says_so() {
    let missing = AdmissionConfig { program: "/no/such".into(), ..config(Caps::default()) };
    assert!(matches!(Admission::start(missing).await, Err(SandboxError::Start { .. })));
    let mute = AdmissionConfig { program: "/bin/false".into(), ..config(Caps::default()) };
    let admission = Admission::start(mute).await.expect("it starts");
    let error = admission.proven().await.expect_err("it ends at once");
    assert!(matches!(error, SandboxError::Child { role: "admission", .. }), "{error}");
    let error = admitted(&admission, &command()).await.expect_err("as before");
    assert!(matches!(error, AdmissionError::Sandbox(SandboxError::Child { .. })), "{error}");
}
