//! Leases that are held for longer than their tasks can take. A worker that says that it lives could
//! else keep what it has for ever.
//!
//! How long a task waits on a worker before it begins is the worker's own: others' tasks have their
//! turns, modules are compiled. So the time of a lease is told in two steps. After its tasks'
//! deadline and a margin, what has not begun is asked back, which costs an honest worker nothing.
//! What it then keeps has begun, and so ends within the deadline; after that and another margin the
//! lease is over. Both count only the time in which the worker was heard.

use alloc::{format, vec::Vec};

use wasmgrid_proto::{JobId, LeaseId, Limits, Millis, TaskRange, WorkerId};

use super::grid::Grid;
use crate::{
    io::Output,
    placement::{Lease, Recall, Watch, Worker},
    planted::Planted,
    timers::Timer,
};

/// How fast the results of an honest worker come at least, in bytes a millisecond: 1 MiB/s.
const RESULT_BYTES_PER_MS: u64 = 1 << 10;

/// For so long a lease is left to a worker at most that has not ended it in time, while other results
/// of it come: they may be before those of the lease on a slow way.
const DELIVERY_MAX: Millis = Millis(600_000);

/// A worker that was asked for what it has not begun counts as having answered after this: a link on
/// which nothing arrives ends sooner.
const UNANSWERED_MAX: Millis = Millis(30_000);

/// How a lease stands whose tasks' time may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// What has not begun is asked back.
    Recall,
    /// It ends.
    Over,
}

impl Grid {
    /// A worker was given a lease, or comes back with some.
    pub(super) fn watch_overdue(&mut self, id: WorkerId) {
        let every = Millis(self.config.lease_margin.0 / 2);
        if self.placement.seen_mut(id).is_some_and(|seen| seen.watch(Watch::Overdue)) {
            self.timers.set(self.now.after(every.max(Millis(1))), Timer::Overdue(id));
        }
    }

    /// Looks at what a worker has, as long as it has something.
    pub(super) fn check_overdue(&mut self, id: WorkerId) {
        if let Some(seen) = self.placement.seen_mut(id) {
            seen.unwatch(Watch::Overdue);
        }
        let Some(worker) = self.placement.worker(id) else { return };
        if worker.leases().is_empty() || self.config.breaks(Planted::EndlessLease) {
            return;
        }
        let linked = worker.is_linked();
        self.watch_overdue(id);
        if !linked {
            return;
        }
        let due: Vec<(LeaseId, Due)> = self
            .placement
            .leases_of(id)
            .into_iter()
            .filter_map(|lease| Some((lease, self.due(id, lease)?)))
            .collect();
        for (lease, due) in due {
            match due {
                Due::Recall => self.recall(id, lease),
                Due::Over => self.overrun(id, lease),
            }
        }
    }

    fn due(&self, id: WorkerId, lease: LeaseId) -> Option<Due> {
        let (worker, lease) = (self.placement.worker(id)?, self.placement.lease(lease)?);
        let limits = self.limits_of(lease.job())?;
        let (time, delivery) = (worker.time(self.now), self.delivery(limits));
        let begun_by = match lease.recall() {
            Recall::No => {
                let from = lease.given().after(limits.deadline).after(self.config.lease_margin);
                return (from <= time).then_some(Due::Recall);
            }
            Recall::Asked(at) => at.after(UNANSWERED_MAX),
            Recall::Answered(at) => at,
        };
        let until = begun_by.after(limits.deadline).after(delivery);
        let delivers = worker.seen().delivered_at().after(delivery) > self.now;
        let is_over = until <= time && !(delivers && time < until.after(DELIVERY_MAX));
        is_over.then_some(Due::Over)
    }

    fn limits_of(&self, job: JobId) -> Option<&Limits> {
        self.ledger.job(job).map(|entry| &entry.spec().task.limits)
    }

    /// How long a result may take from its task's end to here.
    fn delivery(&self, limits: &Limits) -> Millis {
        let bytes = limits.output.0.saturating_add(limits.log.0);
        Millis(self.config.lease_margin.0.saturating_add(bytes / RESULT_BYTES_PER_MS))
    }

    /// Asks for all of a lease back that has not begun.
    fn recall(&mut self, id: WorkerId, lease: LeaseId) {
        let time = self.placement.worker(id).map_or(self.now, |worker| worker.time(self.now));
        self.placement.recall(lease, time);
        self.revoke(lease, u64::MAX);
    }

    /// A worker answered what it was asked of a lease.
    pub(super) fn note_answer(&mut self, id: WorkerId, lease: LeaseId) {
        let time = self.placement.worker(id).map_or(self.now, |worker| worker.time(self.now));
        self.placement.note_answer(id, lease, time);
    }

    /// Ends a lease that is held for longer than its tasks can take: they go elsewhere, and the
    /// worker is told, and given little until it has shown that it ends what it is given.
    fn overrun(&mut self, id: WorkerId, lease: LeaseId) {
        let Some(job) = self.placement.lease(lease).map(Lease::job) else { return };
        let deadline = self.limits_of(job).map(|limits| limits.deadline).unwrap_or_default();
        let reason = format!("the worker kept it longer than its deadline of {deadline} allows");
        let taken = self.take_back(lease, &[TaskRange::ALL]);
        self.tally.leases.expired += 1;
        self.placement.change_worker(id, Worker::doubt);
        self.output(Output::Overrun { worker: id, job, lease, reason: reason.clone() });
        self.distrust_at_once(id, job, lease, &reason);
        self.give_up(job, &taken, id, &reason);
    }

    /// What was asked on a link that is gone is not answered any more: it is asked anew, and counts
    /// from when it was asked at first. A worker could else keep all by joining again and again.
    pub(super) fn ask_anew(&mut self, id: WorkerId) {
        let leases = self.placement.leases_of(id);
        if !leases.is_empty() {
            self.watch_overdue(id);
        }
        for lease in leases {
            let recall = self.placement.lease(lease).map(Lease::recall);
            if matches!(recall, Some(Recall::Asked(_))) {
                self.revoke(lease, u64::MAX);
            }
        }
    }
}
