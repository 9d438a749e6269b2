//! Promises about lists of jobs: what one asks for costs others nothing that shows.

use std::time::{Duration, Instant};

use wasmgrid_core::{Grid, GridConfig, Ledger};
use wasmgrid_proto::{
    Digest, Epoch, FILTER_BYTES, JobFilter, JobId, JobSpec, JobState, Micros, Reason, Record,
    reason::Length, wire::More,
};

use crate::world::spec_of;

const NO_MORE: More = More::Exactly(0);

/// A grid that knows so many jobs, of which every 100th is of another tenant and name.
fn grid_of(jobs: u64) -> Grid {
    let mut ledger = Ledger::default();
    ledger.apply(&Record::EpochStarted { epoch: Epoch(1), at: Micros(0) });
    for number in 1..=jobs {
        let (tenant, name) = if number % 100 == 0 { ("bob", "rare") } else { ("ann", "common") };
        let spec = Box::new(JobSpec { name: name.into(), ..spec_of(tenant) });
        let (job, digest, at) = (JobId(number), Digest::of(b""), Micros(number));
        let submitted = Record::JobSubmitted { job, spec, idempotency_key: None, digest, at };
        ledger.apply(&submitted);
        let (state, at) = (JobState::Ok, Micros(number));
        ledger.apply(&Record::JobEnded { job, state, at });
    }
    Grid::with_ledger(GridConfig::default(), ledger)
}

fn named(name: &str) -> JobFilter {
    JobFilter { name: Some(name.into()), ..JobFilter::default() }
}

/// A page of at most `limit` jobs, as a driver asks for it.
fn page(
    grid: &Grid,
    before: Option<JobId>,
    filter: &JobFilter,
    limit: usize,
) -> (Vec<JobId>, Option<JobId>, More) {
    let mut jobs = Vec::new();
    let (next, more) = grid.list_jobs(before, filter, |status| {
        let has_room = jobs.len() < limit;
        jobs.extend(has_room.then_some(status.job));
        has_room
    });
    (jobs, next, more)
}

/// What a page of one job takes: the shortest time of several.
fn page_time(grid: &Grid, filter: &JobFilter) -> Duration {
    let page = || {
        let start = Instant::now();
        let (_, next, _) = page(grid, None, filter, 1);
        assert_eq!(next.is_some(), filter.check().is_ok());
        start.elapsed()
    };
    (0..20).map(|_| page()).min().unwrap_or_default()
}

#[test]
fn a_page_takes_the_same_of_many_jobs_as_of_few() {
    let (few, many) = (grid_of(1_100), grid_of(32_000));
    let of_bob = JobFilter { tenant: Some("bob".into()), ..JobFilter::default() };
    let ended = JobFilter { states: vec![JobState::Ok; 5], ..JobFilter::default() };
    for filter in [JobFilter::default(), of_bob, ended, named("*rare*"), named("none")] {
        let (few, many) = (page_time(&few, &filter), page_time(&many, &filter));
        assert!(many < few * 8, "{filter:?}: {few:?} of few, {many:?} of 32 times as many");
    }
}

#[test]
fn a_filter_without_end_is_refused_and_finds_nothing_at_once() {
    let grid = grid_of(19_000);
    let stars = named(&"*".repeat(120_000));
    let refused = stars.check().expect_err("too long");
    let (what, allowed) = (Length::NameFilter, FILTER_BYTES as u64);
    assert_eq!(refused, Reason::TooLong { what, found: 120_000, allowed }.into());
    assert_eq!(page(&grid, None, &stars, 1), (Vec::new(), None, More::Exactly(0)));
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
            let (jobs, next, more) = page(&grid, before, &filter, 1_000);
            let left = (expected - listed.len() - jobs.len()) as u64;
            let fits = match more {
                More::Exactly(count) => count == left,
                More::AtMost(count) => count >= left,
                More::Many => true,
            };
            assert!(fits, "{more:?} of {left}");
            listed.extend(jobs);
            (before, pages) = (next, pages + 1);
            if next.is_none() {
                break;
            }
        }
        assert!(listed.is_sorted_by(|a, b| a > b));
        assert_eq!(listed.len(), expected);
        assert!(pages <= 6, "{pages}");
    }
}

#[test]
fn a_page_says_exactly_how_many_are_left_if_these_are_few() {
    let grid = grid_of(300);
    let all = JobFilter::default();
    let (jobs, next, more) = page(&grid, None, &all, 2);
    assert_eq!(jobs, [JobId(300), JobId(299)]);
    assert_eq!((next, more), (Some(JobId(299)), More::Exactly(298)));
    assert_eq!(page(&grid, Some(JobId(3)), &all, 2), (vec![JobId(2), JobId(1)], None, NO_MORE));
    assert_eq!(page(&grid, Some(JobId(1)), &all, 2), (Vec::new(), None, NO_MORE));
    assert_eq!(page(&grid, None, &all, 0).1, Some(JobId(u64::MAX)), "it goes on from the start");
    assert_eq!(page(&grid_of(19_000), Some(JobId(9_000)), &all, 2).2, More::Many);
}
