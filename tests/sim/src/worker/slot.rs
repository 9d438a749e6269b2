//! A slot: it runs one task after the other, each for as long as its input says.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use wasmgrid_agent::Batch;
use wasmgrid_proto::{
    Extensions, JobId, LeaseId, Outcome, OutcomeClass, ResultBlock, ResultMeta, RunningTask,
    TaskId, TaskRange, Usage,
};

use crate::{
    random::Random,
    task::{End, Task},
};

/// How long a runner lives that dies at once.
const DEATH_US: u64 = 500;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Slot {
    given: VecDeque<Given>,
    /// The run of the first task of the first batch.
    run: Option<u64>,
    /// Results of the first batch that were not told.
    done: Vec<ResultMeta>,
    payload: BytesMut,
}

/// A batch, with the tasks that have not ended.
#[derive(Debug)]
struct Given {
    batch: Batch<()>,
    left: VecDeque<(u64, Task)>,
}

/// What came of a task's end.
pub(super) enum Ended {
    /// Nothing that is to be told yet.
    Nothing,
    HostDies,
    Results(ResultBlock, Bytes),
}

impl Slot {
    /// Takes a batch.
    pub(super) fn push(&mut self, batch: Batch<()>) {
        let inputs = batch.payload.as_chunks().0.iter();
        let tasks = inputs.map(|input| Task(u64::from_le_bytes(*input)));
        let left = (batch.first..).zip(tasks).collect();
        self.given.push_back(Given { batch, left });
    }

    /// Begins the next task, under this number, if none runs; how long it takes.
    pub(super) fn begin(&mut self, run: u64, loses: bool) -> Option<u64> {
        if self.run.is_some() {
            return None;
        }
        let (_, task) = self.given.front()?.left.front()?;
        self.run = Some(run);
        Some(if loses { DEATH_US } else { task.wall_us() })
    }

    /// What runs.
    pub(super) fn running(&self) -> Option<RunningTask> {
        self.run?;
        let given = self.given.front()?;
        let (index, _) = given.left.front()?;
        let task = TaskId { job: given.batch.job, index: *index };
        Some(RunningTask { task, elapsed_ms: 0, progress: None })
    }

    /// A run has come to its end: of the task, or, if it `loses` all, of its runner.
    pub(super) fn ran(&mut self, run: u64, loses: bool, random: &mut Random) -> Ended {
        if self.run != Some(run) {
            return Ended::Nothing;
        }
        self.run = None;
        let Some(given) = self.given.front_mut() else { return Ended::Nothing };
        let Some((index, task)) = given.left.pop_front() else { return Ended::Nothing };
        let end =
            if loses { End::Result(OutcomeClass::Lost) } else { task.end(given.batch.attempt) };
        let End::Result(class) = end else { return Ended::HostDies };
        let ends = given.left.is_empty() || class == OutcomeClass::Lost;
        self.payload.put_u64_le(task.output());
        self.done.push(meta(index, class, task.wall_us(), size_of::<u64>() as u32));
        if ends || random.chance(30) {
            self.flush().map_or(Ended::Nothing, |(block, payload)| Ended::Results(block, payload))
        } else {
            Ended::Nothing
        }
    }

    /// The results so far.
    fn flush(&mut self) -> Option<(ResultBlock, Bytes)> {
        let given = self.given.front()?;
        let results = std::mem::take(&mut self.done);
        let block = block(&given.batch, results);
        if given.left.is_empty() {
            self.given.pop_front();
        }
        (!block.results.is_empty()).then(|| (block, self.payload.split().freeze()))
    }

    /// A job is cancelled: what runs of it ends at once or runs to its end, with what is after it.
    pub(super) fn cancel(&mut self, job: JobId, random: &mut Random) -> Vec<(ResultBlock, Bytes)> {
        let stops = self.run.is_none() || random.chance(50);
        let runs = self.given.front().is_some_and(|given| given.batch.job == job);
        if runs && !stops {
            return Vec::new();
        }
        let mut ended = Vec::new();
        if runs {
            self.run = None;
            ended.extend(self.flush());
        }
        for given in self.given.iter_mut().filter(|given| given.batch.job == job) {
            let cancelled = |(index, _)| meta(index, OutcomeClass::Cancelled, 1, 0);
            let results: Vec<_> =
                std::mem::take(&mut given.left).into_iter().map(cancelled).collect();
            if !results.is_empty() {
                ended.push((block(&given.batch, results), Bytes::new()));
            }
        }
        self.given.retain(|given| !given.left.is_empty());
        ended
    }

    /// Gives back what has not begun of these tasks of a lease; and, if nothing is left of the batch
    /// that ran, its results so far.
    pub(super) fn recall(
        &mut self,
        lease: LeaseId,
        tasks: &[TaskRange],
    ) -> (Vec<TaskRange>, Option<(ResultBlock, Bytes)>) {
        let asked = |index: u64| tasks.iter().any(|part| (part.first..part.end()).contains(&index));
        let mut running = self.run.is_some();
        let mut taken: Vec<TaskRange> = Vec::new();
        for given in &mut self.given {
            let of_lease = given.batch.lease == lease;
            given.left.retain(|(index, _)| {
                let take = !std::mem::take(&mut running) && of_lease && asked(*index);
                if take {
                    match taken.last_mut() {
                        Some(last) if last.end() == *index => last.count += 1,
                        _ => taken.push(TaskRange { first: *index, count: 1 }),
                    }
                }
                !take
            });
        }
        let is_over = self.given.front().is_some_and(|given| given.left.is_empty());
        let ended = if is_over { self.flush() } else { None };
        self.given.retain(|given| !given.left.is_empty());
        (taken, ended)
    }
}

fn block(batch: &Batch<()>, results: Vec<ResultMeta>) -> ResultBlock {
    let Batch { job, lease, worker, attempt, .. } = *batch;
    ResultBlock { job, lease, worker, attempt, results, extensions: Extensions::NONE }
}

fn meta(index: u64, class: OutcomeClass, wall_us: u64, output_len: u32) -> ResultMeta {
    let outcome = match class {
        OutcomeClass::Ok => Outcome::Ok,
        OutcomeClass::Retry => Outcome::Retry(String::new()),
        OutcomeClass::Cancelled => Outcome::Cancelled(String::new()),
        OutcomeClass::Lost => Outcome::Lost(String::new()),
        OutcomeClass::Failed | OutcomeClass::Expired | OutcomeClass::Skipped => Outcome::Exit(1),
    };
    let usage = Usage { wall_us, ..Usage::default() };
    ResultMeta {
        index,
        outcome,
        usage,
        output_len,
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    }
}
