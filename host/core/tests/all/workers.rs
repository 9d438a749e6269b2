//! Promises about workers that come, go, fall silent and come back, and about restarts.

use wasmgrid_core::{Input, Output};
use wasmgrid_proto::{JobState, Micros, OutcomeClass, WorkerState, wire::Reply};

use crate::world::{World, capacity, spec};

#[test]
fn a_worker_keeps_its_number_when_it_joins_again() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    assert_ne!(world.join("b", 1), worker);
    assert_eq!(world.join("a", 1), worker);
    world.restart();
    assert_eq!(world.join("a", 1), worker);
}

#[test]
fn a_worker_that_comes_back_in_time_keeps_what_it_holds() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let other = world.join("b", 2);
    let job = world.submit(spec(), 8);
    let hands = world.hands(worker);
    world.cut(worker);
    world.pass(world.config.rejoin_grace.0 - 1);
    world.join_holding("a", 2, &hands);
    world.pass(1);
    assert_eq!(world.hands(worker), hands, "nothing held is given out again");
    world.beat(worker);
    world.end_all(worker, OutcomeClass::Ok, 10);
    world.end_all(other, OutcomeClass::Ok, 10);
    let counts = world.job(job).counts;
    assert_eq!((counts.ok, counts.retried, counts.discarded), (8, 0, 0));
}

#[test]
fn what_a_worker_comes_back_without_runs_again_at_once() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 4);
    world.cut(worker);
    world.join("a", 2);
    assert_eq!(world.indices(worker, job), [0, 1, 2, 3]);
    assert!(world.hands(worker).iter().all(|hand| hand.attempt == 2));
}

#[test]
fn what_was_lost_with_a_link_alone_is_nobodys_fault() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 4);
    world.cut(worker);
    world.join_holding("a", 2, &[]);
    assert_eq!(world.indices(worker, job), [0, 1, 2, 3]);
    assert!(world.hands(worker).iter().all(|hand| hand.attempt == 1));
    world.run(10);
    assert_eq!(world.job(job).counts.retried, 0);
    world.check_replay();
}

#[test]
fn a_newer_link_supersedes_and_the_end_of_the_older_means_nothing() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 4);
    let (old, hands) = (world.links[&worker], world.hands(worker));
    world.join_holding("a", 2, &hands);
    world.drive(Input::WorkerLeft { worker, link: old, graceful: false });
    assert_eq!(world.grid.workers()[0].state, WorkerState::Ready);
    let late = Input::WorkerJoined {
        link: old,
        name: "a".into(),
        address: "late".into(),
        started: Micros(0),
        capacity: capacity(2),
        vouched: Vec::new(),
        held: Vec::new(),
        proofs: Vec::new(),
    };
    world.drive(late);
    assert_eq!(world.job(job).counts.running, 4, "an older link's join is ignored");
    assert!(world.grid.workers()[0].address.starts_with("machine-"));
}

#[test]
fn a_silent_worker_is_disconnected_and_its_tasks_run_elsewhere() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 1);
    let half = world.config.worker_timeout.0 / 2;
    for _ in 0..4 {
        world.pass(half);
        world.beat(worker);
    }
    assert!(world.links.contains_key(&worker), "it is heard");
    let other = world.join("b", 1);
    for _ in 0..2 {
        world.pass(half);
        world.beat(other);
    }
    assert!(!world.links.contains_key(&worker));
    assert_eq!(world.indices(other, job), [0]);
    assert_eq!(world.hands(other)[0].attempt, 2);
}

#[test]
fn a_draining_worker_finishes_what_it_has_and_gets_nothing_new() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 100);
    assert_eq!(world.drain("a"), Ok(Reply::Done));
    assert!(world.last.contains(&Output::Drain { worker }));
    let has = world.load(worker);
    world.end_all(worker, OutcomeClass::Ok, 10);
    assert_eq!((world.load(worker), world.job(job).counts.ok), (0, has));
    assert_eq!(world.grid.workers()[0].state, WorkerState::Drained);
    world.cut(worker);
    world.join("a", 2);
    assert!(world.load(worker) > 0, "a worker that was gone comes anew");
}

#[test]
fn draining_outlives_a_broken_link() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    world.submit(spec(), 100);
    world.drain("a").expect("it is linked");
    let hands = world.hands(worker);
    world.cut(worker);
    world.join_holding("a", 2, &hands);
    assert!(world.last.contains(&Output::Drain { worker }));
    assert_eq!(world.hands(worker), hands);
}

#[test]
fn a_process_that_follows_one_that_left_takes_tasks() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    world.submit(spec(), 100);
    world.drive(Input::WorkerLeaving { worker });
    // Its link still seems to be there, and so do its tasks.
    world.join("a", 2);
    assert_eq!(world.grid.workers()[0].state, WorkerState::Ready);
    assert!(world.load(worker) > 0);
}

