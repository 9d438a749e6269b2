//! The flags for data: how inputs are cut. Not for where they are from.

use clap::Args;

use crate::run::Batch;

/// How a text becomes inputs.
#[derive(Args, Clone, Debug, Default)]
pub struct CutArgs {
    /// So many lines (1000), or as many as fit so many bytes (1MiB), are one task, which reads them
    /// from stdin; for commands, with INPUTS, --lines, --json or --csv
    #[arg(long, value_name = "N|BYTES", help_heading = "Inputs")]
    pub batch: Option<Batch>,
    /// Columns of --csv that are numbers; the values of all others are strings, exactly as they
    /// stand there
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        requires = "csv",
        help_heading = "Inputs"
    )]
    pub csv_numbers: Vec<String>,
}
