//! `chaos [--minutes N] [--seed N]`: a grid of processes with jobs whose answers are known, and a
//! fault every 10 to 30 seconds. Prints what was survived; ends with 1 where a task was lost, was
//! committed twice, has another result, or was run again though its worker was well.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a check that cannot run says so"
)]

mod clients;
mod faults;
mod known;
mod ledger;

use std::{
    env,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use wasmgrid_tests::Grid;

use crate::{clients::Tally, faults::Faults, known::Known, ledger::Ledger};

/// Workers, of one slot each.
const WORKERS: usize = 4;

fn main() -> ExitCode {
    let (Some(minutes), Some(seed)) = (option("--minutes", 15), option("--seed", 1)) else {
        eprintln!("usage: chaos [--minutes N] [--seed N]");
        return ExitCode::from(2);
    };
    let known = Known::new();
    let mut grid = Grid::start(0, 0);
    let ledger = Arc::new(Ledger::new());
    let mut faults = Faults::start(&mut grid, WORKERS, seed, Arc::clone(&ledger));
    let (tally, over) = (Tally::default(), AtomicBool::new(false));
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    let home = Arc::clone(&grid.home);
    thread::scope(|scope| {
        for (number, kind) in clients::KINDS.iter().enumerate() {
            let (home, known, tally, over) = (&home, &known, &tally, &over);
            let random = fastrand::Rng::with_seed(seed.wrapping_add(number as u64 + 1));
            scope.spawn(move || clients::work(*kind, number, home, known, tally, over, random));
        }
        while let Some(pause) = faults.pause(end) {
            thread::sleep(pause);
            faults.strike(&mut grid, &tally);
        }
        over.store(true, Ordering::Relaxed);
    });
    faults.stop(&mut grid);
    print!("{faults}{tally}{ledger}");
    ExitCode::from(u8::from(!tally.is_clean() || ledger.rerun() > 0 || tally.jobs() == 0))
}

/// A number on the command line; `None` where it is none.
fn option(name: &str, default: u64) -> Option<u64> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().position(|argument| argument == name) {
        None => Some(default),
        Some(at) => arguments.get(at + 1)?.parse().ok(),
    }
}
