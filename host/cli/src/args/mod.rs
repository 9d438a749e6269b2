//! The command line's shape: what can be asked and how. It parses and decides nothing.

mod address;
mod audit;
mod authority;
mod cluster;
mod data;
mod examples;
mod function;
mod help;
mod hints;
mod key;
mod maxima;
mod member;
mod module;
mod named;
mod operate;
mod run;
mod serve;
mod tenant;
mod with;

use std::ffi::OsString;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use wasmgrid_proto::Millis;

pub use address::{HostPort, HttpListen, Listen, MetricsListen};
pub use audit::AuditArgs;
pub use authority::{AuthorityCommand, CertificateLife};
pub use cluster::{ContextCommand, JobCommand, WorkerNoun};
pub use data::{CutArgs, EachArgs, StoredEachArgs};
pub use function::{DeployArgs, FunctionCommand, Version};
pub use help::{examples, join, prose};
pub use key::{KeyArgs, KeyCommand, UiArgs};
pub use maxima::Maximum;
pub use member::{ClientCommand, TokenArgs, TokenCommand};
pub use module::ModuleCommand;
pub use named::{Label, TenantWeight};
pub use operate::{CompletionArgs, LogArgs, ManArgs, StatusArgs, TopArgs};
pub use run::{
    AskArgs, GridArgs, InputArgs, InspectArgs, Isolation, JobArgs, LimitArgs, NewArgs, Order,
    OutputArgs, RunArgs, SubmitArgs,
};
pub use serve::{
    GatewayArgs, JoinArgs, PrintArgs, ServerArgs, SourceArgs, TokenSource, UpArgs, WorkerCommand,
};
pub use tenant::{QuotaSetting, TenantCommand};
pub use with::{With, check_json};

use crate::{
    exit,
    settings::{AboveZero, Value as _},
    version,
};

/// Runs WebAssembly tasks, each in a fresh sandbox, on this machine or on all machines of a grid.
#[derive(Debug, Parser)]
#[command(
    name = "wasmgrid",
    version = version::text(),
    after_help = exit::HELP,
    propagate_version = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What is said on stderr.
    #[command(flatten)]
    pub talk: Talk,
}

/// The command line with all its help.
pub fn command() -> clap::Command {
    help::complete(Cli::command())
}

/// Reads a command line, its first word the program's name.
///
/// # Errors
/// What there is to say in place of a command: what is wrong, or what was asked for, such as help.
pub fn parse_from<I>(words: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator<Item: Into<OsString> + Clone>,
{
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let matches = command().try_get_matches_from(&words);
    let matches = matches.map_err(|error| hints::hinted(error, &words))?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))
}

/// How much is said on stderr, for every command.
#[derive(Args, Clone, Copy, Debug)]
pub struct Talk {
    /// Print more; twice for debugging. Tracing directives in WASMGRID_LOG override it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print no progress and no summary on stderr; errors are still printed
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a task on its inputs and print the results
    Run(Box<RunArgs>),
    /// Submit a job to a cluster, print its id and leave it there
    Submit(Box<SubmitArgs>),
    /// Create a new task crate
    New(NewArgs),
    /// Show what a .wasm file is: its kind, imports (the capabilities it needs), size, digest
    Inspect(InspectArgs),
    /// Create a grid on this machine, or restart it
    Up(UpArgs),
    /// Make this machine a worker of a grid, or a gateway with a token for one
    Join(JoinArgs),
    /// Run the scheduler alone
    Server(ServerArgs),
    /// Serve a grid's HTTP interface on this machine, beside the one that its scheduler serves
    Gateway(GatewayArgs),
    /// Run the worker of a machine that has joined; or list, show, drain, cordon and remove workers
    Worker(WorkerCommand),
    /// Show the state of the grid, what is wrong and how to fix it
    Status(StatusArgs),
    /// Watch the grid, its jobs and workers on the whole terminal
    Top(TopArgs),
    /// Create, list and revoke the tokens with which machines and users join
    #[command(subcommand)]
    Token(TokenCommand),
    /// List and remove the clients, operators and gateways of a cluster
    #[command(subcommand)]
    Client(ClientCommand),
    /// Create, list and revoke the keys with which programs use a cluster over HTTP
    #[command(subcommand)]
    Key(KeyCommand),
    /// Open the pages of a cluster in a browser, logged in
    Ui(UiArgs),
    /// List, read, explain, feed, retry and cancel jobs of a cluster
    #[command(subcommand)]
    Job(JobCommand),
    /// Deploy, list, call and delete functions: tasks that are called by a name
    #[command(subcommand)]
    Function(FunctionCommand),
    /// List the modules that a cluster has
    #[command(subcommand)]
    Module(ModuleCommand),
    /// Show what tenants use of a cluster, and set their quotas
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Show what operators did, and what others were refused
    Audit(AuditArgs),
    /// Show and replace the authority that signs the certificates of a cluster's members
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// List, select, add and change the clusters that this user knows
    #[command(subcommand)]
    Context(ContextCommand),
    /// Print shell completions for these commands
    Completion(CompletionArgs),
    /// Write manual pages, one for each command
    Man(ManArgs),
}

