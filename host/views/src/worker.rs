//! Workers, and what their labels are worth.

use serde::Serialize;
use wasmgrid_proto::{
    Contest, Failing, Micros, RunningTask, VouchedLabels, WorkerId, WorkerRow, WorkerState,
    WorkerStatus,
};

use crate::{Wide, summary::per_second, written};

/// A worker.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WorkerView {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// `ready`, `draining`, `drained`, `gone`, `cordoned` or `failing`.
    pub state: &'static str,
    /// Why it is failing; `null` if it is not.
    pub failing: Option<FailingView>,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// The memory that it gives to tasks.
    pub memory_bytes: u64,
    /// Its labels, `KEY=VALUE`.
    pub labels: Vec<String>,
    /// Those of `labels` that its certificate has: an operator vouched for them.
    pub vouched: Vec<String>,
    /// Those of `labels` that only the worker itself claims and that do not count, since operators
    /// vouch for labels with these keys.
    pub not_counted: Vec<String>,
    /// What its results depend on: release, flags and processor.
    pub engine: String,
    /// Tasks that were given to it and have not ended.
    pub assigned: u64,
    /// Results of it that were committed since the scheduler started.
    pub committed: u64,
    /// When it was last heard; `null` if it did not come back since the scheduler started.
    pub heard_at_us: Option<u64>,
    /// What it runs now.
    pub running: Vec<RunningView>,
    /// The last machine that was refused because it has this worker's identity.
    pub contested: Option<ContestView>,
    /// `null` for a worker in the scheduler's own process, which has none.
    pub certificate: Option<CertificateView>,
    /// How many results of it come each second, over the last ten; `null` if the scheduler is too old
    /// to count it.
    pub tasks_per_second: Option<f64>,
    /// The memory that its tasks may take together, by their limits; `null` like the rate.
    pub memory_taken_bytes: Option<u64>,
    /// The boundary around its tasks, `process`, `task` or `in-process`; `null` if the worker did not
    /// report it.
    pub isolation: Option<String>,
    /// The layers of the jail that it lacks, by name; `null` like `isolation`.
    pub jail_lacks: Option<Vec<String>>,
}

/// For how long a certificate is good.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CertificateView {
    /// When it ends.
    pub ends_at_us: u64,
    /// True if it should have been renewed and was not: a month before its end, or in the last third
    /// of a shorter life.
    pub ends_soon: bool,
}

/// A machine that was refused.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContestView {
    /// Its address.
    pub address: String,
    /// When it was refused.
    pub at_us: u64,
}

/// Why a worker gets few tasks or none.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FailingView {
    /// The reason, as the worker or the scheduler states it.
    pub reason: String,
    /// When it is tried again; `null` if the worker itself says when it can run tasks.
    pub until_us: Option<u64>,
}

/// A task that a worker runs.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunningView {
    /// `JOB/INDEX`.
    pub task: String,
    /// How long it has run.
    pub elapsed_ms: u64,
    /// How much of it is done, as the task itself reports; else `null`.
    pub done: Option<Wide>,
    /// How much there is in all; `null` like `done`.
    pub total: Option<Wide>,
}

impl WorkerView {
    /// A worker, the last machine that was refused because it has the same identity, and for how long
    /// its certificate is good.
    #[must_use]
    pub fn new(
        status: &WorkerStatus,
        contest: Option<&Contest>,
        vouched: &Vouched,
        certificate: Option<CertificateView>,
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
            failing: failing(&status.state),
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
            certificate,
            tasks_per_second: None,
            memory_taken_bytes: None,
            isolation: None,
            jail_lacks: None,
        }
    }

    /// The same with what the scheduler counts of it, and what it reports of itself.
    #[must_use]
    pub fn counted(self, row: &WorkerRow) -> Self {
        Self {
            tasks_per_second: Some(per_second(row.pace)),
            memory_taken_bytes: Some(row.memory_taken.0),
            isolation: row.report.as_ref().map(|report| report.isolation.clone()),
            jail_lacks: row.report.as_ref().map(|report| report.jail_lacks.clone()),
            ..self
        }
    }
}

fn failing(state: &WorkerState) -> Option<FailingView> {
    match state {
        WorkerState::Failing(failing) => Some(FailingView::from(failing)),
        _ => None,
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
        Self {
            task: task.task.to_string(),
            elapsed_ms: task.elapsed_ms,
            done: done.map(Wide),
            total: total.map(Wide),
        }
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
    /// The worker claims it itself, and that counts.
    Own,
    /// The worker claims it itself, and that does not count.
    NotCounted,
}

impl Vouched {
    /// What a label of a worker is worth.
    #[must_use]
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
}
