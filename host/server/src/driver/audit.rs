//! Late results: a copy of what a pure task did is compared with the one that counts, which must
//! not differ. Also what is asked of single tasks, for both look for one task in a job's result
//! log, which is read backwards beside the driver: no index is kept of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use wasmgrid_core::{Input, SegmentToken};
use wasmgrid_proto::{
    Digest, JobId, JobState, Outcome, ResultBlock, ResultMeta, TaskResult, TaskState, TaskStatus,
    Witness, WorkerId,
    wire::{ErrorCode, Reply},
};
use wasmgrid_store::Entry;

use super::{Driver, Event, api_error};
use crate::{
    cache::Results,
    gate::Gated,
    journal::{Write, log_prefix},
    links::LinkId,
};

/// Late results that wait to be compared. Beyond it they are discarded unseen: to compare them is
/// a help, and no promise of one.
const LATE_MAX: usize = 4_096;

/// Their bytes.
const LATE_BYTES: usize = 64 << 20;

/// Readings of logs that wait for each other: one goes on at a time, so that they never take the
/// readers from those who wait for inputs and results.
const WALKS_MAX: usize = 256;

/// Logs that are kept of tasks of one cancelled job.
const LOGS_PER_JOB: u32 = 64;

/// Cancelled jobs whose kept logs are counted; the oldest are taken for full.
const LOG_JOBS: usize = 1_024;

/// Bytes of one such log, from its end: it is told in an answer about its task.
const LOG_BYTES: usize = 32 << 10;

/// Of all that is compared.
pub(super) struct Audit {
    /// What waits to be compared, by job and task.
    late: BTreeMap<JobId, BTreeMap<u64, Arc<Late>>>,
    count: usize,
    bytes: usize,
    walks: BTreeMap<u64, Walk>,
    next_walk: u64,
    turn: Arc<Semaphore>,
    /// How many logs are kept of cancelled jobs.
    logs: BTreeMap<JobId, u32>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            late: BTreeMap::new(),
            count: 0,
            bytes: 0,
            walks: BTreeMap::new(),
            next_walk: 0,
            turn: Arc::new(Semaphore::new(1)),
            logs: BTreeMap::new(),
        }
    }
}

/// A result, and whose it is.
#[derive(Debug)]
pub(crate) struct Late {
    worker: WorkerId,
    attempt: u32,
    meta: ResultMeta,
    payload: Bytes,
}

/// A reading of a job's log from its end.
struct Walk {
    job: JobId,
    end: u64,
    want: Want,
}

enum Want {
    Compare(Vec<Arc<Late>>),
    Task { link: LinkId, id: u64, status: Box<TaskStatus> },
}

/// What came of a comparison.
#[derive(Debug)]
pub(crate) struct Compared {
    /// The task's index.
    index: u64,
    /// True where the one that counts was found.
    found: bool,
    /// The one that counts and the late one, where they differ.
    differs: Option<(Witness, Witness)>,
}

/// A task's result as it was found in the log.
#[derive(Debug)]
pub(crate) struct FoundResult {
    worker: WorkerId,
    attempt: u32,
    result: TaskResult,
}

impl Driver {
    /// Results came late: those that can be are compared, logs of stopped tasks are kept.
    pub(super) fn late(&mut self, token: SegmentToken, block: usize, positions: &[u32]) {
        let Some((block, payload)) =
            self.state.held.get(&token).and_then(|blocks| blocks.get(block)).cloned()
        else {
            return;
        };
        let job = block.job;
        let Some(status) = self.grid.job(job) else { return };
        let (worker, attempt) = (block.worker, block.attempt);
        let Ok(entries) = block.entries(&payload) else { return };
        let wanted: BTreeSet<usize> = positions.iter().map(|at| *at as usize).collect();
        let mut added = Vec::new();
        for (_, (meta, payload)) in entries.enumerate().filter(|(at, _)| wanted.contains(at)) {
            let late = Late { worker, attempt, meta: meta.clone(), payload };
            if matches!(meta.outcome, Outcome::Cancelled(_)) && status.state == JobState::Cancelled
            {
                self.keep_log(job, &late);
            }
            if status.spec.task.grants.is_empty() && is_comparable(&meta.outcome) {
                added.extend(self.state.audit.add(job, late));
            }
        }
        if !added.is_empty() {
            self.walk(Walk { job, end: status.results, want: Want::Compare(added) });
        }
    }

    /// Compares results that are about to be stored with late ones of the same tasks.
    pub(super) fn compare_committed(&mut self, job: JobId, results: &Results) {
        if !self.state.audit.late.contains_key(&job) {
            return;
        }
        let Ok(entries) = results.block.entries(&results.payload) else { return };
        let mut pairs = Vec::new();
        for (meta, payload) in entries {
            let Some(late) = self.state.audit.take(job, meta.index) else { continue };
            let (worker, attempt) = (results.block.worker, results.block.attempt);
            let meta = meta.clone();
            pairs.push((late, Late { worker, attempt, meta, payload }));
        }
        if pairs.is_empty() {
            return;
        }
        let (readers, done) = (self.readers.clone(), self.done.clone());
        self.tasks.spawn(async move {
            let compare = move || {
                let compared = pairs.iter().map(|(late, committed)| compare(late, committed));
                compared.collect::<Vec<_>>()
            };
            let Some(compared) = readers.beside(compare).await else { return };
            // The driver is gone only when the server ends.
            let _ = done.send(Event::Compared { job, compared }).await;
        });
    }

