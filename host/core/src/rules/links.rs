//! Workers coming, going and falling silent, and what becomes of what they hold then.

use alloc::format;

use wasmgrid_proto::{LeaseId, Record, TaskRange, WorkerId, wire::Heartbeat};

use super::{claims::Claims, grid::Grid};
use crate::{
    io::Output,
    placement::{Lease, Watch, Worker},
    timers::Timer,
};

impl Grid {
    pub(super) fn worker_joined(&mut self, joined: Worker, claims: Claims) {
        let id = self.know(joined.name());
        match self.placement.worker(id) {
            Some(before) if before.link() >= joined.link() => {}
            Some(before) if before.is_linked() => self.contest(id, joined, claims),
            _ => self.admit(id, joined, &claims),
        }
    }

    /// A worker that joined gets the place of its name.
    pub(super) fn admit(&mut self, id: WorkerId, mut joined: Worker, claims: &Claims) {
        let link = joined.link();
        // It says so anew.
        self.forget_preparing(id);
        let before = self.placement.worker(id);
        let lived_on = before.is_some_and(|worker| worker.started() == joined.started());
        // Draining outlives a broken link and the scheduler, but not the process: one that comes anew takes tasks,
        // also where the end of the one before it was not seen yet.
        let draining = lived_on && before.is_some_and(|worker| worker.is_draining());
        let drained = self.ledger.drained(id);
        let draining = draining || drained == Some(joined.started());
        if drained.is_some_and(|process| process != joined.started()) {
            self.persist(Record::WorkerDrained { worker: id, process: None });
        }
        joined.set_orders(draining, self.ledger.is_cordoned(id));
        self.link(id, joined);
        self.output(Output::Joined { link, worker: id });
        if draining {
            self.output(Output::Drain { worker: id });
        }
        self.reconcile(id, claims, lived_on);
        self.ask_anew(id);
        if self.awaited.remove(&id) && self.awaited.is_empty() {
            self.recover();
        }
    }

    /// The worker's number; a new one where the name is new.
    fn know(&mut self, name: &str) -> WorkerId {
        if let Some(id) = self.ledger.worker(name) {
            return id;
        }
        let worker = self.ledger.next_worker();
        self.persist(Record::WorkerKnown { worker, name: name.into() });
        worker
    }

    /// Puts a joined worker in its place; its leases stay.
    fn link(&mut self, id: WorkerId, joined: Worker) {
        self.placement.join(id, joined);
        if self.placement.seen_mut(id).is_some_and(|seen| seen.watch(Watch::Silence)) {
            self.timers.set(self.now.after(self.config.worker_timeout), Timer::Silence(id));
        }
    }

    pub(super) fn worker_left(&mut self, id: WorkerId, link: u64, graceful: bool) {
        let is_current = |worker: &&Worker| worker.is_linked() && worker.link() == link;
        let Some(worker) = self.placement.worker(id).filter(is_current) else { return };
        let (now, has_tasks) = (self.now, !worker.leases().is_empty());
        self.placement.unlink(id, now);
        self.forget_preparing(id);
        if graceful {
            self.release_all(id);
        } else if has_tasks {
            self.timers.set(now.after(self.config.rejoin_grace), Timer::Rejoin(id));
        }
        self.admit_rival(id);
    }

    pub(super) fn worker_leaving(&mut self, id: WorkerId) {
        self.hear(id);
        self.placement.change_worker(id, Worker::leave);
    }

    pub(super) fn heartbeat(&mut self, id: WorkerId, heartbeat: Heartbeat) {
        self.hear(id);
        self.placement.set_running(id, heartbeat.running);
    }

    pub(super) fn hear(&mut self, id: WorkerId) {
        if let Some(seen) = self.placement.seen_mut(id) {
            seen.hear(self.now);
        }
    }

    /// Disconnects a worker that said nothing for too long.
    pub(super) fn check_silence(&mut self, id: WorkerId) {
        let (now, timeout) = (self.now, self.config.worker_timeout);
        let Some(worker) = self.placement.worker(id) else { return };
        let (linked, due) = (worker.is_linked(), worker.seen().heard_at().after(timeout));
        if linked && due > now {
            return self.timers.set(due, Timer::Silence(id));
        }
        if let Some(seen) = self.placement.seen_mut(id) {
            seen.unwatch(Watch::Silence);
        }
        if !linked {
            return;
        }
        self.placement.unlink(id, now);
        self.forget_preparing(id);
        let reason = format!("the worker was silent for {timeout}");
        self.output(Output::Disconnect { worker: id, reason: reason.clone() });
        self.lose_all(id, &reason);
        self.admit_rival(id);
    }

    /// A worker whose link was lost had its time to come back.
    pub(super) fn give_up_on(&mut self, id: WorkerId) {
        let (now, grace) = (self.now, self.config.rejoin_grace);
        let gone = |worker: &&Worker| !worker.is_linked() && worker.lost_at().after(grace) <= now;
        if self.placement.worker(id).filter(gone).is_some() {
            self.lose_all(id, "the worker lost its connection and did not come back");
        }
    }

    fn lose_all(&mut self, id: WorkerId, reason: &str) {
        for lease in self.placement.leases_of(id) {
            self.lose_part(lease, &[TaskRange::ALL], reason);
        }
    }

    pub(super) fn lose_part(&mut self, lease: LeaseId, tasks: &[TaskRange], reason: &str) {
        let Some(entry) = self.placement.lease(lease) else { return };
        let (job, worker) = (entry.job(), entry.worker());
        let taken = self.take_back(lease, tasks);
        if !taken.is_empty() {
            self.tally.leases.lost += 1;
            self.distrust(worker, job, lease, reason);
            self.lose(job, &taken, worker, reason);
        }
    }

    /// A worker stopped in order, or was taken away: what it leaves behind is nobody's fault.
    pub(super) fn release_all(&mut self, id: WorkerId) {
        for lease in self.placement.leases_of(id) {
            self.release(lease, &[TaskRange::ALL]);
        }
    }

    /// Queues tasks of a lease again, as they were before it.
    pub(super) fn release(&mut self, lease: LeaseId, tasks: &[TaskRange]) {
        let Some(job) = self.placement.lease(lease).map(Lease::job) else { return };
        let taken = self.take_back(lease, tasks);
        self.tally.leases.returned += u64::from(!taken.is_empty());
        self.requeue(job, &taken);
    }
}
