//! Asking tasks back that have not begun: for slots that are free elsewhere, and of workers that are
//! to be emptied.

use alloc::vec::Vec;

use wasmgrid_proto::{LeaseId, WorkerId};

use super::{grid::Grid, place::part};
use crate::{
    io::Output,
    placement::{ANY, Lease, Queue, Worker},
    timers::Timer,
};

/// Work that ends within this is not worth asking back: the question takes about as long.
const STEAL_MIN_NS: u64 = 2_000_000;

/// Workers that are looked at for tasks to ask back, and jobs and leases of each: where the first
/// of them have nothing that a free slot could run, it costs this much to see it.
const VICTIMS_MAX: usize = 4;
const JOBS_MAX: usize = 64;
const LEASES_MAX: usize = 256;

impl Grid {
    /// Slots are free that nothing fits which waits: asks a worker with many unstarted tasks for
    /// the part of them that the free slots are of all. Where nothing is found, nothing is looked
    /// for until that may have changed.
    pub(crate) fn steal(&mut self) {
        let victims: Vec<WorkerId> = self.fleet.richest().take(VICTIMS_MAX).collect();
        self.fleet.worth_stealing = victims.into_iter().any(|victim| self.steal_from(victim));
    }

    /// Says whether it asked for anything.
    fn steal_from(&mut self, victim: WorkerId) -> bool {
        let Some(worker) = self.fleet.get(victim).filter(|worker| self.is_loaded(worker)) else {
            return false;
        };
        let (surplus, slots) = (worker.surplus(), worker.slots());
        let newest: Vec<LeaseId> = worker.leases.iter().rev().take(LEASES_MAX).collect();
        let free = self.fleet.free_slots(ANY);
        let wanted = part(surplus, free, free.saturating_add(slots));
        let mut taken = 0;
        for id in newest {
            if taken >= wanted {
                break;
            }
            let Some(lease) = self.leases.get(id) else { continue };
            let Some(queue) = self.queues.get(&lease.job) else { continue };
            let (demand, avoided) = (queue.demand, self.avoided_by(lease, queue));
            let next = self.fleet.roomiest_but(demand, &avoided);
            if next.is_none_or(|(standing, _)| standing.busy) {
                continue;
            }
            let free = self.fleet.free_slots(demand.class);
            let most = part(surplus, free, free.saturating_add(slots)).saturating_sub(taken);
            let count = lease.tasks.len().min(most);
            if count > 0 {
                self.revoke(id, count);
                taken += count;
            }
        }
        taken > 0
    }

    /// The workers that the tasks of a lease would not be given to.
    fn avoided_by(&self, lease: &Lease, queue: &Queue) -> Vec<WorkerId> {
        let entry = self.ledger.job(lease.job).filter(|_| lease.attempt > 1);
        let first = lease.tasks.iter().next().map(|tasks| tasks.first);
        let lost_by = entry.zip(first).map(|(entry, first)| entry.lost_by(first));
        let avoided = self.avoided(&queue.tenant, queue.demand, &lost_by.unwrap_or_default());
        self.kept_from(queue, avoided)
    }

    /// True where a worker has work that is worth asking for.
    fn is_loaded(&self, worker: &Worker) -> bool {
        let least = STEAL_MIN_NS.saturating_mul(worker.slots());
        let mut work = 0_u64;
        worker.jobs().take(JOBS_MAX).any(|(job, held)| {
            let queue = self.queues.get(&job);
            work = work.saturating_add(queue.map_or(0, |queue| queue.work_ns(held.tasks)));
            work >= least
        })
    }

    /// Asks back the last `count` tasks of a lease.
    pub(crate) fn revoke(&mut self, id: LeaseId, count: u64) {
        let Some(lease) = self.leases.get_mut(id) else { return };
        let (job, worker, tasks) = (lease.job, lease.worker, lease.tasks.last(count));
        tasks.iter().for_each(|part| lease.asked.insert(*part));
        let now = self.now;
        if let Some(worker) = self.fleet.get_mut(worker) {
            if worker.asked.is_empty() {
                worker.asked_at = now;
            }
            worker.asked.insert(id, tasks.iter().map(|part| part.count).sum());
        }
        self.watch_answer(worker);
        self.refresh_worker(worker);
        self.output(Output::Revoke { worker, job, lease: id, tasks });
    }

    /// Asks back all that a worker has not begun.
    pub(crate) fn revoke_all(&mut self, worker: WorkerId) {
        for lease in self.leases_of(worker) {
            self.revoke(lease, u64::MAX);
        }
    }

    fn watch_answer(&mut self, id: WorkerId) {
        let timeout = self.config.answer_timeout;
        if let Some(worker) = self.fleet.get_mut(id)
            && !core::mem::replace(&mut worker.answer_watched, true)
        {
            self.timers.set(worker.asked_at.after(timeout), Timer::Answer(id));
        }
    }

    /// A worker that was asked for tasks and does not answer has begun them, for all that is
    /// known: they stay where they are, and it is not asked again until it answers something.
    pub(crate) fn check_answer(&mut self, id: WorkerId) {
        let (now, timeout) = (self.now, self.config.answer_timeout);
        let Some(worker) = self.fleet.get_mut(id) else { return };
        worker.answer_watched = false;
        if worker.asked.is_empty() {
            return;
        }
        if worker.asked_at.after(timeout) > now {
            return self.watch_answer(id);
        }
        worker.asked.clear();
        worker.mute = true;
        self.refresh_worker(id);
    }
}
