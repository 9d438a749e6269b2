//! Promises about workers that an operator takes away.

use wasmgrid_core::Output;
use wasmgrid_proto::{JobState, OutcomeClass, Reason, WorkerState, wire::Reply};

use crate::world::{World, spec};

fn names(world: &World, all: bool) -> Vec<String> {
    let (workers, _) = world.grid.listed_workers(all);
    workers.into_iter().map(|worker| worker.name).collect()
}

#[test]
fn what_a_removed_worker_has_runs_elsewhere_at_once_and_its_results_count_no_more() {
    let mut world = World::new();
    let (gone, other) = (world.join("gone", 2), world.join("other", 2));
    let job = world.submit(spec(), 8);
    let hands = world.hands(gone);
    assert!(!hands.is_empty());
    assert_eq!(world.remove("gone"), Ok(Reply::Done));
    let is_cut =
        |output: &Output| matches!(output, Output::Disconnect { worker, .. } if *worker == gone);
    assert!(world.last.iter().any(is_cut), "{:?}", world.last);
    world.hands.remove(&gone);
    world.send(gone, hands[0], OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).counts.discarded, hands[0].tasks.count);
    world.run(10);
    let counts = world.job(job).counts;
    assert_eq!((world.state(job), counts.ok, counts.retried), (JobState::Ok, 8, 0));
    assert!(world.hands(other).is_empty());
    assert_eq!(names(&world, true), ["other"]);
}

#[test]
fn the_name_of_a_removed_worker_is_another_one_next_and_what_it_did_is_told_under_it() {
    let mut world = World::new();
    let first = world.join("a", 2);
    world.cordon("a", true).expect("it is known");
    world.remove("a").expect("it is known");
    let second = world.join("a", 2);
    assert_ne!(first, second);
    assert_eq!(world.grid.worker("a").expect("it joined").state, WorkerState::Ready);
    assert_eq!(world.grid.worker_name(first), Some("a"));
    world.restart();
    assert_eq!(
        (world.grid.worker_name(first), world.grid.worker_name(second)),
        (Some("a"), Some("a"))
    );
}

#[test]
fn a_lease_of_a_removed_worker_is_not_believed_of_who_has_its_name_next() {
    let mut world = World::new();
    let first = world.join("a", 1);
    let job = world.submit(spec(), 1);
    let old = world.hands(first);
    world.remove("a").expect("it is known");
    world.restart();
    // With the proofs that the other one was given.
    let next = world.join_holding("a", 1, &old);
    assert_ne!(first, next);
    world.send(next, old[0], OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).results, 0);
    world.run(10);
    assert_eq!((world.state(job), world.job(job).counts.ok), (JobState::Ok, 1));
}

#[test]
fn a_removed_worker_stays_removed_and_nobody_waits_for_it() {
    let mut world = World::new();
    let (gone, stays) = (world.join("gone", 2), world.join("stays", 2));
    let job = world.submit(spec(), 6);
    let hands = world.hands(stays);
    world.cut(gone);
    world.remove("gone").expect("it is known, linked or not");
    world.hands.remove(&gone);
    world.restart();
    assert_eq!(names(&world, true), ["stays"]);
    world.join_holding("stays", 2, &hands);
    assert!(world.load(stays) > 0);
    world.run(10);
    assert_eq!(world.state(job), JobState::Ok, "it went on before the grace was over");
    let again = world.remove("gone").expect_err("it is gone");
    assert_eq!(again, Reason::NoWorker { name: "gone".into() }.into());
    assert!(world.remove("nobody").is_err());
}

#[test]
fn a_worker_that_is_gone_leaves_the_list_and_is_there_for_those_who_ask_for_all() {
    let mut world = World::new();
    let (away, _stays) = (world.join("away", 1), world.join("stays", 1));
    world.cut(away);
    let minute = |world: &mut World| {
        for _ in 0..12 {
            world.pass(5_000);
            let linked: Vec<_> = world.links.keys().copied().collect();
            linked.into_iter().for_each(|worker| world.beat(worker));
        }
    };
    (0..59).for_each(|_| minute(&mut world));
    assert_eq!(names(&world, false), ["away", "stays"]);
    (0..2).for_each(|_| minute(&mut world));
    assert_eq!(names(&world, false), ["stays"]);
    assert_eq!(world.grid.listed_workers(false).1, 1);
    assert_eq!(names(&world, true), ["away", "stays"]);
    world.restart();
    assert_eq!(names(&world, false), Vec::<String>::new());
    let (all, hidden) = world.grid.listed_workers(true);
    assert_eq!((all.len(), hidden), (2, 0));
    assert!(all.iter().all(|worker| worker.state == WorkerState::Gone));
    world.join("away", 1);
    assert_eq!(names(&world, false), ["away"]);
}
