//! What goes wrong, by seed: processes that are killed, stopped or ended in order, and come back.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use wasmgrid_tests::{Grid, children_as, kill};

use crate::{
    clients::Tally,
    ledger::{Ledger, Life},
};

/// The shortest and the longest time between two faults.
const PAUSE: std::ops::RangeInclusive<u64> = 10_000..=30_000;

/// How long a worker that lives on may take to say what became of what it had begun.
const SETTLES: Duration = Duration::from_secs(3);

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillWorker,
    KillScheduler,
    RestartScheduler,
    StopWorker,
    StopScheduler,
    KillRunner,
    RestartWorker,
    KillClient,
}

/// Chosen from evenly; the scheduler's death is what most rests on.
const FAULTS: [Fault; 10] = [
    Fault::KillWorker,
    Fault::KillScheduler,
    Fault::KillScheduler,
    Fault::RestartScheduler,
    Fault::StopWorker,
    Fault::StopScheduler,
    Fault::KillRunner,
    Fault::RestartWorker,
    Fault::KillClient,
    Fault::KillScheduler,
];

/// The faults so far.
pub struct Faults {
    random: Rng,
    ledger: Arc<Ledger>,
    /// The life each worker is in.
    lives: Vec<Life>,
    survived: BTreeMap<Fault, u32>,
}

impl Faults {
    /// Adds the workers.
    pub fn start(grid: &mut Grid, workers: usize, seed: u64, ledger: Arc<Ledger>) -> Self {
        for _ in 0..workers {
            grid.add_worker(1);
        }
        let mut faults = Self {
            random: Rng::with_seed(seed),
            ledger,
            lives: Vec::new(),
            survived: BTreeMap::new(),
        };
        for number in 0..workers {
            faults.lives.push(0);
            // It is started anew so that it logs what the ledger wants.
            grid.workers[number].process.interrupt();
            faults.revive(grid, number);
        }
        faults
    }

    /// How long until the next fault; `None` once `end` is near.
    pub fn pause(&mut self, end: Instant) -> Option<Duration> {
        let pause = Duration::from_millis(self.random.u64(PAUSE));
        (Instant::now() + pause < end).then_some(pause)
    }

    /// The next fault, to its end.
    pub fn strike(&mut self, grid: &mut Grid, tally: &Tally) {
        let fault = FAULTS[self.random.usize(..FAULTS.len())];
        let worker = self.random.usize(..grid.workers.len());
        let at = self.ledger.seconds(Instant::now());
        eprintln!("{at:.3} s: {fault:?} (worker {}, life {})", worker + 1, self.lives[worker]);
        match fault {
            Fault::KillWorker => {
                self.hurt(worker);
                grid.workers[worker].process.kill();
                self.wait(0..5_000);
                self.revive(grid, worker);
            }
            Fault::RestartWorker => {
                self.hurt(worker);
                grid.workers[worker].process.interrupt();
                self.revive(grid, worker);
            }
            Fault::StopWorker => {
                self.hurt(worker);
                grid.workers[worker].process.signal(19);
                self.wait(2_000..25_000);
                grid.workers[worker].process.signal(18);
                self.begin_once_settled(grid, worker);
            }
            Fault::KillRunner => {
                self.hurt(worker);
                let runners = children_as(grid.workers[worker].process.pid(), "runner");
                if let Some(runner) = runners.first() {
                    kill(*runner);
                }
                self.begin_once_settled(grid, worker);
            }
            Fault::KillScheduler => {
                grid.kill_scheduler();
                self.wait(0..3_000);
                grid.restart_scheduler();
            }
            Fault::RestartScheduler => {
                grid.scheduler.interrupt();
                grid.restart_scheduler();
            }
            Fault::StopScheduler => {
                grid.scheduler.signal(19);
                self.wait(1_000..8_000);
                grid.scheduler.signal(18);
            }
            Fault::KillClient => tally.kill_one(),
        }
        *self.survived.entry(fault).or_default() += 1;
    }

    /// Ends the workers in order, so that all they said is heard.
    pub fn stop(&mut self, grid: &mut Grid) {
        for worker in &mut grid.workers {
            worker.process.interrupt();
        }
    }

    fn wait(&mut self, milliseconds: std::ops::Range<u64>) {
        thread::sleep(Duration::from_millis(self.random.u64(milliseconds)));
    }

    fn hurt(&self, worker: usize) {
        self.ledger.hurt(self.lives[worker]);
    }

    fn revive(&mut self, grid: &mut Grid, worker: usize) {
        grid.restart_worker(worker, 1, |command| {
            command.env("WASMGRID_LOG", "info,wasmgrid_agent=debug");
        });
        self.begin(grid, worker);
    }

    /// The process lives on, and first says what became of what it had begun before the fault.
    fn begin_once_settled(&mut self, grid: &mut Grid, worker: usize) {
        thread::sleep(SETTLES);
        self.begin(grid, worker);
    }

    /// From now on what it says is of a new life.
    fn begin(&mut self, grid: &mut Grid, worker: usize) {
        let life = self.ledger.begin();
        self.lives[worker] = life;
        let ledger = Arc::clone(&self.ledger);
        grid.workers[worker].process.each_line(move |line| ledger.hear(life, line));
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults survived: {}", self.survived.values().sum::<u32>())?;
        for (fault, times) in &self.survived {
            writeln!(f, "  {fault:?}: {times}")?;
        }
        Ok(())
    }
}
