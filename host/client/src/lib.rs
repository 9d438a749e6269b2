//! Submits jobs to a grid and streams their results, over whatever link the caller dials.
//!
//! A lost link is dialled again, and what was asked on it is asked again: everything this crate
//! repeats is safe to repeat. Results arrive in the order of a job's result log, without gaps
//! and without repeats, however often the link was lost on the way. It prints nothing and knows
//! no configuration.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod actor;
mod client;
mod error;
mod operate;
mod sendable;
mod stream;
mod upload;

pub use client::{Client, ClientConfig, ClientLink, Producer, SubmitRequest};
pub use error::ClientError;
pub use stream::{JobEvent, JobStream};
pub use upload::Uploads;
