//! How tasks ended of late: of a tenant, or of all. The last minutes by time, the last hour by kind.

use wasmgrid_proto::{FailedKind, JobId, LastHour, Micros, Outcome, Pace, RateBucket};

use super::series::{BUCKETS, Recent, Window};

/// How long a bucket of the last minutes is: ten minutes in all.
const WIDTH_US: u64 = 10_000_000;

/// How long a bucket of the last hour is.
const MINUTE_US: u64 = 60_000_000;

/// The kinds of failures, by the outcomes' names.
const KINDS: [&str; 7] = ["rejected", "retry", "exit", "trap", "limit", "refused", "lost"];

/// How tasks ended of late.
#[derive(Debug)]
pub(super) struct Activity {
    recent: Recent,
    rates: Window<RateBucket>,
    hour: Window<Minute>,
    /// What one of the last new groups of failures of each kind says.
    examples: [Option<(JobId, String)>; KINDS.len()],
}

/// How the tasks of one minute ended.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    ended: u64,
    failed: [u64; KINDS.len()],
}

/// The failures of one block by kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failed {
    counts: [u64; KINDS.len()],
    /// The kind of the last one that began a new group.
    newest: Option<usize>,
}

impl Failed {
    pub(super) fn count(&mut self, outcome: &Outcome, is_new: bool) {
        let Some(kind) = KINDS.iter().position(|kind| *kind == outcome.name()) else { return };
        if let Some(count) = self.counts.get_mut(kind) {
            *count += 1;
        }
        if is_new {
            self.newest = Some(kind);
        }
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            recent: Recent::new(Micros(0)),
            rates: Window::new(WIDTH_US, BUCKETS),
            hour: Window::new(MINUTE_US, BUCKETS),
            examples: [const { None }; KINDS.len()],
        }
    }
}

impl Activity {
    /// Counts results; `example` says what the newest group of their failures says.
    pub(super) fn count(
        &mut self,
        now: Micros,
        some: RateBucket,
        failed: &Failed,
        example: impl FnOnce() -> Option<(JobId, String)>,
    ) {
        self.recent.add(now, some.ok + some.failed);
        if let Some(bucket) = self.rates.at(now) {
            bucket.add(some);
        }
        if let Some(minute) = self.hour.at(now) {
            minute.ended = minute.ended.saturating_add(some.ok + some.failed);
            for (count, more) in minute.failed.iter_mut().zip(failed.counts) {
                *count = count.saturating_add(more);
            }
        }
        if let Some(of_kind) = failed.newest.and_then(|kind| self.examples.get_mut(kind)) {
            *of_kind = example();
        }
    }

    pub(super) fn pace(&self, now: Micros) -> Pace {
        self.recent.pace(now)
    }

    /// The last minutes.
    pub(super) const fn rates(&self) -> &Window<RateBucket> {
        &self.rates
    }

    /// The last hour.
    pub(super) fn last_hour(&self, now: Micros) -> LastHour {
        let mut sum = Minute::default();
        for minute in self.hour.seen(now).1 {
            sum.ended = sum.ended.saturating_add(minute.ended);
            for (count, more) in sum.failed.iter_mut().zip(minute.failed) {
                *count = count.saturating_add(more);
            }
        }
        let kinds = KINDS.iter().zip(sum.failed).zip(&self.examples);
        let failed = kinds.filter(|((_, count), _)| *count > 0).map(|((kind, count), example)| {
            FailedKind { kind: (*kind).into(), count, example: example.clone() }
        });
        LastHour { ended: sum.ended, failed: failed.collect() }
    }

    /// Nothing ended within the last hour.
    pub(super) fn is_idle(&self, now: Micros) -> bool {
        self.hour.seen(now).1.all(|minute| minute.ended == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = MINUTE_US;

    #[test]
    fn the_last_hour_is_counted_by_kind_and_older_failures_are_not() {
        let mut activity = Activity::default();
        let fail = |activity: &mut Activity, minute: u64, outcome: Outcome, text: &str| {
            let mut failed = Failed::default();
            failed.count(&outcome, true);
            let some = RateBucket { ok: 3, failed: 1, ..RateBucket::default() };
            let example = Some((JobId(minute), text.to_owned()));
            activity.count(Micros(minute * MINUTE), some, &failed, || example);
        };
        fail(&mut activity, 1, Outcome::Exit(3), "exit code 3");
        fail(&mut activity, 30, Outcome::Rejected("bad".into()), "bad");
        fail(&mut activity, 61, Outcome::Exit(4), "exit code 4");
        let hour = activity.last_hour(Micros(61 * MINUTE));
        assert_eq!(hour.ended, 8);
        let told: Vec<_> =
            hour.failed.iter().map(|one| (one.kind.as_str(), one.count, &one.example)).collect();
        let of = |job, text: &str| Some((JobId(job), text.to_owned()));
        assert_eq!(told, [("rejected", 1, &of(30, "bad")), ("exit", 1, &of(61, "exit code 4")),]);
        assert!(!activity.is_idle(Micros(61 * MINUTE)));
        assert!(activity.is_idle(Micros(200 * MINUTE)));
    }
}
