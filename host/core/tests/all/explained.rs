//! Promises about `explain`: each reason to wait is named, with how many tasks it holds up.

use wasmgrid_core::{Input, without_others};
use wasmgrid_proto::{ByteCount, Explanation, JobId, JobSpec, OutcomeClass, Wait};

use crate::world::{World, capacity, spec, spec_of};

/// The reasons and what they count.
fn why(world: &World, job: JobId) -> Vec<(u64, Wait)> {
    let explanation = world.grid.explain(job).expect("known");
    let waiting = explanation.counts.queued;
    let counted: u64 = explanation.reasons.iter().map(|reason| reason.tasks).sum();
    assert_eq!(counted, waiting, "every waiting task has one reason: {explanation:?}");
    for reason in &explanation.reasons {
        assert!(!reason.wait.text(world.now).is_empty());
    }
    explanation.reasons.into_iter().map(|reason| (reason.tasks, reason.wait)).collect()
}

fn names(world: &World, job: JobId) -> Vec<(u64, &'static str)> {
    why(world, job).into_iter().map(|(tasks, wait)| (tasks, wait.name())).collect()
}

#[test]
fn without_a_worker_that_is_the_reason() {
    let mut world = World::new();
    let job = world.submit(spec(), 7);
    assert_eq!(names(&world, job), [(7, "no-worker")]);
    assert!(world.grid.explain(JobId(99)).is_none());
}

#[test]
fn labels_that_no_worker_has_are_named_with_how_many_have_each() {
    let mut world = World::new();
    let mut labelled = capacity(2);
    labelled.labels = vec![("gpu".into(), "yes".into())];
    world.join_with("a", labelled);
    let requires = vec![("gpu".into(), "yes".into()), ("zone".into(), "b".into())];
    let job = world.submit(JobSpec { requires, ..spec() }, 3);
    let Some((3, Wait::Labels { required })) = why(&world, job).pop() else { panic!("labels") };
    let counts: Vec<_> = required.iter().map(|label| (label.key.as_str(), label.workers)).collect();
    assert_eq!(counts, [("zone", 0), ("gpu", 1)]);
}

#[test]
fn memory_that_no_worker_has_is_named_with_the_most_there_is() {
    let mut world = World::new();
    world.join("a", 2);
    let mut large = spec();
    large.task.limits.memory = ByteCount(2 << 30);
    let job = world.submit(large, 1);
    let wait = Wait::Memory { needed: ByteCount(2 << 30), largest: ByteCount(1 << 30) };
    assert_eq!(why(&world, job), [(1, wait)]);
}

#[test]
fn memory_that_others_have_now_is_another_reason() {
    let mut world = World::new();
    world.join("a", 4);
    let mut half = spec();
    half.task.limits.memory = ByteCount(600 << 20);
    let job = world.submit(half, 2);
    let wait = Wait::MemoryTaken { needed: ByteCount(600 << 20), free: ByteCount(424 << 20) };
    assert_eq!(why(&world, job), [(1, wait)]);
}

#[test]
fn cordoned_and_draining_workers_are_counted() {
    let mut world = World::new();
    world.join("a", 2);
    world.join("b", 2);
    world.cordon("a", true).expect("known");
    world.drain("b").expect("linked");
    let job = world.submit(spec(), 1);
    assert_eq!(why(&world, job), [(1, Wait::NotTaking { cordoned: 1, draining: 1 })]);
}

#[test]
fn taken_slots_are_named_with_who_has_them() {
    let mut world = World::new();
    world.join("a", 2);
    let first = world.submit(spec_of("ada"), 100);
    let Some((96, Wait::Busy { workers: 1, slots: 2, tenants })) = why(&world, first).pop() else {
        panic!("busy")
    };
    assert_eq!((tenants[0].tenant.as_str(), tenants[0].tasks), ("ada", 4));
    let second = world.submit(spec_of("ada"), 10);
    assert_eq!(names(&world, second), [(10, "priority"), (0, "busy")]);
    let (_, wait) = why(&world, second).remove(0);
    assert_eq!(wait, Wait::Priority { jobs: 1, first });
}

#[test]
fn tenants_that_are_served_before_are_named() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let ada = world.submit(spec_of("ada"), 100);
    world.submit(spec_of("bob"), 100);
    for _ in 0..3 {
        let hand = world.hands(worker)[0];
        world.end(worker, hand, OutcomeClass::Ok, 50_000);
        let shares = names(&world, ada).first().is_some_and(|(_, name)| *name == "share");
        if shares {
            return;
        }
    }
    panic!("bob is owed something: {:?}", why(&world, ada));
}

#[test]
fn without_the_others_their_shares_are_told_together() {
    let mut world = World::new();
    world.join("a", 2);
    world.submit(spec_of("ada"), 2);
    world.submit(spec_of("bob"), 2);
    let job = world.submit(spec_of("eve"), 5);
    let mut told = world.grid.explain(job).expect("known");
    let shares = |told: &Explanation| -> Vec<(String, u64)> {
        let all = told.reasons.iter().flat_map(|reason| match &reason.wait {
            Wait::Busy { tenants, .. } => tenants.clone(),
            _ => Vec::new(),
        });
        all.map(|share| (share.tenant, share.tasks)).collect()
    };
    let named = shares(&told);
    let others: u64 = named.iter().filter(|(name, _)| name != "eve").map(|(_, tasks)| tasks).sum();
    assert!(named.iter().any(|(name, _)| name == "ada") && others > 0, "{named:?}");
    without_others(&mut told);
    let hidden = shares(&told);
    let expected = ("other tenants".to_owned(), others);
    assert!(hidden.contains(&expected), "{hidden:?}");
    assert!(hidden.iter().all(|(name, _)| ["eve", "other tenants"].contains(&name.as_str())));
}

#[test]
fn pauses_suspects_and_recoveries_are_reasons() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 1);
    let hand = world.hands(worker)[0];
    let (lease, tasks) = (hand.lease, vec![hand.tasks]);
    world.hands.clear();
    world.drive(Input::Returned { worker, job, lease, tasks, reason: "it could not".into() });
    let Some((1, Wait::Paused { until })) = why(&world, job).pop() else { panic!("paused") };
    assert!(until > world.now);
    world.restart();
    assert_eq!(names(&world, job), [(1, "recovering")]);

    let mut world = World::new();
    let job = world.submit(spec(), 2);
    for name in ["a", "b"] {
        let worker = world.join(name, 2);
        world.kill(worker);
    }
    assert_eq!(names(&world, job), [(2, "no-worker")]);
    world.join("c", 2);
    assert_eq!(why(&world, job), [(1, Wait::Suspects { workers: 1 })]);
}

#[test]
fn an_open_job_without_inputs_waits_for_more() {
    let mut world = World::new();
    world.join("a", 2);
    let job = world.submit_as(spec(), None, 1, false);
    assert_eq!(names(&world, job), [(0, "open-inputs")]);
    world.close(job).expect("it is open");
    assert_eq!(names(&world, job), []);
    world.run(1_000);
    assert_eq!(names(&world, job), []);
}
