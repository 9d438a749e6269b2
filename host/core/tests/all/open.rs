//! Promises about jobs that several feed, and about running failed tasks again.

use wasmgrid_core::{GridConfig, Input, Output};
use wasmgrid_proto::{
    Fuel, JobId, JobState, Limits, LogRef, Millis, OutcomeClass, Reason, Record, TaskRange,
    reason::NotOpen,
    wire::{ApiError, ErrorCode, Reply},
};

use crate::world::{Hand, World, by_alice, bytes_of, spec};

pub fn extend(
    world: &mut World,
    job: JobId,
    asked: (u64, u64),
    count: u64,
) -> Result<u64, ApiError> {
    let (request, (producer, number)) = (world.request(), asked);
    world.drive(Input::Append {
        request: by_alice(request),
        job,
        producer,
        number,
        count,
        bytes: bytes_of(0),
    });
    match world.reply(request)? {
        Reply::Appended { first } => Ok(first),
        other => panic!("no answer to an append: {other:?}"),
    }
}

fn retry(world: &mut World, job: JobId, limits: Option<Limits>) -> Result<JobId, ApiError> {
    retry_as(world, job, limits, None)
}

fn retry_as(
    world: &mut World,
    job: JobId,
    limits: Option<Limits>,
    key: Option<&str>,
) -> Result<JobId, ApiError> {
    let request = world.request();
    let idempotency_key = key.map(Into::into);
    world.drive(Input::Retry { request: by_alice(request), job, limits, idempotency_key });
    match world.reply(request)? {
        Reply::Job(status) => Ok(status.job),
        other => panic!("no answer to a retry: {other:?}"),
    }
}

/// A job of so many tasks of which every third failed, and one worker.
fn third_failed(count: u64) -> (World, JobId) {
    third_failed_with(GridConfig::default(), count)
}

fn third_failed_with(config: GridConfig, count: u64) -> (World, JobId) {
    let mut world = World::with(config);
    let worker = world.join("a", 2);
    let job = world.submit(spec(), count);
    while let Some(hand) = world.hands(worker).first().copied() {
        for index in hand.tasks.first..hand.tasks.end() {
            let one = Hand { tasks: TaskRange { first: index, count: 1 }, ..hand };
            let class = if index % 3 == 0 { OutcomeClass::Failed } else { OutcomeClass::Ok };
            world.send(worker, one, class, 10);
        }
        world.end(worker, hand, OutcomeClass::Ok, 10);
    }
    assert_eq!(world.state(job), JobState::Failed);
    (world, job)
}

#[test]
fn several_producers_feed_one_job_and_each_append_is_done_once() {
    let mut world = World::new();
    world.join("a", 2);
    let job = world.submit_as(spec(), None, 2, false);
    assert_eq!(extend(&mut world, job, (7, 1), 3), Ok(2));
    assert_eq!(extend(&mut world, job, (8, 1), 4), Ok(5));
    assert_eq!(extend(&mut world, job, (7, 1), 3), Ok(2), "a repeat gets the same answer");
    assert_eq!(extend(&mut world, job, (8, 2), 1), Ok(9));
    assert_eq!(world.job(job).counts.total, 10);
    world.restart();
    assert_eq!(extend(&mut world, job, (8, 2), 1), Ok(9), "also after a restart");
    assert_eq!(extend(&mut world, job, (8, 3), 2), Ok(10));
    assert_eq!(extend(&mut world, job, (8, 1), 4).map_err(|e| e.code), Err(ErrorCode::Invalid));
    assert_eq!(extend(&mut world, job, (8, 9), 4).map_err(|e| e.code), Err(ErrorCode::Invalid));
    world.close(job).expect("closed");
    assert_eq!(extend(&mut world, job, (8, 3), 2), Ok(10), "also after the job was closed");
    let error = extend(&mut world, job, (8, 4), 2).expect_err("closed");
    assert_eq!(error, Reason::JobClosed { job, why: NotOpen::Closed { at: 12 } }.into());
    world.check_replay();
}

#[test]
fn inputs_of_somebody_else_are_never_taken_for_a_repeat() {
    let mut world = World::new();
    let job = world.submit_as(spec(), None, 0, false);
    assert_eq!(world.append(job, 0, 2), Ok(Reply::Done));
    assert_eq!(extend(&mut world, job, (7, 1), 1), Ok(2));
    let error = world.append(job, 2, 1).expect_err("index 2 is another's");
    assert_eq!(error, Reason::Shared { job, first: 2 }.into());
}

