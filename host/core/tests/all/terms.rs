//! Promises about inputs and leases over several terms: what was given out before it was durable
//! may be another input later.

use wasmgrid_core::{Grid, Output};
use wasmgrid_proto::{JobId, OutcomeClass, TaskState};

use crate::{
    open::extend,
    world::{Hand, World, spec, start},
};

/// A job whose first input was given to `late`, which is cut off, and lost with the scheduler; in
/// the next term another producer's input has its place, and nobody was there to run it.
fn two_terms() -> (World, JobId, Vec<Hand>) {
    let mut world = World::new();
    let late = world.join("late", 1);
    let job = world.submit_as(spec(), None, 0, false);
    let durable = world.journal.len();
    assert_eq!(extend(&mut world, job, (7, 1), 1), Ok(0));
    let hands = world.hands(late);
    assert_eq!(hands.len(), 1, "given at once: an assignment does not wait for the commit");
    world.journal.truncate(durable);
    world.restart();
    world.pass(world.config.recovery_grace.0);
    assert_eq!(extend(&mut world, job, (8, 1), 1), Ok(0));
    (world, job, hands)
}

#[test]
fn a_lease_of_inputs_that_were_lost_is_not_believed_two_terms_later() {
    let (mut world, job, hands) = two_terms();
    world.restart();
    let late = world.join_holding("late", 1, &hands);
    let revoked = |output: &Output| matches!(output, Output::Revoke { .. });
    assert!(world.last.iter().any(revoked), "it is told at once: {:?}", world.last);
    world.send(late, hands[0], OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).results, 0, "that result is of another input");
    let mine = world.hands(late).into_iter().find(|hand| hand.lease > hands[0].lease);
    world.end(late, mine.expect("it is given out anew"), OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).results, 1);
}

#[test]
fn a_snapshot_knows_in_which_terms_inputs_were_appended() {
    let (mut world, job, hands) = two_terms();
    let ledger = world.by_snapshot(&world.journal, &[]);
    world.grid = Grid::with_ledger(world.config.clone(), ledger);
    world.links.clear();
    world.drive(start(world.now));
    let late = world.join_holding("late", 1, &hands);
    world.send(late, hands[0], OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).results, 0, "that result is of another input");
}

#[test]
fn a_late_result_of_an_input_that_was_lost_is_compared_with_none() {
    let (mut world, job, hands) = two_terms();
    let other = world.join("other", 1);
    world.end_all(other, OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).results, 1);
    let late = world.join_holding("late", 1, &hands);
    world.send(late, hands[0], OutcomeClass::Ok, 10);
    let compared = |output: &Output| matches!(output, Output::Late { .. });
    assert!(!world.last.iter().any(compared), "it would be found to differ: {:?}", world.last);
    assert_eq!(world.job(job).counts.discarded, 1);
}

#[test]
fn a_lease_of_inputs_that_were_durable_is_believed_in_every_later_term() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit_as(spec(), None, 1, false);
    let first = world.hands(worker)[0];
    world.restart();
    // Another term appends behind it.
    assert_eq!(extend(&mut world, job, (8, 1), 1), Ok(1));
    world.restart();
    world.join_holding("a", 1, &[first]);
    world.send(worker, first, OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).results, 1, "its input was there all the time");
    let second = world.hands(worker).into_iter().find(|hand| hand.tasks.first == 1);
    let second = second.expect("given in this term, to whom is back");
    world.restart();
    world.join_holding("a", 1, &[second]);
    world.send(worker, second, OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).results, 2, "a lease of a later term than its input's");
}

#[test]
fn a_lease_of_a_job_that_was_lost_is_not_believed_for_the_one_that_got_its_number() {
    let mut world = World::new();
    let late = world.join("late", 1);
    let durable = world.journal.len();
    let lost = world.submit(spec(), 1);
    let hands = world.hands(late);
    world.journal.truncate(durable);
    world.restart();
    world.pass(world.config.recovery_grace.0);
    let job = world.submit(spec(), 1);
    assert_eq!(job, lost, "numbers that were not durable are given again");
    world.restart();
    world.join_holding("late", 1, &hands);
    world.send(late, hands[0], OutcomeClass::Ok, 10);
    assert_eq!(world.job(job).results, 0);
    assert_ne!(world.grid.task(job, 0).expect("it is there").state, TaskState::Ended);
}
