//! Runs the scheduler core on a store and links: accepts links of workers, clients and
//! joining machines, passes their messages to [`wasmgrid_core::Grid`], and turns its outputs into
//! commits and messages. It makes no scheduling decisions, opens no sockets and uses no database directly.
//!
//! The [`driver`] owns the `Grid` and is a sans-IO state machine itself: events go in, effects come
//! out. The shell around it (`shell`) owns the links, the clock and the services, carries the effects
//! out, and feeds their results back as events. Neither ever waits: not for the disk (one thread
//! commits what the driver hands over, see `journal`), not for a link (each has a bounded outbox), not
//! for a read (see `readers`). The driver's gate holds back each output that must not be seen before
//! the records before it are committed.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod admit;
mod audit_log;
mod blocking;
mod clock;
mod compact;
mod config;
pub mod driver;
mod enroll;
mod error;
mod inbox;
mod journal;
mod keys;
mod links;
mod members;
mod readers;
mod secret;
mod server;
mod shell;
mod space;
mod staging;
mod tokens;

pub use blocking::Blocking;
pub use config::{Admission, Admit, AdmitHere, Admitting, Enrollment, NotAdmitted, ServerConfig};
pub use driver::CheckTask;
pub use error::ServerError;
pub use server::{Server, ServerHandle};
pub use space::Space;
