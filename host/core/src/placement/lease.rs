//! Leases: who may commit which attempt of which tasks.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use wasmgrid_proto::{Epoch, JobId, LeaseId, Micros, TaskRange, WorkerId};

use crate::{ranges::RangeSet, table::Table};

/// Bits of a lease's number that count within one epoch; the epoch stands above them, so that
/// numbers never repeat and only grow. 2^40 leases are 9 years at 4,000 a second.
const COUNT_BITS: u32 = 40;

/// The right to commit one attempt of some tasks.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) job: JobId,
    pub(super) worker: WorkerId,
    pub(super) attempt: u32,
    /// What its tenant was charged with for each task; the rest is settled as tasks leave.
    pub(super) charged_ns: u64,
    /// The tasks that are not ended nor given back.
    pub(super) tasks: RangeSet,
    /// The tasks that were asked back. They come back in any number of messages, some after a
    /// worker's slots were asked, and others not at all because they had begun.
    pub(super) asked: RangeSet,
    /// When it was given, by the worker's time.
    pub(super) given: WorkerTime,
    pub(super) recall: Recall,
}

impl Lease {
    pub(crate) const fn job(&self) -> JobId {
        self.job
    }

    pub(crate) const fn worker(&self) -> WorkerId {
        self.worker
    }

    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The tasks that are not ended nor given back.
    pub(crate) const fn tasks(&self) -> &RangeSet {
        &self.tasks
    }

    /// The tasks that were asked back.
    pub(crate) const fn asked(&self) -> &RangeSet {
        &self.asked
    }

    /// When it was given, by the worker's time.
    pub(crate) const fn given(&self) -> WorkerTime {
        self.given
    }

    pub(crate) const fn recall(&self) -> Recall {
        self.recall
    }
}

/// Whether a worker was asked for what it has not begun of a lease, because its tasks' time was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Recall {
    /// It was not.
    #[default]
    No,
    /// It was, at first then, and has not answered.
    Asked(WorkerTime),
    /// It answered then: what it kept had begun.
    Answered(WorkerTime),
}

/// When something happened to a worker, by the time in which it was heard.
pub(crate) type WorkerTime = Micros;

/// All leases of this scheduler.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    table: Table<LeaseId, Lease>,
    last: LeaseId,
}

impl Leases {
    /// From now on numbers are of this epoch.
    pub(super) fn start(&mut self, epoch: Epoch) {
        self.last = LeaseId(epoch.0 << COUNT_BITS);
    }

    pub(super) fn next_id(&mut self) -> LeaseId {
        self.last.0 += 1;
        self.last
    }

    pub(super) fn insert(&mut self, id: LeaseId, lease: Lease) {
        self.table.insert(id, lease);
    }

    pub(super) fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.table.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.table.get_mut(&id)
    }

    /// The lease, where it is this worker's for this attempt of this job.
    pub(super) fn matching(
        &mut self,
        id: LeaseId,
        (job, worker, attempt): (JobId, WorkerId, u32),
    ) -> Option<&mut Lease> {
        self.table
            .get_mut(&id)
            .filter(|lease| (lease.job, lease.worker, lease.attempt) == (job, worker, attempt))
    }

    /// Takes tasks out of a lease, as far as they are in it.
    pub(super) fn take_back(&mut self, id: LeaseId, tasks: &[TaskRange]) -> Vec<TaskRange> {
        let Some(lease) = self.table.get_mut(&id) else { return Vec::new() };
        let mut taken = Vec::new();
        for tasks in tasks {
            for part in lease.tasks.within(*tasks) {
                lease.tasks.remove(part);
                taken.push(part);
            }
        }
        taken
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.table.count()
    }

    pub(super) fn remove(&mut self, id: LeaseId) -> Option<Box<Lease>> {
        self.table.remove(&id)
    }
}

/// The numbers of some leases. Those that are near each other share an entry, and they come and go
/// at the ends mostly.
#[derive(Debug, Default)]
pub(crate) struct LeaseSet {
    /// Numbers without their last bits, rising, and which of those that differ there alone are in.
    words: VecDeque<(u64, u64)>,
}

impl LeaseSet {
    pub(crate) fn insert(&mut self, id: LeaseId) {
        let (number, bit) = word(id);
        match self.find(number) {
            Ok(at) => self.words.get_mut(at).into_iter().for_each(|(_, bits)| *bits |= bit),
            Err(at) => self.words.insert(at, (number, bit)),
        }
    }

    pub(crate) fn remove(&mut self, id: LeaseId) {
        let (number, bit) = word(id);
        if let Ok(at) = self.find(number)
            && let Some((_, bits)) = self.words.get_mut(at)
        {
            *bits &= !bit;
            if *bits == 0 {
                self.words.remove(at);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The numbers, rising.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = LeaseId> {
        self.words.iter().flat_map(|(number, bits)| {
            let set = (0..WORD).filter(move |bit| bits >> bit & 1 == 1);
            set.map(move |bit| LeaseId(number * WORD + bit))
        })
    }

    /// Where a word is, or where it belongs.
    fn find(&self, number: u64) -> Result<usize, usize> {
        match (self.words.front(), self.words.back()) {
            (Some((first, _)), _) if *first == number => Ok(0),
            (_, Some((last, _))) if *last < number => Err(self.words.len()),
            _ => self.words.binary_search_by_key(&number, |(number, _)| *number),
        }
    }
}

const WORD: u64 = u64::BITS as u64;

const fn word(id: LeaseId) -> (u64, u64) {
    (id.0 / WORD, 1 << (id.0 % WORD))
}

/// The term in which a lease was given.
pub(crate) const fn epoch_of(lease: LeaseId) -> Epoch {
    Epoch(lease.0 >> COUNT_BITS)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_set_of_leases_has_the_same_numbers_after_every_step() {
        let (mut set, mut model) = (LeaseSet::default(), BTreeSet::new());
        let mut state = 5_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..20_000 {
            let id = LeaseId((draw(3) << COUNT_BITS) + draw(200));
            if draw(2) == 0 {
                set.insert(id);
                model.insert(id);
            } else {
                set.remove(id);
                model.remove(&id);
            }
            assert!(set.iter().eq(model.iter().copied()));
            assert!(set.iter().rev().eq(model.iter().rev().copied()));
            assert_eq!(set.is_empty(), model.is_empty());
        }
    }
}
