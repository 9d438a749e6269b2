//! Numbers over time in a bounded size: a series that coarsens as it gets longer, and a window that
//! moves on.

use std::collections::VecDeque;

use wasmgrid_proto::{Micros, Millis, Pace, RateBucket};

/// Buckets of a series: as many as a small drawing can tell apart.
pub(super) const BUCKETS: usize = 60;

/// How long the first buckets of a series are.
const FIRST_WIDTH_US: u64 = 1_000_000;

/// How long one bucket of a pace is, and how many there are: it is of the last ten seconds, and of
/// what has passed of this one.
const PACE_US: u64 = 1_000_000;
const PACE_BUCKETS: usize = 11;

/// Results since a moment. Whenever more time has passed than its buckets hold, each of them becomes
/// twice as long.
#[derive(Debug)]
pub(super) struct Series {
    from: Micros,
    width_us: u64,
    buckets: Vec<RateBucket>,
}

impl Series {
    pub(super) const fn new(from: Micros) -> Self {
        Self { from, width_us: FIRST_WIDTH_US, buckets: Vec::new() }
    }

    /// Counts what happened at `now`.
    pub(super) fn add(&mut self, now: Micros, some: RateBucket) {
        let passed = now.0.saturating_sub(self.from.0);
        while passed / self.width_us >= BUCKETS as u64 {
            self.coarsen();
        }
        let at = usize::try_from(passed / self.width_us).unwrap_or(BUCKETS);
        if self.buckets.len() <= at {
            self.buckets.resize(at + 1, RateBucket::default());
        }
        if let Some(bucket) = self.buckets.get_mut(at) {
            bucket.add(some);
        }
    }

    fn coarsen(&mut self) {
        self.width_us = self.width_us.saturating_mul(2);
        let sum = |pair: &[RateBucket]| {
            let mut sum = RateBucket::default();
            pair.iter().for_each(|bucket| sum.add(*bucket));
            sum
        };
        self.buckets = self.buckets.chunks(2).map(sum).collect();
    }

    pub(super) const fn from(&self) -> Micros {
        self.from
    }

    pub(super) const fn width(&self) -> Millis {
        Millis(self.width_us / 1_000)
    }

    pub(super) fn buckets(&self) -> &[RateBucket] {
        &self.buckets
    }
}

/// The last `len` spans of time, each of the same length.
#[derive(Debug)]
pub(super) struct Window<T> {
    width_us: u64,
    len: usize,
    /// The number of the first bucket: how many have passed since the grid's time began.
    first: u64,
    buckets: VecDeque<T>,
}

impl<T: Default> Window<T> {
    pub(super) const fn new(width_us: u64, len: usize) -> Self {
        Self { width_us, len, first: 0, buckets: VecDeque::new() }
    }

    /// The bucket of this moment; `None` only of a window without buckets.
    pub(super) fn at(&mut self, now: Micros) -> Option<&mut T> {
        self.advance(now);
        self.buckets.back_mut()
    }

    fn advance(&mut self, now: Micros) {
        let number = self.number(now);
        let behind = number.saturating_sub(self.first);
        if self.buckets.is_empty() || behind >= (self.buckets.len() + self.len) as u64 {
            self.buckets.clear();
            self.first = number;
        }
        while self.first + self.buckets.len() as u64 <= number {
            self.buckets.push_back(T::default());
            if self.buckets.len() > self.len {
                self.buckets.pop_front();
                self.first += 1;
            }
        }
    }

    const fn number(&self, now: Micros) -> u64 {
        now.0 / self.width_us
    }

    /// The buckets that are in the window at this moment, the oldest first, and when the first begins.
    pub(super) fn seen(&self, now: Micros) -> (Micros, impl Iterator<Item = &T>) {
        let oldest = (self.number(now) + 1).saturating_sub(self.len as u64);
        let gone = oldest.saturating_sub(self.first);
        let skip = usize::try_from(gone).unwrap_or(usize::MAX);
        let from = Micros(self.first.max(oldest).saturating_mul(self.width_us));
        (from, self.buckets.iter().skip(skip))
    }

    pub(super) const fn width(&self) -> Millis {
        Millis(self.width_us / 1_000)
    }
}

/// How many tasks ended of late.
#[derive(Debug)]
pub(super) struct Recent {
    since: Micros,
    window: Window<u64>,
}

