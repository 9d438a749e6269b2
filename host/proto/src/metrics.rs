//! What a scheduler counts of its work, as plain numbers. Counters only rise, and begin at 0 with the
//! scheduler's start unless they say otherwise; gauges say how much there is now.

use serde::{Deserialize, Serialize};

use crate::{Extensions, UsageTotal};

/// All that a scheduler counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// What all tenants' tasks have used, since the grid's first job.
    pub usage: UsageTotal,
    /// Attempts of tasks.
    pub attempts: AttemptMetrics,
    /// Leases.
    pub leases: LeaseMetrics,
    /// Tasks that have not ended.
    pub tasks: TaskMetrics,
    /// Jobs.
    pub jobs: JobMetrics,
    /// Workers.
    pub workers: WorkerMetrics,
    /// What is stored.
    pub store: StoreMetrics,
    /// The server around the core.
    pub server: ServerMetrics,
    /// What later releases add.
    pub extensions: Extensions,
}

/// Attempts of tasks; counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptMetrics {
    /// Given to workers.
    pub given: u64,
    /// Failed attempts after which the task is run again because it asked for that.
    pub app_retries: u64,
    /// The same because its host was lost.
    pub host_loss_retries: u64,
    /// The same because a worker could not run it.
    pub infra_retries: u64,
    /// Late results: they were discarded.
    pub late: u64,
    /// Late results that differ from the committed ones and should not.
    pub diverged: u64,
}

/// Leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseMetrics {
    /// Granted; a counter.
    pub granted: u64,
    /// Of which workers gave tasks back; a counter that counts each time.
    pub returned: u64,
    /// Lost with their workers or their workers' connections, in whole or in part; a counter.
    pub lost: u64,
    /// Ended because workers held them for longer than their tasks can take; a counter.
    pub expired: u64,
    /// That workers hold; a gauge.
    pub held: u64,
}

/// Tasks that have not ended; gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskMetrics {
    /// Not given to a worker.
    pub queued: u64,
    /// Given to workers, where they run or wait for a slot.
    pub assigned: u64,
}

/// Jobs that are known, by state; gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobMetrics {
    /// Submitted since the grid began, also those that are forgotten; a counter.
    pub submitted: u64,
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

/// Workers that joined this scheduler, by state; gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerMetrics {
    /// Take tasks.
    pub ready: u64,
    /// Finish what they have begun.
    pub draining: u64,
    /// Drained, and nothing is left there.
    pub drained: u64,
    /// Finish what they have.
    pub cordoned: u64,
    /// Cannot run tasks, or lost those that they were given of late.
    pub failing: u64,
    /// Not linked.
    pub gone: u64,
    /// Slots of those that take tasks.
    pub slots: u64,
    /// Slots of those for which they have no task.
    pub free_slots: u64,
}

/// What is stored; gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreMetrics {
    /// Bytes of jobs' inputs, results and kept logs, about.
    pub log_bytes: u64,
    /// Bytes of modules and blobs, for each tenant that uses them.
    pub module_bytes: u64,
    /// Bytes of the journal's snapshot.
    pub snapshot_bytes: u64,
    /// Bytes of the records after the snapshot.
    pub journal_bytes: u64,
}

/// The server around the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetrics {
    /// Batches that were made durable; a counter.
    pub commits: u64,
    /// What was in them: records, and segments of logs; a counter.
    pub committed_items: u64,
    /// About how many bytes that was; a counter.
    pub committed_bytes: u64,
    /// How long each batch took from when the driver handed it over until it was durable.
    pub commit_us: Histogram,
    /// What is not durable yet: records and segments; a gauge.
    pub uncommitted_items: u64,
    /// The same in bytes, about; a gauge.
    pub uncommitted_bytes: u64,
    /// Messages of links that wait for the driver; a gauge.
    pub inbox_messages: u64,
    /// Links of workers; a gauge.
    pub worker_links: u64,
    /// Links of clients and operators; a gauge.
    pub client_links: u64,
    /// Watches of clients; a gauge.
    pub watches: u64,
    /// Requests of clients that were answered; a counter.
    pub requests: u64,
    /// Those of them that were refused or failed; a counter.
    pub requests_refused: u64,
    /// Links that ended because a message was not understood, or not allowed there; a counter.
    pub links_refused: u64,
    /// Wall times of the attempts whose results came, also those that were discarded.
    pub task_us: Histogram,
}

/// How many of some durations, in microseconds, are in each of fixed ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The durations by length: those of the bucket `k` are at most `2^k` µs and more than those of
    /// the one before. The last bucket has no bound.
    pub buckets: [u64; Self::BUCKETS],
    /// Their sum.
    pub sum_us: u64,
}

impl Histogram {
    /// How many buckets there are.
    pub const BUCKETS: usize = 32;

    /// Counts a duration.
    pub fn count(&mut self, duration_us: u64) {
        let bucket = u64::BITS - duration_us.saturating_sub(1).leading_zeros();
        let last = Self::BUCKETS - 1;
        let bucket = usize::try_from(bucket).unwrap_or(last).min(last);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.sum_us = self.sum_us.saturating_add(duration_us);
    }

    /// How many durations were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The longest duration of a bucket, in microseconds; `None` of the last.
    #[must_use]
    pub fn bound_us(bucket: usize) -> Option<u64> {
        (bucket < Self::BUCKETS - 1).then(|| 1 << bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        for duration_us in [0, 1, 2, 3, 4, 5, 1_000, 1 << 30, (1 << 30) + 1, u64::MAX] {
            let mut histogram = Histogram::default();
            histogram.count(duration_us);
            let within = |bucket: &usize| {
                Histogram::bound_us(*bucket).is_none_or(|bound| duration_us <= bound)
            };
            let bucket = (0..Histogram::BUCKETS).find(within).expect("the last has no bound");
            assert_eq!(histogram.buckets[bucket], 1, "{duration_us}: {histogram:?}");
            assert_eq!((histogram.total(), histogram.sum_us), (1, duration_us));
        }
    }
}
