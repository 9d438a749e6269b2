//! Promises about whose turn it is, in virtual time: the slots only wait.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use wasmgrid_proto::{Digest, Outcome, TaskSpec, wire::FromWorker};
use wasmgrid_worker::sandbox::simulated::{Model, Run, Task};

use crate::scheduler::{Scheduler, spec};

/// The tasks of each tenant take their time.
#[derive(Debug, Default)]
struct Times {
    of: BTreeMap<&'static str, Duration>,
    /// When the task that began last ends, by tenant.
    ends: Mutex<BTreeMap<String, Instant>>,
}

impl Times {
    fn end(&self, tenant: &str) -> Option<Instant> {
        self.ends.lock().unwrap().get(tenant).copied()
    }
}

impl Model for Times {
    fn prepares(&self, _: Digest) -> Duration {
        Duration::ZERO
    }

    fn runs(&self, task: &Task<'_>) -> Run {
        let (tenant, time) = (&task.spec.tenant, self.of[task.spec.tenant.as_str()]);
        self.ends.lock().unwrap().insert(tenant.clone(), Instant::now() + time);
        Run { time, outcome: Outcome::Ok, output: Bytes::new() }
    }
}

fn times(of: &[(&'static str, u64)]) -> Arc<Times> {
    let of = of.iter().map(|(tenant, us)| (*tenant, Duration::from_micros(*us))).collect();
    Arc::new(Times { of, ends: Mutex::default() })
}

fn of(tenant: &str) -> TaskSpec {
    TaskSpec { tenant: tenant.into(), ..spec(b"a module") }
}

/// The next results: the jobs whose tasks have ended, a number a task.
async fn ended(scheduler: &mut Scheduler) -> Vec<u64> {
    let FromWorker::Results(results) = scheduler.hear().await.message else { panic!("no results") };
    scheduler.commit(&[results.batch]).await;
    let blocks = results.blocks.into_iter();
    blocks.flat_map(|block| vec![block.job.0; block.results.len()]).collect()
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_at_once_does_not_go_ahead_of_who_waits() {
    const TENANTS: [&str; 5] = ["a", "b", "c", "d", "e"];
    const TASKS: u64 = 50;
    let times = times(&TENANTS.map(|tenant| (tenant, 50_000)));
    let (mut scheduler, worker) = Scheduler::with_simulated(2, times).await;
    for (job, tenant) in (1..).zip(TENANTS) {
        scheduler.assign(job, job, &of(tenant), 0, 1).await;
    }
    scheduler.serve_module(b"a module").await;
    let mut counts = BTreeMap::new();
    let mut lease = TENANTS.len() as u64;
    while counts.values().sum::<u64>() < TASKS {
        for job in ended(&mut scheduler).await {
            *counts.entry(job).or_default() += 1;
            lease += 1;
            let tenant = TENANTS[usize::try_from(job).unwrap() - 1];
            scheduler.assign(job, lease, &of(tenant), counts[&job], 1).await;
        }
    }
    let least = TASKS / TENANTS.len() as u64 - 1;
    assert!(counts.len() == TENANTS.len() && counts.values().all(|n| *n >= least), "{counts:?}");
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn results_of_who_has_nothing_else_here_wait_for_no_others() {
    let times = times(&[("flood", 500), ("lone", 100)]);
    let (mut scheduler, worker) = Scheduler::with_simulated(2, times.clone()).await;
    scheduler.assign(1, 1, &of("flood"), 0, 20_000).await;
    scheduler.serve_module(b"a module").await;
    let mut flood = 0;
    for call in 0..20 {
        let before = flood + 300;
        while flood < before {
            flood += ended(&mut scheduler).await.len();
        }
        scheduler.assign(2, 2 + call, &of("lone"), call, 1).await;
        loop {
            let jobs = ended(&mut scheduler).await;
            flood += jobs.iter().filter(|job| **job == 1).count();
            if jobs.contains(&2) {
                break;
            }
        }
        let waited = times.end("lone").unwrap().elapsed();
        assert!(waited < Duration::from_millis(1), "call {call} waited {waited:?} for others");
    }
    assert!(flood < 20_000, "the flood was over too soon");
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_behind_a_long_task_that_another_slot_could_run() {
    let times = times(&[("long", 5_000_000), ("short", 1_000)]);
    let (mut scheduler, worker) = Scheduler::with_simulated(2, times.clone()).await;
    // How long they take is known.
    scheduler.assign(1, 1, &of("short"), 0, 20).await;
    scheduler.serve_module(b"a module").await;
    let mut done = 0;
    while done < 20 {
        done += ended(&mut scheduler).await.len();
    }
    let start = Instant::now();
    scheduler.assign(2, 2, &of("long"), 0, 1).await;
    while times.end("long").is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    scheduler.assign(1, 3, &of("short"), 20, 200).await;
    while done < 220 {
        done += ended(&mut scheduler).await.iter().filter(|job| **job == 1).count();
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "short tasks waited for a long one: {took:?}");
    worker.stop().await;
}
