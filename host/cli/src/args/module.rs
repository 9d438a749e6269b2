//! The flags of `wasmgrid module`.

use clap::Subcommand;

use super::AskArgs;

/// What can be asked of stored modules.
#[derive(Debug, Subcommand)]
pub enum ModuleCommand {
    /// List the modules that a cluster has, and how many jobs and functions use each
    List {
        /// Only those of this tenant [default: your own; all, for an operator]
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
}
