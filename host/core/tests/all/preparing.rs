//! Promises about modules that workers make ready: whose tasks wait for that, and whose do not.

use wasmgrid_core::Input;
use wasmgrid_proto::{JobId, JobState, OutcomeClass, Wait, WorkerId, wire::Compiled};

use crate::world::{World, spec_of};

fn prepares(world: &mut World, worker: WorkerId, jobs: &[JobId]) {
    world.drive(Input::Preparing { worker, jobs: jobs.to_vec(), compiled: Vec::new() });
}

fn held(world: &World, worker: WorkerId, job: JobId) -> usize {
    world.indices(worker, job).len()
}

#[test]
fn tasks_that_wait_for_their_module_take_no_credit_of_others() {
    let mut world = World::new();
    let worker = world.join("w", 2);
    let bomb = world.submit(spec_of("bomber"), 100);
    let had = held(&world, worker, bomb);
    assert!((1..100).contains(&had), "as many as it has credit for: {had}");
    let call = world.submit(spec_of("ann"), 1);
    assert_eq!(held(&world, worker, call), 0, "the worker has all the work it should");
    prepares(&mut world, worker, &[bomb]);
    assert_eq!(held(&world, worker, call), 1);
    assert_eq!(held(&world, worker, bomb), had, "it gets no more before its module is ready");
    for hand in world.hands(worker) {
        if hand.job == call {
            world.end(worker, hand, OutcomeClass::Ok, 1_000);
        }
    }
    assert_eq!(world.state(call), JobState::Ok);
    assert_eq!(held(&world, worker, bomb), had);

    prepares(&mut world, worker, &[]);
    let other = world.submit(spec_of("ann"), 1);
    assert_eq!(held(&world, worker, other), 0, "now they take their part again");
    world.run(1_000);
    assert_eq!((world.state(bomb), world.state(other)), (JobState::Ok, JobState::Ok));
}

#[test]
fn that_a_module_is_being_compiled_is_explained() {
    let mut world = World::new();
    let worker = world.join("w", 1);
    let job = world.submit(spec_of("ann"), 1);
    let says = |world: &World| {
        let explanation = world.grid.explain(job).unwrap();
        explanation.reasons.iter().any(|reason| reason.wait == Wait::Preparing { workers: 1 })
    };
    assert!(!says(&world));
    prepares(&mut world, worker, &[job]);
    assert!(says(&world));
    prepares(&mut world, worker, &[]);
    assert!(!says(&world));
}

#[test]
fn a_worker_that_makes_a_module_ready_keeps_it_from_no_other_worker() {
    let mut world = World::new();
    let first = world.join("first", 1);
    let bomb = world.submit(spec_of("bomber"), 100);
    prepares(&mut world, first, &[bomb]);
    let second = world.join("second", 1);
    assert!(held(&world, second, bomb) > 0);
}

#[test]
fn a_tenant_with_many_modules_to_make_ready_gets_nothing_more_there() {
    let mut world = World::new();
    let worker = world.join("w", 2);
    let mut bombs = Vec::new();
    for _ in 0..12 {
        bombs.push(world.submit(spec_of("bomber"), 1));
        let given = bombs.iter().copied().filter(|bomb| held(&world, worker, *bomb) > 0);
        let given: Vec<JobId> = given.collect();
        prepares(&mut world, worker, &given);
    }
    let given = bombs.iter().filter(|bomb| held(&world, worker, **bomb) > 0).count();
    assert!(given <= 5, "{given} of its jobs wait there");
    let call = world.submit(spec_of("ann"), 1);
    assert_eq!(held(&world, worker, call), 1, "which concerns nobody else");
    prepares(&mut world, worker, &[]);
    world.run(1_000);
    assert!(bombs.iter().all(|bomb| world.state(*bomb) == JobState::Ok));
}

#[test]
fn what_a_worker_made_ready_is_forgotten_with_its_link() {
    let mut world = World::new();
    let worker = world.join("w", 2);
    let bomb = world.submit(spec_of("bomber"), 100);
    prepares(&mut world, worker, &[bomb]);
    world.cut(worker);
    let hands = world.hands(worker);
    assert_eq!(world.join_holding("w", 2, &hands), worker);
    let call = world.submit(spec_of("ann"), 1);
    assert_eq!(held(&world, worker, call), 0, "its tasks count until it says otherwise");
    world.run(1_000);
    assert_eq!((world.state(bomb), world.state(call)), (JobState::Ok, JobState::Ok));
}

#[test]
fn what_compiling_takes_counts_as_its_tenants_use() {
    let mut world = World::new();
    let worker = world.join("w", 1);
    let bomb = world.submit(spec_of("bomber"), 1_000);
    let calls = world.submit(spec_of("ann"), 1_000);
    let compiled = vec![Compiled { job: bomb, took_us: 10_000_000 }];
    world.drive(Input::Preparing { worker, jobs: Vec::new(), compiled });
    let before = held(&world, worker, bomb);
    // A tenth of a second each: ann has 100 of them before it is the bomber's turn again.
    let (mut ended, mut others) = (0, 0);
    while ended < 80 {
        let hand = world.hands(worker)[0];
        ended += hand.tasks.count;
        others += u64::from(hand.job == bomb) * hand.tasks.count;
        world.end(worker, hand, OutcomeClass::Ok, 100_000 * hand.tasks.count);
    }
    assert!(others <= before as u64, "{others} of the bomber's, which had {before} before");
    assert!(world.job(calls).counts.ok > 50);
}
