//! Promises about cordons, drains, and workers that do not answer.

use wasmgrid_core::{Input, Output};
use wasmgrid_proto::{OutcomeClass, WorkerState};

use crate::world::{World, spec};

fn state(world: &World, name: &str) -> WorkerState {
    let workers = world.grid.workers();
    workers.into_iter().find(|worker| worker.name == name).expect("it joined").state
}

#[test]
fn a_cordoned_worker_keeps_what_it_has_and_gets_nothing_new() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 10);
    assert_eq!(world.load(worker), 4);
    world.cordon("a", true).expect("it is known");
    assert_eq!(state(&world, "a"), WorkerState::Cordoned);
    assert!(!world.last.iter().any(|output| matches!(output, Output::Revoke { .. })));
    world.end_all(worker, OutcomeClass::Ok, 1_000);
    assert_eq!((world.load(worker), world.job(job).counts.queued), (0, 6));
    world.cordon("a", false).expect("it is known");
    assert_eq!(state(&world, "a"), WorkerState::Ready);
    assert!(world.load(worker) > 0);
}

#[test]
fn a_cordon_outlives_links_workers_and_schedulers() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    world.cordon("a", true).expect("it is known");
    world.cut(worker);
    world.pass(60_000);
    world.join("a", 2);
    assert_eq!(state(&world, "a"), WorkerState::Cordoned);
    world.restart();
    world.check_replay();
    let job = world.submit(spec(), 4);
    let worker = world.join("a", 2);
    assert_eq!(state(&world, "a"), WorkerState::Cordoned);
    assert_eq!(world.indices(worker, job), []);
    world.cordon("a", false).expect("it is known");
    assert_eq!(world.indices(worker, job).len(), 4);
}

#[test]
fn only_a_worker_that_joined_once_can_be_cordoned() {
    let mut world = World::new();
    assert!(world.cordon("nobody", true).is_err());
}

#[test]
fn a_drain_gives_back_what_has_not_begun_and_can_be_taken_back() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let other = world.join("b", 2);
    let job = world.submit(spec(), 8);
    assert_eq!(world.load(worker), 4);
    world.drain("a").expect("it is linked");
    let asked: u64 = world
        .last
        .iter()
        .filter_map(|output| match output {
            Output::Revoke { worker: of, tasks, .. } if *of == worker => {
                Some(tasks.iter().map(|part| part.count).sum::<u64>())
            }
            _ => None,
        })
        .sum();
    assert_eq!(asked, 4, "all is asked back, and the worker keeps what it has begun");
    world.answer_revokes();
    assert_eq!(world.load(worker), 0);
    world.end_all(other, OutcomeClass::Ok, 50_000);
    assert_eq!((world.load(worker), world.load(other)), (0, 4));
    world.cordon("a", false).expect("it is known");
    assert_eq!(state(&world, "a"), WorkerState::Ready);
    world.run(50_000);
    let counts = world.job(job).counts;
    assert_eq!((counts.ok, counts.retried), (8, 0));
}

#[test]
fn a_drain_outlives_links_and_schedulers_and_ends_with_the_process() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 20);
    world.drain("a").expect("it is linked");
    assert_eq!(state(&world, "a"), WorkerState::Draining);
    world.end_all(worker, OutcomeClass::Ok, 1_000);
    assert_eq!(state(&world, "a"), WorkerState::Drained);
    world.cut(worker);
    world.join_holding("a", 2, &[]);
    assert_eq!((state(&world, "a"), world.load(worker)), (WorkerState::Drained, 0));
    world.restart();
    world.check_replay();
    world.join_holding("a", 2, &[]);
    assert_eq!((state(&world, "a"), world.load(worker)), (WorkerState::Drained, 0));
    world.cut(worker);
    world.join("a", 2);
    assert_eq!(state(&world, "a"), WorkerState::Ready, "another process is not drained");
    world.drain("a").expect("it is linked");
    world.cordon("a", false).expect("it is known");
    world.restart();
    world.join_holding("a", 2, &[]);
    assert_eq!(state(&world, "a"), WorkerState::Ready, "it was taken back");
    world.run(1_000);
    assert_eq!(world.job(job).counts.ok, 20);
}

#[test]
fn a_worker_that_leaves_is_not_brought_back_by_an_uncordon() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    world.drive(Input::WorkerLeaving { worker });
    world.cordon("a", false).expect("it is known");
    assert_eq!(state(&world, "a"), WorkerState::Draining);
}

#[test]
fn a_worker_that_never_answers_does_not_keep_others_from_being_asked() {
    let mut world = World::new();
    let (mute, other) = (world.join("mute", 2), world.join("other", 2));
    world.submit(spec(), 8);
    assert_eq!((world.load(mute), world.load(other)), (4, 4));
    world.join("idle", 1);
    let asked = |world: &World| {
        world.last.iter().find_map(|output| match output {
            Output::Revoke { worker, .. } => Some(*worker),
            _ => None,
        })
    };
    let first = asked(&world).expect("somebody is asked");
    let second = if first == mute { other } else { mute };
    let mut next = None;
    for _ in 0..20 {
        world.last.clear();
        world.pass(500);
        next = next.or(asked(&world));
        for worker in world.links.keys().copied().collect::<Vec<_>>() {
            world.beat(worker);
            next = next.or(asked(&world));
        }
    }
    assert_eq!(next, Some(second), "the other one is asked, and the mute one left alone");
    world.run(1_000);
    assert!(world.grid.jobs(1)[0].state.is_terminal(), "what it had it ran");
}
