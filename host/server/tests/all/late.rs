//! Results that come too late, tasks that are lost, jobs that are cancelled behind a worker's
//! back: what is discarded, what is compared, and what is told of each task.

use wasmgrid_proto::{
    ByteCount, Extensions, JobId, JobState, Micros, Millis, Outcome, Resource, ResultBlock,
    ResultMeta, TaskState, TaskStatus, Usage, WorkerCapacity, WorkerId,
    frame::Envelope,
    wire::{
        Assign, ErrorCode, FromWorker, HeldLease, Join, Reply, Request, Role, ToWorker,
        WorkerResults,
    },
};
use wasmgrid_server::{Server, ServerConfig, ServerHandle};
use wasmgrid_store::{Store, memory};

use crate::{harness::*, quotas::used};

/// A worker's process that started at a time joins with what it holds.
async fn join_as(server: &ServerHandle, name: &str, started: u64, held: Vec<HeldLease>) -> Worker {
    let mut worker = worker_link(server, Role::Worker, name);
    let memory = ByteCount(1 << 30);
    let capacity = WorkerCapacity { slots: 1, memory, labels: Vec::new(), engine: "none".into() };
    let started = Micros(started);
    worker.send(FromWorker::Join(Join { started, capacity, held, proofs: Vec::new() })).await;
    worker.next(|envelope| matches!(envelope.message, ToWorker::Joined(_)).then_some(())).await;
    worker
}

fn held(assign: &Assign) -> Vec<HeldLease> {
    let held = |grant: &wasmgrid_proto::wire::LeaseGrant| HeldLease {
        job: assign.job,
        lease: grant.lease,
        attempt: grant.attempt,
        tasks: vec![wasmgrid_proto::TaskRange { first: grant.first, count: grant.inputs.count() }],
    };
    assign.leases.iter().map(held).collect()
}

/// Ends the first task of an assignment as it is told, with a log behind it.
async fn end(worker: &Worker, batch: u64, assign: &Assign, outcome: Outcome, log: &str) {
    let grant = &assign.leases[0];
    let meta = ResultMeta {
        index: grant.first,
        outcome,
        usage: Usage::default(),
        output_len: 0,
        record_lens: Vec::new(),
        log_len: u32::try_from(log.len()).expect("short"),
        log_dropped: 0,
    };
    let block = ResultBlock {
        job: assign.job,
        lease: grant.lease,
        worker: WorkerId(99),
        attempt: grant.attempt,
        results: vec![meta],
        extensions: Extensions::NONE,
    };
    let message = FromWorker::Results(WorkerResults { batch, blocks: vec![block.into()] });
    worker.send(Envelope { message, payload: log.to_owned().into() }).await;
}

async fn task(client: &mut Client, job: JobId, index: u64) -> TaskStatus {
    match client.request(Request::Task { job, index }, &[]).await {
        Ok(Reply::Task(status)) => status,
        other => panic!("no task: {other:?}"),
    }
}

async fn divergences(client: &mut Client, job: JobId) -> wasmgrid_proto::Divergences {
    match client.request(Request::Divergences { job }, &[]).await {
        Ok(Reply::Divergences(found)) => found,
        other => panic!("no divergences: {other:?}"),
    }
}

async fn diverged(client: &mut Client, job: JobId) -> wasmgrid_proto::Divergences {
    loop {
        let found = divergences(client, job).await;
        if found.count > 0 {
            return found;
        }
    }
}

#[tokio::test]
async fn a_late_result_that_differs_is_a_divergence_also_after_a_restart() {
    let store = memory();
    let again = store.reopen();
    let server = start(store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "liar").await;
    let job = status(client.request(submit(numbers(1), None), &[]).await).job;
    let (assign, _) = worker.assigned().await;
    worker.finish(1, &assign, b"right").await;
    assert_eq!(worker.committed().await, [1]);
    // The same again says nothing against anybody.
    worker.finish(2, &assign, b"right").await;
    assert_eq!(worker.committed().await, [2]);
    worker.finish(3, &assign, b"wrong").await;
    assert_eq!(worker.committed().await, [3]);
    let found = diverged(&mut client, job).await;
    assert_eq!((found.count, found.list.len(), found.list[0].index), (1, 1, 0));
    assert_ne!(found.list[0].committed.digest, found.list[0].late.digest);
    assert_eq!(found.workers.len(), 1);
    assert_eq!(found.workers[0].1, "liar");
    let counted = client.job(job).await;
    assert_eq!((counts(&counted), counted.results), ((1, 2), 1));
    server.shutdown().await.expect("in order");

    let server = start(again);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    assert_eq!(divergences(&mut client, job).await, found);
    server.shutdown().await.expect("in order");
}

