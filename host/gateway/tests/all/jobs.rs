//! Modules, jobs and tasks.

use http_body_util::Full;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use wasmgrid_proto::Digest;

use crate::{
    lab::{ADA, BAD, BEN, COMMAND, Lab, MODULE, OPERATOR},
    worker,
};

#[tokio::test]
async fn a_module_is_put_under_its_digest_and_refused_if_it_is_no_task() {
    let lab = Lab::start().await;
    let path = format!("/v1/modules/{}", Digest::of(MODULE));
    let head = || lab.request(Method::HEAD, &path, ADA).body(Full::default()).expect("valid");
    assert_eq!(lab.ask(head()).await.status, 404);
    let put = lab.put_module(ADA, MODULE).await;
    assert_eq!((put.status, put.json()["size_bytes"].as_u64()), (201, Some(8)));
    assert_eq!(lab.put_module(ADA, MODULE).await.status, 200);
    assert_eq!(lab.ask(head()).await.status, 200);
    let refused = lab.put_module(ADA, BAD).await;
    refused.is(StatusCode::UNPROCESSABLE_ENTITY, "module_refused");
    let problem = refused.json();
    assert_eq!(problem["refusal"], "not_a_task");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("a stone")), "{problem}");
    let other = lab.request(Method::PUT, &path, ADA).body(Full::new(BAD.into())).expect("valid");
    lab.ask(other).await.is(StatusCode::UNPROCESSABLE_ENTITY, "digest_mismatch");
    let none = lab.request(Method::PUT, "/v1/modules/x", ADA).body(Full::default());
    lab.ask(none.expect("valid")).await.is(StatusCode::UNPROCESSABLE_ENTITY, "digest_invalid");
}

#[tokio::test]
async fn modules_are_listed_to_their_tenants_and_to_operators_page_by_page() {
    let lab = Lab::start().await;
    lab.put_module(ADA, MODULE).await;
    lab.put_module(ADA, COMMAND).await;
    lab.put_module(BEN, MODULE).await;
    lab.submit(ADA, json!({ "closed": true })).await;
    let list = async |query: &str, key| lab.get(&format!("/v1/modules{query}"), key).await.json();

    let all = list("", ADA).await;
    let found = all["modules"].as_array().expect("a list").clone();
    let own = |one: &&Value| one["digest"] == json!(Digest::of(MODULE).to_string());
    let module = found.iter().find(own).expect("it is there");
    assert_eq!((found.len(), &all["next"]), (2, &Value::Null));
    assert_eq!((&module["jobs"], &module["functions"]), (&json!(1), &json!(0)));
    assert_eq!((&module["size_bytes"], &module["kind"]), (&json!(MODULE.len()), &json!("task")));
    assert_eq!((&module["tenants"], &module["tenant_count"]), (&json!(["ada"]), &json!(1)));
    assert!(module["stored_us"].as_u64().is_some_and(|date| date > 0), "{module}");

    let bens = list("", BEN).await["modules"].clone();
    assert_eq!((&bens[0]["tenants"], &bens[0]["jobs"]), (&json!(["ben"]), &json!(0)));
    assert_eq!(bens.as_array().map(Vec::len), Some(1));
    let refused = lab.get("/v1/modules?tenant=ada", BEN).await;
    refused.is(StatusCode::FORBIDDEN, "modules_of_other_tenant");

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("?limit=1{cursor}"), OPERATOR).await;
        seen.extend(page["modules"].as_array().expect("a list").clone());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let shared = seen.iter().find(own).expect("it is there");
    assert_eq!((seen.len(), &shared["tenants"]), (2, &json!(["ada", "ben"])));
    assert_eq!(list("?tenant=ben", OPERATOR).await["modules"], bens);
    let wrong = lab.get("/v1/modules?cursor=x", ADA).await;
    wrong.is(StatusCode::UNPROCESSABLE_ENTITY, "digest_invalid");
}

