//! What workers send back: results, which are committed at most once a task, and tasks that they
//! will not run.

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};
use core::slice;

use wasmgrid_proto::{
    CommittedRun, Cost, JobId, LeaseId, OutcomeClass, Record, RetryCounter, TaskRange, WorkerId,
};

use super::{
    grid::Grid,
    verdict::{Verdict, judge},
};
use crate::{
    io::{CompletedBlock, Completion, LostTask, Output, RESULT_BYTES, SegmentToken},
    ledger::{Job, explain},
    placement::{Delivery, Lease, Queue, Worker, epoch_of},
    planted::Planted,
    timers::Timer,
};

/// A block's results, sorted by what becomes of them.
#[derive(Default)]
struct Sorted {
    /// What is committed, in the block's order.
    runs: Vec<CommittedRun>,
    /// How many results that is, and what they took.
    kept: u64,
    cost: Cost,
    /// The positions of the others in the block, rising.
    others: Vec<u32>,
    /// What is run again, and how long that took.
    again: Vec<(u64, RetryCounter, String)>,
    again_us: u64,
    /// The positions of what ends as lost, with the tasks and the reasons.
    lost: Vec<(u32, u64, String)>,
    /// The positions of what is discarded.
    late: Vec<u32>,
}

/// Why attempts failed.
#[derive(Clone, Copy)]
struct Failed<'a> {
    worker: WorkerId,
    counter: RetryCounter,
    reason: &'a str,
}

/// Lost tasks of one block whose outcomes' texts are made to have all attempts, and lost tasks of
/// one segment: so many texts fit a frame.
const EXPLAINED_MAX: usize = 64;

impl Grid {
    pub(super) fn completed(
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
        let mut sorted = self.sort(worker, block);
        let all = block.results.len() as u64;
        let kept = sorted.kept;
        let taken = kept + sorted.again.len() as u64;
        self.discard((token, position), block, &sorted.late);
        if taken == 0 {
            return;
        }
        // What came too late is not this lease's cost.
        let wall_us = sorted.cost.wall_us.saturating_add(sorted.again_us);
        // What a lost attempt took says nothing of what a task takes.
        if !sorted.has_lost() {
            let learn = |queue: &mut Queue| queue.learn(taken, wall_us, &self.config);
            self.placement.change_queue(block.job, learn);
        }
        self.judge_worker(worker, block, &sorted);
        self.explain_lost(worker, (token, position), block, sorted.lost);
        if kept > 0 {
            let mut cost = sorted.cost;
            if let Some(quota) = self.over_bytes(block.job, cost.bytes, kept) {
                cost.bytes = 0;
                fail_all(&mut sorted.runs);
                self.output(Output::OverQuota { token, block: position, quota });
            }
            let keep = (kept < all).then(|| without(all, &sorted.others));
            let counted = if self.config.breaks(Planted::LateUsage) { whole(block) } else { cost };
            self.persist_results((token, position), block.job, keep, (sorted.runs, counted));
            self.count_stored(block.job, (kept * RESULT_BYTES + cost.bytes, cost.fuel));
        }
        let took_ns = Queue::took_ns(taken, wall_us);
        let delivery = Delivery { at: self.now, kept, took_ns };
        self.placement.settle_lease(block.lease, taken, Some(delivery), &self.config);
        for (index, counter, reason) in sorted.again {
            let failed = Failed { worker, counter, reason: &reason };
            self.count_all(block.job, &[TaskRange::one(index)], failed);
        }
    }

    /// The bytes that a job's tenant would have stored with so many results that have so many bytes,
    /// and its quota; `None` if they fit.
    fn over_bytes(&mut self, job: JobId, bytes: u64, results: u64) -> Option<(u64, u64)> {
        // To end these as failed would take as much.
        if bytes == 0 || self.config.breaks(Planted::QuotaIgnored) {
            return None;
        }
        let stored = bytes.saturating_add(results * RESULT_BYTES);
        let tenant = self.ledger.job(job)?.tenant();
        self.over_margin(tenant, stored)?;
        let tenant = String::from(tenant);
        self.drop_all_spent(&tenant);
        self.over_margin(&tenant, stored)
    }

