//! The link inside one process.

use bytes::Bytes;
use wasmgrid_net::{Envelope, Identity, Link, Role, TrySendError, in_process};
use wasmgrid_proto::{
    Digest,
    wire::{Drain, FromWorker, Heartbeat, Module, ToWorker},
};

fn pair() -> (Link<ToWorker, FromWorker>, Link<FromWorker, ToWorker>) {
    let scheduler = Identity::new("home", Role::Scheduler, "one").unwrap();
    in_process(scheduler, Identity::new("home", Role::Worker, "two").unwrap())
}

fn heartbeat(queued: u64) -> FromWorker {
    FromWorker::Heartbeat(Heartbeat { queued, running: Vec::new() })
}

fn module(payload: Bytes) -> Envelope<ToWorker> {
    let size_bytes = payload.len() as u64;
    let message = ToWorker::Module(Module { digest: Digest::of(&payload), size_bytes });
    Envelope { message, payload }
}

#[tokio::test]
async fn each_end_hears_the_other_and_knows_who_it_is() {
    let (mut scheduler, mut worker) = pair();
    assert_eq!(scheduler.peer.identity.role(), Role::Worker);
    assert_eq!(worker.peer.identity.role(), Role::Scheduler);
    worker.sender.send(heartbeat(3)).await.unwrap();
    scheduler.sender.send(ToWorker::Drain(Drain { leave: true })).await.unwrap();
    assert_eq!(scheduler.receiver.recv().await, Ok(Some(heartbeat(3).into())));
    let drain = ToWorker::Drain(Drain { leave: true });
    assert_eq!(worker.receiver.recv().await, Ok(Some(drain.into())));
}

#[tokio::test]
async fn a_slow_receiver_makes_the_sender_wait_whatever_the_messages_are() {
    let (mut scheduler, mut worker) = pair();
    let mut small = 0;
    while worker.sender.try_send(heartbeat(small)).is_ok() {
        small += 1;
    }
    assert_eq!(small, 1_024);
    let mut large = 0;
    let full = loop {
        match scheduler.sender.try_send(module(Bytes::from(vec![0; 1 << 20]))) {
            Ok(()) => large += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(full, TrySendError::Full(_)), "{full:?}");
    assert_eq!(large, 3);
    assert_eq!(scheduler.receiver.recv().await, Ok(Some(heartbeat(0).into())));
    worker.sender.try_send(heartbeat(small)).unwrap();
    assert!(worker.receiver.recv().await.unwrap().is_some());
    scheduler.sender.try_send(module(Bytes::from(vec![0; 1 << 20]))).unwrap();
}

#[tokio::test]
async fn a_message_larger_than_the_room_travels_alone() {
    let (scheduler, mut worker) = pair();
    let large = module(Bytes::from(vec![7; 16 << 20]));
    scheduler.sender.try_send(large.clone()).unwrap();
    assert!(scheduler.sender.try_send(ToWorker::Drain(Drain { leave: false })).is_err());
    assert_eq!(worker.receiver.recv().await, Ok(Some(large)));
    scheduler.sender.try_send(ToWorker::Drain(Drain { leave: false })).unwrap();
}

#[tokio::test]
async fn what_was_sent_before_the_close_arrives_and_nothing_after() {
    let (mut scheduler, worker) = pair();
    worker.sender.send(heartbeat(1)).await.unwrap();
    worker.sender.close("done");
    assert_eq!(worker.sender.send(heartbeat(2)).await.unwrap_err().reason, "done");
    assert_eq!(scheduler.receiver.recv().await, Ok(Some(heartbeat(1).into())));
    assert_eq!(scheduler.receiver.recv().await, Ok(None));
    assert!(scheduler.sender.is_closed());
}

#[tokio::test]
async fn a_waiting_sender_is_told_that_its_peer_is_gone() {
    let (scheduler, worker) = pair();
    while worker.sender.try_send(heartbeat(0)).is_ok() {}
    let waiting = worker.sender.send(heartbeat(1));
    let (sent, ()) = tokio::join!(waiting, async { drop(scheduler) });
    assert!(sent.is_err());
}

#[tokio::test]
async fn what_is_said_in_place_of_a_message_without_its_payload_arrives_and_the_link_lives() {
    let (scheduler, mut worker) = pair();
    let mut message = module(Bytes::from_static(b"four"));
    message.payload = Bytes::new();
    let digest = Digest::of(b"four");
    scheduler.sender.send(message.clone()).await.unwrap();
    scheduler.sender.try_send(message).unwrap();
    let nothing = ToWorker::Module(Module { digest, size_bytes: 0 });
    for _ in 0..2 {
        assert_eq!(worker.receiver.recv().await, Ok(Some(nothing.clone().into())));
    }
    scheduler.sender.send(ToWorker::Drain(Drain { leave: true })).await.unwrap();
    assert!(worker.receiver.recv().await.unwrap().is_some());
}
