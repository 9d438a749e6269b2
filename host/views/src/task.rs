//! Single tasks.

use serde::Serialize;
use wasmgrid_proto::{Attempt, RetryCounter, TaskResult, TaskState, TaskStatus};

use crate::{Data, Wide};

/// A task.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskView<'a> {
    /// `JOB/INDEX`.
    pub task: String,
    /// Its input; left out if it is not known, or was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Data<'a>>,
    /// `queued`, `running` or `ended`.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub state: TaskState,
    /// The number of the last attempt; 0 before the first.
    pub attempt: u32,
    /// The worker that has it.
    pub worker: Option<String>,
    /// True if it runs alone on its worker, since workers died with it.
    pub suspect: bool,
    /// Earlier attempts.
    pub attempts: Vec<AttemptView>,
    /// Older attempts that are not listed.
    pub attempts_dropped: u32,
    /// Its result; `null` before the end, and if the result was deleted.
    pub result: Option<ResultView>,
    /// What it logged before it was cancelled.
    pub log: Option<String>,
}

/// An attempt that did not lead to the result.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AttemptView {
    /// The number of the last attempt; 0 before the first.
    pub attempt: u32,
    /// Which bound it counts against: `app`, `host-loss` or `infra`.
    pub counter: &'static str,
    /// The worker that has it.
    pub worker: Option<String>,
    /// When it ended.
    pub at_us: u64,
    /// Why it failed.
    pub reason: String,
}

/// A task's result, without its bytes.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ResultView {
    /// The position in the result log.
    pub cursor: u64,
    /// How it ended, by name.
    pub outcome: &'static str,
    /// False if the outcome depends on time or on the machine.
    pub deterministic: bool,
    /// How it ended, for people.
    pub message: String,
    /// Fuel used.
    pub fuel: Wide,
    /// Peak memory.
    pub memory_bytes: u64,
    /// Wall time.
    pub wall_us: u64,
    /// Bytes of output.
    pub output_bytes: u64,
    /// How many records it emitted.
    pub records: u64,
    /// Bytes of log.
    pub log_bytes: u64,
}

impl<'a> TaskView<'a> {
    /// A task and its input, if that is known.
    #[must_use]
    pub fn new(task: &TaskStatus, input: Option<&'a [u8]>) -> Self {
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let log = String::from_utf8_lossy(&task.log);
        Self {
            task: task.task.to_string(),
            input: input.map(Data::from),
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
            fuel: Wide(result.usage.fuel),
            memory_bytes: result.usage.memory_bytes,
            wall_us: result.usage.wall_us,
            output_bytes: result.output_bytes,
            records: result.records,
            log_bytes: result.log_bytes,
        }
    }
}
