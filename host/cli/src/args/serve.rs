//! The flags of the commands that serve: `up`, `server`, `join` and `worker`.

use std::path::PathBuf;

use clap::Args;
use wasmgrid_proto::{ByteCount, Millis};

use super::{
    CapArgs, CertificateLife, WorkerNoun,
    address::{HostPort, Listen},
    maxima::Maximum,
    named::{Label, TenantWeight},
    operate::LogArgs,
    run::{Isolation, SandboxArgs},
};

/// `wasmgrid up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// The grid.
    #[command(flatten)]
    pub scheduler: SchedulerArgs,
    /// No worker on this machine
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        env = "WASMGRID_NO_WORKER"
    )]
    pub no_worker: Option<bool>,
    /// The worker on this machine.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// What it prints.
    #[command(flatten)]
    pub token: PrintArgs,
}

/// `wasmgrid server`.
#[derive(Args, Debug)]
pub struct ServerArgs {
    /// The grid.
    #[command(flatten)]
    pub scheduler: SchedulerArgs,
    /// Look at submitted modules only where each layer of the jail around that is there
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new(),
        env = "WASMGRID_REQUIRE_JAIL"
    )]
    pub require_jail: Option<bool>,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// What it prints.
    #[command(flatten)]
    pub token: PrintArgs,
}

/// Where settings come from beside the flags.
#[derive(Args, Clone, Debug, Default)]
pub struct SourceArgs {
    /// A TOML file with these flags as keys (`slots = 4`, `labels = ["zone=a"]`). Later starts read it
    /// again
    #[arg(long, value_name = "FILE", env = "WASMGRID_CONFIG")]
    pub config: Option<PathBuf>,
    /// Forget what flags of earlier starts have set; what is not set now is as by default
    #[arg(long)]
    pub defaults: bool,
}

/// A scheduler of this machine.
#[derive(Args, Clone, Debug, Default)]
pub struct SchedulerArgs {
    /// Settings.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The grid's name, and its context's; only at the first start [default: this machine's name]
    #[arg(long, value_name = "NAME", env = "WASMGRID_NAME")]
    pub name: Option<String>,
    /// The address to listen on, by UDP: `0.0.0.0` is all of this machine's, so that other machines
    /// reach it; the port is 7433 unless said otherwise [default: 127.0.0.1:7433, which this machine
    /// alone reaches]
    #[arg(long, value_name = "IP[:PORT]", env = "WASMGRID_LISTEN")]
    pub listen: Option<Listen>,
    /// Where others reach this machine, if that is not where it listens, such as behind a router; may
    /// be repeated
    #[arg(long, value_name = "HOST:PORT", env = "WASMGRID_ADVERTISE", value_delimiter = ',')]
    pub advertise: Vec<HostPort>,
    /// How long a job whose submitter is still sending its inputs waits for one that is gone; then
    /// it is closed, and what it has is run [default: 3m]
    #[arg(long, value_name = "TIME", env = "WASMGRID_PRODUCER_GRACE")]
    pub producer_grace: Option<Millis>,
    /// Where the grid keeps its state [default: in the user's data folder]
    #[arg(long, value_name = "DIR", env = "WASMGRID_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// What a tenant gets of the grid beside others that have tasks waiting, as NAME=WEIGHT with a
    /// weight of 1 to 1000 (1 for those not named); may be repeated (in a file: `tenant_weights =
    /// ["ada=3"]`)
    #[arg(
        long = "tenant-weight",
        value_name = "NAME=WEIGHT",
        env = "WASMGRID_TENANT_WEIGHTS",
        value_delimiter = ','
    )]
    pub tenant_weights: Vec<TenantWeight>,
    /// How long certificates are good for, from 10s to 1826d; members renew theirs after two thirds
    /// of it [default: 365d]
    #[arg(long, value_name = "TIME", env = "WASMGRID_CERTIFICATE_LIFE")]
    pub certificate_life: Option<CertificateLife>,
    /// What submitted modules may look like, for `up` also on this machine's worker (in a file:
    /// `caps = ["functions=100000"]`).
    #[command(flatten)]
    pub caps: CapArgs,
    /// What stays of jobs that have ended.
    #[command(flatten)]
    pub keep: KeepArgs,
}

