//! Quotas as operators and users meet them: at the command line.

use serde_json::{Value, json};
use wasmgrid_tests::{Grid, guest, known::newest};

fn uses(grid: &Grid, resource: &str) -> Value {
    let listed = grid.run(&["tenant", "list", "--output", "json"]);
    let tenants: Value = serde_json::from_str(listed.ok()).expect("JSON");
    let uses = tenants[0]["uses"].as_array().expect("a list").clone();
    uses.into_iter().find(|one| one["resource"] == resource).expect("it is told")
}

#[test]
fn a_quota_is_set_shown_kept_and_refuses_with_exit_code_3() {
    let mut grid = Grid::start(1, 1);
    grid.run(&["run", &guest("noop"), "--range", "0..3"]).ok();
    let tenants: Value =
        serde_json::from_str(grid.run(&["tenant", "list", "--output", "json"]).ok()).expect("JSON");
    let name = tenants[0]["name"].as_str().expect("a name").to_owned();
    grid.run(&["tenant", "set", &name, "jobs=1", "running-tasks=none"]).ok();
    grid.kill_scheduler();
    grid.restart_scheduler();
    grid.wait_for_worker("w1", "ready");
    let jobs = uses(&grid, "jobs");
    assert_eq!(jobs, json!({ "resource": "jobs", "used": "1", "allowed": "1", "own": true }));
    let refused = grid.run(&["run", &guest("noop"), "--range", "0..3"]);
    refused.fails_with(3, &["uses 1 of its quota of 1 jobs"]);
    let shown = grid.run(&["tenant", "show", &name]);
    assert!(shown.ok().contains("set for it"), "{}", shown.ok());
    grid.run(&["tenant", "set", &name, "jobs=default"]).ok();
    grid.run(&["run", &guest("noop"), "--range", "0..3"]).ok();
    let shown = grid.run(&["tenant", "show", &name]);
    assert!(shown.ok().contains("6 ok"), "{}", shown.ok());
    // By default nobody may have the whole disk.
    assert!(uses(&grid, "bytes")["allowed"].as_str().is_some_and(|most| most != "0"));
}

#[test]
fn a_job_whose_tenant_may_run_nothing_is_a_problem_that_names_the_quota() {
    let grid = Grid::start(1, 1);
    grid.run(&["run", &guest("noop"), "--range", "0..1"]).ok();
    let tenants: Value =
        serde_json::from_str(grid.run(&["tenant", "list", "--output", "json"]).ok()).expect("JSON");
    let name = tenants[0]["name"].as_str().expect("a name").to_owned();
    grid.run(&["tenant", "set", &name, "running-tasks=0"]).ok();
    grid.run(&["submit", &guest("noop"), "--range", "0..3"]).ok();
    let why = "uses 0 of its quota of 0 running-tasks";
    let status = grid.run(&["status"]);
    status.fails_with(1, &[]);
    assert!(status.text().contains(why), "{status}");
    let job = &newest(&grid).expect("it was submitted")["id"];
    let explained = grid.run(&["job", "explain", &job.to_string()]);
    assert!(explained.ok().contains(why), "{}", explained.ok());
    grid.run(&["tenant", "set", &name, "running-tasks=default"]).ok();
    grid.run(&["job", "wait", &job.to_string()]).ok();
    grid.run(&["status"]).ok();
}

#[test]
fn what_a_tenant_has_used_is_shown_and_survives_a_kill_of_the_scheduler() {
    let usage = |grid: &Grid| -> Value {
        let listed = grid.run(&["tenant", "list", "--output", "json"]);
        let tenants: Value = serde_json::from_str(listed.ok()).expect("JSON");
        tenants[0]["usage"].clone()
    };
    let mut grid = Grid::start(1, 2);
    grid.run(&["run", &guest("echo"), "--range", "10..20"]).ok();
    let before = usage(&grid);
    assert_eq!(before["tasks"]["ok"], 10);
    assert_eq!(before["result_bytes"], 20, "two digits each");
    assert!(before["fuel"].as_str().is_some_and(|fuel| fuel != "0"), "{before}");
    assert!(before["wall_us"].as_str().is_some_and(|wall| wall != "0"), "{before}");
    grid.kill_scheduler();
    grid.restart_scheduler();
    grid.wait_for_worker("w1", "ready");
    assert_eq!(usage(&grid), before);
    grid.run(&["run", &guest("echo"), "--range", "10..20"]).ok();
    assert_eq!(usage(&grid)["tasks"]["ok"], 20);
}
