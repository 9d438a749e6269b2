//! A part of a lease that no slot has, and how it is cut.

use alloc::{sync::Arc, vec::Vec};

use bytes::Bytes;
use wasmgrid_proto::{
    InputBlock, JobId, LeaseId, SegmentError, TaskRange, TaskSpec, WorkerId, wire::LeaseGrant,
};

use crate::Batch;

/// Input bytes of one sub-batch, unless a single input is larger: what a slot's socket takes
/// without a wait.
const BATCH_BYTES: u64 = 1 << 20;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub job: JobId,
    pub lease: LeaseId,
    pub attempt: u32,
    pub spec: Arc<TaskSpec>,
    pub first: u64,
    pub inputs: InputBlock,
    pub payload: Bytes,
}

/// Which of the tasks that no slot has are to be taken out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    All,
    OfJob(JobId),
    /// Those of a lease within these ranges.
    OfLease(LeaseId, &'a [TaskRange]),
}

impl Which<'_> {
    /// Takes out of a piece what is wanted; the rest goes to `keep`.
    pub(super) fn take(self, piece: Piece, taken: &mut Vec<Piece>, mut keep: impl FnMut(Piece)) {
        match self {
            Which::All => taken.push(piece),
            Which::OfJob(job) if piece.job == job => taken.push(piece),
            Which::OfLease(lease, tasks) if piece.lease == lease => {
                piece.split(tasks, taken, keep);
            }
            Which::OfJob(_) | Which::OfLease(..) => keep(piece),
        }
    }
}

impl Piece {
    /// One lease of an assignment.
    pub(crate) fn new(job: JobId, spec: Arc<TaskSpec>, grant: LeaseGrant, payload: Bytes) -> Self {
        let LeaseGrant { lease, attempt, first, inputs } = grant;
        Self { job, lease, attempt, spec, first, inputs, payload }
    }

    /// As a slot takes it.
    pub(crate) fn into_batch<M>(self, module: M, worker: WorkerId) -> Batch<M> {
        let Self { job, lease, attempt, spec, first, inputs, payload } = self;
        Batch { module, job, lease, attempt, worker, spec, first, inputs, payload }
    }

    /// Which tasks.
    pub(crate) fn tasks(&self) -> TaskRange {
        TaskRange { first: self.first, count: self.inputs.count() }
    }

    /// The part with these tasks, which are in the piece; inputs are not copied.
    pub(super) fn part(&self, tasks: TaskRange) -> Result<Self, SegmentError> {
        let skip = tasks.first - self.first;
        let (inputs, payload) = self.inputs.slice(&self.payload, skip, tasks.count)?;
        Ok(Self { first: tasks.first, inputs, payload, spec: self.spec.clone(), ..*self })
    }

    /// Cuts the piece: what is within `wanted` goes to `taken`, what is left to `keep`, in order.
    pub(crate) fn split(
        &self,
        wanted: &[TaskRange],
        taken: &mut Vec<Self>,
        mut keep: impl FnMut(Self),
    ) {
        let mut rest = self.tasks();
        let mut wanted: Vec<_> =
            wanted.iter().filter_map(|range| self.tasks().intersect(*range)).collect();
        wanted.sort_unstable();
        let mut keep = |tasks: TaskRange| {
            if tasks.count > 0 {
                self.part(tasks).into_iter().for_each(&mut keep);
            }
        };
        for range in wanted {
            // Ranges that were named twice are taken once.
            let Some(range) = rest.intersect(range) else { continue };
            keep(TaskRange { first: rest.first, count: range.first - rest.first });
            taken.extend(self.part(range));
            rest = TaskRange { first: range.end(), count: rest.end() - range.end() };
        }
        keep(rest);
    }

    /// How many of the first `count` tasks to take, so that their inputs are not too large.
    pub(super) fn fitting(&self, count: u64) -> u64 {
        let InputBlock::Packed(lengths) = &self.inputs else { return count };
        let mut bytes = 0;
        let fits = |length: &&u32| {
            bytes += u64::from(**length);
            bytes <= BATCH_BYTES
        };
        let take = usize::try_from(count).unwrap_or(usize::MAX);
        (lengths.iter().take(take).take_while(fits).count() as u64).max(1)
    }
}
