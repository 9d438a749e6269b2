//! Promises about quotas: nobody gets more than it may have, and others have what they may.

use std::collections::BTreeMap;

use wasmgrid_core::{GridConfig, Input, Output, RESULT_BYTES};
use wasmgrid_proto::{
    Allowance, ByteCount, DropReason, EXTENSIONS_BYTES_MAX, Extension, Extensions, JobId, JobSpec,
    JobState, LogRef, Millis, OutcomeClass, Reason, Resource, Wait, WaitReason,
    wire::{ApiError, ErrorCode, Reply},
};

use crate::world::{World, by_alice, bytes_of, content, spec_of};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn world_with(quotas: &[(Resource, u64)]) -> World {
    let quotas = BTreeMap::from_iter(quotas.iter().copied());
    // Inputs that nobody needs are deleted at once.
    World::with(GridConfig { quotas, keep_inputs: 0, ..GridConfig::default() })
}

/// As [`world_with`], of a grid that keeps inputs for readers.
fn world_that_keeps(quotas: &[(Resource, u64)]) -> World {
    let quotas = BTreeMap::from_iter(quotas.iter().copied());
    World::with(GridConfig { quotas, ..GridConfig::default() })
}

/// What a submit of so many inputs is answered.
fn submit(world: &mut World, tenant: &str, inputs: u64) -> Result<JobId, ApiError> {
    let (request, spec) = (world.request(), Box::new(spec_of(tenant)));
    let (digest, bytes) = (content(0, inputs, true), bytes_of(inputs * world.input_bytes));
    let idempotency_key = None;
    world.drive(Input::Submit {
        request: by_alice(request),
        spec,
        idempotency_key,
        inputs,
        bytes,
        closed: true,
        digest,
    });
    match world.reply(request) {
        Ok(Reply::Job(status)) => Ok(status.job),
        Ok(other) => panic!("a submit is answered with {other:?}"),
        Err(error) => Err(error),
    }
}

fn set(world: &mut World, tenant: &str, resource: Resource, allowed: Allowance) {
    let request = world.request();
    world.drive(Input::SetQuota {
        request: by_alice(request),
        tenant: tenant.into(),
        resource,
        allowed,
    });
    assert_eq!(world.reply(request), Ok(Reply::Done));
}

fn used(world: &World, tenant: &str, resource: Resource) -> u64 {
    let status = world.grid.tenant_status(tenant);
    status.uses.iter().find(|one| one.resource == resource).expect("all are told").used
}

/// Refused, with what is asked for, used and allowed.
fn assert_over(answer: Result<JobId, ApiError>, resource: Resource, used: u64, allowed: u64) {
    let error = answer.expect_err("it is more than allowed");
    let Reason::OverQuota { excess, .. } = *error.reason else { panic!("{error}") };
    assert_eq!((excess.resource, excess.used, excess.allowed), (resource, used, allowed));
    let [used, allowed] = [used, allowed].map(|amount| resource.amount(amount));
    let told = format!("uses {used} of its quota of {allowed} {resource}");
    assert!(error.to_string().contains(&told), "{error}");
}

#[test]
fn jobs_over_the_quota_are_refused_and_another_tenants_are_taken() {
    let mut world = world_with(&[(Resource::Jobs, 3)]);
    for _ in 0..3 {
        submit(&mut world, "ann", 1).expect("as many as allowed");
    }
    assert_over(submit(&mut world, "ann", 1), Resource::Jobs, 3, 3);
    submit(&mut world, "bob", 1).expect("bob has none");
    world.check_replay();
}

#[test]
fn a_job_that_has_ended_makes_room_for_an_open_one() {
    let mut world = world_with(&[(Resource::OpenJobs, 2)]);
    let first = submit(&mut world, "ann", 1).expect("the first");
    submit(&mut world, "ann", 1).expect("the second");
    assert_over(submit(&mut world, "ann", 1), Resource::OpenJobs, 2, 2);
    assert_eq!(world.cancel(first), Ok(Reply::Done));
    submit(&mut world, "ann", 1).expect("one has ended");
    assert_eq!(used(&world, "ann", Resource::OpenJobs), 2);
    assert_eq!(used(&world, "ann", Resource::Jobs), 3);
    world.check_replay();
}

