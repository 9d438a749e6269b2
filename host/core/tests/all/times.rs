//! The grid's own time: it passes while a scheduler runs, whatever the machine's clock says.

use wasmgrid_core::{GridConfig, Input};
use wasmgrid_proto::{JobSpec, JobState, Micros, Millis, Record};

use crate::world::{World, spec};

const YEAR_US: u64 = 365 * 24 * 60 * 60 * 1_000_000;

/// When the first term began.
const BEGAN: Micros = Micros(50 * YEAR_US);

fn world() -> World {
    let mut world = World::with(GridConfig {
        keep_results: Some(Millis(10_000)),
        keep_jobs: Some(Millis(60_000)),
        ..GridConfig::default()
    });
    world.restart_on(BEGAN);
    world
}

/// Clocks that are right, and those that are a year ahead or behind.
const CLOCKS: [Micros; 3] = [BEGAN, Micros(BEGAN.0 + YEAR_US), Micros(BEGAN.0 - YEAR_US)];

#[test]
fn what_is_kept_for_a_time_is_kept_for_all_of_it_whatever_the_clock_says_at_a_start() {
    for date in CLOCKS {
        let mut world = world();
        world.join("w", 4);
        let job = world.submit_as(spec(), Some("key"), 5, true);
        world.run(10);
        world.pass(5_000);
        world.restart_on(date);
        world.pass(4_999);
        assert_eq!(world.grid.logs(job).expect("known").dropped, None, "{date}");
        world.pass(1);
        assert!(world.grid.logs(job).expect("known").dropped.is_some(), "{date}");
        world.restart_on(BEGAN);
        world.pass(49_999);
        assert!(world.grid.job(job).is_some(), "{date}");
        world.pass(1);
        assert_eq!(world.grid.job(job), None, "{date}");
    }
}

#[test]
fn a_deadline_is_a_time_that_passes_while_a_scheduler_runs_whatever_the_clock_says_at_a_start() {
    for date in CLOCKS {
        let mut world = world();
        let job = world.submit(JobSpec { deadline: Some(Millis(8_000)), ..spec() }, 1);
        world.pass(5_000);
        world.restart_on(date);
        world.pass(2_999);
        assert_eq!(world.state(job), JobState::Active, "{date}");
        world.pass(1);
        assert_eq!(world.state(job), JobState::Expired, "{date}");
    }
}

#[test]
fn a_clock_that_was_set_back_puts_no_later_job_first() {
    let mut world = world();
    let first = world.submit(spec(), 1);
    world.restart_on(Micros(BEGAN.0 - YEAR_US));
    world.pass(100_000);
    let second = world.submit(spec(), 1);
    let worker = world.join("w", 1);
    assert_eq!(world.hands(worker)[0].job, first);
    assert!(world.job(first).submitted_at > world.job(second).submitted_at, "as people see it");
}

#[test]
fn people_are_shown_dates_by_the_clock_of_the_term() {
    let mut world = world();
    let worker = world.join("w", 1);
    let job = world.submit(spec(), 1);
    world.pass(1_000);
    world.run(10);
    let status = world.job(job);
    assert_eq!(status.submitted_at, BEGAN);
    assert_eq!(status.ended_at, Some(BEGAN.after(Millis(1_000))));
    world.restart_on(Micros(BEGAN.0 + YEAR_US));
    assert_eq!(world.job(job), status, "they stay as they were");
    world.join("w", 1);
    let heard = world.grid.workers().iter().find(|w| w.worker == worker).expect("w").heard_at;
    assert_eq!(heard, Micros(BEGAN.0 + YEAR_US));
}

#[test]
fn the_time_is_noted_each_minute_and_before_a_record_that_is_later_by_ten_seconds() {
    let mut world = world();
    let noted = |world: &World| {
        let times = world.journal.iter().filter_map(|record| match record {
            Record::TimePassed { time, .. } => Some(*time),
            _ => None,
        });
        times.collect::<Vec<_>>()
    };
    let began = world.now;
    let before = noted(&world).len();
    world.pass(600_000);
    assert_eq!(noted(&world).len() - before, 10, "once a minute and not more often");
    assert_eq!(world.grid.ledger().time(), began.after(Millis(600_000)));
    for (pass, is_noted) in [(9_000, false), (2_000, true), (9_000, false)] {
        world.pass(pass);
        let before = noted(&world).len();
        world.submit(spec(), 0);
        assert_eq!(noted(&world).len() > before, is_noted, "after {pass} ms more");
    }
    // A scheduler that starts goes on where the last one was at most so long before its end.
    let lost = world.now.since(world.replayed().ledger().time());
    assert!(lost <= Millis(10_000), "{lost}");
    world.drive(Input::Tick);
}