    /// Adds the bytes that results take in the store, and the fuel that they took, to the use of the
    /// job's tenant.
    fn count_stored(&mut self, job: JobId, took: (u64, u64)) {
        if let Some(entry) = self.ledger.job(job) {
            self.stored.commit(entry.tenant(), job, took);
        }
    }

    /// What a block says of the worker: one that ran a task to its end can do that.
    fn judge_worker(&mut self, worker: WorkerId, block: &CompletedBlock, sorted: &Sorted) {
        let ran = |run: &CommittedRun| match run.class {
            OutcomeClass::Ok => true,
            // Refused tasks did not run, and took no time.
            OutcomeClass::Failed | OutcomeClass::Retry => {
                block.results.iter().any(|result| result.cost.wall_us > 0)
            }
            _ => false,
        };
        let asked = |(_, counter, _): &(u64, RetryCounter, String)| *counter == RetryCounter::App;
        if sorted.runs.iter().any(ran) || sorted.again.iter().any(asked) {
            self.trust(worker);
        }
        let again = sorted.again.iter().filter(|again| !asked(again)).map(|(.., reason)| reason);
        let lost = sorted.lost.iter().map(|(.., reason)| reason);
        if let Some(reason) = again.chain(lost).next() {
            self.distrust(worker, block.job, block.lease, reason);
        }
    }

    /// Counts what came late, and tells of what may be worth a look: a copy of what a pure task
    /// did, or what a task had logged when its job was cancelled.
    fn discard(
        &mut self,
        (token, position): (SegmentToken, usize),
        block: &CompletedBlock,
        positions: &[u32],
    ) {
        let Some(entry) = self.ledger.job(block.job).filter(|_| !positions.is_empty()) else {
            return;
        };
        // What was given out in another term, and lost, says nothing of the task that is there now.
        let upto = entry.leased_upto(epoch_of(block.lease));
        let is_of_task = |at: &u32| {
            let result = usize::try_from(*at).ok().and_then(|at| block.results.get(at));
            result.is_some_and(|result| result.index < upto)
        };
        let of_task: Vec<u32> = positions.iter().copied().filter(is_of_task).collect();
        let is_pure = entry.spec().task.grants.is_empty();
        let is_told = !of_task.is_empty() && (is_pure || entry.cancelled_by().is_some());
        self.count(block.job, |counts| counts.discarded += positions.len() as u64);
        self.tally.attempts.late += positions.len() as u64;
        if is_told {
            self.output(Output::Late { token, block: position, positions: of_task });
        }
    }

    /// Sees to it that tasks end as lost with every attempt in their outcomes.
    fn explain_lost(
        &mut self,
        worker: WorkerId,
        (token, position): (SegmentToken, usize),
        block: &CompletedBlock,
        lost: Vec<(u32, u64, String)>,
    ) {
        for (at, index, reason) in lost.into_iter().take(EXPLAINED_MAX) {
            let failed = Failed { worker, counter: RetryCounter::HostLoss, reason: &reason };
            self.fail(block.job, vec![TaskRange::one(index)], block.attempt, failed, true);
            let Some(reason) = self.explanation(block.job, index) else { continue };
            self.output(Output::Explain { token, block: position, position: at, reason });
        }
    }

    fn explanation(&self, job: JobId, index: u64) -> Option<String> {
        let entry = self.ledger.job(job)?;
        let name = |worker| self.ledger.worker_name(worker);
        Some(explain(entry.history(index), entry.failed_attempts(index), name))
    }

