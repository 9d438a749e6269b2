//! Who has which tasks: every lease is in the books of its job and of its worker, and these
//! functions are the only ones that write there.

use alloc::{vec, vec::Vec};

use wasmgrid_proto::{JobId, LeaseId, TaskRange, WorkerId};

use super::grid::Grid;
use crate::{
    io::Grant,
    placement::{Lease, Recall, Worker},
    proof::Given,
    ranges::RangeSet,
};

impl Grid {
    /// Gives a worker a run of tasks.
    pub(crate) fn grant(
        &mut self,
        worker: WorkerId,
        job: JobId,
        (attempt, tasks): (u32, TaskRange),
    ) -> Grant {
        let lease = self.leases.next_id();
        let set = RangeSet::from_iter([tasks]);
        let (asked, charged_ns) = (RangeSet::default(), self.charge(job, tasks.count));
        if let Some(queue) = self.queues.get_mut(&job)
            && tasks.first < queue.recovered
        {
            queue.given.insert(tasks);
        }
        let given = self.fleet.get(worker).map_or(self.now, |to| to.time(self.now));
        self.book(
            lease,
            Lease {
                job,
                worker,
                attempt,
                charged_ns,
                tasks: set,
                asked,
                given,
                recall: Recall::No,
            },
        );
        self.watch_overdue(worker);
        self.note_trial(worker, job, lease);
        let tenant = self.queues.get(&job).map_or("", |queue| &*queue.tenant);
        let proof = self.key.prove(lease, tasks, Given { worker, job, tenant, attempt });
        Grant { lease, attempt, tasks, proof }
    }

    /// Charges a job's tenant for tasks that it is given; returns for how much each.
    pub(crate) fn charge(&mut self, job: JobId, tasks: u64) -> u64 {
        let Some(queue) = self.queues.get(&job) else { return 0 };
        let cost = queue.cost_ns();
        self.shares.charge(&queue.tenant, tasks, tasks.saturating_mul(cost));
        cost
    }

    /// Enters a lease into the books.
    pub(crate) fn book(&mut self, id: LeaseId, lease: Lease) {
        let count = lease.tasks.len();
        if let Some(queue) = self.queues.get_mut(&lease.job) {
            queue.leases.insert(id);
            queue.leased += count;
            if let Some(worker) = self.fleet.get_mut(lease.worker) {
                let weight = queue.weight(worker.slots(), &self.config);
                worker.add(lease.job, id, count, weight);
            }
        }
        self.leases.insert(id, lease);
    }

    /// Takes tasks back from a lease, as far as they are in it.
    pub(crate) fn take_back(&mut self, id: LeaseId, tasks: &[TaskRange]) -> Vec<TaskRange> {
        let taken = self.leases.take_back(id, tasks);
        self.settle_lease(id, taken.iter().map(|part| part.count).sum(), 0);
        taken
    }

    /// Takes all of a lease back.
    pub(crate) fn take_back_all(&mut self, id: LeaseId) -> Vec<TaskRange> {
        let all = vec![TaskRange::ALL];
        self.take_back(id, &all)
    }

    /// Brings the books up to date after `count` tasks left a lease, which ends with its last.
    /// They took so much of a slot's time; those that did not run took none.
    pub(crate) fn settle_lease(&mut self, id: LeaseId, count: u64, took_ns: u64) {
        let Some(lease) = self.leases.get(id) else { return };
        let (job, worker, last) = (lease.job, lease.worker, lease.tasks.is_empty());
        let slots = self.fleet.get(worker).map_or(0, Worker::slots);
        let weight = self.queues.get_mut(&job).map(|queue| {
            queue.leased = queue.leased.saturating_sub(count);
            if last {
                queue.leases.remove(id);
            }
            let charged_ns = lease.charged_ns.saturating_mul(count);
            self.shares.settle(&queue.tenant, count, charged_ns, took_ns);
            queue.weight(slots, &self.config)
        });
        if let Some(worker) = self.fleet.get_mut(worker) {
            worker.subtract(job, (id, last), count, weight);
        }
        if last {
            self.leases.remove(id);
        }
        self.refresh_worker(worker);
    }

    /// Brings the order of placement up to date with a worker.
    pub(crate) fn refresh_worker(&mut self, worker: WorkerId) {
        self.fleet.refresh(worker, self.shares.waiting() > 1);
    }

    /// Brings the order of jobs up to date with a job.
    pub(crate) fn refresh_job(&mut self, job: JobId) {
        let Some(queue) = self.queues.get_mut(&job) else { return };
        let ready = queue.is_ready();
        if core::mem::replace(&mut queue.listed, ready) != ready {
            self.shares.set_ready(&queue.tenant, (queue.demand, queue.rank, job), ready);
        }
        if queue.has_suspects() {
            self.suspects.insert(job);
        } else if !self.suspects.is_empty() {
            self.suspects.remove(&job);
        }
        if queue.has_lost() {
            self.lost.insert(job);
        } else if !self.lost.is_empty() {
            self.lost.remove(&job);
        }
    }
}
