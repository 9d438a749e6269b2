//! What is refused before anybody looks at it.

use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::{ADA, Lab, NEVER};

/// What a connection that sends this is answered, until it ends.
async fn raw(lab: &Lab, sent: &str) -> String {
    let mut tcp = lab.tcp().await;
    tcp.write_all(sent.as_bytes()).await.expect("open");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(NEVER, tcp.read_to_end(&mut answer)).await;
    // A connection that is cut is over, too.
    let _ = read.expect("it ends by itself");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn other_hosts_are_refused_by_name() {
    let lab = Lab::start().await;
    for (host, known) in [
        ("localhost:1", true),
        ("grid.example", true),
        ("[::1]:80", true),
        ("evil.example", false),
        ("grid.example.evil.example", false),
    ] {
        let request = Request::builder().uri("/healthz").header("host", host);
        let answer = lab.ask(request.body(Full::default()).expect("valid")).await;
        if known {
            assert_eq!(answer.status, 200, "{host}");
        } else {
            answer.is(StatusCode::MISDIRECTED_REQUEST, "host_unknown");
        }
    }
    let answer = raw(&lab, "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("host_missing"), "{answer}");
    let two = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let answer = raw(&lab, two).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("host_twice"), "{answer}");
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_a_browser() {
    let lab = Lab::start().await;
    for path in ["/healthz", "/v1/jobs", "/nothing"] {
        let answer = lab.get(path, "").await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["x-frame-options"], "DENY");
        let policy = &answer.headers["content-security-policy"];
        assert!(policy.contains("default-src 'none'"), "{policy}");
    }
    lab.get("/nothing", ADA).await.is(StatusCode::NOT_FOUND, "no_such_path");
    let answer = lab.post("/v1/jobs/1/results", ADA, "text/plain", "").await;
    answer.is(StatusCode::METHOD_NOT_ALLOWED, "no_such_method");
    assert!(answer.headers["allow"].contains("GET"));
}

#[tokio::test]
async fn urls_heads_and_bodies_have_bounds() {
    let lab = Lab::start().await;
    let long = format!("/v1/jobs?name={}", "x".repeat(10_000));
    lab.get(&long, ADA).await.is(StatusCode::URI_TOO_LONG, "url_too_long");
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    assert!(raw(&lab, &head).await.starts_with("HTTP/1.1 431"));
    let large = format!("x: {}\r\n", "y".repeat(100_000));
    let head = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{large}\r\n");
    let answer = raw(&lab, &head).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // A length that is too large is believed.
    let path = format!("/v1/modules/{}", "0".repeat(64));
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADA}\r\n\
         Content-Length: 99999999999\r\nConnection: close\r\n\r\n"
    );
    let answer = raw(&lab, &head).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too_large"), "{answer}");
}

#[tokio::test]
async fn a_client_that_sends_half_a_request_is_cut_off() {
    let lab = Lab::start().await;
    let halves = ["", "P", "PRI * HTTP/2.0\r\n", "GET /healthz HTTP/1.1\r\nHost: loc"];
    let cut = halves.map(|half| raw(&lab, half));
    for (half, answer) in halves.iter().zip(futures_util::future::join_all(cut).await) {
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{half}: {answer}");
    }
    // Others are served meanwhile, and after.
    assert_eq!(lab.get("/healthz", "").await.status, 200);
}

#[tokio::test]
async fn a_key_has_a_bounded_number_of_streams() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, serde_json::json!({})).await;
    let path = format!("{job}/results?follow=true");
    let request = || lab.request(Method::GET, &path, ADA).body(Full::default()).expect("valid");
    let mut open = Vec::new();
    let refused = loop {
        let response = lab.send(request()).await;
        if response.status() != 200 {
            break response;
        }
        open.push(response);
        assert!(open.len() <= 1_000);
    };
    assert_eq!((refused.status().as_u16(), open.len()), (429, 1_000));
    assert!(refused.headers().contains_key("retry-after"));
    drop(open);
    while lab.send(request()).await.status() != 200 {
        tokio::task::yield_now().await;
    }
}
