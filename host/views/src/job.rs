//! Jobs, what differs in their results, and what was appended to them.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use serde::Serialize;
use wasmgrid_proto::{
    Divergence, Divergences, JobCounts, JobRow, JobState, JobStatus, JobSummary, Limits,
    ModuleKind, Pace, WITH, Witness, WorkerId,
};

use crate::{Data, JobSummaryView, Wide, summary::per_second, written};

/// A job.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Its number.
    pub id: u64,
    /// Its name; empty if it has none.
    pub name: String,
    /// Whose it is.
    pub tenant: String,
    /// `active`, or how it ended.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub state: JobState,
    /// False while inputs may be appended.
    pub closed: bool,
    /// Its tasks by state.
    pub counts: CountsView,
    /// How many results there are.
    pub results: u64,
    /// The module's digest.
    pub module: String,
    /// `task`, `command` or `preview1`.
    pub kind: &'static str,
    /// The module's arguments.
    pub args: Vec<Data<'static>>,
    /// Exit codes beside 0 with which a command is ok.
    pub ok_exits: Vec<u32>,
    /// The digest of the value that all tasks have.
    pub with: Option<String>,
    /// What its tasks may do, as on the command line.
    pub grants: Vec<String>,
    /// Labels that its workers must have, `KEY=VALUE`.
    pub requires: Vec<String>,
    /// From which the tasks draw their random numbers.
    pub seed: Wide,
    /// Its priority within its tenant's jobs.
    pub priority: i32,
    /// How often a failed task is tried again.
    pub retries: u32,
    /// At how many failed tasks it ends; `null` if at none.
    pub max_failures: Option<u64>,
    /// How long after its submission it ends; `null` if it has no deadline.
    pub deadline_ms: Option<u64>,
    /// The limits of each task.
    pub limits: LimitsView,
    /// When it was submitted.
    pub submitted_at_us: u64,
    /// When it ended; `null` before.
    pub ended_at_us: Option<u64>,
    /// How many of its tasks end each second, over the last ten; `null` if that was not asked for, or
    /// the scheduler is too old to count it.
    pub tasks_per_second: Option<f64>,
}

/// A job's tasks by state.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CountsView {
    /// All tasks.
    pub total: u64,
    /// Tasks that wait.
    pub queued: u64,
    /// Tasks that were given to workers, including those that wait there.
    pub assigned: u64,
    /// Those of the assigned tasks that a slot runs, as workers last reported; `null` if that was not
    /// asked for, or the scheduler is too old to count it.
    pub running: Option<u64>,
    /// Tasks that ended ok.
    pub ok: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Tasks that had not ended at the deadline.
    pub expired: u64,
    /// Inputs that were left out.
    pub skipped: u64,
    /// Tasks that a retry replaced.
    pub retried: u64,
    /// Results that came after another one had been committed.
    pub discarded: u64,
}

/// The limits of each task.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LimitsView {
    /// Fuel.
    pub fuel: Wide,
    /// Time.
    pub timeout_ms: u64,
    /// Memory.
    pub memory_bytes: u64,
    /// Elements of tables.
    pub table_elements: u64,
    /// Bytes of output and records.
    pub output_bytes: u64,
    /// Bytes of one record.
    pub record_bytes: u64,
    /// Bytes of log.
    pub log_bytes: u64,
}

/// A job as JSON, with what differs of it, and what was counted of it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobWithDivergences {
    /// The job.
    #[serde(flatten)]
    pub job: JobView,
    /// Results that differ from those that count.
    pub divergences: DivergencesView,
    /// What the scheduler counted since it started; `null` if it is too old to count it.
    pub counted: Option<JobSummaryView>,
}

/// Results that differ from those that count.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DivergencesView {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub list: Vec<DivergenceView>,
}

/// Two results of one task that differ.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DivergenceView {
    /// `JOB/INDEX`.
    pub task: String,
    /// When it was found.
    pub at_us: u64,
    /// The result that counts.
    pub committed: WitnessView,
    /// The one that came later and was discarded.
    pub late: WitnessView,
}

/// Who computed a result.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WitnessView {
    /// The worker.
    pub worker: String,
    /// The attempt.
    pub attempt: u32,
    /// The digest of the result.
    pub digest: String,
}

/// Inputs that were appended together.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AppendedView {
    /// The job.
    pub job: u64,
    /// The index of the first of them.
    pub first: u64,
    /// How many there are.
    pub count: u64,
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
            seed: Wide(task.seed),
            priority: spec.priority,
            retries: spec.retries,
            max_failures: spec.max_failures,
            deadline_ms: spec.deadline.map(|deadline| deadline.0),
            limits: LimitsView::from(&task.limits),
            submitted_at_us: status.submitted_at.0,
            ended_at_us: status.ended_at.map(|at| at.0),
            tasks_per_second: None,
        }
    }
}

impl From<&JobRow> for JobView {
    fn from(row: &JobRow) -> Self {
        Self::counted(&row.status, row.running, row.pace)
    }
}

impl JobView {
    /// A job with how many of its tasks run, and how fast they end.
    pub(crate) fn counted(status: &JobStatus, running: u64, pace: Pace) -> Self {
        let job = Self::from(status);
        let counts = CountsView { running: Some(running), ..job.counts };
        Self { counts, tasks_per_second: Some(per_second(pace)), ..job }
    }
}

impl From<&Limits> for LimitsView {
    fn from(limits: &Limits) -> Self {
        Self {
            fuel: Wide(limits.fuel.0),
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
            assigned: counts.running,
            running: (counts.running == 0).then_some(0),
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

impl JobWithDivergences {
    /// A job, what was found of it, and what was counted if that is known.
    #[must_use]
    pub fn new(job: &JobStatus, found: &Divergences, counted: Option<&JobSummary>) -> Self {
        let view = |divergence: &Divergence| DivergenceView {
            task: format!("{}/{}", job.job, divergence.index),
            at_us: divergence.at.0,
            committed: WitnessView::new(&divergence.committed, found),
            late: WitnessView::new(&divergence.late, found),
        };
        let list = found.list.iter().map(view).collect();
        let divergences = DivergencesView { count: found.count, list };
        let view = match counted {
            Some(summary) => JobView::counted(job, summary.running, summary.pace),
            None => JobView::from(job),
        };
        Self { job: view, divergences, counted: counted.map(JobSummaryView::from) }
    }
}

impl WitnessView {
    /// A witness, with the name of its worker.
    #[must_use]
    pub fn new(witness: &Witness, found: &Divergences) -> Self {
        let Witness { worker, attempt, digest } = *witness;
        Self { worker: name(worker, found), attempt, digest: digest.to_string() }
    }
}

fn name(worker: WorkerId, found: &Divergences) -> String {
    let known = found.workers.iter().find(|(id, _)| *id == worker);
    known.map_or_else(|| format!("worker {worker}"), |(_, name)| name.clone())
}

/// A kind's name in JSON.
#[must_use]
pub const fn kind(kind: ModuleKind) -> &'static str {
    match kind {
        ModuleKind::Task => "task",
        ModuleKind::Command => "command",
        ModuleKind::Preview1 => "preview1",
    }
}
