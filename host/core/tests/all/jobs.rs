//! Promises about jobs: what clients ask for and what they are told.

use wasmgrid_core::{Input, Output};
use wasmgrid_proto::{
    JobId, JobSpec, JobState, Millis, OutcomeClass, Reason, Record,
    wire::{ErrorCode, Reply},
};

use crate::world::{World, by_alice, bytes_of, content, spec, spec_of};

#[test]
fn a_job_runs_to_its_end_and_says_so() {
    let mut world = World::new();
    world.join("a", 2);
    let job = world.submit(spec(), 1_000);
    world.run(10);
    let status = world.job(job);
    assert_eq!((status.state, status.counts.ok, status.results), (JobState::Ok, 1_000, 1_000));
    assert!(
        matches!(world.last.last(), Some(Output::JobChanged { job: changed }) if *changed == job)
    );
    world.check_replay();
}

#[test]
fn a_closed_job_without_tasks_is_ok_at_once() {
    let mut world = World::new();
    let job = world.submit(spec(), 0);
    assert_eq!(world.state(job), JobState::Ok);
}

#[test]
fn a_submit_is_answered_behind_its_records() {
    let mut world = World::new();
    world.submit(spec(), 3);
    let kinds: Vec<&str> = world
        .last
        .iter()
        .map(|output| match output {
            Output::Persist(Record::JobSubmitted { .. }) => "submitted",
            Output::PersistInputs { record: Record::InputsAppended { .. }, .. } => "appended",
            Output::Persist(Record::InputsClosed { .. }) => "closed",
            Output::Reply { .. } => "reply",
            Output::JobChanged { .. } => "changed",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["submitted", "appended", "closed", "reply", "changed"]);
    assert!(world.last.iter().skip(3).all(Output::is_gated));
}

#[test]
fn an_open_job_ends_only_once_it_is_closed() {
    let mut world = World::new();
    world.join("a", 2);
    let job = world.submit_as(spec(), None, 2, false);
    world.run(10);
    assert_eq!(world.state(job), JobState::Active);
    assert_eq!(world.append(job, 2, 3), Ok(Reply::Done));
    world.run(10);
    assert_eq!(world.close(job), Ok(Reply::Done));
    let status = world.job(job);
    assert_eq!((status.state, status.counts.ok), (JobState::Ok, 5));
    world.check_replay();
}

#[test]
fn a_repeated_append_is_done_once() {
    let mut world = World::new();
    let job = world.submit_as(spec(), None, 2, false);
    assert_eq!(world.append(job, 2, 3), Ok(Reply::Done));
    assert_eq!(world.append(job, 2, 3), Ok(Reply::Done));
    assert_eq!(world.job(job).counts.total, 5);
    let gap = world.append(job, 6, 1).expect_err("there is a gap");
    assert_eq!(gap.code, ErrorCode::Invalid);
    let overlap = world.append(job, 4, 2).expect_err("half of it is new");
    assert_eq!(overlap.code, ErrorCode::Conflict);
    let huge = world.append(job, 5, u64::MAX).expect_err("too many");
    assert_eq!(huge.code, ErrorCode::Invalid);
}

#[test]
fn while_no_new_work_is_taken_repeats_are_answered_and_nothing_new_is_done() {
    let mut world = World::new();
    let job = world.submit_as(spec(), Some("key"), 2, false);
    let shared = world.submit_as(spec(), None, 2, false);
    let append = |world: &mut World, number| {
        let request = world.request();
        let (producer, count, bytes) = (7, 1, bytes_of(0));
        world.drive(Input::Append {
            request: by_alice(request),
            job: shared,
            producer,
            number,
            count,
            bytes,
        });
        world.reply(request)
    };
    assert_eq!(world.append(job, 2, 3), Ok(Reply::Done));
    assert_eq!(append(&mut world, 1), Ok(Reply::Appended { first: 2 }));

    world.drive(Input::Intake { refusal: Some(Reason::DiskFull) });
    assert_eq!(world.submit_as(spec(), Some("key"), 2, false), job);
    assert_eq!(world.append(job, 2, 3), Ok(Reply::Done));
    assert_eq!(append(&mut world, 1), Ok(Reply::Appended { first: 2 }));
    let full = || Err(Reason::DiskFull.into());
    assert_eq!(append(&mut world, 2), full());
    assert_eq!(world.append(job, 5, 1), full());
    assert_eq!(world.skip(job, 5, 1), full());
    let (request, digest) = (world.request(), content(0, 1, true));
    let (spec, idempotency_key, inputs, bytes) =
        (Box::new(spec()), Some("new".into()), 1, bytes_of(0));
    let closed = true;
    world.drive(Input::Submit {
        request: by_alice(request),
        spec,
        idempotency_key,
        inputs,
        bytes,
        closed,
        digest,
    });
    assert_eq!(world.reply(request), full());
    assert_eq!([job, shared].map(|job| world.job(job).counts.total), [5, 3]);

    world.drive(Input::Intake { refusal: None });
    assert_eq!(append(&mut world, 2), Ok(Reply::Appended { first: 3 }));
    world.check_replay();
}

#[test]
fn a_closed_job_takes_no_more_inputs() {
    let mut world = World::new();
    let job = world.submit(spec(), 2);
    let refused = world.append(job, 2, 1).expect_err("it is closed");
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert_eq!(world.close(job), Ok(Reply::Done), "closing again changes nothing");
}

#[test]
fn an_idempotency_key_gives_the_same_job_also_after_a_restart() {
    let mut world = World::new();
    let job = world.submit_as(spec(), Some("key"), 2, true);
    assert_eq!(world.submit_as(spec(), Some("key"), 2, true), job);
    world.restart();
    assert_eq!(world.submit_as(spec(), Some("key"), 2, true), job);
    assert_eq!(world.job(job).counts.total, 2);
    let other = world.submit_as(spec_of("other"), Some("key"), 2, true);
    assert_ne!(other, job, "keys are the tenant's own");
}

#[test]
fn an_idempotency_key_does_not_swallow_other_inputs() {
    let mut world = World::new();
    let repeat = |world: &mut World, key: &str, inputs, closed| {
        let request = world.request();
        let idempotency_key = Some(key.into());
        let (spec, digest) = (Box::new(spec()), content(0, inputs, closed));
        world.drive(Input::Submit {
            request: by_alice(request),
            spec,
            idempotency_key,
            inputs,
            bytes: bytes_of(0),
            closed,
            digest,
        });
        world.reply(request).map_err(|error| error.code).map(|_| ())
    };
    world.submit_as(spec(), Some("closed"), 2, true);
    assert_eq!(repeat(&mut world, "closed", 3, true), Err(ErrorCode::Conflict));
    assert_eq!(repeat(&mut world, "closed", 1, true), Err(ErrorCode::Conflict));
    assert_eq!(repeat(&mut world, "closed", 2, true), Ok(()));

    let job = world.submit_as(spec(), Some("open"), 2, false);
    assert_eq!(repeat(&mut world, "open", 2, true), Err(ErrorCode::Conflict));
    assert_eq!(repeat(&mut world, "open", 3, false), Err(ErrorCode::Conflict));
    world.append(job, 2, 3).expect("open");
    world.close(job).expect("open");
    assert_eq!(repeat(&mut world, "open", 2, false), Ok(()), "what came later does not count");
}

#[test]
fn an_idempotency_key_of_another_job_is_a_conflict() {
    let mut world = World::new();
    world.submit_as(spec(), Some("key"), 2, true);
    let request = world.request();
    let changed = Box::new(JobSpec { retries: 3, ..spec() });
    let idempotency_key = Some("key".into());
    let (spec, inputs, closed, digest) = (changed, 2, true, content(0, 2, true));
    world.drive(Input::Submit {
        request: by_alice(request),
        spec,
        idempotency_key,
        inputs,
        bytes: bytes_of(0),
        closed,
        digest,
    });
    assert_eq!(world.reply(request).expect_err("another spec").code, ErrorCode::Conflict);
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut world = World::new();
    let nothing = JobId(9);
    for reply in [world.append(nothing, 0, 1), world.close(nothing), world.cancel(nothing)] {
        assert_eq!(reply.expect_err("no such job").code, ErrorCode::NotFound);
    }
    assert_eq!(world.drain("nobody").expect_err("no such worker").code, ErrorCode::NotFound);
}

#[test]
fn after_a_cancel_nothing_commits_and_all_tasks_are_cancelled() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 10);
    let hands = world.hands(worker);
    assert_eq!(world.cancel(job), Ok(Reply::Done));
    let cancel = Output::Cancel { worker, job, by: "alice".into() };
    assert!(world.last.contains(&cancel));
    assert_eq!((world.state(job), world.job(job).counts.cancelled), (JobState::Cancelled, 10));
    let late: u64 = hands.iter().map(|hand| hand.tasks.count).sum();
    for hand in hands {
        world.end(worker, hand, OutcomeClass::Ok, 10);
    }
    let counts = world.job(job).counts;
    assert_eq!((counts.ok, counts.discarded), (0, late));
    assert_eq!(world.cancel(job), Ok(Reply::Done), "cancelling again changes nothing");
    world.check_replay();
}

