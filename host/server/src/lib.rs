//! Drives the scheduler core over the store and the links: accepts links of workers, clients and
//! joining machines, passes their messages to [`wasmgrid_core::Grid`], and turns its outputs into
//! commits and messages. It makes no scheduling decisions, opens no sockets and names no database.
//!
//! One driver task owns the `Grid` and never waits: not for the disk (one thread commits what the
//! driver hands over, see `journal`), not for a link (each has a bounded outbox, see `outbox`), not
//! for a read (see `readers`). The `gate` holds back each output that must not be seen before the
//! records before it are durable.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod blocking;
mod clock;
mod compact;
mod config;
mod driver;
mod enroll;
mod error;
mod journal;
mod links;
mod members;
mod readers;
mod secret;
mod server;
mod tokens;

pub use blocking::Blocking;
pub use config::{
    Admission, Admit, AdmitHere, Admitting, CheckTask, Enrollment, NotAdmitted, ServerConfig,
};
pub use error::ServerError;
pub use server::{Server, ServerHandle};
