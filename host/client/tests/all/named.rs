//! Jobs whose modules and blobs the scheduler has, or lacks.

use bytes::Bytes;
use wasmgrid_client::{Client, ClientConfig, ClientError, Named, SubmitRequest};
use wasmgrid_proto::{
    Blob, Digest, JobState, Reason,
    wire::{Reply, ReplyFrame, Request, Submit, ToClient},
};

use crate::grid::{Grid, Server, status, submit};

const MODULE: &[u8] = b"module";
const VALUE: &[u8] = b"value";

fn named() -> Named {
    Named { module: Bytes::from_static(MODULE), blobs: vec![Bytes::from_static(VALUE)] }
}

fn with_blob() -> SubmitRequest {
    let mut submit = submit(false);
    let digest = Digest::of(VALUE);
    submit.spec.task.blobs = vec![Blob { name: "with".into(), digest }];
    submit
}

fn lacks_module() -> Reason {
    Reason::NoModule { digest: Digest::of(MODULE) }
}

fn lacks_blob() -> Reason {
    let (tenant, name) = ("one".into(), "with".into());
    Reason::NoBlob { tenant, name, digest: Digest::of(VALUE) }
}

async fn refuse(server: &Server, id: u64, why: Reason) {
    server.say(ToClient::Reply(ReplyFrame { id, reply: Err(why.into()) })).await;
}

/// The next request, which is a submit.
async fn submitted(server: &mut Server) -> (u64, Submit) {
    match server.request().await {
        (id, Request::Submit(submit)) => (id, submit),
        other => panic!("no submit: {other:?}"),
    }
}

async fn connect() -> (Client, Server, Grid) {
    let (client, mut grid) = Grid::connect(ClientConfig::default()).await;
    let server = grid.accept().await;
    (client, server, grid)
}

#[tokio::test]
async fn a_job_whose_module_is_there_takes_one_round_trip() {
    let (client, mut server, _grid) = connect().await;
    let scheduler = async {
        let (id, _) = submitted(&mut server).await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
    };
    let named = named();
    let (answer, ()) = tokio::join!(client.submit_with(with_blob(), &named), scheduler);
    answer.expect("taken");
}

#[tokio::test]
async fn what_is_missing_is_sent_once_and_the_submit_repeated_under_its_key() {
    let (client, mut server, _grid) = connect().await;
    let scheduler = async {
        let (id, first) = submitted(&mut server).await;
        refuse(&server, id, lacks_blob()).await;
        let (id, put) = server.request().await;
        let digest = Digest::of(VALUE);
        assert_eq!(put, Request::PutBlob { digest, size_bytes: 5 });
        server.answer(id, Reply::Done).await;
        let (id, second) = submitted(&mut server).await;
        refuse(&server, id, lacks_module()).await;
        let (id, put) = server.request().await;
        assert_eq!(put, Request::PutModule { digest: Digest::of(MODULE), size_bytes: 6 });
        server.answer(id, Reply::Done).await;
        let (id, third) = submitted(&mut server).await;
        server.answer(id, Reply::Job(status(JobState::Active, 0))).await;
        assert!(first.idempotency_key.is_some());
        assert_eq!([&second, &third], [&first; 2]);
    };
    let named = named();
    let (answer, ()) = tokio::join!(client.submit_with(with_blob(), &named), scheduler);
    answer.expect("taken");
}

#[tokio::test]
async fn what_is_still_missing_after_it_was_sent_is_an_error() {
    let (client, mut server, _grid) = connect().await;
    let scheduler = async {
        let (id, _) = submitted(&mut server).await;
        refuse(&server, id, lacks_module()).await;
        let (id, put) = server.request().await;
        assert!(matches!(put, Request::PutModule { .. }), "{put:?}");
        server.answer(id, Reply::Done).await;
        let (id, _) = submitted(&mut server).await;
        refuse(&server, id, lacks_module()).await;
    };
    let named = named();
    let (answer, ()) = tokio::join!(client.submit_with(with_blob(), &named), scheduler);
    let Err(ClientError::Api(error)) = answer else { panic!("{:?}", answer.map(|_| ())) };
    assert_eq!(*error.reason, lacks_module());
}

#[tokio::test]
async fn a_module_that_the_scheduler_refuses_is_not_sent_again() {
    let (client, mut server, _grid) = connect().await;
    let refusal = || Reason::TooManyModules { tenant: "one".into(), allowed: 1 };
    let scheduler = async {
        let (id, _) = submitted(&mut server).await;
        refuse(&server, id, lacks_module()).await;
        let (id, _) = server.request().await;
        refuse(&server, id, refusal()).await;
    };
    let named = named();
    let (answer, ()) = tokio::join!(client.submit_with(with_blob(), &named), scheduler);
    let Err(ClientError::Api(error)) = answer else { panic!("{:?}", answer.map(|_| ())) };
    assert_eq!(*error.reason, refusal());
}
