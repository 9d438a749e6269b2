//! What workers send back: results, which are committed at most once a task, and tasks that they
//! will not run.

use alloc::{format, string::String, vec::Vec};

use wasmgrid_proto::{
    CommittedRun, JobId, LeaseId, OutcomeClass, Record, RetryCounter, TaskRange, WorkerId,
};

use crate::{
    CompletedBlock, Completion, Grid, Output, SegmentToken,
    job::Job,
    planted::Planted,
    queue::Queue,
    ranges::{RangeSet, one},
    retry::{Verdict, judge},
    timers::Timer,
};

/// A block's results, sorted by what becomes of them.
#[derive(Default)]
struct Sorted {
    /// What is committed, in the block's order.
    runs: Vec<CommittedRun>,
    /// The positions of these in the block.
    keep: Vec<u32>,
    /// What is run again.
    again: Vec<(u64, RetryCounter, String)>,
}

impl Grid {
    pub(crate) fn completed(
        &mut self,
        worker: WorkerId,
        batch: u64,
        blocks: &[CompletedBlock],
        token: SegmentToken,
    ) {
        self.hear(worker);
        for (position, block) in blocks.iter().enumerate() {
            self.commit(worker, token, position, block);
        }
        self.output(Output::Release { token });
        self.output(Output::Acknowledge { worker, batch });
    }

    fn commit(
        &mut self,
        worker: WorkerId,
        token: SegmentToken,
        position: usize,
        block: &CompletedBlock,
    ) {
        let sorted = self.sort(worker, block);
        let all = block.results.len();
        let (kept, again) = (sorted.keep.len(), sorted.again.len());
        let taken = (kept + again) as u64;
        if all as u64 > taken && self.ledger.jobs.contains_key(&block.job) {
            *self.discarded.entry(block.job).or_default() += all as u64 - taken;
            self.changed.insert(block.job);
        }
        if taken == 0 {
            return;
        }
        if kept > 0 {
            let keep = (kept < all).then_some(sorted.keep);
            self.persist_results((token, position), block.job, keep, sorted.runs);
        }
        if let Some(worker) = self.fleet.get_mut(worker) {
            worker.committed += kept as u64;
        }
        // What came too late is not this lease's cost.
        let wall_us = if taken == all as u64 {
            block.wall_us
        } else {
            block.wall_us / (all as u64).max(1) * taken
        };
        if let Some(queue) = self.queues.get_mut(&block.job) {
            queue.learn(taken, wall_us, &self.config);
        }
        self.settle_lease(block.lease, taken, Queue::took_ns(taken, wall_us));
        for (index, counter, reason) in sorted.again {
            self.retry(block.job, index, counter, reason);
        }
        self.changed.insert(block.job);
        self.settle_job(block.job);
    }

    fn persist_results(
        &mut self,
        (token, block): (SegmentToken, usize),
        job: JobId,
        keep: Option<Vec<u32>>,
        runs: Vec<CommittedRun>,
    ) {
        let first_cursor = self.ledger.jobs.get(&job).map_or(0, |entry| entry.results);
        let record = Record::Committed { job, first_cursor, runs };
        let output = |record| Output::PersistResults { token, block, keep, record };
        self.persist_as(record, output);
    }

    /// Compares each result with its lease: only what the lease still has counts, once.
    fn sort(&mut self, worker: WorkerId, block: &CompletedBlock) -> Sorted {
        let mut sorted = Sorted::default();
        let claim = (block.job, worker, block.attempt);
        let Some(job) = self.ledger.jobs.get(&block.job) else { return sorted };
        if self.config.breaks(Planted::NoFencing) {
            return unfenced(job, block);
        }
        let Some(lease) = self.leases.matching(block.lease, claim) else { return sorted };
        let given_up = job.has_given_up();
        let mut rest = block.results.as_slice();
        let mut position = 0;
        while let Some(first) = rest.first() {
            let run = run_length(rest);
            let tasks = TaskRange { first: first.index, count: run as u64 };
            if run > 1 && lease.tasks.take(tasks) {
                sorted.keep(position, tasks, first.class);
            } else {
                for (offset, result) in (0..).zip(rest.iter().take(run)) {
                    if !lease.tasks.take(one(result.index)) {
                        continue;
                    }
                    let history = job.history(result.index);
                    match judge(result.class, history, &job.spec, &self.config) {
                        Verdict::Again(counter) if !given_up => sorted.again(result, counter),
                        _ => sorted.keep(position + offset, one(result.index), result.class),
                    }
                }
            }
            position += u32::try_from(run).unwrap_or(u32::MAX);
            rest = rest.get(run..).unwrap_or_default();
        }
        sorted
    }

    /// Counts an attempt that did not do, and makes its task wait for the next.
    fn retry(&mut self, job: JobId, index: u64, counter: RetryCounter, reason: String) {
        let Some(entry) = self.ledger.jobs.get(&job) else { return };
        let history = entry.history(index);
        let attempt = history.attempt();
        self.persist(Record::Retried { job, index, counter, attempt, reason });
        if counter == RetryCounter::Infra {
            let pause = history.infra_pause(&self.config);
            self.timers.set(self.now.after(pause), Timer::Retry(job, index));
            if let Some(queue) = self.queues.get_mut(&job) {
                queue.pause(index);
            }
        } else {
            self.requeue(job, &[one(index)]);
        }
    }

