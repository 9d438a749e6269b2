//! Submits jobs to a grid and streams their results, over any link that the caller dials.
//!
//! If a link is lost, the client dials again and repeats the unanswered requests that are safe to
//! repeat. Results arrive in the order of the job's result log, without gaps and without repeats,
//! however often the link is lost. This crate prints nothing and reads no configuration.

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
