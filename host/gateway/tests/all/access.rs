//! Who may ask, and for how long.

use std::sync::atomic::Ordering;

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::lab::{ADA, BEN, Lab, NEVER, OPERATOR};

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
async fn an_address_with_many_wrong_keys_has_to_wait_and_known_keys_go_on() {
    let lab = Lab::start().await;
    assert_eq!(lab.get("/v1/jobs", ADA).await.status, 200);
    let mut waits = false;
    for wrong in 0..100 {
        let key = format!("wgk1_00000000000000ad_wrong{wrong}");
        let answer = lab.get("/v1/jobs", &key).await;
        if answer.status == 429 {
            answer.is(StatusCode::TOO_MANY_REQUESTS, "too_many_wrong_keys");
            assert!(answer.headers.contains_key("retry-after"));
            waits = true;
            break;
        }
        answer.is(StatusCode::UNAUTHORIZED, "key_not_accepted");
    }
    assert!(waits, "a hundred wrong keys in a row");
    assert_eq!(lab.get("/v1/jobs", ADA).await.status, 200);
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
