//! The flags of the commands that make, run and ask clusters.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand, ValueEnum};
use wasmgrid_proto::{ByteCount, JobId, JobState, Millis};

use super::{
    CapArgs, CertificateLife, Format,
    maxima::Maximum,
    operate::LogArgs,
    run::{GridArgs, InputArgs, Isolation, LimitArgs, OutputArgs, SandboxArgs},
};

/// `wasmgrid up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// The grid's name, and its context's; only at the first start
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The UDP address to listen on; a grid of several machines needs one that they reach, such
    /// as 0.0.0.0:7433 [default: 127.0.0.1:7433]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// HOST:PORT under which others reach this machine; may be repeated [default: the address
    /// listened on]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Vec<String>,
    /// Tasks at a time of the worker on this machine [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub slots: Option<u32>,
    /// What a tenant gets beside others, as NAME=WEIGHT (1 for those not named); may be repeated
    #[arg(long = "tenant-weight", value_name = "NAME=WEIGHT")]
    pub tenant_weights: Vec<TenantWeight>,
    /// How long a job whose submitter is still sending its inputs waits for one that is gone; then
    /// it is closed, and what it has is run [default: 3m]
    #[arg(long, value_name = "TIME")]
    pub producer_grace: Option<Millis>,
    /// No worker on this machine
    #[arg(long, conflicts_with_all = ["slots", "isolation", "max"])]
    pub no_worker: bool,
    /// What separates tasks from the worker
    #[arg(long, value_enum)]
    pub isolation: Option<Isolation>,
    /// A directory that jobs may be granted to read, with all below it; may be repeated
    #[arg(long = "allow-dir", value_name = "DIR", conflicts_with = "no_worker")]
    pub allow_dirs: Vec<PathBuf>,
    /// The most of a limit that a job may ask for, as NAME=VALUE: fuel=1T, timeout=1h,
    /// memory=1GiB, table=100000, output=64MiB, record=1MiB, log=1MiB; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub max: Vec<Maximum>,
    /// The sandbox of the worker on this machine.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    /// Where the grid keeps its state [default: in the user's data folder]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How long certificates are good for, from 10s to 1826d; members renew theirs after two thirds
    /// of it [default: 365d]
    #[arg(long, value_name = "TIME")]
    pub certificate_life: Option<CertificateLife>,
    /// What modules may look like, for the scheduler and this machine's worker.
    #[command(flatten)]
    pub caps: CapArgs,
    /// What stays of jobs that have ended.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// How long the printed token is good for
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub token_ttl: Millis,
    /// How many machines may join with the printed token
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub token_uses: u32,
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

/// `wasmgrid server`: flags over WASMGRID_* over the file over defaults.
#[derive(Args, Debug)]
pub struct ServerArgs {
    /// A TOML file with these flags as keys (`state_dir = "/var/lib/wasmgrid"`)
    #[arg(long, value_name = "FILE", env = "WASMGRID_CONFIG")]
    pub config: Option<PathBuf>,
    /// The grid's name; only at the first start [default: this machine's name]
    #[arg(long, value_name = "NAME", env = "WASMGRID_NAME")]
    pub name: Option<String>,
    /// The UDP address to listen on [default: 127.0.0.1:7433]
    #[arg(long, value_name = "ADDRESS", env = "WASMGRID_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// HOST:PORT under which others reach this machine; may be repeated
    #[arg(long, value_name = "HOST:PORT", env = "WASMGRID_ADVERTISE", value_delimiter = ',')]
    pub advertise: Vec<String>,
    /// How long a job whose submitter is still sending its inputs waits for one that is gone; then
    /// it is closed, and what it has is run [default: 3m]
    #[arg(long, value_name = "TIME", env = "WASMGRID_PRODUCER_GRACE")]
    pub producer_grace: Option<Millis>,
    /// Where the grid keeps its state
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
    /// What submitted modules may look like (in a file: `caps = ["functions=100000"]`).
    #[command(flatten)]
    pub caps: CapArgs,
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
    /// What stays of jobs that have ended.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
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

/// A `NAME=WEIGHT` of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantWeight {
    /// The name in its certificate.
    pub name: String,
    /// From 1 to [`TenantWeight::MAX`].
    pub weight: u32,
}

