//! Streams of results: in order, whole, and never more than the reader asked for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use wasmgrid_client::{ClientConfig, ClientError, JobEvent, JobStream, Room, Taken};
use wasmgrid_proto::{
    ByteCount, Extensions, JobId, JobState, Reason,
    frame::Envelope,
    wire::{FromClient, Reply, ReplyFrame, Request, ResultsFrame, ToClient, WatchEnded},
};

use crate::grid::{Grid, NEVER, Server, status, submit};

/// Reads to the end: the indices in the order they came. Each result must have its own bytes.
async fn read(stream: &mut JobStream) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        match stream.next().await.expect("not over").expect("no error") {
            JobEvent::Results { first_cursor, block, payload } => {
                assert_eq!(first_cursor, seen.len() as u64, "the cursor counts what came");
                for (meta, bytes) in block.entries(&payload).expect("fits") {
                    assert!(bytes.iter().all(|byte| *byte == meta.index as u8), "{meta:?}");
                    seen.push(meta.index);
                }
            }
            JobEvent::Update(_) => {}
            JobEvent::Ended(status) => {
                assert_eq!(status.results, seen.len() as u64);
                return seen;
            }
        }
    }
}

#[tokio::test]
async fn results_come_in_order_without_gap_or_repeat_over_lost_links() {
    const RESULTS: u64 = 50;
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut links = 0;
        loop {
            let mut server = grid.accept().await;
            links += 1;
            let (id, request) = server.watched().await;
            server.answer(id, Reply::Job(status(JobState::Active, RESULTS))).await;
            // Each link brings two frames, and is lost.
            let mut cursor = request.cursor;
            for _ in 0..2 {
                let count = 5.min(RESULTS - cursor);
                server.results(request.watch, cursor, count, 4).await;
                cursor += count;
            }
            if cursor == RESULTS {
                server.update(request.watch, status(JobState::Ok, RESULTS)).await;
                return (links, server);
            }
            server.0.sender.close("lost");
        }
    };
    let reader = async {
        let (_, stream) = client.submit(submit(true)).await.expect("answered");
        read(&mut stream.expect("was asked for")).await
    };
    let (seen, (links, _server)) = tokio::join!(reader, server);
    assert_eq!(seen, (0..RESULTS).collect::<Vec<_>>());
    assert_eq!(links, 5, "it went on from where it was");
}

#[tokio::test]
async fn frames_that_overtake_others_are_put_in_order() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, request) = server.watched().await;
        let watch = request.watch;
        server.update(watch, status(JobState::Failed, 12)).await;
        for (first, count) in [(8, 4), (2, 1), (3, 5), (0, 2)] {
            server.results(watch, first, count, 1).await;
        }
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        server
    };
    let reader = async {
        let (_, mut stream) = client.watch(JobId(1), 0).await.expect("answered");
        let seen = read(&mut stream).await;
        assert!(stream.next().await.is_none(), "nothing comes after the end");
        seen
    };
    let (seen, _server) = tokio::join!(reader, server);
    assert_eq!(seen, (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_watch_that_ends_early_ends_behind_all_that_was_sent() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, request) = server.watched().await;
        let watch = request.watch;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        server.results(watch, 0, 2, 1).await;
        // It has no payload, and so overtakes large frames.
        let error = Reason::JobDeleted { job: JobId(1) }.into();
        server.say(ToClient::WatchEnded(WatchEnded { watch, cursor: 5, error })).await;
        server.results(watch, 2, 3, 1).await;
        server
    };
    let reader = async {
        let (_, mut stream) = client.watch(JobId(1), 0).await.expect("answered");
        let mut seen = 0;
        loop {
            match stream.next().await.expect("it ends with an error") {
                Ok(JobEvent::Results { block, .. }) => seen += block.results.len(),
                Ok(_) => {}
                Err(error) => return (seen, error),
            }
        }
    };
    let ((seen, error), _server) = tokio::join!(reader, server);
    let ClientError::Api(error) = error else { panic!("{error}") };
    assert_eq!((seen, error), (5, Reason::JobDeleted { job: JobId(1) }.into()));
}

/// So many bytes are free.
struct Shelf(Arc<AtomicU64>);

/// What was taken of them.
struct Place(Arc<AtomicU64>, u64);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(self.1, Ordering::Relaxed);
    }
}

impl Room for Shelf {
    fn take(&self, bytes: u64) -> Option<Taken> {
        let left = |free: u64| free.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).ok()?;
        Some(Arc::new(Place(Arc::clone(&self.0), bytes)))
    }
}

