//! The scheduler as a value: events and the time go in, actions come out. It does no IO, reads no
//! clock, draws no random number and sees no payload. [`Grid`] explains how to drive it.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

extern crate alloc;

mod accounts;
mod affinity;
mod again;
mod appends;
mod attempts;
mod bounds;
mod claims;
mod classes;
mod clock;
mod config;
mod contest;
mod cordon;
mod demand;
mod distrust;
mod diverge;
mod ends;
mod explain;
mod fleet;
mod grid;
mod holdings;
mod inputs;
mod io;
mod job;
mod labels;
mod lease;
mod ledger;
mod links;
mod listing;
mod memory;
mod overdue;
mod place;
mod planted;
mod preparing;
mod proof;
mod queue;
mod quota;
mod ranges;
mod removal;
mod requests;
mod results;
mod retention;
mod retry;
mod share;
mod steal;
mod stored;
mod table;
mod terms;
mod timers;
mod worker;

pub use config::GridConfig;
pub use grid::Grid;
pub use io::{CompletedBlock, Completion, Grant, Input, LostTask, Output, RequestId, SegmentToken};
pub use labels::claimed_key;
pub use ledger::Ledger;
#[cfg(all(feature = "planted-bugs", debug_assertions))]
pub use planted::Planted;
pub use proof::LeaseKey;
pub use retention::JobLogs;
