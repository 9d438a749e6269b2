//! Other schedulers of tasks, side by side: each through its own public interface, by a script of
//! `tests/benches/peers`, where it is installed.

use std::{
    env,
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use wasmgrid_tests::repository;

use crate::{
    Bench,
    machine::cores,
    report::{Report, Row, figure},
};

/// Names the interpreter of an environment that has the peers. It does not begin as the variables of
/// `wasmgrid` do, of which the binary takes none that it does not know.
const PYTHON: &str = "BENCH_PYTHON";

/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The exit code of a script whose peer is not there; it has said why.
const MISSING: i32 = 3;

/// A peer's name, its script, and for people what a task is there.
const PEERS: [(&str, &str, &str); 3] = [
    ("hyperqueue", "with_hyperqueue.py", "HyperQueue: a process a task"),
    ("ray", "with_ray.py", "Ray: Python functions"),
    ("dask", "with_dask.py", "Dask: Python functions"),
];

/// What is compared: its name, what it is for people, its unit, and the grid's own figure of it.
const FIGURES: [(&str, &str, &str, &str); 5] = [
    ("noop", "no-op tasks/s", "tasks/s", "noop.quic.safe"),
    ("call.p50", "one call p50, ms", "ms", "latency.durable.p50"),
    ("call.p99", "one call p99, ms", "ms", "latency.durable.p99"),
    ("ms", "1 ms tasks, % of ideal", "%", "ms.quic.safe"),
    ("start", "cold start to the first result, ms", "ms", "start.cached"),
];

/// Runs those that are there.
pub fn run(bench: &mut Bench) {
    for (name, script, what) in PEERS {
        match one(script, bench.options.quick) {
            Ok(figures) => {
                let version = figures.get("version").and_then(Value::as_str).unwrap_or("");
                let what = format!("{what}, {version}");
                for (key, label, unit, _) in FIGURES {
                    if let Some(value) = figures.get(key).and_then(Value::as_f64) {
                        let what = format!("{what}: {label}");
                        bench.report.push(Row::new(
                            format!("peers.{name}.{key}"),
                            what,
                            value,
                            unit,
                        ));
                    }
                }
            }
            Err(why) => bench.report.skip(format!("peers.{name}"), why),
        }
    }
}

fn one(script: &str, quick: bool) -> Result<Value, String> {
    let python = env::var(PYTHON).unwrap_or_else(|_| "python3".into());
    let script = repository().join("tests/benches/peers").join(script);
    let mut command = Command::new(&python);
    command.arg(&script).args(["--workers", &cores().to_string()]);
    command.args(quick.then_some("--quick"));
    // Its daemons are in its group, so that none outlives a script that hangs.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("{python}: {error}"))?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            let group = format!("-{}", child.id());
            drop(Command::new("kill").args(["-9", "--", &group]).status());
            drop(child.wait());
            return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
        }
        std::thread::park_timeout(Duration::from_millis(50));
    };
    let mut said = String::new();
    // What is not text has no figures.
    drop(child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut said)));
    let last = said.lines().last().unwrap_or_default();
    match status.code() {
        Some(0) => serde_json::from_str(last).map_err(|error| format!("{error}: {last}")),
        Some(MISSING) => Err(last.to_owned()),
        _ => Err(format!("{} failed: {status}", script.display())),
    }
}

/// Prints all side by side as Markdown, with the grid's own figures of this run.
pub fn print(report: &Report) {
    let rows: Vec<_> =
        PEERS.iter().map(|(name, _, what)| (*what, format!("peers.{name}"))).collect();
    if !rows.iter().any(|(_, name)| report.value(&format!("{name}.noop")).is_some()) {
        return;
    }
    let heads: Vec<_> = FIGURES.iter().map(|(_, label, _, _)| *label).collect();
    println!("| beside | {} |", heads.join(" | "));
    println!("|---{}|", "|--:".repeat(FIGURES.len()));
    let ours = FIGURES.map(|(key, _, _, own)| match key {
        "ms" => report.ratio(own).map(|ratio| 100.0 * ratio),
        _ => report.value(own),
    });
    line("wasmgrid: fresh instances, over QUIC, durable", &ours);
    for (what, name) in rows {
        let values = FIGURES.map(|(key, _, _, _)| report.value(&format!("{name}.{key}")));
        if values.iter().any(Option::is_some) {
            line(what, &values);
        }
    }
    println!();
}

fn line(what: &str, values: &[Option<f64>]) {
    let cells: Vec<_> =
        values.iter().map(|value| value.map_or_else(|| "-".into(), figure)).collect();
    println!("| {what} | {} |", cells.join(" | "));
}
