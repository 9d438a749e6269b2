//! Whether a task costs more where there are many: CPU time a task of the whole grid by the number
//! of tasks, and of the scheduler's core alone.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use wasmgrid_tests::{Grid, Home};

use crate::{
    Bench,
    floor::example,
    report::{Row, Target},
    throughput::{count, daemons, stop, time},
};

/// What a task among many may cost, against one among the fewest.
const FLAT: f64 = 1.15;

/// Completions a second that the core should handle.
const CORE: f64 = 1e6;

/// Numbers of tasks. All runs of a size together have as many tasks as there are in
/// [`AT_LEAST`], since the kernel tells CPU time in steps.
const SIZES: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
const AT_LEAST: u64 = 100_000;

/// Commands of one task, whose time is what a command costs whatever it runs.
const EMPTY_RUNS: u64 = 10;

/// The whole grid: locally up to ten million tasks, over QUIC up to one million.
pub fn whole(bench: &mut Bench) {
    let quick = bench.options.quick;
    let home = Home::new();
    let sizes = if quick { &SIZES[..3] } else { &SIZES[..] };
    let what = "no-op, numbers as inputs, local grid: CPU a task";
    curve(bench, "growth.local", what, sizes, &|tasks, module| cpu(&home, module, tasks, &[]));
    let grid = Grid::start(1, 2);
    let pids = daemons(&grid);
    let sizes = if quick { &SIZES[..2] } else { &SIZES[..3] };
    let what = "the same over QUIC, durable: CPU a task";
    curve(bench, "growth.quic", what, sizes, &|tasks, module| {
        cpu(&grid.home, module, tasks, &pids)
    });
    stop(grid);
}

fn curve(
    bench: &mut Bench,
    name: &str,
    what: &str,
    sizes: &[u64],
    run: &dyn Fn(u64, &str) -> Duration,
) {
    run(1, &bench.noop);
    let empty: Duration = (0..EMPTY_RUNS).map(|_| run(1, &bench.noop)).sum();
    let empty = empty.as_secs_f64() / count(EMPTY_RUNS);
    let mut first = None;
    for tasks in sizes.iter().copied() {
        let runs = (AT_LEAST / tasks).max(1);
        let took: Duration = (0..runs).map(|_| run(tasks, &bench.noop)).sum();
        let each = (took.as_secs_f64() / count(runs) - empty) * 1e6 / count(tasks);
        let row = Row::new(format!("{name}.{tasks}"), format!("{what}, {tasks} tasks"), each, "us");
        bench.report.push(match first {
            None => row.beside("ms_cpu_a_command", empty * 1e3),
            Some(fewest) => {
                let least = sizes.first().copied().unwrap_or_default();
                row.of(format!("{name}.{least}"), fewest).target(Target::RatioAtMost(FLAT))
            }
        });
        first = first.or(Some(each));
    }
}

fn cpu(home: &Home, module: &str, tasks: u64, daemons: &[u32]) -> Duration {
    time(home, module, &["--range", &format!("0..{tasks}")], daemons).cpu
}

/// The core alone, told one completion at a time, on few workers and on many:
/// `host/core/examples/completions.rs`.
pub fn core(bench: &mut Bench) {
    let sizes = if bench.options.quick { &SIZES[..3] } else { &SIZES[..] };
    let mut first = None;
    for tasks in sizes.iter().copied() {
        let rate = completions(tasks, 8);
        let what = format!("the core alone, 8 workers, {tasks} tasks");
        let row = Row::new(format!("core.8.{tasks}"), what, rate, "completions/s");
        let row = match first {
            None => row,
            Some(fewest) => row.of("core.8.10000", fewest),
        };
        bench.report.push(row.target(Target::AtLeast(CORE)));
        first = first.or(Some(rate));
    }
    let what = "the core alone, 5,000 workers, a million tasks";
    let row = Row::new("core.5000.1000000", what, completions(1_000_000, 5_000), "completions/s");
    bench.report.push(row.target(Target::AtLeast(CORE)));
}

/// Completions a second, as the program's table has them.
fn completions(tasks: u64, workers: u64) -> f64 {
    let wanted = [tasks, 1, workers, 1].map(|number| number.to_string());
    let mut child = Command::new(example("completions"))
        .args(&wanted)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the core's program starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let rate = lines.map_while(Result::ok).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (run, figures) = fields.split_at_checked(wanted.len())?;
        (run == wanted).then(|| figures.first()?.parse().ok()).flatten()
    });
    // It may have more to run that is not wanted.
    drop(child.kill());
    drop(child.wait());
    rate.expect("the program has a line for it")
}
