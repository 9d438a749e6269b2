//! Jobs and workers as they are shown: the JSON of `--output json`, which is a public interface
//! and so is apart from what travels between the parts.

use std::{ffi::OsStr, iter, os::unix::ffi::OsStrExt as _};

use serde::Serialize;
use wasmgrid_net::Validity;
use wasmgrid_proto::{
    Contest, Failing, JobCounts, JobState, JobStatus, Limits, Micros, ModuleKind, RunningTask,
    TaskSpec, VouchedLabels, WITH, WorkerId, WorkerState, WorkerStatus,
};

use crate::{run::data::Data, table};

/// A job.
#[derive(Debug, Serialize)]
pub struct JobView {
    id: u64,
    name: String,
    /// Whose it is.
    tenant: String,
    state: JobState,
    /// False while inputs may be appended.
    closed: bool,
    counts: CountsView,
    results: u64,
    module: String,
    kind: &'static str,
    args: Vec<Data<'static>>,
    ok_exits: Vec<u32>,
    /// The digest of the value that all tasks have.
    with: Option<String>,
    grants: Vec<String>,
    /// Labels that its workers must have, `KEY=VALUE`.
    requires: Vec<String>,
    seed: u64,
    priority: i32,
    retries: u32,
    max_failures: Option<u64>,
    deadline_ms: Option<u64>,
    limits: LimitsView,
    submitted_at_us: u64,
    ended_at_us: Option<u64>,
}

/// A job's tasks by state.
#[derive(Debug, Serialize)]
pub struct CountsView {
    total: u64,
    queued: u64,
    running: u64,
    ok: u64,
    failed: u64,
    cancelled: u64,
    expired: u64,
    skipped: u64,
    retried: u64,
    discarded: u64,
}

/// The limits of each task.
#[derive(Debug, Serialize)]
pub struct LimitsView {
    fuel: u64,
    timeout_ms: u64,
    memory_bytes: u64,
    table_elements: u64,
    output_bytes: u64,
    record_bytes: u64,
    log_bytes: u64,
}

/// A worker.
#[derive(Debug, Serialize)]
pub struct WorkerView {
    id: u64,
    name: String,
    address: String,
    /// `ready`, `draining`, `drained`, `gone`, `cordoned` or `failing`.
    state: &'static str,
    /// Why it is failing; `null` where it is not.
    failing: Option<FailingView>,
    slots: u32,
    memory_bytes: u64,
    labels: Vec<String>,
    /// Those of `labels` that its certificate has: an operator vouched for them.
    vouched: Vec<String>,
    /// Those of `labels` that it says itself and that do not count, since tokens vouch for labels
    /// of their keys.
    not_counted: Vec<String>,
    engine: String,
    assigned: u64,
    committed: u64,
    /// `null` where it did not come back since the scheduler started.
    heard_at_us: Option<u64>,
    running: Vec<RunningView>,
    /// The last machine that was refused because it has this worker's identity.
    contested: Option<ContestView>,
    /// `null` of a worker in the scheduler's own process, which has none.
    certificate: Option<CertificateView>,
}

/// For how long a certificate is good.
#[derive(Debug, Serialize)]
pub struct CertificateView {
    ends_at_us: u64,
    /// It should have been renewed, and was not: by a month before its end, or in the last third of
    /// a shorter life.
    ends_soon: bool,
}

impl From<&Validity> for CertificateView {
    fn from(validity: &Validity) -> Self {
        Self { ends_at_us: validity.ends.0, ends_soon: validity.warn_at() <= table::now() }
    }
}

#[derive(Debug, Serialize)]
struct ContestView {
    address: String,
    at_us: u64,
}

/// Why a worker gets few tasks or none.
#[derive(Debug, Serialize)]
struct FailingView {
    reason: String,
    /// When it is tried again; `null` where the worker itself says when it can run tasks.
    until_us: Option<u64>,
}

#[derive(Debug, Serialize)]
struct RunningView {
    task: String,
    elapsed_ms: u64,
    done: Option<u64>,
    total: Option<u64>,
}

impl From<&JobStatus> for JobView {
    fn from(status: &JobStatus) -> Self {
        let (spec, task) = (&status.spec, &status.spec.task);
        Self {
            id: status.job.0,
            name: spec.name.clone(),
            tenant: task.tenant.clone(),
            state: status.state,
            closed: status.closed,
            counts: CountsView::from(&status.counts),
            results: status.results,
            module: task.module.to_string(),
            kind: kind(task.kind),
            args: task
                .args
                .iter()
                .map(|arg| Data::owned(OsStr::from_bytes(arg.as_bytes())))
                .collect(),
            ok_exits: task.ok_exits.clone(),
            with: task.blob(WITH).map(|digest| digest.to_string()),
            grants: task.grants.iter().map(ToString::to_string).collect(),
            requires: written(&spec.requires),
            seed: task.seed,
            priority: spec.priority,
            retries: spec.retries,
            max_failures: spec.max_failures,
            deadline_ms: spec.deadline.map(|deadline| deadline.0),
            limits: LimitsView::from(&task.limits),
            submitted_at_us: status.submitted_at.0,
            ended_at_us: status.ended_at.map(|at| at.0),
        }
    }
}