#[test]
fn a_repeated_submit_is_answered_though_there_is_no_room_for_another() {
    let mut world = world_with(&[(Resource::Jobs, 1)]);
    let job = world.submit_as(spec_of("ann"), Some("key"), 1, true);
    assert_eq!(world.submit_as(spec_of("ann"), Some("key"), 1, true), job);
}

#[test]
fn tasks_that_wait_are_counted_until_they_end() {
    let mut world = world_with(&[(Resource::WaitingTasks, 10)]);
    let job = world.submit_as(spec_of("ann"), None, 6, false);
    assert_over(submit(&mut world, "ann", 5), Resource::WaitingTasks, 6, 10);
    let refused = world.append(job, 6, 5).expect_err("over");
    assert_eq!(refused.code, ErrorCode::Refused);
    assert_eq!(world.append(job, 6, 4), Ok(Reply::Done));
    assert_eq!(world.append(job, 6, 4), Ok(Reply::Done), "a repeat of what was done");
    world.join("w", 2);
    world.run(10);
    assert_eq!(used(&world, "ann", Resource::WaitingTasks), 0);
    assert_eq!(world.append(job, 10, 10), Ok(Reply::Done));
    world.check_replay();
}

#[test]
fn tasks_that_wait_are_bounded_also_if_no_operator_says_so() {
    let mut world = World::new();
    let allowed = 10_000_000_000;
    submit(&mut world, "ann", allowed).expect("as many as allowed");
    assert_over(submit(&mut world, "ann", 1), Resource::WaitingTasks, allowed, allowed);
    submit(&mut world, "bob", 1).expect("bob has none");
}

#[test]
fn inputs_over_the_bytes_that_are_left_are_refused() {
    let mut world = world_with(&[(Resource::Bytes, 100_000)]);
    world.input_bytes = 1_000;
    let job = world.submit_as(spec_of("ann"), None, 50, false);
    let records = used(&world, "ann", Resource::RecordBytes);
    assert_eq!(used(&world, "ann", Resource::Bytes), 50_000 + records);
    assert_over(submit(&mut world, "ann", 60), Resource::Bytes, 50_000 + records, 100_000);
    assert_eq!(world.append(job, 50, 60).expect_err("over").code, ErrorCode::Refused);
    // What its inputs took is free once they are spent.
    world.join("w", 2);
    world.run(10);
    let results = 50 * RESULT_BYTES;
    assert_eq!(used(&world, "ann", Resource::Bytes), records + results);
    assert_eq!(world.append(job, 50, 60), Ok(Reply::Done));
}

#[test]
fn a_tenant_whose_results_fill_its_bytes_waits_and_others_go_on() {
    let mut world = world_with(&[(Resource::Bytes, 100_000)]);
    world.result_bytes = 1_000;
    world.join("w", 1);
    let ann = submit(&mut world, "ann", 1_000).expect("numbers take no bytes");
    world.run(1_000_000);
    let done = world.job(ann).counts.ok;
    assert!((90..200).contains(&done), "{done}");
    assert!(used(&world, "ann", Resource::Bytes) >= 100_000);
    let explained = world.grid.explain(ann).expect("it is known");
    assert!(
        matches!(explained.reasons[0].wait, Wait::Quota { resource: Resource::Bytes, .. }),
        "{explained:?}"
    );
    let bob = submit(&mut world, "bob", 50).expect("bob has all of his");
    world.run(1_000_000);
    assert_eq!(world.state(bob), JobState::Ok);
    assert_eq!(world.job(ann).counts.ok, done);
    // More is allowed, and she goes on.
    set(&mut world, "ann", Resource::Bytes, Allowance::Unbounded);
    world.run(1_000_000);
    assert_eq!(world.state(ann), JobState::Ok);
    world.check_replay();
}

