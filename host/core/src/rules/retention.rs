//! When the data of a job is deleted: inputs that no task needs any more as soon as the job has more
//! than a bound of them, results and all other inputs some time after its end, and then the job
//! itself. How many bytes of results may stay is the driver's to say, which sees them.

use alloc::vec::Vec;

use wasmgrid_proto::{
    DropReason, Dropped, JobId, JobState, LogKind, LogRef, Micros, Millis, Record, TaskRange,
};

use super::{functions::CALLS_KEPT, grid::Grid};
use crate::ledger::Job;

/// Ended jobs of which one [`Input::Tick`](crate::Input::Tick) deletes what is due: about a
/// millisecond of work, since nothing is scheduled meanwhile. The others are due at the next one.
pub const RETAINED_AT_ONCE: usize = 256;

/// Segments of inputs that are looked at for one question: as many as one answer has.
const RUNS_JOINED: usize = 256;

/// How a job's logs stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLogs {
    /// Where the job is.
    pub state: JobState,
    /// When it ended, by the grid's own time.
    pub ended: Option<Micros>,
    /// False while inputs may be appended.
    pub closed: bool,
    /// Results in its log, with those that were dropped.
    pub results: u64,
    /// Which of them were.
    pub dropped: Option<Dropped>,
}

impl Grid {
    /// How a job's logs stand.
    #[must_use]
    pub fn logs(&self, job: JobId) -> Option<JobLogs> {
        self.ledger.job(job).map(logs)
    }

    /// The jobs that are known and their logs, by number.
    pub fn all_logs(&self) -> impl Iterator<Item = (JobId, JobLogs)> {
        self.ledger.jobs().map(|(job, entry)| (job, logs(entry)))
    }

    /// Whether what is at a place of a log is stored still: an input not once no task can need it again,
    /// a result not once it was deleted.
    #[must_use]
    pub fn holds(&self, place: LogRef) -> bool {
        let Some(entry) = self.ledger.job(place.job) else { return false };
        match place.log {
            LogKind::Input => entry.inputs().has(place.position),
            LogKind::Result => {
                entry.dropped().is_none_or(|dropped| place.position >= dropped.before)
            }
        }
    }

    /// The first of these tasks of a job whose inputs are stored, in the log of
    /// [`Self::input_of`], and those that follow directly, as far as these are in few segments.
    #[must_use]
    pub fn stored_inputs(&self, job: JobId, tasks: TaskRange) -> Option<TaskRange> {
        let mut run = self.stored_run(job, tasks)?;
        for _ in 1..RUNS_JOINED {
            let left = TaskRange::between(run.end(), tasks.end());
            let next = self.stored_run(job, left).filter(|next| next.first == run.end());
            let Some(next) = next else { break };
            run.count += next.count;
        }
        Some(run)
    }

    /// The first of these tasks whose inputs are stored: a part of a segment, or of several that have
    /// ended.
    fn stored_run(&self, job: JobId, tasks: TaskRange) -> Option<TaskRange> {
        let entry = self.ledger.job(job)?;
        let Some(source) = entry.source() else { return entry.inputs().first_of(tasks) };
        let stored = self.ledger.job(source)?.inputs();
        // A retry has the inputs of its own tasks alone.
        let mut left = tasks;
        loop {
            let run = stored.first_of(left)?;
            let own = entry.taken().first_of(TaskRange::between(run.first, left.end()))?;
            if let Some(found) = own.intersect(run) {
                return Some(found);
            }
            left = TaskRange::between(own.first, left.end());
        }
    }

    /// Drops input segments of a job that no task needs any more, if the job has more than is kept
    /// for whoever reads its results.
    pub(super) fn drop_spent(&mut self, job: JobId) {
        let most = self.config.keep_inputs;
        if most == 0 || self.stored.inputs_cost(job) > most {
            self.drop_spent_now(job);
        }
    }

    /// Drops input segments of all jobs of a tenant that no task needs any more.
    pub(super) fn drop_all_spent(&mut self, tenant: &str) {
        for job in self.stored.take_spent(tenant) {
            self.drop_spent_now(job);
        }
    }

    fn drop_spent_now(&mut self, job: JobId) {
        let Some(entry) = self.ledger.job(job) else { return };
        let tasks = entry.inputs().spent();
        if !tasks.is_empty() {
            self.drop_segments(job, tasks);
        }
    }

    /// The driver found that results before a position take more bytes than are kept.
    pub(super) fn drop_results(&mut self, job: JobId, before: u64, why: DropReason) {
        let Some(entry) = self.ledger.job(job) else { return };
        if entry.is_active() {
            self.drop_before(job, before, why);
        } else {
            self.drop_logs(job, why);
        }
    }

