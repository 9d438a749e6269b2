//! Promises about workers that cannot run tasks, or only lose them: they eat no job, and whoever
//! breaks them hurts nobody else.

use wasmgrid_core::Input;
use wasmgrid_proto::{
    JobId, JobSpec, JobState, Millis, OutcomeClass, RetryCounter, WorkerId, WorkerState,
    wire::{Part, Unable},
};

use crate::world::{World, spec, spec_of};

fn health(world: &mut World, worker: WorkerId, able: bool) {
    let (part, reason, again) = (Part::Runner, "exec format error".into(), Millis(1_000));
    let unable = (!able).then_some(Unable { part, reason, again });
    world.drive(Input::Health { worker, unable });
}

fn state(world: &World, worker: WorkerId) -> WorkerState {
    let workers = world.grid.workers();
    workers.into_iter().find(|status| status.worker == worker).expect("it joined").state
}

fn is_failing(world: &World, worker: WorkerId) -> bool {
    matches!(state(world, worker), WorkerState::Failing(_))
}

/// A worker gives back all it has as what it cannot run.
fn give_back(world: &mut World, worker: WorkerId) {
    for hand in world.hands.remove(&worker).unwrap_or_default() {
        world.returned(worker, hand.job, hand.lease, vec![hand.tasks]);
    }
}

/// `bad` loses whatever it is given, at once; `good` runs one task after the other to its end.
fn run_beside(world: &mut World, bad: WorkerId, good: WorkerId, job: JobId) -> u64 {
    let mut lost = 0;
    for _ in 0..10_000 {
        if world.state(job) != JobState::Active {
            return lost;
        }
        world.answer_revokes();
        lost += world.load(bad);
        world.end_all(bad, OutcomeClass::Lost, 10);
        let next = world.hands(good).first().copied();
        next.into_iter().for_each(|hand| world.end(good, hand, OutcomeClass::Ok, 20_000));
        world.pass(20);
        [bad, good].into_iter().for_each(|worker| world.beat(worker));
    }
    panic!("the job does not end: {:?}", world.job(job));
}

#[test]
fn a_lost_attempt_goes_to_another_worker_also_where_that_is_busy() {
    let mut world = World::new();
    let (one, two) = (world.join("one", 1), world.join("two", 1));
    let job = world.submit(spec(), 2);
    let task = world.indices(one, job)[0];
    let busy = world.hands(two);
    world.end_all(one, OutcomeClass::Lost, 10);
    assert_eq!(world.load(one), 0, "it waits rather than go back");
    assert_eq!(
        world.indices(two, job).last(),
        Some(&task),
        "where there is room: behind the other"
    );
    assert_eq!(busy.len(), 1);
    world.run(10);
    assert_eq!(world.state(job), JobState::Ok);
}

#[test]
fn a_lost_attempt_goes_back_where_no_other_worker_fits() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 1);
    world.end_all(worker, OutcomeClass::Lost, 10);
    assert_eq!(world.indices(worker, job), [0]);
    let other = world.join("b", 1);
    world.cordon("b", true).expect("known");
    world.end_all(worker, OutcomeClass::Lost, 10);
    assert_eq!((world.load(worker), world.load(other)), (1, 0), "one that takes nothing is none");
}

#[test]
fn a_worker_that_came_back_does_not_get_what_it_died_with_where_another_fits() {
    let mut world = World::new();
    let dead = world.join("dead", 1);
    let job = world.submit(spec(), 1);
    world.kill(dead);
    let other = world.join("other", 1);
    assert_eq!(world.indices(other, job), [0]);
    let hands = world.hands(other);
    world.returned(other, job, hands[0].lease, vec![hands[0].tasks]);
    world.hands.remove(&other);
    let fresh = world.join("fresh", 1);
    world.join("dead", 1);
    world.pass(1_000);
    assert_eq!(world.indices(fresh, job), [0], "neither of those that had it");
}

#[test]
fn who_lost_a_task_is_remembered_over_restarts() {
    let mut world = World::new();
    let (one, two) = (world.join("one", 1), world.join("two", 1));
    let job = world.submit(spec(), 2);
    let task = world.indices(one, job)[0];
    world.end_all(one, OutcomeClass::Lost, 10);
    world.restart();
    let back = world.join("one", 1);
    world.join("two", 1);
    assert_eq!((back, world.indices(two, job).contains(&task)), (one, true));
}

#[test]
fn a_worker_that_loses_all_it_gets_eats_no_job() {
    let mut world = World::new();
    let (bad, good) = (world.join("bad", 4), world.join("good", 1));
    let job = world.submit(spec(), 400);
    let lost = run_beside(&mut world, bad, good, job);
    assert_eq!(world.state(job), JobState::Ok, "{:?}", world.job(job).counts);
    assert!(lost < 40, "{lost} attempts were lost: it rests for longer each time");
    assert!(is_failing(&world, bad) && !is_failing(&world, good));
}

