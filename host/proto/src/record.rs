//! The journal's records: all that must outlive a scheduler. Its state is rebuilt from them alone.
//! [`durable`](crate::durable) says how they are written down.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Allowance, Cost, Digest, Divergence, Epoch, Fuel, JobId, JobSpec, JobState, Micros,
    OutcomeClass, Resource, TaskRange, WorkerId,
};

/// One durable fact. The order of the variants is their numbers, which are on disk: see the rule on
/// growth on the crate's first page. Fields that serde skips are extensions of the record, which
/// [`durable`](crate::durable) reads and writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A scheduler took over.
    EpochStarted {
        /// Its term.
        epoch: Epoch,
        /// When.
        at: Micros,
    },
    /// A job was submitted.
    JobSubmitted {
        /// Its number.
        job: JobId,
        /// What was asked for.
        spec: Box<JobSpec>,
        /// A submit that repeats this key gets this job again instead of a new one.
        idempotency_key: Option<String>,
        /// What was asked for, by content: the spec and the inputs that came with it, or what is to
        /// be retried. It tells a repeat of the request from another one under the same key.
        digest: Digest,
        /// When.
        at: Micros,
    },
    /// Inputs were appended to a job's input log; their bytes are an input segment.
    InputsAppended {
        /// The job.
        job: JobId,
        /// Which tasks they are.
        tasks: TaskRange,
        /// How many bytes they have. Extension 1.
        #[serde(skip)]
        bytes: u64,
    },
    /// No more inputs come.
    InputsClosed {
        /// The job.
        job: JobId,
    },
    /// Somebody cancelled the job: nothing commits after this.
    CancelRequested {
        /// The job.
        job: JobId,
        /// Who.
        by: String,
        /// When.
        at: Micros,
    },
    /// Results were committed; their bytes are a result segment.
    Committed {
        /// The job.
        job: JobId,
        /// The first result's position in the job's result log.
        first_cursor: u64,
        /// Which tasks, in the log's order.
        runs: Vec<CommittedRun>,
        /// What they took. Extension 1.
        #[serde(skip)]
        cost: Cost,
    },
    /// Tasks reached a terminal state without a result: cancelled, expired or skipped.
    Ended {
        /// The job.
        job: JobId,
        /// Which tasks.
        tasks: Vec<TaskRange>,
        /// How.
        class: OutcomeClass,
    },
    /// The job reached a terminal state.
    JobEnded {
        /// The job.
        job: JobId,
        /// Which.
        state: JobState,
        /// When.
        at: Micros,
    },
    /// A worker joined for the first time; it keeps its number when it joins again.
    WorkerKnown {
        /// Its number.
        worker: WorkerId,
        /// The name in its certificate.
        name: String,
    },
    /// An attempt of each of some tasks failed, all for one reason.
    AttemptsFailed {
        /// The job.
        job: JobId,
        /// Which tasks.
        tasks: Vec<TaskRange>,
        /// The attempt's number.
        attempt: u32,
        /// What is counted.
        counter: RetryCounter,
        /// Who had them.
        worker: WorkerId,
        /// When it was over.
        at: Micros,
        /// Why.
        reason: String,
        /// True where it was their last: the record behind this one ends them.
        last: bool,
    },
    /// A late result of a task differs from the one that is committed, and should not.
    Diverged {
        /// The job.
        job: JobId,
        /// Which task, and whose results they are.
        divergence: Box<Divergence>,
    },
    /// An operator cordoned a worker, or took that back.
    WorkerCordoned {
        /// Its number.
        worker: WorkerId,
        /// True where it gets nothing new from now on.
        cordoned: bool,
    },
    /// A producer of an open job appended inputs, those of the [`Self::InputsAppended`] before
    /// this; should it ask again under this number, that was done.
    ProducerNoted {
        /// The job.
        job: JobId,
        /// The producer's own number.
        producer: u64,
        /// Its number of the request.
        number: u64,
        /// The first index that the request got.
        first: u64,
    },
    /// A job's inputs are those of another job, at the same indices. A job may have several of
    /// these, one behind the other, all of the same other job.
    InputsTaken {
        /// The job.
        job: JobId,
        /// The one that has the inputs in its own input log.
        of: JobId,
        /// Which tasks they are, in both.
        tasks: Vec<TaskRange>,
    },
    /// What an append was, by content, so that a repeat of it is told from another one.
    InputsDigest {
        /// The job.
        job: JobId,
        /// Which tasks they became.
        tasks: TaskRange,
        /// Of the inputs.
        digest: Digest,
    },
    /// Input segments that nothing needs any more are gone.
    InputsDropped {
        /// The job.
        job: JobId,
        /// The tasks whose inputs they had.
        tasks: Vec<TaskRange>,
    },
    /// Results were dropped.
    ResultsDropped {
        /// The job.
        job: JobId,
        /// What was dropped so far, this included.
        dropped: Dropped,
    },
    /// A job that had ended is forgotten, with its idempotency key and all that was kept of it.
    JobForgotten {
        /// The job.
        job: JobId,
    },
    /// The grid's own time, which passes only while a scheduler runs, has come to here. All other
    /// records have dates.
    TimePassed {
        /// The time.
        time: Micros,
        /// Which date that was, by the clock of the scheduler's machine when its term began.
        date: Micros,
    },
    /// A job has no tasks at these indices; those of its next inputs are behind them.
    IndicesSkipped {
        /// The job.
        job: JobId,
        /// The indices.
        tasks: TaskRange,
    },
    /// An operator said how much a tenant may have of something.
    QuotaSet {
        /// Whose.
        tenant: String,
        /// Of what.
        resource: Resource,
        /// How much.
        allowed: Allowance,
    },
    /// A tenant's tasks have used up fuel, in all on this day.
    FuelUsed {
        /// Whose.
        tenant: String,
        /// How manyth day of the grid's own time it is.
        day: u64,
        /// How much since it began.
        fuel: Fuel,
    },
    /// An operator took a worker away: its name is nobody's, and who gets it next is another one.
    WorkerRemoved {
        /// Its number.
        worker: WorkerId,
    },
    /// An operator drained a worker, or that is over.
    WorkerDrained {
        /// Its number.
        worker: WorkerId,
        /// When the process started that is to get nothing new, by its own clock; `None` where none
        /// is drained any more.
        process: Option<Micros>,
    },
    /// A function was deployed or taken away, or its calls go to another job from now on.
    FunctionSet {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// The job that takes its calls; `None` if there is no such function any more.
        job: Option<JobId>,
        /// How many calls it had before that job.
        called: u64,
        /// When it was deployed last: the date.
        deployed: Micros,
    },
}

