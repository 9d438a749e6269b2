//! Promises about functions: calls are tasks of an open job, done once each, and never of two versions.

use wasmgrid_core::{GridConfig, Input, InputBytes};
use wasmgrid_proto::{
    Digest, FunctionStatus, FunctionTerms, JobId, JobSpec, JobState, OutcomeClass, Reason,
    SnapshotItem,
    wire::{ApiError, ErrorCode, Reply},
};

use crate::world::{World, by_alice, bytes_of, spec_of};

const MINUTE_MS: u64 = 60_000;

fn function_spec(module: &[u8], terms: FunctionTerms) -> JobSpec {
    let mut spec = spec_of("alice");
    spec.task.module = Digest::of(module);
    spec.of_function(terms).expect("encodes")
}

fn deploy(world: &mut World, name: &str, spec: JobSpec) -> Result<FunctionStatus, ApiError> {
    let request = world.request();
    let (asked, spec) = (by_alice(request), Box::new(spec));
    world.drive(Input::DeployFunction { request: asked, name: name.into(), spec });
    match world.reply(request)? {
        Reply::Function(status) => Ok(status),
        other => panic!("a deployment is answered with {other:?}"),
    }
}

/// A request of a producer: the job that took it, its first index, and where its results begin.
fn call(
    world: &mut World,
    name: &str,
    (producer, number): (u64, u64),
    count: u64,
) -> Result<(JobId, u64, u64), ApiError> {
    call_version(world, name, None, (producer, number), count)
}

fn call_version(
    world: &mut World,
    name: &str,
    module: Option<Digest>,
    (producer, number): (u64, u64),
    count: u64,
) -> Result<(JobId, u64, u64), ApiError> {
    let request = world.request();
    let bytes = bytes_of(count * world.input_bytes);
    let (tenant, name) = ("alice".into(), name.into());
    let asked = by_alice(request);
    world.drive(Input::Call {
        request: asked,
        tenant,
        name,
        module,
        producer,
        number,
        count,
        bytes,
    });
    match world.reply(request)? {
        Reply::Called { job, first, cursor } => Ok((job, first, cursor)),
        other => panic!("a call is answered with {other:?}"),
    }
}

fn terms(concurrency: Option<u32>, calls: u32) -> FunctionTerms {
    FunctionTerms { concurrency, calls }
}

#[test]
fn a_call_is_a_task_of_the_functions_job_and_done_once() {
    let mut world = World::new();
    world.join("w", 4);
    let status =
        deploy(&mut world, "f", function_spec(b"one", terms(None, 100))).expect("deployed");
    assert_eq!((status.called, status.open), (0, 0));
    assert_eq!(call(&mut world, "f", (1, 1), 3), Ok((status.job, 0, 0)));
    assert_eq!(call(&mut world, "f", (1, 1), 3), Ok((status.job, 0, 0)), "a repeat");
    assert_eq!(call(&mut world, "f", (2, 1), 1), Ok((status.job, 3, 0)), "another producer");
    world.run(10);
    assert_eq!(world.job(status.job).counts.ok, 4);
    assert_eq!(call(&mut world, "f", (1, 2), 1).map(|(_, first, _)| first), Ok(4));
    let lost = call(&mut world, "f", (1, 4), 1).expect_err("3 never came");
    assert!(matches!(*lost.reason, Reason::OutOfOrder { .. }), "{lost:?}");
    let status = world.grid.function("alice", "f").expect("it is there");
    assert_eq!((status.called, status.open), (5, 1));
    world.check_replay();
}

