//! The sandbox's child processes as a program: what the hidden subcommands of `wasmgrid` are, for
//! the tests of this crate, which comes before that one.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("compiler") => wasmgrid_sandbox::compiler_main(),
        Some("runner") => wasmgrid_sandbox::runner_main(),
        _ => ExitCode::from(2),
    }
}
