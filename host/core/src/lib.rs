//! The scheduler as a pure value: what happens and the time go in, what to do comes out. It does
//! no IO, reads no clock, draws no random number and sees no payload; see [`Grid`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod grid;
mod io;

pub use config::GridConfig;
pub use grid::Grid;
pub use io::{CompletedBlock, Completion, Grant, Input, Output, RequestId, SegmentToken};
