//! The HTTP interface of the real binary, asked with curl as its users do.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};
use wasmgrid_proto::Digest;
use wasmgrid_tests::{Daemon, Grid, Home, PATIENCE, free_address, guest, memory_bytes, wait_until};

/// Whether curl is here.
pub fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped: curl is not installed");
    }
    found
}

/// An HTTP interface, and a key for it.
pub struct Web {
    /// Where it is.
    pub url: String,
    /// A key; empty if none is asked for.
    pub key: String,
}

impl Web {
    /// That of a process that says where it serves.
    pub fn of(daemon: &mut Daemon, key: String) -> Self {
        let url = daemon.hear("the address of HTTP", |line| {
            line.split_whitespace().find(|word| word.starts_with("http")).map(Into::into)
        });
        Self { url, key }
    }

    pub fn command(&self, args: &[&str], path: &str) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sS", "-N", "-k", "-H", &format!("Authorization: Bearer {}", self.key)]);
        command.args(args).arg(format!("{}{path}", self.url));
        command
    }

    /// What curl prints.
    pub fn curl(&self, args: &[&str], path: &str) -> String {
        let args = [&["--fail-with-body"], args].concat();
        let done = self.command(&args, path).output().expect("curl is here");
        let text = String::from_utf8(done.stdout).expect("UTF-8");
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{path}: {errors}\n{text}");
        text
    }

    pub fn json(&self, args: &[&str], path: &str) -> Value {
        let text = self.curl(args, path);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Gives the grid a guest, and makes an open job of it.
    fn submit(&self, module: &str) -> String {
        let bytes = std::fs::read(module).expect("a guest");
        let digest = Digest::of(&bytes).to_string();
        let file = format!("@{module}");
        let put = ["-X", "PUT", "--data-binary", &file];
        let given = self.json(&put, &format!("/v1/modules/{digest}"));
        assert_eq!(given["digest"], json!(digest));
        let spec = json!({ "module": digest }).to_string();
        let job = self.json(&["-H", "Content-Type: application/json", "-d", &spec], "/v1/jobs");
        format!("/v1/jobs/{}", job["id"])
    }

    fn append(&self, job: &str, text: &str) -> Value {
        let args = ["-H", "Content-Type: text/plain", "--data-binary", text];
        self.json(&args, &format!("{job}/inputs"))
    }
}

/// A stream that is read line by line.
struct Follow {
    curl: Child,
    lines: mpsc::Receiver<String>,
}

impl Follow {
    fn start(web: &Web, path: &str) -> Self {
        let mut command = web.command(&[], path);
        let mut curl = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("curl");
        let (out, lines) = mpsc::channel();
        let stdout = curl.stdout.take().expect("it is piped");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = out.send(line);
            }
        });
        Self { curl, lines }
    }

    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.curl.kill());
        drop(self.curl.wait());
    }
}

/// A key of an operator.
pub fn key(home: &Home) -> String {
    home.run(["key", "create", "--tenant", "web", "--role", "operator"]).ok().trim().to_owned()
}

/// A machine that has joined a grid as a gateway.
pub fn joined(grid: &Grid) -> Home {
    let home = Home::new();
    let token = grid.run(&["token", "create", "--role", "gateway"]).ok().trim().to_owned();
    home.run(["join", &token]).ok();
    home
}

/// A gateway of its own beside a grid.
pub fn gateway(grid: &Grid, home: &Home) -> (Daemon, Web) {
    let mut daemon = Daemon::start(home.command(["gateway", "--http", "127.0.0.1:0"]));
    let web = Web::of(&mut daemon, key(&grid.home));
    (daemon, web)
}

#[test]
fn a_job_is_run_from_a_fresh_grid_with_curl_alone() {
    if !has_curl() {
        return;
    }
    let (home, listen) = (Home::new(), free_address());
    let up = ["up", "--listen", &listen, "--state-dir", "state", "--slots", "2"];
    let args = [&up[..], &["--http", "127.0.0.1:0"]].concat();
    let mut scheduler = Daemon::start(home.command(args));
    let web = {
        scheduler.hear("HTTP", |line| line.contains("serves HTTP").then_some(()));
        Web::of(&mut scheduler, key(&home))
    };
    let job = web.submit(&guest("echo"));
    let lines: String = (0..1_000).map(|n| format!("input {n}\n")).collect();
    home.write("inputs", &lines);
    let file = format!("@{}", home.path().join("inputs").display());
    let stream = Follow::start(&web, &format!("{job}/results?follow=true"));
    let args = ["-H", "Content-Type: text/plain", "--data-binary", &file];
    let appended = web.json(&args, &format!("{job}/inputs?close=true"));
    assert_eq!((&appended["first"], &appended["count"]), (&json!(0), &json!(1_000)));
    for cursor in 0..1_000 {
        let line = stream.next();
        assert_eq!(line["cursor"], cursor);
        assert_eq!(line["output"], json!(format!("input {}", line["index"])), "{line}");
    }
    assert_eq!(web.json(&[], &job)["state"], "ok");
    assert_eq!(web.curl(&[], "/healthz"), "ok\n");
    assert!(web.curl(&[], "/metrics").contains("wasmgrid_tasks_total{outcome=\"ok\"} 1000"));
    assert!(scheduler.interrupt().success(), "{}", scheduler.said());
}

