//! Promises about orders for slots.

use wasmgrid_proto::{
    JobId, LeaseId, TaskRange,
    wire::{Cancel, Revoke, ToWorker},
};

use crate::world::World;

#[test]
fn what_a_batch_missed_on_its_way_to_a_slot_is_ordered_again() {
    let mut world = World::new(1, &[("a", 4_000)]);
    world.assign(1, 1, "a", 0, 10);
    world.miss_orders();
    let tasks = vec![TaskRange { first: 1, count: 2 }];
    world.say(ToWorker::Revoke(Revoke { job: JobId(1), lease: LeaseId(1), tasks }));
    world.say(ToWorker::Cancel(Cancel { job: JobId(1), by: "alice".into() }));
    let missed = world.missed();
    assert!(!missed.is_empty());
    world.taken(0);
    assert_eq!(world.missed(), missed);
    world.taken(0);
    assert_eq!(world.missed(), missed, "as long as something is left of it");
}