    fn persist_results(
        &mut self,
        (token, block): (SegmentToken, usize),
        job: JobId,
        keep: Option<Vec<u32>>,
        (runs, cost): (Vec<CommittedRun>, Cost),
    ) {
        let first_cursor = self.ledger.job(job).map_or(0, Job::results);
        let record = Record::Committed { job, first_cursor, runs, cost };
        let output = |record| Output::PersistResults { token, block, keep, record };
        self.persist_as(record, output);
    }

    /// Compares each result with its lease: only what the lease still has counts, once.
    fn sort(&mut self, worker: WorkerId, block: &CompletedBlock) -> Sorted {
        let mut sorted = Sorted::default();
        let claim = (block.job, worker, block.attempt);
        if let Some(job) = self.ledger.job(block.job)
            && self.config.breaks(Planted::NoFencing)
        {
            return unfenced(job, block);
        }
        let left = self.placement.claimed(block.lease, claim);
        let (Some(left), Some(job)) = (left, self.ledger.job(block.job)) else {
            sorted.late = (0..).zip(&block.results).map(|(position, _)| position).collect();
            return sorted;
        };
        let given_up = job.has_given_up();
        let mut rest = block.results.as_slice();
        let mut position = 0;
        while let Some(first) = rest.first() {
            let run = run_length(rest);
            let tasks = TaskRange { first: first.index, count: run as u64 };
            if run > 1 && left.take(tasks) {
                sorted.keep(tasks, first.class, rest.get(..run).unwrap_or_default());
            } else {
                for (offset, result) in (0..).zip(rest.iter().take(run)) {
                    let at = position + offset;
                    if !left.take(TaskRange::one(result.index)) {
                        sorted.late.push(at);
                        sorted.others.push(at);
                        continue;
                    }
                    let history = job.history(result.index);
                    match judge(result.class, history, job.spec(), &self.config) {
                        Verdict::Again(counter) if !given_up => sorted.again(at, result, counter),
                        _ => {
                            let index = result.index;
                            sorted.keep(
                                TaskRange::one(index),
                                result.class,
                                slice::from_ref(result),
                            );
                            if result.class == OutcomeClass::Lost {
                                let reason = result.reason.clone().unwrap_or_default();
                                sorted.lost.push((at, index, reason));
                            }
                        }
                    }
                }
            }
            position += u32::try_from(run).unwrap_or(u32::MAX);
            rest = rest.get(run..).unwrap_or_default();
        }
        sorted
    }

    /// Records that attempts failed.
    fn fail(
        &mut self,
        job: JobId,
        tasks: Vec<TaskRange>,
        attempt: u32,
        failed: Failed<'_>,
        last: bool,
    ) {
        let Failed { worker, counter, reason } = failed;
        if !last {
            self.tally.retry(&tasks, counter);
        }
        let (at, reason) = (self.date(), String::from(reason));
        self.persist(Record::AttemptsFailed {
            job,
            tasks,
            attempt,
            counter,
            worker,
            at,
            reason,
            last,
        });
    }

    /// Makes tasks whose last attempt was counted wait for the next.
    fn run_again(&mut self, job: JobId, tasks: &[TaskRange], counter: RetryCounter) {
        if counter != RetryCounter::Infra {
            return self.requeue(job, tasks);
        }
        for index in tasks.iter().flat_map(|part| part.first..part.end()) {
            let Some(entry) = self.ledger.job(job) else { return };
            let pause = entry.history(index).infra_pause(&self.config);
            self.timers.set(self.now.after(pause), Timer::Retry(job, index));
            self.placement.change_queue(job, |queue| queue.pause(index));
        }
    }

    /// A task waited long enough.
    pub(super) fn resume(&mut self, job: JobId, index: u64) {
        if self.placement.change_queue(job, |queue| queue.resume(index)) == Some(true) {
            self.requeue(job, &[TaskRange::one(index)]);
        }
    }

