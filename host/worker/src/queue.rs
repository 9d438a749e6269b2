//! Leases that wait for a slot. A lease is cut into sub-batches as slots ask for work, so that
//! all slots share it.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use wasmgrid_proto::{
    InputBlock, JobId, LeaseId, SegmentError, TaskRange, TaskSpec, wire::LeaseGrant,
};

use crate::ranges::overlap;

/// Input bytes of one sub-batch, unless a single input is larger: what a slot's socket takes
/// without a wait.
const BATCH_BYTES: u64 = 1 << 20;

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

/// Pieces in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pieces: VecDeque<Piece>,
    tasks: u64,
}

impl Piece {
    /// One lease of an assignment.
    pub(crate) fn new(job: JobId, spec: Arc<TaskSpec>, grant: LeaseGrant, payload: Bytes) -> Self {
        let LeaseGrant { lease, attempt, first, inputs } = grant;
        Self { job, lease, attempt, spec, first, inputs, payload }
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
        wanted: Vec<TaskRange>,
        taken: &mut Vec<Self>,
        mut keep: impl FnMut(Self),
    ) {
        let mut rest = self.tasks();
        let mut wanted: Vec<_> =
            wanted.into_iter().filter_map(|range| overlap(self.tasks(), range)).collect();
        wanted.sort_unstable();
        let mut keep = |tasks: TaskRange| {
            if tasks.count > 0 {
                self.part(tasks).into_iter().for_each(&mut keep);
            }
        };
        for range in wanted {
            // Ranges that were named twice are taken once.
            let Some(range) = overlap(rest, range) else { continue };
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

    /// The pieces, the next first.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    pub(crate) fn push(&mut self, piece: Piece) {
        self.tasks += piece.inputs.count();
        self.pieces.push_back(piece);
    }

    /// The piece from which the next sub-batch is cut.
    pub(crate) fn front(&self) -> Option<&Piece> {
        self.pieces.front()
    }

    /// Cuts the next `count` tasks off, or fewer where their inputs are large or the piece ends.
    pub(crate) fn pop(&mut self, count: u64) -> Option<Piece> {
        let front = self.pieces.front_mut()?;
        let tasks = front.tasks();
        let count = front.fitting(count.clamp(1, tasks.count.max(1)));
        if count >= tasks.count {
            self.tasks -= tasks.count;
            return self.pieces.pop_front();
        }
        let rest = TaskRange { first: tasks.first + count, count: tasks.count - count };
        // The payload was checked against the lengths when the message was read.
        let (head, rest) =
            (front.part(TaskRange { first: tasks.first, count }).ok()?, front.part(rest).ok()?);
        *front = rest;
        self.tasks -= count;
        Some(head)
    }

    /// Takes out the pieces that `of` names, or the parts of them within the tasks it gives.
    pub(crate) fn take(&mut self, of: impl Fn(&Piece) -> Option<Vec<TaskRange>>) -> Vec<Piece> {
        let mut taken = Vec::new();
        for piece in std::mem::take(&mut self.pieces) {
            let Some(wanted) = of(&piece) else {
                self.pieces.push_back(piece);
                continue;
            };
            piece.split(wanted, &mut taken, |rest| self.pieces.push_back(rest));
        }
        self.tasks -= taken.iter().map(|piece| piece.tasks().count).sum::<u64>();
        taken
    }
}
