//! `wasi-suite FOLDER`: runs the programs of a WASI test suite as tasks and prints a line for each
//! that did not pass, and a table. Ends with 1 where one failed. The binary has to be built in the
//! same profile.

use std::{env, path::Path, process::ExitCode};

use wasmgrid_tests::wasi_suite::Report;

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("usage: wasi-suite FOLDER\nFOLDER has .wasm programs, each with its .json");
        return ExitCode::from(2);
    };
    let report = Report::of(Path::new(&folder));
    print!("{report}");
    ExitCode::from(u8::from(report.failed() > 0 || report.programs.is_empty()))
}