    pub(super) fn returned(
        &mut self,
        id: WorkerId,
        (job, lease): (JobId, LeaseId),
        tasks: &[TaskRange],
        reason: &str,
    ) {
        self.hear(id);
        self.note_answer(id, lease);
        let is_held = |held: &Lease| (held.job(), held.worker()) == (job, id);
        if !self.placement.lease(lease).is_some_and(is_held) {
            return;
        }
        let answer = |worker: &mut Worker| {
            (worker.answer(lease), worker.is_draining() || worker.unable().is_some())
        };
        let Some((answers, wants_all)) = self.placement.change_worker(id, answer) else { return };
        let asked = self.placement.lease(lease).map(Lease::asked).filter(|_| !wants_all);
        let wanted = asked.map_or_else(
            || tasks.to_vec(),
            |asked| tasks.iter().flat_map(|part| asked.within(*part)).collect(),
        );
        let wanted = self.take_back(lease, &wanted);
        let unasked = self.take_back(lease, tasks);
        let begun_all = answers && wanted.is_empty() && unasked.is_empty();
        self.tally.leases.returned += u64::from(!wanted.is_empty() || !unasked.is_empty());
        self.placement.change_worker(id, |worker| worker.set_begun_all(begun_all));
        self.requeue(job, &wanted);
        // The worker gave these back for reasons of its own.
        if !unasked.is_empty() {
            self.distrust(id, job, lease, reason);
        }
        self.count_all(job, &unasked, Failed { worker: id, counter: RetryCounter::Infra, reason });
    }

    /// Makes tasks wait for another worker, with nothing counted against them.
    pub(super) fn requeue(&mut self, job: JobId, tasks: &[TaskRange]) {
        let Some(entry) = self.ledger.job(job).filter(|_| self.placement.is_active(job)) else {
            return;
        };
        if entry.has_given_up() {
            return self.end_tasks(job, tasks.to_vec(), OutcomeClass::Skipped);
        }
        if self.config.breaks(Planted::NoRequeue) {
            return;
        }
        self.placement.change_queue(job, |queue| {
            tasks.iter().for_each(|part| queue.put(*part, entry, &self.config));
        });
    }

    /// The tasks' host is gone, and each of them may be why.
    pub(super) fn lose(&mut self, job: JobId, tasks: &[TaskRange], worker: WorkerId, why: &str) {
        let failed = Failed { worker, counter: RetryCounter::HostLoss, reason: why };
        self.count_all(job, tasks, failed);
    }

    /// A worker did not end tasks in their time: it is to blame, and not they.
    pub(super) fn give_up(&mut self, job: JobId, tasks: &[TaskRange], worker: WorkerId, why: &str) {
        self.count_all(job, tasks, Failed { worker, counter: RetryCounter::Infra, reason: why });
    }

    /// Counts an attempt of each of these tasks, and lets them run again or ends them.
    fn count_all(&mut self, job: JobId, tasks: &[TaskRange], failed: Failed<'_>) {
        let Some(entry) = self.ledger.job(job) else { return };
        if entry.has_given_up() {
            return self.requeue(job, tasks);
        }
        let mut by_attempt: BTreeMap<u32, (Vec<TaskRange>, Vec<TaskRange>)> = BTreeMap::new();
        for (tasks, history) in tasks.iter().flat_map(|part| entry.by_history(*part)) {
            let survives = match failed.counter {
                RetryCounter::App => true,
                RetryCounter::HostLoss => history.survives_host_loss(&self.config),
                RetryCounter::Infra => history.survives_infra(entry.spec(), &self.config),
            };
            let (again, dead) = by_attempt.entry(history.attempt()).or_default();
            if survives { again.push(tasks) } else { dead.push(tasks) }
        }
        for (attempt, (again, dead)) in by_attempt {
            if !again.is_empty() {
                self.fail(job, again.clone(), attempt, failed, false);
                if failed.counter == RetryCounter::HostLoss
                    && self.config.breaks(Planted::DoubleHostLoss)
                {
                    self.fail(job, again.clone(), attempt, failed, false);
                }
                self.run_again(job, &again, failed.counter);
            }
            if !dead.is_empty() {
                self.fail(job, dead.clone(), attempt, failed, true);
                self.end_lost(job, &dead, failed.worker);
            }
        }
    }

