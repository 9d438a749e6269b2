//! The grid under test. One binary for all of it, so that it is linked once.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod admission;
mod cluster;
mod examples;
mod failpoints;
mod faults;
mod generated;
mod grants;
mod house;
mod languages;
mod local;
mod open;
mod partitions;
mod promises;
mod refusals;
mod sandbox;
mod storage;
mod strangers;
mod wasi_suite;
mod zoo;
