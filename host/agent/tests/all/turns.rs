//! Promises about whose turn it is.

use std::collections::BTreeMap;

use crate::world::World;

#[test]
fn who_comes_back_at_once_does_not_go_ahead_of_who_waits() {
    const TENANTS: [&str; 5] = ["a", "b", "c", "d", "e"];
    const TASKS: u64 = 50;
    let mut world = World::new(2, &TENANTS.map(|tenant| (tenant, 50_000)));
    for (job, tenant) in (1..).zip(TENANTS) {
        world.assign(job, job, tenant, 0, 1);
    }
    let mut counts = BTreeMap::new();
    let mut lease = TENANTS.len() as u64;
    while counts.values().sum::<u64>() < TASKS {
        for job in world.ended() {
            *counts.entry(job).or_default() += 1;
            lease += 1;
            let tenant = TENANTS[usize::try_from(job).unwrap() - 1];
            world.assign(job, lease, tenant, counts[&job], 1);
        }
    }
    let least = TASKS / TENANTS.len() as u64 - 1;
    assert!(counts.len() == TENANTS.len() && counts.values().all(|n| *n >= least), "{counts:?}");
}

#[test]
fn results_of_who_has_nothing_else_here_wait_for_no_others() {
    let mut world = World::new(2, &[("flood", 500), ("lone", 100)]);
    world.assign(1, 1, "flood", 0, 20_000);
    let mut flood = 0;
    for call in 0..20 {
        let before = flood + 300;
        while flood < before {
            flood += world.ended().len();
        }
        world.assign(2, 2 + call, "lone", call, 1);
        loop {
            let jobs = world.ended();
            flood += jobs.iter().filter(|job| **job == 1).count();
            if jobs.contains(&2) {
                break;
            }
        }
        let waited_us = world.now() - world.end("lone").unwrap();
        assert!(waited_us < 1_000, "call {call} waited {waited_us} us for others");
    }
    assert!(flood < 20_000, "the flood was over too soon");
}

#[test]
fn nothing_waits_behind_a_long_task_that_another_slot_could_run() {
    let mut world = World::new(2, &[("long", 5_000_000), ("short", 1_000)]);
    // How long they take is known.
    world.assign(1, 1, "short", 0, 20);
    let mut done = 0;
    while done < 20 {
        done += world.ended().len();
    }
    let start = world.now();
    world.assign(2, 2, "long", 0, 1);
    assert!(world.end("long").is_some(), "it runs");
    world.assign(1, 3, "short", 20, 200);
    while done < 220 {
        done += world.ended().iter().filter(|job| **job == 1).count();
    }
    let took_us = world.now() - start;
    assert!(took_us < 1_000_000, "short tasks waited for a long one: {took_us} us");
}
