//! The sandbox from outside: what it admits and refuses, compiles and runs.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod admit;
mod compile;
mod modules;
mod run;