#[tokio::test]
async fn results_have_room_until_they_are_let_go_of_and_others_end_their_stream() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let free = Arc::new(AtomicU64::new(2_000));
    let server = async {
        let mut server = grid.accept().await;
        let (id, request) = server.watched().await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        server.results(request.watch, 0, 2, 300).await;
        let bytes = server.results(request.watch, 2, 1, 5_000).await;
        loop {
            if let FromClient::Unwatch(unwatch) = server.next().await {
                assert_eq!(unwatch.watch, request.watch);
                return (bytes, server);
            }
        }
    };
    let reader = async {
        let room = Arc::new(Shelf(Arc::clone(&free)));
        let (_, mut stream) = client.watch_in(JobId(1), 0, room).await.expect("answered");
        let part = loop {
            if let JobEvent::Results { payload, .. } =
                stream.next().await.expect("on").expect("room")
            {
                break payload.slice(599..);
            }
        };
        let error = stream.next().await.expect("an end").expect_err("there is no room");
        (part, error)
    };
    let ((part, error), (bytes, _server)) = tokio::join!(reader, server);
    assert!(matches!(error, ClientError::NoRoom { bytes: wanted } if wanted == bytes), "{error}");
    assert!(free.load(Ordering::Relaxed) < 2_000 - 600, "a part of them is held");
    drop(part);
    assert_eq!(free.load(Ordering::Relaxed), 2_000);
}

#[tokio::test]
async fn what_came_before_is_dropped_when_it_comes_again() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, request) = server.watched().await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        for (first, count) in [(0, 4), (0, 4), (2, 6), (5, 4)] {
            server.results(request.watch, first, count, 2).await;
        }
        server.update(request.watch, status(JobState::Ok, 9)).await;
        server
    };
    let reader = async {
        let (_, mut stream) = client.watch(JobId(1), 0).await.expect("answered");
        read(&mut stream).await
    };
    let (seen, _server) = tokio::join!(reader, server);
    assert_eq!(seen, (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn credit_goes_back_only_as_the_reader_reads() {
    let window = ByteCount(10_000);
    let config = ClientConfig { window, ..ClientConfig::default() };
    let (client, mut grid) = Grid::connect(config).await;
    let mut server = grid.accept().await;
    let watched = async {
        let (id, request) = server.watched().await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        request
    };
    let (answer, request) = tokio::join!(client.watch(JobId(1), 0), watched);
    let (_, mut stream) = answer.expect("answered");
    assert_eq!(request.credit_bytes, window.0);

    // The scheduler sends until its credit is used up; nobody reads.
    let (mut first, mut used) = (0, 0);
    while used < window.0 {
        used += server.results(request.watch, first, 3, 500).await;
        first += 3;
    }
    assert!(is_silent(&client, &mut server).await, "no credit before anything was read");

    // Reading it all gives it all back, in pieces.
    let mut results = 0;
    while results < first {
        if let JobEvent::Results { block, .. } = stream.next().await.expect("on").expect("good") {
            results += block.results.len() as u64;
        }
    }
    let mut returned = 0;
    while returned + window.0 / 4 <= used {
        match server.next().await {
            FromClient::Credit(credit) => returned += credit.bytes,
            other => panic!("no credit: {other:?}"),
        }
    }
    assert!(returned <= used, "never more than was used");
    assert!(is_silent(&client, &mut server).await, "nothing more to give back");
}

/// Whether the client says nothing by itself: the next it says is a question of ours.
async fn is_silent(client: &wasmgrid_client::Client, server: &mut Server) -> bool {
    let next = async {
        match server.next().await {
            FromClient::Request(frame) => {
                assert_eq!(frame.request, Request::WorkerPage { after: None, all: false });
                server
                    .answer(frame.id, Reply::WorkerPage { workers: Vec::new(), more: 0, hidden: 0 })
                    .await;
                true
            }
            _ => false,
        }
    };
    tokio::select! {
        biased;
        silent = next => silent,
        answer = client.workers() => panic!("answered by nobody: {answer:?}"),
    }
}

#[tokio::test]
async fn unread_results_count_against_the_credit_of_the_next_link() {
    let window = ByteCount(10_000);
    let config = ClientConfig { window, ..ClientConfig::default() };
    let (client, mut grid) = Grid::connect(config).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, request) = server.watched().await;
        let used = server.results(request.watch, 0, 2, 1_000).await;
        server.answer(id, Reply::Job(status(JobState::Active, 2))).await;
        server.0.sender.close("lost");
        let (_, again) = grid.accept().await.watched().await;
        (used, again)
    };
    let (answer, (used, again)) = tokio::join!(client.watch(JobId(1), 0), server);
    let _unread = answer.expect("answered");
    assert_eq!((again.cursor, again.credit_bytes), (2, window.0 - used));
}

