//! Single tasks.

use serde::Serialize;
use wasmgrid_proto::{Attempt, Micros, Outcome, RetryCounter, TaskResult, TaskState, TaskStatus};

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
    /// What it logged: with its result, or before it was cancelled.
    pub log: Option<String>,
    /// Bytes of the log that were dropped.
    pub log_dropped: u64,
    /// Where a trap happened, the innermost frame first, a line each; `null` of any other outcome.
    pub backtrace: Option<String>,
    /// What it returned; `null` if it has no result, or the result was deleted.
    pub output: Option<Data<'a>>,
    /// What it emitted before that.
    pub records: Vec<Data<'a>>,
    /// When the attempt that counts began, about: so long before its end as it took. `null` without a
    /// result, and if the scheduler that stored it did not note when that came.
    pub began_at_us: Option<u64>,
    /// When its result came to the scheduler; `null` like `began_at_us`.
    pub ended_at_us: Option<u64>,
}

/// A task's result as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// What it returned.
    pub output: Vec<u8>,
    /// What it emitted before that.
    pub records: Vec<Vec<u8>>,
    /// What it logged.
    pub log: Vec<u8>,
    /// Bytes of the log that were dropped.
    pub log_dropped: u64,
    /// When it came to the scheduler.
    pub received: Option<Micros>,
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
    /// A task with its input and its result, if these are known.
    #[must_use]
    pub fn new(task: &TaskStatus, input: Option<&'a [u8]>, kept: Option<&'a Kept>) -> Self {
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let log = String::from_utf8_lossy(kept.map_or(&task.log, |kept| &kept.log));
        let outcome = task.result.as_ref().map(|result| &result.outcome);
        let backtrace = match outcome {
            Some(Outcome::Trap { backtrace, .. }) => present(backtrace),
            _ => None,
        };
        let ended = kept.and_then(|kept| kept.received).map(|at| at.0);
        let wall_us = task.result.as_ref().map_or(0, |result| result.usage.wall_us);
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
            log_dropped: kept.map_or(0, |kept| kept.log_dropped),
            backtrace,
            output: kept.map(|kept| Data::from(kept.output.as_slice())),
            records: kept.map(|kept| datas(&kept.records)).unwrap_or_default(),
            began_at_us: ended.map(|at| at.saturating_sub(wall_us)),
            ended_at_us: ended,
        }
    }
}

fn datas(records: &[Vec<u8>]) -> Vec<Data<'_>> {
    records.iter().map(|record| Data::from(record.as_slice())).collect()
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
