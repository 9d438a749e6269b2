//! What is shown of single tasks, and of results that differ.

use serde::Serialize;
use wasmgrid_proto::{
    Attempt, ByteCount, Divergence, Divergences, Fuel, JobStatus, Millis, RetryCounter, TaskResult,
    TaskState, TaskStatus, Witness, WorkerId,
};

use super::view::JobView;
use crate::{
    args::Format,
    print::{Unwritten, data},
    table,
};

/// A job as JSON, with what differs of it.
#[derive(Debug, Serialize)]
pub struct JobWithDivergences {
    #[serde(flatten)]
    job: JobView,
    divergences: DivergencesView,
}

#[derive(Debug, Serialize)]
struct DivergencesView {
    count: u64,
    list: Vec<DivergenceView>,
}

#[derive(Debug, Serialize)]
struct DivergenceView {
    task: String,
    at_us: u64,
    committed: WitnessView,
    late: WitnessView,
}

#[derive(Debug, Serialize)]
struct WitnessView {
    worker: String,
    attempt: u32,
    digest: String,
}

#[derive(Debug, Serialize)]
struct TaskView {
    task: String,
    state: TaskState,
    attempt: u32,
    worker: Option<String>,
    suspect: bool,
    attempts: Vec<AttemptView>,
    attempts_dropped: u32,
    result: Option<ResultView>,
    log: Option<String>,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    attempt: u32,
    counter: &'static str,
    worker: Option<String>,
    at_us: u64,
    reason: String,
}

#[derive(Debug, Serialize)]
struct ResultView {
    cursor: u64,
    outcome: &'static str,
    deterministic: bool,
    message: String,
    fuel: u64,
    memory_bytes: u64,
    wall_us: u64,
    output_bytes: u64,
    records: u64,
    log_bytes: u64,
}

/// Prints a task.
///
/// # Errors
/// Where stdout cannot be written.
pub fn show(task: &TaskStatus, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&TaskView::from(task));
    }
    let attempt = if task.attempt == 0 { String::new() } else { task.attempt.to_string() };
    table::fields([
        ("task", task.task.to_string()),
        ("state", task.state.to_string()),
        ("attempt", attempt),
        ("worker", task.worker.clone()),
        ("runs", if task.suspect { "alone on a worker".into() } else { String::new() }),
    ])?;
    if let Some(result) = &task.result {
        let usage = &result.usage;
        table::fields([
            ("fuel", Fuel(usage.fuel).to_string()),
            ("memory", ByteCount(usage.memory_bytes).to_string()),
            ("took", Millis(usage.wall_us.div_ceil(1_000)).to_string()),
            ("output", ByteCount(result.output_bytes).to_string()),
        ])?;
        data!("{}", result.outcome)?;
    } else if task.state == TaskState::Ended {
        data!("it ended without a result: its job ended first, or the result was deleted")?;
    }
    if task.attempts_dropped > 0 {
        data!("{} older attempts are not listed", task.attempts_dropped)?;
    }
    // The outcome of a lost task has them already.
    for attempt in task.attempts.iter().filter(|_| task.result.is_none()) {
        data!("{attempt}")?;
    }
    if !task.log.is_empty() {
        data!("log:\n{}", String::from_utf8_lossy(&task.log))?;
    }
    Ok(())
}

/// Prints results that differ, below their job.
///
/// # Errors
/// Where stdout cannot be written.
pub fn list_divergences(found: &Divergences) -> Result<(), Unwritten> {
    for divergence in &found.list {
        let witness = |witness: &Witness| {
            let WitnessView { worker, attempt, digest } = WitnessView::new(witness, found);
            let short: String = digest.chars().take(12).collect();
            format!("{short} by {worker} in attempt {attempt}")
        };
        let Divergence { index, at, committed, late } = divergence;
        let (committed, late) = (witness(committed), witness(late));
        data!("task {index} diverged at {at}: {committed} counts, {late} was discarded")?;
    }
    match found.count.saturating_sub(found.list.len() as u64) {
        0 => Ok(()),
        more => data!("{more} more diverged and are not listed"),
    }
}

impl JobWithDivergences {
    /// Of a job.
    pub fn new(job: &JobStatus, found: &Divergences) -> Self {
        let view = |divergence: &Divergence| DivergenceView {
            task: format!("{}/{}", job.job, divergence.index),
            at_us: divergence.at.0,
            committed: WitnessView::new(&divergence.committed, found),
            late: WitnessView::new(&divergence.late, found),
        };
        let list = found.list.iter().map(view).collect();
        Self { job: JobView::from(job), divergences: DivergencesView { count: found.count, list } }
    }
}

impl WitnessView {
    fn new(witness: &Witness, found: &Divergences) -> Self {
        let Witness { worker, attempt, digest } = *witness;
        Self { worker: name(worker, found), attempt, digest: digest.to_string() }
    }
}

fn name(worker: WorkerId, found: &Divergences) -> String {
    let known = found.workers.iter().find(|(id, _)| *id == worker);
    known.map_or_else(|| format!("worker {worker}"), |(_, name)| name.clone())
}

impl From<&TaskStatus> for TaskView {
    fn from(task: &TaskStatus) -> Self {
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let log = String::from_utf8_lossy(&task.log);
        Self {
            task: task.task.to_string(),
            state: task.state,
            attempt: task.attempt,
            worker: present(&task.worker),
            suspect: task.suspect,
            attempts: task.attempts.iter().map(AttemptView::from).collect(),
            attempts_dropped: task.attempts_dropped,
            result: task.result.as_ref().map(ResultView::from),
            log: present(&log),
        }
    }
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            counter: match attempt.counter {
                RetryCounter::App => "app",
                RetryCounter::HostLoss => "host-loss",
                RetryCounter::Infra => "infra",
            },
            worker: (!attempt.worker.is_empty()).then(|| attempt.worker.clone()),
            at_us: attempt.at.0,
            reason: attempt.reason.clone(),
        }
    }
}

impl From<&TaskResult> for ResultView {
    fn from(result: &TaskResult) -> Self {
        Self {
            cursor: result.cursor,
            outcome: result.outcome.name(),
            deterministic: result.outcome.is_deterministic(),
            message: result.outcome.to_string(),
            fuel: result.usage.fuel,
            memory_bytes: result.usage.memory_bytes,
            wall_us: result.usage.wall_us,
            output_bytes: result.output_bytes,
            records: result.records,
            log_bytes: result.log_bytes,
        }
    }
}
