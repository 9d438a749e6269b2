//! Watches: credit, cursors, and that none holds up another.

use wasmgrid_proto::{
    ByteCount, InputBlock, JobState,
    wire::{Credit, FromClient, Request, Role, Submit, ToClient, Unwatch, WatchRequest},
};
use wasmgrid_server::{Server, ServerConfig};
use wasmgrid_store::memory;

use crate::harness::*;

#[tokio::test]
async fn a_watch_without_credit_holds_up_no_other() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let job = status(client.request(submit(numbers(50), Some(watch(1, 1))), &[]).await).job;
    let request = Request::Watch { job, watch: watch(2, PLENTY) };
    client.request(request, &[]).await.expect("watched");
    let mut worker = join(&server.handle(), "w").await;
    worker.work(50, &[b'x'; 100_000]).await;

    let (results, end) = client.watched(2).await;
    assert_eq!((results.len(), end.state), (50, JobState::Ok));
    let ended = |message: &ToClient| match message {
        ToClient::Update(update) => update.watch == 1 && update.status.state.is_terminal(),
        _ => false,
    };
    assert!(!client.has(ended).await, "the end comes behind the last result");

    client.send(FromClient::Credit(Credit { watch: 1, bytes: PLENTY })).await;
    let (results, _) = client.watched(1).await;
    assert_eq!(results.len(), 50);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn results_that_left_memory_are_read_from_the_store() {
    let config = ServerConfig { segment_cache: ByteCount(1), ..ServerConfig::new("test") };
    let server = Server::start(config, Box::new(memory()), admission()).expect("starts");
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let job = status(client.request(submit(numbers(600), None), &[]).await).job;
    let other = status(client.request(submit(numbers(600), None), &[]).await).job;
    let mut worker = join(&server.handle(), "w").await;
    worker.work(1_200, b"out").await;
    for (number, job) in [(1, job), (2, other)] {
        client
            .request(Request::Watch { job, watch: watch(number, PLENTY) }, &[])
            .await
            .expect("job");
        let (results, end) = client.watched(number).await;
        assert_eq!((results.len(), end.state), (600, JobState::Ok));
        let mut indices: Vec<_> = results.iter().map(|(_, index, _)| *index).collect();
        indices.sort_unstable();
        assert!(indices.into_iter().eq(0..600));
    }
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_watch_starts_at_its_cursor_and_ends_when_it_is_told_to() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let job = status(client.request(submit(numbers(10), Some(watch(1, PLENTY))), &[]).await).job;
    let mut worker = join(&server.handle(), "w").await;
    worker.work(10, b"out").await;
    client.watched(1).await;
    let mut late = watch(2, PLENTY);
    late.cursor = 7;
    client.request(Request::Watch { job, watch: late }, &[]).await.expect("watched");
    let (results, _) = client.watched(2).await;
    let cursors: Vec<_> = results.iter().map(|(cursor, ..)| *cursor).collect();
    assert_eq!(cursors, [7, 8, 9]);

    client.request(Request::Watch { job, watch: watch(3, 0) }, &[]).await.expect("watched");
    client.send(FromClient::Unwatch(Unwatch { watch: 3 })).await;
    let again = Request::Watch { job, watch: watch(3, PLENTY) };
    client.request(again, &[]).await.expect("its number is free again");
    assert_eq!(client.watched(3).await.0.len(), 10);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_watch_from_beyond_the_end_brings_nothing_and_ends_with_the_job() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let job = status(client.request(submit(numbers(10), None), &[]).await).job;
    for (number, cursor) in [(1, 11), (2, u64::MAX), (3, 9)] {
        let watch = WatchRequest { cursor, ..watch(number, PLENTY) };
        client.request(Request::Watch { job, watch }, &[]).await.expect("watched");
    }
    let mut worker = join(&server.handle(), "w").await;
    worker.work(10, b"out").await;
    for (number, expected) in [(1, 0), (2, 0), (3, 1)] {
        let (results, end) = client.watched(number).await;
        assert_eq!((results.len(), end.state), (expected, JobState::Ok), "watch {number}");
    }
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_server_with_watches_of_clients_that_read_nothing_can_be_stopped() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    // Open, with no inputs at all: it goes on until it is closed.
    let open = Submit {
        spec: spec(),
        idempotency_key: None,
        inputs: InputBlock::Packed(Vec::new()),
        closed: false,
        watch: Some(watch(1, PLENTY)),
    };
    let idle = status(client.request(Request::Submit(open), &[]).await);
    assert_eq!((idle.state, idle.counts.total), (JobState::Active, 0));
    let busy = submit(numbers(50), Some(watch(2, PLENTY)));
    client.request(busy, &[]).await.expect("submitted");
    let mut worker = join(&server.handle(), "w").await;
    worker.work(50, &[b'x'; 200_000]).await;
    tokio::time::timeout(NEVER, server.shutdown()).await.expect("it ends").expect("in order");
}
