//! Single tasks looked for in their job's result log, of which no index is kept: it is read
//! backwards, beside the driver. For late results, and for what is asked of one task.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::Semaphore;
use wasmgrid_proto::{
    JobId, ResultBlock, TaskResult, TaskState, TaskStatus, WorkerId,
    wire::{ApiError, ErrorCode, Reply},
};

use super::{
    Driver, Event, api_error,
    comparison::{Comparison, Late},
    logs,
};
use crate::{
    driver::{cache::Results, gate::Gated},
    links::LinkId,
};

/// Readings of logs that wait for each other: one goes on at a time, so that they never take the
/// readers from those who wait for inputs and results.
const WALKS_MAX: usize = 256;

/// The readings that are to be done.
pub(super) struct Walks {
    /// Those that wait until all they need is durable.
    waiting: BTreeMap<u64, Walk>,
    next: u64,
    turn: Arc<Semaphore>,
}

impl Default for Walks {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), next: 0, turn: Arc::new(Semaphore::new(1)) }
    }
}

/// A reading of a job's log from its end.
pub(super) struct Walk {
    pub job: JobId,
    /// The cursor behind the last result that is read.
    pub end: u64,
    pub want: Want,
}

/// What it is for.
pub(super) enum Want {
    Compare(Vec<Arc<Late>>),
    Task { link: LinkId, id: u64, status: Box<TaskStatus> },
}

/// A task's result as it was found in the log.
#[derive(Debug)]
pub(crate) struct FoundResult {
    worker: WorkerId,
    attempt: u32,
    result: TaskResult,
}

impl Driver {
    /// Answers what one task is asked about.
    pub(super) fn task_request(&mut self, link: LinkId, id: u64, job: JobId, index: u64) {
        let Some(status) = self.grid.task(job, index) else {
            return self.answer(link, id, Err(self.no_task(job, index)));
        };
        let end = self.status(job).map_or(0, |status| status.results);
        if status.state != TaskState::Ended {
            return self.answer(link, id, Ok(Reply::Task(status)));
        }
        let want = Want::Task { link, id, status: Box::new(status) };
        self.walk(Walk { job, end, want });
    }

    fn no_task(&self, job: JobId, index: u64) -> ApiError {
        let mut why = format!("there is no task {job}/{index}");
        if let Some((of, below, above)) = self.grid.nearest_tasks(job, index) {
            let nearest: Vec<_> = below.into_iter().chain(above).map(|at| at.to_string()).collect();
            why += &format!(
                ": job {job} runs some of the tasks of job {of} again, under their indices; the \
                 nearest it has: {}",
                nearest.join(" and ")
            );
        } else {
            why += &format!("; `wasmgrid job show {job}` has how many there are");
        }
        api_error(ErrorCode::NotFound, why)
    }

    /// A task's result was looked for.
    pub(super) fn task_found(
        &mut self,
        (link, id): (LinkId, u64),
        mut status: TaskStatus,
        found: Option<FoundResult>,
    ) {
        if let Some(FoundResult { worker, attempt, result }) = found {
            status.worker = self.grid.worker_name(worker).unwrap_or_default().to_owned();
            status.attempt = attempt;
            status.result = Some(result);
        }
        self.answer(link, id, Ok(Reply::Task(status)));
    }

    /// Reads a log once all of it that counts is durable.
    pub(super) fn walk(&mut self, walk: Walk) {
        let walks = &mut self.state.walks;
        if walks.waiting.len() >= WALKS_MAX {
            return self.give_up(walk);
        }
        walks.next += 1;
        walks.waiting.insert(walks.next, walk);
        self.gate.hold(Gated::Walk { number: walks.next });
    }

    fn give_up(&mut self, walk: Walk) {
        match walk.want {
            Want::Compare(late) => {
                for late in late {
                    self.state.audit.drop_late(walk.job, late.meta.index);
                }
            }
            Want::Task { link, id, .. } => {
                let why = "too much is asked of single tasks at once; ask again".to_owned();
                self.answer(link, id, Err(api_error(ErrorCode::Unavailable, why)));
            }
        }
    }

    /// What a reading needs is durable.
    pub(super) fn start_walk(&mut self, number: u64) {
        let Some(Walk { job, end, want }) = self.state.walks.waiting.remove(&number) else {
            return;
        };
        let (turn, readers) = (self.state.walks.turn.clone(), self.readers.clone());
        let done = self.done.clone();
        self.tasks.spawn(async move {
            // The semaphore is never closed.
            let _turn = turn.acquire_owned().await;
            let event = match want {
                Want::Compare(late) => {
                    let state = Comparison::new(late);
                    let walked = readers.walk_back(job, end, state, Comparison::look).await;
                    let compared = walked.map(Comparison::finish).unwrap_or_default();
                    Event::Compared { job, compared }
                }
                Want::Task { link, id, mut status } => {
                    let index = status.task.index;
                    let walked = readers.walk_back(job, end, (index, None), find).await;
                    let found = walked.ok().and_then(|(_, found)| found);
                    let log = readers.meta(logs::key(job, index)).await.ok().flatten();
                    status.log = log.unwrap_or_default().to_vec();
                    Event::TaskFound { link, id, status, found }
                }
            };
            // The driver is gone only when the server ends.
            let _ = done.send(event).await;
        });
    }
}

fn find((index, found): &mut (u64, Option<FoundResult>), results: &Results) -> bool {
    let place = results.block.results.iter().position(|meta| meta.index == *index);
    let Some((at, meta)) = place.and_then(|at| Some((at, results.block.results.get(at)?))) else {
        return true;
    };
    let result = TaskResult {
        cursor: results.first + at as u64,
        outcome: meta.outcome.clone(),
        usage: meta.usage,
        output_bytes: meta.output_len.into(),
        records: meta.record_lens.len() as u64,
        log_bytes: meta.log_len.into(),
    };
    let ResultBlock { worker, attempt, .. } = results.block;
    *found = Some(FoundResult { worker, attempt, result });
    false
}
