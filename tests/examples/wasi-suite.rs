//! `wasi-suite FOLDER…`: runs other people's WASI programs as tasks and prints a line for each, and
//! a table. Ends with 1 where one failed. The binary has to be built in the same profile.

use std::{env, path::PathBuf, process::ExitCode};

use wasmgrid_tests::wasi_suite::Report;

fn main() -> ExitCode {
    let folders: Vec<PathBuf> = env::args_os().skip(1).map(Into::into).collect();
    if folders.is_empty() {
        eprintln!(
            "usage: wasi-suite FOLDER…\n\
             FOLDER has .wasm commands: those of the WASI test suite with their .json, those of \
             Wasmtime, or others"
        );
        return ExitCode::from(2);
    }
    let report = Report::of(folders);
    print!("{report}");
    ExitCode::from(u8::from(report.failed() > 0 || report.runs.is_empty()))
}
