//! Holds back what must not be seen before the records that were output before it are durable.

use std::collections::VecDeque;

use wasmgrid_core::RequestId;
use wasmgrid_proto::{JobId, LogRef, Micros, WorkerId, wire::ApiError, wire::Reply};

use super::{
    batch::{Batch, Item},
    io::LinkId,
};

/// Uncommitted bytes at which the driver takes no more events: what a disk writes in a fraction
/// of a second, so that more would only wait longer.
const UNCOMMITTED_BYTES: usize = 64 << 20;

/// Batches that are handed over and not committed; beyond it the next one grows. Each is one turn's,
/// so that this much is on its way to the disk already.
const BATCHES_MAX: usize = 64;

/// What waits for a commit.
#[derive(Debug)]
pub(super) enum Gated {
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
    LogScan { number: u64 },
    /// A segment may be read: it was perhaps not committed when it was found to be missing.
    Load { place: LogRef },
    /// Inputs may be read for a client: all that were there are durable.
    Inputs { link: LinkId },
    /// The store may be measured.
    Measure,
}

/// A batch that was taken to be committed.
#[derive(Debug)]
pub(super) struct HandedOver {
    number: u64,
    /// How many items it has.
    pub items: usize,
    /// About how many bytes.
    pub bytes: usize,
    /// When it was taken.
    pub at: Micros,
    /// The jobs of which clients asked for some of it, perhaps more than once.
    asked_of: Vec<JobId>,
}

/// The records that are not committed, and what waits for them. Batches are numbered from 1.
#[derive(Debug)]
pub(super) struct Gate {
    /// Uncommitted items at which the driver takes no more events: small records count too.
    items_max: usize,
    building: Vec<Item>,
    /// Batches that were taken to be committed; the one being built is the next.
    taken: u64,
    committed: u64,
    /// The batches that are taken and not committed.
    in_flight: VecDeque<HandedOver>,
    items: usize,
    bytes: usize,
    waiting: VecDeque<(u64, Gated)>,
}

impl Gate {
    /// With nothing in it.
    pub(super) fn new(items_max: usize) -> Self {
        let (building, in_flight, waiting) = (Vec::new(), VecDeque::new(), VecDeque::new());
        let (taken, committed, items, bytes) = (0, 0, 0, 0);
        Self { items_max, building, taken, committed, in_flight, items, bytes, waiting }
    }

    /// Adds to the batch being built.
    pub(super) fn persist(&mut self, item: Item) {
        self.items += 1;
        self.bytes += item.bytes();
        self.building.push(item);
    }

    /// Holds `gated` back until all that was persisted before is committed.
    pub(super) fn hold(&mut self, gated: Gated) {
        let needs = if self.building.is_empty() { self.taken } else { self.taken + 1 };
        self.waiting.push_back((needs, gated));
    }

    /// Takes the next output whose batch is committed. With `early`, a planted bug, also outputs that
    /// wait for the batch under construction.
    pub(super) fn release(&mut self, early: bool) -> Option<Gated> {
        let upto = if early { self.taken + 1 } else { self.committed };
        self.waiting.pop_front_if(|(needs, _)| *needs <= upto).map(|(_, gated)| gated)
    }

    /// Takes the batch that was built; `None` if it is empty, or has to wait for those before it.
    pub(super) fn take(&mut self, now: Micros) -> Option<Batch> {
        if self.in_flight.len() >= BATCHES_MAX { None } else { self.take_last(now) }
    }

    /// As [`Self::take`], however many are on their way.
    pub(super) fn take_last(&mut self, at: Micros) -> Option<Batch> {
        if self.building.is_empty() {
            return None;
        }
        let items = std::mem::take(&mut self.building);
        self.taken += 1;
        let bytes = items.iter().map(Item::bytes).sum();
        let mut asked_of: Vec<JobId> = items.iter().filter_map(Item::asked_of).collect();
        asked_of.dedup();
        let number = self.taken;
        self.in_flight.push_back(HandedOver { number, items: items.len(), bytes, at, asked_of });
        Some(Batch { number, items })
    }

    /// All batches up to `number` are committed: those that were not before.
    pub(super) fn committed(&mut self, number: u64) -> impl Iterator<Item = HandedOver> {
        self.committed = self.committed.max(number);
        let count = self.in_flight.partition_point(|batch| batch.number <= number);
        for HandedOver { items, bytes, .. } in self.in_flight.iter().take(count) {
            self.items = self.items.saturating_sub(*items);
            self.bytes = self.bytes.saturating_sub(*bytes);
        }
        self.in_flight.drain(..count)
    }

    /// How many items are not committed, and about how many bytes they have.
    pub(super) const fn uncommitted(&self) -> (usize, usize) {
        (self.items, self.bytes)
    }

    /// True if something is not committed that a client asked of a job. It looks at all that is not.
    pub(super) fn is_asked_of(&self, job: JobId) -> bool {
        self.in_flight.iter().any(|batch| batch.asked_of.contains(&job))
            || self.building.iter().any(|item| item.asked_of() == Some(job))
    }