#[test]
fn a_deployment_takes_new_calls_at_once_and_lets_old_ones_end() {
    let mut world = World::new();
    let worker = world.join("w", 4);
    let first = deploy(&mut world, "f", function_spec(b"one", terms(None, 100))).expect("deployed");
    call(&mut world, "f", (1, 1), 2).expect("called");
    let second =
        deploy(&mut world, "f", function_spec(b"two", terms(None, 100))).expect("deployed");
    assert_ne!(first.job, second.job);
    assert_eq!((second.module, second.called, second.open), (Digest::of(b"two"), 2, 2));
    // The producer counts on, and what it repeats is known from before.
    assert_eq!(call(&mut world, "f", (1, 1), 2), Ok((first.job, 0, 0)));
    assert_eq!(call(&mut world, "f", (1, 2), 1), Ok((second.job, 0, 0)));
    let wanted = Some(Digest::of(b"one"));
    let refused = call_version(&mut world, "f", wanted, (1, 3), 1).expect_err("it runs the other");
    assert!(matches!(*refused.reason, Reason::FunctionVersion { .. }), "{refused:?}");
    assert!(!world.state(first.job).is_terminal(), "its calls run still");
    while !world.hands(worker).is_empty() {
        world.end_all(worker, OutcomeClass::Ok, 10);
    }
    assert_eq!((world.state(first.job), world.state(second.job)), (JobState::Ok, JobState::Active));
    // The same again changes nothing.
    let again = deploy(&mut world, "f", function_spec(b"two", terms(None, 100))).expect("deployed");
    assert_eq!(again.job, second.job);
    world.check_replay();
    world.restart();
    assert_eq!(world.grid.function("alice", "f").expect("there").job, second.job);
}

fn delete(world: &mut World, name: &str) {
    let request = world.request();
    let (tenant, name) = ("alice".into(), name.into());
    world.drive(Input::DeleteFunction { request: by_alice(request), tenant, name });
    assert_eq!(world.reply(request), Ok(Reply::Done));
}

#[test]
fn a_repeated_call_is_known_whatever_became_of_its_function_since() {
    let mut world = World::new();
    world.join("w", 4);
    let spec = |module: &[u8]| function_spec(module, terms(None, 100));
    let first = deploy(&mut world, "f", spec(b"0")).expect("deployed").job;
    call(&mut world, "f", (1, 1), 2).expect("called");
    call(&mut world, "f", (2, 1), 1).expect("called");
    for module in 1..=4_u8 {
        deploy(&mut world, "f", spec(&[module])).expect("deployed");
        world.pass(MINUTE_MS / 4);
        assert_eq!(call(&mut world, "f", (1, 1), 2).map(|at| (at.0, at.1)), Ok((first, 0)));
    }
    // Also a call of a version that is not there any more, and one of no function.
    let old = Some(Digest::of(b"0"));
    let again = call_version(&mut world, "f", old, (1, 1), 2).map(|at| (at.0, at.1));
    assert_eq!(again, Ok((first, 0)));
    delete(&mut world, "f");
    assert_eq!(call(&mut world, "f", (2, 1), 1).map(|at| (at.0, at.1)), Ok((first, 2)));
    world.check_replay();
    world.restart();
    let anew = deploy(&mut world, "f", spec(b"0")).expect("deployed").job;
    assert_eq!(call(&mut world, "f", (2, 1), 1).map(|at| (at.0, at.1)), Ok((first, 2)));
    // A caller counts on over all of that.
    assert_eq!(call(&mut world, "f", (2, 2), 1).map(|at| (at.0, at.1)), Ok((anew, 0)));
    world.run(10);
    world.check_replay();
}

#[test]
fn who_called_a_deleted_function_is_forgotten_after_minutes() {
    let mut world = World::new();
    world.join("w", 4);
    deploy(&mut world, "f", function_spec(b"0", terms(None, 1_000))).expect("deployed");
    for caller in 0..300 {
        call(&mut world, "f", (caller, 1), 1).expect("called");
    }
    let callers = |world: &World| {
        let mut callers = 0;
        world.grid.ledger().snapshot(&mut |item| {
            if let SnapshotItem::Callers { producers, .. } = item {
                callers += producers.len();
            }
        });
        callers
    };
    assert_eq!(callers(&world), 300);
    world.run(10);
    world.pass(10 * MINUTE_MS);
    assert_eq!(callers(&world), 256, "one that calls seldom counts on");
    delete(&mut world, "f");
    world.pass(2 * MINUTE_MS);
    assert_eq!(callers(&world), 0);
    world.check_replay();
}

