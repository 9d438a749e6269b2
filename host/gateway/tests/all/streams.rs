//! Streams of results and events.

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, body::Incoming};
use serde_json::{Value, json};

use crate::{
    lab::{ADA, Answer, Lab, NEVER},
    worker,
};

/// Reads a stream as text until it has this, or its end.
async fn until(body: &mut Incoming, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let frame = tokio::time::timeout(NEVER, body.frame()).await.expect("in time");
        let Some(frame) = frame else { break };
        let data = frame.expect("whole").into_data().expect("data");
        seen.push_str(std::str::from_utf8(&data).expect("UTF-8"));
    }
    seen
}

async fn open(lab: &Lab, path: &str, last: Option<&str>) -> hyper::Response<Incoming> {
    let mut request = lab.request(Method::GET, path, ADA);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    lab.send(request.body(Full::default()).expect("valid")).await
}

/// The value of a field of the last event of this name.
fn field<'a>(events: &'a str, name: &str, field: &str) -> &'a str {
    let event = events.split("\n\n").filter(|event| event.contains(&format!("event: {name}\n")));
    let event = event.last().unwrap_or_else(|| panic!("no {name}: {events}"));
    let start = format!("{field}: ");
    event.lines().find_map(|line| line.strip_prefix(&start)).expect("a field")
}

#[tokio::test]
async fn a_stream_brings_results_as_they_come_and_goes_on_from_any_cursor() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let job = lab.submit(ADA, json!({})).await;
    let inputs = format!("{job}/inputs");
    let mut stream = open(&lab, &format!("{job}/results?follow=true"), None).await.into_body();
    for input in ["one", "two"] {
        lab.post(&inputs, ADA, "text/plain", input).await;
        let seen = until(&mut stream, "\n").await;
        let line: Value = serde_json::from_str(&seen).expect("a line");
        assert_eq!(line["output"], input);
    }
    // A reader that was cut off goes on behind the last line that it has.
    drop(stream);
    lab.post(&format!("{inputs}?close=true"), ADA, "text/plain", "three\nfail").await;
    let rest = lab.get(&format!("{job}/results?follow=true&cursor=2"), ADA).await.lines();
    let mut found: Vec<_> = rest.iter().map(|line| (&line["index"], &line["outcome"])).collect();
    found.sort_by_key(|(index, _)| index.as_u64());
    assert_eq!(found, [(&json!(2), &json!("ok")), (&json!(3), &json!("rejected"))]);
}

#[tokio::test]
async fn results_of_a_job_that_goes_on_end_with_those_that_are_there() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let job = lab.submit(ADA, json!({ "inputs": ["a", "b"] })).await;
    while lab.get(&job, ADA).await.json()["results"] != 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.get(&format!("{job}/results"), ADA).await.lines().len(), 2);
    assert_eq!(lab.get(&format!("{job}/results?cursor=2"), ADA).await.text(), "");
    assert_eq!(lab.get(&format!("{job}/results?cursor=9"), ADA).await.text(), "");
}

#[tokio::test]
async fn events_tell_how_a_job_stands_and_end_with_it() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({})).await;
    let path = format!("{job}/events");
    let response = open(&lab, &path, None).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = response.into_body();
    let first = until(&mut events, "\n\n").await;
    let data: Value = serde_json::from_str(field(&first, "progress", "data")).expect("JSON");
    assert_eq!((&data["state"], &data["counts"]["total"]), (&json!("active"), &json!(0)));
    // Who has the last event is told the next one.
    let last = field(&first, "progress", "id").to_owned();
    let mut again = open(&lab, &path, Some(&last)).await.into_body();
    lab.post(&format!("{job}/inputs"), ADA, "text/plain", "a").await;
    let next = until(&mut again, "\n\n").await;
    assert_ne!(field(&next, "progress", "id"), last);
    let _worker = worker::join(&lab.server.handle(), "box1");
    lab.post(&format!("{job}/close"), ADA, "text/plain", "").await;
    let end = until(&mut events, "event: end").await + &until(&mut events, "never").await;
    let data: Value = serde_json::from_str(field(&end, "end", "data")).expect("JSON");
    assert_eq!((&data["state"], &data["results"]), (&json!("ok"), &json!(1)));
    let id = field(&end, "end", "id");
    assert_eq!(open(&lab, &path, Some(id)).await.status(), 204);
    let late = Answer::of(open(&lab, &path, None).await).await;
    assert_eq!(field(late.text(), "end", "id"), id);
}

#[tokio::test]
async fn a_gateway_that_stops_ends_its_streams() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({})).await;
    let stream = open(&lab, &format!("{job}/results?follow=true"), None).await.into_body();
    let mut events = open(&lab, &format!("{job}/events"), None).await.into_body();
    lab.end().await;
    assert!(stream.collect().await.is_err(), "it must not look whole");
    let seen = until(&mut events, "event: problem").await;
    assert!(field(&seen, "problem", "data").contains("gateway_stopping"), "{seen}");
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_else() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let job = lab.submit(ADA, json!({})).await;
    let path = format!("{job}/results?follow=true");
    // They take nothing; what comes for each is bounded by its watch.
    let mut slow = Vec::new();
    for _ in 0..16 {
        slow.push(open(&lab, &path, None).await);
    }
    let line = "x".repeat(1_000) + "\n";
    let appended =
        lab.post(&format!("{job}/inputs?close=true"), ADA, "text/plain", line.repeat(20_000)).await;
    assert_eq!(appended.status, 200, "{appended:?}");
    assert_eq!(lab.get(&path, ADA).await.lines().len(), 20_000);
    // What they did not take is there when they take it.
    let late = Answer::of(slow.pop().expect("one of them")).await;
    assert_eq!(late.lines().len(), 20_000);
}
