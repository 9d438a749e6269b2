//! Whole runs from outside: many tasks through `wasmgrid run`, here and on a grid of processes,
//! beside the bare loop of the same module.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use wasmgrid_tests::{Grid, Home};

use crate::{
    Bench,
    floor::{Bare, Floor},
    machine::{Reset, cores},
    report::{Row, Target},
    times::median,
    usage,
};

/// A run that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(300);

/// A module and its inputs, one a line.
pub struct Work {
    /// What it is, for the table.
    pub what: &'static str,
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
    /// CPU time of all processes.
    pub cpu: Duration,
    /// The largest memory of all processes together, in bytes.
    pub peak_bytes: u64,
}

impl Work {
    /// A work of these inputs.
    pub fn new(what: &'static str, module: &str, lines: Vec<u8>) -> Self {
        let tasks = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        Self { what, module: module.into(), lines, tasks }
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

/// The no-op task in each way and both ways of clearing up.
pub fn noop(bench: &mut Bench) {
    let lines = short_lines(bench.options.scaled(1_000_000));
    let work = Work::new("no-op, 16 bytes in and out", &bench.noop, lines);
    for reset in [Reset::Safe, Reset::Pagemap] {
        if let Some(why) = reset.missing() {
            bench.report.skip(format!("noop.*.{}", reset.name()), why);
            continue;
        }
        let targets = [Some(0.8), None, Some(0.75)];
        compare(bench, "noop", &work, reset, targets);
    }
}

/// Tasks that compute for a millisecond.
pub fn ms(bench: &mut Bench) {
    let rounds = bench.rounds_of_a_ms().to_string();
    let lines = repeated(&rounds, bench.options.scaled(10_000));
    let work = Work::new("1 ms of computing", &bench.spin, lines);
    compare(bench, "ms", &work, Reset::Safe, [Some(0.98), None, Some(0.98)]);
}

/// One work as a bare loop in one and two processes, and in the three ways of the grid; each ratio
/// is that of a round.
fn compare(
    bench: &mut Bench,
    name: &str,
    work: &Work,
    reset: Reset,
    [local_target, in_process_target, quic_target]: [Option<f64>; 3],
) {
    let (mode, what) = (reset.name(), work.what);
    let one = bench.floor.run(work, reset, 1);
    let (mut bare, mut runs) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for _ in 0..bench.options.rounds() {
        bare.push(bench.floor.run(work, reset, cores()));
        let measured =
            [local(work, reset, "process"), local(work, reset, "in-process"), cluster(work, reset)];
        runs.iter_mut().zip(measured).for_each(|(all, one)| all.push(one));
    }
    let bare_name = format!("{name}.bare.all.{mode}");
    let bare_cpu_us = median(bare.iter().map(|bare| bare.cpu_us).collect());
    let row = |name: String, how: &str, bare: &[Bare]| {
        let rate = median(bare.iter().map(|bare| bare.rate).collect());
        let cpu_us = median(bare.iter().map(|bare| bare.cpu_us).collect());
        let what = format!("{what}: bare loop, {how}");
        Row::new(name, what, rate, "tasks/s").beside("us_cpu_a_task", cpu_us)
    };
    bench.report.push(row(format!("{name}.bare.one.{mode}"), "one process", &[one]));
    bench.report.push(row(bare_name.clone(), &format!("{} processes", cores()), &bare));
    let ways = [
        ("local", "`wasmgrid run`, local grid", local_target),
        ("in-process", "the same, slots as threads", in_process_target),
        ("quic", "over QUIC, durable", quic_target),
    ];
    for ((way, how, target), runs) in ways.into_iter().zip(&runs) {
        let rates: Vec<f64> = runs.iter().map(|run| rate(work, run)).collect();
        let ratios = rates.iter().zip(&bare).map(|(rate, bare)| rate / bare.rate).collect();
        let cpu_us = median(runs.iter().map(|run| 1e6 * run.cpu.as_secs_f64()).collect())
            / count(work.tasks);
        let peak = runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0);
        let row = Row::new(
            format!("{name}.{way}.{mode}"),
            format!("{what}: {how}"),
            median(rates),
            "tasks/s",
        )
        .ratio(&bare_name, median(ratios))
        .beside("us_cpu_a_task", cpu_us)
        .beside("%_of_bare_by_cpu", 100.0 * bare_cpu_us / cpu_us)
        .beside("MiB_peak", usage::mib(peak));
        let held = |row: Row, least| row.target(Target::RatioAtLeast(least));
        bench.report.push(match target {
            Some(least) => held(row, least),
            None => row,
        });
    }
}

/// Inputs and outputs of 1 MiB, beside plain QUIC.
pub fn bulk(bench: &mut Bench) {
    let lines = repeated(&"x".repeat(1 << 20), bench.options.scaled(500));
    let work = Work::new("1 MiB in and out", &bench.echo, lines);
    let (mut floors, mut locals, mut clusters) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds() {
        floors.push(Floor::quic());
        locals.push(local(&work, Reset::Safe, "process"));
        clusters.push(cluster(&work, Reset::Safe));
    }
    let name = "bulk.plain-quic";
    let what = "1 MiB there and back over plain QUIC, two processes";
    bench.report.push(Row::new(name, what, median(floors.clone()), "MiB/s"));
    for (way, how, target, runs) in [
        ("local", "`wasmgrid run`, local grid", None, locals),
        ("quic", "over QUIC, durable", Some(0.5), clusters),
    ] {
        let rates: Vec<f64> = runs.iter().map(|run| rate(&work, run)).collect();
        let ratios = rates.iter().zip(&floors).map(|(rate, floor)| rate / floor).collect();
        let peak = runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0);
        let what = format!("{}: {how}", work.what);
        let row = Row::new(format!("bulk.{way}"), what, median(rates), "MiB/s")
            .ratio(name, median(ratios))
            .beside("MiB_peak", usage::mib(peak));
        bench.report.push(match target {
            Some(least) => row.target(Target::RatioAtLeast(least)),
            None => row,
        });
    }
}

