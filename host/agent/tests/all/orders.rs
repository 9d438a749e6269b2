//! Promises about orders for slots.

use wasmgrid_proto::{
    Extension, Extensions, JobId, LeaseId, TaskRange,
    wire::{Cancel, Revoke, ToWorker},
};

use crate::world::World;

#[test]
fn what_a_batch_missed_on_its_way_to_a_slot_is_ordered_again() {
    let mut world = World::new(1, &[("a", 4_000)]);
    world.assign(1, 1, "a", 0, 10);
    world.miss_orders();
    // The slot has the first of them.
    let tasks = vec![TaskRange { first: 0, count: 2 }];
    world.say(ToWorker::Revoke(Revoke { job: JobId(1), lease: LeaseId(1), tasks }));
    world.say(ToWorker::Cancel(Cancel { job: JobId(1), by: "alice".into() }));
    let missed = world.missed();
    assert!(!missed.is_empty());
    world.taken(0);
    assert_eq!(world.missed(), missed);
    world.taken(0);
    assert_eq!(world.missed(), missed, "as long as something is left of it");
}

#[test]
fn tasks_with_an_unknown_critical_extension_are_given_back_with_its_number() {
    let extended = |critical| {
        let list = vec![Extension { id: 77, critical, bytes: vec![1] }];
        Extensions::new(list).expect("one is not too many")
    };
    let mut world = World::new(1, &[("a", 4_000)]);
    world.assign_extended(3, extended(true));
    let returned = world.returned();
    assert_eq!(returned.tasks, [TaskRange { first: 0, count: 3 }]);
    assert!(returned.reason.contains("the extension 77"), "{}", returned.reason);
    world.assign_extended(3, extended(false));
    assert_eq!(world.ended().first(), Some(&1), "what is not critical is ignored");
}