#[tokio::test]
async fn a_scheduler_that_ignores_the_credit_loses_the_stream_and_not_the_client() {
    let config = ClientConfig { window: ByteCount(1_000), ..ClientConfig::default() };
    let (client, mut grid) = Grid::connect(config).await;
    let mut server = grid.accept().await;
    let flood = async {
        let (id, request) = server.watched().await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        let payload = Bytes::from(vec![0; 3 << 20]);
        for first in 0.. {
            let one = one_result(request.watch, first, payload.len());
            let envelope = Envelope { message: ToClient::Results(one), payload: payload.clone() };
            server.say(envelope).await;
            // The memory the client holds stays bounded, whatever is sent.
            if first > 30 {
                break;
            }
        }
        // Two things follow, in any order: the watch is ended, and another question is asked.
        let mut unwatched = false;
        let mut asked = None;
        while !unwatched || asked.is_none() {
            match server.next().await {
                FromClient::Unwatch(unwatch) => unwatched = unwatch.watch == request.watch,
                FromClient::Request(frame) => asked = Some(frame.id),
                other => panic!("neither: {other:?}"),
            }
        }
        server
            .answer(
                asked.expect("asked"),
                Reply::WorkerPage { workers: Vec::new(), more: 0, hidden: 0 },
            )
            .await;
        server
    };
    let reader = async {
        let (_, mut stream) = client.watch(JobId(1), 0).await.expect("answered");
        client.workers().await.expect("the client lives");
        let mut held = 0;
        loop {
            match stream.next().await.expect("an error comes first") {
                Ok(_) => held += 3 << 20,
                Err(error) => return (held, error),
            }
        }
    };
    let ((held, error), _server) = tokio::join!(reader, flood);
    assert!(matches!(error, ClientError::Protocol(_)), "{error:?}");
    assert!(held <= 80 << 20, "{held}");
}

fn one_result(watch: u64, first: u64, bytes: usize) -> ResultsFrame {
    use wasmgrid_proto::{LeaseId, Outcome, ResultBlock, ResultMeta, Usage, WorkerId};

    let meta = ResultMeta {
        index: first,
        outcome: Outcome::Ok,
        usage: Usage::default(),
        output_len: bytes as u32,
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    };
    let block = ResultBlock {
        job: JobId(1),
        lease: LeaseId(1),
        worker: WorkerId(1),
        attempt: 1,
        results: vec![meta],
        extensions: Extensions::NONE,
    };
    ResultsFrame { watch, first_cursor: first, blocks: vec![block.into()] }
}

#[tokio::test]
async fn a_dropped_stream_ends_its_watch() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let mut server = grid.accept().await;
    let watched = async {
        let (id, request) = server.watched().await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        request.watch
    };
    let (answer, watch) = tokio::join!(client.watch(JobId(1), 0), watched);
    drop(answer.expect("answered"));
    match server.next().await {
        FromClient::Unwatch(unwatch) => assert_eq!(unwatch.watch, watch),
        other => panic!("still watched: {other:?}"),
    }
}

#[tokio::test]
async fn a_watch_that_begins_after_its_reader_has_gone_is_ended() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let mut server = grid.accept().await;
    let (id, request) = tokio::select! {
        _ = client.watch(JobId(1), 0) => panic!("nobody answered"),
        asked = server.watched() => asked,
    };
    // The first word of the reader's end may come before the watch has begun, and end nothing.
    assert!(matches!(server.next().await, FromClient::Unwatch(_)));
    server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
    let ended = tokio::time::timeout(NEVER, server.next()).await.expect("a message");
    assert!(matches!(ended, FromClient::Unwatch(unwatch) if unwatch.watch == request.watch));
}

#[tokio::test]
async fn a_job_that_is_gone_after_a_lost_link_ends_its_stream_with_the_reason() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = async {
        let mut server = grid.accept().await;
        let (id, _) = server.watched().await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        server.0.sender.close("lost");
        let mut server = grid.accept().await;
        let (id, _) = server.watched().await;
        let error = Reason::NoJob { job: JobId(1) }.into();
        server.say(ToClient::Reply(ReplyFrame { id, reply: Err(error) })).await;
        server
    };
    let reader = async {
        let (_, mut stream) = client.watch(JobId(1), 0).await.expect("answered");
        let last = stream.next().await.expect("an error");
        assert!(stream.next().await.is_none(), "nothing comes after an error");
        last
    };
    let (last, _server) = tokio::join!(reader, server);
    assert!(matches!(last, Err(ClientError::Api(_))), "{last:?}");
}

#[tokio::test]
async fn a_slow_reader_gets_the_latest_status_and_not_every_one() {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let mut server = grid.accept().await;
    let watched = async {
        let (id, request) = server.watched().await;
        for results in 0..1_000 {
            server.update(request.watch, status(JobState::Active, results)).await;
        }
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
    };
    let (answer, ()) = tokio::join!(client.watch(JobId(1), 0), watched);
    let (_, mut stream) = answer.expect("answered");
    match stream.next().await {
        Some(Ok(JobEvent::Update(status))) => assert_eq!(status.results, 999),
        other => panic!("no update: {other:?}"),
    }
}