impl From<&Limits> for LimitsView {
    fn from(limits: &Limits) -> Self {
        Self {
            fuel: limits.fuel.0,
            timeout_ms: limits.deadline.0,
            memory_bytes: limits.memory.0,
            table_elements: limits.table_elements,
            output_bytes: limits.output.0,
            record_bytes: limits.record.0,
            log_bytes: limits.log.0,
        }
    }
}

impl From<&JobCounts> for CountsView {
    fn from(counts: &JobCounts) -> Self {
        Self {
            total: counts.total,
            queued: counts.queued,
            running: counts.running,
            ok: counts.ok,
            failed: counts.failed,
            cancelled: counts.cancelled,
            expired: counts.expired,
            skipped: counts.skipped,
            retried: counts.retried,
            discarded: counts.discarded,
        }
    }
}

impl WorkerView {
    /// A worker, and who else has its identity.
    pub fn new(
        status: &WorkerStatus,
        contest: Option<&Contest>,
        vouched: &Vouched,
        validity: Option<&Validity>,
    ) -> Self {
        let standing = |wanted| {
            let labels = status.capacity.labels.iter();
            let of = |label: &&(String, String)| vouched.standing(status.worker, label) == wanted;
            labels.filter(of).map(|(key, value)| format!("{key}={value}")).collect()
        };
        Self {
            id: status.worker.0,
            name: status.name.clone(),
            address: status.address.clone(),
            state: status.state.name(),
            failing: failing(&status.state).map(FailingView::from),
            slots: status.capacity.slots,
            memory_bytes: status.capacity.memory.0,
            labels: written(&status.capacity.labels),
            vouched: standing(Standing::Vouched),
            not_counted: standing(Standing::NotCounted),
            engine: status.capacity.engine.clone(),
            assigned: status.assigned,
            committed: status.committed,
            heard_at_us: (status.heard_at > Micros(0)).then_some(status.heard_at.0),
            running: status.running.iter().map(RunningView::from).collect(),
            contested: contest.map(|contest| ContestView {
                address: contest.address.clone(),
                at_us: contest.at.0,
            }),
            certificate: validity.map(CertificateView::from),
        }
    }
}

impl From<&Failing> for FailingView {
    fn from(failing: &Failing) -> Self {
        Self { reason: failing.reason.clone(), until_us: failing.until.map(|until| until.0) }
    }
}

impl From<&RunningTask> for RunningView {
    fn from(task: &RunningTask) -> Self {
        let (done, total) = task.progress.unzip();
        Self { task: task.task.to_string(), elapsed_ms: task.elapsed_ms, done, total }
    }
}

/// Why a worker is failing, where it is.
pub const fn failing(state: &WorkerState) -> Option<&Failing> {
    match state {
        WorkerState::Failing(failing) => Some(failing),
        _ => None,
    }
}

/// Which labels of a grid's workers are vouched for.
#[derive(Debug, Default)]
pub struct Vouched {
    /// The keys of which only labels of certificates count.
    pub keys: Vec<String>,
    /// What certificates have, by worker.
    pub workers: Vec<VouchedLabels>,
}

/// What a label of a worker is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its certificate has it.
    Vouched,
    /// It says so itself, and that counts.
    Own,
    /// It says so itself, and that does not count.
    NotCounted,
}

impl Vouched {
    /// What a label of a worker is worth.
    pub fn standing(&self, worker: WorkerId, label: &(String, String)) -> Standing {
        let mut of_worker = self.workers.iter().filter(|one| one.worker == worker);
        if of_worker.any(|one| one.labels.contains(label)) {
            Standing::Vouched
        } else if self.keys.contains(&label.0) {
            Standing::NotCounted
        } else {
            Standing::Own
        }
    }

    /// A worker's labels as people read them, with what they are worth.
    pub fn labels(&self, status: &WorkerStatus) -> String {
        let label = |label: &(String, String)| {
            let (key, value) = label;
            match self.standing(status.worker, label) {
                Standing::Vouched => format!("{key}={value} (vouched)"),
                Standing::Own => format!("{key}={value}"),
                Standing::NotCounted => format!("{key}={value} (does not count)"),
            }
        };
        status.capacity.labels.iter().map(label).collect::<Vec<_>>().join(" ")
    }
}

/// Labels as they are written.
pub fn written(labels: &[(String, String)]) -> Vec<String> {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The exit codes with which a command is ok; nothing where the module is none.
pub fn ok_exits(task: &TaskSpec) -> String {
    let codes = iter::once(&0).chain(task.ok_exits.iter().filter(|code| **code != 0));
    match task.kind {
        ModuleKind::Task => String::new(),
        ModuleKind::Command | ModuleKind::Preview1 => {
            codes.map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
    }
}

/// A kind's name in JSON.
pub const fn kind(kind: ModuleKind) -> &'static str {
    match kind {
        ModuleKind::Task => "task",
        ModuleKind::Command => "command",
        ModuleKind::Preview1 => "preview1",
    }
}
