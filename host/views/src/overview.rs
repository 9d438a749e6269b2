//! How a whole grid is.

use serde::Serialize;
use wasmgrid_proto::{
    Attention, DiskUse, FailedKind, JobMetrics, LastHour, Overview, SlotCounts, SlotsBucket,
    SlotsOverTime, TaskMetrics, Workers,
};

use crate::{RatesView, summary::per_second};

/// How a grid is. An operator sees all of it, a client its own tenant's part.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OverviewView {
    /// Whose part it is; `null` if it is of all tenants.
    pub tenant: Option<String>,
    /// When the scheduler started.
    pub since_us: u64,
    /// The workers' slots by what they do, whosever tasks they run.
    pub slots: SlotsView,
    /// Jobs by state.
    pub jobs: JobsView,
    /// Tasks that no worker has yet.
    pub queued: u64,
    /// Tasks that were given to workers and have not ended.
    pub assigned: u64,
    /// How many tasks end each second, over the last ten.
    pub tasks_per_second: f64,
    /// Results of the last ten minutes.
    pub rates: RatesView,
    /// Results of the last hour.
    pub last_hour: LastHourView,
    /// Busy slots of the last ten minutes.
    pub busy: BusyView,
    /// What takes room on the scheduler's disk; `null` for clients.
    pub disk: Option<DiskView>,
    /// What somebody should look at, the gravest first; none for clients.
    pub attention: Vec<AttentionView>,
}

/// Slots by what they do.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SlotsView {
    /// They run a task.
    pub busy: u64,
    /// They run nothing, on workers that take tasks.
    pub idle: u64,
    /// They run nothing, on workers that are cordoned.
    pub cordoned: u64,
    /// They run nothing, on workers that drain or are drained.
    pub draining: u64,
    /// They run nothing, on workers that are failing.
    pub failing: u64,
    /// Of workers that are not linked.
    pub gone: u64,
}

/// Jobs by state.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobsView {
    /// Not ended.
    pub active: u64,
    /// All tasks ended ok.
    pub ok: u64,
    /// Not all tasks ended ok.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Their deadline passed.
    pub expired: u64,
}

/// How the tasks of the last hour ended.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LastHourView {
    /// Tasks with a result.
    pub ended: u64,
    /// Those that failed, by kind.
    pub failed: Vec<FailedKindView>,
}

/// Tasks that failed in one way.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FailedKindView {
    /// The outcome's name.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The job of a recent example; `null` if there is none.
    pub example_job: Option<u64>,
    /// What that one says.
    pub example: Option<String>,
}

/// Busy slots over time.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BusyView {
    /// When the first bucket begins.
    pub from_us: u64,
    /// How long each is.
    pub width_ms: u64,
    /// The jobs that are told apart.
    pub jobs: Vec<u64>,
    /// The oldest first.
    pub buckets: Vec<BusyBucketView>,
}

/// Slots of one span of time, on average.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BusyBucketView {
    /// Slots of linked workers.
    pub slots: f64,
    /// Those that were busy with tasks of each of the jobs that are told apart.
    pub jobs: Vec<f64>,
    /// Those that were busy with tasks of others.
    pub others: f64,
}

/// What takes room on the scheduler's disk, about.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DiskView {
    /// Inputs of jobs.
    pub inputs_bytes: u64,
    /// Results of jobs.
    pub results_bytes: u64,
    /// Logs of tasks that were stopped.
    pub logs_bytes: u64,
    /// Modules and blobs, for each tenant that uses them.
    pub modules_bytes: u64,
    /// The journal.
    pub journal_bytes: u64,
}

/// Something that somebody should look at.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AttentionView {
    /// A short name that stays the same: `no-worker`, `worker-gone`, `jobs-stuck` and the like.
    pub kind: &'static str,
    /// How many workers or jobs it is about; 0 if it is about neither.
    pub count: u64,
    /// The first of these workers.
    pub workers: Vec<String>,
    /// The first of these jobs.
    pub jobs: Vec<u64>,
    /// The tenant of these jobs; else `null`.
    pub tenant: Option<String>,
    /// Layers of the jail that are missing.
    pub layers: Vec<String>,
    /// The stable name of the reason, if there is one: why jobs wait, or why no work is taken.
    pub reason: Option<String>,
}

