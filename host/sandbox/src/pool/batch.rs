//! What a slot takes, and what it says of that.

use std::sync::Arc;

use bytes::Bytes;
use wasmgrid_proto::{
    Extensions, InputBlock, JobId, LeaseId, Outcome, ResultBlock, ResultMeta, TaskRange, TaskSpec,
    Usage, WorkerId,
};

use crate::Prepared;

/// A run of tasks of one lease, with their inputs.
#[derive(Clone, Debug)]
pub struct SlotBatch {
    /// The compiled module.
    pub prepared: Prepared,
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

impl SlotBatch {
    /// All its tasks.
    pub(super) fn tasks(&self) -> TaskRange {
        TaskRange { first: self.first, count: self.inputs.count() }
    }

    /// Says that tasks of it were revoked before they began.
    pub(super) fn returned(&self, tasks: Vec<TaskRange>) -> SlotEvent {
        SlotEvent::Returned { job: self.job, lease: self.lease, tasks }
    }

    /// Results of tasks that were not run to their end.
    pub(super) fn unrun(&self, tasks: TaskRange, outcome: &Outcome, usage: Usage) -> SlotEvent {
        let result = |index| ResultMeta {
            index,
            outcome: outcome.clone(),
            usage,
            output_len: 0,
            record_lens: Vec::new(),
            log_len: 0,
            log_dropped: 0,
        };
        let block = ResultBlock {
            job: self.job,
            lease: self.lease,
            worker: self.worker,
            attempt: self.attempt,
            results: (tasks.first..tasks.end()).map(result).collect(),
            extensions: Extensions::NONE,
        };
        SlotEvent::Results(block, Bytes::new())
    }
}

/// What a slot tells. Each task of a batch comes back once, as a result or as returned.
#[derive(Clone, Debug)]
pub enum SlotEvent {
    /// Results, and their payload.
    Results(ResultBlock, Bytes),
    /// Tasks that were revoked before they began.
    Returned {
        /// The job.
        job: JobId,
        /// The lease.
        lease: LeaseId,
        /// The tasks, none of which has begun.
        tasks: Vec<TaskRange>,
    },
    /// The runner died; the slot starts a new one by itself. The task that ran comes back as
    /// [`Outcome::Lost`](wasmgrid_proto::Outcome::Lost), the others are run by the new runner.
    Died {
        /// How it died.
        reason: String,
    },
}

/// Why a slot takes no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The sandbox was shut down.
    #[error("the sandbox is shut down")]
    Closed,
    /// The batch's payload is not as long as its lengths say, or its numbers leave 64 bits.
    #[error("the batch's inputs are malformed")]
    Inputs(#[from] wasmgrid_proto::SegmentError),
}
