//! How tasks are given to workers and taken back, and what everybody is told of it.

use alloc::vec::Vec;

use wasmgrid_proto::{JobId, LeaseId, TaskRange, WorkerId};

use super::grid::Grid;
use crate::{
    io::{NewLease, Output},
    placement::{Booking, Watch},
    proof::Given,
    ranges::RangeSet,
    timers::Timer,
};

impl Grid {
    /// Gives a worker a run of tasks, which it must run `alone` or with others.
    pub(super) fn grant(
        &mut self,
        worker: WorkerId,
        job: JobId,
        (attempt, tasks): (u32, TaskRange),
        alone: bool,
    ) -> NewLease {
        let lease = self.placement.next_lease();
        let set = RangeSet::from_iter([tasks]);
        let booking = Booking { job, worker, attempt, tasks: set, alone };
        self.placement.book(lease, booking, self.now, &self.config);
        self.tally.grant(tasks.count);
        self.watch_overdue(worker);
        self.note_trial(worker, job, lease);
        let tenant = self.placement.tenant(job).map_or("", |tenant| tenant);
        let proof = self.key.prove(lease, tasks, Given { worker, job, tenant, attempt });
        NewLease { lease, attempt, tasks, proof }
    }

    /// Takes tasks back from a lease, as far as they are in it.
    pub(super) fn take_back(&mut self, id: LeaseId, tasks: &[TaskRange]) -> Vec<TaskRange> {
        self.placement.take_back(id, tasks, &self.config)
    }

    /// Asks back the last `count` tasks of a lease.
    pub(super) fn revoke(&mut self, id: LeaseId, count: u64) {
        let asked = self.placement.ask_back(id, count, self.now);
        let Some((job, worker, tasks)) = asked else { return };
        self.watch_answer(worker);
        self.output(Output::Revoke { worker, job, lease: id, tasks });
    }

    /// Asks back all that a worker has not begun.
    pub(super) fn revoke_all(&mut self, worker: WorkerId) {
        for lease in self.placement.leases_of(worker) {
            self.revoke(lease, u64::MAX);
        }
    }

    fn watch_answer(&mut self, id: WorkerId) {
        let asked_at = self.placement.worker(id).and_then(|worker| worker.asked_at());
        if let Some(asked_at) = asked_at
            && self.placement.seen_mut(id).is_some_and(|seen| seen.watch(Watch::Answer))
        {
            self.timers.set(asked_at.after(self.config.answer_timeout), Timer::Answer(id));
        }
    }

    /// A worker that was asked for tasks and does not answer has begun them, for all that is
    /// known: they stay where they are, and it is not asked again until it answers something.
    pub(super) fn check_answer(&mut self, id: WorkerId) {
        let Some(seen) = self.placement.seen_mut(id) else { return };
        seen.unwatch(Watch::Answer);
        let asked_at = self.placement.worker(id).and_then(|worker| worker.asked_at());
        match asked_at.map(|at| at.after(self.config.answer_timeout)) {
            None => {}
            Some(due) if due > self.now => self.watch_answer(id),
            Some(_) => {
                self.placement.change_worker(id, |worker| worker.silence());
            }
        }
    }
}
