//! What a scheduler counted of one job, in a bounded size however many tasks the job has. All of it is
//! counted from the scheduler's start on and is forgotten at the next one; a job that has ended may be
//! forgotten earlier, after many others.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{Extensions, Histogram, JobStatus, Micros, Millis, wire::bounded};

/// What a scheduler counted of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    /// How the job stands. Its `counts.running` are the tasks that workers have.
    pub status: JobStatus,
    /// Those of them that a slot runs, as workers last told; the others wait at their workers.
    pub running: u64,
    /// The date from which on all that follows was counted.
    pub since: Micros,
    /// How fast tasks ended of late.
    pub pace: Pace,
    /// How tasks ended over time.
    pub rates: Rates,
    /// How long results took: the wall times of the attempts that count, without lost ones.
    pub wall_us: Histogram,
    /// The most that a task used of each limit.
    pub peaks: Peaks,
    /// The tasks that failed, by kind and message: the first groups that there were.
    #[serde(deserialize_with = "bounded")]
    pub failures: Vec<FailureGroup>,
    /// The tasks that failed and are in none of these groups.
    pub other_failures: FailureCount,
    /// What later releases add.
    pub extensions: Extensions,
}

/// How many tasks ended in the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Tasks with a result.
    pub ended: u64,
    /// In so much time; 0 if nothing was counted yet.
    pub within: Millis,
}

impl Pace {
    /// Tasks in a thousand seconds.
    #[must_use]
    pub fn in_1000_s(self) -> u64 {
        let product = u128::from(self.ended) * 1_000_000;
        let rate = product.checked_div(u128::from(self.within.0)).unwrap_or_default();
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// Results over time, in buckets of the same width, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// When the first bucket begins.
    pub from: Micros,
    /// How long each is. Those of a job double as the job gets older.
    pub width: Millis,
    /// The oldest first; what is behind the last had no result yet.
    #[serde(deserialize_with = "bounded")]
    pub buckets: Vec<RateBucket>,
}

/// The results of one span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateBucket {
    /// Those that are ok.
    pub ok: u64,
    /// The others.
    pub failed: u64,
    /// The wall time of all of them together.
    pub wall_us: u64,
    /// The longest of them.
    pub longest_us: u64,
}

impl RateBucket {
    /// Adds what happened in another span of time.
    pub fn add(&mut self, other: Self) {
        self.ok = self.ok.saturating_add(other.ok);
        self.failed = self.failed.saturating_add(other.failed);
        self.wall_us = self.wall_us.saturating_add(other.wall_us);
        self.longest_us = self.longest_us.max(other.longest_us);
    }
}

/// What tasks used of each limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peaks {
    /// [`Limits::fuel`](crate::Limits::fuel).
    pub fuel: Peak,
    /// [`Limits::deadline`](crate::Limits::deadline), in microseconds.
    pub wall_us: Peak,
    /// [`Limits::memory`](crate::Limits::memory), in bytes.
    pub memory: Peak,
    /// [`Limits::output`](crate::Limits::output), in bytes: of outputs and records.
    pub output: Peak,
    /// [`Limits::record`](crate::Limits::record), in bytes.
    pub record: Peak,
    /// [`Limits::log`](crate::Limits::log), in bytes, of what was kept.
    pub log: Peak,
}

/// What tasks used of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// The most that one used.
    pub most: u64,
    /// How many tasks ended at the limit; of logs, how many were cut there.
    pub reached: u64,
}

/// Tasks that failed in the same way: of one kind, with texts that differ in digits alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureGroup {
    /// The outcome's name, of a limit with the limit's: `trap`, `limit(fuel)`, `rejected`.
    pub kind: String,
    /// What the first of them says, cut.
    pub message: String,
    /// How many there are, and when.
    pub tasks: FailureCount,
    /// The names of the workers on which they ran, as far as they are kept.
    #[serde(deserialize_with = "bounded")]
    pub workers: Vec<String>,
    /// True if they ran on more workers than these.
    pub more_workers: bool,
    /// The index of the first of them.
    pub sample: u64,
}

/// How many tasks failed, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCount {
    /// How many.
    pub count: u64,
    /// When the first result came; 0 without any.
    pub first: Micros,
    /// When the last one did.
    pub last: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_number_of_tasks_in_a_time() {
        let pace = |ended, ms| Pace { ended, within: Millis(ms) }.in_1000_s();
        assert_eq!(pace(94, 10_000), 9_400);
        assert_eq!(pace(7, 0), 0, "nothing was counted");
        assert_eq!(pace(u64::MAX, 1), u64::MAX);
    }
}
