//! Promises about labels and memory, and about homes of modules.

use std::collections::{BTreeMap, BTreeSet};

use wasmgrid_core::{GridConfig, Output};
use wasmgrid_proto::{ByteCount, Digest, JobSpec, JobState, OutcomeClass, Wait, WorkerId};

use crate::{
    clockwork::Clockwork,
    world::{World, capacity, spec, spec_of},
};

fn requiring(labels: &[(&str, &str)]) -> JobSpec {
    let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    JobSpec { requires: labels.iter().map(label).collect(), ..spec() }
}

fn needing(memory_mib: u64) -> JobSpec {
    let mut spec = spec();
    spec.task.limits.memory = ByteCount(memory_mib << 20);
    spec
}

fn of_module(number: u8) -> JobSpec {
    let mut spec = spec();
    spec.task.module = Digest([number; 32]);
    spec
}

#[test]
fn tasks_go_only_to_workers_with_all_their_labels() {
    let mut clockwork = Clockwork::new(GridConfig::default());
    clockwork.join(2, 1_024, &[]);
    clockwork.join(2, 1_024, &[("zone", "a")]);
    clockwork.join(2, 1_024, &[("zone", "b"), ("gpu", "yes")]);
    // The clockwork asserts that no task is elsewhere.
    let jobs = [
        clockwork.submit(requiring(&[("zone", "a")]), 500, 1_000),
        clockwork.submit(requiring(&[("gpu", "yes"), ("zone", "b")]), 500, 1_000),
        clockwork.submit(spec(), 500, 1_000),
    ];
    clockwork.run(2_000);
    assert!(jobs.iter().all(|job| clockwork.state(*job) == JobState::Ok));
}

#[test]
fn a_job_that_nobody_can_run_waits_and_holds_up_no_other() {
    let mut clockwork = Clockwork::new(GridConfig::default());
    clockwork.join(2, 1_024, &[("zone", "a")]);
    let urgent = JobSpec { priority: 9, ..requiring(&[("zone", "b")]) };
    let waiting = clockwork.submit(urgent, 100, 1_000);
    let large = clockwork.submit(needing(2_048), 1, 1_000);
    let other = clockwork.submit(spec(), 100, 1_000);
    clockwork.run(1_000);
    assert_eq!(clockwork.state(other), JobState::Ok);
    assert_eq!(clockwork.grid.job(waiting).expect("known").counts.queued, 100);
    clockwork.join(2, 4_096, &[("zone", "b"), ("rack", "7")]);
    clockwork.run(1_000);
    assert_eq!(clockwork.state(waiting), JobState::Ok);
    assert_eq!(clockwork.state(large), JobState::Ok);
}

#[test]
fn labels_hold_for_stolen_tasks_too() {
    let mut world = World::new();
    let mut labelled = capacity(2);
    labelled.labels = vec![("zone".into(), "a".into())];
    world.join_with("labelled", labelled.clone());
    world.submit(requiring(&[("zone", "a")]), 4);
    world.join("plain", 2);
    let revokes =
        |world: &World| world.last.iter().any(|output| matches!(output, Output::Revoke { .. }));
    assert!(!revokes(&world), "nothing that the plain one could run");
    world.join_with("twin", labelled);
    assert!(revokes(&world));
}

#[test]
fn running_tasks_never_need_more_memory_than_their_worker_has() {
    let mut clockwork = Clockwork::new(GridConfig::default());
    clockwork.join(8, 1_024, &[]);
    clockwork.join(4, 512, &[]);
    let jobs = [(64, 300), (300, 200), (700, 20), (64, 300), (512, 60), (1_024, 5)]
        .map(|(memory, tasks)| clockwork.submit(needing(memory), tasks, 2_000));
    // The clockwork asserts it at every start of a task.
    clockwork.run(5_000);
    assert!(jobs.iter().all(|job| clockwork.state(*job) == JobState::Ok));
    assert_eq!(clockwork.peak_memory, 1_024 << 20);
}

#[test]
fn a_task_that_needs_all_of_a_worker_is_not_starved_by_small_ones() {
    let mut clockwork = Clockwork::new(GridConfig::default());
    for _ in 0..2 {
        clockwork.join(4, 1_024, &[]);
    }
    let small = clockwork.submit(spec_of("small"), 10_000_000, 5_000);
    clockwork.run(1_000);
    let mut large = needing(1_024);
    large.task.tenant = "large".into();
    let large = clockwork.submit(large, 3, 10_000);
    clockwork.run(10_000);
    assert_eq!(clockwork.state(large), JobState::Ok);
    assert!(clockwork.had(&[small]) > 8 * 9_000_000, "the others went on meanwhile");
}

#[test]
fn few_tasks_of_a_module_go_to_the_same_workers_each_time() {
    let mut world = World::new();
    let workers: Vec<_> = (0..50).map(|k| world.join(&format!("w{k}"), 4)).collect();
    let mut homes: BTreeSet<WorkerId> = BTreeSet::new();
    for module in 0..20 {
        let mut ran = BTreeSet::new();
        for _ in 0..3 {
            let job = world.submit(of_module(module), 1);
            let has = |worker: &WorkerId| !world.indices(*worker, job).is_empty();
            ran.extend(workers.iter().copied().filter(has));
            world.run(1_000);
        }
        assert_eq!(ran.len(), 1, "module {module} has one home");
        homes.extend(ran);
    }
    assert!(homes.len() > 10, "modules are at home on many workers: {homes:?}");
}

#[test]
fn a_module_in_demand_spreads_over_free_slots() {
    let mut world = World::new();
    let workers: Vec<_> = (0..10).map(|k| world.join(&format!("w{k}"), 2)).collect();
    let jobs: Vec<_> = (0..20).map(|_| world.submit(of_module(1), 1)).collect();
    let loads: BTreeMap<_, _> =
        workers.iter().map(|worker| (*worker, world.load(*worker))).collect();
    assert!(loads.values().all(|load| *load == 2), "{loads:?}");
    assert!(jobs.iter().all(|job| world.job(*job).counts.running == 1));
}

#[test]
fn a_home_that_is_gone_or_full_keeps_no_task_waiting() {
    let mut world = World::new();
    let workers: Vec<_> = (0..5).map(|k| world.join(&format!("w{k}"), 1)).collect();
    let first = world.submit(of_module(1), 1);
    let home = workers.iter().find(|worker| !world.indices(**worker, first).is_empty()).copied();
    let home = home.expect("it went at once");
    let second = world.submit(of_module(1), 1);
    assert_eq!(world.job(second).counts.running, 1, "the home is full");
    world.end_all(home, OutcomeClass::Ok, 1_000);
    world.cut(home);
    let third = world.submit(of_module(1), 1);
    assert_eq!(world.job(third).counts.running, 1, "the home is gone");
}

#[test]
fn hundreds_of_label_sets_come_and_go() {
    let mut world = World::new();
    let mut labelled = capacity(2);
    labelled.labels = vec![("rack".into(), "7".into())];
    world.join_with("a", labelled);
    for number in 0..300 {
        let wanted = if number % 3 == 0 { "7".to_owned() } else { number.to_string() };
        let job = world.submit(requiring(&[("rack", &wanted)]), 2);
        let runs = number % 3 == 0 || number == 7;
        assert_eq!(world.job(job).counts.running > 0, runs);
        let why = world.grid.explain(job).expect("known").reasons;
        assert_eq!(why.iter().any(|why| matches!(why.wait, Wait::Labels { .. })), !runs);
        world.run(1_000);
        let _ = world.cancel(job);
    }
}
