//! The rules of the scheduler, as a sans-IO state machine: inputs and the time go in, outputs come
//! out. It does no IO, reads no clock, draws no random number and sees no payload. [`Grid`] explains
//! how to drive it.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

extern crate alloc;

mod changed;
mod config;
mod io;
mod ledger;
mod placement;
mod planted;
mod proof;
mod ranges;
mod rules;
mod table;
mod timers;

pub use config::GridConfig;
pub use io::{
    ClientRequest, CompletedBlock, Completion, Input, InputBytes, LostTask, NewLease, Output,
    RESULT_BYTES, RequestId, SegmentToken,
};
pub use ledger::{Ledger, ModuleUses};
pub use placement::claimed_key;
#[cfg(all(feature = "planted-bugs", debug_assertions))]
pub use planted::Planted;
pub use proof::LeaseKey;
pub use rules::{
    Grid, JobLogs, REFUSALS_ENTERED, REFUSALS_WINDOW, RETAINED_AT_ONCE, without_others,
};
