//! Peers of other releases: what they ask that is not known here, and what they add to what is.

use std::sync::Arc;

use wasmgrid_net::{Endpoint, Hello, Release, enroll};
use wasmgrid_proto::{
    Extension, Extensions, JobId, ResultBlock,
    wire::{
        ErrorCode, FromWorker, Minors, PROTOCOL_MINOR, Reply, Request, Role, Submit, ToClient,
        WorkerResults,
    },
};
use wasmgrid_store::memory;

use crate::{enrollment::Grid, harness::*};

/// A client's link over QUIC, of a release that speaks these minors.
async fn client_speaking(grid: &Grid, least: u16, most: u16) -> (Client, Hello) {
    let token = grid.token_for(Role::Client, 1, Vec::new()).await;
    let credentials = enroll(&token, "other").await.expect("joins");
    let hello = Hello { minors: Minors { least, most }, ..Hello::new("9.8.7") };
    let endpoint = Endpoint::saying(hello.clone(), &credentials);
    let link = endpoint.connect_client(&token.addresses).await.expect("linked");
    (over(link), hello)
}

fn extended(critical: bool) -> Extensions {
    let list = vec![Extension { id: 77, critical, bytes: b"later".to_vec() }];
    Extensions::new(list).expect("one is not too many")
}

fn submit_with(task: Extensions, job: Extensions) -> Request {
    let mut spec = spec();
    (spec.task.extensions, spec.extensions) = (task, job);
    let inputs = numbers(2);
    Request::Submit(Submit { spec, idempotency_key: None, inputs, closed: true, watch: None })
}

#[tokio::test]
async fn an_unknown_request_is_answered_with_both_versions_and_the_link_lives() {
    let grid = Grid::start(memory());
    let (mut newer, hello) = client_speaking(&grid, 0, PROTOCOL_MINOR + 1).await;
    let unknown = Request::Unknown { number: Request::KNOWN };
    for _ in 0..3 {
        let error = newer.request(unknown.clone(), &[]).await.expect_err("not known");
        assert_eq!(error.code, ErrorCode::Unsupported);
        for release in [Release::ours(), Release::of(&hello)] {
            assert!(error.to_string().contains(&release.to_string()), "{error}");
        }
    }
    newer.put(MODULE).await.expect("kept, on the same link");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_client_of_the_minor_before_is_served() {
    let grid = Grid::start(memory());
    let before = PROTOCOL_MINOR - 1;
    let (mut older, _) = client_speaking(&grid, before, before).await;
    older.put(MODULE).await.expect("kept");
    let mut worker = join(&grid.server.handle(), "w").await;
    let request = submit(numbers(3), Some(watch(1, PLENTY)));
    let job = status(older.request(request, &[]).await).job;
    worker.work(3, b"out").await;
    let (results, _) = older.watched(1).await;
    assert_eq!((job, results.len()), (JobId(1), 3));
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn whether_work_is_taken_can_be_asked() {
    let (server, valve) = start_held();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let refusal = |answer| match answer {
        Ok(Reply::Intake { refusal }) => {
            refusal.map(|error: wasmgrid_proto::wire::ApiError| error.code)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(client.request(Request::Intake, &[]).await), None);
    client.put(MODULE).await.expect("kept");
    valve.fill();
    client.ask(7, submit(numbers(1), None), &[]).await;
    valve.refused().await;
    let code = loop {
        // The driver learns it a little later than the store.
        if let Some(code) = refusal(client.request(Request::Intake, &[]).await) {
            break code;
        }
    };
    assert_eq!(code, ErrorCode::Unavailable);
    valve.make_room();
    client.answer(7).await.expect("taken after all");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_spec_with_an_unknown_critical_extension_is_refused_by_its_number() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    for (task, job) in [(true, false), (false, true)] {
        let request = submit_with(extended(task), extended(job));
        let error = client.request(request, &[]).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Unsupported);
        assert!(error.to_string().contains("the extension 77"), "{error}");
    }
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn an_unknown_extension_that_is_not_critical_is_kept_and_handed_on() {
    let store = memory();
    let server = start(store.reopen());
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let request = submit_with(extended(false), extended(false));
    let job = status(client.request(request, &[]).await).job;
    server.shutdown().await.expect("in order");

    let server = start(store);
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let spec = client.job(job).await.spec;
    assert_eq!((spec.task.extensions, spec.extensions), (extended(false), extended(false)));
    let mut worker = join(&server.handle(), "w").await;
    let (assign, _) = worker.assigned().await;
    assert_eq!(assign.spec.extensions, extended(false));
    let mut results = results_of(&assign);
    extend(&mut results, false);
    worker.send(FromWorker::Results(results)).await;
    worker.committed().await;
    let request = Request::Watch { job, watch: watch(1, PLENTY) };
    client.request(request, &[]).await.expect("watched");
    let frame = client
        .next(|envelope| match &envelope.message {
            ToClient::Results(frame) => Some(frame.clone()),
            _ => None,
        })
        .await;
    let is_kept = |block: &Arc<ResultBlock>| {
        extended(false).iter().all(|one| block.extensions.iter().any(|other| other == one))
    };
    assert!(frame.blocks.iter().all(is_kept), "{frame:?}");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn results_with_an_unknown_critical_extension_end_the_link_that_brought_them() {
    let server = start_fresh();
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    client.request(submit(numbers(2), None), &[]).await.expect("taken");
    let mut worker = join(&server.handle(), "w").await;
    let (assign, _) = worker.assigned().await;
    let mut results = results_of(&assign);
    extend(&mut results, true);
    worker.send(FromWorker::Results(results)).await;
    let ended = worker.ended().await.expect("a misunderstanding").to_string();
    assert!(ended.contains("a block of results has the extension 77"), "{ended}");
    server.shutdown().await.expect("in order");
}

/// Results of all tasks of an assignment, without output.
fn results_of(assign: &wasmgrid_proto::wire::Assign) -> WorkerResults {
    let blocks = blocks_of(assign, b"", Default::default());
    WorkerResults { batch: 1, blocks: blocks.into_iter().map(Arc::new).collect() }
}

fn extend(results: &mut WorkerResults, critical: bool) {
    let blocks = results.blocks.iter_mut().map(Arc::make_mut);
    blocks.for_each(|block| block.extensions = extended(critical));
}
