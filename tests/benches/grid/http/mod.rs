//! The HTTP interface: calls, inputs and results against the same over QUIC, open streams, and pages of a
//! job that runs.

mod connection;

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use wasmgrid_net::Role;
use wasmgrid_proto::{FunctionTerms, JobSpec, ModuleKind, TaskSpec};
use wasmgrid_tests::{Daemon, Grid, Home, wait_until};

use self::connection::{Asker, Connection, Reader};
use crate::{
    Bench, calls,
    latency::SETTLE,
    machine::cores,
    report::{Row, Target},
    throughput::{self, Work, count, daemons, repeated},
    times::{Times, median},
    usage,
};

/// The tenant of everything here.
const TENANT: &str = "bench";

/// What a call over HTTP may take longer than over QUIC, in milliseconds.
const CALL_MS: f64 = 0.4;

/// Streams that wait for results: as many as one key may have.
const STREAMS: u32 = 1_000;

/// What each may take of its gateway's memory, in KiB.
const STREAM_KIB: f64 = 40.0;

/// Tasks of the job whose page is looked at.
const LARGE: u64 = 10_000_000;

/// What its page may take, in milliseconds.
const PAGE_MS: f64 = 20.0;

/// Who looks at its page as it changes.
const VIEWERS: usize = 10;

/// A grid that serves HTTP, with a worker on all cores.
struct Served {
    grid: Grid,
    asker: Asker,
}

impl Served {
    fn start() -> Self {
        let mut grid = Grid::start(0, 0);
        grid.kill_scheduler();
        grid.restart_scheduler_with(|command| {
            command.args(["--http", "127.0.0.1:0"]);
        });
        let url = url_of(&mut grid.scheduler);
        grid.add_worker(u32::try_from(cores()).unwrap_or(1));
        let asker = Asker::new(&url, format!("Authorization: Bearer {}", key(&grid)));
        Self { grid, asker }
    }

    /// Who looks at pages in a browser.
    fn viewer(&self) -> Asker {
        let url = format!("http://{}", self.asker.address);
        let link = self.grid.run(&["ui", "--print", "--http", &url]).ok().trim().to_owned();
        let path = link.strip_prefix(&url).expect("a link to there");
        let form = "application/x-www-form-urlencoded";
        let answer = self.asker.ask("POST", path, form, b"");
        let cookie = answer.head.iter().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).expect("a session");
        Asker { who: format!("Cookie: {cookie}"), ..self.asker.clone() }
    }
}

/// A key of an operator.
fn key(grid: &Grid) -> String {
    let args = ["key", "create", "--tenant", TENANT, "--role", "operator"];
    grid.run(&args).ok().trim().to_owned()
}

/// Where a process serves HTTP.
fn url_of(daemon: &mut Daemon) -> String {
    daemon.hear("the address of HTTP", |line| {
        line.split_whitespace().find(|word| word.starts_with("http://")).map(Into::into)
    })
}

/// All of it.
pub fn run(bench: &mut Bench) {
    let served = Served::start();
    calls(bench, &served);
    ndjson(bench, &served);
    pages(bench, &served);
    throughput::stop(served.grid);
    streams(bench);
}

/// Calls of a function one after the other, in turns over HTTP and over QUIC.
fn calls(bench: &mut Bench, served: &Served) {
    let each = bench.options.scaled(200);
    let runtime = calls::runtime();
    let ca = served.grid.state_dir().join("ca");
    let client = runtime.block_on(calls::connect(&ca, served.grid.address(), Role::Client, TENANT));
    let module = runtime.block_on(calls::put(&client, &bench.noop));
    let spec = JobSpec::new("noop".into(), TaskSpec::new(module, ModuleKind::Task));
    let spec = spec.of_function(FunctionTerms::default()).expect("encodes");
    runtime.block_on(client.deploy("noop", spec)).expect("deployed");
    let caller = runtime.block_on(async { client.caller("noop", None) }).expect("a caller");
    let input = Bytes::from_static(b"0123456789abcdef");
    let mut connection = served.asker.connect();
    let (mut http, mut quic) = (Vec::new(), Vec::new());
    for round in 0..10 {
        for _ in 0..each {
            let start = Instant::now();
            let kind = "application/octet-stream";
            let answer = connection.ask("POST", "/v1/functions/noop", kind, &input);
            let took = start.elapsed();
            assert_eq!((answer.status, &*answer.body), (200, &*input));
            let start = Instant::now();
            let called = runtime.block_on(caller.call(input.clone())).expect("it is taken");
            let took_quic = start.elapsed();
            assert_eq!(called.output(), input);
            // The first ones warm the module, the runner and the connections.
            if round > 0 {
                http.push(took);
                quic.push(took_quic);
            }
        }
    }
    let (http, quic): (Times, Times) = (http.into_iter().collect(), quic.into_iter().collect());
    let what = "one call of a function over QUIC, durable: p50";
    let row = Row::new("http.call.quic", what, quic.p50(), "ms");
    bench.report.push(row.beside("ms_p99", quic.p99()));
    let what = "the same over HTTP, one connection: p50";
    let row = Row::new("http.call", what, http.p50(), "ms").of("http.call.quic", quic.p50());
    let row = row.beside("ms_p99", http.p99());
    bench.report.push(row.target(Target::AtMost(quic.p50() + CALL_MS)));
}

