//! One seed's run, its report, and how a failing one is made smaller.

use std::collections::{BTreeMap, BTreeSet};

use wasmgrid_core::GridConfig;

use crate::{book::Violation, plan::Plan, scheduler::DriverBug, world::World};

/// How a world is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The scheduler's settings, under those that the seed draws.
    pub base: GridConfig,
    /// A bug of the driver.
    pub bug: Option<DriverBug>,
    /// The faults to keep, by number; all where there is `None`.
    pub faults: Option<BTreeSet<usize>>,
    /// Whether to write down what happens.
    pub trace: bool,
}

/// What happened in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events.
    pub steps: u64,
    /// Faults.
    pub faults: u64,
    /// Deaths of the scheduler.
    pub restarts: u64,
    /// Deaths of workers, by faults and by tasks.
    pub host_deaths: u64,
    /// Records in the journal.
    pub records: u64,
    /// How long it took in virtual time, in microseconds.
    pub virtual_us: u64,
}

impl Report {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            faults: self.faults + other.faults,
            restarts: self.restarts + other.restarts,
            host_deaths: self.host_deaths + other.host_deaths,
            records: self.records + other.records,
            virtual_us: self.virtual_us + other.virtual_us,
        }
    }
}

/// A seed's run.
#[derive(Debug)]
pub struct Run {
    /// What happened, or what must not.
    pub result: Result<Report, Violation>,
    /// What happened, line by line, if that was asked for.
    pub trace: Vec<String>,
}

/// Runs the world of a seed.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Run {
    run_plan(Plan::draw(seed, &options.base), options)
}

/// Runs the world of a plan.
#[must_use]
pub fn run_plan(plan: Plan, options: &Options) -> Run {
    let mut world = World::new(plan, options);
    let result = world.run();
    Run { result, trace: std::mem::take(&mut world.trace) }
}

/// Runs a world of [`Plan::draw_shares`], and says how much time of slots each tenant had of the
/// first half of all the tasks that ended.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run_shares(plan: Plan, options: &Options) -> Result<BTreeMap<String, u64>, Violation> {
    let mut world = World::new(plan, options);
    world.run()?;
    Ok(world.shares())
}

/// The faults without which the seed does not break the same invariant: first halves are left
/// out, then smaller parts, then single ones.
#[must_use]
pub fn shrink(seed: u64, options: &Options, violation: &Violation) -> BTreeSet<usize> {
    let count = Plan::draw(seed, &options.base).faults.len();
    let mut kept: Vec<usize> = (0..count).collect();
    let fails = |kept: &[usize]| {
        let faults = Some(kept.iter().copied().collect());
        let options = Options { faults, trace: false, ..options.clone() };
        let result = run(seed, &options).result;
        result.is_err_and(|found| found.invariant == violation.invariant)
    };
    let mut part = kept.len();
    while part > 0 {
        let mut at = 0;
        while at < kept.len() {
            let without: Vec<usize> =
                kept.iter().take(at).chain(kept.iter().skip(at + part)).copied().collect();
            if fails(&without) {
                kept = without;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    kept.into_iter().collect()
}
