//! The agent in virtual time: a scheduler played by the test, and slots that only wait.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod orders;
mod turns;
mod world;
