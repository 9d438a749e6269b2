//! Runs untrusted tasks: admits, compiles and runs WebAssembly under limits. No other crate depends on
//! Wasmtime.
//!
//! Four kinds of process take part. The agent process calls [`Sandbox`] and never looks into a module.
//! Compilers ([`compiler_main`]) turn a module into machine code. Runners execute it. Admission
//! processes ([`admission`]) check modules for a scheduler. A module passes [`admit`](admit::admit)
//! where it is submitted, at the scheduler, and again where it is compiled.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

pub mod admission;
pub mod admit;
mod allocator;
mod blobs;
mod caps;
mod child;
mod compile;
mod config;
pub mod engine;
mod error;
mod features;
#[doc(hidden)]
pub mod fuzz;
mod host;
mod jail;
mod pool;
mod program;
mod refusal;
mod run;
mod runner;
mod sandbox;
mod sealed;
mod source;
mod starter;
mod stop;
mod time;

pub use admission::admission_main;
pub use allocator::give_memory_back;
pub use caps::{Cap, CapError, CapSetting, Caps};
pub use compile::{Prepared, compiler_main};
pub use config::{Isolation, SandboxConfig};
pub use engine::EngineSettings;
pub use error::{Inability, PrepareError, SandboxError};
pub use jail::{Layer, enter_jail_but};
pub use pool::{Condition, Slot, SlotBatch, SlotError, SlotEvent, SlotEvents, SlotInput};
pub use runner::runner_main;
#[cfg(feature = "simulated")]
pub mod simulated {
    //! A sandbox that runs a model instead of WebAssembly; see
    //! [`Sandbox::simulated`](crate::Sandbox::simulated).
    pub use crate::pool::simulated::{Model, Run, Task};
}
pub use sandbox::{Sandbox, check_limits};
pub use source::ModuleSource;
pub use wasmgrid_proto::Refusal;

/// The version of Wasmtime that compiles and runs.
pub const ENGINE_VERSION: &str = wasmtime_environ::VERSION;