impl Command {
    /// The same command as its flags alone have it, without the environment. `None` where that is no
    /// command, which a command that was read cannot be.
    pub fn by_flags() -> Option<Self> {
        let without = |command: clap::Command| {
            command.mut_args(|arg| if arg.is_positional() { arg } else { arg.env(None::<&str>) })
        };
        let matches = Cli::command().mut_subcommands(without).try_get_matches().ok()?;
        Cli::from_arg_matches(&matches).ok().map(|cli| cli.command)
    }

    /// Whether it runs tasks on this machine, or may.
    pub const fn runs_tasks(&self) -> bool {
        match self {
            Self::Run(_) | Self::Up(_) | Self::Join(_) => true,
            Self::Worker(worker) => worker.noun.is_none(),
            _ => false,
        }
    }

    /// How it logs, if it serves: until it is told to end.
    pub const fn serves(&self) -> Option<LogArgs> {
        match self {
            Self::Up(args) => Some(args.log),
            Self::Join(args) => Some(args.log),
            Self::Server(args) => Some(args.log),
            Self::Gateway(args) => Some(args.log),
            Self::Worker(worker) if worker.noun.is_none() => Some(worker.log),
            _ => None,
        }
    }
}

/// Reads a time that is not nothing.
fn above_zero(text: &str) -> Result<Millis, String> {
    AboveZero::<Millis>::parse(text).map(AboveZero::get)
}

