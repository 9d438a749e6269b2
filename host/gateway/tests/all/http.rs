//! HTTP/2, metrics and the description of the interface.

use http_body_util::Full;
use hyper::Method;
use serde_json::json;

use crate::{
    lab::{ADA, Answer, Lab, OPERATOR},
    worker,
};

#[tokio::test]
async fn http_2_is_spoken_with_those_who_begin_so() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({ "inputs": ["a"], "closed": true })).await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let uri = format!("http://{}{job}/results?follow=true", lab.address);
    let request = lab.request(Method::GET, &uri, ADA).body(Full::default()).expect("valid");
    let response = lab.send_h2(request).await;
    assert_eq!(response.version(), hyper::Version::HTTP_2);
    assert_eq!(Answer::of(response).await.lines()[0]["output"], "a");
}

#[tokio::test]
async fn metrics_count_what_the_grid_and_the_gateway_do() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let job = lab.submit(ADA, json!({ "inputs": ["a", "fail"], "closed": true })).await;
    lab.ended(&job, ADA).await;
    lab.get("/v1/nothing", ADA).await;
    let plain = lab.get("/metrics", OPERATOR).await;
    assert_eq!(plain.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = plain.text();
    assert!(text.contains("# TYPE wasmgrid_tasks_total counter\n"), "{text}");
    let request = lab.request(Method::GET, "/metrics", OPERATOR);
    let request = request.header("accept", "application/openmetrics-text;version=1.0.0,*/*;q=0.1");
    let answer = lab.ask(request.body(Full::default()).expect("valid")).await;
    assert!(answer.headers["content-type"].starts_with("application/openmetrics-text"));
    let text = answer.text();
    for line in [
        "wasmgrid_tasks_total{outcome=\"ok\"} 1\n",
        "wasmgrid_tasks_total{outcome=\"failed\"} 1\n",
        "wasmgrid_fuel_total{tenant=\"ada\"} 0\n",
        "wasmgrid_queue_tasks 0\n",
        "wasmgrid_slots{state=\"free\"} 4\n",
        "wasmgrid_task_seconds_count 2\n",
        "wasmgrid_links{role=\"worker\"} 1\n",
        "# TYPE wasmgrid_commit_seconds histogram\n",
        "# EOF\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.contains("le=\"+Inf\""), "{text}");
    let http = |labels: &str| {
        text.lines().any(|line| {
            line.starts_with("wasmgrid_http_seconds_count")
                && labels.split(' ').all(|l| line.contains(l))
        })
    };
    assert!(http("route=\"/v1/jobs/{job}\" method=\"GET\" status=\"200\""), "{text}");
    assert!(http("route=\"other\" status=\"404\""), "{text}");
    assert!(!text.contains(&job), "labels have no job");
}

#[tokio::test]
async fn the_description_is_served_as_it_is_kept() {
    let lab = Lab::start().await;
    let answer = lab.get("/v1/openapi.json", "").await;
    assert_eq!(answer.text(), wasmgrid_gateway::document());
    assert_eq!(answer.json()["openapi"], "3.1.0");
}
