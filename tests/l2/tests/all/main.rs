//! The real scheduler, workers and clients over QUIC, on a network that loses, doubles, delays and
//! cuts, in simulated time: worlds that are drawn from a seed each, with kills and restarts of
//! everybody, and what must be true when their faults are over.
//!
//! Each world lives in a process of its own, on one thread: only there is all randomness the
//! seed's. To live through one again: `WASMGRID_L2_SEED=17 cargo test --workspace --test l2 --
//! --exact worlds::one_world --nocapture`; with `RUST_LOG=info` (or `trace`, for each datagram) one sees
//! it happen. `WASMGRID_L2_FIRST` and `WASMGRID_L2_SEEDS` choose which worlds the test of many
//! lives through.

#![cfg(target_os = "linux")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a world that does not hold ends with a panic"
)]

mod check;
mod customer;
mod jobs;
mod machines;
mod os;
mod restart;
mod storm;
mod world;
mod worlds;
