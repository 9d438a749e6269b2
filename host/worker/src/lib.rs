//! The agent of one machine: joins a grid, keeps its slots busy, and streams results until they are
//! committed. It runs no WebAssembly itself and does not decide which tasks it gets.
//!
//! One agent task owns all state: queued work, the content of each slot, unacknowledged results.
//! Around it, one task dials and carries the link, two serve each slot, and one prepares each
//! module; all of them talk to the agent over one bounded channel.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod agent;
mod config;
mod dial;
mod modules;
mod outgoing;
mod proofs;
mod queue;
mod ranges;
mod recalled;
mod renewal;
mod slots;
mod worker;

pub use config::WorkerConfig;
pub use dial::{Addresses, Dial, GaveUp};
pub use renewal::Keep;
pub use wasmgrid_sandbox as sandbox;
pub use worker::{LinkState, Worker};
