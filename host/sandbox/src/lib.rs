//! Runs tasks nobody needs to trust: admits, compiles and runs WebAssembly under limits. The only
//! crate that names Wasmtime.
//!
//! Three kinds of process: the agent, which calls [`Sandbox`] and never looks into a module
//! beyond its structure; compilers ([`compiler_main`]), which turn a module into compiled code;
//! and runners, which run it. A module passes through [`admit`](admit::admit) where it is
//! submitted and again where it is compiled.

mod compile;
mod config;
pub mod engine;
mod error;
mod refusal;

pub use compile::Prepared;
pub use config::{Caps, Isolation, SandboxConfig};
pub use engine::EngineSettings;
pub use error::{PrepareError, SandboxError};
pub use refusal::Refusal;
