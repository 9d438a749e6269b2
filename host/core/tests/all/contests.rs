//! Two processes with the identity of one worker.

use wasmgrid_core::{Input, Output};
use wasmgrid_proto::{JobState, Millis, OutcomeClass, WorkerId};

use crate::world::{World, spec};

/// A worker that has tasks, and another one of its name that has joined since.
fn contested() -> (World, WorkerId, u64) {
    let mut world = World::new();
    let worker = world.join("w", 2);
    world.submit(spec(), 4);
    let rival = world.rival("w");
    let asked = world.last.iter().any(|output| {
        matches!(output, Output::Contest { worker: of, rival: by, .. }
            if (*of, *by) == (worker, rival))
    });
    assert!(asked, "{:?}", world.last);
    (world, worker, rival)
}

fn refused(world: &World) -> Vec<u64> {
    let refused = world.last.iter().filter_map(|output| match output {
        Output::Refuse { link, .. } => Some(*link),
        _ => None,
    });
    refused.collect()
}

fn timeout(world: &World) -> u64 {
    world.config.contest_timeout.0
}

#[test]
fn a_worker_that_answers_stays_with_all_it_has_and_the_other_is_refused() {
    let (mut world, worker, rival) = contested();
    let (link, hands) = (world.links[&worker], world.hands(worker));
    world.pass(1_000);
    world.drive(Input::Alive { worker, rival });
    assert_eq!(refused(&world), [rival]);
    let Some(Output::Refuse { address, linked_for, .. }) = world.last.first() else {
        panic!("{:?}", world.last)
    };
    assert_eq!((address.as_str(), *linked_for), (&*format!("machine-{link}"), Millis(1_000)));
    let contests = world.grid.contests();
    assert_eq!(
        (contests[0].name.as_str(), &*contests[0].address),
        ("w", &*format!("machine-{rival}"))
    );
    world.pass(timeout(&world));
    assert_eq!(world.links[&worker], link, "nothing comes of it later");
    assert_eq!(world.hands(worker), hands);
    world.end_all(worker, OutcomeClass::Ok, 10);
    let job = world.grid.jobs(1).remove(0);
    assert_eq!((job.state, job.counts.retried), (JobState::Ok, 0));
}

#[test]
fn a_worker_that_does_not_answer_in_time_makes_way() {
    let (mut world, worker, rival) = contested();
    world.pass(timeout(&world) - 1);
    assert_ne!(world.links[&worker], rival);
    world.pass(1);
    assert_eq!(world.links[&worker], rival);
    world.drive(Input::Alive { worker, rival });
    assert!(refused(&world).is_empty(), "it is too late");
    assert!(world.grid.contests().is_empty());
    assert_eq!(world.grid.jobs(1)[0].counts.retried, 4, "what it had is run again");
}

#[test]
fn a_worker_whose_link_ends_makes_way_at_once() {
    let (mut world, worker, rival) = contested();
    world.cut(worker);
    assert_eq!(world.links[&worker], rival);
}

#[test]
fn a_silent_worker_makes_way_with_its_silence() {
    let mut world = World::new();
    let worker = world.join("w", 1);
    world.pass(world.config.worker_timeout.0 - 1);
    let rival = world.rival("w");
    world.pass(1);
    assert_eq!(world.links[&worker], rival);
    world.pass(1_000);
    assert_eq!(world.links[&worker], rival, "it was heard of when it came");
}

#[test]
fn who_is_gone_before_the_answer_gets_nothing() {
    let (mut world, worker, rival) = contested();
    let link = world.links[&worker];
    world.drive(Input::JoinerLeft { link: rival });
    world.pass(timeout(&world));
    assert_eq!(world.links[&worker], link);
}

#[test]
fn of_several_that_wait_the_newest_does() {
    let (mut world, worker, first) = contested();
    world.pass(1_000);
    let second = world.rival("w");
    assert_eq!(refused(&world), [first]);
    world.drive(Input::Alive { worker, rival: first });
    assert!(refused(&world).is_empty(), "that was the answer to another question");
    world.pass(timeout(&world));
    assert_eq!(world.links[&worker], second);
}

#[test]
fn a_scheduler_that_did_not_listen_takes_no_silence_for_an_answer() {
    let (mut world, worker, rival) = contested();
    let link = world.links[&worker];
    world.now = world.now.after(Millis(timeout(&world) - 1));
    world.drive(Input::InboxStalled);
    world.pass(timeout(&world) - 1);
    assert_eq!(world.links[&worker], link);
    world.pass(1);
    assert_eq!(world.links[&worker], rival);
}
