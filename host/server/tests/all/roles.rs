//! Who may do what.

use wasmgrid_proto::{
    Millis,
    wire::{ErrorCode, Reply, Request, Role, ToWorker, TokenRequest},
};

use crate::harness::*;

#[tokio::test]
async fn only_an_operator_drains_workers_and_makes_tokens() {
    let server = start_fresh();
    let mut worker = join(&server.handle(), "w").await;
    let token = TokenRequest { role: Role::Worker, ttl: Millis(1_000), uses: 1 };
    let requests = [Request::Drain { name: "w".into() }, Request::CreateToken(token)];
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    for request in requests.clone() {
        let error = client.request(request, &[]).await.expect_err("not allowed");
        assert_eq!(error.code, ErrorCode::Forbidden);
        assert!(error.message.contains("operator"), "{error}");
    }
    let mut operator = client_link(&server.handle(), Role::Operator, "olga");
    let [drain, token] = requests;
    assert_eq!(operator.request(drain, &[]).await, Ok(Reply::Done));
    worker.next(|envelope| matches!(envelope.message, ToWorker::Drain(_)).then_some(())).await;
    let error = operator.request(token, &[]).await.expect_err("this grid has no authority");
    assert_eq!(error.code, ErrorCode::Invalid);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_link_of_the_wrong_role_is_closed() {
    let server = start_fresh();
    client_link(&server.handle(), Role::Worker, "w").closed().await;
    worker_link(&server.handle(), Role::Client, "ann").closed().await;
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let workers = client.request(Request::Workers, &[]).await;
    assert_eq!(workers, Ok(Reply::Workers(Vec::new())));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_worker_that_joins_again_replaces_its_older_link() {
    let server = start_fresh();
    let mut old = join(&server.handle(), "w").await;
    let _new = join(&server.handle(), "w").await;
    old.closed().await;
    server.shutdown().await.expect("in order");
}
