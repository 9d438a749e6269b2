//! The flags for data: how inputs are cut, and how results belong to them. Not for where they are from.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use crate::run::Batch;

/// How a text becomes inputs.
#[derive(Args, Clone, Debug, Default)]
pub struct CutArgs {
    /// Give each task a batch on stdin: this many lines (1000), or as many whole lines as fit into
    /// this many bytes (1MiB); for commands, with INPUTS, --lines, --json or --csv
    #[arg(long, value_name = "N|BYTES", help_heading = "Inputs")]
    pub batch: Option<Batch>,
    /// Columns of --csv that are numbers; values of all others are strings, exactly as in the file
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        requires = "csv",
        help_heading = "Inputs"
    )]
    pub csv_numbers: Vec<String>,
}

/// How results belong to their inputs.
#[derive(Args, Clone, Debug, Default)]
pub struct EachArgs {
    /// Write each line of a result after its input (for a file its path, for a batch its place) and
    /// a tab
    #[arg(long, conflicts_with_all = ["raw", "format", "out_dir"], help_heading = "Output")]
    pub with_input: bool,
    /// Write each result to a file of its own, which appears when it is complete: DIR/{name} for
    /// --files,
    /// else DIR/{index}; or as in 'DIR/{stem}.json', with {name}, {stem}, {path} and {index}
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out_dir: Option<OsString>,
    /// Record the progress of a run on this machine in this file, and continue from it if it
    /// exists: give the original command, or `run --resume FILE` alone. Failed inputs are kept
    /// there too
    #[arg(
        long,
        value_name = "FILE",
        group = "kept",
        conflicts_with = "dry_run",
        help_heading = "Inputs"
    )]
    pub resume: Option<PathBuf>,
}

/// How the results of a job belong to its inputs, of which the grid knows everything but the names of
/// their files.
#[derive(Args, Clone, Debug, Default)]
pub struct StoredEachArgs {
    /// Write each line of a result after its input and a tab; for an input of several lines, and one
    /// that was deleted, after its task: 3/17
    #[arg(long, conflicts_with_all = ["raw", "format", "out_dir"], help_heading = "Output")]
    pub with_input: bool,
    /// Write each result to a file of its own, which appears when it is complete: DIR/{index}, or as
    /// in 'DIR/{index}.json'
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out_dir: Option<OsString>,
}