#[test]
fn a_job_that_ended_takes_nothing_and_says_why() {
    let mut world = World::new();
    let job = world.submit_as(spec(), None, 1, false);
    world.cancel(job).expect("cancelled");
    for error in [
        extend(&mut world, job, (7, 1), 1).expect_err("ended"),
        world.append(job, 1, 1).expect_err("ended"),
    ] {
        let why = NotOpen::Ended(JobState::Cancelled);
        assert_eq!(error, Reason::JobClosed { job, why }.into());
    }
    assert_eq!(world.close(job), Ok(Reply::Done), "that no more come is true of it");
    let error = extend(&mut world, JobId(99), (7, 1), 1).expect_err("unknown");
    assert_eq!(error.code, ErrorCode::NotFound);
}

#[test]
fn a_retry_runs_what_failed_under_its_indices_and_changes_no_result() {
    let (mut world, old) = third_failed(30);
    let before = world.job(old);
    let job = retry(&mut world, old, None).expect("made");
    let status = world.job(job);
    assert_eq!((status.counts.total, status.closed), (10, true));
    assert_eq!(world.grid.input_of(job, 0).job, old);
    assert_eq!(status.spec.task, before.spec.task);
    assert_eq!(status.spec.name, format!("{} (retry of {old})", before.spec.name));
    let mut ran: Vec<u64> = Vec::new();
    let worker = world.join("b", 4);
    while let Some(hand) = world.hands(worker).first().copied() {
        ran.extend(hand.tasks.first..hand.tasks.end());
        world.end(worker, hand, OutcomeClass::Ok, 10);
    }
    world.run(10);
    ran.sort_unstable();
    assert!(!ran.is_empty() && ran.iter().all(|index| index % 3 == 0), "{ran:?}");
    assert_eq!((world.state(job), world.job(job).counts.ok), (JobState::Ok, 10));
    assert_eq!(world.job(old), before);
    world.check_replay();
}

#[test]
fn a_retry_of_a_retry_has_the_first_ones_inputs() {
    let (mut world, old) = third_failed(9);
    let second = retry(&mut world, old, None).expect("made");
    world.cancel(second).expect("cancelled");
    let third = retry(&mut world, second, None).expect("what was cancelled did not end ok");
    assert_eq!(world.grid.input_of(third, 0).job, old);
    assert_eq!(world.job(third).counts.total, 3);
    assert!(world.job(third).spec.name.ends_with(&format!("(retry of {second})")));
    assert_eq!(world.job(third).spec.name.matches("retry of").count(), 1);
    world.run(10);
    assert_eq!(world.state(third), JobState::Ok);
    world.restart();
    assert_eq!(world.grid.input_of(third, 0).job, old);
}

#[test]
fn a_retry_has_the_tasks_that_it_runs_and_none_between_them() {
    let (mut world, old) = third_failed(9);
    let job = retry(&mut world, old, None).expect("made");
    let there = |world: &World| -> Vec<u64> {
        (0..9).filter(|index| world.grid.task(job, *index).is_some()).collect()
    };
    assert_eq!(there(&world), [0, 3, 6]);
    assert_eq!(world.grid.nearest_tasks(job, 4), Some((old, Some(3), Some(6))));
    assert_eq!(world.grid.nearest_tasks(job, 99), Some((old, Some(6), None)));
    assert_eq!(world.grid.nearest_tasks(old, 99), None);
    world.run(10);
    assert_eq!(there(&world), [0, 3, 6]);
    world.restart();
    assert_eq!(there(&world), [0, 3, 6]);
    world.check_replay();
}

#[test]
fn a_retry_is_refused_while_the_job_runs_and_where_all_went_well() {
    let mut world = World::new();
    let job = world.submit(spec(), 3);
    let error = retry(&mut world, job, None).expect_err("it runs");
    assert_eq!(error, Reason::JobActive { job }.into());
    world.join("a", 1);
    world.run(10);
    let error = retry(&mut world, job, None).expect_err("all ok");
    assert_eq!(error, Reason::NothingFailed { job }.into());
    assert_eq!(retry(&mut world, JobId(99), None).map_err(|e| e.code), Err(ErrorCode::NotFound));
}

#[test]
fn a_retry_may_have_other_limits_and_a_repeat_of_it_is_done_once() {
    let (mut world, old) = third_failed(9);
    let limits = Limits { fuel: Fuel(7), ..Limits::default() };
    let job = retry_as(&mut world, old, Some(limits), Some("key")).expect("made");
    assert_eq!(world.job(job).spec.task.limits, limits);
    world.restart();
    assert_eq!(retry_as(&mut world, old, Some(limits), Some("key")), Ok(job));
    let error = retry_as(&mut world, old, None, Some("key")).expect_err("another one");
    assert_eq!(error.code, ErrorCode::Conflict);
    let other = world.submit(spec(), 1);
    assert!(other > job);
}

