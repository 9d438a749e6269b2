//! The scheduler's promises, each driven with virtual time; see [`world::World`].

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test may fail as the test itself may"
)]

mod jobs;
mod placement;
mod retention;
mod retries;
mod workers;
mod world;
