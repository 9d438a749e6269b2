//! The pages, as a browser asks for them.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use serde_json::json;
use tokio::time::timeout;

use crate::lab::{ADA, BEN, Lab, NEVER, OPERATOR};

/// What a browser sends for a page with a session.
fn get(lab: &Lab, path: &str, session: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::GET).uri(path);
    let request = request.header("host", lab.address.to_string());
    let request = request.header("cookie", format!("wasmgrid_session={session}"));
    request.body(Full::default()).expect("a request")
}

/// A form that is sent with a session.
fn send(lab: &Lab, path: &str, session: &str) -> hyper::http::request::Builder {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", lab.address.to_string())
        .header("cookie", format!("wasmgrid_session={session}"))
        .header("content-type", "application/x-www-form-urlencoded")
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = timeout(NEVER, response.into_body().collect()).await.expect("in time");
    String::from_utf8(bytes.expect("whole").to_bytes().into()).expect("text")
}

/// The token against forgery of a page.
fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form");
    rest.split('"').next().expect("a value").to_owned()
}

fn location(response: &Response<Incoming>) -> &str {
    response.headers()[header::LOCATION].to_str().expect("text")
}

const ALL: [&str; 6] = ["/", "/jobs", "/workers", "/functions", "/keys", "/about"];

#[tokio::test]
async fn who_has_no_session_is_sent_to_the_login() {
    let lab = Lab::start().await;
    for path in ALL {
        let request = Request::builder().uri(path).header("host", lab.address.to_string());
        let response = lab.send(request.body(Full::default()).expect("a request")).await;
        assert_eq!((response.status(), location(&response)), (StatusCode::SEE_OTHER, "/login"));
        let response = lab.send(get(&lab, path, "wgk1_0000000000000000_x")).await;
        assert_eq!(location(&response), "/login?ended", "{path}");
    }
    let page = lab.send(get(&lab, "/login", "")).await;
    assert!(text(page).await.contains("wasmgrid ui"));
}