#[test]
fn the_job_of_a_function_takes_no_inputs_at_places_of_their_own() {
    let mut world = World::new();
    let job = deploy(&mut world, "f", function_spec(b"0", terms(None, 9))).expect("deployed").job;
    call(&mut world, "f", (1, 1), 1).expect("called");
    let refused = world.append(job, 1, 1).expect_err("others call it");
    assert!(matches!(*refused.reason, Reason::Shared { .. }), "{refused:?}");
}

#[test]
fn no_more_calls_are_on_workers_than_the_function_allows() {
    let mut world = World::new();
    let worker = world.join("w", 8);
    deploy(&mut world, "f", function_spec(b"one", terms(Some(2), 100))).expect("deployed");
    let other = world.submit(spec_of("alice"), 3);
    call(&mut world, "f", (1, 1), 10).expect("called");
    let job = world.grid.function("alice", "f").expect("there").job;
    let mut ended = 0;
    while ended < 10 {
        let own: Vec<_> = world.hands(worker).into_iter().filter(|hand| hand.job == job).collect();
        let at_once: u64 = own.iter().map(|hand| hand.tasks.count).sum();
        assert!((1..=2).contains(&at_once), "{at_once}");
        ended += at_once;
        own.into_iter().for_each(|hand| world.end(worker, hand, OutcomeClass::Ok, 10));
    }
    world.run(10);
    assert_eq!(world.job(other).counts.ok, 3, "others have the other slots");
    world.check_replay();
}

#[test]
fn calls_beyond_those_that_may_be_open_are_refused_until_some_have_ended() {
    let mut world = World::new();
    world.join("w", 1);
    deploy(&mut world, "f", function_spec(b"one", terms(None, 3))).expect("deployed");
    call(&mut world, "f", (1, 1), 2).expect("called");
    let refused = call(&mut world, "f", (1, 2), 2).expect_err("one may");
    assert!(matches!(*refused.reason, Reason::FunctionBusy { allowed: 3, .. }), "{refused:?}");
    call(&mut world, "f", (1, 2), 1).expect("one may, under the same number");
    world.run(10);
    call(&mut world, "f", (1, 3), 3).expect("all have ended");
}

#[test]
fn a_function_gets_another_job_after_minutes_and_the_results_of_calls_go_soon() {
    let mut world = World::with(GridConfig::default());
    world.join("w", 4);
    let first = deploy(&mut world, "f", function_spec(b"one", terms(None, 100))).expect("deployed");
    call(&mut world, "f", (1, 1), 1).expect("called");
    world.run(10);
    world.pass(11 * MINUTE_MS);
    assert!(world.grid.job(first.job).is_some(), "a function keeps its job");
    let (second, index, cursor) = call(&mut world, "f", (1, 2), 1).expect("called");
    assert_ne!(second, first.job);
    assert_eq!((index, cursor), (0, 0));
    assert_eq!(world.state(first.job), JobState::Ok);
    world.check_replay();
    world.pass(6 * MINUTE_MS);
    assert!(world.grid.job(first.job).is_none(), "with its results");
    let status = world.grid.function("alice", "f").expect("there");
    assert_eq!((status.called, status.deployed), (2, first.deployed));
    world.check_replay();
}

#[test]
fn a_function_whose_job_was_cancelled_takes_calls_again() {
    let mut world = World::new();
    world.join("w", 4);
    let first = deploy(&mut world, "f", function_spec(b"one", terms(None, 100))).expect("deployed");
    call(&mut world, "f", (1, 1), 1).expect("called");
    world.cancel(first.job).expect("it is alice's");
    world.pass(60 * MINUTE_MS);
    world.join("later", 4);
    let (second, ..) = call(&mut world, "f", (1, 2), 1).expect("called");
    world.run(10);
    assert_eq!(world.job(second).counts.ok, 1);
    world.check_replay();
}