#[test]
fn a_lease_of_an_earlier_term_ends_once_its_task_was_given_out_anew() {
    let mut world = World::new();
    let late = world.join("late", 1);
    let job = world.submit(spec(), 1);
    let hands = world.hands(late);
    world.restart();
    world.pass(world.config.recovery_grace.0);
    let other = world.join("other", 1);
    assert_eq!(world.load(other), 1);
    let link = world.links[&other];
    world.drive(Input::WorkerLeaving { worker: other });
    world.drive(Input::WorkerLeft { worker: other, link, graceful: true });
    world.join_holding("late", 1, &hands);
    let old = hands[0].lease;
    let tasks = vec![hands[0].tasks];
    assert!(world.last.contains(&Output::Revoke { worker: late, job, lease: old, tasks }));
    world.send(late, hands[0], OutcomeClass::Ok, 10);
    assert_eq!((world.job(job).results, world.job(job).counts.discarded), (0, 1));
}

#[test]
fn after_a_restart_nothing_held_is_run_again() {
    let mut world = World::new();
    let (one, two) = (world.join("a", 2), world.join("b", 2));
    let job = world.submit(spec(), 20);
    world.end(one, world.hands(one)[0], OutcomeClass::Ok, 10);
    let (first, second) = (world.hands(one), world.hands(two));
    let done = world.job(job).counts.ok;
    world.restart();
    world.join_holding("a", 2, &first);
    assert_eq!(world.hands(one), first, "others may hold the rest");
    world.join_holding("b", 2, &second);
    assert!(world.load(one) + world.load(two) > world.load(one), "all came, so it goes on");
    world.run(10);
    let counts = world.job(job).counts;
    assert_eq!((counts.ok, counts.discarded, counts.retried), (20, 0, 0));
    assert!(done > 0);
    world.check_replay();
}

#[test]
fn after_a_restart_what_nobody_brings_back_runs_after_the_grace() {
    let mut world = World::new();
    world.join("gone", 2);
    let job = world.submit(spec(), 4);
    world.restart();
    let worker = world.join("new", 2);
    assert_eq!(world.load(worker), 0);
    let fresh = world.submit(spec(), 1);
    assert_eq!(world.indices(worker, fresh), [0], "a new job waits for nobody");
    world.pass(world.config.recovery_grace.0 - 1);
    world.beat(worker);
    assert_eq!(world.job(job).counts.running, 0);
    world.pass(1);
    assert_eq!(world.job(job).counts.running, 3);
    world.run(10);
    assert_eq!(world.state(job), JobState::Ok);
}

#[test]
fn a_lease_of_a_job_that_was_never_durable_is_not_believed() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let durable = world.journal.len();
    let lost = world.submit(spec(), 1);
    let hands = world.hands(worker);
    world.journal.truncate(durable);
    world.restart();
    let job = world.submit(spec(), 1);
    assert_eq!(job, lost, "the number is free again");
    world.join_holding("a", 1, &hands);
    world.send(worker, hands[0], OutcomeClass::Failed, 10);
    assert_eq!((world.state(job), world.job(job).counts.discarded), (JobState::Active, 1));
}

#[test]
fn a_worker_that_holds_tasks_of_an_ended_job_is_told_to_stop() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 2);
    let hands = world.hands(worker);
    world.cut(worker);
    world.cancel(job).expect("it is active");
    world.join_holding("a", 1, &hands);
    let told = Output::Cancel { worker, job, by: "alice".into() };
    assert_eq!(world.last.iter().filter(|output| **output == told).count(), 1);
}

#[test]
fn a_cancel_whose_ends_are_not_in_the_journal_is_completed_after_a_restart() {
    let mut world = World::new();
    let job = world.submit(spec(), 5);
    let before = world.journal.len();
    world.cancel(job).expect("it is active");
    world.journal.truncate(before + 1);
    world.restart();
    assert_eq!((world.state(job), world.job(job).counts.cancelled), (JobState::Cancelled, 5));
}

#[test]
fn a_worker_is_not_believed_more_slots_than_a_machine_has() {
    let mut world = World::new();
    let honest = world.join("a", 8);
    let boaster = world.join("b", u32::MAX);
    let job = world.submit(spec(), 1 << 33);
    assert!(world.load(honest) > 0);
    assert!(world.load(boaster) <= world.config.credit_tasks, "{}", world.load(boaster));
    assert_eq!(world.job(job).counts.running, world.load(honest) + world.load(boaster));
}

#[test]
fn the_silence_of_workers_does_not_count_while_nobody_listens() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 1);
    let timeout = world.config.worker_timeout.0;
    world.now = Micros(world.now.0 + 10 * timeout * 1_000);
    world.drive(Input::InboxStalled);
    assert_eq!(world.job(job).counts.running, 1, "its heartbeats may wait to be heard");
    world.pass(timeout - 1);
    assert_eq!(world.links.len(), 1);
    world.pass(1);
    assert!(!world.links.contains_key(&worker), "from then on it counts");
}
