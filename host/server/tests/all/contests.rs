//! Two links of one worker's identity: the one that answers stays.

use std::{sync::Arc, time::Duration};

use wasmgrid_proto::{
    ByteCount, Micros, Reason, WorkerCapacity,
    wire::{Alive, FromWorker, Join, Reply, Request, Role, ToWorker},
};
use wasmgrid_server::{Blocking, Server, ServerConfig, ServerHandle};
use wasmgrid_store::memory;

use crate::harness::*;

/// Another link of a worker's identity, on which it has said that it joins.
async fn rival(server: &ServerHandle, labels: usize) -> Worker {
    let rival = worker_link(server, Role::Worker, "w");
    let capacity = WorkerCapacity {
        slots: 2,
        memory: ByteCount(1 << 30),
        labels: (0..labels).map(|label| (format!("label-{label}"), "x".repeat(40))).collect(),
        engine: "none".into(),
    };
    let (started, held) = (Micros(2), Vec::new());
    rival.send(FromWorker::Join(Join { started, capacity, held, proofs: Vec::new() })).await;
    rival
}

async fn refused(worker: &mut Worker) -> Reason {
    worker
        .next(|envelope| match &envelope.message {
            ToWorker::Refused(refused) => Some(refused.error.reason.as_ref().clone()),
            _ => None,
        })
        .await
}

async fn contested(worker: &mut Worker) -> u64 {
    worker
        .next(|envelope| match &envelope.message {
            ToWorker::Contested(contested) => Some(contested.rival),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_worker_that_answers_stays_and_the_other_is_told_why_it_may_not_join() {
    let server = start_fresh();
    let mut first = join(&server.handle(), "w").await;
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let job = status(client.request(submit(numbers(2), None), &[]).await).job;
    let (assign, _) = first.assigned().await;
    let mut second = rival(&server.handle(), 0).await;
    let number = contested(&mut first).await;
    first.send(FromWorker::Alive(Alive { rival: number })).await;
    let reason = refused(&mut second).await;
    let Reason::IdentityInUse { name, address, .. } = reason else { panic!("{reason}") };
    assert_eq!((&*name, &*address), ("w", "in process"));
    second.closed().await;
    // What the first has counts as before.
    first.finish(1, &assign, b"out").await;
    assert_eq!(first.committed().await, [1]);
    let Ok(Reply::Contests(contests)) = client.request(Request::Contests, &[]).await else {
        panic!("no contests");
    };
    assert_eq!((contests.len(), contests[0].name.as_str()), (1, "w"));
    let counts = status(client.request(Request::Job { job }, &[]).await).counts;
    assert_eq!((counts.ok, counts.retried), (2, 0));
    server.shutdown().await.expect("in order");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_answer_makes_way_within_seconds() {
    let mut config = ServerConfig::new("test");
    config.blocking = Blocking::InTurn(Arc::new(|| Duration::from_millis(1)));
    let server = Server::start(config, Box::new(memory()), admission()).expect("starts");
    let mut first = join(&server.handle(), "w").await;
    let began = tokio::time::Instant::now();
    let mut second = rival(&server.handle(), 0).await;
    second.next(|envelope| matches!(envelope.message, ToWorker::Joined(_)).then_some(())).await;
    assert!(began.elapsed() <= Duration::from_secs(4), "{:?}", began.elapsed());
    first.closed().await;
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_worker_that_offers_too_many_labels_is_refused_in_words() {
    let server = start_fresh();
    let mut worker = rival(&server.handle(), 1_000).await;
    let reason = refused(&mut worker).await;
    assert!(matches!(reason, Reason::WorkerTexts { .. }), "{reason}");
    worker.closed().await;
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_worker_that_speaks_before_it_joined_is_not_understood() {
    let server = start_fresh();
    let mut worker = worker_link(&server.handle(), Role::Worker, "w");
    worker.send(FromWorker::Alive(Alive { rival: 1 })).await;
    let ended = loop {
        match worker.link.receiver.recv().await {
            Ok(Some(_)) => {}
            ended => break ended,
        }
    };
    assert!(ended.is_err_and(|error| error.is_misunderstanding()));
    server.shutdown().await.expect("in order");
}
