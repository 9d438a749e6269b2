//! What the journal amounts to, in items: a scheduler starts from them and from the records after
//! them. [`durable`](crate::durable) says how they are written down.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    Allowance, Digest, Divergence, Dropped, Epoch, Fuel, JobCounts, JobId, JobSpec, JobState,
    Micros, Resource, RetryCounter, TaskRange, UsageTotal, WorkerId,
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
        /// True where an operator wants it to get nothing new.
        cordoned: bool,
        /// If an operator drained it, when its process started, by its own clock.
        drained: Option<Micros>,
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
    /// Who appended to the job beside others, and what last.
    Producers {
        /// The job.
        job: JobId,
        /// Of each its number, that of its last request, and the first index that it got.
        producers: Vec<(u64, u64, u64)>,
    },
    /// What is remembered of a task's attempts that did not do.
    Notes {
        /// The job.
        job: JobId,
        /// The task.
        index: u64,
        /// True where it ended as lost, false where it is open.
        lost: bool,
        /// Older attempts that are forgotten.
        dropped: u32,
        /// The attempts, the oldest first.
        notes: Vec<AttemptItem>,
    },
    /// Results of the job that differ and should not.
    Divergences {
        /// The job.
        job: JobId,
        /// As they were found.
        divergences: Vec<Divergence>,
    },
    /// In which terms the job's inputs were appended, where that was in several.
    Terms {
        /// The job.
        job: JobId,
        /// Of each term after the one of its submit the index that its appends begin at; rising.
        terms: Vec<(u64, Epoch)>,
    },
    /// The grid's own time, and its date; see [`Record::TimePassed`](crate::Record::TimePassed).
    Time {
        /// The time.
        time: Micros,
        /// Which date that was.
        date: Micros,
    },
    /// How much a tenant may have of something, where an operator said so.
    Quota {
        /// Whose.
        tenant: String,
        /// Of what.
        resource: Resource,
        /// How much.
        allowed: Allowance,
    },
    /// How much fuel a tenant has used up on the last day on which it did.
    FuelUsed {
        /// Whose.
        tenant: String,
        /// Which day of the grid's own time.
        day: u64,
        /// How much.
        fuel: Fuel,
    },
    /// A worker that was taken away; what it did is still told under its name.
    FormerWorker {
        /// Its number.
        worker: WorkerId,
        /// Its name then.
        name: String,
    },
    /// What a tenant's tasks have used.
    Usage {
        /// Whose; as in [`TenantUsage`](crate::TenantUsage).
        tenant: String,
        /// How much.
        usage: UsageTotal,
    },
    /// A function; as in [`Record::FunctionSet`](crate::Record::FunctionSet).
    Function {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// The job that takes its calls.
        job: JobId,
        /// The one that did before, if any.
        before: Option<JobId>,
        /// How many calls it had before that job.
        called: u64,
        /// When it was deployed last: the date.
        deployed: Micros,
    },
    /// Who appended to the job beside others, what last, and when; in place of [`Self::Producers`], which
    /// earlier releases wrote.
    Appenders {
        /// The job.
        job: JobId,
        /// Some of them.
        producers: Vec<ProducerItem>,
    },
    /// Who called a function, what last, and when; also of a function that was deleted since.
    Callers {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// Some of them.
        producers: Vec<ProducerItem>,
    },
}

/// A producer in a snapshot, with its last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerItem {
    /// Its own number.
    pub producer: u64,
    /// Its number of the request.
    pub number: u64,
    /// The job that took the request's inputs.
    pub job: JobId,
    /// The first index that they got.
    pub first: u64,
    /// When: the grid's own time.
    pub at: Micros,
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
    /// What was asked for, by content; as in [`Record::JobSubmitted`](crate::Record::JobSubmitted).
    pub digest: Digest,
    /// The term in which it was submitted.
    pub epoch: Epoch,
    /// When it was submitted: the date.
    pub submitted_at: Micros,
    /// The same by the grid's own time.
    pub submitted: Micros,
    /// Who cancelled it.
    pub cancelled_by: Option<String>,
    /// Where it is.
    pub state: JobState,
    /// When it ended: the date.
    pub ended_at: Option<Micros>,
    /// The same by the grid's own time.
    pub ended: Option<Micros>,
    /// False while inputs may be appended.
    pub closed: bool,
    /// Results in its log, with those that were dropped.
    pub results: u64,
    /// Which of them were.
    pub dropped: Option<Dropped>,
    /// The job that has this one's inputs.
    pub source: Option<JobId>,
    /// The index behind its last task.
    pub next_index: u64,
    /// True where more separate tasks ended otherwise than ok than are remembered.
    pub not_ok_overflown: bool,
    /// Its tasks by state; those that are not durable are 0.
    pub counts: JobCounts,
}

/// An attempt in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptItem {
    /// Its number, from 1.
    pub attempt: u32,
    /// As what it was counted.
    pub counter: RetryCounter,
    /// Who had it.
    pub worker: WorkerId,
    /// When it was over.
    pub at: Micros,
    /// Why.
    pub reason: String,
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
    /// They ended otherwise than ok.
    NotOk,
    /// They are all that the job took from another one.
    Taken,
    /// They are indices without a task.
    Skipped,
}
