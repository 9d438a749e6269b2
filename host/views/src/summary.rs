//! What a scheduler counted of one job since it started.

use serde::Serialize;
use wasmgrid_proto::{
    FailureCount, FailureGroup, Histogram, JobId, JobSummary, Limits, Pace, Peak, Peaks,
    RateBucket, Rates,
};

use crate::Wide;

/// What a scheduler counted of a job.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobSummaryView {
    /// From when on it was counted: the job's first result, or the scheduler's start.
    pub since_us: u64,
    /// How many of its tasks end each second, over the last ten.
    pub tasks_per_second: f64,
    /// Results over time.
    pub rates: RatesView,
    /// How long its tasks took, lost ones left out.
    pub wall: WallView,
    /// The most that one task used of each limit.
    pub peaks: PeaksView,
    /// Tasks that failed, by kind and message, the largest group first.
    pub failures: Vec<FailureView>,
    /// Tasks that failed and are in none of these groups.
    pub other_failures: FailureCountView,
}

/// Results over time, in buckets of the same width.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RatesView {
    /// When the first bucket begins.
    pub from_us: u64,
    /// How long each is.
    pub width_ms: u64,
    /// The oldest first.
    pub buckets: Vec<RateView>,
}

/// The results of one span of time.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RateView {
    /// Those that are ok.
    pub ok: u64,
    /// The others.
    pub failed: u64,
    /// The wall time of all of them together.
    pub wall_us: u64,
    /// The longest of them.
    pub longest_us: u64,
}

/// How long tasks took.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WallView {
    /// How many were counted.
    pub count: u64,
    /// Their wall times together.
    pub sum_us: u64,
    /// Half of them took no longer; `null` without any, and if it is beyond the last bound.
    pub p50_us: Option<u64>,
    /// The same of nine tenths.
    pub p90_us: Option<u64>,
    /// The same of ninety-nine hundredths.
    pub p99_us: Option<u64>,
    /// How many took how long; ranges without any are left out.
    pub buckets: Vec<WallBucketView>,
}

/// Tasks that took more than the bucket before and at most so long.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WallBucketView {
    /// The longest of the range; `null` of the last, which has no bound.
    pub up_to_us: Option<u64>,
    /// How many.
    pub count: u64,
}

/// What tasks used of each limit.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PeaksView {
    /// Fuel.
    pub fuel: PeakView,
    /// Wall time, in microseconds.
    pub wall_us: PeakView,
    /// Memory.
    pub memory_bytes: PeakView,
    /// Bytes of output and records.
    pub output_bytes: PeakView,
    /// Bytes of one record.
    pub record_bytes: PeakView,
    /// Bytes of log that were kept.
    pub log_bytes: PeakView,
}

/// What tasks used of one limit.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PeakView {
    /// The most that one used.
    pub most: Wide,
    /// The limit.
    pub allowed: Wide,
    /// How many tasks ended at it; of logs, how many were cut there.
    pub reached: u64,
}

/// Tasks that failed in the same way.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FailureView {
    /// The outcome's name, of a limit with the limit's: `trap`, `limit(fuel)`.
    pub kind: String,
    /// What the first of them says, cut.
    pub message: String,
    /// How many, and when.
    #[serde(flatten)]
    pub tasks: FailureCountView,
    /// The workers on which they ran, at most 16.
    pub workers: Vec<String>,
    /// True if they ran on others too.
    pub more_workers: bool,
    /// The first of them, `JOB/INDEX`.
    pub sample: String,
}

/// How many tasks failed, and when.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FailureCountView {
    /// How many.
    pub count: u64,
    /// When the first one did; `null` if none did.
    pub first_at_us: Option<u64>,
    /// When the last one did.
    pub last_at_us: Option<u64>,
}

impl From<&JobSummary> for JobSummaryView {
    fn from(summary: &JobSummary) -> Self {
        let job = summary.status.job;
        Self {
            since_us: summary.since.0,
            tasks_per_second: per_second(summary.pace),
            rates: RatesView::from(&summary.rates),
            wall: WallView::from(&summary.wall_us),
            peaks: PeaksView::new(&summary.peaks, &summary.status.spec.task.limits),
            failures: summary.failures.iter().map(|group| FailureView::new(job, group)).collect(),
            other_failures: summary.other_failures.into(),
        }
    }
}

