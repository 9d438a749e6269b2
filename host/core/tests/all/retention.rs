//! What of a job goes when, and what is known of it until then.

use wasmgrid_core::{GridConfig, Input, RETAINED_AT_ONCE};
use wasmgrid_proto::{
    Digest, DropReason, JobId, LogRef, Millis, OutcomeClass, Reason, Record, TaskRange,
    wire::{ErrorCode, Reply},
};

use crate::world::{Hand, World, by_alice, spec};

fn config() -> GridConfig {
    GridConfig {
        keep_results: Some(Millis(10_000)),
        keep_jobs: Some(Millis(60_000)),
        ..GridConfig::default()
    }
}

/// All inputs that were dropped of a job, in order.
fn inputs_dropped(world: &World, job: JobId) -> Vec<TaskRange> {
    let of_job = |record: &Record| match record {
        Record::InputsDropped { job: of, tasks } if *of == job => Some(tasks.clone()),
        _ => None,
    };
    world.journal.iter().filter_map(of_job).flatten().collect()
}

fn whole(world: &World, job: JobId) -> bool {
    (0..world.job(job).counts.total).all(|index| world.grid.holds(LogRef::input(job, index)))
}

#[test]
fn inputs_go_as_soon_as_all_tasks_of_their_append_ended_ok() {
    let mut world = World::with(GridConfig { keep_inputs: 0, ..config() });
    let worker = world.join("w", 4);
    let job = world.submit_as(spec(), None, 0, false);
    world.append(job, 0, 3).expect("appended");
    world.append(job, 3, 2).expect("appended");
    assert!(whole(&world, job));
    world.run(3);
    world.append(job, 5, 1).expect("appended");
    world.run(100);
    let dropped: u64 = inputs_dropped(&world, job).iter().map(|part| part.count).sum();
    assert_eq!(dropped, 6);
    assert!(!world.grid.holds(LogRef::input(job, 0)) && !world.grid.holds(LogRef::input(job, 5)));
    assert!(world.hands(worker).is_empty());
    world.check_replay();
}

#[test]
fn inputs_of_tasks_that_ended_ok_stay_with_the_results_up_to_a_bound() {
    // Three appends of 100 bytes, each of which counts 1 KiB more.
    let mut world = World::with(GridConfig { keep_inputs: 3 * 1_124, ..config() });
    world.input_bytes = 50;
    world.join("w", 4);
    let job = world.submit_as(spec(), None, 0, false);
    for first in [0, 2, 4] {
        world.append(job, first, 2).expect("appended");
        world.run(10);
    }
    assert!(whole(&world, job));
    world.append(job, 6, 2).expect("appended");
    let holds = |world: &World, index| world.grid.holds(LogRef::input(job, index));
    assert!((0..6).all(|index| !holds(&world, index)), "all that ended is deleted");
    world.close(job).expect("closed");
    world.run(10);
    assert!(world.state(job).is_terminal());
    assert!(holds(&world, 6) && holds(&world, 7));
    world.restart();
    assert!(holds(&world, 6) && holds(&world, 7), "also after a restart");
    world.check_replay();
    world.pass(10_001);
    assert!(!holds(&world, 6) && !holds(&world, 7));
    world.check_replay();
}

#[test]
fn stored_inputs_are_found_from_any_index_on() {
    let mut world = World::with(GridConfig { keep_inputs: 0, ..config() });
    let worker = world.join("w", 4);
    let job = world.submit_as(spec(), None, 0, false);
    for first in [0, 3, 6] {
        world.append(job, first, 3).expect("appended");
    }
    world.skip(job, 9, 5).expect("skipped");
    world.append(job, 14, 1).expect("appended");
    let found = |world: &World, first, count| {
        world.grid.stored_inputs(job, TaskRange { first, count }).map(|run| (run.first, run.end()))
    };
    assert_eq!(found(&world, 0, 100), Some((0, 9)));
    assert_eq!(found(&world, 4, 1), Some((4, 5)));
    assert_eq!(found(&world, 9, 100), Some((14, 15)));
    assert_eq!(found(&world, 9, 5), None);
    assert_eq!(found(&world, 1, u64::MAX), Some((1, 9)));
    assert_eq!(found(&world, u64::MAX, u64::MAX), None);
    while let Some(hand) = world.hands(worker).first().copied() {
        for index in hand.tasks.first..hand.tasks.end() {
            let one = Hand { tasks: TaskRange::one(index), ..hand };
            let class = if index == 4 { OutcomeClass::Failed } else { OutcomeClass::Ok };
            world.send(worker, one, class, 10);
        }
        world.end(worker, hand, OutcomeClass::Ok, 10);
    }
    assert_eq!(found(&world, 0, 100), Some((3, 6)), "one of its tasks failed");
    world.close(job).expect("closed");
    let request = world.request();
    let asked = by_alice(request);
    world.drive(Input::Retry { request: asked, job, limits: None, idempotency_key: None });
    let Ok(Reply::Job(retry)) = world.reply(request) else { panic!("it is taken") };
    assert_eq!(world.grid.input_of(retry.job, 0).job, job);
    let found = world.grid.stored_inputs(retry.job, TaskRange { first: 0, count: 100 });
    assert_eq!(found, Some(TaskRange::one(4)), "of a retry only its own");
    assert_eq!(world.grid.stored_inputs(retry.job, TaskRange { first: 5, count: 9 }), None);
}