#[tokio::test]
async fn a_job_runs_and_its_results_have_their_cursors() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let inputs: Vec<String> = (0..300).map(|n| format!("input {n}")).collect();
    let job = lab.submit(ADA, json!({ "inputs": inputs, "closed": true, "seed": u64::MAX })).await;
    let ended = lab.ended(&job, ADA).await;
    assert_eq!((&ended["state"], &ended["counts"]["ok"]), (&json!("ok"), &json!(300)));
    assert_eq!(ended["seed"], json!(u64::MAX.to_string()));
    let results = lab.get(&format!("{job}/results?inputs=true"), ADA).await;
    assert_eq!(results.headers["content-type"], "application/x-ndjson");
    let lines = results.lines();
    let cursors: Vec<_> = lines.iter().map(|line| line["cursor"].as_u64()).collect();
    assert_eq!(cursors, (0..300).map(Some).collect::<Vec<_>>());
    for line in &lines {
        let index = line["index"].as_u64().expect("a number");
        assert_eq!(line["output"], json!(format!("input {index}")));
        assert_eq!((&line["input"], &line["outcome"]), (&line["output"], &json!("ok")));
        assert_eq!(line["usage"]["fuel"], json!("0"));
    }
    let rest = lab.get(&format!("{job}/results?cursor=298&follow=true"), ADA).await.lines();
    assert_eq!(rest.len(), 2);
    assert_eq!(rest[0]["cursor"], 298);
    let text = lab.get(&format!("{job}/results?format=lines&cursor=299"), ADA).await;
    assert!(text.text().starts_with("input ") && text.text().ends_with('\n'), "{text:?}");
    let raw = lab.get(&format!("{job}/results?format=raw"), ADA).await;
    assert_eq!(raw.body.len(), inputs.concat().len());
}