impl TenantWeight {
    /// Enough to tell any two tenants apart.
    const MAX: u32 = 1_000;
}

/// A text that is no tenant's weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no tenant's weight; write NAME=WEIGHT with a whole number from 1 to {}",
    TenantWeight::MAX
)]
pub struct TenantWeightError {
    /// What was there.
    pub found: String,
}

impl FromStr for TenantWeight {
    type Err = TenantWeightError;

    fn from_str(text: &str) -> Result<Self, TenantWeightError> {
        let weight = |text: &str| text.trim().parse().ok().filter(|n| (1..=Self::MAX).contains(n));
        let (name, weight) = text
            .split_once('=')
            .and_then(|(name, number)| Some((name.trim(), weight(number)?)))
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| TenantWeightError { found: text.into() })?;
        Ok(Self { name: name.into(), weight })
    }
}

/// `wasmgrid worker`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct WorkerCommand {
    /// What to ask of the grid's workers; without it the worker of this machine is run.
    #[command(subcommand)]
    pub noun: Option<WorkerNoun>,
    /// A TOML file with these flags as keys (`slots = 4`)
    #[arg(long, value_name = "FILE", env = "WASMGRID_CONFIG")]
    pub config: Option<PathBuf>,
    /// The worker to run.
    #[command(flatten)]
    pub run: WorkerArgs,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// A worker of this machine: flags over WASMGRID_* over the file over defaults.
#[derive(Args, Clone, Debug, Default)]
pub struct WorkerArgs {
    /// The worker's name; only when it joins [default: this machine's name]
    #[arg(long, value_name = "NAME", env = "WASMGRID_NAME")]
    pub name: Option<String>,
    /// Tasks at a time [default: one a core]
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
    /// Where the worker keeps its identity
    #[arg(long, value_name = "DIR", env = "WASMGRID_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where compiled modules are kept
    #[arg(long, value_name = "DIR", env = "WASMGRID_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
    /// What modules may look like to be compiled (in a file: `caps = ["functions=100000"]`).
    #[command(flatten)]
    pub caps: CapArgs,
}

/// A `KEY=VALUE` that a worker has or a job requires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Before the `=`; not empty.
    pub key: String,
    /// Behind it.
    pub value: String,
}

/// A text that is no label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no label; write KEY=VALUE")]
pub struct LabelError {
    /// What was there.
    pub found: String,
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().into(), value: value.trim().into() })
            }
            _ => Err(LabelError { found: text.into() }),
        }
    }
}

