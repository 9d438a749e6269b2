//! Results of a task that differ though they should not, and what is told of single tasks.

use alloc::{boxed::Box, string::String, vec::Vec};

use wasmgrid_proto::{
    Divergence, Divergences, JobId, LeaseId, Record, TaskId, TaskRange, TaskState, TaskStatus,
    Witness, WorkerId,
};

use super::grid::Grid;

/// Divergences of a job that are kept, the first: each is in the journal for good, and who sends
/// one can send many.
const KEPT: usize = 16;

impl Grid {
    /// Takes in that a late result differs from the one that counts.
    pub(super) fn diverged(&mut self, job: JobId, index: u64, committed: Witness, late: Witness) {
        let Some(entry) = self.ledger.job(job) else { return };
        let repeats = |known: &Divergence| known.index == index && known.late == late;
        if self.have_other_engines(committed.worker, late.worker)
            || entry.divergences().iter().any(repeats)
        {
            return;
        }
        self.tally.attempts.diverged += 1;
        if entry.divergences().len() < KEPT {
            let divergence = Divergence { index, at: self.date(), committed, late };
            self.persist(Record::Diverged { job, divergence: Box::new(divergence) });
        } else {
            self.count(job, |counts| counts.diverged += 1);
        }
    }

    /// True where the two are known to run engines that may differ in what a task does.
    fn have_other_engines(&self, one: WorkerId, other: WorkerId) -> bool {
        match (self.placement.worker(one), self.placement.worker(other)) {
            (Some(one), Some(other)) => one.capacity().engine != other.capacity().engine,
            _ => false,
        }
    }

    /// The results of a job that differ and should not.
    #[must_use]
    pub fn divergences(&self, job: JobId) -> Option<Divergences> {
        let list = self.ledger.job(job)?.divergences().to_vec();
        let more = self.counts_of(job).diverged;
        let named = |worker: WorkerId| {
            self.ledger.worker_name(worker).map(|name| (worker, String::from(name)))
        };
        let mut workers: Vec<_> =
            list.iter().flat_map(|found| [found.committed.worker, found.late.worker]).collect();
        workers.sort_unstable();
        workers.dedup();
        let workers = workers.into_iter().filter_map(named).collect();
        Some(Divergences { count: list.len() as u64 + more, list, workers })
    }

    /// How a task stands, without its result; `None` where there is no such task.
    #[must_use]
    pub fn task(&self, job: JobId, index: u64) -> Option<TaskStatus> {
        let entry = self.ledger.job(job)?;
        if !entry.has_task(index) {
            return None;
        }
        let (open, history) = (self.is_open(job, index), entry.history(index));
        let holder = self.holder(job, index);
        let state = match (open, holder) {
            (false, _) => TaskState::Ended,
            (true, None) => TaskState::Queued,
            (true, Some(_)) => TaskState::Running,
        };
        let notes = entry.failed_attempts(index);
        let name_of = |worker| self.ledger.worker_name(worker);
        let name = holder.and_then(name_of);
        Some(TaskStatus {
            task: TaskId { job, index },
            state,
            attempt: if open { history.attempt() } else { 0 },
            worker: name.unwrap_or_default().into(),
            suspect: open && history.is_suspect(&self.config),
            attempts: notes.map(|notes| notes.named(name_of)).unwrap_or_default(),
            attempts_dropped: notes.map_or(0, |notes| notes.dropped),
            result: None,
            log: Vec::new(),
        })
    }

    /// The tasks next to an index that a job has no task of, where it has those of another job:
    /// that job, and the nearest below and above.
    #[must_use]
    pub fn nearest_tasks(
        &self,
        job: JobId,
        index: u64,
    ) -> Option<(JobId, Option<u64>, Option<u64>)> {
        let entry = self.ledger.job(job)?;
        let (below, above) = entry.taken().nearest(index);
        Some((entry.source()?, below, above))
    }

    /// True where a task has no terminal state.
    #[must_use]
    pub fn is_open(&self, job: JobId, index: u64) -> bool {
        let entry = self.ledger.job(job);
        entry.is_some_and(|entry| !entry.open().within(TaskRange::one(index)).is_empty())
    }

    /// The name of a worker that was known once.
    #[must_use]
    pub fn worker_name(&self, worker: WorkerId) -> Option<&str> {
        self.ledger.worker_name(worker)
    }

    /// Who has a task.
    fn holder(&self, job: JobId, index: u64) -> Option<WorkerId> {
        let holds = |id: LeaseId| {
            let lease = self.placement.lease(id)?;
            (!lease.tasks().within(TaskRange::one(index)).is_empty()).then_some(lease.worker())
        };
        self.placement.queue(job)?.leases().iter().find_map(holds)
    }
}