    /// Takes out what `leaves` of all that waits: the place of each, counted among those that are
    /// left before it.
    pub(super) fn take_out(
        &mut self,
        leaves: impl Fn(&Self, &Gated) -> bool,
    ) -> Vec<(usize, Gated)> {
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for (needs, gated) in std::mem::take(&mut self.waiting) {
            if leaves(self, &gated) {
                taken.push((left.len(), gated));
            } else {
                left.push_back((needs, gated));
            }
        }
        self.waiting = left;
        taken
    }

    /// True where no more should be added.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= UNCOMMITTED_BYTES || self.items >= self.items_max
    }

    /// True where everything is committed.
    pub(super) fn is_settled(&self) -> bool {
        self.building.is_empty() && self.in_flight.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{JobState, Micros, Record};

    use super::*;

    const ITEMS_MAX: usize = 1_000;
    const NOW: Micros = Micros(1);

    fn record() -> Item {
        Item::Record(Record::InputsClosed { job: JobId(1) })
    }

    fn changed(job: u64) -> Gated {
        Gated::JobChanged { job: JobId(job) }
    }

    fn released(gate: &mut Gate) -> Vec<u64> {
        std::iter::from_fn(|| gate.release(false))
            .map(|gated| match gated {
                Gated::JobChanged { job } => job.0,
                other => panic!("not held here: {other:?}"),
            })
            .collect()
    }

    #[test]
    fn what_follows_a_record_waits_for_the_commit_with_it() {
        let mut gate = Gate::new(ITEMS_MAX);
        gate.hold(changed(1));
        gate.persist(record());
        gate.hold(changed(2));
        let first = gate.take(NOW).expect("one record");
        gate.persist(record());
        gate.hold(changed(3));
        assert_eq!(released(&mut gate), [1]);
        assert_eq!(gate.committed(first.number).count(), 1);
        assert_eq!(released(&mut gate), [2]);
        let second = gate.take(NOW).expect("one record");
        gate.hold(changed(4));
        assert_eq!(gate.committed(second.number).count(), 1, "no batch is counted twice");
        assert_eq!(released(&mut gate), [3, 4]);
        assert!(gate.is_settled());
    }

    #[test]
    fn batches_grow_while_many_are_on_their_way() {
        let mut gate = Gate::new(ITEMS_MAX);
        for _ in 0..BATCHES_MAX {
            gate.persist(record());
            gate.take(NOW).expect("one record");
        }
        gate.persist(record());
        assert!(gate.take(NOW).is_none());
        gate.persist(record());
        assert_eq!(gate.committed(1).count(), 1);
        assert_eq!(gate.take(NOW).expect("both").items.len(), 2);
        gate.persist(record());
        assert!(gate.take(NOW).is_none());
        assert_eq!(gate.take_last(NOW).expect("the last").items.len(), 1);
    }

    #[test]
    fn something_is_asked_of_a_job_until_all_of_it_is_committed() {
        let mut gate = Gate::new(ITEMS_MAX);
        assert!(!gate.is_asked_of(JobId(1)));
        gate.persist(record());
        assert!(gate.is_asked_of(JobId(1)) && !gate.is_asked_of(JobId(2)));
        let first = gate.take(NOW).expect("one record");
        gate.persist(record());
        let second = gate.take(NOW).expect("one record");
        assert_eq!(gate.committed(first.number).count(), 1);
        assert!(gate.is_asked_of(JobId(1)));
        assert_eq!(gate.committed(second.number).count(), 1);
        assert!(!gate.is_asked_of(JobId(1)));
    }

    #[test]
    fn what_workers_did_is_asked_of_no_job() {
        let mut gate = Gate::new(ITEMS_MAX);
        let (job, state, at) = (JobId(1), JobState::Ok, Micros(0));
        gate.persist(Item::Record(Record::JobEnded { job, state, at }));
        assert!(!gate.is_asked_of(job));
    }

    #[test]
    fn what_is_taken_out_leaves_the_others_in_order() {
        let mut gate = Gate::new(ITEMS_MAX);
        gate.persist(record());
        (1..=4).for_each(|job| gate.hold(changed(job)));
        let even = |gated: &Gated| matches!(gated, Gated::JobChanged { job } if job.0 % 2 == 0);
        let taken = gate.take_out(|_, gated| even(gated));
        assert_eq!(taken.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(released(&mut gate), []);
        let batch = gate.take(NOW).expect("one record");
        assert_eq!(gate.committed(batch.number).count(), 1);
        assert_eq!(released(&mut gate), [1, 3]);
    }

    #[test]
    fn a_gate_with_too_much_uncommitted_is_full_until_it_is_committed() {
        let mut gate = Gate::new(ITEMS_MAX);
        for _ in 0..ITEMS_MAX {
            gate.persist(record());
        }
        assert!(gate.is_full());
        let batch = gate.take(NOW).expect("records");
        assert!(gate.is_full());
        assert_eq!(gate.committed(batch.number).map(|batch| batch.items).sum::<usize>(), ITEMS_MAX);
        assert!(!gate.is_full());
        assert_eq!(gate.uncommitted(), (0, 0));
    }
}