#[test]
fn a_job_that_has_ended_cannot_be_cancelled() {
    let mut world = World::new();
    let job = world.submit(spec(), 0);
    assert_eq!(world.cancel(job).expect_err("it is ok").code, ErrorCode::Conflict);
}

#[test]
fn tasks_not_ended_at_the_jobs_deadline_expire() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(JobSpec { deadline: Some(Millis(500)), ..spec() }, 10);
    world.pass(499);
    assert_eq!(world.state(job), JobState::Active);
    world.pass(1);
    let status = world.job(job);
    assert_eq!((status.state, status.counts.expired), (JobState::Expired, 10));
    world.end_all(worker, OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).counts.ok, 0);
    world.check_replay();
}

#[test]
fn a_deadline_survives_a_restart() {
    let mut world = World::new();
    let job = world.submit(JobSpec { deadline: Some(Millis(500)), ..spec() }, 1);
    world.restart();
    world.pass(500);
    assert_eq!(world.state(job), JobState::Expired);
}

#[test]
fn after_too_many_failures_the_rest_is_skipped_and_what_runs_may_end() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(JobSpec { max_failures: Some(1), ..spec() }, 100);
    let hand = world.hands(worker)[0];
    let mut first = hand;
    first.tasks.count = 1;
    world.send(worker, first, OutcomeClass::Failed, 10);
    let revoked: u64 = world
        .last
        .iter()
        .filter_map(|output| match output {
            Output::Revoke { tasks, .. } => Some(tasks.iter().map(|part| part.count).sum::<u64>()),
            _ => None,
        })
        .sum();
    assert_eq!(revoked, world.job(job).counts.running, "what has not begun is asked back");
    let mut second = hand;
    second.tasks.first += 1;
    second.tasks.count -= 1;
    world.send(worker, second, OutcomeClass::Ok, 10);
    let status = world.job(job);
    assert_eq!(status.state, JobState::Failed);
    assert_eq!((status.counts.failed, status.counts.ok), (1, second.tasks.count));
    assert_eq!(status.counts.skipped, 99 - second.tasks.count);
    world.check_replay();
}