#[test]
fn results_under_way_that_exceed_the_quota_and_its_margin_end_as_failed_and_can_be_retried() {
    let (allowed, bytes_margin) = (100_000, 20_000);
    let quotas = BTreeMap::from([(Resource::Bytes, allowed)]);
    let config = GridConfig { quotas, bytes_margin, batch_tasks: 10, ..GridConfig::default() };
    let mut world = World::with(config);
    world.result_bytes = 1_000;
    let worker = world.join("w", 8);
    let ann = submit(&mut world, "ann", 1_000).expect("numbers take no bytes");
    let mut discarded = 0;
    while let Some(hand) = world.hands(worker).first().copied() {
        world.end(worker, hand, OutcomeClass::Ok, 1);
        let place = |wanted: fn(&Output) -> bool| world.last.iter().position(wanted);
        if let Some(at) = place(|output| matches!(output, Output::OverQuota { .. })) {
            assert!(Some(at) < place(|output| matches!(output, Output::PersistResults { .. })));
            discarded += hand.tasks.count;
        }
        let most = allowed + bytes_margin + discarded * RESULT_BYTES;
        assert!(used(&world, "ann", Resource::Bytes) <= most);
    }
    let counts = world.job(ann).counts;
    assert!(discarded > 500, "{counts:?}");
    assert_eq!((counts.failed, counts.ok), (discarded, 1_000 - discarded));
    world.restart();
    world.join("w", 8);
    set(&mut world, "ann", Resource::Bytes, Allowance::Unbounded);
    let request = world.request();
    world.drive(Input::Retry {
        request: by_alice(request),
        job: ann,
        limits: None,
        idempotency_key: None,
    });
    let Ok(Reply::Job(retry)) = world.reply(request) else { panic!("it is taken") };
    world.run(1);
    assert_eq!(world.job(retry.job).counts.ok, discarded);
}

#[test]
fn extensions_of_a_spec_count_as_memory_for_its_description() {
    let mut world = World::new();
    let extension = Extension { id: 7, critical: false, bytes: vec![0; EXTENSIONS_BYTES_MAX] };
    let extensions = Extensions::new(vec![extension]).expect("as many bytes as allowed");
    submit_spec(&mut world, spec_of("ann")).expect("taken");
    let mut extended = spec_of("bob");
    extended.extensions = extensions.clone();
    extended.task.extensions = extensions;
    submit_spec(&mut world, extended).expect("taken");
    let plain = used(&world, "ann", Resource::RecordBytes);
    let more = used(&world, "bob", Resource::RecordBytes) - plain;
    assert!(more >= 2 * EXTENSIONS_BYTES_MAX as u64, "{more}");
    world.check_replay();
}

#[test]
fn what_is_dropped_or_forgotten_counts_no_more() {
    let (keep_results, keep_jobs) = (Some(Millis(10_000)), Some(Millis(60_000)));
    let mut world = World::with(GridConfig { keep_results, keep_jobs, ..GridConfig::default() });
    (world.input_bytes, world.result_bytes) = (100, 1_000);
    world.join("w", 2);
    let kept = submit(&mut world, "ann", 10).expect("taken");
    let dropped = submit(&mut world, "ann", 10).expect("taken");
    for hand in world.hands(*world.links.keys().next().expect("one")) {
        let worker = *world.links.keys().next().expect("one");
        world.end(worker, hand, OutcomeClass::Failed, 10);
    }
    world.run(10);
    let records = used(&world, "ann", Resource::RecordBytes);
    let before = used(&world, "ann", Resource::Bytes) - records;
    assert!(before >= 20_000, "{before}");
    world.drive(Input::DropResults { job: dropped, before: u64::MAX, why: DropReason::Bytes });
    let after = used(&world, "ann", Resource::Bytes) - records;
    assert!(after <= before - 10_000, "{after}");
    world.pass(60_001);
    assert!(world.grid.state(kept).is_none(), "it is forgotten");
    assert_eq!(used(&world, "ann", Resource::Bytes), 0);
    assert_eq!(used(&world, "ann", Resource::Jobs), 0);
    world.check_replay();
}

#[test]
fn no_more_tasks_of_a_tenant_are_on_workers_than_it_may_have() {
    let mut world = world_with(&[(Resource::RunningTasks, 3)]);
    let workers = [world.join("a", 4), world.join("b", 4)];
    let ann = submit(&mut world, "ann", 100).expect("taken");
    let bob = submit(&mut world, "bob", 100).expect("taken");
    let mut steps = 0;
    while let Some(worker) = workers.into_iter().find(|worker| world.load(*worker) > 0) {
        for tenant in ["ann", "bob"] {
            assert!(used(&world, tenant, Resource::RunningTasks) <= 3);
        }
        steps += 1;
        let hand = world.hands(worker)[0];
        world.end(worker, hand, OutcomeClass::Ok, 1_000);
    }
    assert!(steps >= 60, "{steps}");
    assert_eq!([world.state(ann), world.state(bob)], [JobState::Ok; 2]);
}

