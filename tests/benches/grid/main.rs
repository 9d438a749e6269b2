//! The grid against the bare sandbox, its targets and its peers, in one run: `make bench`.
//!
//! What is compared, and how to read it, is in `README.md` beside this file. Nothing here fails
//! for being slow. `--quick` takes a tenth of the tasks; `--json FILE` writes the figures; words
//! choose sections.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot run says so")]

mod attacks;
mod calls;
mod fairness;
mod fleet;
mod floor;
mod footprint;
mod growth;
mod http;
mod latency;
mod machine;
mod options;
mod peers;
mod report;
mod scaling;
mod scheduler;
mod throughput;
mod times;
mod usage;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
    time::Instant,
};

use wasmgrid_tests::{binary, guest};

use crate::{
    floor::Floor,
    machine::Machine,
    options::Options,
    report::{Report, Row},
};

/// A part of the benchmark, and its name.
type Section = (&'static str, fn(&mut Bench));

/// What can be run by itself, in the order in which it is. The last shows figures of the others too.
const SECTIONS: [Section; 15] = [
    ("noop", throughput::noop),
    ("ms", throughput::ms),
    ("bulk", throughput::bulk),
    ("latency", latency::calls),
    ("start", latency::starts),
    ("memory", footprint::idle),
    ("queued", footprint::queued),
    ("growth", growth::whole),
    ("core", growth::core),
    ("scaling", scaling::run),
    ("fairness", fairness::run),
    ("attacks", attacks::run),
    ("http", http::run),
    ("fleet", fleet::run),
    ("peers", peers::run),
];

/// Cores that others may have while something is measured by the clock.
const NOISE: f64 = 0.1;

/// What all sections share.
pub struct Bench {
    options: Options,
    report: Report,
    floor: Floor,
    noop: String,
    spin: String,
    echo: String,
    sleeper: String,
    rounds_of_a_ms: Option<u64>,
}

impl Bench {
    /// The input with which `spin` computes for a millisecond.
    fn rounds_of_a_ms(&mut self) -> u64 {
        let (floor, spin) = (&self.floor, &self.spin);
        *self.rounds_of_a_ms.get_or_insert_with(|| floor.calibrate(spin, 1_000.0))
    }

    /// Runs a section, unless it was not asked for or comes too late. One that breaks off is told,
    /// and the others go on.
    fn section(&mut self, name: &str, run: fn(&mut Self)) -> bool {
        if !self.options.wants(name) {
            return true;
        }
        if self.options.is_over() {
            self.report.skip(name, "no time was left; run it alone");
            return true;
        }
        let (begun, before) = (Instant::now(), usage::cpu_of_all());
        let first = self.report.count();
        let ended = catch_unwind(AssertUnwindSafe(|| run(self))).is_ok();
        let (all, ours) = usage::cpu_of_all();
        let others = all.saturating_sub(before.0).saturating_sub(ours.saturating_sub(before.1));
        let share = others.as_secs_f64() / begun.elapsed().as_secs_f64();
        if share > NOISE {
            self.report.noisy(first);
        }
        let what = "cores that others had meanwhile";
        let row = Row::new(format!("noise.{name}"), what, share, "cores");
        self.report.push(row.beside("s", begun.elapsed().as_secs_f64()));
        if !ended {
            self.report.skip(name, "it failed; the reason is above");
        }
        ended
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [role, folder, address] = args.as_slice()
        && role == scheduler::ROLE
    {
        return scheduler::serve(Path::new(folder), address);
    }
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(problem) => {
            let names = SECTIONS.map(|(name, _)| name).join(" ");
            eprintln!("{problem}\nusage: [--quick] [--json FILE] [SECTION...]: {names}");
            return ExitCode::from(2);
        }
    };
    // Everything is built before anything is timed.
    binary();
    let machine = Machine::this();
    let mut bench = Bench {
        options,
        report: Report::default(),
        floor: Floor::find(),
        noop: guest("noop"),
        spin: guest("spin"),
        echo: guest("echo"),
        sleeper: guest("sleeper"),
        rounds_of_a_ms: None,
    };
    let mut is_whole = true;
    for (name, run) in SECTIONS {
        is_whole &= bench.section(name, run);
    }
    machine.print();
    bench.report.print();
    peers::print(&bench.report);
    println!("It took {} s.", bench.options.elapsed().as_secs());
    if let Some(path) = &bench.options.json {
        bench.report.write_json(path, &machine, &bench.options);
    }
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