    /// Comparisons are done.
    pub(super) fn compared(&mut self, job: JobId, compared: Vec<Compared>) {
        for Compared { index, found, differs } in compared {
            // One of a task that goes on waits for the result that will count.
            if found || !self.grid.is_open(job, index) {
                drop(self.state.audit.take(job, index));
            }
            if let Some((committed, late)) = differs {
                self.diverged(job, index, committed, late);
            }
        }
    }

    /// A job changed: where it has ended, no other result of it will come.
    pub(super) fn forget_late(&mut self, job: JobId) {
        if self.state.audit.late.contains_key(&job)
            && self.grid.job(job).is_none_or(|status| status.state.is_terminal())
        {
            self.state.audit.forget(job);
        }
    }

    fn diverged(&mut self, job: JobId, index: u64, committed: Witness, late: Witness) {
        let count = |driver: &Self| driver.grid.divergences(job).map_or(0, |found| found.count);
        let before = count(self);
        self.grid.handle(self.state.now, Input::Diverged { job, index, committed, late });
        if count(self) == before {
            return;
        }
        let name = |witness: &Witness| self.grid.worker_name(witness.worker).unwrap_or("unknown");
        tracing::warn!(
            %job,
            task = index,
            committed_by = name(&committed),
            committed_attempt = committed.attempt,
            committed_digest = %committed.digest,
            late_by = name(&late),
            late_attempt = late.attempt,
            late_digest = %late.digest,
            "divergence: two results of a task without grants differ; one of the workers is not \
             to be trusted"
        );
    }

    /// Answers what one task is asked about.
    pub(super) fn task_request(&mut self, link: LinkId, id: u64, job: JobId, index: u64) {
        let Some(status) = self.grid.task(job, index) else {
            let why = format!(
                "there is no task {job}/{index}; `wasmgrid job show {job}` has how many there are"
            );
            return self.answer(link, id, Err(api_error(ErrorCode::NotFound, why)));
        };
        let end = self.status(job).map_or(0, |status| status.results);
        if status.state != TaskState::Ended {
            return self.answer(link, id, Ok(Reply::Task(status)));
        }
        let want = Want::Task { link, id, status: Box::new(status) };
        self.walk(Walk { job, end, want });
    }

