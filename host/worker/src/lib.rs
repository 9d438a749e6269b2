//! A worker: joins a grid, keeps its slots busy, and streams results until they are committed. It
//! runs no WebAssembly itself and does not decide which tasks it gets.
//!
//! The [`Agent`](wasmgrid_agent::Agent), a sans-IO state machine, decides what the worker does. This
//! crate is the shell around it: one task drives the agent (`shell`) and owns the outbox, the slots' inputs
//! and the clock. Around it, one task dials and carries the link, two serve each slot, one watches
//! the sandbox, and one prepares each module; all of them talk to the shell over one bounded
//! channel.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod counts;
mod dial;
mod event;
mod link_state;
mod renewal;
mod shell;
mod slots;
mod worker;

pub use counts::Counter;
pub use dial::{Addresses, Dial};
pub use link_state::{GaveUp, LinkState};
pub use renewal::Keep;
pub use wasmgrid_agent::WorkerConfig;
pub use wasmgrid_sandbox as sandbox;
pub use worker::Worker;