#[test]
fn a_worker_that_gives_all_back_eats_no_job() {
    let mut world = World::new();
    let (bad, good) = (world.join("bad", 2), world.join("good", 1));
    let job = world.submit(spec(), 60);
    while world.state(job) == JobState::Active {
        world.answer_revokes();
        give_back(&mut world, bad);
        let next = world.hands(good).first().copied();
        next.into_iter().for_each(|hand| world.end(good, hand, OutcomeClass::Ok, 20_000));
        world.pass(20);
        [bad, good].into_iter().for_each(|worker| world.beat(worker));
    }
    assert_eq!(world.state(job), JobState::Ok, "{:?}", world.job(job).counts);
    assert!(is_failing(&world, bad));
}

#[test]
fn a_worker_that_only_loses_rests_for_longer_each_time_and_one_success_restores_it() {
    let mut world = World::new();
    let (bad, good) = (world.join("bad", 1), world.join("good", 1));
    let job = world.submit(spec(), 5_000);
    let mut pauses = Vec::new();
    let mut tasks = Vec::new();
    while pauses.len() < 8 {
        let since = world.now;
        while world.load(bad) == 0 {
            let hand = world.hands(good)[0];
            world.end(good, hand, OutcomeClass::Ok, 20_000);
            world.pass(100);
            [bad, good].into_iter().for_each(|worker| world.beat(worker));
        }
        pauses.push(world.now.since(since).0);
        tasks.push(world.load(bad));
        world.pass(1);
        world.end_all(bad, OutcomeClass::Lost, 10);
        world.answer_revokes();
    }
    assert!(
        pauses[..3].iter().all(|pause| *pause < 200),
        "the first may be the tasks': {pauses:?}"
    );
    let rests: Vec<u64> = pauses[3..].iter().map(|pause| pause / 1_000).collect();
    assert_eq!(rests, [1, 2, 4, 8, 16], "{pauses:?}");
    assert_eq!(tasks[3..], [1; 5], "it is tried with one task");
    assert!(is_failing(&world, bad));
    while world.load(bad) == 0 {
        let hand = world.hands(good)[0];
        world.end(good, hand, OutcomeClass::Ok, 20_000);
        world.pass(100);
        [bad, good].into_iter().for_each(|worker| world.beat(worker));
    }
    world.end_all(bad, OutcomeClass::Ok, 20_000);
    assert_eq!(state(&world, bad), WorkerState::Ready);
    assert!(world.load(bad) > 1, "it has as much as before");
    world.cancel(job).expect("active");
}

#[test]
fn tasks_of_one_tenant_that_break_runners_keep_no_worker_from_another() {
    let mut world = World::new();
    let workers = [world.join("one", 2), world.join("two", 2)];
    let hostile = world.submit(spec_of("mallory"), 1_000);
    let job = world.submit(spec_of("ada"), 100);
    let (mut ran, begun) = ([0, 0], world.now);
    while world.state(job) == JobState::Active {
        for (worker, ran) in workers.iter().zip(&mut ran) {
            for hand in world.hands(*worker) {
                let breaks = hand.job == hostile;
                *ran += if breaks { 0 } else { hand.tasks.count };
                let class = if breaks { OutcomeClass::Lost } else { OutcomeClass::Ok };
                world.end(*worker, hand, class, 1_000);
            }
            world.answer_revokes();
        }
        world.pass(1);
        workers.iter().for_each(|worker| world.beat(*worker));
    }
    assert_eq!(world.state(job), JobState::Ok);
    assert!(ran.iter().all(|ran| *ran > 20), "both workers run ada's: {ran:?}");
    let took = world.now.since(begun).0;
    assert!(took < 1_000, "ada's tasks of 1 ms took {took} ms");
    world.cancel(hostile).expect("active");
}

#[test]
fn a_tenant_that_breaks_all_it_runs_on_leaves_idle_workers_to_others() {
    let mut world = World::new();
    let worker = world.join("a", 4);
    let hostile = world.submit(spec_of("mallory"), 4);
    while world.state(hostile) == JobState::Active {
        world.end_all(worker, OutcomeClass::Lost, 10);
        world.pass(1);
    }
    assert!(is_failing(&world, worker), "what was seen of it is said");
    world.submit(spec_of("ada"), 4);
    assert_eq!(world.load(worker), 4, "and keeps nobody else from it");
}

#[test]
fn a_task_that_kills_its_runners_ends_as_lost_at_once_on_any_number_of_workers() {
    for count in [1, 2, 3, 8] {
        let mut world = World::new();
        let workers: Vec<_> = (0..count).map(|n| world.join(&format!("host-{n}"), 2)).collect();
        let job = world.submit(spec(), 20);
        let begun = world.now;
        while world.state(job) == JobState::Active {
            for worker in &workers {
                world.end_all(*worker, OutcomeClass::Lost, 10);
                world.answer_revokes();
            }
            world.pass(5);
        }
        let took = world.now.since(begun).0;
        assert_eq!((world.state(job), world.job(job).counts.failed), (JobState::Failed, 20));
        assert!(took < 60_000, "{took} ms with {count} workers");
    }
}

