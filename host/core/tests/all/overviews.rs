//! Promises about what is told of the grid as a whole: slots, what fills the store, and what cannot run.

use wasmgrid_core::Input;
use wasmgrid_proto::{
    Attention, DiskUse, JobId, JobSpec, RunningTask, SlotCounts, TaskId, Wait, WorkerId,
    wire::Heartbeat,
};

use crate::world::{World, spec, spec_of};

/// A worker says that so many tasks of each job run.
fn runs(world: &mut World, worker: WorkerId, jobs: &[(JobId, u64)]) {
    let task =
        |job, index| RunningTask { task: TaskId { job, index }, elapsed_ms: 1, progress: None };
    let running = jobs.iter().flat_map(|(job, count)| (0..*count).map(|index| task(*job, index)));
    let heartbeat = Heartbeat { queued: 0, running: running.collect() };
    world.drive(Input::Heartbeat { worker, heartbeat });
}

#[test]
fn running_tasks_are_those_that_workers_last_told_and_no_more_than_they_have() {
    let mut world = World::new();
    let (first, second) = (world.join("a", 4), world.join("b", 4));
    let job = world.submit(spec(), 6);
    assert_eq!(world.grid.running(job), 0, "nobody told yet");
    runs(&mut world, first, &[(job, 3)]);
    runs(&mut world, second, &[(job, 2)]);
    assert_eq!(world.grid.running(job), 5);
    runs(&mut world, second, &[(job, 4)]);
    assert_eq!(world.grid.running(job), 6, "no more than workers have");
    world.cut(second);
    assert_eq!(world.grid.running(job), 3, "nobody tells of what a lost worker runs");
    runs(&mut world, first, &[]);
    assert_eq!(world.grid.running(job), 0);
    assert_eq!(world.grid.running_jobs().count(), 0);
}

#[test]
fn each_slot_is_counted_once_by_what_it_does() {
    let mut world = World::new();
    let names = ["ready", "cordoned", "draining", "gone"];
    let workers = names.map(|name| world.join(name, 4));
    let job = world.submit(spec(), 100);
    for worker in workers {
        runs(&mut world, worker, &[(job, 1)]);
    }
    world.cordon("cordoned", true).expect("known");
    world.drain("draining").expect("linked");
    world.cut(workers[3]);
    let expected = SlotCounts { busy: 3, idle: 3, cordoned: 3, draining: 3, failing: 0, gone: 4 };
    assert_eq!(world.grid.slots(), expected);
    assert_eq!(world.grid.linked_slots(), 12);
}

#[test]
fn jobs_that_no_worker_can_run_are_told_by_tenant_and_need() {
    let mut world = World::new();
    assert_eq!(world.grid.attention(), [Attention::NoWorker { workers: 0 }]);
    world.join("a", 2);
    assert_eq!(world.grid.attention(), []);
    let needs = |tenant: &str, value: &str| JobSpec {
        requires: vec![("gpu".into(), value.into())],
        ..spec_of(tenant)
    };
    let jobs: Vec<JobId> = (0..5).map(|_| world.submit(needs("ada", "a100"), 3)).collect();
    world.submit(needs("bob", "h100"), 1);
    world.submit(spec_of("eve"), 100);
    let found = world.grid.attention();
    let told: Vec<_> = found
        .iter()
        .map(|one| match one {
            Attention::Stuck { tenant, jobs, count, wait: Wait::Labels { .. } } => {
                (tenant.as_str(), jobs.clone(), *count)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told.len(), 2, "those of eve only wait: {found:?}");
    assert!(told.contains(&("ada", jobs[..3].to_vec(), 5)), "{found:?}");
    world.drain("a").expect("linked");
    let names: Vec<&str> = world.grid.attention().iter().map(Attention::name).collect();
    assert_eq!(names.first(), Some(&"no-worker"));
    assert_eq!(names.last(), Some(&"worker-not-taking"));
}

#[test]
fn what_the_logs_of_jobs_take_is_counted_by_what_is_in_them() {
    let mut world = World::new();
    let job = world.submit(spec(), 10);
    let stored = |inputs, results| Input::Stored { job, inputs: Some(inputs), results };
    world.drive(stored(500, Some(70)));
    world.drive(Input::LogKept { job, bytes: 9 });
    let DiskUse { inputs, results, logs, .. } = world.grid.disk_use();
    assert_eq!((inputs, results, logs), (500, 70, 9));
    world.drive(stored(400, None));
    assert_eq!(world.grid.disk_use().inputs, 400);
}

#[test]
fn a_tenants_jobs_and_tasks_are_counted_without_those_of_others() {
    let mut world = World::new();
    world.join("a", 2);
    world.submit(spec_of("ada"), 100);
    world.submit(spec_of("bob"), 7);
    let tasks = |tenant: &str| {
        let tasks = world.grid.task_metrics_of(tenant);
        (tasks.queued + tasks.assigned, tasks.assigned > 0)
    };
    assert_eq!([tasks("ada"), tasks("eve")], [(100, true), (0, false)]);
    assert_eq!(world.grid.job_metrics_of("bob").active, 1);
    assert_eq!(world.grid.job_metrics_of("eve").submitted, 0);
}
