//! `wasmgrid completion`: what completes commands and flags in a shell.

use crate::{
    args::{self, CompletionArgs},
    exit::Exit,
    print,
};

/// Prints a shell's script.
///
/// # Errors
/// Where stdout cannot be written.
pub fn completion(args: &CompletionArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "wasmgrid", &mut script);
    print::exactly(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
