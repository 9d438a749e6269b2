//! Scheduler and workers in seeded worlds: virtual time, a disk that loses what was not synced, machines
//! that die, links that break; and the promises of the design, checked after every step.
//!
//! The core, its driver and the workers' agent are the real ones; the clients are a model of
//! `host/client`, with the same rules. A seed is a world, and the same one each
//! time: `wasmgrid-sim --seed N --trace` shows it.

#![forbid(unsafe_code)]

mod book;
mod client;
mod disk;
mod function;
mod journal;
mod judge;
mod message;
mod net;
mod plan;
mod random;
mod run;
mod scheduler;
mod task;
mod times;
mod worker;
mod world;

pub use book::Violation;
pub use plan::Plan;
pub use run::{Options, Report, Run, run, run_plan, run_shares, shrink};
pub use scheduler::DriverBug;