    /// Answers which results of a job differ.
    pub(super) fn divergences_request(&mut self, link: LinkId, id: u64, job: JobId) {
        let found = self.grid.divergences(job).ok_or_else(|| {
            let why = format!("there is no job {job}; `wasmgrid job list` shows those that are");
            api_error(ErrorCode::NotFound, why)
        });
        self.answer(link, id, found.map(Reply::Divergences));
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
    fn walk(&mut self, walk: Walk) {
        let audit = &mut self.state.audit;
        if audit.walks.len() >= WALKS_MAX {
            return self.give_up(walk);
        }
        audit.next_walk += 1;
        audit.walks.insert(audit.next_walk, walk);
        self.gate.hold(Gated::Walk { number: audit.next_walk });
    }

    fn give_up(&mut self, walk: Walk) {
        match walk.want {
            Want::Compare(late) => {
                for late in late {
                    drop(self.state.audit.take(walk.job, late.meta.index));
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
        let Some(Walk { job, end, want }) = self.state.audit.walks.remove(&number) else { return };
        let (turn, readers) = (self.state.audit.turn.clone(), self.readers.clone());
        let done = self.done.clone();
        self.tasks.spawn(async move {
            // The semaphore is never closed.
            let _turn = turn.acquire_owned().await;
            let event = match want {
                Want::Compare(late) => {
                    let sought = late.into_iter().map(|late| (late.meta.index, late)).collect();
                    let state = Comparison { sought, compared: Vec::new() };
                    let walked = readers.walk_back(job, end, state, Comparison::look).await;
                    let compared = walked.map(Comparison::finish).unwrap_or_default();
                    Event::Compared { job, compared }
                }
                Want::Task { link, id, mut status } => {
                    let index = status.task.index;
                    let walked = readers.walk_back(job, end, (index, None), find).await;
                    let found = walked.ok().and_then(|(_, found)| found);
                    let log = readers.meta(log_key(job, index)).await.ok().flatten();
                    status.log = log.unwrap_or_default().to_vec();
                    Event::TaskFound { link, id, status, found }
                }
            };
            // The driver is gone only when the server ends.
            let _ = done.send(event).await;
        });
    }

    /// Keeps what a task had logged when it was stopped: nothing of it commits any more.
    fn keep_log(&mut self, job: JobId, late: &Late) {
        let length = late.meta.log_len as usize;
        let audit = &mut self.state.audit;
        if length == 0 || audit.logs.first_key_value().is_some_and(|(first, _)| *first > job) {
            return;
        }
        let Some(writes) = &self.state.writes else { return };
        let Ok(permit) = writes.try_reserve() else { return };
        let kept = audit.logs.entry(job).or_default();
        if *kept >= LOGS_PER_JOB {
            return;
        }
        *kept += 1;
        while audit.logs.len() > LOG_JOBS {
            audit.logs.pop_first();
        }
        let from = late.payload.len().saturating_sub(length.min(LOG_BYTES));
        let (key, value) = (log_key(job, late.meta.index), Some(late.payload.slice(from..)));
        // Nobody waits for it; where the disk is full it is not kept.
        let (done, _) = oneshot::channel();
        permit.send(Write::Keep { entries: vec![Entry::Meta { key, value }], done });
    }
}

impl Audit {
    /// Remembers a late result until it is compared; nothing where one of the task waits already
    /// or there is no room.
    fn add(&mut self, job: JobId, late: Late) -> Option<Arc<Late>> {
        let (bytes, index) = (late.bytes(), late.meta.index);
        if self.count >= LATE_MAX || self.bytes + bytes > LATE_BYTES {
            return None;
        }
        let of_job = self.late.entry(job).or_default();
        if of_job.contains_key(&index) {
            return None;
        }
        let late = Arc::new(late);
        of_job.insert(index, late.clone());
        self.count += 1;
        self.bytes += bytes;
        Some(late)
    }

    fn take(&mut self, job: JobId, index: u64) -> Option<Arc<Late>> {
        let of_job = self.late.get_mut(&job)?;
        let late = of_job.remove(&index);
        if of_job.is_empty() {
            self.late.remove(&job);
        }
        let late = late?;
        self.count -= 1;
        self.bytes -= late.bytes();
        Some(late)
    }

    /// Nothing of this job waits any more for a result that will count.
    fn forget(&mut self, job: JobId) {
        for late in self.late.remove(&job).into_iter().flat_map(BTreeMap::into_values) {
            self.count -= 1;
            self.bytes -= late.bytes();
        }
    }
}

impl Late {
    fn bytes(&self) -> usize {
        self.payload.len() + size_of::<Self>()
    }

    /// The bytes that must be the same wherever a pure task is run; its log is not looked at.
    fn returned(&self) -> &[u8] {
        let end = self.payload.len().saturating_sub(self.meta.log_len as usize);
        self.payload.get(..end).unwrap_or_default()
    }

    fn outcome(&self) -> Outcome {
        match &self.meta.outcome {
            Outcome::Trap { kind, .. } => Outcome::Trap { kind: *kind, backtrace: String::new() },
            other => other.clone(),
        }
    }

    fn witness(&self) -> Witness {
        let lengths = (self.outcome(), self.meta.output_len, &self.meta.record_lens);
        let mut bytes = postcard::to_allocvec(&lengths).unwrap_or_default();
        bytes.extend_from_slice(self.returned());
        Witness { worker: self.worker, attempt: self.attempt, digest: Digest::of(&bytes) }
    }
}

/// A search for the results that late ones are compared with.
struct Comparison {
    sought: BTreeMap<u64, Arc<Late>>,
    compared: Vec<Compared>,
}

impl Comparison {
    /// Looks at a segment; false where nothing is sought any more.
    fn look(&mut self, results: &Results) -> bool {
        let ResultBlock { worker, attempt, .. } = results.block;
        let Ok(entries) = results.block.entries(&results.payload) else { return true };
        for (meta, payload) in entries {
            let Some(late) = self.sought.remove(&meta.index) else { continue };
            let committed = Late { worker, attempt, meta: meta.clone(), payload };
            self.compared.push(compare(&late, &committed));
        }
        !self.sought.is_empty()
    }

    fn finish(mut self) -> Vec<Compared> {
        let missed = |index| Compared { index, found: false, differs: None };
        self.compared.extend(self.sought.into_keys().map(missed));
        self.compared
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

fn compare(late: &Late, committed: &Late) -> Compared {
    let same = late.outcome() == committed.outcome()
        && late.meta.output_len == committed.meta.output_len
        && late.meta.record_lens == committed.meta.record_lens
        && late.returned() == committed.returned();
    let differ = !same && is_comparable(&committed.meta.outcome);
    let differs = differ.then(|| (committed.witness(), late.witness()));
    Compared { index: late.meta.index, found: true, differs }
}

/// Whether a pure task ends so wherever it is run. What a worker refuses depends on its operator.
fn is_comparable(outcome: &Outcome) -> bool {
    outcome.is_deterministic() && !matches!(outcome, Outcome::Refused(_))
}

/// Where the log of a stopped task is kept.
fn log_key(job: JobId, index: u64) -> String {
    format!("{}{index:020}", log_prefix(job))
}