impl Recent {
    pub(super) const fn new(since: Micros) -> Self {
        Self { since, window: Window::new(PACE_US, PACE_BUCKETS) }
    }

    pub(super) fn add(&mut self, now: Micros, tasks: u64) {
        if let Some(count) = self.window.at(now) {
            *count = count.saturating_add(tasks);
        }
    }

    pub(super) fn pace(&self, now: Micros) -> Pace {
        let (_, buckets) = self.window.seen(now);
        let ended = buckets.copied().fold(0, u64::saturating_add);
        let oldest = (now.0 / PACE_US + 1).saturating_sub(PACE_BUCKETS as u64) * PACE_US;
        // A burst right at the beginning is no pace of millions.
        let passed = now.0.saturating_sub(self.since.0.max(oldest)).max(PACE_US);
        Pace { ended, within: Millis(passed / 1_000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn ok(ok: u64) -> RateBucket {
        RateBucket { ok, ..RateBucket::default() }
    }

    #[test]
    fn a_series_holds_any_time_in_its_buckets_and_loses_no_result() {
        let mut series = Series::new(Micros(5 * SECOND));
        let mut counted = 0;
        for seconds in [5, 6, 30, 64, 65, 66, 500, 10_000, 10_000_000, 1 << 40] {
            series.add(Micros(seconds * SECOND), ok(seconds));
            counted += seconds;
            assert!(series.buckets().len() <= BUCKETS, "{seconds}");
            let sum: u64 = series.buckets().iter().map(|bucket| bucket.ok).sum();
            assert_eq!(sum, counted, "{seconds}");
            let within = seconds - 5 < BUCKETS as u64 * series.width().0 / 1_000;
            assert!(within, "{seconds} s in buckets of {}", series.width());
        }
        series.add(Micros(u64::MAX), ok(1));
        assert!(series.buckets().len() <= BUCKETS);
    }

    #[test]
    fn neighbours_become_one_when_a_series_coarsens() {
        let mut series = Series::new(Micros(0));
        for second in 0..60 {
            series.add(Micros(second * SECOND), ok(second));
        }
        series.add(Micros(60 * SECOND), ok(1_000));
        assert_eq!(series.width(), Millis(2_000));
        assert_eq!(series.buckets().len(), 31);
        assert_eq!(series.buckets()[1].ok, 2 + 3);
        assert_eq!(series.buckets()[30].ok, 1_000);
    }

    #[test]
    fn a_window_forgets_what_is_older_than_it_is_long() {
        let mut window = Window::<u64>::new(SECOND, 3);
        let seen = |window: &Window<u64>, second: u64| {
            let (from, buckets) = window.seen(Micros(second * SECOND));
            (from.0 / SECOND, buckets.copied().collect::<Vec<_>>())
        };
        for second in [10, 11, 11, 12] {
            *window.at(Micros(second * SECOND)).expect("a bucket") += second;
        }
        assert_eq!(seen(&window, 12), (10, vec![10, 22, 12]));
        assert_eq!(seen(&window, 13), (11, vec![22, 12]), "nothing was counted since");
        assert_eq!(seen(&window, 99).1, Vec::<u64>::new());
        *window.at(Micros(14 * SECOND)).expect("a bucket") += 1;
        assert_eq!(seen(&window, 14), (12, vec![12, 0, 1]));
        *window.at(Micros(99 * SECOND)).expect("a bucket") += 1;
        assert_eq!(seen(&window, 99), (99, vec![1]));
        *window.at(Micros(99 * SECOND)).expect("a bucket") += 1;
        assert_eq!(seen(&window, 99), (99, vec![2]));
    }

    #[test]
    fn a_pace_is_of_the_last_seconds_and_of_no_more_time_than_has_passed() {
        let mut recent = Recent::new(Micros(20 * SECOND));
        recent.add(Micros(20 * SECOND), 30);
        assert_eq!(recent.pace(Micros(20 * SECOND)).in_1000_s(), 30_000);
        assert_eq!(recent.pace(Micros(22 * SECOND)).in_1000_s(), 15_000);
        recent.add(Micros(30 * SECOND), 70);
        let pace = recent.pace(Micros(30 * SECOND));
        assert_eq!((pace.ended, pace.within), (100, Millis(10_000)));
        assert_eq!(recent.pace(Micros(35 * SECOND)).ended, 70);
        assert_eq!(recent.pace(Micros(99 * SECOND)).ended, 0);
    }
}
