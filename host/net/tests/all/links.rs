//! Links over QUIC: what is sent arrives, and nothing that is slow stops the rest.

use bytes::Bytes;
use wasmgrid_net::{Envelope, LinkError, ListenerConfig, NetError, Role, TrySendError};
use wasmgrid_proto::{
    Digest, Extensions, JobId, LeaseId, Outcome, ResultBlock, ResultMeta, TaskRange, Usage,
    WorkerId,
    wire::{
        Drain, FromClient, FromWorker, Heartbeat, Module, Reply, ReplyFrame, Request, RequestFrame,
        ResultsFrame, Returned, ToClient, ToWorker, WorkerResults,
    },
};

use crate::{grid::Grid, raw};

fn heartbeat(queued: u64) -> FromWorker {
    FromWorker::Heartbeat(Heartbeat { queued, running: Vec::new() })
}

fn module(len: usize) -> Envelope<ToWorker> {
    let payload: Bytes = (0..len).map(|i| (i % 251) as u8).collect();
    let message = ToWorker::Module(Module { digest: Digest::of(&payload), size_bytes: len as u64 });
    Envelope { message, payload }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_travel_both_ways_in_order() {
    let grid = Grid::new();
    let (mut scheduler, mut worker) = grid.worker().await;
    let sender = worker.sender.clone();
    let sending = async {
        for number in 0..5_000 {
            sender.send(heartbeat(number)).await.unwrap();
        }
    };
    let receiving = async {
        for number in 0..5_000 {
            assert_eq!(scheduler.receiver.recv().await, Ok(Some(heartbeat(number).into())));
        }
    };
    tokio::join!(sending, receiving);
    scheduler.sender.send(ToWorker::Drain(Drain { leave: true })).await.unwrap();
    let drain = ToWorker::Drain(Drain { leave: true });
    assert_eq!(worker.receiver.recv().await, Ok(Some(drain.into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_messages_overtake_a_large_one_and_all_arrive() {
    let grid = Grid::new();
    let (mut scheduler, client) = grid.client().await;
    let payload = Bytes::from(vec![9; 32 << 20]);
    let put = Request::PutModule { digest: Digest::of(&payload), size_bytes: 32 << 20 };
    let message = FromClient::Request(RequestFrame { id: 0, request: put });
    let large = Envelope { message, payload };
    client.sender.send(large.clone()).await.unwrap();
    for id in 1..=100 {
        let request = RequestFrame { id, request: Request::Contests };
        client.sender.send(FromClient::Request(request)).await.unwrap();
    }
    let mut ids = Vec::new();
    for _ in 0..=100 {
        let envelope = scheduler.receiver.recv().await.unwrap().unwrap();
        let FromClient::Request(frame) = &envelope.message else { panic!("{envelope:?}") };
        ids.push(frame.id);
        if frame.id == 0 {
            assert!(envelope == large);
        }
    }
    assert_ne!(ids[0], 0, "the large one held the small ones up");
    ids.retain(|id| *id != 0);
    assert_eq!(ids, (1..=100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_a_long_list_travels_apart() {
    let grid = Grid::new();
    let (mut scheduler, worker) = grid.worker().await;
    let job = JobId(1);
    let tasks = (0..60_000).map(|i| TaskRange { first: u64::MAX - i, count: 1 }).collect();
    let reason = "a test".to_owned();
    let message = FromWorker::Returned(Returned { job, lease: LeaseId(1), tasks, reason });
    worker.sender.send(message.clone()).await.unwrap();
    assert_eq!(scheduler.receiver.recv().await, Ok(Some(message.into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_takes_no_large_messages_still_gets_small_ones() {
    let grid = Grid::new();
    let folder = grid.folder.path().join("raw");
    grid.credentials(Role::Worker, "raw").save(&folder).unwrap();
    let address = grid.listener.local_addr();
    let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", Default::default());
    let connection = connecting.await.unwrap();
    let ((_send, mut receive), scheduler) =
        tokio::join!(raw::open(&connection), grid.accept_worker());
    // Fill everything there is: this side's room, and the peer's windows.
    let large = module(8 << 20);
    let mut sent = 0;
    while scheduler.sender.try_send(large.clone()).is_ok() {
        sent += 1;
    }
    assert!(sent >= 8, "{sent}");
    assert!(matches!(scheduler.sender.try_send(large), Err(TrySendError::Full(_))));
    scheduler.sender.send(ToWorker::Drain(Drain { leave: true })).await.unwrap();
    let mut length = [0; 4];
    receive.read_exact(&mut length).await.unwrap();
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    receive.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[..2], 0x0207_u16.to_le_bytes(), "not a drain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_sends_what_is_queued_first() {
    let grid = Grid::new();
    let (scheduler, mut worker) = grid.worker().await;
    for len in [0, 1 << 20, 10, 3 << 20, 70_000] {
        scheduler.sender.send(module(len)).await.unwrap();
    }
    scheduler.sender.close("done");
    drop(scheduler);
    let mut lens = Vec::new();
    while let Some(envelope) = worker.receiver.recv().await.unwrap() {
        lens.push(envelope.payload.len());
    }
    lens.sort_unstable();
    assert_eq!(lens, [0, 10, 70_000, 1 << 20, 3 << 20]);
    assert!(worker.sender.send(heartbeat(1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_closes_its_endpoint_has_said_everything() {
    let grid = Grid::new();
    let (endpoint, addresses) = (grid.endpoint(Role::Worker), grid.addresses());
    let (mut scheduler, worker) =
        tokio::join!(grid.accept_worker(), endpoint.connect_worker(&addresses));
    let worker = worker.unwrap();
    worker.sender.send(heartbeat(7)).await.unwrap();
    drop(worker);
    let (received, ()) = tokio::join!(scheduler.receiver.recv(), endpoint.close());
    assert_eq!(received, Ok(Some(heartbeat(7).into())));
    assert_eq!(scheduler.receiver.recv().await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_closes_ends_its_links() {
    let grid = Grid::new();
    let (scheduler, mut worker) = grid.worker().await;
    drop(scheduler);
    grid.listener.close().await;
    assert_eq!(worker.receiver.recv().await, Ok(None));
    assert!(grid.listener.accept().await.is_none());
    let refused = grid.endpoint(Role::Worker).connect_worker(&grid.addresses()).await;
    assert!(matches!(refused, Err(NetError::Busy { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_over_the_cap_ends_its_link_and_no_other() {
    let grid = Grid::new();
    let (other, mut other_worker) = grid.worker().await;
    let folder = grid.folder.path().join("raw");
    grid.credentials(Role::Worker, "raw").save(&folder).unwrap();
    let address = grid.listener.local_addr();
    let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", Default::default());
    let connection = connecting.await.unwrap();
    let ((mut send, _receive), mut scheduler) =
        tokio::join!(raw::open(&connection), grid.accept_worker());
    send.write_all(&300_000_u32.to_le_bytes()).await.unwrap();
    let ended = scheduler.receiver.recv().await;
    assert!(matches!(ended, Err(LinkError::Malformed { .. })), "{ended:?}");
    let told = connection.closed().await.to_string();
    assert!(told.contains("frame of 300000 bytes, 262144 allowed"), "{told}");
    other.sender.send(ToWorker::Drain(Drain { leave: true })).await.unwrap();
    assert!(other_worker.receiver.recv().await.unwrap().is_some());
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_has_so_many_links_and_no_more_also_with_other_certificates() {
    let grid = Grid::with(ListenerConfig { links_per_identity: 1, ..Default::default() });
    let (endpoint, addresses) = (grid.endpoint(Role::Worker), grid.addresses());
    let (scheduler, worker) =
        tokio::join!(grid.accept_worker(), endpoint.connect_worker(&addresses));
    let worker = worker.unwrap();
    // The second has another certificate of the same member.
    for endpoint in [&endpoint, &grid.endpoint(Role::Worker)] {
        let second = endpoint.connect_worker(&addresses).await;
        assert!(matches!(second, Err(NetError::Busy { .. })), "{second:?}");
    }
    drop((scheduler, worker));
    endpoint.close().await;
    grid.still_accepts().await;
}

/// Results of `count` tasks with a text of `text` bytes each, and `output` bytes of all.
fn results(count: usize, text: usize, output: usize) -> Envelope<FromWorker> {
    let meta = |at: usize| ResultMeta {
        index: at as u64,
        outcome: Outcome::Rejected("x".repeat(text)),
        usage: Usage::default(),
        output_len: if at == 0 { output as u32 } else { 0 },
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    };
    let (job, lease, worker) = (JobId(1), LeaseId(1), WorkerId(1));
    let results = (0..count).map(meta).collect();
    let extensions = Extensions::NONE;
    let block = ResultBlock { job, lease, worker, attempt: 1, results, extensions };
    let message = FromWorker::Results(WorkerResults { batch: 7, blocks: vec![block.into()] });
    Envelope { message, payload: vec![0; output].into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_whose_results_no_frame_can_carry_end_in_a_typed_outcome_and_the_link_lives() {
    let grid = Grid::new();
    let (mut scheduler, worker) = grid.worker().await;
    // On the control stream, and on one of its own.
    for output in [0, 200 << 10] {
        worker.sender.send(results(1_000, 2_000, output)).await.unwrap();
        let envelope = scheduler.receiver.recv().await.unwrap().unwrap();
        let FromWorker::Results(results) = envelope.message else { panic!("{envelope:?}") };
        let metas = &results.blocks[0].results;
        assert_eq!((results.batch, metas.len(), envelope.payload.len()), (7, 1_000, 0));
        for meta in metas {
            let why = meta.outcome.to_string();
            assert!(why.contains("cannot be sent: meta of"), "{why}");
        }
    }
    worker.sender.send(heartbeat(1)).await.unwrap();
    assert_eq!(scheduler.receiver.recv().await, Ok(Some(heartbeat(1).into())));
    worker.sender.close("done");
    assert_eq!(scheduler.receiver.recv().await, Ok(None), "it ends in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_of_an_answer_and_of_results_that_no_frame_can_carry() {
    let grid = Grid::new();
    let (scheduler, mut client) = grid.client().await;
    let reply = Ok(Reply::Token("x".repeat(2 << 20)));
    scheduler.sender.send(ToClient::Reply(ReplyFrame { id: 5, reply })).await.unwrap();
    let FromWorker::Results(WorkerResults { blocks, .. }) = results(1_000, 2_000, 0).message else {
        unreachable!()
    };
    let frame = ResultsFrame { watch: 3, first_cursor: 40, blocks };
    scheduler.sender.send(ToClient::Results(frame)).await.unwrap();
    let told = client.receiver.recv().await.unwrap().unwrap().message;
    let ToClient::Reply(ReplyFrame { id: 5, reply: Err(error) }) = &told else {
        panic!("{told:?}")
    };
    assert!(error.to_string().contains("cannot be sent"), "{error}");
    let told = client.receiver.recv().await.unwrap().unwrap().message;
    let ToClient::WatchEnded(ended) = &told else { panic!("{told:?}") };
    assert_eq!((ended.watch, ended.cursor), (3, 40));
}
