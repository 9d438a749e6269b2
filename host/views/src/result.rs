//! Results and logs: one object a line.

use serde::Serialize;
use wasmgrid_proto::{Outcome, Usage};

use crate::{Data, Wide};

/// One result.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ResultLine<'a> {
    /// The input's position in the job.
    pub index: u64,
    /// Where the input comes from, `FILE:LINE`; left out if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// The input; left out if it is a file or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Data<'a>>,
    /// The path of the input, if it is a file; else left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Data<'a>>,
    /// The position in the result log; `null` if the task never ran.
    pub cursor: Option<u64>,
    /// How the task ended, by the outcome's name.
    pub outcome: &'static str,
    /// False if the outcome depends on time or on the machine.
    pub deterministic: bool,
    /// What the task returned; left out if that was written to a file.
    #[serde(flatten)]
    pub bytes: Option<ResultBytes<'a>>,
    /// The file to which the output was written; else left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_file: Option<Data<'a>>,
    /// The attempt that counts; 0 if the task never ran.
    pub attempt: u32,
    /// The worker on which it ran; `null` if it never did.
    pub worker: Option<u64>,
    /// Fuel, memory and time.
    pub usage: SpentView,
    /// What went wrong; `null` if nothing did.
    pub error: Option<String>,
    /// What the task logged.
    pub log: Data<'a>,
    /// Bytes of the log that were dropped.
    pub log_dropped: u64,
}

/// What a task returned and emitted.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ResultBytes<'a> {
    /// What it returned.
    pub output: Data<'a>,
    /// What it emitted before that.
    pub records: Vec<Data<'a>>,
}

/// What one attempt of a task used.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SpentView {
    /// Fuel.
    pub fuel: Wide,
    /// Peak memory.
    pub memory_bytes: u64,
    /// Wall time.
    pub wall_us: u64,
}

impl From<Usage> for SpentView {
    fn from(usage: Usage) -> Self {
        let Usage { fuel, memory_bytes, wall_us } = usage;
        Self { fuel: Wide(fuel), memory_bytes, wall_us }
    }
}

/// What one task logged.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogView<'a> {
    /// The input's position in the job.
    pub index: u64,
    /// The attempt that counts.
    pub attempt: u32,
    /// How the task ended, by the outcome's name.
    pub outcome: &'a str,
    /// The log.
    pub log: Data<'a>,
    /// Bytes of it that were dropped, since it was longer than `--log-limit`.
    pub log_dropped: u64,
}

/// What went wrong with a task, with the backtrace of a trap.
#[must_use]
pub fn error(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Ok => None,
        Outcome::Trap { backtrace, .. } if !backtrace.is_empty() => {
            Some(format!("{outcome}\n{backtrace}"))
        }
        other => Some(other.to_string()),
    }
}
