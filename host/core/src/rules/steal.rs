//! Asking tasks back that have not begun, for slots that are free elsewhere.

use alloc::vec::Vec;

use wasmgrid_proto::{LeaseId, WorkerId, pace::STEAL_MIN_US};

use super::{grid::Grid, place::part};
use crate::placement::{ANY, Lease, Queue, Worker};

/// Workers that are looked at for tasks to ask back, and jobs and leases of each: where the first
/// of them have nothing that a free slot could run, it costs this much to see it.
const VICTIMS_MAX: usize = 4;
const JOBS_MAX: usize = 64;
const LEASES_MAX: usize = 256;

impl Grid {
    /// Slots are free that nothing fits which waits: asks a worker with many unstarted tasks for
    /// the part of them that the free slots are of all. Where nothing is found, nothing is looked
    /// for until that may have changed.
    pub(super) fn steal(&mut self) {
        let victims: Vec<WorkerId> = self.placement.richest().take(VICTIMS_MAX).collect();
        let found = victims.into_iter().any(|victim| self.steal_from(victim));
        self.placement.set_worth_stealing(found);
    }

    /// Says whether it asked for anything.
    fn steal_from(&mut self, victim: WorkerId) -> bool {
        let Some(worker) = self.placement.worker(victim).filter(|worker| self.is_loaded(worker))
        else {
            return false;
        };
        let (surplus, slots) = (worker.surplus(), worker.slots());
        let newest: Vec<LeaseId> = worker.leases().iter().rev().take(LEASES_MAX).collect();
        let free = self.placement.fleet().free_slots(ANY);
        let wanted = part(surplus, free, free.saturating_add(slots));
        let mut taken = 0;
        for id in newest {
            if taken >= wanted {
                break;
            }
            let Some(lease) = self.placement.lease(id) else { continue };
            let Some(queue) = self.placement.queue(lease.job()) else { continue };
            let (demand, avoided) = (queue.demand(), self.avoided_by(lease, queue));
            let next = self.placement.fleet().roomiest_but(demand, &avoided);
            if next.is_none_or(|(standing, _)| standing.busy) {
                continue;
            }
            let free = self.placement.fleet().free_slots(demand.class);
            let most = part(surplus, free, free.saturating_add(slots)).saturating_sub(taken);
            let count = lease.tasks().len().min(most);
            if count > 0 {
                self.revoke(id, count);
                taken += count;
            }
        }
        taken > 0
    }

    /// The workers that the tasks of a lease would not be given to.
    fn avoided_by(&self, lease: &Lease, queue: &Queue) -> Vec<WorkerId> {
        let entry = self.ledger.job(lease.job()).filter(|_| lease.attempt() > 1);
        let first = lease.tasks().iter().next().map(|tasks| tasks.first);
        let lost_by = entry.zip(first).map(|(entry, first)| entry.lost_by(first));
        let avoided = self.avoided(queue.tenant(), queue.demand(), &lost_by.unwrap_or_default());
        self.kept_from(queue, avoided)
    }

    /// True where a worker has work that is worth asking for.
    fn is_loaded(&self, worker: &Worker) -> bool {
        let least = (STEAL_MIN_US * 1_000).saturating_mul(worker.slots());
        let mut work = 0_u64;
        worker.jobs().take(JOBS_MAX).any(|(job, held)| {
            let queue = self.placement.queue(job);
            work = work.saturating_add(queue.map_or(0, |queue| queue.work_ns(held.tasks)));
            work >= least
        })
    }
}