/// Many no-op tasks, in and out as lines of JSON, against `wasmgrid run`.
fn ndjson(bench: &mut Bench, served: &Served) {
    let tasks = bench.options.scaled(1_000_000);
    let work = Work::new("no-op, JSON lines", &bench.noop, repeated("\"0123456789abcd\"", tasks));
    let grid = &served.grid;
    grid.home.write("in", &work.lines);
    grid.run(&["run", &work.module, "--range", "0..1", "-o", "out"]).ok();
    let module = wasmgrid_proto::Digest::of(&std::fs::read(&bench.noop).expect("a module"));
    let spec = json!({ "module": module.to_string() }).to_string();
    let (mut runs, mut sent) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds() {
        let run = throughput::time(&grid.home, &work.module, &["--lines", "in"], &daemons(grid));
        runs.push(count(tasks) / run.wall.as_secs_f64());
        let start = Instant::now();
        let made = served.asker.ask("POST", "/v1/jobs", "application/json", spec.as_bytes());
        let job = job_of(&serde_json::from_slice(&made.body).expect("a job"));
        let lines = thread::scope(|scope| {
            let read = scope.spawn(|| {
                let mut stream = served.asker.connect();
                stream.begin(&format!("{job}/results?follow=true"));
                lines_of(stream)
            });
            let path = format!("{job}/inputs?close=true");
            let given = served.asker.ask("POST", &path, "application/x-ndjson", &work.lines);
            assert_eq!(given.status, 200, "{}", String::from_utf8_lossy(&given.body));
            read.join().expect("all results")
        });
        assert_eq!(lines, tasks);
        sent.push(count(tasks) / start.elapsed().as_secs_f64());
    }
    let ratios = sent.iter().zip(&runs).map(|(sent, run)| sent / run).collect();
    let what = "no-op, JSON lines: `wasmgrid run` over QUIC, durable";
    bench.report.push(Row::new("http.ndjson.run", what, median(runs), "tasks/s"));
    let what = "the same over HTTP: sent in one request, results in another";
    let row = Row::new("http.ndjson", what, median(sent), "tasks/s");
    let row = row.ratio("http.ndjson.run", median(ratios));
    bench.report.push(row.target(Target::RatioAtLeast(0.5)));
}

fn lines_of(mut stream: Connection) -> u64 {
    let (mut lines, mut chunk) = (0, Vec::new());
    while stream.chunk(&mut chunk) > 0 {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        chunk.clear();
    }
    lines
}

fn job_of(made: &Value) -> String {
    format!("/v1/jobs/{}", number(made, "/id").expect("a job has a number"))
}

/// A number of an answer.
fn number(value: &Value, place: &str) -> Option<f64> {
    value.pointer(place)?.as_f64()
}

