//! The decisions of a worker, as a sans-IO state machine: events and the time go in, effects come
//! out. It does no IO, reads no clock, starts no task and knows no runtime; see [`Agent`].
//!
//! It is a crate of its own, apart from `wasmgrid-worker`, so that a simulator can drive it without
//! building the engine and the network, and so that the agent cannot use them.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

extern crate alloc;

mod agent;
mod config;
mod holdings;
mod io;
mod modules;
mod outgoing;
mod proofs;
mod times;

pub use agent::Agent;
pub use config::WorkerConfig;
pub use io::{Batch, Effect, Event, Preparation};
