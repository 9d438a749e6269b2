//! How long one call takes: over QUIC to a durable grid and to one that keeps nothing; and as a
//! command, from nothing to its end.

use std::time::{Duration, Instant};

use wasmgrid_net::Role;
use wasmgrid_tests::{Grid, Home};

use crate::{
    Bench, calls, machine,
    report::{Report, Row, Target},
    scheduler::InMemory,
    times::Times,
};

/// Calls over one link.
pub fn calls(bench: &mut Bench) {
    let count = bench.options.scaled(2_000);
    let sync_ms = machine::sync(&mut bench.report, 300);
    let runtime = calls::runtime();

    let grid = InMemory::start();
    let times = runtime.block_on(async {
        let client = calls::connect(&grid.ca(), &grid.address, Role::Client, "caller").await;
        let module = calls::put(&client, &bench.noop).await;
        calls::many(&client, module, count).await
    });
    drop(grid);
    push(&mut bench.report, "latency.memory", "one call over QUIC, not durable", &times, 0.5);

    let grid = Grid::start(1, 1);
    let times = runtime.block_on(async {
        let ca = grid.state_dir().join("ca");
        let client = calls::connect(&ca, grid.address(), Role::Client, "caller").await;
        let module = calls::put(&client, &bench.noop).await;
        calls::many(&client, module, count).await
    });
    let most_ms = 1.0 + sync_ms;
    push(&mut bench.report, "latency.durable", "one call over QUIC, durable", &times, most_ms);
}

fn push(report: &mut Report, name: &str, what: &str, times: &Times, most_ms: f64) {
    let p50 = Row::new(format!("{name}.p50"), format!("{what}: p50"), times.p50(), "ms");
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let p50 = p50.beside("calls", times.count() as f64);
    report.push(p50.target(Target::AtMost(most_ms)));
    let p99 = Row::new(format!("{name}.p99"), format!("{what}: p99"), times.p99(), "ms");
    report.push(p99.of(format!("{name}.p50"), times.p50()).target(Target::RatioAtMost(3.0)));
}

/// From nothing to the first result: a process, a grid in it, a task, and all of it gone again.
pub fn starts(bench: &mut Bench) {
    let command = |home: &Home, module: &str, input: &[u8]| {
        let start = Instant::now();
        home.run_with_stdin(["run", module], input).ok();
        start.elapsed()
    };
    let home = Home::new();
    command(&home, &bench.noop, b"0123456789abcdef");
    let count = if bench.options.quick { 11 } else { 31 };
    let cached: Times =
        (0..count).map(|_| command(&home, &bench.noop, b"0123456789abcdef")).collect();
    // A home that nobody has used has nothing compiled.
    let uncached: Times = (0..count).map(|_| command(&Home::new(), &bench.spin, b"1")).collect();
    let size = std::fs::metadata(&bench.spin).map_or(0, |file| file.len() >> 10);
    let what = "`wasmgrid run` of one task, module compiled before: p50";
    push_start(&mut bench.report, "start.cached", what.into(), &cached, 30.0);
    let what = format!("the same, {size} KiB compiled first: p50");
    push_start(&mut bench.report, "start.uncached", what, &uncached, 150.0);
}

fn push_start(report: &mut Report, name: &str, what: String, times: &Times, most_ms: f64) {
    let row = Row::new(name, what, times.p50(), "ms").beside("ms_p99", times.p99());
    report.push(row.target(Target::AtMost(most_ms)));
}

/// Between the starts of other parts of a grid and what is measured on it.
pub const SETTLE: Duration = Duration::from_secs(2);
