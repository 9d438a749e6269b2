//! Peers that say what no honest one would: each is refused or bounded, and the others go on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use wasmgrid_proto::{
    ByteCount, Digest, InputBlock, JobFilter, JobId, Micros, RunningTask, TaskId, WorkerCapacity,
    frame::{Envelope, encode_one},
    wire::{
        ErrorCode, FromClient, FromWorker, Heartbeat, Join, NeedModule, Reply, ReplyFrame, Request,
        RequestFrame, Role, Submit, ToClient, ToWorker,
    },
};

use crate::harness::*;

fn submit_of(change: impl FnOnce(&mut Submit)) -> Request {
    let (spec, inputs) = (spec(), numbers(1));
    let mut submit = Submit { spec, idempotency_key: None, inputs, closed: true, watch: None };
    change(&mut submit);
    Request::Submit(submit)
}

fn fits_a_frame(reply: Reply) -> bool {
    let message = ToClient::Reply(ReplyFrame { id: 1, reply: Ok(reply) });
    encode_one(&Envelope::from(message)).is_ok()
}

fn joins(labels: Vec<(String, String)>) -> FromWorker {
    let (memory, engine) = (ByteCount(1 << 30), "none".into());
    let capacity = WorkerCapacity { slots: u32::MAX, memory, labels, engine };
    FromWorker::Join(Join { started: Micros(1), capacity, held: Vec::new(), proofs: Vec::new() })
}

