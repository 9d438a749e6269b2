//! Pages filled in from the scheduler's answers. Each costs a few questions, whatever the size of a job.

pub mod about;
pub mod functions;
pub mod job;
pub mod jobs;
pub mod keys;
pub mod overview;
pub mod results;
pub mod task;
pub mod worker;
pub mod workers;

use wasmgrid_pages::{Axis, Line};
use wasmgrid_proto::{Micros, Millis, Pace, RateBucket, Rates};

/// Tasks in a second.
fn per_second(pace: Pace) -> f64 {
    pace.in_1000_s() as f64 / 1_000.0
}

/// What is left of so many tasks at a pace; `None` if nothing ends.
fn left(tasks: u64, pace: Pace) -> Option<Millis> {
    let in_1000_s = pace.in_1000_s();
    let millis = u128::from(tasks) * 1_000_000;
    let left = millis.checked_div(u128::from(in_1000_s))?;
    Some(Millis(u64::try_from(left).unwrap_or(u64::MAX)))
}

/// When a series began, and when it ends.
fn window(from: Micros, width: Millis, buckets: usize) -> (Micros, Micros) {
    let span = Millis(width.0.saturating_mul(buckets as u64));
    (from, from.after(span))
}

/// A number of each bucket, for each second of it. The last bucket is not over: it is left out if there
/// are others.
fn each_second(rates: &Rates, number: impl Fn(&RateBucket) -> u64) -> Vec<Option<f64>> {
    let seconds = rates.width.0.max(1) as f64 / 1_000.0;
    let whole = rates.buckets.len().saturating_sub(1).max(1);
    rates.buckets.iter().take(whole).map(|one| Some(number(one) as f64 / seconds)).collect()
}

/// The same with what is behind the last bucket: nothing ended there.
fn until(rates: &Rates, end: Micros) -> Rates {
    let (most, mut whole) = (MOST_BUCKETS, rates.clone());
    let buckets = end.since(rates.from).0.div_ceil(rates.width.0.max(1));
    let buckets = usize::try_from(buckets).unwrap_or(most).min(most);
    if buckets > whole.buckets.len() {
        whole.buckets.resize(buckets, RateBucket::default());
    }
    whole
}

/// More buckets than a series has.
const MOST_BUCKETS: usize = 1_000;

/// Tasks that ended each second, and those of them that failed.
fn rate_line(label: &str, rates: &Rates, end: Micros) -> Line {
    let rates = &until(rates, end);
    let all = each_second(rates, |one| one.ok.saturating_add(one.failed));
    let failed = each_second(rates, |one| one.failed);
    let window = window(rates.from, rates.width, all.len());
    let line = Line::new(label, Axis::Number, window, all);
    if rates.buckets.iter().any(|one| one.failed > 0) { line.with_failed(failed) } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_the_pace() {
        let pace = Pace { ended: 100, within: Millis(10_000) };
        assert_eq!(left(50, pace), Some(Millis(5_000)));
        assert_eq!(left(50, Pace::default()), None);
        assert_eq!(
            left(u64::MAX, Pace { ended: 1, within: Millis(10_000) }),
            Some(Millis(u64::MAX))
        );
    }

    #[test]
    fn what_is_behind_the_last_result_is_nothing() {
        let bucket = RateBucket { ok: 4, ..RateBucket::default() };
        let rates = Rates { from: Micros(0), width: Millis(2_000), buckets: vec![bucket] };
        let of =
            |end| until(&rates, Micros(end)).buckets.iter().map(|one| one.ok).collect::<Vec<_>>();
        assert_eq!(of(1), [4]);
        assert_eq!(of(5_000_000), [4, 0, 0]);
        assert_eq!(until(&rates, Micros(u64::MAX)).buckets.len(), MOST_BUCKETS);
    }

    #[test]
    fn a_rate_is_of_whole_buckets() {
        let bucket = |ok| RateBucket { ok, ..RateBucket::default() };
        let rates = |buckets| Rates { from: Micros(0), width: Millis(2_000), buckets };
        let of = |buckets| each_second(&rates(buckets), |one| one.ok);
        assert_eq!(of(vec![bucket(4), bucket(8), bucket(1)]), [Some(2.0), Some(4.0)]);
        assert_eq!(of(vec![bucket(4)]), [Some(2.0)]);
        assert!(of(Vec::new()).is_empty());
    }
}
