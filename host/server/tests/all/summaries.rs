//! What is counted of jobs, workers and the whole grid, as clients and operators are told it.

use std::sync::Arc;

use bytes::Bytes;
use wasmgrid_proto::{
    Attention, FailureGroup, JobFilter, JobId, JobSummary, Limit, Micros, Outcome, Overview, Peak,
    Reason, ResultBlock, RunningTask, SlotCounts, TaskId, Usage, Wait, WorkerFilter, WorkerId,
    WorkerReport, WorkerRow,
    frame::Envelope,
    wire::{Assign, FromWorker, Heartbeat, Reply, Request, Role, Submit, ToClient, WorkerResults},
};

use crate::harness::*;

async fn summary(client: &mut Client, job: JobId) -> JobSummary {
    match client.request(Request::JobSummary { job }, &[]).await {
        Ok(Reply::JobSummary(summary)) => *summary,
        other => panic!("no summary: {other:?}"),
    }
}

async fn overview(client: &mut Client) -> Overview {
    match client.request(Request::Overview, &[]).await {
        Ok(Reply::Overview(overview)) => *overview,
        other => panic!("no overview: {other:?}"),
    }
}

async fn rows(
    client: &mut Client,
    after: Option<WorkerId>,
    limit: u32,
    filter: WorkerFilter,
) -> (Vec<WorkerRow>, Option<WorkerId>) {
    match client.request(Request::WorkerRows { after, limit, filter }, &[]).await {
        Ok(Reply::WorkerRows { workers, next }) => (workers, next),
        other => panic!("no workers: {other:?}"),
    }
}

/// Ends all tasks of an assignment, each as `outcome` says of its index.
async fn end(worker: &Worker, batch: u64, assign: &Assign, outcome: impl Fn(u64) -> Outcome) {
    let usage = Usage { fuel: 700, memory_bytes: 1 << 20, wall_us: 3_000 };
    let ended = |mut block: ResultBlock| {
        for meta in &mut block.results {
            meta.outcome = outcome(meta.index);
        }
        Arc::new(block)
    };
    let blocks = blocks_of(assign, b"", usage).into_iter().map(ended).collect();
    let message = FromWorker::Results(WorkerResults { batch, blocks });
    worker.send(Envelope { message, payload: Bytes::new() }).await;
}

/// Says that so many of the first tasks of a job run.
async fn beat(worker: &Worker, job: JobId, tasks: u64) {
    let running =
        |index| RunningTask { task: TaskId { job, index }, elapsed_ms: 1, progress: None };
    let running = (0..tasks).map(running).collect();
    worker.send(FromWorker::Heartbeat(Heartbeat { queued: 0, running })).await;
}

/// Asks until the answer is as it is wanted: what workers say comes on other links.
async fn until<T>(client: &mut Client, job: JobId, wanted: impl Fn(&JobSummary) -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(found) = wanted(&summary(client, job).await) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, asked).await.expect("it comes")
}