#[test]
fn a_deleted_function_takes_no_calls_and_its_calls_end() {
    let mut world = World::new();
    let worker = world.join("w", 4);
    let status =
        deploy(&mut world, "f", function_spec(b"one", terms(None, 100))).expect("deployed");
    call(&mut world, "f", (1, 1), 1).expect("called");
    delete(&mut world, "f");
    let refused = call(&mut world, "f", (1, 2), 1).expect_err("it is gone");
    assert_eq!(refused.code, ErrorCode::NotFound);
    assert_eq!(world.indices(worker, status.job), [0]);
    world.run(10);
    assert_eq!(world.state(status.job), JobState::Ok);
    world.check_replay();
}

#[test]
fn what_is_no_function_is_refused_by_name() {
    let mut world = World::new();
    let good = || function_spec(b"one", terms(None, 1));
    for name in ["", "A", "a b", "a@b"] {
        let refused = deploy(&mut world, name, good()).expect_err("no name");
        assert!(matches!(*refused.reason, Reason::FunctionName { .. }), "{refused:?}");
    }
    let refused = deploy(&mut world, "f", spec_of("alice")).expect_err("no terms");
    assert!(matches!(*refused.reason, Reason::NoFunctionJob), "{refused:?}");
    let request = world.request();
    let (spec, bytes) = (Box::new(good()), InputBytes::default());
    world.drive(Input::Submit {
        request: by_alice(request),
        spec,
        idempotency_key: None,
        inputs: 0,
        bytes,
        closed: true,
        digest: Digest::of(b""),
    });
    let refused = world.reply(request).expect_err("not by a submit");
    assert!(matches!(*refused.reason, Reason::NoFunctionJob), "{refused:?}");
    let refused = call(&mut world, "g", (1, 1), 1).expect_err("none of that name");
    assert_eq!(refused.code, ErrorCode::NotFound);
}

#[test]
fn a_tenant_lists_its_own_functions_by_name_and_has_not_too_many() {
    let mut world = World::new();
    let spec = function_spec(b"one", terms(None, 1));
    for at in 0..1_000 {
        deploy(&mut world, &format!("f{at:03}"), spec.clone()).expect("deployed");
    }
    let refused = deploy(&mut world, "one-more", spec).expect_err("too many");
    assert!(matches!(*refused.reason, Reason::TooManyFunctions { allowed: 1_000 }), "{refused:?}");
    let after: Vec<_> = world.grid.functions("alice", Some("f997")).map(|one| one.name).collect();
    assert_eq!(after, ["f998", "f999"]);
    assert_eq!(world.grid.functions("bob", None).count(), 0);
}

#[test]
fn a_module_counts_the_jobs_and_functions_that_name_it() {
    let mut world = World::new();
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    let uses = |world: &World, module| {
        let uses = world.grid.module_uses(module, Some("alice"));
        assert_eq!(world.grid.module_uses(module, None), uses, "she is the only tenant");
        (uses.jobs, uses.functions)
    };
    for name in ["f", "g"] {
        deploy(&mut world, name, function_spec(b"one", terms(None, 10))).expect("deployed");
    }
    assert_eq!((uses(&world, one), uses(&world, two)), ((2, 2), (0, 0)));
    assert_eq!(world.grid.module_uses(one, Some("bob")), Default::default());

    deploy(&mut world, "f", function_spec(b"two", terms(None, 10))).expect("deployed");
    let (before, after) = (uses(&world, one), uses(&world, two));
    assert_eq!((before.1, after), (1, (1, 1)), "{before:?}");
    let request = world.request();
    let (asked, tenant) = (by_alice(request), "alice".into());
    world.drive(Input::DeleteFunction { request: asked, tenant, name: "g".into() });
    world.reply(request).expect("deleted");
    assert_eq!(uses(&world, one).1, 0);
    world.check_replay();

    // The jobs that nothing calls any more ended at once, and are forgotten after minutes.
    world.pass(10 * MINUTE_MS);
    assert_eq!((uses(&world, one), uses(&world, two)), ((0, 0), (1, 1)));
    world.check_replay();
}
