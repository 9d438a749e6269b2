//! The simulator's promises: every seed holds, a seed is one world, and what is broken on purpose
//! is caught.

#![expect(clippy::panic, reason = "a helper of a test may fail as the test itself may")]

mod quotas;
mod seeds;
mod shares;
mod zoo;
