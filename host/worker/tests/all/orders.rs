//! Promises about orders, and about how slots share work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::sleep;
use wasmgrid_proto::{Digest, Outcome, TaskRange, TaskSpec, wire::FromWorker};
use wasmgrid_worker::sandbox::simulated::{Model, Run, Task};

use crate::scheduler::{Scheduler, endless, quick, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_slots_share_one_lease() {
    let (mut scheduler, worker) = Scheduler::with_worker(2).await;
    let module = endless();
    scheduler.assign(1, 1, &spec(&module), 0, 2).await;
    scheduler.serve_module(&module).await;
    let mut running = scheduler.running(2).await;
    running.sort_unstable();
    assert_eq!(running, [0, 1]);
    scheduler.cancel(1).await;
    assert_eq!(scheduler.gather(2).await.outcomes.len(), 2);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_task_waits_for_what_runs_and_not_for_all_that_another_has_queued() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let (flood, calm) = (spec(&endless()), spec(&quick()));
    let calm = TaskSpec { tenant: "calm".into(), ..calm };
    scheduler.assign(1, 1, &calm, 0, 1).await;
    scheduler.serve_module(&quick()).await;
    assert_eq!(scheduler.gather(1).await.outcomes[&0], Outcome::Ok);
    scheduler.assign(2, 2, &flood, 10, 1).await;
    scheduler.serve_module(&endless()).await;
    assert_eq!(scheduler.running(1).await, [10]);
    scheduler.assign(3, 3, &flood, 20, 5).await;
    scheduler.assign(1, 4, &calm, 1, 1).await;
    scheduler.cancel(2).await;
    let gathered = scheduler.gather(2).await;
    assert_eq!(gathered.outcomes[&1], Outcome::Ok, "{gathered:?}");
    scheduler.cancel(3).await;
    scheduler.gather(5).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_ends_and_what_comes_of_it_later_is_given_back() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let module = endless();
    scheduler.assign(1, 1, &spec(&module), 0, 4).await;
    scheduler.serve_module(&module).await;
    assert_eq!(scheduler.running(1).await, [0]);
    scheduler.cancel(1).await;
    let gathered = scheduler.gather(4).await;
    assert_eq!(gathered.outcomes[&0], Outcome::Cancelled("alice".into()));
    // An assignment that was overtaken by the cancel.
    scheduler.assign(1, 2, &spec(&module), 4, 2).await;
    assert_eq!(scheduler.gather(2).await.returned, [4, 5]);
    worker.stop().await;
}

/// Tasks of 4 ms each, and how many have begun.
#[derive(Debug, Default)]
struct Short(AtomicUsize);

impl Model for Short {
    fn prepares(&self, _: Digest) -> Duration {
        Duration::ZERO
    }

    fn runs(&self, _: &Task<'_>) -> Run {
        self.0.fetch_add(1, Ordering::SeqCst);
        Run { time: Duration::from_millis(4), outcome: Outcome::Ok, output: Bytes::new() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_a_batch_that_waits_for_room_in_its_slot() {
    let model = Arc::new(Short::default());
    let (mut scheduler, worker) = Scheduler::with_simulated(1, model.clone()).await;
    // How long its tasks take is known then, so that the slot gets as many batches as it may.
    scheduler.assign(1, 1, &spec(b"a module"), 0, 1).await;
    scheduler.serve_module(b"a module").await;
    scheduler.gather(1).await;
    scheduler.assign(1, 2, &spec(b"a module"), 1, 50).await;
    while model.0.load(Ordering::SeqCst) < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    scheduler.cancel(1).await;
    let gathered = scheduler.gather(50).await;
    let ok = gathered.outcomes.values().filter(|outcome| **outcome == Outcome::Ok).count();
    assert_eq!(ok, 0, "{gathered:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_gives_back_what_has_not_begun() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let module = endless();
    scheduler.assign(1, 1, &spec(&module), 0, 6).await;
    scheduler.serve_module(&module).await;
    assert_eq!(scheduler.running(1).await, [0]);
    scheduler.revoke(1, 1, TaskRange { first: 3, count: 2 }).await;
    assert_eq!(scheduler.gather(2).await.returned, [3, 4]);
    scheduler.revoke(1, 1, TaskRange { first: 0, count: 6 }).await;
    assert_eq!(scheduler.gather(3).await.returned, [1, 2, 5]);
    scheduler.revoke(1, 1, TaskRange { first: 0, count: 6 }).await;
    let FromWorker::Returned(none) = scheduler.hear().await.message else { panic!("no answer") };
    assert_eq!(none.tasks, []);
    scheduler.cancel(1).await;
    let gathered = scheduler.gather(1).await;
    assert_eq!(gathered.outcomes[&0], Outcome::Cancelled("alice".into()));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_its_module_is_taken_back_in_part() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let module = quick();
    scheduler.assign(1, 1, &spec(&module), 0, 6).await;
    let FromWorker::NeedModule(_) = scheduler.hear().await.message else { panic!("no wish") };
    scheduler.revoke(1, 1, TaskRange { first: 1, count: 2 }).await;
    scheduler.revoke(1, 1, TaskRange { first: 5, count: 9 }).await;
    assert_eq!(scheduler.gather(3).await.returned, [1, 2, 5]);
    scheduler.send_module(&module).await;
    let ended: Vec<u64> = scheduler.gather(3).await.outcomes.into_keys().collect();
    assert_eq!(ended, [0, 3, 4]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_has_the_number_of_a_lost_one_runs_its_own_module() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let lost = endless();
    scheduler.assign(1, 1, &spec(&lost), 0, 1).await;
    scheduler.serve_module(&lost).await;
    assert_eq!(scheduler.running(1).await, [0]);
    assert_eq!(scheduler.relink().await.held.len(), 1);
    // The scheduler died before the job was durable, and does not know it.
    scheduler.cancel(1).await;
    assert_eq!(scheduler.gather(1).await.outcomes[&0], Outcome::Cancelled("alice".into()));
    let module = quick();
    scheduler.assign(1, 2, &spec(&module), 0, 1).await;
    scheduler.serve_module(&module).await;
    assert_eq!(scheduler.gather(1).await.outcomes[&0], Outcome::Ok);
    worker.stop().await;
}
