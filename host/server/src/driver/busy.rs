//! Busy slots over the last minutes, by job: sampled about each second from what workers last told.

use std::{cmp::Reverse, collections::BTreeMap};

use wasmgrid_proto::{JobId, Micros, Millis, SlotsBucket, SlotsOverTime};

use super::series::{BUCKETS, Window};

/// How long a bucket is: ten minutes in all.
const WIDTH_US: u64 = 10_000_000;

/// How often it looks, at most.
const EVERY: Millis = Millis(1_000);

/// Jobs of one sample that are told apart, and of one bucket: those with the most slots.
const SAMPLED: usize = 8;
const KEPT: usize = 16;

/// Jobs that an answer tells apart.
const TOLD: usize = 6;

/// Thousandths of a slot.
const PARTS: u64 = 1_000;

/// Busy slots over time.
#[derive(Debug)]
pub(super) struct Busy {
    window: Window<Bucket>,
    next: Micros,
}

/// Sums of samples.
#[derive(Debug, Default)]
struct Bucket {
    samples: u64,
    slots: u64,
    busy: u64,
    jobs: Vec<(JobId, u64)>,
}

impl Default for Busy {
    fn default() -> Self {
        Self { window: Window::new(WIDTH_US, BUCKETS), next: Micros(0) }
    }
}

impl Busy {
    /// Whether it is time to look again.
    pub(super) fn is_due(&self, now: Micros) -> bool {
        self.next <= now
    }

    /// Takes a sample: how many slots there are, and how many run tasks of each job.
    pub(super) fn sample(
        &mut self,
        now: Micros,
        slots: u64,
        running: impl Iterator<Item = (JobId, u64)>,
    ) {
        self.next = now.after(EVERY);
        let Some(bucket) = self.window.at(now) else { return };
        bucket.samples += 1;
        bucket.slots = bucket.slots.saturating_add(slots);
        let mut largest: Vec<(JobId, u64)> = Vec::with_capacity(SAMPLED);
        for (job, slots) in running {
            bucket.busy = bucket.busy.saturating_add(slots);
            if largest.len() < SAMPLED {
                largest.push((job, slots));
            } else if let Some(least) = largest.iter_mut().min_by_key(|(_, slots)| *slots)
                && least.1 < slots
            {
                *least = (job, slots);
            }
        }
        for (job, slots) in largest {
            match bucket.jobs.iter_mut().find(|(of, _)| *of == job) {
                Some((_, sum)) => *sum = sum.saturating_add(slots),
                None => bucket.jobs.push((job, slots)),
            }
        }
        if bucket.jobs.len() > KEPT {
            bucket.jobs.sort_by_key(|(_, sum)| Reverse(*sum));
            bucket.jobs.truncate(KEPT);
        }
    }

    /// What was seen. Jobs that may not be `named` are among the others.
    pub(super) fn told(&self, now: Micros, named: impl Fn(JobId) -> bool) -> SlotsOverTime {
        let (from, buckets) = self.window.seen(now);
        let buckets: Vec<&Bucket> = buckets.collect();
        let mut sums: BTreeMap<JobId, u64> = BTreeMap::new();
        for (job, sum) in buckets.iter().flat_map(|bucket| &bucket.jobs) {
            let all = sums.entry(*job).or_default();
            *all = all.saturating_add(*sum);
        }
        let mut largest: Vec<(JobId, u64)> =
            sums.into_iter().filter(|(job, _)| named(*job)).collect();
        largest.sort_by_key(|(_, sum)| Reverse(*sum));
        let jobs: Vec<JobId> = largest.into_iter().map(|(job, _)| job).take(TOLD).collect();
        let buckets = buckets.into_iter().map(|bucket| bucket.told(&jobs)).collect();
        SlotsOverTime { from, width: self.window.width(), jobs, buckets }
    }
}

impl Bucket {
    fn told(&self, told: &[JobId]) -> SlotsBucket {
        let mean = |sum: u64| sum.saturating_mul(PARTS).checked_div(self.samples).unwrap_or(0);
        let of = |job: &JobId| {
            let found = self.jobs.iter().find(|(of, _)| of == job);
            found.map_or(0, |(_, sum)| *sum)
        };
        let sums: Vec<u64> = told.iter().map(of).collect();
        let others = self.busy.saturating_sub(sums.iter().sum());
        let jobs = sums.into_iter().map(mean).collect();
        SlotsBucket { slots: mean(self.slots), jobs, others: mean(others) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn the_largest_jobs_are_told_apart_and_the_others_together() {
        let mut busy = Busy::default();
        let first = (1..=40).map(|job| (JobId(job), job));
        busy.sample(Micros(10 * SECOND), 900, first);
        busy.sample(Micros(11 * SECOND), 1_100, [(JobId(40), 20)].into_iter());
        busy.sample(Micros(20 * SECOND), 1_000, [(JobId(1), 500)].into_iter());
        let told = busy.told(Micros(20 * SECOND), |_| true);
        assert_eq!((told.from, told.width), (Micros(10 * SECOND), Millis(10_000)));
        assert_eq!(told.jobs[..3], [JobId(1), JobId(40), JobId(39)]);
        assert_eq!(told.jobs.len(), TOLD);
        let [first, second] = &told.buckets[..] else { panic!("{told:?}") };
        assert_eq!((first.slots, first.jobs[1]), (1_000_000, 30_000), "means of two samples");
        let all: u64 = first.jobs.iter().sum::<u64>() + first.others;
        assert_eq!(all, (820 + 20) * PARTS / 2, "each busy slot is in one of them");
        assert_eq!((second.jobs[0], second.others), (500_000, 0));
        let own = busy.told(Micros(20 * SECOND), |job| job == JobId(40));
        assert_eq!(own.jobs, [JobId(40)], "the others' jobs are not named");
        assert_eq!(own.buckets[1].others, 500_000);
    }

    #[test]
    fn it_looks_once_a_second_and_takes_no_room_for_many_jobs() {
        let mut busy = Busy::default();
        for second in 0..1_000_u64 {
            let now = Micros(second * SECOND);
            assert!(busy.is_due(now));
            busy.sample(now, 10, (0..100).map(|job| (JobId(second * 100 + job), 1)));
            assert!(!busy.is_due(Micros(now.0 + SECOND - 1)));
        }
        let (_, buckets) = busy.window.seen(Micros(999 * SECOND));
        let buckets: Vec<_> = buckets.collect();
        assert_eq!(buckets.len(), BUCKETS);
        assert!(buckets.iter().all(|bucket| bucket.jobs.len() <= KEPT));
    }
}
