//! The worker from outside: a scheduler played by the test, and a real sandbox
//! in threads.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod able;
mod leaving;
mod modules;
mod orders;
mod results;
mod scheduler;