    /// After a job's end: sees to what is to go, and when to look again.
    pub(super) fn retain(&mut self, job: JobId) {
        let Some(ended) = self.ledger.job(job).and_then(Job::ended) else { return };
        if self.is_function(job) {
            return;
        }
        let calls = self.ledger.job(job).and_then(Job::function).map(|_| CALLS_KEPT);
        let least = |keep: Option<Millis>| [keep, calls].into_iter().flatten().min();
        let due = |keep: Option<Millis>| least(keep).map(|keep| ended.after(keep));
        let (results, record) = (due(self.config.keep_results), due(self.config.keep_jobs));
        let is_read = self.ledger.is_read(job);
        if record.is_some_and(|at| at <= self.now) && !is_read {
            return self.forget(job);
        }
        let results = match results {
            Some(at) if at <= self.now => {
                self.drop_logs(job, DropReason::Age);
                None
            }
            later => later,
        };
        // What a reader still needs is looked at again at its end.
        let record = record.filter(|_| !is_read);
        if let Some(next) = results.into_iter().chain(record).min() {
            self.retention.insert((next, job));
        }
    }

    /// Deletes data that is due to be deleted, of a bounded number of jobs. It is not done with
    /// every input, so that one turn of a driver, which handles many, is bounded too.
    pub(super) fn retain_due(&mut self) {
        for _ in 0..RETAINED_AT_ONCE {
            let due = self.retention.first().copied().filter(|(at, _)| *at <= self.now);
            let Some((at, job)) = due else { break };
            self.retention.remove(&(at, job));
            self.retain(job);
        }
    }

    /// After the end of a job that took its inputs from this one: what was kept for its sake may go.
    pub(super) fn reader_ended(&mut self, source: JobId) {
        let Some(entry) = self.ledger.job(source) else { return };
        if entry.dropped().is_some_and(|dropped| dropped.before >= entry.results()) {
            self.drop_inputs(source);
        }
        self.retain(source);
    }

    /// At a start: jobs that have ended go in their time.
    pub(super) fn retain_all(&mut self) {
        let jobs: Vec<JobId> = self.ledger.jobs().map(|(job, _)| job).collect();
        for job in jobs {
            if let Some(entry) = self.ledger.job(job)
                && !entry.inputs().is_empty()
            {
                self.stored.note_spent(entry.tenant(), job);
            }
            self.drop_spent(job);
            self.retain(job);
        }
    }

    /// Drops all that is stored of an ended job but its record.
    fn drop_logs(&mut self, job: JobId, why: DropReason) {
        let Some(entry) = self.ledger.job(job) else { return };
        let results = entry.results();
        self.drop_before(job, results, why);
        self.drop_inputs(job);
    }

    /// Drops the inputs of an ended job, unless another one reads them.
    fn drop_inputs(&mut self, job: JobId) {
        let Some(entry) = self.ledger.job(job) else { return };
        let tasks = entry.inputs().ended();
        let is_read = self.ledger.readers(job, LogKind::Input).next().is_some();
        if !tasks.is_empty() && !is_read {
            self.drop_segments(job, tasks);
        }
    }

    fn drop_segments(&mut self, job: JobId, tasks: Vec<TaskRange>) {
        self.persist(Record::InputsDropped { job, tasks: tasks.clone() });
        if let Some(entry) = self.ledger.job(job) {
            let all = entry.inputs().is_empty();
            self.stored.drop_inputs(entry.tenant(), job, &tasks, all);
        }
    }

    fn drop_before(&mut self, job: JobId, before: u64, why: DropReason) {
        let Some(entry) = self.ledger.job(job) else { return };
        let before = before.min(entry.results());
        if before > entry.dropped().map_or(0, |dropped| dropped.before) {
            let dropped = Dropped { before, why, at: self.date() };
            self.persist(Record::ResultsDropped { job, dropped });
            let entry = self.ledger.job(job).filter(|entry| before == entry.results());
            if let Some(entry) = entry {
                self.stored.drop_results(entry.tenant(), job);
            }
        }
    }

    fn forget(&mut self, job: JobId) {
        if let Some(entry) = self.ledger.job(job) {
            self.stored.forget(entry.tenant(), job);
        }
        self.persist(Record::JobForgotten { job });
        self.forget_counts(job);
    }
}

fn logs(entry: &Job) -> JobLogs {
    JobLogs {
        state: entry.state(),
        ended: entry.ended(),
        closed: entry.is_closed(),
        results: entry.results(),
        dropped: entry.dropped(),
    }
}
