//! Leases that wait for a slot. A lease is cut into sub-batches as slots ask for work, so that
//! all slots share it. Tenants take turns: how much of each is here is the scheduler's to say, and
//! none waits for all that another has here.

use alloc::{collections::VecDeque, string::String, sync::Arc, vec::Vec};

use bytes::Bytes;
use wasmgrid_proto::{
    InputBlock, JobId, LeaseId, SegmentError, TaskRange, TaskSpec, WorkerId, wire::LeaseGrant,
};

use super::Which;
use crate::Batch;

/// Input bytes of one sub-batch, unless a single input is larger: what a slot's socket takes
/// without a wait.
const BATCH_BYTES: u64 = 1 << 20;

/// Tenants of whom it is known that they had a turn, where some of them have nothing here.
const LANES_MAX: usize = 64;

/// A part of a lease that no slot has.
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

/// Pieces, by tenant.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Whose turn is next is first. One that is empty keeps its place until its turn comes: a tenant
    /// that does one thing after the other is not new each time.
    lanes: VecDeque<Lane>,
    tasks: u64,
}

/// The pieces of one tenant, in the order in which they came.
#[derive(Debug)]
struct Lane {
    tenant: String,
    pieces: VecDeque<Piece>,
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
    fn part(&self, tasks: TaskRange) -> Result<Self, SegmentError> {
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
    fn fitting(&self, count: u64) -> u64 {
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

impl Queue {
    /// Tasks that wait.
    pub(crate) fn tasks(&self) -> u64 {
        self.tasks
    }

    /// The pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.lanes.iter().flat_map(|lane| &lane.pieces)
    }

    /// True where something of the tenant waits.
    pub(crate) fn has_of(&self, tenant: &str) -> bool {
        self.lanes.iter().any(|lane| lane.tenant == tenant && !lane.pieces.is_empty())
    }

    /// How many tenants wait.
    pub(crate) fn tenants(&self) -> usize {
        self.lanes.iter().filter(|lane| !lane.pieces.is_empty()).count()
    }

    /// Queues a piece behind those of its tenant. A tenant that has had no turn yet is next.
    pub(crate) fn push(&mut self, piece: Piece) {
        self.tasks += piece.inputs.count();
        match self.lanes.iter_mut().find(|lane| lane.tenant == piece.spec.tenant) {
            Some(lane) => lane.pieces.push_back(piece),
            None => {
                let tenant = piece.spec.tenant.clone();
                self.lanes.push_front(Lane { tenant, pieces: VecDeque::from([piece]) });
            }
        }
    }

    /// The piece from which the next sub-batch is cut.
    pub(crate) fn front(&self) -> Option<&Piece> {
        self.lanes.iter().find_map(|lane| lane.pieces.front())
    }

    /// Cuts the next `count` tasks off, or fewer where their inputs are large or the piece ends;
    /// then it is the next tenant's turn.
    pub(crate) fn pop(&mut self, count: u64) -> Option<Piece> {
        let idle = self.lanes.iter().take_while(|lane| lane.pieces.is_empty()).count();
        self.lanes.drain(..idle);
        let mut lane = self.lanes.pop_front()?;
        let popped = lane.pop(count);
        self.lanes.push_back(lane);
        if self.lanes.len() > LANES_MAX {
            let idle = self.lanes.iter().position(|lane| lane.pieces.is_empty());
            idle.and_then(|place| self.lanes.remove(place));
        }
        self.tasks -= popped.as_ref().map_or(0, |piece| piece.tasks().count);
        popped
    }

    /// Takes out what `which` wants, into `taken`.
    pub(super) fn take(&mut self, which: &Which<'_>, taken: &mut Vec<Piece>) {
        let before = taken.len();
        for lane in &mut self.lanes {
            for piece in core::mem::take(&mut lane.pieces) {
                which.take(piece, taken, |rest| lane.pieces.push_back(rest));
            }
        }
        let counts = taken.iter().skip(before).map(|piece| piece.tasks().count);
        self.tasks -= counts.sum::<u64>();
    }
}

impl Lane {
    fn pop(&mut self, count: u64) -> Option<Piece> {
        let front = self.pieces.front_mut()?;
        let tasks = front.tasks();
        let count = front.fitting(count.clamp(1, tasks.count.max(1)));
        if count >= tasks.count {
            return self.pieces.pop_front();
        }
        let rest = TaskRange { first: tasks.first + count, count: tasks.count - count };
        // The payload was checked against the lengths when the message was read.
        let (head, rest) =
            (front.part(TaskRange { first: tasks.first, count }).ok()?, front.part(rest).ok()?);
        *front = rest;
        Some(head)
    }
}