fn counts(status: &wasmgrid_proto::JobStatus) -> (u64, u64) {
    (status.counts.ok, status.counts.discarded)
}

#[tokio::test]
async fn a_late_result_that_comes_first_is_compared_with_the_one_that_counts() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut one = join_as(&server.handle(), "one", 1, Vec::new()).await;
    let job = status(client.request(submit(numbers(1), None), &[]).await).job;
    let (stale, _) = one.assigned().await;
    // Its process is another: what it had runs again, under another lease.
    let mut one = join_as(&server.handle(), "one", 2, Vec::new()).await;
    let (fresh, _) = one.assigned().await;
    assert_eq!((stale.leases[0].attempt, fresh.leases[0].attempt), (1, 2));
    one.finish(1, &stale, b"wrong").await;
    assert_eq!(one.committed().await, [1]);
    assert_eq!(counts(&client.job(job).await), (0, 1));
    one.finish(2, &fresh, b"right").await;
    let found = diverged(&mut client, job).await;
    assert_eq!((found.list[0].committed.attempt, found.list[0].late.attempt), (2, 1));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_depends_on_the_machine_is_no_divergence() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let job = status(client.request(submit(numbers(1), None), &[]).await).job;
    let (assign, _) = worker.assigned().await;
    worker.finish(1, &assign, b"right").await;
    worker.committed().await;
    let limit = wasmgrid_proto::Limit::Deadline;
    let late = Outcome::Limit { limit, used: 2, allowed: 1 };
    end(&worker, 2, &assign, late, "").await;
    worker.committed().await;
    end(&worker, 3, &assign, Outcome::Refused("not here".into()), "").await;
    worker.committed().await;
    // What is compared is compared in order, so behind this one all are.
    worker.finish(4, &assign, b"wrong").await;
    assert_eq!(diverged(&mut client, job).await.count, 1);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_task_that_kills_its_hosts_ends_as_lost_and_names_each() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let job = status(client.request(submit(numbers(1), Some(watch(1, PLENTY))), &[]).await).job;
    for process in 1..=5 {
        let mut host = join_as(&server.handle(), "host", process, Vec::new()).await;
        let (assign, _) = host.assigned().await;
        assert_eq!(u64::from(assign.leases[0].attempt), process);
        let waiting = task(&mut client, job, 0).await;
        assert_eq!((waiting.state, waiting.worker.as_str()), (TaskState::Running, "host"));
        assert_eq!(waiting.attempts.len() as u64, process - 1);
        assert_eq!(waiting.suspect, process > 2);
    }
    let _last = join_as(&server.handle(), "host", 6, Vec::new()).await;
    let (results, ended) = client.watched(1).await;
    assert_eq!((results.len(), ended.state), (1, JobState::Failed));
    let lost = task(&mut client, job, 0).await;
    assert_eq!((lost.state, lost.attempt, lost.attempts.len()), (TaskState::Ended, 5, 5));
    let Some(Outcome::Lost(text)) = lost.result.map(|result| result.outcome) else {
        panic!("it has its result")
    };
    for attempt in 1..=5 {
        let line = format!("attempt {attempt} (host lost) on host, 20");
        assert!(text.contains(&line), "{text}");
    }
    let error = client.request(Request::Task { job, index: 1 }, &[]).await.expect_err("only one");
    assert_eq!(error.code, ErrorCode::NotFound);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn results_of_a_job_that_was_cancelled_meanwhile_are_discarded_and_counted() {
    let store = memory();
    let again = store.reopen();
    let server = start(store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join_as(&server.handle(), "w", 1, Vec::new()).await;
    let job = status(client.request(submit(numbers(2), None), &[]).await).job;
    let (assign, _) = worker.assigned().await;
    // It is out of reach, and hears of no cancel.
    drop(worker);
    client.request(Request::Cancel { job }, &[]).await.expect("it is active");
    let mut worker = join_as(&server.handle(), "w", 1, held(&assign)).await;
    told_to_stop(&mut worker, job).await;
    worker.finish(1, &assign, b"done").await;
    assert_eq!(worker.committed().await, [1]);
    let tasks = assign.leases.iter().map(|grant| grant.inputs.count()).sum::<u64>();
    let cancelled = client.job(job).await;
    assert_eq!((cancelled.state, cancelled.results), (JobState::Cancelled, 0));
    assert_eq!(counts(&cancelled), (0, tasks));
    drop(worker);
    server.shutdown().await.expect("in order");

    // The next scheduler has the cancel, and takes no more from who comes back than that.
    let server = start(again);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let mut worker = join_as(&server.handle(), "w", 1, held(&assign)).await;
    told_to_stop(&mut worker, job).await;
    worker.finish(2, &assign, b"done").await;
    assert_eq!(worker.committed().await, [2]);
    let cancelled = client.job(job).await;
    assert_eq!((cancelled.state, cancelled.results), (JobState::Cancelled, 0));
    assert_eq!(counts(&cancelled), (0, tasks));
    server.shutdown().await.expect("in order");
}

async fn told_to_stop(worker: &mut Worker, job: JobId) {
    let by = worker
        .next(|envelope| match &envelope.message {
            ToWorker::Cancel(cancel) if cancel.job == job => Some(cancel.by.clone()),
            _ => None,
        })
        .await;
    assert_eq!(by, "ann");
}

#[tokio::test]
async fn a_scheduler_that_dies_right_behind_the_answer_to_a_cancel_has_it_done() {
    let store = memory();
    let again = store.reopen();
    let server = start(store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join_as(&server.handle(), "w", 1, Vec::new()).await;
    let job = status(client.request(submit(numbers(1), None), &[]).await).job;
    let (assign, _) = worker.assigned().await;
    client.request(Request::Cancel { job }, &[]).await.expect("it is active");
    // What is in the store at the answer is all that the next one has: nothing is finished here.
    let next = start(again);
    drop((server, worker));
    let mut client = client_link(&next.handle(), Role::Client, "ann");
    assert_eq!(client.job(job).await.state, JobState::Cancelled);
    let mut worker = join_as(&next.handle(), "w", 1, held(&assign)).await;
    told_to_stop(&mut worker, job).await;
    worker.finish(1, &assign, b"done").await;
    worker.committed().await;
    assert_eq!(counts(&client.job(job).await), (0, 1));
    next.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_a_stopped_task_had_logged_is_kept_as_long_as_its_job() {
    let store = memory();
    let server = start(store.reopen());
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let job = status(client.request(submit(numbers(1), None), &[]).await).job;
    let (assign, _) = worker.assigned().await;
    client.request(Request::Cancel { job }, &[]).await.expect("it is active");
    told_to_stop(&mut worker, job).await;
    end(&worker, 1, &assign, Outcome::Cancelled("ann".into()), "half way").await;
    worker.committed().await;
    let mut stopped = task(&mut client, job, 0).await;
    while stopped.log.is_empty() {
        stopped = task(&mut client, job, 0).await;
    }
    assert_eq!(stopped.log, b"half way");
    assert_eq!((stopped.state, stopped.result), (TaskState::Ended, None));
    server.shutdown().await.expect("in order");
    let kept = || store.reader().and_then(|mut reader| reader.metas("log/")).expect("readable");
    assert_eq!(kept().len(), 1);

    let mut config = ServerConfig::new("test");
    config.grid.keep_jobs = Some(Millis(1));
    let server = Server::start(config, Box::new(store.reopen()), admission()).expect("starts");
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    while client.request(Request::Job { job }, &[]).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.shutdown().await.expect("in order");
    assert_eq!(kept(), [], "it goes with its job");
}

#[tokio::test]
async fn kept_logs_of_stopped_tasks_count_for_their_tenant_and_end_at_its_quota() {
    let store = memory();
    let bounded = |store| {
        let mut config = ServerConfig::new("test");
        config.grid.quotas.insert(Resource::Bytes, 100_000);
        Server::start(config, Box::new(store), admission()).expect("starts")
    };
    let server = bounded(store.reopen());
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let log = "x".repeat(30_000);
    for batch in 0..4 {
        let job = status(client.request(submit(numbers(1), None), &[]).await).job;
        let (assign, _) = worker.assigned().await;
        client.request(Request::Cancel { job }, &[]).await.expect("it is active");
        told_to_stop(&mut worker, job).await;
        end(&worker, batch, &assign, Outcome::Cancelled("ann".into()), &log).await;
        worker.committed().await;
    }
    let before = used(&mut client, "ann").await;
    assert!((90_000..100_000).contains(&before), "{before}");
    server.shutdown().await.expect("in order");
    let kept = store.reader().and_then(|mut reader| reader.metas("log/")).expect("readable");
    assert_eq!(kept.len(), 3, "a fourth had no room");
    let server = bounded(store.reopen());
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let after = used(&mut client, "ann").await;
    assert!(after.abs_diff(before) < 1_000, "{before} before, {after} after a restart");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_job_waits_for_workers_that_never_come_back_no_longer_than_it_says() {
    let store = memory();
    let again = store.reopen();
    let server = start(store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut gone = join_as(&server.handle(), "gone", 1, Vec::new()).await;
    let job = status(client.request(submit(numbers(1), None), &[]).await).job;
    let (stale, _) = gone.assigned().await;
    drop(gone);
    server.shutdown().await.expect("in order");

    let mut config = ServerConfig::new("test");
    config.grid.recovery_grace = Millis(300);
    let server = Server::start(config, Box::new(again), admission()).expect("starts");
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let mut other = join_as(&server.handle(), "other", 1, Vec::new()).await;
    let (assign, _) = other.assigned().await;
    assert_eq!(assign.leases[0].attempt, 1, "a restart counts against no task");
    // It comes back after all, and what it brings is of a lease that is not its any more.
    let mut late = join_as(&server.handle(), "gone", 1, held(&stale)).await;
    let asked_back = |envelope: &Envelope<ToWorker>| match &envelope.message {
        ToWorker::Revoke(revoke) => Some(revoke.lease),
        _ => None,
    };
    assert_eq!(late.next(asked_back).await, stale.leases[0].lease);
    late.finish(1, &stale, b"stale").await;
    assert_eq!(late.committed().await, [1]);
    assert_eq!(counts(&client.job(job).await), (0, 1));
    other.finish(1, &assign, b"fresh").await;
    assert_eq!(other.committed().await, [1]);
    assert_eq!(counts(&client.job(job).await), (1, 1));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_one_tenant_asks_about_tasks_holds_up_no_other() {
    const MANY: u64 = 300;
    let (server, valve) = start_held();
    let mut worker = join(&server.handle(), "worker").await;
    let mut clients = Vec::new();
    for (batch, name) in [(1, "flooder"), (2, "caller")] {
        let mut client = client_link(&server.handle(), Role::Client, name);
        client.put(MODULE).await.expect("kept");
        let job = status(client.request(submit(numbers(1), None), &[]).await).job;
        let (assign, _) = worker.assigned().await;
        worker.finish(batch, &assign, b"done").await;
        assert_eq!(worker.committed().await, [batch]);
        clients.push((client, job));
    }
    let [(flooder, flooded), (caller, job)] = &mut clients[..] else { panic!("two clients") };
    // Readings wait for what is committed before them.
    valve.close();
    caller.ask(MANY + 1, submit(numbers(1), None), &[]).await;
    for id in 0..MANY {
        flooder.ask(id, Request::Task { job: *flooded, index: 0 }, &[]).await;
    }
    let refused = flooder.answer(MANY - 1).await.expect_err("so many of one tenant do not wait");
    assert_eq!(refused.code, ErrorCode::Unavailable);
    caller.ask(1, Request::Task { job: *job, index: 0 }, &[]).await;
    valve.open();
    let answer = caller.answer(1).await;
    assert!(matches!(&answer, Ok(Reply::Task(status)) if status.result.is_some()), "{answer:?}");
    let answer = flooder.answer(0).await;
    assert!(matches!(&answer, Ok(Reply::Task(status)) if status.result.is_some()), "{answer:?}");
    server.shutdown().await.expect("in order");
}
