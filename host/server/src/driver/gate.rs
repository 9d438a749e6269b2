//! Holds back what must not be seen before the records output before it are durable.

use std::collections::VecDeque;

use wasmgrid_core::RequestId;
use wasmgrid_proto::{JobId, WorkerId, wire::ApiError, wire::Reply};

use crate::{
    driver::cache::Place,
    journal::{Batch, Item},
    links::LinkId,
};

/// Uncommitted bytes at which the driver takes no more events: what a disk writes in a fraction
/// of a second, so that more would only wait longer.
const UNCOMMITTED_BYTES: usize = 64 << 20;

/// Uncommitted items at which the driver takes no more events: small records count too.
const UNCOMMITTED_ITEMS: usize = 65_536;

/// What waits for a commit.
#[derive(Debug)]
pub(crate) enum Gated {
    /// The answer to a client.
    Reply { request: RequestId, reply: Box<Result<Reply, ApiError>> },
    /// The answer to a worker's join.
    Joined { link: LinkId, worker: WorkerId },
    /// A worker may forget a batch of results.
    Acknowledge { worker: WorkerId, batch: u64 },
    /// A job's watchers may be told of it.
    JobChanged { job: JobId },
    /// A job's results before `end` may be sent.
    Visible { job: JobId, end: u64 },
    /// A log may be read: all of it that was there is durable.
    Walk { number: u64 },
    /// A segment may be read: it was perhaps not committed when it was found to be missing.
    Load { place: Place },
    /// The store may be measured.
    Measure,
}

/// The records that are not committed, and what waits for them. Batches are numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    building: Vec<Item>,
    /// Batches that were taken to be committed; the one being built is the next.
    taken: u64,
    committed: u64,
    /// Of each batch that is taken and not committed: number, items, bytes.
    in_flight: VecDeque<(u64, usize, usize)>,
    items: usize,
    bytes: usize,
    waiting: VecDeque<(u64, Gated)>,
}

impl Gate {
    /// Adds to the batch being built.
    pub(crate) fn persist(&mut self, item: Item) {
        self.items += 1;
        self.bytes += item.bytes();
        self.building.push(item);
    }

    /// Holds `gated` back until all that was persisted before is committed.
    pub(crate) fn hold(&mut self, gated: Gated) {
        let needs = if self.building.is_empty() { self.taken } else { self.taken + 1 };
        self.waiting.push_back((needs, gated));
    }

    /// The next that waits for nothing any more.
    pub(crate) fn release(&mut self) -> Option<Gated> {
        self.waiting.pop_front_if(|(needs, _)| *needs <= self.committed).map(|(_, gated)| gated)
    }

    /// Takes the batch that was built; `None` where it is empty.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        if self.building.is_empty() {
            return None;
        }
        let items = std::mem::take(&mut self.building);
        self.taken += 1;
        let bytes = items.iter().map(Item::bytes).sum();
        self.in_flight.push_back((self.taken, items.len(), bytes));
        Some(Batch { number: self.taken, items })
    }

    /// All batches up to `number` are committed.
    pub(crate) fn committed(&mut self, number: u64) {
        self.committed = self.committed.max(number);
        while let Some((_, items, bytes)) =
            self.in_flight.pop_front_if(|(taken, ..)| *taken <= number)
        {
            self.items = self.items.saturating_sub(items);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// True where no more should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= UNCOMMITTED_BYTES || self.items >= UNCOMMITTED_ITEMS
    }

    /// True where everything is committed.
    pub(crate) fn is_settled(&self) -> bool {
        self.building.is_empty() && self.in_flight.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::Record;

    use super::*;

    fn record() -> Item {
        Item::Record(Record::InputsClosed { job: JobId(1) })
    }

    fn changed(job: u64) -> Gated {
        Gated::JobChanged { job: JobId(job) }
    }

    fn released(gate: &mut Gate) -> Vec<u64> {
        std::iter::from_fn(|| gate.release())
            .map(|gated| match gated {
                Gated::JobChanged { job } => job.0,
                other => panic!("not held here: {other:?}"),
            })
            .collect()
    }

    #[test]
    fn what_follows_a_record_waits_for_the_commit_with_it() {
        let mut gate = Gate::default();
        gate.hold(changed(1));
        gate.persist(record());
        gate.hold(changed(2));
        let first = gate.take().expect("one record");
        gate.persist(record());
        gate.hold(changed(3));
        assert_eq!(released(&mut gate), [1]);
        gate.committed(first.number);
        assert_eq!(released(&mut gate), [2]);
        let second = gate.take().expect("one record");
        gate.hold(changed(4));
        gate.committed(second.number);
        assert_eq!(released(&mut gate), [3, 4]);
        assert!(gate.is_settled());
    }

    #[test]
    fn a_gate_with_too_much_uncommitted_is_full_until_it_is_committed() {
        let mut gate = Gate::default();
        for _ in 0..UNCOMMITTED_ITEMS {
            gate.persist(record());
        }
        assert!(gate.is_full());
        let batch = gate.take().expect("records");
        assert!(gate.is_full());
        gate.committed(batch.number);
        assert!(!gate.is_full());
    }
}
