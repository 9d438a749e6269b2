//! What the scheduler takes it can deliver: results of every size to a client, inputs of every size to
//! a worker, each in frames that the other side reads. The wrapping differs on each way, so a message
//! that just fits one way must fit the next one too.

use std::sync::Arc;

use bytes::Bytes;
use wasmgrid_proto::{
    Extensions, InputBlock, JobId, Outcome, ResultBlock, ResultMeta, Usage, WorkerId,
    budget::{RESULT_PAYLOAD_MAX, RESULTS_META_MAX},
    frame::{Envelope, FRAME_MAX, META_MAX, encode_one},
    text::TEXT_MAX,
    wire::{
        Assign, ErrorCode, FromWorker, LIST_MAX, Request, Role, ToClient, ToWorker, WorkerResults,
    },
};

use crate::harness::*;

/// One task's result, as a worker says it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    text: usize,
    records: usize,
    output: usize,
}

fn results(assign: &Assign, sent: Sent) -> Envelope<FromWorker> {
    let meta = |index| ResultMeta {
        index,
        outcome: Outcome::Rejected("é".repeat(sent.text / 2)),
        usage: Usage { fuel: u64::MAX, memory_bytes: u64::MAX, wall_us: 1 },
        output_len: u32::try_from(sent.output).expect("small"),
        record_lens: vec![0; sent.records],
        log_len: 0,
        log_dropped: u64::MAX,
    };
    let blocks: Vec<_> = assign
        .leases
        .iter()
        .map(|grant| ResultBlock {
            job: assign.job,
            lease: grant.lease,
            worker: WorkerId(0),
            attempt: grant.attempt,
            results: (grant.first..grant.first + grant.inputs.count()).map(meta).collect(),
            extensions: Extensions::NONE,
        })
        .collect();
    let count: usize = blocks.iter().map(|block| block.results.len()).sum();
    let blocks = blocks.into_iter().map(Arc::new).collect();
    let message = FromWorker::Results(WorkerResults { batch: 1, blocks });
    Envelope { message, payload: vec![b'o'; count * sent.output].into() }
}

/// Runs a job of `tasks` tasks each of which ends so, where a frame to the scheduler can carry all of
/// them; gives what a client reads of each.
async fn delivered(tasks: u64, sent: Sent) -> Option<Vec<(ResultMeta, Bytes)>> {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    // A watch of the highest number there is, so that its frames wrap results in the most bytes.
    let request = submit(numbers(tasks), Some(watch(u64::MAX, PLENTY)));
    status(client.request(request, &[]).await);
    let mut left = tasks;
    while left > 0 {
        let (assign, _) = worker.assigned().await;
        let count: u64 = assign.leases.iter().map(|grant| grant.inputs.count()).sum();
        let envelope = results(&assign, sent);
        // No worker can send what its frames do not carry.
        encode_one(&envelope).ok()?;
        worker.send(envelope).await;
        left -= count;
    }
    let mut read = Vec::new();
    while read.len() < usize::try_from(tasks).expect("few") {
        let is_results = |envelope: &Envelope<ToClient>| {
            matches!(envelope.message, ToClient::Results(_)).then(|| envelope.clone())
        };
        let envelope = client.next(is_results).await;
        encode_one(&envelope).unwrap_or_else(|error| panic!("{sent:?} x {tasks}: {error}"));
        let ToClient::Results(frame) = envelope.message else { unreachable!() };
        let mut payload = envelope.payload;
        for block in &frame.blocks {
            let bytes = payload.split_to(usize::try_from(block.payload_len()).expect("small"));
            let entries = block.entries(&bytes).expect("its payload");
            read.extend(entries.map(|(meta, bytes)| (meta.clone(), bytes)));
        }
    }
    server.shutdown().await.expect("in order");
    Some(read)
}

fn check(sent: Sent, read: &[(ResultMeta, Bytes)]) {
    for (meta, bytes) in read {
        let kept = sent.output <= RESULT_PAYLOAD_MAX;
        assert_eq!(meta.outcome.name(), if kept { "rejected" } else { "limit" }, "{sent:?}");
        assert_eq!(bytes.len(), if kept { sent.output } else { 0 }, "{sent:?}");
        let text = meta.outcome.text().unwrap_or_default();
        assert!(text.len() <= TEXT_MAX, "{sent:?}: {}", text.len());
        if kept && sent.text / 2 * 2 > TEXT_MAX {
            assert!(text.ends_with("(cut)"), "{sent:?}");
        } else if kept {
            assert_eq!(text.len(), sent.text / 2 * 2, "{sent:?}");
        }
    }
}

