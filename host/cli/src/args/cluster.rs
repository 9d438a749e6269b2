//! The flags of the commands that ask clusters.

use std::path::PathBuf;

use clap::{Arg, Subcommand, ValueEnum};
use wasmgrid_proto::{JobId, JobState};

use super::{
    Format, StoredEachArgs,
    address::HostPort,
    run::{AskArgs, GridArgs, InputArgs, LimitArgs, OutputArgs},
    serve::TokenSource,
};

/// What can be asked of a grid's workers.
#[derive(Debug, Subcommand)]
pub enum WorkerNoun {
    /// List the workers of the grid; those that have been gone for an hour only with --all
    List {
        /// Also list workers that have been gone for long, or have not returned since the scheduler
        /// started
        #[arg(long)]
        all: bool,
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Show one worker and what runs on it; without a name, this machine's workers and their
    /// settings
    Show {
        /// Its name in the grid
        name: Option<String>,
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Set the scheduler's address for this machine's worker, after checking that it is the same
    /// grid. A running worker follows by itself
    Set {
        /// Where the scheduler is; may be repeated
        #[arg(long, value_name = "HOST:PORT", required = true, value_delimiter = ',')]
        server: Vec<HostPort>,
        /// Which of this machine's workers [default: the only one]
        #[arg(long, value_name = "NAME", conflicts_with = "state_dir")]
        name: Option<String>,
        /// Where the worker keeps its identity
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
    /// Give a worker no new tasks; it finishes what it has begun and gives back the rest. When
    /// nothing is left it is `drained`, until it is uncordoned or its process ends
    Drain {
        /// The worker's name
        name: String,
        /// Return once it has nothing left, or is gone
        #[arg(long)]
        wait: bool,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Give a worker no new tasks until it is uncordoned; it keeps what it has, including its queue
    Cordon {
        /// The worker's name
        name: String,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Give a worker tasks again, after a cordon or a drain
    Uncordon {
        /// The worker's name
        name: String,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Remove a worker from the grid: its connection ends at once, its tasks run elsewhere, and
    /// only a new token lets it return (drain it first to keep the work that it has begun)
    Remove {
        /// The worker's name
        name: String,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
}

/// What an append says, for its `--help`.
const APPEND_HELP: &str = r#"Without an input flag stdin is one input; `-` (or `--lines -`) makes each of its lines one, appended
as it arrives. An append is durable when it is reported, and is done exactly once even if the connection
broke in between.

With --output json each append is one line, with the indices that its inputs got:
  {"job":1,"first":10,"count":3}"#;

/// What a retry is, for its `--help`.
const RETRY_HELP: &str = r#"The old job and its results stay as they are. The new one has the same module, arguments, grants, seed
and limits (except those given here), and its tasks are those of the old job that did not end ok, with
the same inputs, which are not copied, and the same indices. So use its result of index 7 instead of the
old one, and a task that asks for its index or for randomness gets the same values. Without
grants a task ends as it did before, unless it was stopped at a limit that is higher now, or was not
run to its end (lost, expired, cancelled, skipped).

In input order (the default), the new job's results are printed when it ends; `job results JOB --follow
--order done` prints them as they come."#;

/// What is known of inputs, for the `--help` of results.
const RESULTS_HELP: &str = r#"With --output json each result is a line as in `wasmgrid run --help`, with `input` as long as the grid
has it. The grid keeps the inputs of tasks that did not end ok as long as the job's results, and those
of others up to 64MiB a job (`--keep-inputs` of `up` and `server`); `input` is left out if it was
deleted. Of a file, `input` is its content: only the command that submitted the job knew its name."#;

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
    /// List jobs, the newest first: your own, or as an operator those of all tenants
    List {
        /// Only jobs in this state; may be repeated
        #[arg(long = "state", value_name = "STATE", value_enum, value_delimiter = ',')]
        states: Vec<StateName>,
        /// Only jobs of this name, in which `*` stands for any text
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Only jobs of this tenant
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Show one job, or one of its tasks with its attempts
    Show {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: JobId,
        /// The task with this index
        #[arg(long, value_name = "INDEX")]
        task: Option<u64>,
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Show why a job's tasks wait, and what would help
    Explain {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: JobId,
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Print a job's results so far; with --follow until it ends. Exits with the job's outcome, as
    /// `run` does; while it runs, with 1 if a task has failed
    #[command(after_long_help = RESULTS_HELP)]
    Results {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: JobId,
        /// Start at this position of the result log, which counts results in the order in which
        /// they ended, from 0; `--output json` includes the cursor of each
        #[arg(long, value_name = "CURSOR", default_value_t = 0)]
        from: u64,
        /// Wait for the job's end
        #[arg(long)]
        follow: bool,
        /// What to do with them.
        #[command(flatten)]
        output: OutputArgs,
        /// Whose they are.
        #[command(flatten)]
        each: StoredEachArgs,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Print what tasks have logged, each line after its task's index; or the log of one task that
    /// has ended
    Logs {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: JobId,
        /// The task's index
        task: Option<u64>,
        /// Wait for the job's end
        #[arg(long, conflicts_with = "task")]
        follow: bool,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// `json` prints one object for each task that has logged something
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Append inputs to an open job; several may do so at once
    #[command(after_long_help = APPEND_HELP)]
    Append {
        /// The job's id
        #[arg(index = 1, value_parser = job_id)]
        job: JobId,
        /// What.
        #[command(flatten)]
        inputs: InputArgs,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
        /// `json` prints one object for each append
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Close a job's inputs; the job ends with its last task
    Close {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: JobId,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Run again the tasks of an ended job that did not end ok, as a new job, and print its id
    #[command(after_long_help = RETRY_HELP, mut_args(of_the_old_job))]
    Retry {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: JobId,
        /// All tasks that failed, expired, or were cancelled or skipped
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
    /// Stop a job; its results so far are kept
    Cancel {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: JobId,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Wait until a job ends, and exit with its outcome
    Wait {
        /// The job's id
        #[arg(value_parser = job_id)]
        job: JobId,
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
}

/// Reads a job's number.
fn job_id(text: &str) -> Result<JobId, String> {
    text.parse().map_err(|_| "expected a job's number; see `wasmgrid job list`".into())
}

/// Says of a limit's default that it is the old job's.
fn of_the_old_job(limit: Arg) -> Arg {
    let help = limit.get_help().map(ToString::to_string).unwrap_or_default();
    match help.split_once(" [default: ") {
        Some((what, _)) => limit.help(format!("{what} [default: the old job's]")),
        None => limit,
    }
}

/// What can be asked of contexts.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List all contexts
    List {
        /// The output format
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Select a context, which `run` and the other commands then use
    Use {
        /// Its name; `local` selects none, so that `run` runs here
        name: String,
    },
    /// Forget a cluster and this machine's identity there. The grid still knows the identity; an
    /// operator can remove it with `wasmgrid client remove`
    Remove {
        /// The context's name
        name: String,
        /// Even if it is selected; then no context is selected
        #[arg(long)]
        force: bool,
    },
    /// Show a context: its cluster, the identity used there, and the scheduler's settings if it
    /// runs on this machine
    Show {
        /// Its name [default: the selected one]
        name: Option<String>,
        /// The output format
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Set the address of a context's scheduler, after checking that it is the same grid
    Set {
        /// The context's name
        name: String,
        /// Where the scheduler is; may be repeated
        #[arg(long, value_name = "HOST:PORT", required = true, value_delimiter = ',')]
        server: Vec<HostPort>,
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
