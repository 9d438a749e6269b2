//! How jobs begin and end for the scheduling: activation, giving up, cancel, deadline, recovery.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use wasmgrid_proto::{
    Epoch, JobId, JobState, LeaseId, Micros, OutcomeClass, Record, TaskRange, WorkerId,
};

use super::grid::Grid;
use crate::{
    io::Output,
    ledger::Job,
    placement::{Lease, Queue},
    planted::Planted,
    ranges::RangeSet,
    timers::Timer,
};

impl Grid {
    /// Begins a new epoch, with whatever the journal had.
    pub(super) fn start(&mut self, date: Micros) {
        let epoch = Epoch(self.ledger.epoch().0 + 1);
        self.write(Record::EpochStarted { epoch, at: date });
        self.set_date(date);
        let forgets = self.config.breaks(Planted::LostLeaseCounter);
        self.placement.start(if forgets { Epoch(1) } else { epoch });
        self.awaited = self.ledger.workers().map(|(_, id)| id).collect();
        let active: Vec<JobId> = self
            .ledger
            .jobs()
            .filter_map(|(job, entry)| entry.is_active().then_some(job))
            .collect();
        for job in active {
            self.activate(job);
            self.resume_after_start(job);
        }
        if !self.awaited.is_empty() {
            self.timers.set(self.now.after(self.config.recovery_grace), Timer::Recovery);
        }
        self.bound_all();
        self.retain_all();
    }

    /// Makes an active job part of the scheduling.
    pub(super) fn activate(&mut self, job: JobId) {
        let Some(entry) = self.ledger.job(job) else { return };
        if let Some(deadline) = entry.spec().deadline {
            self.timers.set(entry.submitted().after(deadline), Timer::Deadline(job));
        }
        self.placement.activate(job, entry, &self.config);
        if let Some(tenant) = self.placement.tenant(job).cloned() {
            self.bound(&tenant);
        }
    }

    fn resume_after_start(&mut self, job: JobId) {
        let Some(entry) = self.ledger.job(job) else { return };
        let (recovered, awaited) = (entry.next_index(), !self.awaited.is_empty());
        self.placement.change_queue(job, |queue| queue.start(recovered, awaited));
        // The journal may end right behind the request, or the last result.
        match entry.cancelled_by().map(String::from) {
            Some(by) => self.end_early(job, OutcomeClass::Cancelled, JobState::Cancelled, &by),
            None => self.settle_job(job),
        }
    }

    /// The workers had their time to come back: what they did not bring is given out again.
    pub(super) fn recover(&mut self) {
        self.awaited.clear();
        let jobs: Vec<JobId> = self.placement.active_jobs().collect();
        for job in jobs {
            self.placement.change_queue(job, Queue::end_recovery);
        }
    }

    /// Gives a job up or ends it, if that is due.
    pub(super) fn settle_job(&mut self, job: JobId) {
        let Some(entry) = self.ledger.job(job).filter(|entry| entry.is_active()) else { return };
        if entry.has_given_up() && self.placement.queue(job).is_some_and(|one| !one.is_stopping()) {
            self.stop(job);
        }
        if let Some(state) = self.ledger.job(job).and_then(Job::final_state) {
            self.end_job(job, state);
        }
    }

    /// Too many tasks failed: what has not begun is skipped, what runs may end.
    fn stop(&mut self, job: JobId) {
        let stop = |queue: &mut Queue| (queue.stop(), queue.leases().iter().collect());
        let stopped: Option<(RangeSet, Vec<LeaseId>)> = self.placement.change_queue(job, stop);
        let Some((waiting, leases)) = stopped else { return };
        self.end_tasks(job, waiting.iter().collect(), OutcomeClass::Skipped);
        for lease in leases {
            self.revoke(lease, u64::MAX);
        }
    }

    /// Ends tasks without a result.
    pub(super) fn end_tasks(&mut self, job: JobId, tasks: Vec<TaskRange>, class: OutcomeClass) {
        if !tasks.is_empty() {
            self.persist(Record::Ended { job, tasks, class });
        }
    }

    /// A job's deadline passed.
    pub(super) fn expire(&mut self, job: JobId) {
        self.end_early(job, OutcomeClass::Expired, JobState::Expired, "the job's deadline");
    }

    /// Ends an active job and all its tasks now; nothing of it commits any more.
    pub(super) fn end_early(&mut self, job: JobId, class: OutcomeClass, state: JobState, by: &str) {
        let Some(entry) = self.ledger.job(job).filter(|entry| entry.is_active()) else {
            return;
        };
        let open = entry.open().iter().collect();
        let leases = self.placement.queue(job);
        let leases: Vec<LeaseId> =
            leases.map(|queue| queue.leases().iter().collect()).unwrap_or_default();
        let holders: BTreeSet<WorkerId> = leases
            .iter()
            .filter_map(|lease| self.placement.lease(*lease).map(Lease::worker))
            .collect();
        if class == OutcomeClass::Cancelled
            && !leases.is_empty()
            && self.config.breaks(Planted::CommitAfterCancel)
        {
            return;
        }
        self.end_tasks(job, open, class);
        for lease in leases {
            self.take_back(lease, &[TaskRange::ALL]);
        }
        for worker in holders {
            self.output(Output::Cancel { worker, job, by: String::from(by) });
        }
        self.end_job(job, state);
    }

    fn end_job(&mut self, job: JobId, state: JobState) {
        self.persist(Record::JobEnded { job, state, at: self.date() });
        self.placement.end(job);
        if let Some(entry) = self.ledger.job(job)
            && let Some(deadline) = entry.spec().deadline
        {
            self.timers.clear(entry.submitted().after(deadline), Timer::Deadline(job));
        }
        // A job may be forgotten as soon as it has ended.
        let reads = self.ledger.job(job).and_then(Job::reads);
        self.retain(job);
        if let Some((source, _)) = reads {
            self.reader_ended(source);
        }
    }
}
