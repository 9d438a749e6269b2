//! The server against the memory store, with workers and clients that the tests play.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails says so by a panic"
)]

mod harness;

mod audits;
mod blobs;
mod compaction;
mod contests;
mod doubt;
mod driven;
mod durability;
mod enrollment;
mod gateways;
mod given_inputs;
mod hostile;
mod jobs;
mod keys;
mod late;
mod members;
mod metrics;
mod modules;
mod overdue;
mod producer_leases;
mod quotas;
mod renewals;
mod retention;
mod roles;
mod sizes;
mod staging;
mod summaries;
mod versions;
mod watches;
