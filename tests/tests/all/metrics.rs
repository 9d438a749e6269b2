//! What is watched of the real binary: its metrics as Prometheus checks them, whether it is ready, and the
//! traces in its log.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use wasmgrid_tests::{Daemon, Grid, Home, free_address, guest, wait_until};

use crate::http::{Web, gateway, has_curl, joined, key};

/// Whether Prometheus's own checks are here.
fn has_promtool() -> bool {
    let found = Command::new("promtool").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped: promtool is not installed");
    }
    found
}

/// Fails if promtool finds a fault in metrics.
fn check(metrics: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool is here");
    let mut stdin = promtool.stdin.take().expect("it is piped");
    stdin.write_all(metrics.as_bytes()).expect("promtool reads all");
    drop(stdin);
    let done = promtool.wait_with_output().expect("a child of ours");
    let faults = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && faults.is_empty(), "{faults}\n{metrics}");
}

/// A grid with a worker in one process that serves both their metrics.
fn up(home: &Home, more: &[&str]) -> (Daemon, Web) {
    let listen = free_address();
    let up = ["up", "--listen", &listen, "--state-dir", "state", "--slots", "2"];
    let args = [&up[..], &["--http", "127.0.0.1:0"], more].concat();
    let mut scheduler = Daemon::start(home.command(args));
    scheduler.hear("HTTP", |line| line.contains("serves HTTP").then_some(()));
    let Web { url, key } = Web::of(&mut scheduler, key(home));
    // In a log of objects more follows.
    let url = url.split('"').next().unwrap_or_default().to_owned();
    (scheduler, Web { url, key })
}

/// Where a worker says that it serves its metrics.
fn metrics_of(worker: &mut Daemon) -> Web {
    let url = worker.hear("the address of the metrics", |line| {
        let at = line.contains("metrics are served").then_some(line)?;
        let address = at.split_whitespace().find_map(|word| word.strip_prefix("address="))?;
        Some(format!("http://{address}"))
    });
    Web { url, key: String::new() }
}

#[test]
fn promtool_accepts_the_metrics_of_a_scheduler_and_of_a_worker() {
    if !has_curl() || !has_promtool() {
        return;
    }
    let home = Home::new();
    let (mut process, web) = up(&home, &["--metrics", "127.0.0.1:0"]);
    let worker = metrics_of(&mut process);
    home.run(["run", &guest("echo"), "--range", "0..3"]).ok();
    let counted = "wasmgrid_worker_tasks_total{outcome=\"ok\"} 3\n";
    wait_until("the worker counts", || worker.curl(&[], "/metrics").contains(counted));
    let of_worker = worker.curl(&[], "/metrics");
    for line in [
        "wasmgrid_worker_linked 1\n",
        "wasmgrid_worker_task_seconds_count 3\n",
        "wasmgrid_module_compile_seconds_count 1\n",
        "wasmgrid_runner_restarts_total{why=\"died\"} 0\n",
    ] {
        assert!(of_worker.contains(line), "{line} is not in\n{of_worker}");
    }
    assert_eq!(worker.curl(&[], "/readyz"), "ok\n");
    let of_scheduler = web.curl(&[], "/metrics");
    assert!(of_scheduler.contains("wasmgrid_tasks_total{outcome=\"ok\"} 3\n"), "{of_scheduler}");
    check(&of_scheduler);
    check(&of_worker);
    assert!(process.interrupt().success(), "{}", process.said());
}

#[test]
fn promtool_accepts_the_alerts() {
    if !has_promtool() {
        return;
    }
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/monitoring/alerts.yml");
    let done =
        Command::new("promtool").args(["check", "rules", rules]).output().expect("it is here");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}\n{said}", String::from_utf8_lossy(&done.stdout));
}

#[test]
fn a_gateway_is_ready_while_its_grid_answers_and_lives_all_the_time() {
    if !has_curl() {
        return;
    }
    let mut grid = Grid::start(0, 0);
    let machine = joined(&grid);
    let (_gateway, web) = gateway(&grid, &machine);
    let status = || {
        let args = ["-o", "/dev/null", "-w", "%{http_code}"];
        let done = web.command(&args, "/readyz").output().expect("curl is here");
        String::from_utf8(done.stdout).expect("UTF-8")
    };
    assert_eq!(status(), "200");
    grid.kill_scheduler();
    wait_until("the gateway is not ready", || status() == "503");
    assert_eq!(web.curl(&[], "/healthz"), "ok\n");
    grid.restart_scheduler();
    wait_until("the gateway is ready", || status() == "200");
}

#[test]
fn the_trace_of_a_request_is_in_its_log_lines() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    if !has_curl() {
        return;
    }
    let home = Home::new();
    let (mut process, web) = up(&home, &["--log", "json", "-v"]);
    let sent = [format!("00-{TRACE}-00f067aa0ba902b7-01"), "00-nonsense-01".to_owned()];
    for traceparent in &sent {
        web.curl(&["-H", &format!("traceparent: {traceparent}")], "/v1/jobs");
    }
    let answered = |line: &str| {
        let object: Value = serde_json::from_str(line).ok()?;
        let span = object["span"].clone();
        (object["message"] == "answered" && span["route"] == "/v1/jobs").then_some(span)
    };
    let traced = process.hear("the request's line", answered);
    let [method, tenant, trace] = ["method", "tenant", "trace_id"].map(|key| traced[key].clone());
    assert_eq!([method, tenant, trace], [json!("GET"), json!("web"), json!(TRACE)]);
    let lines = || process.said().lines().filter_map(answered).collect::<Vec<_>>();
    wait_until("both lines", || lines().len() == 2);
    assert_eq!(lines()[1].get("trace_id"), None, "what is malformed is ignored");
}