/// The part of a job's result log that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Results before this position of the log are gone.
    pub before: u64,
    /// Why, the last time.
    pub why: DropReason,
    /// When, the last time.
    pub at: Micros,
}

/// Why results are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DropReason {
    /// The job ended longer ago than results are kept.
    Age,
    /// All results together took more bytes than are kept, and these were the oldest.
    Bytes,
    /// The results of one running job took more bytes than are kept of one.
    JobBytes,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Age => "the job ended too long ago",
            Self::Bytes => {
                "the results of ended jobs exceeded the limit, and this job's were the oldest"
            }
            Self::JobBytes => "they exceeded the limit for a running job",
        })
    }
}

/// Neighbouring tasks that were committed one behind the other with the same outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedRun {
    /// Which tasks.
    pub tasks: TaskRange,
    /// How they ended.
    pub class: OutcomeClass,
}

/// Why a task is run again; each is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RetryCounter {
    /// The task asked for it; bounded by the job's `retries`.
    App,
    /// Its host died; bounded by the grid's limit of host losses.
    HostLoss,
    /// The infrastructure failed without blame (a module that did not arrive, a graceful stop).
    Infra,
}

impl fmt::Display for RetryCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "asked to be retried",
            Self::HostLoss => "host lost",
            Self::Infra => "could not be run",
        })
    }
}