    /// A task waited long enough.
    pub(crate) fn resume(&mut self, job: JobId, index: u64) {
        if self.queues.get_mut(&job).is_some_and(|queue| queue.resume(index)) {
            self.requeue(job, &[one(index)]);
        }
    }

    pub(crate) fn returned(
        &mut self,
        id: WorkerId,
        job: JobId,
        lease: LeaseId,
        tasks: &[TaskRange],
    ) {
        self.hear(id);
        let held = self.leases.get(lease).filter(|held| (held.job, held.worker) == (job, id));
        let (Some(held), Some(worker)) = (held, self.fleet.get_mut(id)) else { return };
        let answers = worker.asked.remove(&lease).is_some();
        let reason = format!("worker {} could not run it", worker.name);
        let wanted = if worker.draining {
            tasks.to_vec()
        } else {
            tasks.iter().flat_map(|part| held.asked.within(*part)).collect()
        };
        let wanted = self.take_back(lease, &wanted);
        let unasked = self.take_back(lease, tasks);
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.mute = false;
            worker.begun_all = answers && wanted.is_empty() && unasked.is_empty();
        }
        self.refresh_worker(id);
        self.requeue(job, &wanted);
        self.put_off(job, &unasked, &reason);
        self.settle_job(job);
    }

    /// Makes tasks wait for another worker, with nothing counted against them.
    pub(crate) fn requeue(&mut self, job: JobId, tasks: &[TaskRange]) {
        let Some(entry) = self.ledger.jobs.get(&job) else { return };
        let Some(queue) = self.queues.get_mut(&job) else { return };
        if queue.stopping {
            return self.end_tasks(job, tasks.to_vec(), OutcomeClass::Skipped);
        }
        if self.config.breaks(Planted::NoRequeue) {
            return;
        }
        for part in tasks {
            queue.put(*part, entry, &self.config);
        }
        self.changed.insert(job);
        self.refresh_job(job);
    }

    /// The tasks' host is gone, and each of them may be why.
    pub(crate) fn lose(&mut self, job: JobId, tasks: &[TaskRange], reason: &str) {
        self.count_all(job, tasks, RetryCounter::HostLoss, reason);
        self.settle_job(job);
    }

    /// A worker gave tasks back for reasons of its own.
    fn put_off(&mut self, job: JobId, tasks: &[TaskRange], reason: &str) {
        self.count_all(job, tasks, RetryCounter::Infra, reason);
    }

    fn count_all(&mut self, job: JobId, tasks: &[TaskRange], counter: RetryCounter, reason: &str) {
        if self.queues.get(&job).is_some_and(|queue| queue.stopping) {
            return self.requeue(job, tasks);
        }
        let mut dead = RangeSet::default();
        for index in tasks.iter().flat_map(|part| part.first..part.end()) {
            let Some(entry) = self.ledger.jobs.get(&job) else { return };
            let history = entry.history(index);
            let survives = match counter {
                RetryCounter::HostLoss => history.survives_host_loss(&self.config),
                _ => history.survives_infra(&self.config),
            };
            if survives {
                self.retry(job, index, counter, String::from(reason));
                if self.config.breaks(Planted::DoubleHostLoss) {
                    self.retry(job, index, counter, String::from(reason));
                }
            } else {
                dead.insert(one(index));
            }
        }
        self.end_tasks(job, dead.iter().collect(), OutcomeClass::Lost);
    }
}

impl Sorted {
    fn keep(&mut self, position: u32, tasks: TaskRange, class: OutcomeClass) {
        self.keep.extend((position..).zip(0..tasks.count).map(|(position, _)| position));
        match self.runs.last_mut() {
            Some(run) if run.class == class && run.tasks.end() == tasks.first => {
                run.tasks.count += tasks.count;
            }
            _ => self.runs.push(CommittedRun { tasks, class }),
        }
    }

    fn again(&mut self, result: &Completion, counter: RetryCounter) {
        let reason = result.reason.clone().unwrap_or_default();
        self.again.push((result.index, counter, reason));
    }
}

/// The planted bug: whatever is open is committed.
fn unfenced(job: &Job, block: &CompletedBlock) -> Sorted {
    let mut sorted = Sorted::default();
    for (position, result) in (0..).zip(&block.results) {
        if !job.open.within(one(result.index)).is_empty() {
            sorted.keep(position, one(result.index), result.class);
        }
    }
    sorted
}

/// How many of the first results are of neighbouring tasks that ended in the same final way; at
/// least 1.
fn run_length(results: &[Completion]) -> usize {
    let Some(first) = results.first() else { return 0 };
    if !matches!(first.class, OutcomeClass::Ok | OutcomeClass::Failed) {
        return 1;
    }
    let follows = |(offset, result): &(u64, &Completion)| {
        result.class == first.class && first.index.checked_add(*offset) == Some(result.index)
    };
    (0..).zip(results).take_while(follows).count()
}
