//! Failpoints that are there: in test builds only.

use std::sync::OnceLock;

use fail::FailScenario;
use rustix::process::{Signal, getpid, kill_process};

/// Kept for as long as the process is there: it takes the configuration back when dropped.
static SCENARIO: OnceLock<()> = OnceLock::new();

pub(crate) fn start() {
    SCENARIO.get_or_init(|| std::mem::forget(FailScenario::setup()));
}

pub(crate) fn reach(name: &'static str) {
    fail::fail_point!(name, |_| die());
}

pub(crate) fn fails(name: &'static str) -> bool {
    fail::fail_point!(name, |_| true);
    false
}

/// Nothing is flushed, dropped or said.
fn die() {
    // Where even that is not possible the test sees a process that lives on.
    let _ = kill_process(getpid(), Signal::KILL);
}
