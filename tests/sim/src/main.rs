//! `wasmgrid-sim`: runs worlds by their seeds.

use std::{
    collections::BTreeSet,
    io::Write,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use wasmgrid_sim::{Options, Plan, Report, Violation, run, shrink};

const HELP: &str = "\
Runs the scheduler in simulated worlds and checks its promises after every step.

Usage: wasmgrid-sim --seed N [--trace] [--faults A,B,…|none]
       wasmgrid-sim --seeds N [--first M] [--jobs J]

  --seed N     the world of one seed
  --trace      print all that happens in it
  --faults L   keep only these of its faults, by number
  --seeds N    so many worlds
  --first M    from this seed on (0)
  --jobs J     on so many threads (1)

Exit codes: 0 every promise held, 1 one did not, 2 usage.
";

/// What was asked for.
#[derive(Debug, Default)]
struct Arguments {
    seed: Option<u64>,
    seeds: Option<u64>,
    first: u64,
    jobs: u64,
    options: Options,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Err(wrong) => {
            let _ = write!(std::io::stderr(), "{wrong}\n\n{HELP}");
            ExitCode::from(2)
        }
        Ok(Arguments { seed: Some(seed), options, .. }) => one(seed, &options),
        Ok(Arguments { seeds: Some(seeds), first, jobs, options, .. }) => {
            many(first, seeds, jobs, &options)
        }
        Ok(_) => {
            let _ = write!(std::io::stdout(), "{HELP}");
            ExitCode::SUCCESS
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut parsed = Arguments { jobs: 1, ..Arguments::default() };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--seed" => parsed.seed = Some(number(&value()?)?),
            "--seeds" => parsed.seeds = Some(number(&value()?)?),
            "--first" => parsed.first = number(&value()?)?,
            "--jobs" => parsed.jobs = number(&value()?)?.max(1),
            "--trace" => parsed.options.trace = true,
            "--faults" => parsed.options.faults = Some(faults(&value()?)?),
            "--help" | "-h" => return Ok(Arguments::default()),
            other => return Err(format!("{other:?} is not an option")),
        }
    }
    Ok(parsed)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no whole number"))
}

fn faults(text: &str) -> Result<BTreeSet<usize>, String> {
    let list = text.split(',').filter(|part| *part != "none");
    list.map(|part| part.parse().map_err(|_| format!("{part:?} is no fault's number"))).collect()
}

fn one(seed: u64, options: &Options) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let run = run(seed, options);
    for line in &run.trace {
        let _ = writeln!(out, "{line}");
    }
    match run.result {
        Ok(report) => {
            let _ = writeln!(out, "seed {seed} holds: {report:?}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            tell(seed, &violation, options);
            ExitCode::FAILURE
        }
    }
}

/// Says what was found, with as few faults as show it.
fn tell(seed: u64, violation: &Violation, options: &Options) {
    let mut err = std::io::stderr().lock();
    let Violation { invariant, detail } = violation;
    let _ = writeln!(err, "seed {seed} broke: {invariant}\n  {detail}");
    let kept = shrink(seed, options, violation);
    let plan = Plan::draw(seed, &options.base);
    for number in &kept {
        if let Some((at, fault)) = plan.faults.get(*number) {
            let _ = writeln!(err, "  fault {number} at {:.6} s: {fault:?}", *at as f64 / 1e6);
        }
    }
    let list: Vec<String> = kept.iter().map(ToString::to_string).collect();
    let list = if list.is_empty() { String::from("none") } else { list.join(",") };
    let _ = writeln!(err, "  replay: wasmgrid-sim --seed {seed} --faults {list} --trace");
}

fn many(first: u64, seeds: u64, jobs: u64, options: &Options) -> ExitCode {
    let (begun, next, failed) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
    let totals = Mutex::new(Report::default());
    let work = || {
        let mut sum = Report::default();
        while !failed.load(Ordering::Relaxed) {
            let offset = next.fetch_add(1, Ordering::Relaxed);
            if offset >= seeds {
                break;
            }
            let seed = first.saturating_add(offset);
            match run(seed, options).result {
                Ok(report) => sum = sum.and(report),
                Err(violation) => {
                    if !failed.swap(true, Ordering::Relaxed) {
                        tell(seed, &violation, options);
                    }
                }
            }
        }
        if let Ok(mut totals) = totals.lock() {
            *totals = totals.and(sum);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    if failed.load(Ordering::Relaxed) {
        return ExitCode::FAILURE;
    }
    let took = begun.elapsed().as_secs_f64();
    let rate = seeds as f64 / took.max(f64::MIN_POSITIVE);
    let totals = totals.into_inner().unwrap_or_default();
    let _ = writeln!(
        std::io::stdout(),
        "{seeds} seeds from {first} hold: {took:.1} s, {rate:.0} seeds/s; {totals:?}"
    );
    ExitCode::SUCCESS
}