#[test]
fn a_tenant_that_used_up_its_fuel_goes_on_the_next_day() {
    let mut world = world_with(&[(Resource::FuelADay, 1_000)]);
    world.fuel = 100;
    world.join("w", 1);
    let ann = submit(&mut world, "ann", 100).expect("taken");
    world.run(1_000_000);
    let done = world.job(ann).counts.ok;
    assert!((10..60).contains(&done), "{done}");
    // What was used is known after a restart as well, but for the last minute's.
    world.pass(61_000);
    world.restart();
    world.join("w", 1);
    world.run(1_000_000);
    assert_eq!(world.job(ann).counts.ok, done);
    world.pass(DAY_MS);
    world.join("w", 1);
    world.run(1_000_000);
    assert!(world.job(ann).counts.ok > done);
    world.check_replay();
}

#[test]
fn what_an_operator_sets_lasts_and_can_be_taken_back() {
    let mut world = world_with(&[(Resource::Jobs, 1)]);
    set(&mut world, "ann", Resource::Jobs, Allowance::Most(2));
    world.restart();
    submit(&mut world, "ann", 1).expect("the first");
    submit(&mut world, "ann", 1).expect("the second");
    assert_over(submit(&mut world, "ann", 1), Resource::Jobs, 2, 2);
    set(&mut world, "ann", Resource::Jobs, Allowance::Default);
    assert_over(submit(&mut world, "ann", 1), Resource::Jobs, 2, 1);
    world.check_replay();
}

#[test]
fn texts_without_end_are_refused_with_what_was_given_and_allowed() {
    let mut world = World::new();
    let long = "x".repeat(60_000);
    let change: [fn(&mut wasmgrid_proto::JobSpec, &str); 5] = [
        |spec, long| spec.name = long.into(),
        |spec, long| spec.requires = vec![("zone".into(), long.into())],
        |spec, long| spec.requires = vec![(long.into(), "north".into())],
        |spec, long| spec.task.args = vec![long.into(), long.into()],
        |spec, long| spec.task.program = long.into(),
    ];
    for change in change {
        let (request, mut spec) = (world.request(), spec_of("ann"));
        change(&mut spec, &long);
        let (digest, idempotency_key) = (content(0, 1, true), None);
        world.drive(Input::Submit {
            request: by_alice(request),
            spec: Box::new(spec),
            idempotency_key,
            inputs: 1,
            bytes: bytes_of(0),
            closed: true,
            digest,
        });
        let error = world.reply(request).expect_err("too long");
        assert_eq!(error.code, ErrorCode::Invalid);
        let text = error.to_string();
        assert!(text.contains("0000 bytes") && text.contains(" allowed"), "{text}");
        assert!(text.len() < 1_000, "it quotes them");
    }
    assert_eq!(used(&world, "ann", Resource::Jobs), 0);
}

/// What a submit of a spec is answered.
fn submit_spec(world: &mut World, spec: JobSpec) -> Result<JobId, ApiError> {
    let (request, digest) = (world.request(), content(0, 1, true));
    let (spec, idempotency_key) = (Box::new(spec), None);
    let (inputs, bytes, closed) = (1, bytes_of(0), true);
    let submit = Input::Submit {
        request: by_alice(request),
        spec,
        idempotency_key,
        inputs,
        bytes,
        closed,
        digest,
    };
    world.drive(submit);
    match world.reply(request) {
        Ok(Reply::Job(status)) => Ok(status.job),
        Ok(other) => panic!("a submit is answered with {other:?}"),
        Err(error) => Err(error),
    }
}

/// Makes a tenant's spec whose needs differ for each number.
type Different<'a> = &'a dyn Fn(&str, u64) -> JobSpec;