#[tokio::test]
async fn a_jobs_failures_are_told_in_groups_with_their_workers_and_a_sample() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let job = status(ann.request(submit(numbers(40), Some(watch(1, PLENTY))), &[]).await).job;
    let empty = summary(&mut ann, job).await;
    assert!(empty.failures.is_empty() && empty.rates.buckets.is_empty(), "{empty:?}");
    let mut worker = join(&server.handle(), "w").await;
    let mut left = 40;
    while left > 0 {
        let (assign, _) = worker.assigned().await;
        left -= assign.leases.iter().map(|grant| grant.inputs.count()).sum::<u64>();
        end(&worker, left, &assign, |index| match index % 4 {
            0 => Outcome::Rejected(format!("no such tile: x is {index}, at most 65535")),
            1 if index == 1 => Outcome::Limit { limit: Limit::Fuel, used: 900, allowed: 900 },
            _ => Outcome::Ok,
        })
        .await;
    }
    let (_, ended) = ann.watched(1).await;
    assert_eq!(ended.counts.failed, 11);
    let told = summary(&mut ann, job).await;
    let [rejected, fuel] = told.failures.as_slice() else { panic!("{told:?}") };
    let FailureGroup { kind, message, tasks, workers, more_workers, sample } = rejected;
    assert_eq!((kind.as_str(), tasks.count, *sample), ("rejected", 10, 0));
    assert_eq!(message, "no such tile: x is 0, at most 65535");
    assert_eq!((workers.as_slice(), *more_workers), (&["w".to_owned()][..], false));
    assert!(told.since <= tasks.first && tasks.first <= tasks.last, "{told:?}");
    assert_eq!((fuel.kind.as_str(), fuel.tasks.count, fuel.sample), ("limit(fuel)", 1, 1));
    assert_eq!(told.other_failures.count, 0);
    assert_eq!(told.peaks.fuel, Peak { most: 700, reached: 1 });
    assert_eq!(told.peaks.memory.most, 1 << 20);
    assert_eq!(told.wall_us.total(), 40);
    assert_eq!(told.rates.buckets.iter().map(|one| one.ok + one.failed).sum::<u64>(), 40);
    assert!(told.pace.ended <= 40 && told.status.counts.ok == 29, "{told:?}");
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    let refused = bob.request(Request::JobSummary { job }, &[]).await.expect_err("ann's");
    assert_eq!(refused, Reason::OthersJob { job, own: "bob".into() }.into());
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_late_result_is_in_no_summary() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let job = status(ann.request(submit(numbers(2), Some(watch(1, PLENTY))), &[]).await).job;
    let mut worker = join(&server.handle(), "w").await;
    let mut left = 2;
    while left > 0 {
        let (assign, _) = worker.assigned().await;
        left -= assign.leases.iter().map(|grant| grant.inputs.count()).sum::<u64>();
        end(&worker, 2 * left + 1, &assign, |_| Outcome::Ok).await;
        end(&worker, 2 * left + 2, &assign, |_| Outcome::Exit(1)).await;
    }
    ann.watched(1).await;
    let told =
        until(&mut ann, job, |told| (told.status.counts.discarded == 2).then(|| told.clone()));
    let told = told.await;
    assert_eq!((told.wall_us.total(), told.failures.len()), (2, 0), "{told:?}");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn running_tasks_are_told_apart_from_those_that_wait_at_their_workers() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let job = status(ann.request(submit(numbers(100), None), &[]).await).job;
    let mut worker = join(&server.handle(), "w").await;
    worker.assigned().await;
    let told = summary(&mut ann, job).await;
    assert!(told.status.counts.running > 2, "the worker has more than its slots: {told:?}");
    assert_eq!(told.running, 0, "it has not said what runs");
    beat(&worker, job, 2).await;
    until(&mut ann, job, |told| (told.running == 2).then_some(())).await;
    let list = Request::JobRows { before: None, limit: 9, filter: JobFilter::default() };
    let Ok(Reply::JobRows { jobs, next: None, .. }) = ann.request(list, &[]).await else {
        panic!("no list")
    };
    assert_eq!((jobs.len(), jobs[0].running), (1, 2));
    beat(&worker, job, 9).await;
    until(&mut ann, job, |told| (told.running == 2).then_some(())).await;
    let other = join(&server.handle(), "w").await;
    beat(&other, job, 1).await;
    until(&mut ann, job, |told| (told.running == 1).then_some(())).await;
    drop((worker, other));
    until(&mut ann, job, |told| (told.running == 0).then_some(())).await;
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn an_overview_is_of_all_for_operators_and_of_its_own_tenant_for_a_client() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    ann.put(MODULE).await.expect("kept");
    bob.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    ann.request(submit(numbers(3), Some(watch(1, PLENTY))), &[]).await.expect("taken");
    let mut left = 3;
    while left > 0 {
        let (assign, _) = worker.assigned().await;
        left -= assign.leases.iter().map(|grant| grant.inputs.count()).sum::<u64>();
        end(&worker, left, &assign, |index| match index {
            0 => Outcome::Rejected("ann's secret".into()),
            _ => Outcome::Ok,
        })
        .await;
    }
    ann.watched(1).await;
    let job = status(bob.request(submit(numbers(10), None), &[]).await).job;
    worker.assigned().await;
    beat(&worker, job, 2).await;
    until(&mut bob, job, |told| (told.running == 2).then_some(())).await;

    let mut operator = client_link(&server.handle(), Role::Operator, "op");
    let all = overview(&mut operator).await;
    assert_eq!((all.tenant.as_deref(), all.jobs.active, all.jobs.failed), (None, 1, 1));
    assert_eq!(all.slots, SlotCounts { busy: 2, ..SlotCounts::default() });
    assert_eq!(all.last_hour.ended, 3);
    let [failed] = all.last_hour.failed.as_slice() else { panic!("{all:?}") };
    assert_eq!((failed.kind.as_str(), failed.count), ("rejected", 1));
    assert_eq!(failed.example.as_ref().map(|(_, text)| text.as_str()), Some("ann's secret"));
    assert!(all.metrics.is_some(), "{all:?}");
    let disk = all.disk.expect("told to operators");
    assert!(disk.results > 0 && disk.modules > 0 && disk.journal > 0, "{disk:?}");
    assert_eq!(all.attention, [], "all is well");

    let own = overview(&mut ann).await;
    assert_eq!((own.tenant.as_deref(), own.jobs.active, own.jobs.failed), (Some("ann"), 0, 1));
    assert_eq!((own.last_hour.ended, own.tasks.queued, own.tasks.assigned), (3, 0, 0));
    assert_eq!(own.slots, all.slots);
    assert!(own.metrics.is_none() && own.disk.is_none() && own.busy.jobs.is_empty());
    let others = overview(&mut bob).await;
    assert_eq!((others.last_hour.ended, others.jobs.active, others.jobs.failed), (0, 1, 0));
    assert_eq!(others.tasks.queued + others.tasks.assigned, 10);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_somebody_should_look_at_is_told_to_operators_as_data() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let mut operator = client_link(&server.handle(), Role::Operator, "op");
    let names = |overview: &Overview| -> Vec<&str> {
        overview.attention.iter().map(Attention::name).collect()
    };
    assert_eq!(names(&overview(&mut operator).await), ["no-worker"]);
    ann.put(MODULE).await.expect("kept");
    let mut one = spec();
    one.requires = vec![("gpu".into(), "a100".into())];
    let Request::Submit(plain) = submit(numbers(5), None) else { panic!("a submit") };
    let needs = || Request::Submit(Submit { spec: one.clone(), ..plain.clone() });
    let first = status(ann.request(needs(), &[]).await).job;
    ann.request(needs(), &[]).await.expect("taken");
    let worker = join(&server.handle(), "w").await;
    let jail_lacks = vec!["cgroup".to_owned()];
    let report = WorkerReport { isolation: "process".into(), jail_lacks, ..Default::default() };
    worker.send(FromWorker::Report(report.clone())).await;
    let (told, _) = loop {
        let told = rows(&mut operator, None, 9, WorkerFilter::default()).await;
        if told.0[0].report.is_some() {
            break told;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(told[0].report.as_ref(), Some(&report));
    let cordon = Request::Cordon { name: "w".into(), cordoned: true };
    let seen = overview(&mut operator).await;
    assert_eq!(names(&seen), ["jobs-stuck", "jail-incomplete"], "{seen:?}");
    let Attention::Stuck { tenant, jobs, count: 2, wait: Wait::Labels { .. } } = &seen.attention[0]
    else {
        panic!("{seen:?}")
    };
    assert_eq!((tenant.as_str(), jobs[0], jobs.len()), ("ann", first, 2));
    assert_eq!(operator.request(cordon, &[]).await, Ok(Reply::Done));
    let seen = overview(&mut operator).await;
    let expected = ["no-worker", "jobs-stuck", "jail-incomplete", "worker-not-taking"];
    assert_eq!(names(&seen), expected);
    assert_eq!(seen.slots, SlotCounts { cordoned: 2, ..SlotCounts::default() });
    assert_eq!(names(&overview(&mut ann).await), <[&str; 0]>::default());
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn workers_are_filtered_and_paged_by_the_scheduler() {
    let server = start_fresh();
    let mut operator = client_link(&server.handle(), Role::Operator, "op");
    let mut workers = Vec::new();
    for name in ["rack1-a", "rack1-b", "rack1-c", "rack2-a"] {
        workers.push(join(&server.handle(), name).await);
    }
    let cordon = Request::Cordon { name: "rack1-b".into(), cordoned: true };
    assert_eq!(operator.request(cordon, &[]).await, Ok(Reply::Done));
    let names = |rows: &[WorkerRow]| -> Vec<String> {
        rows.iter().map(|row| row.status.name.clone()).collect()
    };
    let rack1 = || WorkerFilter { name: Some("rack1*".into()), ..WorkerFilter::default() };
    let (first, next) = rows(&mut operator, None, 2, rack1()).await;
    assert_eq!(names(&first), ["rack1-a", "rack1-b"]);
    let (rest, next) = rows(&mut operator, next, 2, rack1()).await;
    assert_eq!((names(&rest), next), (vec!["rack1-c".to_owned()], None));
    let states = vec!["cordoned".to_owned(), "gone".to_owned()];
    let (some, _) = rows(&mut operator, None, 9, WorkerFilter { states, ..rack1() }).await;
    assert_eq!(names(&some), ["rack1-b"]);
    let label = Some(("zone".to_owned(), "a".to_owned()));
    let (none, next) = rows(&mut operator, None, 9, WorkerFilter { label, ..rack1() }).await;
    assert_eq!((names(&none), next), (Vec::new(), None));
    let long = WorkerFilter { name: Some("x".repeat(1_000)), ..WorkerFilter::default() };
    let long = Request::WorkerRows { after: None, limit: 9, filter: long };
    assert!(operator.request(long, &[]).await.is_err(), "longer than any name");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn an_explanation_names_other_tenants_to_operators_alone() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    for client in [&mut ann, &mut bob] {
        client.put(MODULE).await.expect("kept");
    }
    let mut worker = join(&server.handle(), "w").await;
    ann.request(submit(numbers(100), None), &[]).await.expect("taken");
    worker.assigned().await;
    let job = status(bob.request(submit(numbers(100), None), &[]).await).job;
    let mut operator = client_link(&server.handle(), Role::Operator, "op");
    let told = operator.request(Request::Explain { job }, &[]).await;
    let Ok(Reply::Explanation(told)) = told else { panic!("{told:?}") };
    assert!(format!("{told:?}").contains("\"ann\""), "{told:?}");
    let told = bob.request(Request::Explain { job }, &[]).await;
    let Ok(Reply::Explanation(told)) = told else { panic!("{told:?}") };
    let text = format!("{told:?}");
    assert!(!text.contains("\"ann\"") && text.contains("other tenants"), "{text}");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_stored_result_has_the_date_at_which_it_came_whatever_its_worker_says() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    ann.request(submit(numbers(1), Some(watch(1, PLENTY))), &[]).await.expect("taken");
    let mut worker = join(&server.handle(), "w").await;
    let (assign, _) = worker.assigned().await;
    let mut blocks = blocks_of(&assign, b"", Usage::default());
    blocks.iter_mut().for_each(|block| block.set_received(Micros(7)));
    let blocks = blocks.into_iter().map(Arc::new).collect();
    let message = FromWorker::Results(WorkerResults { batch: 1, blocks });
    worker.send(Envelope { message, payload: Bytes::new() }).await;
    let received = ann.next(|envelope| match &envelope.message {
        ToClient::Results(frame) => Some(frame.blocks[0].received()),
        _ => None,
    });
    let received = received.await.expect("noted");
    let submitted = ann.watched(1).await.1.submitted_at;
    assert!(received >= submitted, "{received:?} {submitted:?}");
    server.shutdown().await.expect("in order");
}