    /// Ends tasks as lost, each with a result that has all its attempts.
    fn end_lost(&mut self, job: JobId, tasks: &[TaskRange], worker: WorkerId) {
        let indices: Vec<u64> = tasks.iter().flat_map(|part| part.first..part.end()).collect();
        for indices in indices.chunks(EXPLAINED_MAX) {
            let Some(entry) = self.ledger.job(job) else { return };
            let lost = |index: &u64| {
                let history = entry.history(*index);
                let name = |worker| self.ledger.worker_name(worker);
                let reason = explain(history, entry.failed_attempts(*index), name);
                let attempt = history.attempt().saturating_sub(1);
                LostTask { index: *index, attempt, worker, reason }
            };
            let lost: Vec<LostTask> = indices.iter().map(lost).collect();
            let mut sorted = Sorted::default();
            indices
                .iter()
                .for_each(|index| sorted.keep(TaskRange::one(*index), OutcomeClass::Lost, &[]));
            let (first_cursor, runs, cost) = (entry.results(), sorted.runs, sorted.cost);
            let record = Record::Committed { job, first_cursor, runs, cost };
            self.persist_as(record, |record| Output::PersistLost { lost, record });
        }
    }
}

impl Sorted {
    /// Keeps tasks that end in this way, with the results that there are of them.
    fn keep(&mut self, tasks: TaskRange, class: OutcomeClass, results: &[Completion]) {
        self.kept += tasks.count;
        results.iter().for_each(|result| self.cost.add(result.cost));
        match self.runs.last_mut() {
            Some(run) if run.class == class && run.tasks.end() == tasks.first => {
                run.tasks.count += tasks.count;
            }
            _ => self.runs.push(CommittedRun { tasks, class }),
        }
    }

    /// True where an attempt did not come to its end.
    fn has_lost(&self) -> bool {
        let lost = |(_, counter, _): &(u64, RetryCounter, String)| *counter != RetryCounter::App;
        !self.lost.is_empty() || self.again.iter().any(lost)
    }

    fn again(&mut self, position: u32, result: &Completion, counter: RetryCounter) {
        self.others.push(position);
        self.again_us = self.again_us.saturating_add(result.cost.wall_us);
        let reason = result.reason.clone().unwrap_or_default();
        self.again.push((result.index, counter, reason));
    }
}

/// What is ok is to be committed as failed.
fn fail_all(runs: &mut [CommittedRun]) {
    let ok = runs.iter_mut().filter(|run| run.class == OutcomeClass::Ok);
    ok.for_each(|run| run.class = OutcomeClass::Failed);
}

/// The planted bug: what came late counts as used.
fn whole(block: &CompletedBlock) -> Cost {
    let mut cost = Cost::default();
    block.results.iter().for_each(|result| cost.add(result.cost));
    cost
}

/// The planted bug: whatever is open is committed.
fn unfenced(job: &Job, block: &CompletedBlock) -> Sorted {
    let mut sorted = Sorted::default();
    for (position, result) in (0..).zip(&block.results) {
        if !job.open().within(TaskRange::one(result.index)).is_empty() {
            sorted.keep(TaskRange::one(result.index), result.class, slice::from_ref(result));
        } else {
            sorted.others.push(position);
        }
    }
    sorted
}

/// The positions in a block without some of them, which rise.
fn without(all: u64, some: &[u32]) -> Vec<u32> {
    let all = 0..u32::try_from(all).unwrap_or(u32::MAX);
    all.filter(|position| some.binary_search(position).is_err()).collect()
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