#[tokio::test]
async fn a_result_of_every_size_that_a_worker_can_send_is_delivered_to_a_client() {
    let sent = |text, records, output| Sent { text, records, output };
    let mut sizes = Vec::new();
    // Around what a text may have, and around what a worker's frame can carry, byte by byte.
    sizes.extend((TEXT_MAX - 4..TEXT_MAX + 8).map(|text| sent(text, 0, 0)));
    sizes.extend((META_MAX - 140..META_MAX).step_by(2).map(|text| sent(text, 0, 0)));
    sizes.extend([
        sent(0, LIST_MAX, 0),
        sent(TEXT_MAX, LIST_MAX, 9),
        sent(META_MAX / 2, LIST_MAX, 0),
    ]);
    let mut carried = 0;
    for size in sizes {
        let Some(read) = delivered(1, size).await else { continue };
        check(size, &read);
        carried += 1;
    }
    assert!(carried > 40, "{carried}");
}

#[tokio::test]
async fn a_result_of_more_bytes_than_a_client_can_be_sent_ends_as_a_limit() {
    let most = FRAME_MAX - 120;
    for output in [RESULT_PAYLOAD_MAX, RESULT_PAYLOAD_MAX + 1, most] {
        let size = Sent { text: 0, records: 0, output };
        let read = delivered(1, size).await.expect("a frame to the scheduler carries it");
        check(size, &read);
    }
}

#[tokio::test]
async fn results_that_fill_a_workers_frame_together_are_delivered_in_as_many_as_they_take() {
    for tasks in [2_u64, 3, 7, 64, 500] {
        for spare in [40, 60, 64, 70, 100] {
            let each = META_MAX / usize::try_from(tasks).expect("few");
            let size = Sent { text: each.saturating_sub(spare), records: 0, output: 3 };
            let Some(read) = delivered(tasks, size).await else { continue };
            assert_eq!(read.len() as u64, tasks);
            check(size, &read);
        }
    }
    // Two of them have more bytes than a frame, though a frame to the scheduler had one each.
    let size = Sent { text: RESULTS_META_MAX / 2, records: 9, output: 30 << 20 };
    check(size, &delivered(2, size).await.expect("carried"));
}

#[tokio::test]
async fn inputs_of_every_size_that_are_taken_are_delivered_to_a_worker() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let most = 64_u32 << 20;
    let all_empty = vec![0; LIST_MAX];
    for (batch, lengths) in (1..).zip([vec![most], vec![most, 0, 1], all_empty, vec![70_000; 40]]) {
        let count = lengths.len() as u64;
        let bytes: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        let payload = vec![7; usize::try_from(bytes).expect("fits")];
        let mut request = submit(InputBlock::Packed(lengths), None);
        if let Request::Submit(submit) = &mut request {
            // As long as what a job says of its tasks may be.
            submit.spec.task.args = vec!["x".repeat(16_000).into(); 4];
        }
        status(client.request(request, &payload).await);
        let (mut had, mut bytes_had) = (0, 0);
        while had < count {
            let (assign, payload) = worker.assigned().await;
            had += assign.leases.iter().map(|grant| grant.inputs.count()).sum::<u64>();
            bytes_had += payload.len() as u64;
            worker.finish(batch * 100_000 + had, &assign, b"").await;
            let envelope = Envelope { message: ToWorker::Assign(assign), payload };
            encode_one(&envelope).expect("a frame carries it");
        }
        assert_eq!((had, bytes_had), (count, bytes));
    }
    let over = submit(InputBlock::Packed(vec![most + 1]), None);
    let error = client.request(over, &vec![0; most as usize + 1]).await.expect_err("too large");
    assert_eq!(error.code, ErrorCode::Invalid);
    assert_eq!(client.job(JobId(1)).await.counts.ok, 1);
    server.shutdown().await.expect("in order");
}
