//! Promises about labels: which count, and who is given the tasks of jobs that require some.

use wasmgrid_core::{Input, Output, claimed_key};
use wasmgrid_proto::{JobId, Wait};

use crate::world::{World, capacity, pairs, spec};

fn labelled(labels: &[(&str, &str)]) -> wasmgrid_proto::WorkerCapacity {
    let mut offered = capacity(2);
    offered.labels = pairs(labels);
    offered
}

fn submit_secure(world: &mut World) -> JobId {
    let mut wanted = spec();
    wanted.requires = pairs(&[("zone", "secure")]);
    world.submit(wanted, 1)
}

fn vouch(world: &mut World) {
    world.drive(Input::KeysVouched { keys: vec!["zone".into()] });
}

#[test]
fn a_workers_own_label_counts_until_a_token_vouches_for_its_key() {
    let mut world = World::new();
    let own = world.join_with("own", labelled(&[("zone", "secure"), ("gpu", "1")]));
    let before = submit_secure(&mut world);
    assert_eq!(world.indices(own, before), [0]);
    vouch(&mut world);
    let asked = |output: &Output| matches!(output, Output::Revoke { worker, .. } if *worker == own);
    assert!(world.last.iter().any(asked), "what it has not begun is asked back");
    let job = submit_secure(&mut world);
    assert!(world.indices(own, job).is_empty());
    let vouched = world.join_vouched("vouched", capacity(2), &[("zone", "secure")]);
    assert_eq!(world.indices(vouched, job), [0]);
    let mut other = spec();
    other.requires = pairs(&[("gpu", "1")]);
    let other = world.submit(other, 1);
    assert_eq!(world.indices(own, other), [0], "its labels of other keys count");
}

#[test]
fn a_key_that_a_token_vouched_for_is_so_in_the_next_term_too() {
    let mut world = World::new();
    world.grid = world.replayed();
    let key = wasmgrid_core::LeaseKey([7; 32]);
    world.drive(Input::Start { date: world.now, key, vouched: vec!["zone".into()] });
    let own = world.join_with("own", labelled(&[("zone", "secure")]));
    let job = submit_secure(&mut world);
    assert!(world.indices(own, job).is_empty());
    let explanation = world.grid.explain(job).expect("it is there");
    assert!(matches!(explanation.reasons[0].wait, Wait::Labels { .. }), "{explanation:?}");
    assert_eq!(world.grid.vouched_keys().collect::<Vec<_>>(), ["zone"]);
}

#[test]
fn lists_show_all_labels_and_which_are_vouched_for() {
    let mut world = World::new();
    vouch(&mut world);
    let id = world.join_vouched("a", labelled(&[("gpu", "1")]), &[("zone", "secure")]);
    world.join_with("b", labelled(&[("zone", "secure")]));
    let workers = world.grid.workers();
    assert_eq!(workers[0].capacity.labels, pairs(&[("gpu", "1"), ("zone", "secure")]));
    assert_eq!(workers[1].capacity.labels, pairs(&[("zone", "secure")]));
    let vouched: Vec<_> = world.grid.vouched().collect();
    assert_eq!(vouched.len(), 1);
    assert_eq!((vouched[0].worker, &vouched[0].labels), (id, &pairs(&[("zone", "secure")])));
}

#[test]
fn a_worker_may_say_no_label_of_a_key_that_its_certificate_has() {
    let vouched = pairs(&[("zone", "secure")]);
    assert_eq!(claimed_key(&pairs(&[("gpu", "1"), ("zone", "other")]), &vouched), Some("zone"));
    assert_eq!(claimed_key(&pairs(&[("zone", "secure")]), &vouched), Some("zone"));
    assert_eq!(claimed_key(&pairs(&[("gpu", "1")]), &vouched), None);
}
