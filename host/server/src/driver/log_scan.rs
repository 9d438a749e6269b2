//! Single tasks looked for in their job's result log, of which no index is kept: it is read
//! backwards, beside the driver. For late results, and for what is asked of one task.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use wasmgrid_proto::{
    JobId, Reason, ResultBlock, TaskResult, TaskState, TaskStatus, WorkerId,
    reason::Indices,
    wire::{ApiError, Reply},
};

use super::{
    Driver, Effect, LinkId, Observer,
    cache::Results,
    comparison::{Comparison, Late},
    gate::Gated,
    logs,
    turns::{Bounds, Turns},
};

/// Readings of one tenant that wait, beyond which more are refused.
const SCANS_OF_ONE: usize = 64;

/// One reading goes on at a time, so that readings never take the readers from those who wait for
/// inputs and results. Tenants take turns: one that asks about many tasks holds up its own questions.
const BOUNDS: Bounds = Bounds {
    at_work: 1,
    of_one: 1,
    waiting: SCANS_OF_ONE,
    // They are small.
    waiting_bytes: usize::MAX,
    all_bytes: usize::MAX,
};

/// The readings that are to be done.
pub(super) struct LogScans {
    /// Those that wait until all they need is durable, with their tenants.
    waiting: BTreeMap<u64, (String, Walking)>,
    next: u64,
    /// Those that wait for their turn.
    ready: Turns<Walking>,
    /// Who waits for the one that goes on, and the tenant whose turn it is.
    asker: Option<(String, Asker)>,
}

impl Default for LogScans {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), next: 0, ready: Turns::new(BOUNDS), asker: None }
    }
}

impl LogScans {
    /// A client's link has ended: nobody waits for what it has asked.
    pub(super) fn unlinked(&mut self, link: LinkId) {
        let asked = |scan: &Walking| matches!(scan.want, Want::Task { link: of, .. } if of == link);
        self.waiting.retain(|_, (_, scan)| !asked(scan));
        self.ready.retain(|scan| !asked(scan));
    }
}

/// A reading of a job's log that is to be done.
pub(super) struct Walking {
    pub(super) job: JobId,
    /// The cursor after the last result that is read.
    pub(super) end: u64,
    pub(super) want: Want,
}

/// What it is for.
pub(super) enum Want {
    Compare(Vec<Arc<Late>>),
    Task { link: LinkId, id: u64, status: Box<TaskStatus> },
}

/// Who waits for a reading.
enum Asker {
    Comparison(JobId),
    Client { link: LinkId, id: u64, status: Box<TaskStatus> },
}

/// A reading of a job's log from its end.
#[derive(Debug)]
pub struct LogScan {
    /// The job.
    pub job: JobId,
    /// The cursor after the last result that is read.
    pub end: u64,
    /// What looks at each segment.
    pub search: Search,
    /// The key of a value that is read too.
    pub log_key: Option<String>,
}

/// What is sought in a log, and what of it was found.
#[derive(Debug)]
pub struct Search(Sought);

#[derive(Debug)]
enum Sought {
    Late(Comparison),
    Task { index: u64, found: Option<FoundResult> },
}

/// A task's result as it was found in the log.
#[derive(Debug)]
struct FoundResult {
    worker: WorkerId,
    attempt: u32,
    result: TaskResult,
}

impl Search {
    /// Looks at a segment; false if nothing more is sought.
    pub fn look(&mut self, results: &Results) -> bool {
        match &mut self.0 {
            Sought::Late(comparison) => comparison.look(results),
            Sought::Task { index, found } => {
                *found = find(*index, results);
                found.is_none()
            }
        }
    }
}

