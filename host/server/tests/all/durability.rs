//! What is answered is durable, and what is durable is there after a restart.

use std::sync::Arc;

use wasmgrid_proto::{
    Digest, JobState,
    wire::{FromWorker, NeedModule, Request, Role, ToClient, ToWorker},
};
use wasmgrid_server::ServerError;
use wasmgrid_store::memory;

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
