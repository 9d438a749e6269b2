//! Who may ask, and for how long.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wasmgrid_proto::Digest;

use crate::lab::{ADA, BEN, COMMAND, Lab, MODULE, NEVER, OPERATOR};

#[tokio::test]
async fn nobody_is_answered_without_a_key_that_is_good() {
    let lab = Lab::start().await;
    for key in ["", "nonsense", "wgk1_00000000000000ad_bens"] {
        let answer = lab.get("/v1/jobs", key).await;
        answer.is(StatusCode::UNAUTHORIZED, "key_not_accepted");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(lab.get("/v1/jobs", ADA).await.status, 200);
    for open in ["/healthz", "/readyz", "/v1/openapi.json"] {
        assert_eq!(lab.get(open, "").await.status, 200, "{open}");
    }
}

#[tokio::test]
async fn guesses_cost_the_guesser_time_and_shut_out_nobody_of_the_same_address() {
    let lab = Lab::start().await;
    assert_eq!(lab.get("/v1/jobs", ADA).await.status, 200);
    let keys: Vec<String> =
        (0..100).map(|wrong| format!("wgk1_00000000000000ad_wrong{wrong}")).collect();
    let guesses = join_all(keys.iter().map(|key| lab.get("/v1/jobs", key))).await;
    let mut refused = 0;
    for answer in guesses {
        if answer.status == 429 {
            answer.is(StatusCode::TOO_MANY_REQUESTS, "too_many_wrong_keys");
            assert!(answer.headers.contains_key("retry-after"));
            refused += 1;
        } else {
            answer.is(StatusCode::UNAUTHORIZED, "key_not_accepted");
        }
    }
    assert!(refused > 50, "{refused}");
    assert_eq!(lab.get("/v1/jobs", ADA).await.status, 200, "it is known");
    assert_eq!(lab.get("/v1/jobs", BEN).await.status, 200, "it is good, and was never seen");
}

#[tokio::test]
async fn a_key_that_is_revoked_while_a_body_comes_does_nothing() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({ "name": "open" })).await;
    let module = Digest::of(COMMAND);
    let spec = json!({ "module": Digest::of(MODULE).to_string() }).to_string();
    let function = json!({ "spec": { "module": Digest::of(MODULE).to_string() } }).to_string();
    let body = String::from_utf8(COMMAND.to_vec()).expect("a text");
    let requests = [
        ("POST", "/v1/jobs".into(), "application/json", "", spec),
        ("POST", format!("{job}/inputs"), "text/plain", "wasmgrid-producer: 7/1", "one\n".into()),
        ("POST", format!("{job}/inputs"), "text/plain", "", "two\n".into()),
        ("POST", format!("{job}/retry"), "application/json", "", "{}".into()),
        ("PUT", format!("/v1/modules/{module}"), "application/wasm", "", body),
        ("PUT", "/v1/functions/late".into(), "application/json", "", function),
        ("POST", "/v1/functions/late".into(), "application/octet-stream", "", "input".into()),
    ];
    let mut begun = Vec::new();
    for (method, path, kind, more, body) in requests {
        let mut tcp = lab.tcp().await;
        let length = body.len();
        let more = if more.is_empty() { String::new() } else { format!("{more}\r\n") };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADA}\r\n\
             Connection: close\r\nContent-Type: {kind}\r\n{more}Content-Length: {length}\r\n\r\n"
        );
        let (first, rest) = body.split_at(1);
        tcp.write_all(format!("{head}{first}").as_bytes()).await.expect("open");
        begun.push((tcp, path, rest.to_owned()));
    }
    lab.grid.revoke(ADA);
    while lab.get("/v1/jobs", ADA).await.status != 401 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (mut tcp, path, rest) in begun {
        // The gateway may have ended a stream already.
        let _ = tcp.write_all(rest.as_bytes()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(NEVER, tcp.read_to_end(&mut answer)).await;
        let _ = read.expect("it ends");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
    }
    let jobs = lab.get("/v1/jobs", OPERATOR).await.json();
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(1), "{jobs}");
    assert_eq!(jobs["jobs"][0]["counts"]["total"], json!(0), "{jobs}");
}

#[tokio::test]
async fn a_key_is_asked_about_once_in_some_seconds() {
    let lab = Lab::start().await;
    for _ in 0..20 {
        assert_eq!(lab.get("/v1/jobs", ADA).await.status, 200);
    }
    assert!(lab.grid.checks.load(Ordering::Relaxed) < 20);
}

#[tokio::test]
async fn a_tenant_sees_its_own_jobs_and_an_operator_all() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({ "name": "hers" })).await;
    assert_eq!(lab.get(&job, ADA).await.json()["tenant"], "ada");
    lab.get(&job, BEN).await.is(StatusCode::FORBIDDEN, "job_of_other_tenant");
    assert_eq!(lab.get(&job, OPERATOR).await.json()["name"], "hers");
    assert_eq!(lab.get("/v1/jobs", BEN).await.json()["jobs"], json!([]));
    let others = lab.get("/v1/jobs?tenant=ada", BEN).await;
    others.is(StatusCode::FORBIDDEN, "jobs_of_other_tenant");
    assert_eq!(lab.get("/v1/jobs?tenant=ada", OPERATOR).await.json()["jobs"][0]["name"], "hers");
}

#[tokio::test]
async fn what_operators_do_is_refused_to_others() {
    let lab = Lab::start().await;
    let _worker = crate::worker::join(&lab.server.handle(), "box1");
    for path in ["/v1/workers", "/v1/workers/box1", "/metrics"] {
        lab.get(path, ADA).await.is(StatusCode::FORBIDDEN, "role_not_allowed");
    }
    for act in ["cordon", "uncordon", "drain"] {
        let path = format!("/v1/workers/box1/{act}");
        let answer = lab.post(&path, ADA, "application/json", "").await;
        answer.is(StatusCode::FORBIDDEN, "role_not_allowed");
    }
}

#[tokio::test]
async fn a_revoked_key_ends_its_open_streams() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({})).await;
    let path = format!("{job}/results?follow=true");
    let request = lab.request(Method::GET, &path, ADA).body(Full::default()).expect("valid");
    let response = lab.send(request).await;
    assert_eq!(response.status(), 200);
    lab.grid.revoke(ADA);
    let ended = tokio::time::timeout(NEVER, response.into_body().collect()).await;
    assert!(ended.expect("in time").is_err(), "it must not look whole");
    lab.get(&job, ADA).await.is(StatusCode::UNAUTHORIZED, "key_not_accepted");
}
