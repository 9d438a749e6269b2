//! Promises about what is counted: what tenants have used, durably, and what the grid does.

use std::collections::BTreeMap;

use wasmgrid_core::{GridConfig, RESULT_BYTES};
use wasmgrid_proto::{
    AttemptMetrics, Cost, EndedTasks, JobMetrics, JobSpec, LeaseMetrics, Millis, OutcomeClass,
    Resource, TaskMetrics, UsageTotal,
};

use crate::world::{World, spec, spec_of};

fn usage(world: &World, tenant: &str) -> UsageTotal {
    world.grid.tenant_usage(tenant).usage
}

/// A world in which each input has 7 bytes, and each result 40 and took 500 fuel.
fn world_with(config: GridConfig) -> World {
    let mut world = World::with(config);
    (world.input_bytes, world.result_bytes, world.fuel) = (7, 40 + RESULT_BYTES, 500);
    world
}

#[test]
fn a_tenants_usage_is_what_its_committed_results_took() {
    let mut world = world_with(GridConfig::default());
    let worker = world.join("w", 16);
    world.submit(spec_of("ann"), 10);
    world.end_all(worker, OutcomeClass::Ok, 30);
    world.submit(spec_of("ann"), 3);
    world.end_all(worker, OutcomeClass::Failed, 5);
    let job = world.submit(spec_of("bob"), 4);
    world.cancel(job).expect("active");
    let of_ann = UsageTotal {
        ended: EndedTasks { ok: 10, failed: 3, ..EndedTasks::default() },
        cost: Cost { fuel: 13 * 500, wall_us: 10 * 30 + 3 * 5, bytes: 13 * 40 },
        input_bytes: 13 * 7,
    };
    let of_bob = UsageTotal {
        ended: EndedTasks { cancelled: 4, ..EndedTasks::default() },
        input_bytes: 4 * 7,
        ..UsageTotal::default()
    };
    assert_eq!((usage(&world, "ann"), usage(&world, "bob")), (of_ann, of_bob));
    assert_eq!(usage(&world, "eve"), UsageTotal::default());
    let mut total = of_ann;
    total.add(of_bob);
    assert_eq!(world.grid.metrics().usage, total);
    let listed = world.grid.usage().into_iter().map(|one| (one.name, one.usage));
    assert!(listed.eq([("ann".into(), of_ann), ("bob".into(), of_bob)]));
    world.check_replay();
}

#[test]
fn attempts_that_are_run_again_are_in_no_usage_and_the_last_is() {
    let mut world = world_with(GridConfig::default());
    let worker = world.join("w", 1);
    world.submit(JobSpec { retries: 1, ..spec_of("ann") }, 1);
    world.end_all(worker, OutcomeClass::Retry, 100);
    assert_eq!(usage(&world, "ann").cost, Cost::default());
    world.end_all(worker, OutcomeClass::Ok, 3);
    assert_eq!(usage(&world, "ann").cost, Cost { fuel: 500, wall_us: 3, bytes: 40 });
    world.check_replay();
}

#[test]
fn usage_outlives_its_jobs_and_the_scheduler() {
    let keep_jobs = Some(Millis(60_000));
    let mut world = world_with(GridConfig { keep_jobs, ..GridConfig::default() });
    let worker = world.join("w", 16);
    let job = world.submit(spec_of("ann"), 5);
    world.end_all(worker, OutcomeClass::Ok, 30);
    let before = usage(&world, "ann");
    assert_eq!(before.ended.ok, 5);
    world.pass(61_000);
    assert!(world.grid.job(job).is_none(), "it is forgotten");
    assert_eq!(usage(&world, "ann"), before);
    world.check_replay();
    world.restart();
    assert_eq!(usage(&world, "ann"), before);
    let tenants = world.grid.tenants();
    assert!(tenants.iter().any(|tenant| tenant.name == "ann"), "{tenants:?}");
}

#[test]
fn a_result_that_lost_its_bytes_to_a_quota_counts_none() {
    let quotas = BTreeMap::from([(Resource::Bytes, 4_000)]);
    let mut world = world_with(GridConfig { quotas, bytes_margin: 0, ..GridConfig::default() });
    world.result_bytes = 10_000;
    let worker = world.join("w", 1);
    world.submit(spec_of("ann"), 1);
    world.end_all(worker, OutcomeClass::Ok, 30);
    let UsageTotal { ended, cost, .. } = usage(&world, "ann");
    assert_eq!((ended.ok, ended.failed), (0, 1));
    assert_eq!(cost, Cost { fuel: 500, wall_us: 30, bytes: 0 });
}

#[test]
fn what_happens_to_leases_and_attempts_is_counted() {
    let mut world = World::new();
    let worker = world.join("w", 2);
    let job = world.submit(JobSpec { retries: 1, ..spec() }, 2);
    let metrics = world.grid.metrics();
    let granted = world.hands(worker).len() as u64;
    assert_eq!(metrics.tasks, TaskMetrics { queued: 0, assigned: 2 });
    assert_eq!(metrics.leases, LeaseMetrics { granted, held: granted, ..LeaseMetrics::default() });
    assert_eq!((metrics.workers.ready, metrics.workers.slots), (1, 2));
    assert_eq!(metrics.workers.free_slots, 0);
    let late = world.hands(worker);
    world.end_all(worker, OutcomeClass::Retry, 10);
    for hand in late {
        world.send(worker, hand, OutcomeClass::Ok, 10);
    }
    world.kill(worker);
    let metrics = world.grid.metrics();
    let attempts = AttemptMetrics {
        given: 4,
        app_retries: 2,
        host_loss_retries: 2,
        late: 2,
        ..AttemptMetrics::default()
    };
    assert_eq!(metrics.attempts, attempts);
    assert_eq!(metrics.tasks, TaskMetrics { queued: 2, assigned: 0 });
    assert!(metrics.leases.lost > 0 && metrics.leases.held == 0, "{metrics:?}");
    assert_eq!((metrics.workers.ready, metrics.workers.gone), (0, 1));
    assert_eq!(metrics.jobs, JobMetrics { submitted: 1, active: 1, ..JobMetrics::default() });
    world.cancel(job).expect("active");
    let metrics = world.grid.metrics();
    assert_eq!(metrics.jobs, JobMetrics { submitted: 1, cancelled: 1, ..JobMetrics::default() });
    assert_eq!(metrics.tasks, TaskMetrics::default());
    assert_eq!(metrics.usage.ended.cancelled, 2);
}