/// The page of a large job while it runs, and what those who look at it cost the job.
fn pages(bench: &mut Bench, served: &Served) {
    let tasks = bench.options.scaled(LARGE);
    let mut submit = served.grid.home.command(["submit", &bench.noop, "--name", "large"]);
    // It goes on for longer than it is looked at.
    submit.args(["--range", &format!("0..{}", 20 * tasks)]).stdout(Stdio::null());
    let mut submit = submit.spawn().expect("the binary starts");
    let newest = || -> Value {
        let listed = served.asker.ask("GET", "/v1/jobs?limit=1&name=large", "text/plain", b"");
        let listed: Value = serde_json::from_slice(&listed.body).expect("a list");
        listed.pointer("/jobs/0").cloned().unwrap_or_default()
    };
    wait_until("a large job", || number(&newest(), "/counts/total") >= Some(count(tasks)));
    let id = number(&newest(), "/id").expect("a job has a number");
    let (job, page) = (format!("/v1/jobs/{id}"), format!("/jobs/{id}"));
    let viewer = served.viewer();
    let mut connection = viewer.connect();
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        let answer = connection.ask("GET", &page, "text/plain", b"");
        times.push(start.elapsed());
        assert_eq!(answer.status, 200, "{page}");
    }
    let times: Times = times.into_iter().collect();
    let what = "the page of a job of many tasks that runs: p50";
    let row = Row::new("http.page", what, times.p50(), "ms");
    let row = row.beside("tasks", count(tasks)).beside("ms_p99", times.p99());
    bench.report.push(row.target(Target::AtMost(PAGE_MS)));

    let span = Duration::from_secs(if bench.options.quick { 1 } else { 4 });
    let mut asking = served.asker.connect();
    let mut rate = || {
        let mut done = || {
            let told = asking.ask("GET", &job, "text/plain", b"");
            let told: Value = serde_json::from_slice(&told.body).expect("a job");
            (Instant::now(), number(&told, "/counts/ok").expect("a count"))
        };
        let (start, before) = done();
        thread::sleep(span);
        let (end, after) = done();
        (after - before) / end.duration_since(start).as_secs_f64()
    };
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds() {
        alone.push(rate());
        let viewers: Vec<_> = (0..VIEWERS)
            .map(|_| {
                let mut stream = viewer.connect();
                stream.begin(&format!("{page}/live"));
                stream.read_on()
            })
            .collect();
        watched.push(rate());
        viewers.into_iter().for_each(Reader::stop);
    }
    let ratios = watched.iter().zip(&alone).map(|(watched, alone)| watched / alone).collect();
    let what = "tasks of that job, nobody looks";
    bench.report.push(Row::new("http.unwatched", what, median(alone), "tasks/s"));
    let what = format!("the same while {VIEWERS} read its page as it changes");
    let row = Row::new("http.watched", what, median(watched), "tasks/s");
    let row = row.ratio("http.unwatched", median(ratios));
    bench.report.push(row.target(Target::RatioAtLeast(0.97)));
    submit.kill().expect("a child of ours");
    submit.wait().expect("a child of ours");
    let cancelled = served.asker.ask("POST", &format!("{job}/cancel"), "text/plain", b"");
    assert_eq!(cancelled.status, 200);
}

/// What streams that wait for results take of the memory of a gateway of its own.
fn streams(bench: &mut Bench) {
    let grid = Grid::start(0, 0);
    let machine = Home::new();
    let token = grid.run(&["token", "create", "--role", "gateway"]).ok().trim().to_owned();
    machine.run(["join", &token]).ok();
    let mut gateway = Daemon::start(machine.command(["gateway", "--http", "127.0.0.1:0"]));
    let url = url_of(&mut gateway);
    let asker = Asker::new(&url, format!("Authorization: Bearer {}", key(&grid)));
    grid.home.run(["submit", &bench.noop, "--range", "0..1"]).ok();
    let path = "/v1/jobs/1/results?follow=true";
    // What the first one brings with it is there before.
    let mut open = vec![asker.connect()];
    open.iter_mut().for_each(|stream| stream.begin(path));
    thread::sleep(SETTLE);
    let before = usage::proportional(gateway.pid());
    let streams = STREAMS.min(descriptors()) - 1;
    for _ in 0..streams {
        let mut stream = asker.connect();
        stream.begin(path);
        open.push(stream);
    }
    thread::sleep(SETTLE);
    let grown = usage::mib(usage::proportional(gateway.pid()).saturating_sub(before));
    let each = 1_024.0 * grown / f64::from(streams);
    let what = "a gateway's growth by a stream that waits for results";
    let row = Row::new("http.stream", what, each, "KiB").beside("streams", f64::from(streams));
    bench.report.push(row.target(Target::AtMost(STREAM_KIB)));
}

/// How many connections this process may have beside its other files.
fn descriptors() -> u32 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it cannot be raised, there are fewer.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    u32::try_from(current).unwrap_or(u32::MAX).saturating_sub(100)
}
