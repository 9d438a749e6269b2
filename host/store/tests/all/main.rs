//! The stores' promises: one suite for every backend, and what only a file can break.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod conformance;
mod crash;
mod damage;
mod format;
mod sqlite;
mod support;