/// What can be asked of a grid's workers.
#[derive(Debug, Subcommand)]
pub enum WorkerNoun {
    /// The workers of the grid; those that are gone for over an hour only with --all
    List {
        /// Also those that are gone for long, or have not come back since the scheduler started
        #[arg(long)]
        all: bool,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// In what shape
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// One worker and what runs on it
    Show {
        /// Its name
        name: String,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// In what shape
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Give a worker nothing new; it finishes what it has begun and gives back the rest. It is
    /// `drained` once it has nothing, until it is uncordoned or its process ends
    Drain {
        /// Its name
        name: String,
        /// Return once it has nothing left, or is gone
        #[arg(long)]
        wait: bool,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Give a worker nothing new until it is uncordoned; it keeps what it has, its queue too
    Cordon {
        /// Its name
        name: String,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Give a worker tasks again, after a cordon or a drain
    Uncordon {
        /// Its name
        name: String,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Take a worker out of the grid: its link ends at once, what it has runs elsewhere, and it
    /// comes back with a new token alone (drain it first to lose nothing that it has begun)
    Remove {
        /// Its name
        name: String,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
}

/// What an append says, for its `--help`.
const APPEND_HELP: &str = r#"Without an input flag stdin is one input; `-` (or `--lines -`) makes each of its lines one, appended
as it comes. What was appended is durable, and is done once also where the link was lost in between.

With --output json each append is one line, with the indices its inputs got, under which their
results are:
  {"job":1,"first":10,"count":3}"#;

/// What a retry is, for its `--help`.
const RETRY_HELP: &str = r#"The old job and its results stay as they are. The new one has the same module, arguments, grants, seed
and limits (but those given here), and its tasks are those of the old job that did not end ok, with
the same inputs, which stay where they are, and the same indices. So its result of index 7 is what
replaces the old one of index 7, and a task that asks for its index or for randomness is given the
same. Without grants a task ends again as it did, unless it was stopped at a limit that is higher now,
or was not run to its end (lost, expired, cancelled, skipped).

In input order its results are printed at its end; `job results JOB --follow --order done` has them
as they come."#;

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// Tasks wait or run, or more inputs may come
    Active,
    /// Every task ended ok
    Ok,
    /// Every task ended, some not ok
    Failed,
    /// It was cancelled
    Cancelled,
    /// Its deadline passed first
    Expired,
}

impl From<StateName> for JobState {
    fn from(state: StateName) -> Self {
        match state {
            StateName::Active => Self::Active,
            StateName::Ok => Self::Ok,
            StateName::Failed => Self::Failed,
            StateName::Cancelled => Self::Cancelled,
            StateName::Expired => Self::Expired,
        }
    }
}

/// What can be asked of jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Jobs, the newest first: your own, and for an operator everybody's
    List {
        /// Only those in this state; may be repeated
        #[arg(long = "state", value_name = "STATE", value_enum, value_delimiter = ',')]
        states: Vec<StateName>,
        /// Only those of this name, in which `*` stands for any text
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Only those of this tenant
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// In what shape
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// One job, or one task of it with its attempts
    Show {
        /// Its id
        job: JobId,
        /// The task with this index
        #[arg(long, value_name = "INDEX")]
        task: Option<u64>,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// In what shape
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Why a job's tasks wait, and what would help
    Explain {
        /// Its id
        job: JobId,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// In what shape
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// A job's results so far; with --follow until it ends. Exits with the job's outcome as `run` does,
    /// while it goes on with 1 where a task has failed
    Results {
        /// Its id
        job: JobId,
        /// From this place of the job's result log on, which counts results as they ended, from 0;
        /// `--output json` has the cursor of each
        #[arg(long, value_name = "CURSOR", default_value_t = 0)]
        from: u64,
        /// Wait for the job's end
        #[arg(long)]
        follow: bool,
        /// What to do with them.
        #[command(flatten)]
        output: OutputArgs,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// What tasks have logged, each line behind its task's index; or of one task, which has ended
    Logs {
        /// The job's id
        job: JobId,
        /// The task's index
        task: Option<u64>,
        /// Wait for the job's end
        #[arg(long, conflicts_with = "task")]
        follow: bool,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// `json` prints an object a task that has logged something
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Append inputs to an open job; several may do so at once
    #[command(after_long_help = APPEND_HELP)]
    Append {
        /// Its id
        #[arg(index = 1)]
        job: JobId,
        /// What.
        #[command(flatten)]
        inputs: InputArgs,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// `json` prints each run of inputs that was appended
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Say that a job gets no more inputs; it ends with its last task
    Close {
        /// Its id
        job: JobId,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Run the tasks of an ended job again that did not end ok, as a new job, and print its id
    #[command(after_long_help = RETRY_HELP)]
    Retry {
        /// Its id
        job: JobId,
        /// All that failed, expired, or were cancelled or skipped
        #[arg(long, required = true)]
        failed: bool,
        /// Other limits for the new job.
        #[command(flatten)]
        limits: LimitArgs,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// `json` prints the new job's status instead of its id
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Stop a job; results it has are kept
    Cancel {
        /// Its id
        job: JobId,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Wait until a job ends, and exit with its outcome
    Wait {
        /// Its id
        job: JobId,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// In what shape
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
}

/// What can be asked of contexts.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// All contexts
    List {
        /// In what shape
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Select a context, which `run` and the other commands then use
    Use {
        /// Its name; `local` selects none, so that `run` runs here
        name: String,
    },
    /// Forget a cluster, with the identity that this machine has there. The grid still knows that:
    /// `wasmgrid client remove`, asked by an operator, has it forgotten there
    Remove {
        /// The context's name
        name: String,
        /// Also where it is the one that is used, so that none is
        #[arg(long)]
        force: bool,
    },
    /// Join a grid as a client or operator, with a token of `wasmgrid token create --role client`
    Add {
        /// The context's name
        name: String,
        /// The token.
        #[command(flatten)]
        token: TokenSource,
    },
}
