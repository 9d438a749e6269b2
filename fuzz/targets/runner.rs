//! The messages between an agent and its runner: a runner that was taken over may send its agent
//! anything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmgrid_sandbox::fuzz::runner_message;

fuzz_target!(|bytes: &[u8]| runner_message(bytes));
