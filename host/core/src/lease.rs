//! Leases: who may commit which attempt of which tasks.

use alloc::{collections::BTreeMap, vec::Vec};

use wasmgrid_proto::{Epoch, JobId, LeaseId, TaskRange, WorkerId};

use crate::ranges::RangeSet;

/// Bits of a lease's number that count within one epoch; the epoch stands above them, so that
/// numbers never repeat and only grow. 2^40 leases are 9 years at 4,000 a second.
const COUNT_BITS: u32 = 40;

/// The right to commit one attempt of some tasks.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) job: JobId,
    pub(crate) worker: WorkerId,
    pub(crate) attempt: u32,
    /// What its tenant was charged with for each task; the rest is settled as tasks leave.
    pub(crate) charged_ns: u64,
    /// The tasks that are not ended nor given back.
    pub(crate) tasks: RangeSet,
    /// The tasks that were asked back. They come back in any number of messages, some after a
    /// worker's slots were asked, and others not at all because they had begun.
    pub(crate) asked: RangeSet,
}

/// All leases of this scheduler.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    table: BTreeMap<LeaseId, Lease>,
    last: LeaseId,
}

impl Leases {
    /// From now on numbers are of this epoch.
    pub(crate) fn start(&mut self, epoch: Epoch) {
        self.last = LeaseId(epoch.0 << COUNT_BITS);
    }

    pub(crate) fn next_id(&mut self) -> LeaseId {
        self.last.0 += 1;
        self.last
    }

    pub(crate) fn insert(&mut self, id: LeaseId, lease: Lease) {
        self.table.insert(id, lease);
    }

    pub(crate) fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.table.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.table.get_mut(&id)
    }

    /// The lease, where it is this worker's for this attempt of this job.
    pub(crate) fn matching(
        &mut self,
        id: LeaseId,
        (job, worker, attempt): (JobId, WorkerId, u32),
    ) -> Option<&mut Lease> {
        self.table
            .get_mut(&id)
            .filter(|lease| (lease.job, lease.worker, lease.attempt) == (job, worker, attempt))
    }

    /// Takes tasks out of a lease, as far as they are in it.
    pub(crate) fn take_back(&mut self, id: LeaseId, tasks: &[TaskRange]) -> Vec<TaskRange> {
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

    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Lease> {
        self.table.remove(&id)
    }
}

/// The term in which a lease was given.
pub(crate) const fn epoch_of(lease: LeaseId) -> Epoch {
    Epoch(lease.0 >> COUNT_BITS)
}
