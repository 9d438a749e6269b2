//! What became of single tasks: attempts that failed, and results that differ.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{Digest, Micros, Outcome, RetryCounter, TaskId, Usage, WorkerId, wire::bounded};

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// As what it was counted.
    pub counter: RetryCounter,
    /// The name of the worker that had it; empty if that is forgotten.
    pub worker: String,
    /// When it was over.
    pub at: Micros,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, counter, worker, at, reason } = self;
        write!(f, "attempt {attempt} ({counter})")?;
        if !worker.is_empty() {
            write!(f, " on {worker}, {at}")?;
        }
        write!(f, ": {reason}")
    }
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// It waits for a worker, or out a pause before its next attempt.
    Queued,
    /// A worker has it.
    Running,
    /// It has its result, or ended with its job.
    Ended,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Ended => "ended",
        })
    }
}

/// All the grid tells of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Which.
    pub task: TaskId,
    /// Where it is.
    pub state: TaskState,
    /// The number of its attempt: the next one of a task that waits, the last one of a task that
    /// has ended with a result, 0 of one without.
    pub attempt: u32,
    /// The name of the worker that has it, or whose result it is; empty where there is none.
    pub worker: String,
    /// True where its hosts died so often that it runs alone on a worker.
    pub suspect: bool,
    /// Its failed attempts, the oldest first, while it has not ended and where it ended
    /// as lost.
    #[serde(deserialize_with = "bounded")]
    pub attempts: Vec<Attempt>,
    /// How many older ones are not listed.
    pub attempts_dropped: u32,
    /// Its result; `None` where it has none or that was not found in the log.
    pub result: Option<TaskResult>,
    /// The end of what it had logged when its job was cancelled.
    #[serde(deserialize_with = "bounded")]
    pub log: Vec<u8>,
}

/// A task's result without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Its position in the job's result log.
    pub cursor: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// Bytes of its output.
    pub output_bytes: u64,
    /// How many records it emitted.
    pub records: u64,
    /// Bytes of its log.
    pub log_bytes: u64,
}

/// A result as it is compared: whose it was, and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The worker.
    pub worker: WorkerId,
    /// Which attempt it was.
    pub attempt: u32,
    /// Of the outcome without its backtrace, the output and the records.
    pub digest: Digest,
}

/// Two results of one task that should be equal and are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The task's index.
    pub index: u64,
    /// When it was found.
    pub at: Micros,
    /// The one that counts.
    pub committed: Witness,
    /// The one that came late and was discarded.
    pub late: Witness,
}

/// The divergences of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergences {
    /// How many were found. Those that are not listed are forgotten when the scheduler restarts.
    pub count: u64,
    /// The first of them.
    #[serde(deserialize_with = "bounded")]
    pub list: Vec<Divergence>,
    /// The names of the workers in the list.
    #[serde(deserialize_with = "bounded")]
    pub workers: Vec<(WorkerId, String)>,
}
