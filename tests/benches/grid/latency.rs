//! One call at a time: a job of one task is submitted, and its result awaited, over one link.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use wasmgrid_client::{Client, JobEvent, SubmitRequest};
use wasmgrid_net::{Endpoint, JoinToken};
use wasmgrid_proto::{InputBlock, JobSpec, Limits, ModuleKind, TaskSpec};
use wasmgrid_tests::{Grid, Home};

/// How long calls took.
pub struct Latency {
    name: &'static str,
    calls: usize,
    p50: Duration,
    p99: Duration,
}

impl Latency {
    fn of(name: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |percent: usize| {
            let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            times.get(place).copied().unwrap_or_default()
        };
        Self { name, calls: times.len(), p50: at(50), p99: at(99) }
    }

    /// The figures for programs.
    pub fn json(&self) -> serde_json::Value {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        json!({ "how": self.name, "calls": self.calls, "p50_us": us(self.p50), "p99_us": us(self.p99) })
    }
}

/// Times calls of the no-op task: over one link to a durable grid, and as a command each.
pub fn measure(module: &str, calls: usize) -> Vec<Latency> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let grid = Grid::start(1, 1);
    let over_quic = runtime.block_on(calls_over_quic(&grid, module, calls));
    vec![
        Latency::of("one call over QUIC, durable", over_quic),
        Latency::of("`wasmgrid run` of one task, local, compiled before", commands(module, 20)),
    ]
}

async fn calls_over_quic(grid: &Grid, module: &str, calls: usize) -> Vec<Duration> {
    let made = grid.run(&["token", "create", "--role", "client"]);
    let token: JoinToken = made.ok().trim().parse().expect("a token");
    let credentials = wasmgrid_net::enroll(&token, "bench").await.expect("the token is good");
    let endpoint = Endpoint::new(&credentials);
    let addresses = token.addresses.clone();
    let client = Client::connect(move || {
        let (endpoint, addresses) = (endpoint.clone(), addresses.clone());
        async move { endpoint.connect_client(&addresses).await }
    })
    .await
    .expect("the grid answers");
    let bytes = Bytes::from(std::fs::read(module).expect("a module"));
    let digest = client.put_module(bytes).await.expect("it is a task");
    let mut times = Vec::with_capacity(calls);
    // The first calls warm the module, the runner and the congestion window.
    for call in 0..calls + 20 {
        let start = Instant::now();
        one_call(&client, digest).await;
        if call >= 20 {
            times.push(start.elapsed());
        }
    }
    client.shutdown().await;
    times
}

async fn one_call(client: &Client, digest: wasmgrid_proto::Digest) {
    let task = TaskSpec {
        module: digest,
        kind: ModuleKind::Task,
        args: Vec::new(),
        limits: Limits::default(),
        seed: 0,
        grants: Vec::new(),
        tenant: String::new(),
    };
    let spec = JobSpec {
        name: "call".into(),
        task,
        priority: 0,
        retries: 0,
        max_failures: None,
        deadline: None,
        requires: Vec::new(),
        attached: false,
    };
    let request = SubmitRequest {
        spec,
        key: None,
        inputs: InputBlock::Packed(vec![16]),
        payload: Bytes::from_static(b"0123456789abcdef"),
        closed: true,
        watch: true,
    };
    let (_, stream) = client.submit(request).await.expect("it is taken");
    let mut stream = stream.expect("a watch was asked for");
    loop {
        match stream.next().await.expect("the job goes on").expect("the grid answers") {
            JobEvent::Results { .. } => break,
            JobEvent::Update(_) => {}
            JobEvent::Ended(status) => panic!("it ended without a result: {status:?}"),
        }
    }
}

/// From nothing to the first result: a process, a grid in it, a task, and all of it gone again.
fn commands(module: &str, count: usize) -> Vec<Duration> {
    let home = Home::new();
    home.run_with_stdin(["run", module], b"0123456789abcdef").ok();
    (0..count)
        .map(|_| {
            let start = Instant::now();
            home.run_with_stdin(["run", module], b"0123456789abcdef").ok();
            start.elapsed()
        })
        .collect()
}

/// Prints them as Markdown.
pub fn print(latencies: &[Latency]) {
    println!("| one at a time | calls | p50 | p99 |");
    println!("|---|--:|--:|--:|");
    for latency in latencies {
        println!(
            "| {} | {} | {:.2} ms | {:.2} ms |",
            latency.name,
            latency.calls,
            latency.p50.as_secs_f64() * 1e3,
            latency.p99.as_secs_f64() * 1e3,
        );
    }
}