/// The token that `up` prints when it makes a grid, and that is else printed only where one of these is
/// given.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct PrintArgs {
    /// Print a token that is good for so long; without it and --token-uses one is printed only when
    /// `up` makes the grid, and `wasmgrid token create` makes others [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub token_ttl: Option<Millis>,
    /// Print a token with which so many machines may join [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub token_uses: Option<u32>,
}

/// What a scheduler keeps of jobs, and for how long.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepArgs {
    /// How long after a job's end its results are kept, and the inputs of its tasks that failed
    /// [default: 7d]
    #[arg(long, value_name = "TIME", env = "WASMGRID_KEEP_RESULTS", help_heading = "Retention")]
    pub keep_results: Option<Millis>,
    /// How long after its end a job itself is known, with its number and its idempotency key;
    /// its results go with it at the latest [default: 30d]
    #[arg(long, value_name = "TIME", env = "WASMGRID_KEEP_JOBS", help_heading = "Retention")]
    pub keep_jobs: Option<Millis>,
    /// Bytes of results that are kept of all jobs that have ended; beyond it those of the job that
    /// ended first go first [default: no bound]
    #[arg(long, value_name = "BYTES", env = "WASMGRID_KEEP_BYTES", help_heading = "Retention")]
    pub keep_bytes: Option<ByteCount>,
    /// Bytes of results that are kept of a running job with open inputs; beyond it the oldest
    /// go, whether they were read or not [default: no bound]
    #[arg(
        long,
        value_name = "BYTES",
        env = "WASMGRID_KEEP_OPEN_BYTES",
        help_heading = "Retention"
    )]
    pub keep_open_bytes: Option<ByteCount>,
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
    /// The token; others on this machine see it among the processes, for as long as the command
    /// runs: --token-file or WASMGRID_TOKEN in the environment keep it from them
    pub token: Option<String>,
    /// A file that has the token; `-` reads it from standard input
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
    /// Settings.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The worker's name when it joins [default: this machine's name]; later which of this machine's
    /// workers is meant
    #[arg(long, value_name = "NAME", env = "WASMGRID_NAME")]
    pub name: Option<String>,
    /// What it offers.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Where the worker keeps its identity
    #[arg(long, value_name = "DIR", env = "WASMGRID_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// What modules may look like to be compiled (in a file: `caps = ["functions=100000"]`).
    #[command(flatten)]
    pub caps: CapArgs,
}

/// What a worker of this machine offers.
#[derive(Args, Clone, Debug, Default)]
pub struct MachineArgs {
    /// Tasks at a time of the worker on this machine [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096), env = "WASMGRID_SLOTS")]
    pub slots: Option<u32>,
    /// Memory for all tasks together: no more run at once than fit with their limits [default: all
    /// of the machine's]
    #[arg(long, value_name = "BYTES", env = "WASMGRID_MEMORY")]
    pub memory: Option<ByteCount>,
    /// KEY=VALUE that jobs may require (`--require`) and that is shown with the worker; may be
    /// repeated (in a file: `labels = ["zone=a"]`). It does not count where tokens vouch for labels
    /// of KEY (`wasmgrid token create --label`)
    #[arg(
        long = "label",
        value_name = "KEY=VALUE",
        env = "WASMGRID_LABELS",
        value_delimiter = ','
    )]
    pub labels: Vec<Label>,
    /// What separates tasks from the worker [default: process]
    #[arg(long, value_enum, env = "WASMGRID_ISOLATION")]
    pub isolation: Option<Isolation>,
    /// A directory that jobs may be granted to read, with all below it; may be repeated (in a
    /// file: `allow_dirs = ["/srv/data"]`)
    #[arg(
        long = "allow-dir",
        value_name = "DIR",
        env = "WASMGRID_ALLOW_DIRS",
        value_delimiter = ','
    )]
    pub allow_dirs: Vec<PathBuf>,
    /// The most of a limit that a job may ask for, as NAME=VALUE: fuel=1T, timeout=1h,
    /// memory=1GiB, table=100000, output=64MiB, record=1MiB, log=1MiB; may be repeated (in a
    /// file: `max = ["memory=1GiB"]`)
    #[arg(long, value_name = "NAME=VALUE", env = "WASMGRID_MAX", value_delimiter = ',')]
    pub max: Vec<Maximum>,
    /// Its sandbox.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    /// Where compiled modules are kept
    #[arg(long, value_name = "DIR", env = "WASMGRID_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
}