#[tokio::test]
async fn a_module_comes_with_its_job_and_its_kind_is_found_out() {
    let lab = Lab::start().await;
    let part = |name: &str, body: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{body}\r\n")
    };
    let command = std::str::from_utf8(COMMAND).expect("text");
    let body =
        part("spec", r#"{"name":"sort","closed":true}"#) + &part("module", command) + "--b--\r\n";
    let kind = "multipart/form-data; boundary=b";
    let made = lab.post("/v1/jobs", ADA, kind, body.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let job = made.json();
    assert_eq!((&job["kind"], &job["name"]), (&json!("command"), &json!("sort")));
    assert_eq!(job["module"], json!(Digest::of(COMMAND).to_string()));
    let other = body.replace("\"module\"", "\"modul\"");
    let answer = lab.post("/v1/jobs", ADA, kind, other).await;
    answer.is(StatusCode::UNPROCESSABLE_ENTITY, "multipart_invalid");
}

#[tokio::test]
async fn a_spec_that_is_wrong_is_refused_with_what_is_wrong() {
    let lab = Lab::start().await;
    let digest = Digest::of(MODULE).to_string();
    for (spec, code) in [
        (json!({ "module": digest }), "no_such_module"),
        (json!({ "name": "x" }), "spec_invalid"),
        (json!({ "module": digest, "modules": 1 }), "spec_invalid"),
        (json!({ "module": digest, "grants": ["net"] }), "spec_invalid"),
    ] {
        let answer = lab.post("/v1/jobs", ADA, "application/json", spec.to_string()).await;
        answer.is(StatusCode::UNPROCESSABLE_ENTITY, code);
    }
    let answer = lab.post("/v1/jobs", ADA, "text/plain", "{}").await;
    answer.is(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type_not_taken");
}

#[tokio::test]
async fn a_submit_that_repeats_its_key_gets_the_same_job() {
    let lab = Lab::start().await;
    lab.put_module(ADA, MODULE).await;
    let submit = async |name: &str| {
        let spec = json!({ "module": Digest::of(MODULE).to_string(), "name": name });
        let request = lab.request(Method::POST, "/v1/jobs", ADA);
        let request = request.header("content-type", "application/json");
        let request = request.header("idempotency-key", "monday");
        lab.ask(request.body(Full::new(spec.to_string().into())).expect("valid")).await
    };
    let first = submit("a").await.json();
    assert_eq!(submit("a").await.json()["id"], first["id"]);
    let other = submit("b").await;
    other.is(StatusCode::CONFLICT, "idempotency_key_in_use");
    assert_eq!(other.json()["job"], first["id"]);
}

#[tokio::test]
async fn a_list_has_pages_and_filters() {
    let lab = Lab::start().await;
    for name in ["a", "b", "a2", "c"] {
        lab.submit(ADA, json!({ "name": name })).await;
    }
    let cancelled = lab.submit(ADA, json!({ "name": "a3" })).await;
    let answer = lab.post(&format!("{cancelled}/cancel"), ADA, "text/plain", "").await;
    assert_eq!(answer.json()["state"], "cancelled");
    let mut path = "/v1/jobs?limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let page = lab.get(&path, ADA).await.json();
        let jobs = page["jobs"].as_array().expect("a list");
        assert!(jobs.len() <= 2);
        names.extend(jobs.iter().map(|job| job["name"].clone()));
        match page["next"].as_u64() {
            Some(next) => path = format!("/v1/jobs?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["a3", "c", "a2", "b", "a"].map(Value::from));
    let found = lab.get("/v1/jobs?name=a*&state=active,ok", ADA).await.json();
    let names: Vec<_> =
        found["jobs"].as_array().expect("a list").iter().map(|job| &job["name"]).collect();
    assert_eq!(names, ["a2", "a"]);
    for wrong in ["state=x", "limit=x", "colour=red", "cursor=-1"] {
        let answer = lab.get(&format!("/v1/jobs?{wrong}"), ADA).await;
        answer.is(StatusCode::UNPROCESSABLE_ENTITY, "query_invalid");
    }
}

#[tokio::test]
async fn a_job_is_closed_explained_and_retried() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({ "inputs": ["fine", "fail"] })).await;
    let explained = lab.get(&format!("{job}/explain"), ADA).await.json();
    assert_eq!(explained["reasons"][0]["reason"], "no-worker", "{explained}");
    assert!(explained["reasons"][0].get("help").is_none());
    let retry = format!("{job}/retry");
    let early = lab.post(&retry, ADA, "application/json", "").await;
    early.is(StatusCode::CONFLICT, "job_active");
    let _worker = worker::join(&lab.server.handle(), "box1");
    let closed = lab.post(&format!("{job}/close"), ADA, "application/json", "").await;
    assert_eq!(closed.json()["closed"], json!(true));
    assert_eq!(lab.ended(&job, ADA).await["counts"]["failed"], 1);
    let body = json!({ "limits": { "fuel": "7" } }).to_string();
    let retried = lab.post(&retry, ADA, "application/json", body).await;
    assert_eq!(retried.status, 201, "{retried:?}");
    let new = retried.json();
    assert_eq!((&new["limits"]["fuel"], &new["counts"]["total"]), (&json!("7"), &json!(1)));
    let divergences = lab.get(&format!("{job}/divergences"), ADA).await.json();
    assert_eq!(divergences["divergences"]["count"], 0);
    lab.get("/v1/jobs/99", ADA).await.is(StatusCode::NOT_FOUND, "no_such_job");
    lab.get("/v1/jobs/x", ADA).await.is(StatusCode::NOT_FOUND, "path_invalid");
}

#[tokio::test]
async fn a_task_has_its_input_its_result_and_its_log() {
    let lab = Lab::start().await;
    let job = lab.submit(ADA, json!({ "inputs": ["<b>", "fail"] })).await;
    let queued = lab.get(&format!("{job}/tasks/0"), ADA).await.json();
    assert_eq!((&queued["state"], &queued["input"]), (&json!("queued"), &json!("<b>")));
    lab.get(&format!("{job}/tasks/0/log"), ADA).await.is(StatusCode::CONFLICT, "task_active");
    let _worker = worker::join(&lab.server.handle(), "box1");
    lab.post(&format!("{job}/close"), ADA, "application/json", "").await;
    lab.ended(&job, ADA).await;
    let failed = lab.get(&format!("{job}/tasks/1"), ADA).await.json();
    assert_eq!(failed["result"]["outcome"], "rejected");
    let input = lab.get(&format!("{job}/tasks/0/input"), ADA).await;
    assert_eq!(input.text(), "<b>");
    assert_eq!(input.headers["content-type"], "application/octet-stream");
    assert_eq!(input.headers["content-disposition"], "attachment");
    assert_eq!(input.headers["x-content-type-options"], "nosniff");
    let log = lab.get(&format!("{job}/tasks/0/log"), ADA).await;
    assert_eq!((log.status, log.text()), (200, ""));
    assert_eq!(log.headers["wasmgrid-log-dropped"], "0");
    lab.get(&format!("{job}/tasks/2"), ADA).await.is(StatusCode::NOT_FOUND, "no_such_task");
}

#[tokio::test]
async fn an_operator_lists_and_cordons_workers() {
    let lab = Lab::start().await;
    let _worker = worker::join(&lab.server.handle(), "box1");
    let listed = loop {
        let page = lab.get("/v1/workers", OPERATOR).await.json();
        if page["workers"][0]["state"] == "ready" {
            break page;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&listed["workers"][0]["name"], &listed["next"]), (&json!("box1"), &Value::Null));
    for (act, state) in [("cordon", "cordoned"), ("uncordon", "ready"), ("drain", "drained")] {
        let path = format!("/v1/workers/box1/{act}");
        let worker = lab.post(&path, OPERATOR, "application/json", "").await.json();
        assert_eq!(worker["state"], state, "{worker}");
    }
    assert_eq!(lab.get("/v1/workers/box1", OPERATOR).await.json()["name"], "box1");
    lab.get("/v1/workers/x", OPERATOR).await.is(StatusCode::NOT_FOUND, "no_such_worker");
}
