//! The audit log as an operator reads it: what was done, by whom, and what was refused; also after the
//! scheduler was killed.

use serde_json::{Value, json};

use wasmgrid_tests::{Grid, Home, guest, wait_until};

/// The entries that an operator is shown, one from each line.
fn log(grid: &Grid, flags: &[&str]) -> Vec<Value> {
    let args = ["audit", "--output", "json"];
    let shown = grid.run(&args.iter().chain(flags).copied().collect::<Vec<_>>());
    let lines = shown.ok().lines().map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

/// What was done to what, and what came of it.
fn acts(entries: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let act = |entry: &Value| {
        let object = &entry["object"];
        format!("{} {} {}", text(&entry["action"]), text(&object["name"]), text(&entry["outcome"]))
    };
    entries.iter().map(act).collect()
}

fn user(token: &str) -> Home {
    let home = Home::new();
    home.run(["context", "add", "team", token]).ok();
    home
}

#[test]
fn what_operators_do_and_clients_are_refused_is_in_the_audit_log_after_a_kill_too() {
    let mut grid = Grid::start(1, 1);
    let before = log(&grid, &[]).len();
    let made =
        grid.run(&["token", "create", "--role", "client", "--name", "ada", "--output", "json"]);
    let made: Value = serde_json::from_str(made.ok()).expect("JSON");
    let secret = made["token"].as_str().expect("a token");
    let ada = user(secret);
    grid.run(&["worker", "cordon", "w1"]).ok();
    grid.run(&["worker", "cordon", "w1"]).ok();
    grid.run(&["tenant", "set", "ada", "jobs=50"]).ok();
    let submit = ["submit", &guest("noop"), "--range", "0..3", "--name", "hers"];
    let job = ada.run(submit).ok().trim().to_owned();
    ada.run(["worker", "uncordon", "w1"]).fails_with(3, &["insufficient permissions"]);
    ada.run(["audit"]).fails_with(3, &["insufficient permissions", "audit log"]);
    grid.run(&["job", "cancel", &job]).ok();
    grid.run(&["token", "revoke", made["id"].as_str().expect("an id")]).ok();
    grid.run(&["worker", "uncordon", "w1"]).ok();
    grid.run(&["worker", "drain", "nobody"]).fails_with(2, &["nobody"]);

    let all = log(&grid, &[]);
    let since = &all[before..];
    let expected = [
        "create-token  ok",
        "cordon-worker w1 ok",
        "set-quota ada ok",
        "uncordon-worker w1 role_not_allowed",
        "read-audit  role_not_allowed",
        "cancel-job hers ok",
        "revoke-token  ok",
        "uncordon-worker w1 ok",
        "drain-worker nobody worker_not_connected",
    ];
    assert_eq!(acts(since), expected, "{since:#?}");
    let numbers: Vec<u64> =
        all.iter().map(|entry| entry["number"].as_u64().expect("one")).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    let [token, _, quota, refused, _, cancel, ..] = since else { panic!("entries") };
    assert_eq!(token["object"]["id"], made["id"]);
    assert_eq!(token["parameters"], json!("role=client ttl=1h uses=1 name=ada"));
    assert_eq!(quota["parameters"], json!("jobs=50"));
    assert_eq!(cancel["object"]["id"], json!(job));
    let by = &refused["who"];
    assert_eq!(
        (&by["name"], &by["role"], &by["tenant"]),
        (&json!("ada"), &json!("client"), &json!("ada"))
    );
    assert!(by["serial"].as_str().is_some_and(|serial| serial.len() == 32), "{by}");
    assert_eq!(cancel["who"]["role"], json!("operator"));

    grid.kill_scheduler();
    grid.restart_scheduler();
    // A scheduler that starts makes a token.
    let later = log(&grid, &[]);
    assert_eq!(later[..all.len()], all);
    assert_eq!(acts(&later[all.len()..]), ["create-token  ok"]);
    let of_ada: Vec<Value> =
        all.iter().filter(|one| one["who"]["name"] == "ada").cloned().collect();
    assert_eq!((log(&grid, &["--who", "ada"]), of_ada.len()), (of_ada.clone(), 2));
    assert_eq!(log(&grid, &["--since", "1h", "--who", "ada"]), of_ada);
    assert_eq!(log(&grid, &["--since", "2020-01-01"]), later);
    assert_eq!(log(&grid, &["--since", "2120-01-01T00:00Z"]), Vec::<Value>::new());
    grid.run(&["audit", "--since", "yesterday"]).fails_with(2, &["yesterday", "2026-11-30"]);
    let shown = grid.run(&["audit"]);
    let line = |line: &str| line.contains("client ada") && line.contains("uncordon-worker");
    assert!(shown.ok().lines().any(line), "{shown}");
    assert!(shown.ok().starts_with("TIME"), "{shown}");
    // The token's text is what makes a member: it is nowhere, nor is any part of it that is secret.
    let text = format!("{shown}{all:?}");
    assert!(!text.contains(secret) && !text.contains("wgt1."), "{text}");
}

#[test]
fn refused_attempts_of_a_client_do_not_fill_the_audit_log() {
    let grid = Grid::start(0, 1);
    let ada = user(grid.run(&["token", "create", "--role", "client", "--name", "ada"]).ok().trim());
    for _ in 0..15 {
        ada.run(["token", "list"]).fails_with(3, &["insufficient permissions"]);
    }
    wait_until("the entries", || !log(&grid, &["--who", "ada"]).is_empty());
    let entries = log(&grid, &["--who", "ada"]);
    assert_eq!(acts(&entries), vec!["list-tokens  role_not_allowed"; 10]);
}
