//! Whole runs from outside: many tasks through `wasmgrid run`, here and on a grid of processes.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use wasmgrid_tests::{Grid, Home};

use crate::memory;

/// A module and its inputs, one a line.
pub struct Work {
    /// What it is, for the table.
    pub name: &'static str,
    /// The `.wasm`.
    pub module: String,
    /// The inputs.
    pub lines: Vec<u8>,
    /// How many.
    pub tasks: u64,
}

/// What a whole run took.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// From the start of the command to its end.
    pub wall: Duration,
    /// The largest memory of all processes together, in bytes.
    pub peak_bytes: u64,
}

impl Work {
    /// A work of these inputs.
    pub fn new(name: &'static str, module: &str, lines: Vec<u8>) -> Self {
        let tasks = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        Self { name, module: module.into(), lines, tasks }
    }

    /// The first input.
    pub fn first(&self) -> &[u8] {
        self.lines.split(|byte| *byte == b'\n').next().unwrap_or_default()
    }
}

/// Inputs of 16 bytes, each another.
pub fn short_lines(count: u64) -> Vec<u8> {
    (0..count).flat_map(|n| format!("{n:016}\n").into_bytes()).collect()
}

/// The same input many times.
pub fn repeated(input: &str, count: u64) -> Vec<u8> {
    format!("{input}\n").repeat(usize::try_from(count).unwrap_or(0)).into_bytes()
}

/// Inputs of 1 MiB.
pub fn large_lines(count: u64) -> Vec<u8> {
    repeated(&"x".repeat(1 << 20), count)
}

/// (b): client, scheduler and worker in one process, runners beside it or, in process, in it.
pub fn local(work: &Work, isolation: &str) -> Measured {
    let home = Home::new();
    home.write("in", &work.lines);
    // The module is compiled and the caches are warm, as on every run but the first.
    home.write("one", work.first());
    home.run(["run", &work.module, "--lines", "one"]).ok();
    time(&home, work, &["--isolation", isolation], &[])
}

/// (c): scheduler, worker and client as processes over loopback QUIC, SQLite on disk.
pub fn cluster(work: &Work) -> Measured {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let grid = Grid::start(1, u32::try_from(cores).unwrap_or(1));
    grid.home.write("in", &work.lines);
    grid.home.write("one", work.first());
    grid.run(&["run", &work.module, "--lines", "one"]).ok();
    let workers = grid.workers.iter().map(|worker| worker.process.pid());
    let daemons: Vec<u32> = workers.chain([grid.scheduler.pid()]).collect();
    time(&grid.home, work, &[], &daemons)
}

fn time(home: &Home, work: &Work, flags: &[&str], daemons: &[u32]) -> Measured {
    let mut command = home.command(["run", &work.module, "--lines", "in", "-o", "out"]);
    command.args(flags);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().expect("the binary starts");
    let mut roots = daemons.to_vec();
    roots.push(child.id());
    let peak = memory::watch(&roots, || child.try_wait().expect("a child of ours").is_some());
    let wall = start.elapsed();
    let status = child.wait().expect("it has ended");
    assert!(status.success(), "the run failed: {status}");
    Measured { wall, peak_bytes: peak }
}