#[test]
fn a_retry_of_many_scattered_tasks_is_written_in_bounded_records() {
    let (mut world, old) = third_failed(30_000);
    let job = retry(&mut world, old, None).expect("made");
    let mut tasks = 0;
    for output in &world.last {
        if let Output::Persist(Record::InputsTaken { tasks: part, .. }) = output {
            assert!(part.len() <= 4_096);
            tasks += part.len();
        }
    }
    assert_eq!(tasks, 10_000);
    world.run(10);
    assert_eq!((world.state(job), world.job(job).counts.ok), (JobState::Ok, 10_000));
    world.check_replay();
}

fn keeping() -> GridConfig {
    let (keep_results, keep_jobs) = (Some(Millis(10_000)), Some(Millis(60_000)));
    GridConfig { keep_results, keep_jobs, ..GridConfig::default() }
}

#[test]
fn inputs_that_a_retry_needs_stay_until_its_end_and_so_does_their_job() {
    let (mut world, old) = third_failed_with(keeping(), 9);
    world.drain("a").expect("it is there");
    let job = retry(&mut world, old, None).expect("made");
    world.pass(100_000);
    assert!(world.grid.logs(old).expect("not forgotten").dropped.is_some());
    assert!(world.grid.holds(LogRef::input(old, 0)) && world.grid.holds(LogRef::input(old, 6)));
    world.restart();
    // What the other worker may have begun is waited for.
    world.pass(20_000);
    assert!(world.grid.holds(LogRef::input(old, 3)), "also after a restart");
    world.join("b", 2);
    world.run(10);
    assert_eq!(world.state(job), JobState::Ok);
    assert_eq!(world.grid.job(old), None, "its time was over");
    assert!(!world.grid.holds(LogRef::input(old, 0)));
}

#[test]
fn a_retry_is_refused_where_the_inputs_are_dropped() {
    let (mut world, old) = third_failed_with(keeping(), 9);
    let second = retry(&mut world, old, None).expect("made");
    world.cancel(second).expect("cancelled");
    world.pass(10_001);
    for job in [old, second] {
        let error = retry(&mut world, job, None).expect_err("the inputs are gone");
        assert_eq!(error, Reason::InputsDeleted { job }.into());
    }
}

#[test]
fn a_retry_that_is_forgotten_at_its_end_lets_its_job_go_too() {
    let config = GridConfig { keep_jobs: Some(Millis(60_000)), ..GridConfig::default() };
    let (mut world, old) = third_failed_with(config, 9);
    world.drain("a").expect("it is there");
    let job = retry(&mut world, old, None).expect("made");
    world.pass(100_000);
    world.config.keep_jobs = Some(Millis(0));
    world.restart();
    world.pass(20_000);
    world.join("b", 2);
    world.run(10);
    assert_eq!((world.grid.job(job), world.grid.job(old)), (None, None));
}

#[test]
fn indices_that_are_skipped_have_no_task() {
    let mut world = World::new();
    let job = world.submit_as(spec(), None, 0, false);
    assert_eq!(world.skip(job, 0, 5), Ok(Reply::Done));
    assert_eq!(world.append(job, 5, 2), Ok(Reply::Done));
    assert_eq!(world.skip(job, 7, 1 << 30), Ok(Reply::Done));
    assert_eq!(world.skip(job, 7, 1 << 30), Ok(Reply::Done), "a repeat is done once");
    let code = |reply: Result<Reply, ApiError>| reply.expect_err("refused").code;
    assert_eq!(code(world.append(job, 7, 1)), ErrorCode::Conflict);
    let next = 7 + (1 << 30);
    assert_eq!(code(world.skip(job, next + 1, 1)), ErrorCode::Invalid, "it comes too early");
    assert_eq!(world.append(job, next, 1), Ok(Reply::Done));
    assert_eq!(world.job(job).counts.total, 3);
    for (index, there) in [(0, false), (4, false), (5, true), (6, true), (7, false), (next, true)] {
        assert_eq!(world.grid.task(job, index).is_some(), there, "{index}");
    }
    world.restart();
    world.close(job).expect("closed");
    let worker = world.join("a", 2);
    let mut ran = Vec::new();
    while let Some(hand) = world.hands(worker).first().copied() {
        ran.extend(hand.tasks.first..hand.tasks.end());
        world.end(worker, hand, OutcomeClass::Failed, 10);
    }
    ran.sort_unstable();
    assert_eq!((ran, world.state(job)), (vec![5, 6, next], JobState::Failed));
    assert_eq!(world.grid.task(job, 4).map(|task| task.task), None, "also after a restart");
    let again = retry(&mut world, job, None).expect("made");
    assert_eq!(world.job(again).counts.total, 3);
    world.check_replay();
}