/// Client, scheduler and worker in one process, runners beside it or, in process, in it.
pub fn local(work: &Work, reset: Reset, isolation: &str) -> Measured {
    let home = Home::new();
    home.write("in", &work.lines);
    // The module is compiled and the caches are warm, as on every run but the first.
    home.write("one", work.first());
    let flags = [&["--isolation", isolation], reset.flags()].concat();
    home.run([&["run", &work.module, "--lines", "one"], flags.as_slice()].concat()).ok();
    time(&home, &work.module, &[&["--lines", "in"], flags.as_slice()].concat(), &[])
}

/// Scheduler, worker and client as processes over loopback QUIC, SQLite on disk.
fn cluster(work: &Work, reset: Reset) -> Measured {
    let mut grid = Grid::start(0, 0);
    grid.add_worker_with(u32::try_from(cores()).unwrap_or(1), reset.flags());
    grid.home.write("in", &work.lines);
    grid.home.write("one", work.first());
    grid.run(&["run", &work.module, "--lines", "one"]).ok();
    let measured = time(&grid.home, &work.module, &["--lines", "in"], &daemons(&grid));
    stop(grid);
    measured
}

/// Ends a grid's workers in order: the CPU time of runners that outlive their agent is nobody's.
pub fn stop(mut grid: Grid) {
    for worker in &mut grid.workers {
        worker.process.interrupt();
    }
}

/// The processes of a grid that stay.
pub fn daemons(grid: &Grid) -> Vec<u32> {
    let workers = grid.workers.iter().map(|worker| worker.process.pid());
    workers.chain([grid.scheduler.pid()]).collect()
}

/// Times `wasmgrid run MODULE FLAGS`, whose results go to a file.
pub fn time(home: &Home, module: &str, flags: &[&str], daemons: &[u32]) -> Measured {
    let mut command = home.command(["run", module, "-o", "out"]);
    command.args(flags);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let before = (usage::cpu(daemons), usage::cpu_of_ended());
    let start = Instant::now();
    let mut child = command.spawn().expect("the binary starts");
    let mut roots = daemons.to_vec();
    roots.push(child.id());
    let peak_bytes = usage::watch(&roots, || {
        if start.elapsed() > PATIENCE {
            // It is reported by its status.
            drop(child.kill());
        }
        child.try_wait().expect("a child of ours").is_some()
    });
    let wall = start.elapsed();
    let status = child.wait().expect("it has ended");
    assert!(status.success(), "the run failed: {status}");
    let cpu = usage::cpu(daemons).saturating_sub(before.0)
        + usage::cpu_of_ended().saturating_sub(before.1);
    Measured { wall, cpu, peak_bytes }
}

fn rate(work: &Work, run: &Measured) -> f64 {
    count(work.tasks) / run.wall.as_secs_f64()
}

/// A count to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub const fn count(tasks: u64) -> f64 {
    tasks as f64
}
