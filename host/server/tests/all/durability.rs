//! What is answered is durable, and what is durable is there after a restart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use wasmgrid_proto::{
    ByteCount, Digest, Epoch, InputBlock, JobState, Millis, Reason, Wait, WaitReason,
    wire::{
        ErrorCode, FromWorker, Heartbeat, NeedModule, Reply, Request, Role, Submit, ToClient,
        ToWorker,
    },
};
use wasmgrid_server::{Server, ServerConfig, ServerError, Space};
use wasmgrid_store::{Commit, Store as _, StoreError, memory};

use crate::harness::*;

/// Waits until the server has handled all the worker said so far.
async fn heard(worker: &mut Worker) {
    let digest = Digest::of(b"nothing");
    worker.send(FromWorker::NeedModule(NeedModule { digest })).await;
    worker.next(|envelope| matches!(envelope.message, ToWorker::Module(_)).then_some(())).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_committed() {
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;

    valve.close();
    client.ask(7, submit(numbers(1), None), &[]).await;
    // The assignment waits for no disk; the answer does.
    let (assign, _) = worker.assigned().await;
    assert!(!client.has(|message| matches!(message, ToClient::Reply(_))).await);
    valve.open();
    let job = status(client.answer(7).await).job;
    client.request(Request::Watch { job, watch: watch(1, PLENTY) }, &[]).await.expect("watched");

    valve.close();
    worker.finish(3, &assign, b"out").await;
    heard(&mut worker).await;
    assert!(!worker.has(|message| matches!(message, ToWorker::Committed(_))).await);
    assert_eq!(client.job(job).await.state, JobState::Active, "its end is not durable");
    assert!(!client.has(|message| matches!(message, ToClient::Results(_))).await);
    valve.open();
    assert_eq!(worker.committed().await, [3]);
    let (results, end) = client.watched(1).await;
    assert_eq!((results.len(), end.state), (1, JobState::Ok));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_repeated_batch_is_acknowledged_again_and_stored_once() {
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let job = status(client.request(submit(numbers(1), None), &[]).await).job;
    let (assign, _) = worker.assigned().await;
    worker.finish(1, &assign, b"out").await;
    assert_eq!(worker.committed().await, [1]);
    let stored = valve.segments();
    worker.finish(1, &assign, b"out").await;
    assert_eq!(worker.committed().await, [1]);
    assert_eq!(valve.segments(), stored);
    let job = client.job(job).await;
    assert_eq!((job.results, job.counts.ok), (1, 1));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_restart_keeps_finished_results_and_unfinished_jobs() {
    let store = memory();
    let again = store.reopen();
    let server = start(store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let done = status(client.request(submit(numbers(3), None), &[]).await).job;
    let mut worker = join(&server.handle(), "w").await;
    worker.work(3, b"kept").await;
    client.request(Request::Watch { job: done, watch: watch(1, PLENTY) }, &[]).await.expect("job");
    client.watched(1).await;
    drop(worker);
    let open = status(client.request(submit(numbers(2), None), &[]).await).job;
    server.shutdown().await.expect("in order");

    let server = start(again);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let request = Request::Watch { job: done, watch: watch(1, PLENTY) };
    client.request(request, &[]).await.expect("it is there");
    let (results, end) = client.watched(1).await;
    assert_eq!((results.len(), end.state), (3, JobState::Ok));
    assert!(results.iter().all(|(.., output)| output == "kept"));
    // The module is known too, or its tasks could not be checked or run.
    status(client.request(submit(numbers(1), None), &[]).await);
    let mut worker = join(&server.handle(), "w").await;
    worker.work(3, b"new").await;
    client.request(Request::Watch { job: open, watch: watch(2, PLENTY) }, &[]).await.expect("job");
    let (results, end) = client.watched(2).await;
    assert_eq!((results.len(), end.state), (2, JobState::Ok));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_restart_keeps_what_is_told_of_modules() {
    let modules = async |server: &Server| {
        let mut client = client_link(&server.handle(), Role::Client, "ann");
        let request = Request::Modules { after: None, limit: 10, tenant: None };
        match client.request(request, &[]).await.expect("hers") {
            Reply::Modules { modules, next: None } => modules,
            other => panic!("a list is answered with {other:?}"),
        }
    };
    let store = memory();
    let again = store.reopen();
    let server = start(store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    status(client.request(submit(numbers(1), None), &[]).await);
    let before = modules(&server).await;
    assert_eq!((before.len(), before[0].jobs), (1, 1));
    assert!(before[0].stored.is_some(), "its date is known");
    server.shutdown().await.expect("in order");

    let server = start(again);
    assert_eq!(modules(&server).await, before);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_scheduler_that_died_between_taking_the_store_and_its_first_commit_is_followed() {
    let store = memory();
    let (mut died, again) = (store.reopen(), store.reopen());
    start(store).shutdown().await.expect("in order");
    died.fence(Epoch(2)).expect("the next term");
    let later = again.reopen();
    start(again).shutdown().await.expect("in order");
    start(later).shutdown().await.expect("in order");
    let error = died.commit(Epoch(2), &Commit::default()).expect_err("its term is over");
    assert!(matches!(error, StoreError::Fenced { newest: Epoch(4), .. }), "{error}");
}

#[tokio::test]
async fn of_two_schedulers_on_one_store_the_first_stops_and_says_that_there_are_two() {
    let store = memory();
    let again = store.reopen();
    let first = start(store);
    let mut client = client_link(&first.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let second = start(again);
    client.ask(1, submit(numbers(1), None), &[]).await;
    let error = first.failed().await;
    assert!(matches!(error, ServerError::TakenOver { .. }), "{error}");
    assert!(error.to_string().contains("only one scheduler per state folder"), "{error}");
    client.closed().await;
    second.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_store_that_fails_ends_the_server_and_answers_nothing() {
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    valve.break_store();
    client.ask(1, submit(numbers(1), None), &[]).await;
    let error = server.failed().await;
    assert!(matches!(error, ServerError::Commit(_)), "{error}");
    client.closed().await;
    assert!(!client.has(|message| matches!(message, ToClient::Reply(_))).await);
    assert!(server.shutdown().await.is_err());
}

#[tokio::test]
async fn a_shutdown_answers_what_was_taken() {
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    valve.close();
    client.ask(1, submit(numbers(1), None), &[]).await;
    worker.assigned().await;
    let valve = Arc::clone(&valve);
    let (ended, ()) = tokio::join!(server.shutdown(), async move { valve.open() });
    ended.expect("in order");
    status(client.answer(1).await);
}

#[tokio::test]
async fn below_the_reserve_new_work_is_refused_and_results_of_what_runs_are_kept() {
    let free = Arc::new(AtomicU64::new(1_000));
    let told = free.clone();
    let mut config = ServerConfig::new("test");
    let reserve = ByteCount(800);
    config.space =
        Some(Space { reserve, free: Arc::new(move || Ok(told.load(Ordering::Relaxed))) });
    let server = Server::start(config, Box::new(memory()), admission()).expect("starts");
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let request = submit(numbers(2), Some(watch(1, PLENTY)));
    ann.request(request, &[]).await.expect("there is room");
    let (spec, idempotency_key, inputs) = (spec(), None, numbers(0));
    let open = Submit { spec, idempotency_key, inputs, closed: false, watch: None };
    let open = status(ann.request(Request::Submit(open), &[]).await).job;
    let mut worker = join(&server.handle(), "w").await;
    let (assign, _) = worker.assigned().await;
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let cordon = |cordoned| Request::Cordon { name: "w".into(), cordoned };
    olga.request(cordon(true), &[]).await.expect("known");
    let waiting = status(ann.request(submit(numbers(5), None), &[]).await).job;

    free.store(100, Ordering::Relaxed);
    let refused = |answer| match answer {
        Ok(Reply::Intake { refusal }) => refusal,
        other => panic!("{other:?}"),
    };
    let short = loop {
        if let Some(short) = refused(ann.request(Request::Intake, &[]).await) {
            break short;
        }
    };
    assert!(short.to_string().contains("100B left, and 800B are reserved"), "{short}");
    let inputs = numbers(1);
    for request in [
        submit(numbers(1), None),
        Request::AppendAt { job: open, first: 0, inputs: inputs.clone() },
        Request::Append { job: open, producer: 1, number: 1, inputs },
    ] {
        let error = ann.request(request, &[]).await.expect_err("no new work");
        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    }
    let error = ann.put(b"more").await.expect_err("no new module");
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    olga.request(cordon(false), &[]).await.expect("known");
    worker.finish(1, &assign, b"done").await;
    let (results, end) = ann.watched(1).await;
    assert_eq!((results.len(), end.state), (2, JobState::Ok));
    // What waits would need space for its results.
    match ann.request(Request::Explain { job: waiting }, &[]).await {
        Ok(Reply::Explanation(explanation)) => {
            assert_eq!(explanation.reasons, [WaitReason { tasks: 5, wait: Wait::DiskFull }]);
        }
        other => panic!("{other:?}"),
    }
    assert!(!worker.has(|message| matches!(message, ToWorker::Assign(_))).await);

    free.store(1_000, Ordering::Relaxed);
    while refused(ann.request(Request::Intake, &[]).await).is_some() {}
    ann.request(submit(numbers(1), None), &[]).await.expect("there is room");
    assert_eq!(worker.assigned().await.0.job, waiting);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn on_a_full_disk_repeats_of_what_is_durable_are_answered_and_nothing_new_is_done() {
    let (server, valve) = start_held();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let submit_as = |key: &str| {
        let (spec, idempotency_key, inputs) = (spec(), Some(key.to_owned()), numbers(0));
        Request::Submit(Submit { spec, idempotency_key, inputs, closed: false, watch: None })
    };
    let job = status(ann.request(submit_as("a"), &[]).await).job;
    let append_at = |first| Request::AppendAt { job, first, inputs: numbers(2) };
    assert_eq!(ann.request(append_at(0), &[]).await, Ok(Reply::Done));
    let shared = status(ann.request(submit_as("b"), &[]).await).job;
    let append = |number| Request::Append { job: shared, producer: 7, number, inputs: numbers(1) };
    let mut worker = join(&server.handle(), "w").await;
    let (assign, _) = worker.assigned().await;

    valve.fill();
    ann.ask(7, append(1), &[]).await;
    valve.refused().await;
    while ann.request(Request::Intake, &[]).await == Ok(Reply::Intake { refusal: None }) {}
    // Results that wait for the disk as well are none of what the client asked.
    worker.finish(1, &assign, b"out").await;
    heard(&mut worker).await;
    assert_eq!(status(ann.request(submit_as("a"), &[]).await).job, job);
    assert_eq!(ann.request(append_at(0), &[]).await, Ok(Reply::Done));
    assert_eq!(ann.put(MODULE).await, Ok(Reply::Done));
    let full = || Err(Reason::DiskFull.into());
    assert_eq!(ann.request(append_at(2), &[]).await, full());
    assert_eq!(ann.request(submit_as("c"), &[]).await, full());
    assert_eq!(ann.put(b"another").await, full());
    // A repeat of what is not durable waits for it, as the first one does.
    ann.ask(8, append(1), &[]).await;
    ann.request(Request::Intake, &[]).await.expect("answered after it");
    assert!(!ann.was_answered(7) && !ann.was_answered(8));
    valve.make_room();
    for id in [7, 8] {
        assert_eq!(ann.answer(id).await, Ok(Reply::Appended { first: 0 }));
    }
    assert_eq!(worker.committed().await, [1]);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_server_on_a_full_disk_can_be_stopped() {
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    valve.fill();
    client.ask(7, submit(numbers(1), None), &[]).await;
    valve.refused().await;
    let stopped = tokio::time::timeout(NEVER, server.shutdown()).await.expect("it ends");
    assert!(matches!(stopped, Err(ServerError::Commit(_))), "{stopped:?}");
    assert!(
        !client.has(|message| matches!(message, ToClient::Reply(frame) if frame.id == 7)).await
    );
}

#[tokio::test]
async fn a_worker_is_not_given_up_as_silent_while_the_store_holds_everything_up() {
    let mut config = ServerConfig::new("test");
    config.grid.worker_timeout = Millis(3_000);
    let (server, valve) = start_held_with(config);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    valve.close();
    // More than may be uncommitted: from here on the server takes nothing from its links.
    let large = vec![0; 17 << 20];
    for id in 0..4 {
        client.ask(id, submit(InputBlock::Packed(vec![17 << 20]), None), &large).await;
    }
    let held_up = Instant::now();
    while held_up.elapsed() < Duration::from_millis(4_500) {
        worker.send(FromWorker::Heartbeat(Heartbeat::default())).await;
        // The promise is about time passing: there is nothing else to wait for.
        let _ = tokio::time::timeout(Duration::from_millis(100), client.link.sender.closed()).await;
    }
    valve.open();
    for id in 0..4 {
        client.answer(id).await.expect("taken");
    }
    heard(&mut worker).await;
    server.shutdown().await.expect("in order");
}
