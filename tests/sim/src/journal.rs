//! What waits for a commit, as in `host/server`: what was output behind records is done once they
//! are durable.

use std::collections::VecDeque;

use wasmgrid_core::RequestId;
use wasmgrid_proto::{
    JobId, WorkerId,
    wire::{ApiError, Reply},
};

use crate::{disk::Item, net::LinkId};

/// Writes that wait for the journal's thread.
const WRITES_QUEUED: usize = 64;

/// What waits.
#[derive(Debug)]
pub enum Gated {
    /// The answer to a client.
    Reply(RequestId, Box<Result<Reply, ApiError>>),
    /// The answer to a worker's join.
    Joined(LinkId),
    /// A worker may forget a batch.
    Acknowledge(WorkerId, u64),
    /// A job's watchers may be told of it.
    JobChanged(JobId),
    /// A job's results before this cursor may be sent.
    Visible(JobId, u64),
}

/// See the module's text. Batches are numbered from 1.
#[derive(Debug, Default)]
pub struct Gate {
    building: Vec<Item>,
    taken: u64,
    committed: u64,
    /// Taken and not committed: number, items.
    in_flight: VecDeque<(u64, usize)>,
    items: usize,
    waiting: VecDeque<(u64, usize, Gated)>,
}

/// The journal's thread: whatever has come while the last commit was syncing is the next.
#[derive(Debug, Default)]
pub struct Journal {
    queue: VecDeque<(u64, Vec<Item>)>,
    writing: Option<u64>,
}

impl Gate {
    /// Adds to the batch being built.
    pub fn persist(&mut self, item: Item) {
        self.items += 1;
        self.building.push(item);
    }

    /// Holds back until all that was persisted before is committed; `records` is how long the
    /// journal was then.
    pub fn hold(&mut self, gated: Gated, records: usize) {
        let needs = self.taken + u64::from(!self.building.is_empty());
        self.waiting.push_back((needs, records, gated));
    }

    /// The next that waits for nothing any more, and how long the journal was when it was held.
    pub fn release(&mut self, early: bool) -> Option<(usize, Gated)> {
        let upto = if early { self.taken + 1 } else { self.committed };
        let next = self.waiting.pop_front_if(|(needs, ..)| *needs <= upto);
        next.map(|(_, records, gated)| (records, gated))
    }

    /// All batches up to `number` are committed.
    pub fn committed(&mut self, number: u64) {
        self.committed = self.committed.max(number);
        while let Some((_, items)) = self.in_flight.pop_front_if(|(taken, _)| *taken <= number) {
            self.items -= items;
        }
    }

    /// Gives the batch that was built to the journal, where that has room.
    pub fn hand_over(&mut self, journal: &mut Journal) {
        if self.building.is_empty() || journal.queue.len() >= WRITES_QUEUED {
            return;
        }
        let items = std::mem::take(&mut self.building);
        self.taken += 1;
        self.in_flight.push_back((self.taken, items.len()));
        journal.queue.push_back((self.taken, items));
    }

    /// Items that are not committed.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }
}

impl Journal {
    /// The next group to write, if none is being written.
    pub fn begin(&mut self) -> Option<Vec<Item>> {
        if self.writing.is_some() {
            return None;
        }
        self.writing = self.queue.back().map(|(number, _)| *number);
        self.writing?;
        Some(self.queue.drain(..).flat_map(|(_, items)| items).collect())
    }

    /// The group is durable; the number of its last batch.
    pub fn end(&mut self) -> Option<u64> {
        self.writing.take()
    }
}
