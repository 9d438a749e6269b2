//! A job whose right answer is known, run while something goes wrong.

use std::{process::Command, sync::OnceLock};

use serde_json::{Value, json};

use crate::{Daemon, Grid, Home, guest};

/// Its tasks: each takes a few milliseconds, all of them a second or two on two cores.
const TASKS: u64 = 800;

/// What its inputs begin with.
const FIRST: u64 = 400_000;

/// The job, and who runs it.
pub struct KnownJob {
    /// `wasmgrid run`, which writes the results to a file of its home.
    pub run: Daemon,
}

impl KnownJob {
    /// Submits it by `wasmgrid run` from the operator's home.
    pub fn start(grid: &Grid) -> Self {
        Self::start_with(grid, |_| {})
    }

    /// The same, with a change to the command.
    pub fn start_with(grid: &Grid, change: impl FnOnce(&mut Command)) -> Self {
        answer();
        let [run, task, flag, range] = arguments();
        let mut command = grid.home.command([&run, &task, &flag, &range, "-o", "out"]);
        change(&mut command);
        Self { run: Daemon::start(command) }
    }

    /// Waits for its end. Every task has ended well and once, and the output is that of a run
    /// that nothing disturbed.
    ///
    /// # Panics
    /// Where it is not.
    pub fn assert_whole(mut self, grid: &Grid) {
        let status = self.run.wait();
        assert_eq!(status.code(), Some(0), "{}", self.run.said());
        assert!(grid.home.read("out") == answer(), "the output differs from an undisturbed run's");
        assert_conserved(grid, &newest(grid).expect("the job is listed"));
    }
}

/// How many results the newest job has committed; 0 where it cannot be asked.
pub fn committed(grid: &Grid) -> u64 {
    newest(grid).and_then(|job| job.pointer("/counts/ok")?.as_u64()).unwrap_or(0)
}

/// The newest job as `job list` tells it; `None` where there is none or the grid does not answer.
pub fn newest(grid: &Grid) -> Option<Value> {
    let listed = grid.run(&["job", "list", "--output", "json"]);
    serde_json::from_slice::<Vec<Value>>(&listed.stdout).ok()?.into_iter().next()
}

/// Waits for a job's end through the grid, whoever submitted it, and holds it to the same.
///
/// # Panics
/// As [`KnownJob::assert_whole`].
pub fn assert_job_whole(grid: &Grid, job: &str) {
    grid.run(&["job", "wait", job]).ok();
    assert!(grid.run(&["job", "results", job]).ok() == answer(), "job {job} has other results");
    assert_conserved(grid, &grid.job(job));
}

fn assert_conserved(grid: &Grid, job: &Value) {
    let counts = &job["counts"];
    for (name, expected) in [("total", TASKS), ("ok", TASKS), ("queued", 0), ("running", 0)] {
        assert_eq!(counts[name], json!(expected), "{name} of {job}\n{}", grid.scheduler.said());
    }
    assert_eq!(job["results"], json!(TASKS), "{job}");
}

/// What a run gives that nothing disturbs.
fn answer() -> &'static str {
    static ANSWER: OnceLock<String> = OnceLock::new();
    ANSWER.get_or_init(|| Home::new().run(arguments()).ok().to_owned())
}

fn arguments() -> [String; 4] {
    let range = format!("{FIRST}..{}", FIRST + TASKS);
    ["run".into(), guest("spin"), "--range".into(), range]
}
