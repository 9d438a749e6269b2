//! A job from its submit to its last result.

use wasmgrid_proto::{
    Digest, Grant, InputBlock, JobState, ModuleKind, Reason,
    wire::{ErrorCode, FromWorker, NeedModule, Reply, Request, Role, Submit, ToWorker},
};

use crate::harness::*;

#[tokio::test]
async fn a_submitted_job_is_assigned_with_its_inputs_and_its_results_are_watched() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let inputs = InputBlock::Packed(vec![1, 2, 3]);
    let reply = client.request(submit(inputs, Some(watch(5, PLENTY))), b"abbccc").await;
    let job = status(reply);
    assert_eq!(job.spec.task.tenant, "ann", "the owner is who submits");

    let mut worker = join(&server.handle(), "w").await;
    let mut inputs = Vec::new();
    while inputs.len() < 6 {
        let (assign, payload) = worker.assigned().await;
        assert_eq!(assign.job, job.job);
        inputs.extend_from_slice(&payload);
        worker.finish(inputs.len() as u64, &assign, b"out").await;
    }
    assert_eq!(inputs, b"abbccc");

    let (results, end) = client.watched(5).await;
    assert_eq!(end.state, JobState::Ok);
    assert_eq!(end.counts.ok, 3);
    let cursors: Vec<_> = results.iter().map(|(cursor, ..)| *cursor).collect();
    assert_eq!(cursors, [0, 1, 2]);
    assert!(results.iter().all(|(.., output)| output == "out"));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_submit_is_refused_for_what_is_wrong_with_its_module() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let error = client.request(submit(numbers(1), None), &[]).await.expect_err("unknown");
    assert_eq!(error, Reason::NoModule { digest: Digest::of(MODULE) }.into());

    let error = client.put(BAD).await.expect_err("no task");
    assert_eq!(error, Reason::NotAdmitted { refusal: no_task().into() }.into());

    client.put(MODULE).await.expect("kept");
    for change in [0, 1] {
        let mut spec = spec();
        match change {
            0 => spec.task.kind = ModuleKind::Command,
            _ => spec.task.grants.push(Grant::Clock),
        }
        let (inputs, closed) = (numbers(1), true);
        let request = Submit { spec, idempotency_key: None, inputs, closed, watch: None };
        let error = client.request(Request::Submit(request), &[]).await.expect_err("unfit");
        assert_eq!(error.code, ErrorCode::Refused);
    }
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_module_whose_bytes_are_not_its_digests_is_refused() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let request =
        Request::PutModule { digest: Digest::of(b"another"), size_bytes: MODULE.len() as u64 };
    let error = client.request(request, MODULE).await.expect_err("other bytes");
    assert_eq!(error.code, ErrorCode::Invalid);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_worker_gets_a_module_it_asks_for_and_an_empty_one_where_there_is_none() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let digest = Digest::of(MODULE);
    let present = client.request(Request::HaveModule { digest }, &[]).await;
    assert_eq!(present, Ok(Reply::Module { present: true }));
    let mut worker = join(&server.handle(), "w").await;
    for (digest, bytes) in [(digest, MODULE), (Digest::of(b"nothing"), &b""[..])] {
        worker.send(FromWorker::NeedModule(NeedModule { digest })).await;
        let module = worker.next(|envelope| match &envelope.message {
            ToWorker::Module(module) if module.digest == digest => Some(envelope.payload.clone()),
            _ => None,
        });
        assert_eq!(module.await, bytes);
    }
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn inputs_appended_later_reach_workers_and_repeats_are_taken_once() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let (spec, inputs) = (spec(), InputBlock::Packed(Vec::new()));
    let open = Submit { spec, idempotency_key: None, inputs, closed: false, watch: None };
    let job = status(client.request(Request::Submit(open), &[]).await).job;
    for _ in 0..2 {
        let inputs = InputBlock::Packed(vec![3, 3]);
        let append = Request::AppendAt { job, first: 0, inputs };
        assert_eq!(client.request(append, b"onetwo").await, Ok(Reply::Done));
    }
    assert_eq!(client.request(Request::Close { job }, &[]).await, Ok(Reply::Done));
    assert_eq!(client.job(job).await.counts.total, 2);
    let mut worker = join(&server.handle(), "w").await;
    worker.work(2, b"").await;
    let watch = Request::Watch { job, watch: watch(1, PLENTY) };
    client.request(watch, &[]).await.expect("watched");
    let (results, end) = client.watched(1).await;
    assert_eq!((results.len(), end.state), (2, JobState::Ok));
    server.shutdown().await.expect("in order");
}