#[test]
fn a_worker_that_cannot_run_tasks_gets_none_and_what_it_gives_back_counts_against_none() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 3);
    assert!(world.load(worker) > 0);
    health(&mut world, worker, false);
    give_back(&mut world, worker);
    assert_eq!(world.load(worker), 0);
    assert!(is_failing(&world, worker));
    world.pass(60_000);
    let counts = world.job(job).counts;
    assert_eq!((counts.queued, counts.retried, counts.failed), (3, 0, 0), "they wait for it");
    let attempts = |record: &&wasmgrid_proto::Record| {
        matches!(record, wasmgrid_proto::Record::AttemptsFailed { .. })
    };
    assert_eq!(world.journal.iter().filter(attempts).count(), 0);
    let worker = world.join("a", 1);
    assert!(world.load(worker) > 0, "a process that comes anew may be well");
    world.run(10);
    assert_eq!(world.state(job), JobState::Ok);
}

#[test]
fn a_worker_that_is_able_again_gets_tasks_and_one_that_only_says_so_later_each_time() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 1);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        health(&mut world, worker, false);
        health(&mut world, worker, false);
        give_back(&mut world, worker);
        health(&mut world, worker, true);
        let since = world.now;
        while world.load(worker) == 0 {
            world.pass(500);
            world.beat(worker);
        }
        pauses.push(world.now.since(since).0);
    }
    assert_eq!(pauses, [0, 1_000, 2_000, 4_000, 8_000, 16_000]);
    assert_eq!(world.hands(worker)[0].attempt, 1, "no attempt was begun");
    world.end_all(worker, OutcomeClass::Ok, 10);
    assert_eq!(world.state(job), JobState::Ok);
    world.submit(spec(), 1);
    health(&mut world, worker, false);
    give_back(&mut world, worker);
    health(&mut world, worker, true);
    assert_eq!(world.load(worker), 1, "it ran a task since");
}

#[test]
fn why_tasks_wait_that_failing_workers_do_not_get_is_explained() {
    let mut world = World::new();
    let (bad, good) = (world.join("bad", 1), world.join("good", 1));
    let job = world.submit(spec(), 500);
    for _ in 0..4 {
        world.end_all(bad, OutcomeClass::Lost, 10);
        world.answer_revokes();
        world.pass(1);
    }
    let waits = |world: &World| -> Vec<(&'static str, u64)> {
        let reasons = world.grid.explain(job).expect("known").reasons;
        reasons.iter().map(|reason| (reason.wait.name(), reason.tasks)).collect()
    };
    let said = waits(&world);
    assert!(said.iter().any(|(name, tasks)| *name == "failing" && *tasks > 0), "{said:?}");
    health(&mut world, bad, false);
    health(&mut world, good, false);
    give_back(&mut world, good);
    let reasons = world.grid.explain(job).expect("known").reasons;
    let text = reasons[0].wait.text(world.now);
    assert_eq!(reasons[0].wait.name(), "unable");
    assert!(text.contains("runners do not start: exec format error"), "{text}");
}

#[test]
fn nothing_is_asked_back_for_slots_of_a_worker_that_rests() {
    let mut world = World::new();
    let (bad, good) = (world.join("bad", 2), world.join("good", 1));
    let job = world.submit(spec(), 40);
    let first = world.hands(good)[0];
    world.end(good, first, OutcomeClass::Ok, 200_000);
    for _ in 0..4 {
        world.end_all(bad, OutcomeClass::Lost, 10);
        world.answer_revokes();
        world.pass(1);
    }
    assert!(is_failing(&world, bad) && world.load(bad) == 0);
    world.beat(good);
    let asked = |output: &wasmgrid_core::Output| matches!(output, wasmgrid_core::Output::Revoke { worker, .. } if *worker == good);
    for _ in 0..10 {
        world.beat(good);
        assert!(!world.last.iter().any(asked), "{:?}", world.last);
    }
    world.cancel(job).expect("active");
}

#[test]
fn what_lost_attempts_took_says_nothing_of_what_tasks_take() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(JobSpec { retries: 0, ..spec() }, 2_000);
    for _ in 0..6 {
        let hand = world.hands(worker)[0];
        world.end(worker, hand, OutcomeClass::Lost, 0);
    }
    assert!(world.load(worker) <= 8, "{} tasks of unknown length", world.load(worker));
    let infra = |record: &&wasmgrid_proto::Record| {
        matches!(record, wasmgrid_proto::Record::AttemptsFailed { counter, .. }
            if *counter == RetryCounter::Infra)
    };
    assert_eq!(world.journal.iter().filter(infra).count(), 0);
    world.cancel(job).expect("active");
}