impl From<&Rates> for RatesView {
    fn from(rates: &Rates) -> Self {
        let buckets = rates.buckets.iter().copied().map(RateView::from).collect();
        Self { from_us: rates.from.0, width_ms: rates.width.0, buckets }
    }
}

impl From<RateBucket> for RateView {
    fn from(bucket: RateBucket) -> Self {
        let RateBucket { ok, failed, wall_us, longest_us } = bucket;
        Self { ok, failed, wall_us, longest_us }
    }
}

impl From<&Histogram> for WallView {
    fn from(wall: &Histogram) -> Self {
        let counts = wall.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        let bucket = |(bucket, count): (usize, &u64)| WallBucketView {
            up_to_us: Histogram::bound_us(bucket),
            count: *count,
        };
        Self {
            count: wall.total(),
            sum_us: wall.sum_us,
            p50_us: quantile(wall, 50),
            p90_us: quantile(wall, 90),
            p99_us: quantile(wall, 99),
            buckets: counts.map(bucket).collect(),
        }
    }
}

impl PeaksView {
    fn new(peaks: &Peaks, limits: &Limits) -> Self {
        let view = |Peak { most, reached }, allowed| PeakView {
            most: Wide(most),
            allowed: Wide(allowed),
            reached,
        };
        Self {
            fuel: view(peaks.fuel, limits.fuel.0),
            wall_us: view(peaks.wall_us, limits.deadline.0.saturating_mul(1_000)),
            memory_bytes: view(peaks.memory, limits.memory.0),
            output_bytes: view(peaks.output, limits.output.0),
            record_bytes: view(peaks.record, limits.record.0),
            log_bytes: view(peaks.log, limits.log.0),
        }
    }
}

impl FailureView {
    fn new(job: JobId, group: &FailureGroup) -> Self {
        Self {
            kind: group.kind.clone(),
            message: group.message.clone(),
            tasks: group.tasks.into(),
            workers: group.workers.clone(),
            more_workers: group.more_workers,
            sample: format!("{job}/{}", group.sample),
        }
    }
}

impl From<FailureCount> for FailureCountView {
    fn from(tasks: FailureCount) -> Self {
        let FailureCount { count, first, last } = tasks;
        let at = |at| (count > 0).then_some(at);
        Self { count, first_at_us: at(first.0), last_at_us: at(last.0) }
    }
}

/// Tasks in a second, to a thousandth.
#[expect(clippy::cast_precision_loss, reason = "a rate of more than 2^53 is none")]
pub(crate) fn per_second(pace: Pace) -> f64 {
    pace.in_1000_s() as f64 / 1_000.0
}

/// How long so many hundredths of what was counted took at most; a bound of its bucket.
#[must_use]
pub fn quantile(histogram: &Histogram, hundredths: u64) -> Option<u64> {
    let total = histogram.total();
    let wanted = (u128::from(total) * u128::from(hundredths)).div_ceil(100);
    let mut sum = 0_u128;
    let reaches = |count: &u64| {
        sum += u128::from(*count);
        sum >= wanted
    };
    let bucket = histogram.buckets.iter().position(reaches).filter(|_| total > 0)?;
    Histogram::bound_us(bucket)
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::Millis;

    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_the_bucket_that_reaches_it() {
        let mut wall = Histogram::default();
        assert_eq!(quantile(&wall, 50), None);
        (0..98).for_each(|_| wall.count(3));
        (0..2).for_each(|_| wall.count(1_000));
        assert_eq!(
            [50, 90, 98, 99, 100].map(|part| quantile(&wall, part)),
            [Some(4), Some(4), Some(4), Some(1_024), Some(1_024)]
        );
        wall.count(u64::MAX);
        assert_eq!(quantile(&wall, 100), None, "the last bucket has no bound");
    }

    #[test]
    fn a_pace_is_told_by_the_second() {
        let pace = Pace { ended: 94, within: Millis(10_000) };
        assert!((per_second(pace) - 9.4).abs() < 1e-9);
    }
}
