//! The flags of the commands that serve: `up`, `server`, `join` and `worker`.

use std::path::PathBuf;

use clap::{Arg, Args};
use wasmgrid_proto::Millis;

use super::{WorkerNoun, above_zero, operate::LogArgs};
use crate::settings::{Flags, GATEWAY, SERVER, UP, WORKER};

/// `wasmgrid up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Where settings come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The grid and the worker on this machine.
    #[command(flatten)]
    pub settings: Flags<UP>,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// What it prints.
    #[command(flatten)]
    pub token: PrintArgs,
}

/// `wasmgrid server`.
#[derive(Args, Debug)]
#[command(mut_arg("token_ttl", of_server))]
pub struct ServerArgs {
    /// Where settings come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The grid.
    #[command(flatten)]
    pub settings: Flags<SERVER>,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// What it prints.
    #[command(flatten)]
    pub token: PrintArgs,
}

/// What a gateway is, for its `--help`.
const GATEWAY_HELP: &str = r#"A gateway is a client of the grid: it keeps nothing, so any number of them can
stand side by side behind a load balancer. The machine joins once, with a token for a gateway:
`wasmgrid token create --role gateway` on the scheduler's machine, `wasmgrid join TOKEN` here."#;

/// `wasmgrid gateway`.
#[derive(Args, Debug)]
#[command(after_long_help = GATEWAY_HELP)]
pub struct GatewayArgs {
    /// Where and how it serves.
    #[command(flatten)]
    pub settings: Flags<GATEWAY>,
    /// Which of this machine's gateways [default: the only one]
    #[arg(long, value_name = "NAME", conflicts_with = "state_dir")]
    pub name: Option<String>,
    /// Where the gateway keeps its identity
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Where settings come from beside the flags.
#[derive(Args, Clone, Debug, Default)]
pub struct SourceArgs {
    /// A TOML file with these flags as keys (`slots = 4`, `labels = ["zone=a"]`); later starts read
    /// it again
    #[arg(long, value_name = "FILE", env = "WASMGRID_CONFIG")]
    pub config: Option<PathBuf>,
    /// Forget the flags of earlier starts; settings that are not given now have their defaults
    #[arg(long)]
    pub defaults: bool,
}

/// The token that `up` prints when it makes a grid, and that is else printed only where one of these is
/// given.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct PrintArgs {
    /// Print a token that is valid for this long; without this and --token-uses, one is printed
    /// only when `up` creates the grid, and `wasmgrid token create` creates others [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = above_zero)]
    pub token_ttl: Option<Millis>,
    /// Print a token with which this many machines may join [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub token_uses: Option<u32>,
}

/// Says of the token of a `server` when there is one.
fn of_server(token_ttl: Arg) -> Arg {
    token_ttl.help(
        "Print a token that is valid for this long; without this and --token-uses, none is printed, \
         and `wasmgrid token create` creates tokens [default: 1h]",
    )
}

/// `wasmgrid join`.
#[derive(Args, Debug)]
pub struct JoinArgs {
    /// The token that `wasmgrid up` or `wasmgrid token create` printed.
    #[command(flatten)]
    pub token: TokenSource,
    /// The worker.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Where a token comes from.
#[derive(Args, Clone, Debug)]
pub struct TokenSource {
    /// The token. Other users of this machine can see it in the list of processes while the command
    /// runs; use --token-file or the variable WASMGRID_TOKEN to avoid that
    pub token: Option<String>,
    /// A file with the token; `-` reads it from standard input
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
}

/// `wasmgrid worker`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct WorkerCommand {
    /// What to ask of the grid's workers; without it the worker of this machine is run.
    #[command(subcommand)]
    pub noun: Option<WorkerNoun>,
    /// The worker to run.
    #[command(flatten)]
    pub run: WorkerArgs,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// A worker of this machine that joins a grid, or has.
#[derive(Args, Clone, Debug, Default)]
pub struct WorkerArgs {
    /// Where settings come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What it is and offers.
    #[command(flatten)]
    pub settings: Flags<WORKER>,
}
