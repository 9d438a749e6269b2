//! The client against a scheduler that the test plays itself, over links inside the process.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod appends;
mod grid;
mod named;
mod requests;
mod results;
