//! A gateway over real sockets, in front of a real scheduler with the memory store. The workers are
//! played by the tests.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod access;
mod functions;
mod http;
mod inputs;
mod jobs;
mod lab;
mod limits;
mod pages;
mod streams;
mod worker;
