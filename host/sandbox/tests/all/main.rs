//! The sandbox from outside: what it admits and refuses, compiles and runs.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod able;
mod admission;
mod admit;
mod bytes;
mod caps;
mod compile;
mod compiled;
mod jail;
#[path = "../../../proto/tests/all/meter.rs"]
mod meter;
mod modules;
mod programs;
mod robust;
mod run;
#[path = "../support/texts.rs"]
mod texts;
mod work;
