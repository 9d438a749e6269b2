//! Promises about who is given what, and how much of it.

use wasmgrid_core::{Input, Output};
use wasmgrid_proto::{
    ByteCount, JobSpec, JobState, OutcomeClass, Reason, TaskRange, Wait, WaitReason,
};

use crate::world::{World, spec, spec_of};

#[test]
fn a_single_task_goes_at_once() {
    let mut world = World::new();
    let worker = world.join("a", 8);
    let job = world.submit(spec(), 1);
    assert_eq!(world.indices(worker, job), [0]);
}

#[test]
fn few_tasks_are_spread_evenly() {
    for (tasks, expected) in [(3, [1, 1, 1]), (4, [2, 1, 1]), (6, [2, 2, 2]), (9, [3, 3, 3])] {
        let mut world = World::new();
        let workers = ["a", "b", "c"].map(|name| world.join(name, 2));
        world.submit(spec(), tasks);
        let mut loads = workers.map(|worker| world.load(worker));
        loads.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(loads, expected, "{tasks} tasks");
    }
}

#[test]
fn a_free_slot_comes_before_a_queue() {
    let mut world = World::new();
    let busy = world.join("busy", 2);
    world.submit(spec(), 2);
    let idle = world.join("idle", 2);
    world.submit(spec(), 1);
    assert_eq!((world.load(busy), world.load(idle)), (2, 1));
}

#[test]
fn tasks_of_unknown_length_do_not_pile_up() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    world.submit(spec(), 1_000_000);
    assert_eq!(world.load(worker), 4);
    for _ in 0..20 {
        let hand = world.hands(worker)[0];
        world.end(worker, hand, OutcomeClass::Ok, 1_000_000);
        assert!(world.load(worker) <= 4, "slow tasks never get more credit");
    }
}

#[test]
fn tiny_tasks_ramp_up_quickly_in_large_leases_within_bounds() {
    let mut world = World::new();
    let worker = world.join("a", 8);
    world.submit(spec(), 1_000_000);
    let mut rounds = 0;
    while world.load(worker) < 8_192 {
        world.end_all(worker, OutcomeClass::Ok, 5);
        rounds += 1;
        assert!(rounds <= 12, "credit doubles with each batch");
    }
    for _ in 0..10 {
        world.end_all(worker, OutcomeClass::Ok, 5);
        assert!(world.load(worker) <= world.config.credit_tasks);
        let hands = world.hands(worker);
        assert!(hands.iter().all(|hand| hand.tasks.count <= world.config.batch_tasks));
    }
    assert!(world.hands(worker).iter().any(|hand| hand.tasks.count == world.config.batch_tasks));
}

#[test]
fn a_worker_has_about_the_target_of_work_queued() {
    let mut world = World::new();
    let worker = world.join("a", 4);
    world.submit(spec(), 100_000);
    for _ in 0..60 {
        let hand = world.hands(worker)[0];
        world.end(worker, hand, OutcomeClass::Ok, 1_000);
    }
    let all = 4 * world.config.target_queue.0;
    let (low, high) = (all / 2, all);
    assert!((low..=high).contains(&world.load(worker)), "{} of 1 ms", world.load(worker));
}

#[test]
fn a_slow_job_does_not_inherit_the_credit_of_a_fast_one() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let fast = world.submit(spec(), 100_000);
    while world.load(worker) < 4_000 {
        world.end_all(worker, OutcomeClass::Ok, 5);
    }
    let slow = world.submit(spec(), 100_000);
    world.cancel(fast).expect("it is active");
    assert!(world.indices(worker, slow).len() <= 4);
}

#[test]
fn tenants_share_evenly_whatever_the_number_of_their_jobs_and_length_of_their_tasks() {
    let mut world = World::new();
    let worker = world.join("a", 4);
    let one: Vec<_> = (0..3).map(|_| world.submit(spec_of("one"), 100_000)).collect();
    let two = world.submit(spec_of("two"), 100_000);
    let mut had = [0_u64; 2];
    for _ in 0..3_000 {
        let hand = world.hands(worker)[0];
        let (tenant, wall) = if hand.job == two { (1, 3_000) } else { (0, 1_000) };
        assert!(hand.job == two || one.contains(&hand.job));
        had[tenant] += hand.tasks.count * wall;
        world.end(worker, hand, OutcomeClass::Ok, wall);
    }
    let share = had[0] as f64 / (had[0] + had[1]) as f64;
    assert!((0.45..0.55).contains(&share), "tenant one had {share}");
}

#[test]
fn a_tenant_that_was_away_has_saved_up_no_claim() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let first = world.submit(spec_of("one"), 20_000);
    let early = world.submit(spec_of("two"), 1);
    for _ in 0..500 {
        let hand = world.hands(worker)[0];
        world.end(worker, hand, OutcomeClass::Ok, 50_000);
    }
    assert_eq!(world.state(early), JobState::Ok);
    let late = world.submit(spec_of("two"), 20_000);
    let mut had = [0_u64; 2];
    for _ in 0..200 {
        let hand = world.hands(worker)[0];
        had[usize::from(hand.job == late)] += hand.tasks.count;
        world.end(worker, hand, OutcomeClass::Ok, 50_000);
    }
    assert!(had[0] > 60, "tenant one goes on beside tenant two: {had:?} of {first}");
}