#[tokio::test]
async fn times_that_do_not_add_up_in_64_bits_harm_nobody() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let request = submit(InputBlock::Packed(vec![0, 0]), None);
    let job = status(client.request(request, &[]).await).job;
    let mut done = 0;
    while done < 2 {
        let (assign, _) = worker.assigned().await;
        done += assign.leases.iter().map(|grant| grant.inputs.count()).sum::<u64>();
        worker.finish_after(1, &assign, u64::MAX).await;
        worker.committed().await;
    }
    assert_eq!(client.job(job).await.counts.ok, 2);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_module_that_is_asked_for_again_and_again_is_not_piled_up() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let module = vec![7; 5 << 20];
    client.put(&module).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let digest = Digest::of(&module);
    for _ in 0..50 {
        worker.send(FromWorker::NeedModule(NeedModule { digest })).await;
    }
    let last = Digest::of(b"nothing");
    worker.send(FromWorker::NeedModule(NeedModule { digest: last })).await;
    let (mut answers, mut absent) = (0, false);
    while !absent || answers == 0 {
        let found = worker
            .next(|envelope| match &envelope.message {
                ToWorker::Module(module) => Some(module.size_bytes),
                _ => None,
            })
            .await;
        answers += u32::from(found > 0);
        absent |= found == 0;
    }
    assert!(answers < 10, "{answers}");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_job_that_no_frame_could_carry_is_refused_at_submit() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let long_args = submit_of(|submit| submit.spec.task.args = vec!["x".repeat(900 << 10).into()]);
    let long_name = submit_of(|submit| submit.spec.name = "x".repeat(900 << 10));
    let long_key = submit_of(|submit| submit.idempotency_key = Some("x".repeat(900 << 10)));
    for request in [long_args, long_name, long_key] {
        let error = client.request(request, &[]).await.expect_err("too long");
        assert_eq!(error.code, ErrorCode::Invalid);
    }
    let bytes = (64 << 20) + 1;
    let large = submit_of(|submit| submit.inputs = InputBlock::Packed(vec![bytes]));
    let error = client.request(large, &vec![0; bytes as usize]).await.expect_err("too large");
    assert_eq!(error.code, ErrorCode::Invalid);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn every_answer_fits_a_frame() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Operator, "ann");
    client.put(MODULE).await.expect("kept");
    for _ in 0..40 {
        let request = submit_of(|submit| submit.spec.task.args = vec!["x".repeat(60 << 10).into()]);
        client.request(request, &[]).await.expect("short enough");
    }
    let filter = JobFilter::default();
    let list = Request::JobPage { before: None, limit: 1_000, filter };
    let page = client.request(list, &[]).await.expect("listed");
    let Reply::JobPage { jobs, next, .. } = &page else { panic!("jobs are listed") };
    assert_eq!(jobs.first().map(|status| status.job), Some(JobId(40)), "the newest come first");
    assert_eq!(*next, jobs.last().map(|status| status.job), "it goes on after the last");
    assert!(fits_a_frame(page));

    let mut worker = worker_link(&server.handle(), Role::Worker, "w");
    worker.send(joins(vec![("zone".into(), "north".into())])).await;
    worker.next(|envelope| matches!(envelope.message, ToWorker::Joined(_)).then_some(())).await;
    let task = TaskId { job: JobId(u64::MAX), index: u64::MAX };
    let progress = Some((u64::MAX, u64::MAX));
    let running = vec![RunningTask { task, elapsed_ms: u64::MAX, progress }; 60_000];
    worker.send(FromWorker::Heartbeat(Heartbeat { queued: 0, running })).await;
    worker.send(FromWorker::NeedModule(NeedModule { digest: Digest::of(b"nothing") })).await;
    worker.next(|envelope| matches!(envelope.message, ToWorker::Module(_)).then_some(())).await;
    let list = Request::WorkerPage { after: None, all: false };
    let workers = client.request(list, &[]).await.expect("listed");
    assert!(matches!(&workers, Reply::WorkerPage { workers, .. } if workers.len() == 1));
    assert!(fits_a_frame(workers));

    let name = "\u{1}".repeat(800 << 10);
    let error = client.request(Request::Drain { name }, &[]).await.expect_err("nobody is");
    assert!(error.to_string().len() < 16 << 10, "{}", error.to_string().len());
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_worker_with_labels_without_end_is_refused() {
    let server = start_fresh();
    let mut worker = worker_link(&server.handle(), Role::Worker, "w");
    worker.send(joins(vec![(String::new(), String::new()); 60_000])).await;
    let answer = worker.next(|envelope| Some(envelope.message.clone())).await;
    assert!(matches!(answer, ToWorker::Refused(_)), "{answer:?}");
    worker.closed().await;
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_join_that_a_later_link_has_overtaken_is_told_so() {
    let server = start_fresh();
    let mut early = worker_link(&server.handle(), Role::Worker, "w");
    let mut late = join(&server.handle(), "w").await;
    early.send(joins(Vec::new())).await;
    early.closed().await;
    late.send(FromWorker::NeedModule(NeedModule { digest: Digest::of(b"nothing") })).await;
    late.next(|envelope| matches!(envelope.message, ToWorker::Module(_)).then_some(())).await;
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn clients_wait_while_the_store_is_slower_than_they_are() {
    const INPUT: u32 = 16 << 20;
    const SUBMITS: u64 = 40;
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    valve.close();
    let payload = Bytes::from(vec![0; INPUT as usize]);
    let sender = client.link.sender.clone();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let sending = tokio::spawn(async move {
        for id in 0..SUBMITS {
            let request = submit(InputBlock::Packed(vec![INPUT]), None);
            let message = FromClient::Request(RequestFrame { id, request });
            let envelope = Envelope { message, payload: payload.clone() };
            sender.send(envelope).await.expect("the link is open");
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    // Far more turns than all of it would take if nothing held it up.
    for _ in 0..100_000 {
        tokio::task::yield_now().await;
    }
    assert!(sent.load(Ordering::Relaxed) < 32, "{sent:?}");
    valve.open();
    for id in 0..SUBMITS {
        client.answer(id).await.expect("taken");
    }
    sending.await.expect("all sent");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_one_tenant_asks_on_many_links_waits_for_its_own_turn() {
    const LINKS: usize = 8;
    const EACH: u64 = 1_000;
    // Of the turn of the driver that has begun, and of the flood's own turn.
    const BEFORE: u64 = 160;
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let mut flood = Vec::new();
    for _ in 0..LINKS {
        let mut link = client_link(&server.handle(), Role::Client, "mallory");
        link.put(MODULE).await.expect("it is there");
        flood.push(link);
    }
    // On one thread the server does nothing until this test waits: all of the flood comes first.
    let ask = |client: &Client, id| {
        let request = submit(numbers(1), None);
        let message = FromClient::Request(RequestFrame { id, request });
        client.link.sender.try_send(message).expect("the link has room");
    };
    for link in &flood {
        (1..=EACH).for_each(|id| ask(link, id));
    }
    ask(&ann, 1);
    // Jobs are numbered in the order in which they are taken.
    let JobId(number) = status(ann.answer(1).await).job;
    assert!(number <= BEFORE, "{number}");
    for link in &mut flood {
        for id in 1..=EACH {
            link.answer(id).await.expect("nothing of the flood is lost either");
        }
    }
    server.shutdown().await.expect("in order");
}
