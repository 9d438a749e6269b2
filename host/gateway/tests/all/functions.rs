//! Functions over HTTP: deployed by name, called with a body.

use futures_util::{StreamExt, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use wasmgrid_proto::Digest;

use crate::{
    lab::{ADA, Answer, BEN, COMMAND, Lab, MODULE},
    worker,
};

const PATH: &str = "/v1/functions/echo";

async fn deploy(lab: &Lab, path: &str, body: &Value) -> Answer {
    let request = lab.request(Method::PUT, path, ADA);
    lab.ask(request.body(Full::new(body.to_string().into())).expect("valid")).await
}

fn body() -> Value {
    json!({ "spec": { "module": Digest::of(MODULE).to_string() }, "concurrency": 2 })
}

#[tokio::test]
async fn a_function_is_deployed_called_listed_and_deleted() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    lab.put_module(ADA, MODULE).await;
    let deployed = deploy(&lab, PATH, &body()).await;
    assert_eq!((deployed.status, &deployed.json()["concurrency"]), (200, &json!(2)));
    for text in ["one", "two"] {
        let called = lab.post(PATH, ADA, "application/octet-stream", text).await;
        assert_eq!((called.status, called.text()), (200, text));
        assert_eq!(called.headers["wasmgrid-job"], deployed.json()["job"].to_string());
        assert!(called.headers.contains_key("wasmgrid-wall-us"));
    }
    let failed = lab.post(PATH, ADA, "text/plain", "fail").await;
    failed.is(StatusCode::FAILED_DEPENDENCY, "call_failed");
    assert_eq!(failed.json()["outcome"], "rejected");
    let version = format!("{PATH}@{}", Digest::of(MODULE));
    assert_eq!(lab.post(&version, ADA, "text/plain", "three").await.text(), "three");
    let other = format!("{PATH}@{}", Digest::of(b"another"));
    let refused = lab.post(&other, ADA, "text/plain", "x").await;
    refused.is(StatusCode::CONFLICT, "function_version");
    let listed = lab.get("/v1/functions", ADA).await.json();
    assert_eq!(
        (&listed["functions"][0]["name"], &listed["functions"][0]["called"]),
        (&json!("echo"), &json!(4))
    );
    assert_eq!(lab.get("/v1/functions", BEN).await.json()["functions"], json!([]));
    let bens = lab.post(PATH, BEN, "text/plain", "x").await;
    bens.is(StatusCode::NOT_FOUND, "function_not_found");
    let delete = || lab.request(Method::DELETE, PATH, ADA).body(Full::default()).expect("valid");
    assert_eq!(lab.ask(delete()).await.status, 204);
    lab.ask(delete()).await.is(StatusCode::NOT_FOUND, "function_not_found");
}

#[tokio::test]
async fn a_call_waits_as_long_as_its_key_is_good() {
    let lab = Lab::start().await;
    lab.put_module(ADA, MODULE).await;
    assert_eq!(deploy(&lab, PATH, &body()).await.status, 200);
    // There is no worker, so it waits.
    let call = lab.post(PATH, ADA, "text/plain", "one");
    let revoked = async {
        while lab.get("/v1/jobs", ADA).await.json()["jobs"][0]["counts"]["queued"] != 1 {
            tokio::task::yield_now().await;
        }
        lab.grid.revoke(ADA);
    };
    let (called, ()) = tokio::join!(call, revoked);
    called.is(StatusCode::UNAUTHORIZED, "key_not_accepted");
}

#[tokio::test]
async fn the_kind_of_a_functions_module_is_found_out() {
    let lab = Lab::start().await;
    lab.put_module(ADA, COMMAND).await;
    let body = json!({ "spec": { "module": Digest::of(COMMAND).to_string() } });
    let deployed = deploy(&lab, PATH, &body).await;
    assert_eq!(deployed.status, 200, "{}", deployed.text());
    let wrong = json!({ "spec": { "module": Digest::of(COMMAND).to_string(), "kind": "task" } });
    assert_ne!(deploy(&lab, PATH, &wrong).await.status, 200);
}

#[tokio::test]
async fn calls_that_are_made_at_once_are_refused_one_by_one() {
    let lab = Lab::start().await;
    lab.put_module(ADA, MODULE).await;
    let mut few = body();
    few["max_calls"] = json!(5);
    assert_eq!(deploy(&lab, PATH, &few).await.status, 200);
    // There is no worker, so those that are taken wait.
    let calls = (0..8).map(|number| lab.post(PATH, ADA, "text/plain", number.to_string()));
    let mut calls: FuturesUnordered<_> = calls.collect();
    for _ in 0..3 {
        let refused = calls.next().await.expect("another");
        refused.is(StatusCode::SERVICE_UNAVAILABLE, "function_busy");
    }
    let _worker = worker::join(&lab.server.handle(), "box1");
    let mut answers = Vec::new();
    while let Some(called) = calls.next().await {
        assert_eq!(called.status, 200);
        answers.push(called.text().to_owned());
    }
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), 5, "each has an answer of its own");
}

#[tokio::test]
async fn large_calls_that_are_made_at_once_are_sent_by_themselves() {
    const LARGE: usize = 24 << 20;
    let lab = Lab::start().await;
    lab.put_module(ADA, MODULE).await;
    assert_eq!(deploy(&lab, PATH, &body()).await.status, 200);
    let _worker = worker::join(&lab.server.handle(), "box1");
    let call = async |length: usize| {
        let input = vec![b'x'; length];
        let called = lab.post(PATH, ADA, "application/octet-stream", input).await;
        assert_eq!((called.status, called.text().len()), (200, length));
    };
    let calls = [LARGE, 1, LARGE, LARGE, 2].map(call);
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn what_is_no_function_is_a_problem_that_says_why() {
    let lab = Lab::start().await;
    lab.put_module(ADA, MODULE).await;
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    deploy(&lab, "/v1/functions/Bad", &body()).await.is(unprocessable, "function_name_invalid");
    deploy(&lab, PATH, &json!({})).await.is(unprocessable, "spec_invalid");
    let mut with_inputs = body();
    with_inputs["spec"]["inputs"] = json!(["a"]);
    deploy(&lab, PATH, &with_inputs).await.is(unprocessable, "function_invalid");
    deploy(&lab, PATH, &json!({ "concurrency": 0, "spec": {} }))
        .await
        .is(unprocessable, "function_invalid");
    let named = lab.post(&format!("{PATH}@12"), ADA, "text/plain", "x").await;
    named.is(unprocessable, "digest_invalid");
}