#[test]
fn inputs_of_tasks_that_did_not_end_ok_stay_as_long_as_the_results() {
    let mut world = World::with(config());
    let worker = world.join("w", 8);
    let job = world.submit_as(spec(), None, 0, false);
    world.append(job, 0, 2).expect("appended");
    world.append(job, 2, 2).expect("appended");
    world.close(job).expect("closed");
    for hand in world.hands(worker) {
        let failed = hand.tasks.first == 0;
        let class = if failed { OutcomeClass::Failed } else { OutcomeClass::Ok };
        world.end(worker, hand, class, 1);
    }
    world.run(10);
    assert!(world.state(job).is_terminal());
    assert!(world.grid.holds(LogRef::input(job, 0)) && world.grid.holds(LogRef::input(job, 1)));
    world.restart();
    assert!(world.grid.holds(LogRef::input(job, 0)), "also after a restart");
    world.check_replay();
    world.pass(10_001);
    assert!(!world.grid.holds(LogRef::input(job, 0)) && !world.grid.holds(LogRef::input(job, 1)));
    world.check_replay();
}

#[test]
fn results_go_some_time_after_the_end_and_the_job_later_with_its_key() {
    let mut world = World::with(config());
    world.join("w", 4);
    let job = world.submit_as(spec(), Some("key"), 5, true);
    world.run(10);
    assert!(world.state(job).is_terminal());
    world.pass(9_000);
    assert_eq!(world.grid.logs(job).expect("known").dropped, None);
    // The time counts from the job's end, whatever was between.
    world.restart();
    world.pass(1_001);
    let dropped = world.grid.logs(job).expect("known").dropped.expect("dropped");
    assert_eq!((dropped.before, dropped.why), (5, DropReason::Age));
    assert_eq!(world.submit_as(spec(), Some("key"), 5, true), job, "the key is known");
    world.check_replay();
    world.pass(50_000);
    assert_eq!(world.grid.job(job), None);
    assert_eq!(world.grid.jobs(10), []);
    world.check_replay();
    let next = world.submit_as(spec(), Some("key"), 5, true);
    assert_eq!(next.0, job.0 + 1, "a number is given once");
    world.check_replay();
}

#[test]
fn each_tick_deletes_what_is_due_of_a_bounded_number_of_jobs() {
    let mut world = World::with(config());
    let jobs = 2 * RETAINED_AT_ONCE + 1;
    (0..jobs).for_each(|_| _ = world.submit_as(spec(), None, 0, true));
    let due = world.now.after(Millis(60_000));
    while world.grid.poll_timeout().is_some_and(|at| at < due) {
        world.pass(1_000);
    }
    world.now = world.now.max(due);
    let mut forgotten = Vec::new();
    while world.grid.poll_timeout().is_some_and(|at| at <= world.now) {
        let before = world.journal.len();
        world.drive(Input::Tick);
        let records = world.journal.get(before..).unwrap_or_default().iter();
        forgotten
            .push(records.filter(|record| matches!(record, Record::JobForgotten { .. })).count());
    }
    assert_eq!(forgotten, [RETAINED_AT_ONCE, RETAINED_AT_ONCE, 1]);
    world.check_replay();
}

#[test]
fn open_jobs_stay_however_old_they_are() {
    let mut world = World::with(config());
    world.join("w", 4);
    let job = world.submit_as(spec(), None, 5, false);
    world.run(10);
    world.pass(1_000_000);
    assert_eq!(world.grid.logs(job).expect("known").dropped, None);
    world.append(job, 5, 1).expect("appended");
}

#[test]
fn results_of_a_running_job_are_cut_where_the_driver_says() {
    let mut world = World::new();
    world.join("w", 4);
    let job = world.submit_as(spec(), None, 10, false);
    world.run(10);
    for (before, expected) in [(4, 4), (2, 4), (u64::MAX, 10)] {
        world.drive(Input::DropResults { job, before, why: DropReason::JobBytes });
        let dropped = world.grid.logs(job).expect("known").dropped.expect("dropped");
        assert_eq!((dropped.before, dropped.why), (expected, DropReason::JobBytes));
    }
    world.check_replay();
}

#[test]
fn an_append_is_repeated_by_its_content_and_anything_else_there_is_a_conflict() {
    let mut world = World::new();
    let job = world.submit_as(spec(), None, 0, false);
    let (mine, theirs) = (Digest::of(b"mine"), Digest::of(b"theirs"));
    world.append_as(job, 0, 3, mine).expect("appended");
    for digest in [mine, theirs] {
        let repeated = world.append_as(job, 0, 3, digest);
        assert_eq!(repeated.is_ok(), digest == mine);
        if let Err(error) = repeated {
            assert_eq!(error, Reason::Overlap { job, first: 0, next: 3 }.into());
        }
    }
    let longer = world.append_as(job, 0, 4, mine).expect_err("other inputs");
    assert_eq!(longer.code, ErrorCode::Conflict);
    assert_eq!(world.job(job).counts.total, 3);
    world.restart();
    world.append_as(job, 0, 3, mine).expect("known after a restart");
    world.append_as(job, 3, 1, theirs).expect("appended");
    world.close(job).expect("closed");
    world.join("w", 4);
    world.run(10);
    world.append_as(job, 3, 1, theirs).expect("known after the end");
    world.check_replay();
}

#[test]
fn an_append_too_old_to_be_known_is_a_conflict_and_never_dropped_in_silence() {
    let mut world = World::new();
    let job = world.submit_as(spec(), None, 0, false);
    for first in 0..1_100 {
        world.append(job, first, 1).expect("appended");
    }
    assert_eq!(world.append(job, 0, 1).expect_err("forgotten").code, ErrorCode::Conflict);
    world.append(job, 1_099, 1).expect("the last is known");
    world.append(job, 1_000, 1).expect("and those before it");
    world.check_replay();
}
