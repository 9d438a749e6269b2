//! Leases that wait for a slot. A lease is cut into sub-batches as slots ask for work, so that
//! all slots share it. Tenants take turns: how much of each is here is the scheduler's to say, and
//! none waits for all that another has here.

use alloc::{collections::VecDeque, string::String, vec::Vec};

use wasmgrid_proto::TaskRange;

use super::piece::{Piece, Which};

/// Tenants of whom it is known that they had a turn, where some of them have nothing here.
const LANES_MAX: usize = 64;

/// Pieces, by tenant.
#[derive(Debug, Default)]
pub(crate) struct PieceQueue {
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

impl PieceQueue {
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