impl<O: Observer> Driver<O> {
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
        self.scan(Walking { job, end, want });
    }

    fn no_task(&self, job: JobId, index: u64) -> ApiError {
        let Some((of, below, above)) = self.grid.nearest_tasks(job, index) else {
            return Reason::NoTask { job, index }.into();
        };
        let nearest = Indices(below.into_iter().chain(above).collect());
        Reason::NotRetried { job, index, of, nearest }.into()
    }

    /// Reads a log once all of it that counts is durable.
    pub(super) fn scan(&mut self, scan: Walking) {
        let tenant = match &scan.want {
            Want::Task { link, .. } => {
                self.state.clients.get(link).map(|client| client.tenant.as_str())
            }
            Want::Compare(_) => self.grid.tenant(scan.job),
        };
        let tenant = tenant.unwrap_or_default().to_owned();
        let scans = &mut self.state.scans;
        if scans.waiting.values().filter(|(of, _)| *of == tenant).count() >= SCANS_OF_ONE {
            return self.give_up(scan);
        }
        scans.next += 1;
        let number = scans.next;
        scans.waiting.insert(number, (tenant, scan));
        self.hold(Gated::LogScan { number });
    }

    fn give_up(&mut self, scan: Walking) {
        match scan.want {
            Want::Compare(late) => {
                for late in late {
                    self.state.late.drop_late(scan.job, late.meta.index);
                }
            }
            Want::Task { link, id, .. } => {
                let allowed = SCANS_OF_ONE as u64;
                self.answer(link, id, Err(Reason::TooManyLookups { allowed }.into()));
            }
        }
    }

    /// What a reading needs is durable.
    pub(super) fn start_walk(&mut self, number: u64) {
        let scans = &mut self.state.scans;
        let Some((tenant, scan)) = scans.waiting.remove(&number) else { return };
        match scans.ready.push(&tenant, scan, 1) {
            Ok(()) => self.next_walk(),
            Err((scan, _)) => self.give_up(scan),
        }
    }

    fn next_walk(&mut self) {
        if self.state.scans.asker.is_some() {
            return;
        }
        let Some((tenant, scan)) = self.state.scans.ready.next() else { return };
        let Walking { job, end, want } = scan;
        let (asker, sought, log_key) = match want {
            Want::Compare(late) => {
                (Asker::Comparison(job), Sought::Late(Comparison::new(late)), None)
            }
            Want::Task { link, id, status } => {
                let index = status.task.index;
                let sought = Sought::Task { index, found: None };
                (Asker::Client { link, id, status }, sought, Some(logs::key(job, index)))
            }
        };
        self.state.scans.asker = Some((tenant, asker));
        self.effects.push(Effect::LogScan(LogScan { job, end, search: Search(sought), log_key }));
    }

    /// A log was read.
    pub(super) fn walked(&mut self, search: Option<Search>, log: Option<Bytes>) {
        let scans = &mut self.state.scans;
        let asker = scans.asker.take().map(|(tenant, asker)| {
            scans.ready.done(&tenant);
            asker
        });
        match (asker, search.map(|search| search.0)) {
            (Some(Asker::Comparison(job)), Some(Sought::Late(comparison))) => {
                self.compared(job, comparison.finish());
            }
            (Some(Asker::Client { link, id, status }), sought) => {
                let found = match sought {
                    Some(Sought::Task { found, .. }) => found,
                    _ => None,
                };
                self.task_found((link, id), *status, found, log);
            }
            // The log could not be read: what was to be compared is not.
            _ => {}
        }
        self.next_walk();
    }

    /// A task's result was looked for.
    fn task_found(
        &mut self,
        (link, id): (LinkId, u64),
        mut status: TaskStatus,
        found: Option<FoundResult>,
        log: Option<Bytes>,
    ) {
        status.log = log.unwrap_or_default().to_vec();
        if let Some(FoundResult { worker, attempt, result }) = found {
            status.worker = self.grid.worker_name(worker).unwrap_or_default().to_owned();
            status.attempt = attempt;
            status.result = Some(result);
        }
        self.answer(link, id, Ok(Reply::Task(status)));
    }
}

fn find(index: u64, results: &Results) -> Option<FoundResult> {
    let at = results.block.results.iter().position(|meta| meta.index == index)?;
    let meta = results.block.results.get(at)?;
    let result = TaskResult {
        cursor: results.first + at as u64,
        outcome: meta.outcome.clone(),
        usage: meta.usage,
        output_bytes: meta.output_len.into(),
        records: meta.record_lens.len() as u64,
        log_bytes: meta.log_len.into(),
    };
    let ResultBlock { worker, attempt, .. } = *results.block;
    Some(FoundResult { worker, attempt, result })
}
