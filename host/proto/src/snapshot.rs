//! What the journal amounts to, in items: a scheduler starts from them and from the records behind
//! them. Items and their fields are on disk: variants are only ever appended, and a struct that
//! needs another field gets a variant of its own.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Dropped, Epoch, JobCounts, JobId, JobSpec, JobState, Micros, TaskRange, WorkerId,
};

/// Elements of one item's list at most: a set of more ranges is several items.
pub const SNAPSHOT_LIST: usize = 4_096;

/// One piece of a snapshot. What is of a job stands behind its [`SnapshotItem::Job`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time; a box would cost an allocation"
)]
pub enum SnapshotItem {
    /// What is of no job; the first item.
    Grid {
        /// The term that was the last.
        epoch: Epoch,
        /// The last job's number, also where that job is forgotten.
        last_job: JobId,
        /// The last worker's number.
        last_worker: WorkerId,
    },
    /// A worker that is known.
    Worker {
        /// Its number.
        worker: WorkerId,
        /// The name in its certificate.
        name: String,
    },
    /// A job.
    Job(JobItem),
    /// Some of a job's tasks.
    Tasks {
        /// The job.
        job: JobId,
        /// In what they are alike.
        set: TaskSet,
        /// Which.
        tasks: Vec<TaskRange>,
    },
    /// An open task that was run more than once.
    Attempts {
        /// The job.
        job: JobId,
        /// The task.
        index: u64,
        /// How often it asked for that.
        app: u32,
        /// How often its host died.
        host_losses: u32,
        /// How often the infrastructure failed.
        infra: u32,
    },
    /// Input segments of which some task is open.
    Inputs {
        /// The job.
        job: JobId,
        /// The tasks of each, and whether one of them ended otherwise than ok.
        segments: Vec<(TaskRange, bool)>,
    },
    /// The job's last appends.
    Appends {
        /// The job.
        job: JobId,
        /// The tasks of each, and its content's digest.
        appends: Vec<(TaskRange, Digest)>,
    },
}

/// A job in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobItem {
    /// Its number.
    pub job: JobId,
    /// What was asked for.
    pub spec: JobSpec,
    /// The key under which it was submitted.
    pub idempotency_key: Option<String>,
    /// What its submit was, by content.
    pub digest: Option<Digest>,
    /// The term in which it was submitted.
    pub epoch: Epoch,
    /// When it was submitted.
    pub submitted_at: Micros,
    /// Who cancelled it.
    pub cancelled_by: Option<String>,
    /// Where it is.
    pub state: JobState,
    /// When it ended.
    pub ended_at: Option<Micros>,
    /// False while inputs may be appended.
    pub closed: bool,
    /// Results in its log, with those that were dropped.
    pub results: u64,
    /// Which of them were.
    pub dropped: Option<Dropped>,
    /// Its tasks by state; those that are not durable are 0.
    pub counts: JobCounts,
}

/// In what some tasks of a job are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskSet {
    /// They have no terminal state.
    Open,
    /// All tasks of their input segment have ended, not all ok: the inputs are kept with the
    /// job, so that those can be run again.
    InputsKept,
    /// All tasks of their input segment have ended ok: nothing needs the inputs.
    InputsSpent,
}
