//! Inputs that stream in.

use http_body_util::Full;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    lab::{ADA, Answer, Lab, NEVER},
    worker,
};

/// The outputs of a job that has ended, by index.
async fn outputs(lab: &Lab, job: &str) -> Vec<String> {
    let mut lines = lab.get(&format!("{job}/results"), ADA).await.lines();
    lines.sort_by_key(|line| line["index"].as_u64());
    lines.iter().map(|line| line["output"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn a_body_is_tasks_as_its_type_says() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let part =
        |body: &str| format!("--b\r\ncontent-disposition: form-data; name=\"f\"\r\n\r\n{body}\r\n");
    let parts = part("one\ntwo") + &part("") + "--b--\r\n";
    for (kind, body, expected) in [
        ("text/plain", "a\nb\r\n\nc".to_owned(), &["a", "b", "", "c"][..]),
        ("application/x-ndjson", "{\"a\": 1}\n\n[2]\n".into(), &["{\"a\": 1}", "[2]"]),
        ("application/octet-stream", "a\nb\n".into(), &["a\nb\n"]),
        ("multipart/form-data; boundary=b", parts, &["one\ntwo", ""]),
        ("text/plain; charset=utf-8", String::new(), &[]),
    ] {
        let job = lab.submit(ADA, json!({})).await;
        let path = format!("{job}/inputs?close=true");
        let appended = lab.post(&path, ADA, kind, body).await;
        assert_eq!(appended.status, 200, "{kind}: {appended:?}");
        assert_eq!(appended.json()["count"], expected.len());
        assert_eq!(lab.ended(&job, ADA).await["state"], "ok");
        assert_eq!(outputs(&lab, &job).await, expected, "{kind}");
    }
}

#[tokio::test]
async fn many_lines_are_appended_in_their_order() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let job = lab.submit(ADA, json!({})).await;
    let expected: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let path = format!("{job}/inputs?close=true");
    let appended = lab.post(&path, ADA, "text/plain", expected.join("\n")).await.json();
    assert_eq!((&appended["first"], &appended["count"]), (&json!(0), &json!(100_000)));
    lab.ended(&job, ADA).await;
    assert!(outputs(&lab, &job).await == expected);
}

#[tokio::test]
async fn a_producers_request_is_done_once_however_often_it_is_repeated() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({})).await;
    let append = async |producer: &str, body: &'static str| {
        let request = lab.request(Method::POST, &format!("{job}/inputs"), ADA);
        let request = request.header("content-type", "text/plain");
        let request = request.header("wasmgrid-producer", producer);
        lab.ask(request.body(Full::new(body.into())).expect("valid")).await
    };
    for _ in 0..3 {
        let appended = append("7/1", "a\nb\n").await.json();
        assert_eq!((&appended["first"], &appended["count"]), (&json!(0), &json!(2)));
    }
    assert_eq!(append("7/2", "c\n").await.json()["first"], 2);
    assert_eq!(append("8/1", "d\n").await.json()["first"], 3);
    assert_eq!(lab.get(&job, ADA).await.json()["counts"]["total"], 4);
    let late = append("7/5", "e\n").await;
    late.is(StatusCode::UNPROCESSABLE_ENTITY, "producer_out_of_order");
    assert_eq!(late.json()["last"], "2");
    append("7", "e\n").await.is(StatusCode::UNPROCESSABLE_ENTITY, "producer_invalid");
}

#[tokio::test]
async fn a_line_that_is_no_json_ends_the_request_and_those_before_it_stay() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({})).await;
    let path = format!("{job}/inputs");
    // The first lines fill a batch.
    let body = "1\n".repeat(20_000) + "{\n2\n";
    let answer = lab.post(&path, ADA, "application/x-ndjson", body).await;
    answer.is(StatusCode::UNPROCESSABLE_ENTITY, "line_not_json");
    let problem = answer.json();
    assert_eq!(problem["line"], 20_001);
    let total = &lab.get(&job, ADA).await.json()["counts"]["total"];
    assert_eq!(&problem["appended"], total, "{problem}");
    lab.post(&path, ADA, "image/png", "x")
        .await
        .is(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type_not_taken");
    lab.post(&format!("{job}/close"), ADA, "text/plain", "").await;
    let closed = lab.post(&path, ADA, "text/plain", "x").await;
    closed.is(StatusCode::CONFLICT, "job_not_open");
    assert_eq!(closed.json()["appended"], 0);
}

#[tokio::test]
async fn inputs_run_while_the_rest_of_their_body_is_still_to_come() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let job = lab.submit(ADA, json!({})).await;
    let mut tcp = lab.tcp().await;
    let head = format!(
        "POST {job}/inputs?close=true HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {ADA}\r\n\
         Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        lab.address
    );
    tcp.write_all(head.as_bytes()).await.expect("open");
    for line in ["one\n", "two\n"] {
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        tcp.write_all(chunk.as_bytes()).await.expect("open");
        // It is not the end that sends it.
        let path = format!("{job}/results?follow=true");
        let request = lab.request(Method::GET, &path, ADA).body(Full::default()).expect("valid");
        let mut results = lab.send(request).await.into_body();
        let wanted = line.trim();
        let mut seen = String::new();
        while !seen.contains(wanted) {
            use http_body_util::BodyExt as _;
            let frame = tokio::time::timeout(NEVER, results.frame()).await.expect("in time");
            let data = frame.expect("open").expect("whole").into_data().expect("data");
            seen.push_str(std::str::from_utf8(&data).expect("UTF-8"));
        }
    }
    tcp.write_all(b"0\r\n\r\n").await.expect("open");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"count\":2"), "{answer}");
    assert_eq!(lab.ended(&job, ADA).await["state"], "ok");
}

#[tokio::test]
async fn a_body_that_breaks_off_appends_no_half_of_a_line() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({})).await;
    let mut tcp = lab.tcp().await;
    let head = format!(
        "POST {job}/inputs HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {ADA}\r\n\
         Content-Type: text/plain\r\nContent-Length: 100\r\n\r\nwhole\nhal",
        lab.address
    );
    tcp.write_all(head.as_bytes()).await.expect("open");
    let total = async || lab.get(&job, ADA).await.json()["counts"]["total"].clone();
    while total().await != 1 {
        tokio::task::yield_now().await;
    }
    drop(tcp);
    let more = lab.post(&format!("{job}/inputs"), ADA, "text/plain", "next").await;
    assert_eq!(more.json()["first"], 1);
    assert_eq!(total().await, 2);
}

#[tokio::test]
async fn many_senders_are_served_at_once() {
    const SENDERS: usize = 64;
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let job = lab.submit(ADA, json!({})).await;
    let path = format!("{job}/inputs");
    let lines = "a line of some length\n".repeat(2_000);
    let one = || async { lab.post(&path, ADA, "text/plain", lines.clone()).await };
    let mut all = Vec::new();
    for _ in 0..SENDERS {
        all.push(one());
    }
    let answers: Vec<Answer> = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let closed = lab.post(&format!("{job}/close"), ADA, "text/plain", "").await.json();
    assert_eq!(closed["counts"]["total"], 2_000 * SENDERS);
    assert_eq!(lab.ended(&job, ADA).await["counts"]["ok"], 2_000 * SENDERS);
}