#[tokio::test]
async fn each_page_is_shown_with_a_policy_that_allows_its_own_files_alone() {
    let lab = Lab::start().await;
    for path in ALL {
        let response = lab.send(get(&lab, path, OPERATOR)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(text(response).await.contains("lab"), "{path} names the grid");
    }
    // Workers are the operators'.
    let response = lab.send(get(&lab, "/workers", ADA)).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    // Browsers are told by a page, programs by a problem.
    let mut request = get(&lab, "/nowhere", ADA);
    request.headers_mut().insert("accept", "text/html,*/*".parse().expect("a value"));
    let response = lab.send(request).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(text(response).await.contains("<h1>There is no such page</h1>"));
    let response = lab.send(get(&lab, "/nowhere", ADA)).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn a_job_is_shown_as_text_to_its_tenant_and_to_nobody_else() {
    let lab = Lab::start().await;
    let name = "<script>alert(1)</script>\u{202e}";
    let job = submitted(&lab, ADA, name, 3).await;
    let path = format!("/jobs/{job}");
    let response = lab.send(get(&lab, &path, ADA)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let page = text(response).await;
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script>alert"), "{page}");
    assert!(page.contains("\\u{202e}"), "what cannot be seen is marked");
    let response = lab.send(get(&lab, &path, BEN)).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let task = lab.send(get(&lab, &format!("{path}/tasks/2"), ADA)).await;
    assert_eq!(task.status(), StatusCode::OK);
    let task = lab.send(get(&lab, &format!("{path}/tasks/3"), ADA)).await;
    assert_eq!(task.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_session() {
    let lab = Lab::start().await;
    let job = submitted(&lab, ADA, "job", 3).await;
    let path = format!("/jobs/{job}/cancel");
    let page = text(lab.send(get(&lab, &path, ADA)).await).await;
    let (own, other) = (token(&page), text(lab.send(get(&lab, "/", BEN)).await).await);
    for wrong in ["", "csrf=", "csrf=x", &format!("csrf={}", token(&other))] {
        let request = send(&lab, &path, ADA).body(Full::from(wrong.to_owned()));
        let response = lab.send(request.expect("a request")).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{wrong:?}");
    }
    let form = format!("csrf={own}");
    let foreign = send(&lab, &path, ADA).header("sec-fetch-site", "cross-site");
    let response = lab.send(foreign.body(Full::from(form.clone())).expect("a request")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    // Looking changes nothing.
    assert!(lab.send(get(&lab, &path, ADA)).await.status().is_success());
    assert_eq!(state(&lab, ADA, job).await, "active");
    let sent = send(&lab, &path, ADA).header("sec-fetch-site", "same-origin");
    let response = lab.send(sent.body(Full::from(form)).expect("a request")).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(location(&response), format!("/jobs/{job}"));
    assert_eq!(state(&lab, ADA, job).await, "cancelled");
}

#[tokio::test]
async fn a_part_is_what_the_page_has_and_the_stream_sends_it_when_it_changes() {
    let lab = Lab::start().await;
    let job = submitted(&lab, ADA, "job", 3).await;
    let page = text(lab.send(get(&lab, "/jobs", ADA)).await).await;
    let part = text(lab.send(get(&lab, "/jobs/part/jobs", ADA)).await).await;
    assert!(page.contains(part.trim()), "{part}");
    let missing = lab.send(get(&lab, "/jobs/part/nothing", ADA)).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);

    let response = lab.send(get(&lab, "/jobs/live", ADA)).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body();
    let first = event(&mut body).await;
    assert!(
        first.starts_with("event: jobs\ndata: ") && first.contains(&job.to_string()),
        "{first}"
    );
    let next = submitted(&lab, ADA, "another", 1).await;
    let second = event(&mut body).await;
    assert!(second.contains(&format!("/jobs/{next}\"")), "only what changed: {second}");
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let lab = Lab::start().await;
    submitted(&lab, ADA, "job", 1).await;
    let mut body = lab.send(get(&lab, "/jobs/live", ADA)).await.into_body();
    event(&mut body).await;
    lab.grid.revoke(ADA);
    while let Some(frame) = timeout(NEVER, body.frame()).await.expect("it ends") {
        frame.expect("it ends in order");
    }
    let again = lab.send(get(&lab, "/jobs/live", ADA)).await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn files_are_kept_forever_and_a_first_load_is_small() {
    let lab = Lab::start().await;
    submitted(&lab, ADA, "job", 1).await;
    let page = text(lab.send(get(&lab, "/jobs/1", ADA)).await).await;
    let mut bytes = page.len();
    let paths: Vec<&str> = page.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert!(paths.len() >= 4, "{paths:?}");
    for path in paths {
        let mut request = get(&lab, path, ADA);
        request.headers_mut().insert("accept-encoding", "br, gzip".parse().expect("a value"));
        let response = lab.send(request).await;
        assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(response.headers()["content-encoding"], "gzip");
        bytes += response.into_body().collect().await.expect("whole").to_bytes().len();
    }
    // The page itself is not compressed.
    assert!(bytes <= 40 << 10, "{bytes} bytes");
    let other = lab.send(get(&lab, "/assets/0000000000000000/style.css", ADA)).await;
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_wrong_code_makes_no_session_and_looking_at_the_link_uses_none_up() {
    let lab = Lab::start().await;
    let page = lab.send(get(&lab, "/login?code=abc", "")).await;
    assert!(text(page).await.contains("<form"));
    let request = send(&lab, "/login?code=abc", "").body(Full::default());
    let response = lab.send(request.expect("a request")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key(header::SET_COOKIE));
    let foreign = send(&lab, "/login?code=abc", "").header("sec-fetch-site", "cross-site");
    let response = lab.send(foreign.body(Full::default()).expect("a request")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

/// The next event of a stream.
async fn event(body: &mut Incoming) -> String {
    let mut text = String::new();
    while !text.contains("\n\n") || text.starts_with(':') {
        if text.starts_with(':') {
            text.clear();
        }
        let frame = timeout(NEVER, body.frame()).await.expect("in time").expect("it goes on");
        let data = frame.expect("no error").into_data().expect("data");
        text.push_str(std::str::from_utf8(&data).expect("text"));
    }
    text
}

/// A job of a tenant with so many tasks; its number.
async fn submitted(lab: &Lab, key: &str, name: &str, tasks: usize) -> u64 {
    let path = lab.submit(key, json!({ "name": name })).await;
    let inputs = "input\n".repeat(tasks);
    let appended = lab.post(&format!("{path}/inputs"), key, "text/plain", inputs).await;
    assert_eq!(appended.status, 200, "{appended:?}");
    path.rsplit('/').next().and_then(|job| job.parse().ok()).expect("a number")
}

async fn state(lab: &Lab, key: &str, job: u64) -> String {
    let job = lab.get(&format!("/v1/jobs/{job}"), key).await.json();
    job["state"].as_str().expect("a state").to_owned()
}
