//! Memory: of daemons that do nothing, and of a scheduler whose tasks all wait.

use std::{process::Stdio, thread};

use wasmgrid_tests::{Grid, children_as};

use crate::{
    Bench,
    latency::SETTLE,
    report::{Row, Target},
    throughput::{count, short_lines},
    usage,
};

/// What each daemon may be in at rest, in MiB.
const IDLE_MIB: f64 = 40.0;

/// What a scheduler may grow by, in MiB.
const QUEUED_MIB: f64 = 64.0;

/// Scheduler, agent and runner, after they have run ten thousand tasks.
pub fn idle(bench: &mut Bench) {
    let grid = Grid::start(1, 1);
    grid.run(&["run", &bench.noop, "--range", "0..10000", "-o", "out"]).ok();
    thread::sleep(SETTLE);
    let scheduler = grid.scheduler.pid();
    let agent = grid.workers.first().expect("one was added").process.pid();
    let runners = children_as(agent, "runner");
    let largest = runners.into_iter().max_by_key(|pid| usage::proportional(*pid));
    for (name, what, pid) in [
        ("memory.scheduler", "scheduler at rest", Some(scheduler)),
        ("memory.agent", "worker's agent at rest", Some(agent)),
        ("memory.runner", "its largest runner at rest", largest),
    ] {
        let Some(pid) = pid else {
            bench.report.skip(name, "there is none");
            continue;
        };
        let row = Row::new(name, what, usage::mib(usage::proportional(pid)), "MiB");
        let row = row.beside("MiB_with_what_is_shared", usage::mib(usage::resident(pid)));
        bench.report.push(row.target(Target::AtMost(IDLE_MIB)));
    }
}

/// A scheduler without workers that is given tasks.
pub fn queued(bench: &mut Bench) {
    let tasks = bench.options.scaled(1_000_000);
    let grid = Grid::start(0, 0);
    // Reading modules and answering are paid for before.
    grid.run(&["submit", &bench.noop, "--range", "0..1"]).ok();
    grid.home.write("in", short_lines(tasks));
    thread::sleep(SETTLE);
    let scheduler = grid.scheduler.pid();
    let before = usage::proportional(scheduler);
    let mut submit = grid.home.command(["submit", &bench.noop, "--lines", "in"]);
    let mut submit = submit.stdout(Stdio::null()).spawn().expect("the binary starts");
    let ended = || submit.try_wait().expect("a child of ours").is_some();
    let peak = usage::watch(&[scheduler], ended);
    assert!(submit.wait().expect("it has ended").success(), "the submit failed");
    thread::sleep(SETTLE);
    let grown = |bytes: u64| usage::mib(bytes.saturating_sub(before));
    let grown_mib = grown(usage::proportional(scheduler));
    let what = "a scheduler's growth by queued tasks of 16 bytes";
    let row = Row::new("memory.queued", what, grown_mib, "MiB")
        .beside("tasks", count(tasks))
        .beside("MiB_while_it_was_told", grown(peak.max(before)));
    bench.report.push(row.target(Target::AtMost(QUEUED_MIB)));
}
