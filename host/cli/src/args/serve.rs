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
    /// Run no worker on this machine
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
    /// Refuse to start unless every layer of the jail around admission is available
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
    /// A TOML file with these flags as keys (`slots = 4`, `labels = ["zone=a"]`); later starts read
    /// it again
    #[arg(long, value_name = "FILE", env = "WASMGRID_CONFIG")]
    pub config: Option<PathBuf>,
    /// Forget the flags of earlier starts; settings that are not given now have their defaults
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
    /// The UDP address to listen on; `0.0.0.0` is every address of this machine, so that other
    /// machines can connect; the default port is 7433 [default: 127.0.0.1:7433, which only this
    /// machine can reach]
    #[arg(long, value_name = "IP[:PORT]", env = "WASMGRID_LISTEN")]
    pub listen: Option<Listen>,
    /// The address at which others reach this machine, if it is not the listening address, as
    /// behind a router; may be repeated
    #[arg(long, value_name = "HOST:PORT", env = "WASMGRID_ADVERTISE", value_delimiter = ',')]
    pub advertise: Vec<HostPort>,
    /// Close a job this long after its submitter disconnected while sending inputs; inputs already
    /// received still run [default: 3m]
    #[arg(long, value_name = "TIME", env = "WASMGRID_PRODUCER_GRACE")]
    pub producer_grace: Option<Millis>,
    /// The folder of the grid's state [default: in the user's data folder]
    #[arg(long, value_name = "DIR", env = "WASMGRID_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// A tenant's share of the grid relative to others with waiting tasks, as NAME=WEIGHT with a
    /// weight of 1 to 1000 (1 for tenants not named); may be repeated (in a file: `tenant_weights =
    /// ["ada=3"]`)
    #[arg(
        long = "tenant-weight",
        value_name = "NAME=WEIGHT",
        env = "WASMGRID_TENANT_WEIGHTS",
        value_delimiter = ','
    )]
    pub tenant_weights: Vec<TenantWeight>,
    /// How long certificates are valid, from 10s to 1826d; members renew theirs after two thirds of
    /// that [default: 365d]
    #[arg(long, value_name = "TIME", env = "WASMGRID_CERTIFICATE_LIFE")]
    pub certificate_life: Option<CertificateLife>,
    /// New jobs, inputs and modules are refused while less than this is free on the disk, so that
    /// work in progress can be stored [default: 1GiB, or a tenth of a disk that is smaller than
    /// 10GiB]
    #[arg(long, value_name = "BYTES", env = "WASMGRID_DISK_RESERVE")]
    pub disk_reserve: Option<ByteCount>,
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
    /// Print a token that is valid for this long; without this and --token-uses, one is printed
    /// only when `up` creates the grid, and `wasmgrid token create` creates others [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub token_ttl: Option<Millis>,
    /// Print a token with which this many machines may join [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub token_uses: Option<u32>,
}

/// What a scheduler keeps of jobs, and for how long.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepArgs {
    /// Delete a job's results, and the inputs of its failed tasks, this long after its end
    /// [default: 7d]
    #[arg(long, value_name = "TIME", env = "WASMGRID_KEEP_RESULTS", help_heading = "Retention")]
    pub keep_results: Option<Millis>,
    /// Delete a job itself, with its number and its idempotency key, this long after its end; its
    /// results are deleted with it at the latest [default: 30d]
    #[arg(long, value_name = "TIME", env = "WASMGRID_KEEP_JOBS", help_heading = "Retention")]
    pub keep_jobs: Option<Millis>,
    /// Bytes of results that are kept of all ended jobs; beyond that, results of the job that ended
    /// first are deleted first [default: no bound]
    #[arg(long, value_name = "BYTES", env = "WASMGRID_KEEP_BYTES", help_heading = "Retention")]
    pub keep_bytes: Option<ByteCount>,
    /// Bytes of results that are kept of a running job with open inputs; beyond that, the oldest
    /// are deleted, whether they were read or not [default: no bound]
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
    /// Settings.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The worker's name when it joins [default: this machine's name]; later, selects one of this
    /// machine's workers
    #[arg(long, value_name = "NAME", env = "WASMGRID_NAME")]
    pub name: Option<String>,
    /// What it offers.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// The folder of the worker's identity
    #[arg(long, value_name = "DIR", env = "WASMGRID_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// What modules may look like to be compiled (in a file: `caps = ["functions=100000"]`).
    #[command(flatten)]
    pub caps: CapArgs,
}

/// What a worker of this machine offers.
#[derive(Args, Clone, Debug, Default)]
pub struct MachineArgs {
    /// Number of tasks that the worker on this machine runs at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096), env = "WASMGRID_SLOTS")]
    pub slots: Option<u32>,
    /// Memory for all tasks together; only as many run at once as fit by their limits [default: all
    /// of the machine's]
    #[arg(long, value_name = "BYTES", env = "WASMGRID_MEMORY")]
    pub memory: Option<ByteCount>,
    /// A label KEY=VALUE that jobs may require (`--require`); may be repeated (in a file: `labels =
    /// ["zone=a"]`). It does not count if tokens vouch for labels with this KEY (`wasmgrid token
    /// create --label`)
    #[arg(
        long = "label",
        value_name = "KEY=VALUE",
        env = "WASMGRID_LABELS",
        value_delimiter = ','
    )]
    pub labels: Vec<Label>,
    /// The boundary between tasks and the worker [default: process]
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
    /// The highest limit that a job may request, as NAME=VALUE: fuel=1T, timeout=1h,
    /// memory=1GiB, table=100000, output=64MiB, record=1MiB, log=1MiB; may be repeated (in a
    /// file: `max = ["memory=1GiB"]`)
    #[arg(long, value_name = "NAME=VALUE", env = "WASMGRID_MAX", value_delimiter = ',')]
    pub max: Vec<Maximum>,
    /// Its sandbox.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    /// The folder for compiled modules
    #[arg(long, value_name = "DIR", env = "WASMGRID_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
}
