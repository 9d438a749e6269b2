//! What an agent is told, and what it wants done.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use wasmgrid_proto::{
    Digest, InputBlock, JobId, LeaseId, Millis, Outcome, ResultBlock, RunningTask, TaskRange,
    TaskSpec, WorkerId, WorkerReport,
    frame::Envelope,
    wire::{FromWorker, ToWorker, Unable},
};

/// Something that happened to a worker. `M` is a module that is ready to run: the agent keeps it and
/// gives it along with each [`Batch`], and never looks into it.
#[derive(Debug)]
pub enum Event<M> {
    /// There is a link; nothing was said over it yet.
    Linked,
    /// The link has ended. There is one link at a time, and this comes after all that was heard over
    /// it.
    Unlinked,
    /// The scheduler said something.
    Heard(Envelope<ToWorker>),
    /// Tasks of a slot have ended.
    Results {
        /// Which slot.
        slot: usize,
        /// Their results.
        block: ResultBlock,
        /// The results' payload.
        payload: Bytes,
    },
    /// A slot gives tasks back that had not begun when they were [recalled](Effect::Recall).
    Returned {
        /// Which slot.
        slot: usize,
        /// The job.
        job: JobId,
        /// The lease.
        lease: LeaseId,
        /// The tasks.
        tasks: Vec<TaskRange>,
    },
    /// A slot has taken a batch for which it had no room when it was given that. What was ordered of
    /// the batch meanwhile did not reach it. To be told if anything was ordered of the slot since.
    Taken {
        /// Which slot.
        slot: usize,
    },
    /// A slot has ended and did not take its last [batch](Effect::Run).
    NotTaken {
        /// Which slot.
        slot: usize,
        /// The batch's job.
        job: JobId,
        /// Its lease.
        lease: LeaseId,
        /// Its tasks.
        tasks: TaskRange,
    },
    /// The answer to [`Effect::Prepare`].
    Prepared {
        /// The job that it was asked for.
        job: JobId,
        /// The spec that it was asked with.
        spec: Arc<TaskSpec>,
        /// What came of it.
        result: Preparation<M>,
        /// For how long something was compiled for it.
        took: Duration,
    },
    /// The answer to [`Effect::ListRunning`]: at most one a slot.
    Running(Vec<RunningTask>),
    /// What the scheduler is to know of this worker beside what it offers. To be told only on a link
    /// that knows [`FromWorker::Report`].
    Report(WorkerReport),
    /// This machine can run tasks.
    Able,
    /// It cannot, for this reason.
    Unable(Unable),
    /// Leave the grid in order, within so much time.
    Leave {
        /// After it the worker leaves whatever is left to do.
        within: Millis,
    },
}

/// What came of making a job's module ready.
#[derive(Debug)]
pub enum Preparation<M> {
    /// It is ready.
    Ready {
        /// The module.
        module: M,
        /// The memory that the job's blobs take, in bytes.
        blob_bytes: u64,
    },
    /// The bytes of the module or of a blob are missing.
    Missing(Digest),
    /// The module or what the job asks for is refused, as it would be again: its tasks end so.
    Refused(Outcome),
    /// This machine failed, or the bytes were damaged: another worker may do better, or this one
    /// later. The text is for people.
    Failed(String),
}

/// Something that the agent wants done.
#[derive(Debug)]
pub enum Effect<M> {
    /// Send this over the link. There are never more of these at once than the link has room for.
    Say(Envelope<FromWorker>),
    /// End the link: it is so slow that messages were dropped.
    HangUp,
    /// The worker is in the grid; nothing need be done.
    Joined {
        /// Its number there.
        worker: WorkerId,
    },
    /// Make a job's module ready; answered by [`Event::Prepared`].
    Prepare {
        /// The job.
        job: JobId,
        /// What its tasks need.
        spec: Arc<TaskSpec>,
        /// The bytes that were [missing](Preparation::Missing); `None` if what is at hand must do.
        bytes: Option<Bytes>,
    },
    /// Run a batch in a slot, after those that the slot has already; followed by [`Event::Taken`],
    /// if the slot had no room for it at once and was ordered something before it had.
    Run {
        /// Which slot.
        slot: usize,
        /// The batch.
        batch: Batch<M>,
    },
    /// Stop a job's tasks in a slot: all come back as results.
    Cancel {
        /// Which slot.
        slot: usize,
        /// The job.
        job: JobId,
        /// Who cancelled it, for the outcome.
        by: String,
    },
    /// Ask a slot for tasks that have not begun; answered by [`Event::Returned`], if there are any.
    Recall {
        /// Which slot.
        slot: usize,
        /// The job.
        job: JobId,
        /// The lease.
        lease: LeaseId,
        /// The tasks.
        tasks: Vec<TaskRange>,
    },
    /// Say what runs at this moment; answered by [`Event::Running`].
    ListRunning,
    /// The worker has left: end the link after all that was said has been delivered. The last effect.
    Leave,
}

/// A run of tasks of one lease, for one slot.
#[derive(Clone, Debug)]
pub struct Batch<M> {
    /// The job's module.
    pub module: M,
    /// The job.
    pub job: JobId,
    /// The lease the tasks run under.
    pub lease: LeaseId,
    /// Which attempt of each task this is, from 1.
    pub attempt: u32,
    /// The worker, as results name it.
    pub worker: WorkerId,
    /// What the tasks need.
    pub spec: Arc<TaskSpec>,
    /// The first task's index; the others follow it.
    pub first: u64,
    /// The inputs, which also say how many tasks there are.
    pub inputs: InputBlock,
    /// The inputs' bytes.
    pub payload: Bytes,
}
