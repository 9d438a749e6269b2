//! Promises about what workers say they hold: a scheduler that starts anew believes what is proved,
//! and only of a worker that could be given it.

use wasmgrid_core::{Input, LeaseKey, Output};
use wasmgrid_proto::{JobId, LeaseId, LeaseProof, OutcomeClass, TaskRange, WorkerId};

use crate::world::{Hand, World, capacity, pairs, spec};

/// A job of which a worker of this name was given all tasks, and a scheduler that starts anew.
fn restarted(tasks: u64) -> (World, JobId, Vec<Hand>) {
    let mut world = World::new();
    let worker = world.join("a", 4);
    let job = world.submit(spec(), tasks);
    let hands = world.hands(worker);
    assert!(!hands.is_empty());
    world.restart();
    (world, job, hands)
}

/// A worker joins with these in its hands and sends results of all.
fn claim(world: &mut World, name: &str, hands: &[Hand]) -> WorkerId {
    let worker = world.join_holding(name, 4, hands);
    for hand in hands {
        world.send(worker, *hand, OutcomeClass::Ok, 10);
    }
    worker
}

#[test]
fn a_lease_that_was_never_given_commits_nothing_after_a_restart() {
    let (mut world, job, hands) = restarted(4);
    let invented = Hand { lease: LeaseId(hands[0].lease.0 + 400), ..hands[0] };
    claim(&mut world, "a", &[invented]);
    assert_eq!(world.job(job).results, 0, "it has no proof");
    let proof = LeaseProof { lease: invented.lease, ..world.proofs[&hands[0].lease] };
    world.proofs.insert(invented.lease, proof);
    claim(&mut world, "a", &[invented]);
    assert_eq!(world.job(job).results, 0, "it has the proof of another lease");
    let asked_back = |output: &Output| matches!(output, Output::Revoke { .. });
    world.join_holding("a", 4, &[invented]);
    assert!(world.last.iter().any(asked_back), "it is told: {:?}", world.last);
}

#[test]
fn a_lease_of_another_worker_commits_nothing_after_a_restart() {
    let (mut world, job, hands) = restarted(4);
    claim(&mut world, "b", &hands);
    assert_eq!(world.job(job).results, 0);
    claim(&mut world, "a", &hands);
    assert_eq!(world.job(job).results, 4, "whose it is keeps it");
}

#[test]
fn a_lease_is_believed_for_its_own_tasks_job_and_attempt_alone() {
    let (mut world, job, hands) = restarted(2);
    let other = world.submit(spec(), 40);
    world.restart();
    let first = hands[0];
    let wider = Hand { tasks: TaskRange { first: 0, count: 40 }, ..first };
    claim(&mut world, "a", &[Hand { job: other, ..wider }]);
    assert_eq!(world.job(other).results, 0, "a lease of another job");
    world.restart();
    claim(&mut world, "a", &[Hand { attempt: 2, ..first }]);
    assert_eq!(world.job(job).results, 0, "another attempt");
    world.restart();
    claim(&mut world, "a", &[wider]);
    assert_eq!(world.job(job).results, first.tasks.count, "its own, and no more");
}

#[test]
fn what_is_left_of_a_lease_is_proved_by_what_the_whole_was_given_with() {
    let (mut world, job, hands) = restarted(4);
    let all: u64 = hands.iter().map(|hand| hand.tasks.count).sum();
    assert_eq!(all, 4);
    let whole = hands[0];
    assert!(whole.tasks.count > 2, "{hands:?}");
    let middle = Hand { tasks: TaskRange { first: whole.tasks.first + 1, count: 1 }, ..whole };
    claim(&mut world, "a", &[middle]);
    assert_eq!(world.job(job).results, 1);
    world.restart();
    let last = Hand { tasks: TaskRange { first: whole.tasks.end() - 1, count: 1 }, ..whole };
    claim(&mut world, "a", &[last]);
    assert_eq!(world.job(job).results, 2, "also in the term after that");
}

#[test]
fn a_worker_that_could_not_be_given_a_task_is_not_believed_that_it_holds_it() {
    let mut world = World::new();
    let mut secure = capacity(4);
    secure.labels = pairs(&[("zone", "secure")]);
    let worker = world.join_with("a", secure.clone());
    let mut wanted = spec();
    wanted.requires = pairs(&[("zone", "secure")]);
    let job = world.submit(wanted, 2);
    let hands = world.hands(worker);
    assert_eq!(hands.iter().map(|hand| hand.tasks.count).sum::<u64>(), 2);
    world.restart();
    claim(&mut world, "a", &hands);
    assert_eq!(world.job(job).results, 0, "it has lost its label");
    world.restart();
    world.join_again("a", secure, &hands);
    world.send(worker, hands[0], OutcomeClass::Ok, 10);
    assert!(world.job(job).results > 0, "it has it again");
}

#[test]
fn another_grids_proof_proves_nothing() {
    let (mut world, job, hands) = restarted(4);
    world.grid = world.replayed();
    world.links.clear();
    let key = LeaseKey([8; 32]);
    world.drive(Input::Start { date: world.now, key, vouched: Vec::new() });
    claim(&mut world, "a", &hands);
    assert_eq!(world.job(job).results, 0);
}