#[test]
fn different_needs_of_one_tenants_jobs_are_bounded_and_others_have_theirs() {
    let memory = |tenant: &str, memory| {
        let mut spec = spec_of(tenant);
        spec.task.limits.memory = ByteCount(memory);
        spec
    };
    let labelled = |tenant: &str, number: u64| {
        let requires = vec![("zone".into(), format!("{number}"))];
        JobSpec { requires, ..spec_of(tenant) }
    };
    let kinds: [Different<'_>; 2] = [&memory, &labelled];
    for kind in kinds {
        let mut world = World::new();
        let mut jobs = Vec::new();
        let refused = loop {
            match submit_spec(&mut world, kind("ann", jobs.len() as u64 + 1)) {
                Ok(job) => jobs.push(job),
                Err(error) => break error,
            }
            assert!(jobs.len() < 1_000, "nothing bounds them");
        };
        let used = jobs.len() as u64;
        let full = Reason::TooManyDemands { tenant: "ann".into(), used, allowed: used };
        assert_eq!(refused, full.into());
        submit_spec(&mut world, kind("ann", 1)).expect("others of hers need the same");
        submit_spec(&mut world, kind("bob", 100_000)).expect("bob has his own");
        assert_eq!(world.cancel(jobs[1]), Ok(Reply::Done));
        submit_spec(&mut world, kind("ann", 100_000)).expect("one has ended");
        submit_spec(&mut world, kind("ann", 100_001)).expect_err("and no more");
        world.check_replay();
    }
}

#[test]
fn labels_that_are_required_in_any_order_and_twice_are_one_need() {
    let mut world = World::new();
    let label = |key: &str| (String::from(key), String::from("x"));
    let spec = |keys: &[&str]| JobSpec {
        requires: keys.iter().map(|key| label(key)).collect(),
        ..spec_of("ann")
    };
    let job = submit_spec(&mut world, spec(&["b", "a", "b"])).expect("taken");
    assert_eq!(world.job(job).spec.requires, [label("a"), label("b")]);
    let key = Some("key");
    let first = world.submit_as(spec(&["a", "b"]), key, 1, true);
    assert_eq!(world.submit_as(spec(&["b", "a", "a"]), key, 1, true), first);
}

#[test]
fn a_quota_of_nothing_is_why_tasks_wait_also_those_that_workers_lost() {
    for deaths in [0, 1, 2] {
        let mut world = World::new();
        let job = world.submit(spec_of("ann"), 2);
        for name in ["a", "b"].into_iter().take(deaths) {
            let worker = world.join(name, 2);
            world.kill(worker);
        }
        set(&mut world, "ann", Resource::RunningTasks, Allowance::Most(0));
        world.join("c", 2);
        let explained = world.grid.explain(job).expect("it is known");
        let (resource, used, allowed) = (Resource::RunningTasks, 0, 0);
        let wait = Wait::Quota { resource, used, allowed };
        assert_eq!(explained.reasons, [WaitReason { tasks: 2, wait }], "after {deaths} deaths");
        set(&mut world, "ann", Resource::RunningTasks, Allowance::Unbounded);
        assert_eq!(world.job(job).counts.running, if deaths == 2 { 1 } else { 2 });
    }
}

#[test]
fn kept_inputs_give_way_to_new_work_of_their_tenant() {
    let mut world = world_that_keeps(&[(Resource::Bytes, 100_000)]);
    world.input_bytes = 20_000;
    world.join("w", 4);
    let first = submit(&mut world, "a", 2).expect("there is room");
    let others = submit(&mut world, "b", 2).expect("there is room");
    world.run(10);
    let kept = |world: &World, job| world.grid.holds(LogRef::input(job, 0));
    assert!(kept(&world, first) && kept(&world, others), "there is room for both");
    // Never fits, so that nothing is deleted for it.
    submit(&mut world, "a", 5).expect_err("more than the quota");
    assert!(kept(&world, first));
    let second = submit(&mut world, "a", 4).expect("what was kept gives way");
    assert!(!kept(&world, first) && kept(&world, others), "the tenant's own alone");
    world.run(10);
    assert_eq!(world.state(second), JobState::Ok);
    world.check_replay();
    world.restart();
    world.drive(Input::Stored { job: second, inputs: Some(80_000), results: None });
    submit(&mut world, "a", 4).expect("also what was kept before a restart");
    assert!(!kept(&world, second));
    world.check_replay();
}

#[test]
fn kept_inputs_give_way_before_tasks_are_held_back() {
    let mut world = world_that_keeps(&[(Resource::Bytes, 100_000)]);
    (world.input_bytes, world.result_bytes) = (40_000, 30_000);
    let worker = world.join("w", 1);
    let job = world.submit_as(spec_of("a"), None, 0, false);
    world.append(job, 0, 1).expect("appended");
    world.cordon("w", true).expect("it is known");
    world.append(job, 1, 1).expect("appended");
    let hand = *world.hands(worker).first().expect("a task");
    world.end(worker, hand, OutcomeClass::Ok, 10);
    assert!(!world.grid.holds(LogRef::input(job, 0)), "its task has ended");
    world.cordon("w", false).expect("it is known");
    assert!(!world.hands(worker).is_empty(), "the other one is given out");
    world.check_replay();
}
