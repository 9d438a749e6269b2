//! How jobs begin and end for the scheduling: activation, giving up, cancel, deadline, recovery.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use wasmgrid_proto::{
    Epoch, JobId, JobState, LeaseId, Micros, OutcomeClass, Record, TaskRange, WorkerId,
};

use super::grid::Grid;
use crate::{io::Output, ledger::Job, placement::Queue, planted::Planted, timers::Timer};

impl Grid {
    /// Begins a new epoch, with whatever the journal had.
    pub(crate) fn start(&mut self, date: Micros) {
        let epoch = Epoch(self.ledger.epoch().0 + 1);
        self.write(Record::EpochStarted { epoch, at: date });
        self.set_date(date);
        let forgets = self.config.breaks(Planted::LostLeaseCounter);
        self.leases.start(if forgets { Epoch(1) } else { epoch });
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
    pub(crate) fn activate(&mut self, job: JobId) {
        let Some(entry) = self.ledger.job(job) else { return };
        if let Some(deadline) = entry.spec().deadline {
            self.timers.set(entry.submitted().after(deadline), Timer::Deadline(job));
        }
        let tenant = self.shares.enter(entry.tenant());
        self.bound(&tenant);
        let Some(entry) = self.ledger.job(job) else { return };
        let spec = entry.spec();
        let demand = self.fleet.enter_class(&spec.requires, spec.task.limits.memory.0);
        self.queues.insert(job, Queue::new(tenant, demand, entry, &self.config));
    }

    fn resume_after_start(&mut self, job: JobId) {
        let Some(entry) = self.ledger.job(job) else { return };
        if let Some(queue) = self.queues.get_mut(&job) {
            queue.recovering = !self.awaited.is_empty();
            queue.recovered = entry.next_index();
        }
        // The journal may end right behind the request.
        match entry.cancelled_by().map(String::from) {
            Some(by) => self.end_early(job, OutcomeClass::Cancelled, JobState::Cancelled, &by),
            None => self.settle_job(job),
        }
    }

    /// The workers had their time to come back: what they did not bring is given out again.
    pub(crate) fn recover(&mut self) {
        self.awaited.clear();
        let jobs: Vec<JobId> = self.queues.iter().map(|(job, _)| job).collect();
        for job in jobs {
            if let Some(queue) = self.queues.get_mut(&job) {
                queue.recovering = false;
            }
            self.refresh_job(job);
        }
    }

    /// After its tasks changed: gives the job up or ends it, where that is due.
    pub(crate) fn settle_job(&mut self, job: JobId) {
        let Some(entry) = self.ledger.job(job) else { return };
        let stopping = self.queues.get(&job).is_some_and(|queue| queue.stopping);
        if entry.is_active() && entry.has_given_up() && !stopping {
            self.stop(job);
        }
        let state = self.ledger.job(job).and_then(Job::final_state);
        match state {
            Some(state) => self.end_job(job, state),
            None => self.refresh_job(job),
        }
    }

    /// Too many tasks failed: what has not begun is skipped, what runs may end.
    fn stop(&mut self, job: JobId) {
        let Some(queue) = self.queues.get_mut(&job) else { return };
        queue.stopping = true;
        let waiting = queue.take_all().iter().collect();
        let leases: Vec<LeaseId> = queue.leases.iter().collect();
        self.end_tasks(job, waiting, OutcomeClass::Skipped);
        for lease in leases {
            self.revoke(lease, u64::MAX);
        }
    }

    /// Ends tasks without a result.
    pub(crate) fn end_tasks(&mut self, job: JobId, tasks: Vec<TaskRange>, class: OutcomeClass) {
        if !tasks.is_empty() {
            self.persist(Record::Ended { job, tasks, class });
            self.changed.insert(job);
        }
    }

    /// A job's deadline passed.
    pub(crate) fn expire(&mut self, job: JobId) {
        self.end_early(job, OutcomeClass::Expired, JobState::Expired, "the job's deadline");
    }

    /// Ends an active job and all its tasks now; nothing of it commits any more.
    pub(crate) fn end_early(&mut self, job: JobId, class: OutcomeClass, state: JobState, by: &str) {
        let Some(entry) = self.ledger.job(job).filter(|entry| entry.is_active()) else {
            return;
        };
        let open = entry.open().iter().collect();
        let leases = self.queues.get(&job);
        let leases: Vec<LeaseId> =
            leases.map(|queue| queue.leases.iter().collect()).unwrap_or_default();
        let holders: BTreeSet<WorkerId> = leases
            .iter()
            .filter_map(|lease| self.leases.get(*lease).map(|lease| lease.worker))
            .collect();
        if class == OutcomeClass::Cancelled
            && !leases.is_empty()
            && self.config.breaks(Planted::CommitAfterCancel)
        {
            return;
        }
        self.end_tasks(job, open, class);
        for lease in leases {
            self.take_back_all(lease);
        }
        for worker in holders {
            self.output(Output::Cancel { worker, job, by: String::from(by) });
        }
        self.end_job(job, state);
    }

    fn end_job(&mut self, job: JobId, state: JobState) {
        self.persist(Record::JobEnded { job, state, at: self.date() });
        self.changed.insert(job);
        self.suspects.remove(&job);
        self.lost.remove(&job);
        if let Some(queue) = self.queues.remove(&job) {
            self.shares.set_ready(&queue.tenant, (queue.demand, queue.rank, job), false);
            self.shares.leave(&queue.tenant);
            self.fleet.leave_class(queue.demand.class);
            self.end_preparing(&queue);
        }
        if let Some(entry) = self.ledger.job(job)
            && let Some(deadline) = entry.spec().deadline
        {
            self.timers.clear(entry.submitted().after(deadline), Timer::Deadline(job));
        }
        // A job may be forgotten as soon as it has ended.
        let source = self.source(job);
        self.retain(job);
        if source != job {
            self.release_inputs(source);
        }
    }
}