/// In what shape something is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// JSON with a stable schema, for programs
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Slots;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn one_kind_of_input_is_taken_at_a_time() {
        assert!(parse("wasmgrid run t.wasm --lines a").is_ok());
        assert!(parse("wasmgrid run t.wasm --lines a --range 0..3").is_err());
        assert!(parse("wasmgrid run t.wasm --json a --files b").is_err());
        assert!(parse("wasmgrid run t.wasm - --range 0..3").is_err());
        assert!(parse("wasmgrid job append 1 - --json a").is_err());
    }

    #[test]
    fn kept_inputs_need_no_task_and_are_the_only_inputs() {
        assert!(parse("wasmgrid run --again a.failed").is_ok());
        assert!(parse("wasmgrid submit t.wasm --again a.failed --changed --fuel 1G").is_ok());
        for wrong in ["--again a --range 0..3", "t.wasm - --again a", "t.wasm --changed", ""] {
            assert!(parse(&format!("wasmgrid run {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_may_begin_below_zero() {
        assert!(parse("wasmgrid run t.wasm --range -5..=5/2").is_ok());
    }

    #[test]
    fn what_follows_two_dashes_belongs_to_the_task() {
        let cli = parse("wasmgrid run t.wasm -q -- --lines word").expect("parses");
        let Command::Run(run) = cli.command else { panic!("not a run") };
        assert_eq!(run.job.args, ["--lines", "word"]);
    }

    #[test]
    fn inputs_may_stand_behind_the_task() {
        let cli = parse("wasmgrid run t.wasm - -- word").expect("parses");
        let Command::Run(run) = cli.command else { panic!("not a run") };
        assert_eq!(run.inputs.lines(), Some(&"-".into()));
        assert_eq!(run.job.args, ["word"]);
        let cli = parse("wasmgrid job append 7 more").expect("parses");
        let Command::Job(JobCommand::Append { inputs, .. }) = cli.command else {
            panic!("no append")
        };
        assert_eq!(inputs.lines(), Some(&"more".into()));
    }

    #[test]
    fn worker_alone_runs_one_and_with_a_verb_asks_the_grid() {
        let cli = parse("wasmgrid worker --slots 3").expect("parses");
        let Command::Worker(worker) = cli.command else { panic!("not a worker") };
        assert!(worker.noun.is_none());
        assert_eq!(worker.run.settings.slots, Slots::new(3));
        let cli = parse("wasmgrid worker drain box").expect("parses");
        let Command::Worker(worker) = cli.command else { panic!("not a worker") };
        assert!(matches!(worker.noun, Some(WorkerNoun::Drain { .. })));
    }

    #[test]
    fn a_nonsense_limit_is_refused_with_an_example() {
        for (limit, form) in
            [("--memory lots", "64MiB"), ("--memory 64", "64MiB"), ("--timeout 5", "5s")]
        {
            let error = parse(&format!("wasmgrid run t.wasm {limit}")).expect_err(limit);
            assert!(error.to_string().contains(form), "{error}");
        }
    }

    #[test]
    fn the_limits_of_a_retry_are_the_old_jobs_unless_they_are_given() {
        let help = parse("wasmgrid job retry --help").expect_err("help").to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let limits = help.matches("[default: the old job's]").count();
        assert!(limits == 7 && !help.contains("100G]") && !help.contains("64MiB]"), "{help}");
    }

    fn refusal(line: &str) -> String {
        parse(line).expect_err(line).to_string()
    }

    #[test]
    fn a_value_out_of_bounds_is_shown_once_with_the_bounds() {
        let error = refusal("wasmgrid worker --slots 0");
        let expected = "invalid value '0' for '--slots <N>': expected 1 to 4096";
        assert!(error.contains(expected), "{error}");
        assert!(refusal("wasmgrid worker --memory 0B").contains("expected at least 1MiB"));
        for line in ["up --token-ttl 0s", "server --token-ttl 0s", "token create --ttl 0s"] {
            let error = refusal(&format!("wasmgrid {line}"));
            assert!(error.contains("it must be greater than 0"), "{error}");
        }
    }

    #[test]
    fn a_pair_that_is_none_is_shown_once_with_its_form() {
        for (line, form) in [
            ("worker --label zonea", "KEY=VALUE"),
            ("run t.wasm --require zonea", "KEY=VALUE"),
            ("worker --max zonea", "NAME=VALUE, such as memory=1GiB"),
            ("up --tenant-weight zonea", "NAME=WEIGHT"),
        ] {
            let error = refusal(&format!("wasmgrid {line}"));
            let shown = error.matches("zonea").count();
            assert!(shown == 1 && error.contains(&format!("expected {form}")), "{error}");
        }
    }

    #[test]
    fn a_name_is_given_one_value_by_flags() {
        for (line, says) in [
            ("worker --max memory=1GiB --max memory=2GiB", "--max: memory is given twice"),
            ("up --tenant-weight ada=3 --tenant-weight ada=4", "--tenant-weight: ada is given"),
            ("run t.wasm --cap functions=7 --cap functions=8", "--cap: functions is given"),
        ] {
            let error = refusal(&format!("wasmgrid {line}"));
            assert!(error.contains(says), "{error}");
        }
        assert!(parse("wasmgrid worker --max memory=1GiB --max log=2MiB").is_ok());
    }

    #[test]
    fn a_job_is_named_by_its_number() {
        let error = refusal("wasmgrid job show abc");
        assert!(error.contains("expected a job's number"), "{error}");
    }

    #[test]
    fn an_output_named_as_a_shape_is_asked_about() {
        let error = parse("wasmgrid run t.wasm -o json").expect_err("what is meant?");
        assert!(error.to_string().contains("`--output json`"), "{error}");
        assert!(parse("wasmgrid run t.wasm -o ./json").is_ok());
        assert!(parse("wasmgrid run t.wasm -o out.json").is_ok());
    }
}