#[test]
fn a_stream_of_a_gateway_survives_kills_of_the_scheduler_and_of_the_gateway() {
    if !has_curl() {
        return;
    }
    let mut grid = Grid::start(1, 2);
    let machine = joined(&grid);
    let (mut first, web) = gateway(&grid, &machine);
    let job = web.submit(&guest("echo"));
    let stream = Follow::start(&web, &format!("{job}/results?follow=true"));
    web.append(&job, "one");
    assert_eq!(stream.next()["output"], "one");
    grid.kill_scheduler();
    grid.restart_scheduler();
    grid.wait_for_worker("w1", "ready");
    // The gateway goes on from where it was.
    web.append(&job, "two");
    let line = stream.next();
    assert_eq!((&line["output"], &line["cursor"]), (&json!("two"), &json!(1)));
    first.kill();
    assert!(stream.lines.recv_timeout(PATIENCE).is_err(), "it ends");
    // Another one has nothing of the first, and needs nothing.
    let (_second, web) = gateway(&grid, &machine);
    let stream = Follow::start(&web, &format!("{job}/results?follow=true&cursor=1"));
    assert_eq!(stream.next()["output"], "two");
    web.append(&job, "three");
    assert_eq!(stream.next()["output"], "three");
}

#[test]
fn an_address_that_others_reach_is_served_over_tls_alone() {
    if !has_curl() {
        return;
    }
    let (home, listen) = (Home::new(), free_address());
    let up = ["up", "--no-worker", "--listen", &listen, "--state-dir", "state"];
    let mut scheduler = Daemon::start(home.command([&up[..], &["--http", "0.0.0.0:0"]].concat()));
    scheduler.hear("HTTP", |line| line.contains("serves HTTP").then_some(()));
    let web = Web::of(&mut scheduler, key(&home));
    assert!(web.url.starts_with("https://"), "{}", web.url);
    assert_eq!(web.json(&[], "/v1/jobs")["jobs"], json!([]));
    let plain = Web { url: web.url.replace("https:", "http:"), key: web.key };
    let refused = plain.command(&[], "/healthz").output().expect("curl is here");
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    drop(scheduler);
    let grid = Grid::start(0, 0);
    let refused = joined(&grid).run(["gateway", "--http", "0.0.0.0:0"]);
    refused.fails_with(2, &["--http-cert", "--http-plain"]);
    grid.run(&["gateway", "--http", "off"]).fails_with(2, &["--http"]);
}

#[test]
fn senders_and_slow_readers_take_a_bounded_part_of_a_gateways_memory() {
    const MANY: usize = 64;
    const MOST: u64 = 320 << 20;
    if !has_curl() {
        return;
    }
    let grid = Grid::start(1, 2);
    let machine = joined(&grid);
    let (daemon, web) = gateway(&grid, &machine);
    let job = web.submit(&guest("echo"));
    let line = "x".repeat(4_095) + "\n";
    grid.home.write("inputs", line.repeat(256));
    let file = format!("@{}", grid.home.path().join("inputs").display());
    // They take a byte a second, and hold what was sent to them.
    let path = format!("{job}/results?follow=true");
    let slow = || web.command(&["--limit-rate", "1"], &path).stdout(Stdio::null()).spawn();
    let mut readers: Vec<Child> = (0..MANY).map(|_| slow().expect("curl")).collect();
    let args = ["-H", "Content-Type: text/plain", "--data-binary", &file, "-o", "/dev/null"];
    let append = || web.command(&args, &format!("{job}/inputs")).spawn().expect("curl");
    let senders: Vec<Child> = (0..MANY).map(|_| append()).collect();
    for mut sender in senders {
        assert!(sender.wait().expect("a child of ours").success());
    }
    let tasks = MANY * 256;
    wait_until("all results", || web.json(&[], &job)["results"] == json!(tasks));
    let held = memory_bytes(daemon.pid());
    assert!(held < MOST, "{} MiB", held >> 20);
    for reader in &mut readers {
        reader.kill().expect("a child of ours");
        reader.wait().expect("a child of ours");
    }
    let all = web.curl(&[], &format!("{job}/results"));
    assert_eq!(all.lines().count(), tasks);
}