#[test]
fn within_a_tenant_priority_goes_before_age() {
    let mut world = World::new();
    let old = world.submit(spec(), 10);
    let young = world.submit(spec(), 10);
    let urgent = world.submit(JobSpec { priority: 5, ..spec() }, 4);
    let worker = world.join("a", 2);
    assert_eq!(world.indices(worker, urgent).len(), 4);
    world.end_all(worker, OutcomeClass::Ok, 50_000);
    assert_eq!((world.indices(worker, old).len(), world.indices(worker, young).len()), (4, 0));
}

#[test]
fn an_idle_worker_takes_unstarted_tasks_of_a_loaded_one() {
    let mut world = World::new();
    let loaded = world.join("loaded", 2);
    let job = world.submit(spec(), 4);
    assert_eq!(world.load(loaded), 4);
    let idle = world.join("idle", 2);
    for _ in 0..4 {
        world.answer_revokes();
    }
    assert_eq!((world.load(loaded), world.load(idle)), (2, 2));
    world.run(10);
    let counts = world.job(job).counts;
    assert_eq!((counts.ok, counts.retried, counts.discarded), (4, 0, 0));
}

#[test]
fn a_worker_that_has_begun_everything_is_not_asked_again_and_again() {
    let mut world = World::new();
    let loaded = world.join("loaded", 2);
    world.submit(spec(), 4);
    world.join("idle", 2);
    let asked = |world: &World| {
        world.last.iter().find_map(|output| match output {
            Output::Revoke { job, lease, .. } => Some((*job, *lease)),
            _ => None,
        })
    };
    let (job, lease) = asked(&world).expect("it is asked once");
    world.returned(loaded, job, lease, Vec::new());
    assert_eq!(asked(&world), None);
    world.pass(1);
    assert_eq!(asked(&world), None);
}

#[test]
fn what_was_asked_back_may_come_in_parts_and_counts_against_nothing() {
    let mut world = World::new();
    let loaded = world.join("loaded", 2);
    let job = world.submit(spec(), 4);
    world.join("idle", 4);
    let asked = world.last.iter().find_map(|output| match output {
        Output::Revoke { lease, tasks, .. } => Some((*lease, tasks.clone())),
        _ => None,
    });
    let (lease, tasks) = asked.expect("the loaded one is asked");
    let indices: Vec<u64> = tasks.iter().flat_map(|part| part.first..part.end()).collect();
    assert!(indices.len() > 1, "{tasks:?}");
    // At once what no slot had: nothing. Then what the slots give back, one by one.
    let parts = indices.iter().map(|index| vec![TaskRange { first: *index, count: 1 }]);
    for tasks in [Vec::new()].into_iter().chain(parts) {
        world.returned(loaded, job, lease, tasks);
    }
    let counts = world.job(job).counts;
    assert_eq!((counts.running, counts.retried), (4, 0), "they run elsewhere at once");
    world.drive(Input::Returned {
        worker: loaded,
        job,
        lease,
        tasks: vec![TaskRange { first: 0, count: 1 }],
        reason: "no".into(),
    });
    assert_eq!(world.job(job).counts.retried, 1, "what was not asked for counts");
}

#[test]
fn what_comes_back_of_a_cancelled_job_is_no_news() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 4);
    let hand = world.hands(worker)[0];
    world.cancel(job).expect("cancelled");
    let before = world.job(job);
    let (lease, tasks) = (hand.lease, vec![hand.tasks]);
    world.drive(Input::Returned { worker, job, lease, tasks, reason: "no".into() });
    assert_eq!(world.job(job), before);
    assert_eq!(before.counts.retried, 0);
}

#[test]
fn work_that_is_nearly_done_is_not_stolen() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    let job = world.submit(spec(), 600);
    while world.job(job).counts.queued > 0 {
        let hand = world.hands(worker)[0];
        world.end(worker, hand, OutcomeClass::Ok, 5);
    }
    assert!(world.load(worker) > 4, "there would be something to steal");
    world.join("b", 2);
    assert!(!world.last.iter().any(|output| matches!(output, Output::Revoke { .. })));
}

#[test]
fn while_there_is_no_room_what_waits_is_not_given_out_and_what_runs_ends() {
    let (free, reserve) = (ByteCount(1), ByteCount(2));
    for reason in [Reason::DiskFull, Reason::DiskReserved { free, reserve }] {
        let mut world = World::new();
        let worker = world.join("a", 2);
        let job = world.submit(spec(), 100);
        let running = world.job(job).counts.running;
        world.drive(Input::Intake { refusal: Some(reason) });
        let other = world.join("b", 8);
        world.end_all(worker, OutcomeClass::Ok, 1_000);
        let counts = world.job(job).counts;
        assert_eq!((counts.ok, counts.running), (running, 0));
        let explained = world.grid.explain(job).expect("it is known");
        let waits = WaitReason { tasks: 100 - running, wait: Wait::DiskFull };
        assert_eq!(explained.reasons, [waits]);
        world.drive(Input::Intake { refusal: None });
        assert!(world.load(worker) > 0 && world.load(other) > 0);
        world.run(1_000);
        assert_eq!(world.job(job).counts.ok, 100);
    }
}
