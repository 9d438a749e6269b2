//! The flags of what operators, shells and service managers use.

use std::path::PathBuf;

use clap::Args;
use wasmgrid_proto::Millis;

use super::{AskArgs, Format, GridArgs, above_zero};

/// How what serves logs.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct LogArgs {
    /// The format of stderr: lines for people, or `json` for one object per line; not a key of the
    /// file
    #[arg(
        long = "log",
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        env = "WASMGRID_LOG_FORMAT"
    )]
    pub format: Format,
}

/// What `status` looks at, for its `--help`.
const STATUS_HELP: &str = r#"A problem needs attention: no worker takes tasks, a worker is gone or
cannot run tasks, another machine has a worker's identity, a job has tasks that no worker can run,
the scheduler's disk is full or has less space than its reserve, or a tenant has used nine tenths of its
quota in the store. A note is information about an intended state, such as a cordon.

Exit codes, for monitoring:
  0  no problem; there may be notes
  1  there is a problem
  2  no context is selected, or a flag is invalid
  4  the grid cannot be reached, or does not accept this identity

--output json prints one object, even if the grid cannot be reached:
  {"context":"lab","grid":"lab","addresses":["10.0.0.1:7433"],
   "state":"degraded","error":null,
   "release":"wasmgrid 0.1.0 (protocol 1.0 to 1.3)",
   "workers":{"ready":2,"gone":1},"jobs":{"active":1,"waiting":9,"running":4},
   "findings":[{"kind":"worker-gone","severity":"problem","subject":"box1",
                "text":"...","help":"..."}]}
`state` is ok, degraded or unreachable. The names of kinds and states are stable."#;

/// `wasmgrid status`.
#[derive(Args, Debug)]
#[command(after_long_help = STATUS_HELP)]
pub struct StatusArgs {
    /// Which cluster, and how its answer is printed.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// The keys of `top`, for its `--help`.
const TOP_HELP: &str = "Keys:
  1, 2, 3, Tab     overview, jobs, workers; the next of them
  Up, Down, j, k   select a row; PageUp, PageDown, Home and End too
  Enter            open the selected job
  Esc              back
  /                show only jobs or workers whose name has a text in it
  a                show only active jobs
  q, Ctrl-C        leave

With NO_COLOR set nothing is coloured. A client sees its own tenant's jobs, an operator all.";

/// `wasmgrid top`.
#[derive(Args, Debug)]
#[command(after_long_help = TOP_HELP)]
pub struct TopArgs {
    /// Which cluster.
    #[command(flatten)]
    pub grid: GridArgs,
    /// The time between two questions to the grid
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = above_zero)]
    pub interval: Millis,
}

/// `wasmgrid completion`.
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `wasmgrid man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// The folder for the pages; created if it does not exist
    pub folder: PathBuf,
}