impl From<&Overview> for OverviewView {
    fn from(overview: &Overview) -> Self {
        let TaskMetrics { queued, assigned } = overview.tasks;
        Self {
            tenant: overview.tenant.clone(),
            since_us: overview.since.0,
            slots: overview.slots.into(),
            jobs: overview.jobs.into(),
            queued,
            assigned,
            tasks_per_second: per_second(overview.pace),
            rates: RatesView::from(&overview.rates),
            last_hour: LastHourView::from(&overview.last_hour),
            busy: BusyView::from(&overview.busy),
            disk: overview.disk.map(DiskView::from),
            attention: overview.attention.iter().map(AttentionView::from).collect(),
        }
    }
}

impl From<SlotCounts> for SlotsView {
    fn from(slots: SlotCounts) -> Self {
        let SlotCounts { busy, idle, cordoned, draining, failing, gone } = slots;
        Self { busy, idle, cordoned, draining, failing, gone }
    }
}

impl From<JobMetrics> for JobsView {
    fn from(jobs: JobMetrics) -> Self {
        let JobMetrics { active, ok, failed, cancelled, expired, .. } = jobs;
        Self { active, ok, failed, cancelled, expired }
    }
}

impl From<&LastHour> for LastHourView {
    fn from(hour: &LastHour) -> Self {
        let view = |kind: &FailedKind| FailedKindView {
            kind: kind.kind.clone(),
            count: kind.count,
            example_job: kind.example.as_ref().map(|(job, _)| job.0),
            example: kind.example.as_ref().map(|(_, text)| text.clone()),
        };
        Self { ended: hour.ended, failed: hour.failed.iter().map(view).collect() }
    }
}

impl From<&SlotsOverTime> for BusyView {
    fn from(busy: &SlotsOverTime) -> Self {
        Self {
            from_us: busy.from.0,
            width_ms: busy.width.0,
            jobs: busy.jobs.iter().map(|job| job.0).collect(),
            buckets: busy.buckets.iter().map(BusyBucketView::from).collect(),
        }
    }
}

impl From<&SlotsBucket> for BusyBucketView {
    fn from(bucket: &SlotsBucket) -> Self {
        Self {
            slots: whole(bucket.slots),
            jobs: bucket.jobs.iter().copied().map(whole).collect(),
            others: whole(bucket.others),
        }
    }
}

impl From<DiskUse> for DiskView {
    fn from(disk: DiskUse) -> Self {
        Self {
            inputs_bytes: disk.inputs,
            results_bytes: disk.results,
            logs_bytes: disk.logs,
            modules_bytes: disk.modules,
            journal_bytes: disk.journal,
        }
    }
}

impl From<&Attention> for AttentionView {
    fn from(attention: &Attention) -> Self {
        let view = Self {
            kind: attention.name(),
            count: 0,
            workers: Vec::new(),
            jobs: Vec::new(),
            tenant: None,
            layers: Vec::new(),
            reason: None,
        };
        match attention {
            Attention::NoWorker { workers } => Self { count: *workers, ..view },
            Attention::Refuses { error } => {
                Self { reason: Some(error.reason.name().into()), ..view }
            }
            Attention::Gone(workers)
            | Attention::Failing(workers)
            | Attention::NotTaking(workers)
            | Attention::Contested(workers) => view.of(workers),
            Attention::JailLacks { workers, layers } => {
                Self { layers: layers.clone(), ..view.of(workers) }
            }
            Attention::Stuck { tenant, jobs, count, wait } => Self {
                count: *count,
                jobs: jobs.iter().map(|job| job.0).collect(),
                tenant: Some(tenant.clone()),
                reason: Some(wait.name().into()),
                ..view
            },
        }
    }
}

impl AttentionView {
    fn of(self, workers: &Workers) -> Self {
        Self { count: workers.count, workers: workers.names.clone(), ..self }
    }
}

/// A number of thousandths.
#[expect(clippy::cast_precision_loss, reason = "no grid has so many slots")]
fn whole(thousandths: u64) -> f64 {
    thousandths as f64 / 1_000.0
}
