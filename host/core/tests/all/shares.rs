//! Promises about who gets how much: tenants by weight, jobs of a tenant by age and priority.

use wasmgrid_core::GridConfig;
use wasmgrid_proto::{JobSpec, JobState, Millis, OutcomeClass};

use crate::{
    clockwork::Clockwork,
    world::{World, spec, spec_of},
};

fn weighted(weights: &[(&str, u32)]) -> GridConfig {
    let tenant_weights = weights.iter().map(|(name, weight)| ((*name).into(), *weight)).collect();
    GridConfig { tenant_weights, ..GridConfig::default() }
}

#[test]
fn shares_converge_to_the_weights_whatever_the_length_of_the_tasks() {
    let weights = [("one", 1), ("two", 2), ("five", 5)];
    let mut clockwork = Clockwork::new(weighted(&weights));
    for _ in 0..4 {
        clockwork.join(4, 4_096, &[]);
    }
    let lengths = [3_000, 20_000, 700];
    let jobs: Vec<_> = weights
        .iter()
        .zip(lengths)
        .map(|((name, _), task_us)| clockwork.submit(spec_of(name), 1_000_000, task_us))
        .collect();
    clockwork.run(1_000);
    let before: Vec<u64> = jobs.iter().map(|job| clockwork.had(&[*job])).collect();
    clockwork.run(5_000);
    let had: Vec<u64> =
        jobs.iter().zip(before).map(|(job, before)| clockwork.had(&[*job]) - before).collect();
    let all: u64 = had.iter().sum();
    assert!(all > 16 * 4_750_000, "the slots are kept busy: {all}");
    for ((name, weight), had) in weights.iter().zip(had) {
        let (share, due) = (had as f64 / all as f64, f64::from(*weight) / 8.0);
        assert!((share / due - 1.0).abs() < 0.05, "{name} had {share} and is due {due}");
    }
}

#[test]
fn many_jobs_of_single_long_tasks_get_no_more_than_a_flood_of_short_ones() {
    let mut clockwork = Clockwork::new(GridConfig::default());
    for _ in 0..2 {
        clockwork.join(4, 4_096, &[]);
    }
    let flood = clockwork.submit(spec_of("flood"), 10_000_000, 1_000);
    // Nothing is known of any of these before it ends.
    let single: Vec<_> =
        (0..2_000).map(|_| clockwork.submit(spec_of("single"), 1, 100_000)).collect();
    clockwork.run(10_000);
    let (flood, single) = (clockwork.had(&[flood]), clockwork.had(&single));
    let share = single as f64 / (single + flood) as f64;
    assert!((0.45..0.55).contains(&share), "the single tasks had {share}");
}

#[test]
fn a_tenant_that_comes_and_goes_gets_its_share_and_no_more() {
    let mut clockwork = Clockwork::new(GridConfig::default());
    for _ in 0..2 {
        clockwork.join(4, 4_096, &[]);
    }
    let steady = clockwork.submit(spec_of("steady"), 10_000_000, 2_000);
    let mut bursts = vec![clockwork.submit(spec_of("bursts"), 16, 50_000)];
    let mut last = clockwork.submit(spec_of("bursts"), 1, 1_000);
    for _ in 0..10_000 {
        clockwork.run(1);
        let ended = |job| clockwork.state(job) == JobState::Ok;
        // It comes back as soon as all it had is done, as who it never was before.
        if ended(last) && bursts.last().is_some_and(|job| ended(*job)) {
            last = clockwork.submit(spec_of("bursts"), 16, 50_000);
            bursts.push(last);
        }
    }
    let (steady, bursts) = (clockwork.had(&[steady]), clockwork.had(&bursts));
    let share = bursts as f64 / (bursts + steady) as f64;
    assert!((0.35..0.55).contains(&share), "the bursts had {share}");
}

#[test]
fn a_tenant_that_was_away_is_not_owed_what_others_had_meanwhile() {
    let mut clockwork = Clockwork::new(GridConfig::default());
    clockwork.join(4, 4_096, &[]);
    let early = clockwork.submit(spec_of("two"), 4, 1_000);
    let first = clockwork.submit(spec_of("one"), 10_000_000, 1_000);
    clockwork.run(3_000);
    assert_eq!(clockwork.state(early), JobState::Ok);
    let before = clockwork.had(&[first]);
    let late = clockwork.submit(spec_of("two"), 10_000_000, 1_000);
    clockwork.run(2_000);
    let (one, two) = (clockwork.had(&[first]) - before, clockwork.had(&[late]));
    let share = one as f64 / (one + two) as f64;
    assert!((0.45..0.55).contains(&share), "who stayed had {share}");
}

