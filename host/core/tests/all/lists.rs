//! Promises about lists of jobs: what one asks for costs others nothing that shows.

use std::time::{Duration, Instant};

use wasmgrid_core::{Grid, GridConfig, Ledger};
use wasmgrid_proto::{
    Epoch, FILTER_BYTES, JobFilter, JobId, JobSpec, JobState, Micros, Record, wire::ErrorCode,
};

use crate::world::spec_of;

/// A grid that knows so many jobs, of which every 100th is of another tenant and name.
fn grid_of(jobs: u64) -> Grid {
    let mut ledger = Ledger::default();
    ledger.apply(&Record::EpochStarted { epoch: Epoch(1), at: Micros(0) });
    for number in 1..=jobs {
        let (tenant, name) = if number % 100 == 0 { ("bob", "rare") } else { ("ann", "common") };
        let spec = Box::new(JobSpec { name: name.into(), ..spec_of(tenant) });
        let (job, idempotency_key, at) = (JobId(number), None, Micros(number));
        ledger.apply(&Record::JobSubmitted { job, spec, idempotency_key, at });
        let (state, at) = (JobState::Ok, Micros(number));
        ledger.apply(&Record::JobEnded { job, state, at });
    }
    Grid::with_ledger(GridConfig::default(), ledger)
}

fn named(name: &str) -> JobFilter {
    JobFilter { name: Some(name.into()), ..JobFilter::default() }
}

/// What a page of one job takes, as a driver asks for it: the shortest time of several.
fn page_time(grid: &Grid, filter: &JobFilter) -> Duration {
    let page = || {
        let start = Instant::now();
        let page: Vec<_> = grid.jobs_before(None, filter).take(1).collect();
        let more = grid.count_before(page.last().map(|status| status.job), filter);
        assert_eq!(page.len() as u64 + more > 0, filter.check().is_ok());
        start.elapsed()
    };
    (0..20).map(|_| page()).min().unwrap_or_default()
}

#[test]
fn a_page_takes_the_same_of_many_jobs_as_of_few() {
    let (few, many) = (grid_of(1_000), grid_of(32_000));
    let of_bob = JobFilter { tenant: Some("bob".into()), ..JobFilter::default() };
    let ended = JobFilter { states: vec![JobState::Ok; 5], ..JobFilter::default() };
    for filter in [JobFilter::default(), of_bob, ended, named("*rare*")] {
        let (few, many) = (page_time(&few, &filter), page_time(&many, &filter));
        assert!(many < few * 8, "{filter:?}: {few:?} of few, {many:?} of 32 times as many");
    }
}

#[test]
fn a_filter_without_end_is_refused_and_finds_nothing_at_once() {
    let grid = grid_of(19_000);
    let stars = named(&"*".repeat(120_000));
    let refused = stars.check().expect_err("too long");
    assert_eq!(refused.code, ErrorCode::Invalid);
    let told = format!("takes 120000 bytes, {FILTER_BYTES} allowed");
    assert!(refused.message.contains(&told), "{}", refused.message);
    assert_eq!(grid.jobs_before(None, &stars).count(), 0);
    assert_eq!(grid.count_before(None, &stars), 0);
    let tenant = Some("x".repeat(FILTER_BYTES + 1));
    assert!(JobFilter { tenant, ..JobFilter::default() }.check().is_err());
    assert_eq!(named(&"*".repeat(FILTER_BYTES)).check(), Ok(()));
}

#[test]
fn pages_that_end_early_go_on_until_all_jobs_of_the_name_are_listed() {
    let grid = grid_of(5_000);
    for (filter, expected) in [(named("r*e"), 50), (named("common"), 4_950), (named("none"), 0)] {
        let (mut before, mut listed, mut pages) = (None, Vec::new(), 0);
        loop {
            let page: Vec<_> = grid.jobs_before(before, &filter).take(1_000).collect();
            let last = page.last().map(|status| status.job).or(before);
            let more = grid.count_before(last, &filter);
            let left = expected - listed.len() - page.len();
            assert!(more >= left as u64 && (more == 0) == (left == 0), "{more} {left}");
            listed.extend(page.into_iter().map(|status| status.job));
            (before, pages) = (last, pages + 1);
            if more == 0 {
                break;
            }
        }
        assert!(listed.is_sorted_by(|a, b| a > b));
        assert_eq!(listed.len(), expected);
        assert!(pages <= 6, "{pages}");
    }
}