#[test]
fn a_priority_is_worth_so_much_waiting_and_no_job_starves() {
    let step = GridConfig::default().priority_step.0;
    let mut world = World::new();
    let old = world.submit(spec(), 10);
    world.pass(step - 1_000);
    let urgent = world.submit(JobSpec { priority: 1, ..spec() }, 4);
    world.pass(2_000);
    let too_late = world.submit(JobSpec { priority: 1, ..spec() }, 4);
    let worker = world.join("a", 2);
    let mut order = Vec::new();
    while let Some(hand) = world.hands(worker).first().copied() {
        if order.last() != Some(&hand.job) {
            order.push(hand.job);
        }
        world.end(worker, hand, OutcomeClass::Ok, 100_000);
    }
    assert_eq!(order, [urgent, old, too_late]);
}

#[test]
fn a_longer_priority_step_makes_priorities_stricter() {
    let config = GridConfig { priority_step: Millis(u64::MAX), ..GridConfig::default() };
    let mut world = World::with(config);
    world.submit(spec(), 10);
    world.pass(86_400_000);
    let urgent = world.submit(JobSpec { priority: 1, ..spec() }, 4);
    let worker = world.join("a", 2);
    assert_eq!(world.indices(worker, urgent).len(), 4);
}

/// How long single tasks of 1 ms took of a tenant that has one at a time, in milliseconds, rising.
fn single_tasks_took(flood_of_us: Option<u64>) -> Vec<u64> {
    let mut clockwork = Clockwork::new(GridConfig::default());
    for _ in 0..2 {
        clockwork.join(4, 4_096, &[]);
    }
    if let Some(task_us) = flood_of_us {
        clockwork.submit(spec_of("flood"), 10_000_000, task_us);
        clockwork.run(500);
    }
    let took = (0..200).map(|_| {
        let job = clockwork.submit(spec_of("calm"), 1, 1_000);
        let mut took = 0;
        while clockwork.state(job) != JobState::Ok {
            clockwork.run(1);
            took += 1;
            assert!(took < 1_000, "it waits for a second");
        }
        clockwork.run(7);
        took
    });
    let mut took: Vec<u64> = took.collect();
    took.sort_unstable();
    took
}

#[test]
fn a_flood_of_one_tenant_delays_anothers_tasks_by_what_a_worker_has_queued_and_no_more() {
    let p99 = |took: Vec<u64>| took[took.len() * 99 / 100];
    let alone = p99(single_tasks_took(None));
    assert!(alone <= 1, "a lone task takes {alone} ms instead of its own one");
    for task_us in [200, 1_000, 5_000, 30_000] {
        let beside = p99(single_tasks_took(Some(task_us)));
        println!("alone {alone} ms, beside a flood of {task_us} us each {beside} ms");
        // Its turn is the next: what runs on a slot ends, and before that what is queued there,
        // which is work of the target's length or two tasks.
        let queued = GridConfig::default().target_queue.0.max(2 * task_us / 1_000);
        let most = alone + queued + task_us.div_ceil(1_000);
        assert!(beside <= most, "{beside} ms beside a flood of {task_us} us each, not {most}");
    }
}

#[test]
fn a_tenants_task_goes_to_a_worker_full_of_anothers_once_one_of_those_ends() {
    // A lease for each task.
    let mut world = World::with(GridConfig { batch_tasks: 1, ..GridConfig::default() });
    let flood = world.submit(spec_of("flood"), 1_000_000);
    let worker = world.join("a", 2);
    for _ in 0..10 {
        world.end_all(worker, OutcomeClass::Ok, 100);
    }
    assert!(world.load(worker) > 40, "it has learned what they cost");
    // It is given more only now and then while nobody else waits.
    let one = world.hands(worker)[0];
    let before = world.load(worker);
    world.end(worker, one, OutcomeClass::Ok, 100);
    assert_eq!(world.load(worker), before - 1);
    let calm = world.submit(spec_of("calm"), 1);
    assert_eq!(world.indices(worker, calm), [], "there was no room when its turn was up");
    let one = world.hands(worker)[0];
    world.end(worker, one, OutcomeClass::Ok, 100);
    assert_eq!(world.indices(worker, calm), [0]);
    assert!(world.indices(worker, flood).len() > 30);
}

#[test]
fn the_adaptive_batch_never_delays_a_lone_task() {
    let mut clockwork = Clockwork::new(GridConfig::default());
    for _ in 0..2 {
        clockwork.join(4, 4_096, &[]);
    }
    // Credit for thousands of tasks at once, in leases of hundreds.
    let tiny = clockwork.submit(spec_of("one"), 200_000, 5);
    while clockwork.state(tiny) != JobState::Ok {
        clockwork.run(1);
    }
    for tenant in ["one", "two"] {
        for task_us in [5, 900, 20_000] {
            let at = clockwork.now.0;
            let job = clockwork.submit(spec_of(tenant), 1, task_us);
            while clockwork.state(job) != JobState::Ok {
                clockwork.run(1);
            }
            let took = (clockwork.now.0 - at) / 1_000;
            assert_eq!(took, task_us.div_ceil(1_000), "{tenant}, {task_us} us");
        }
    }
}
