//! The flags of `run`, `submit`, `new` and `inspect`.

use std::{ffi::OsString, path::PathBuf, str::FromStr};

use clap::{
    Args, ValueEnum,
    builder::{OsStringValueParser, PathBufValueParser, TypedValueParser},
};
use wasmgrid_proto::{ByteCount, Fuel, Grant, Millis, ParseUnitError};

use super::{CutArgs, EachArgs, Format, Label, With};
use crate::{
    run::{Axis, Range},
    settings::{Flags, MODULE, RUN, Slots},
};

/// What `run` prints and leaves behind, for its `--help`.
const RUN_HELP: &str = r#"Inputs: without an input flag there is one task, whose input is stdin if that is not a
terminal, else empty. `-` in place of a file is stdin; for --files it has one path per line, or each
followed by a NUL (`find -print0`).

A pattern of --files works as in a shell: `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`, and `**` for any
number of folders, following symbolic links to folders except back into a folder above. It matches hidden
names only if it spells out the leading dot. If a file has the pattern itself as its name, it means that
file. Results of an earlier run in the folder are files like others. A file that cannot be read is a failed task
(`refused`) that never ran: its `cursor` and `worker` are null. If a folder cannot be listed, the exit
code is 1. Several --files are processed in order, and each file is used once.

A table (--csv) begins with a header. A field in quotes may contain commas, line ends, and "" for a quote.
Values are strings, exactly as in the file; those of columns named by --csv-numbers are numbers, and
null if empty. A row with another number of fields than the header, a column named twice, and a quote
that is never closed are refused with their line.

The values of a --grid axis are ranges, JSON or texts, separated by commas:
  --grid 'rate=0.1,0.2' --grid 'seed=0..10' --grid 'model=small,"a,b"'

A --batch of lines is one task's stdin, exactly as in the file, so that all batches together are exactly
the file; for --json and --csv it has one line of JSON per input. Its output is lines again, in input order:
  wasmgrid run grep.wasm access.log --batch 1MiB -- ERROR

A byte order mark before lines, rows or a list is dropped. A file of --files is passed as it is.

-o FILE is emptied when the job is accepted, and receives results as they come: if a run is
interrupted, FILE has all results until then. It keeps its owner, permissions and links. An output that is
also an input, the module, a source of the module, or a file of wasmgrid is refused (exit code 2), also
through a link or as `> FILE`.

Output: each emitted record and each result is a line, in input order; an empty one prints nothing.
Without input flags, the output of the one task is written unchanged; with --raw, so is everything.
A failed task prints nothing, except if it is the one task of a run without input flags.

--with-input writes each line after its input and a tab: the line, number or object; the path of a
file; for an input of several lines, where they are (`in.txt:1-1000`).

--out-dir DIR writes each result to DIR/{name} (the name of its file of --files), or DIR/{index}. You
can give a pattern instead, such as 'out/{stem}.json' or 'out/{path}': the folder is the part before the
first name that contains a placeholder. A file has the output unchanged, with the task's records as lines
before it (--raw: with nothing between). It appears when it is complete, and not at all if the task
fails. No file is ever replaced: names that two results would share, that exist already, or that leave the
folder are refused before anything runs (if the inputs are not files, only the first name is checked).

With --output json each result is one line:
  {"index":0,"from":"in.txt:1","input":"...","cursor":0,"outcome":"ok",
   "deterministic":true,"output":"...","records":["..."],"attempt":1,"worker":1,
   "usage":{"fuel":"1","memory_bytes":1,"wall_us":1},
   "error":null,"log":"...","log_dropped":0}
`from` and `input` are included if the input is known here; for a file there is `file`, its path,
instead. With
--out-dir, `output_file` replaces `output` and `records`. `cursor` is its position in the job's
result log: `wasmgrid job results JOB --from CURSOR` reads from there.
Bytes that are not UTF-8 are {"base64":"..."}. `outcome` is one of ok, rejected, retry, exit, trap,
limit, refused, cancelled, lost; `error` has details if it is not ok. `deterministic` is false if it
depends on time, on the machine or on a quota; without --allow, all other outcomes are the same
everywhere. The last line on stderr is
  {"job":1,"state":"ok","counts":{"total":1,"ok":1,"failed":0,...},
   "failed_inputs":null,"all_read":true}
`all_read` is false if the job ended before the inputs were read to their end; `counts` then covers only
the inputs that were read.

Failed inputs are kept in OUTPUT.TIME.failed (wasmgrid-TIME.failed without -o; TIME is when the run
began, in UTC), which replaces no other file and is named at the end. `wasmgrid run --again FILE`
runs exactly these again, under their indices, with the task and the flags of that run; flags that you
add override them. Results go to stdout or to this run's own -o. The file has JSON lines, in the order
of the indices; you can search it and delete lines. The first is
  {"wasmgrid":"failed inputs","version":1,"folder":"where paths begin",
   "task":"...","module":"digest",...}
and each further line is an input, or a file that is one:
  {"index":3,"outcome":"exit","from":"in.txt:4","input":"..."}
  {"index":4,"outcome":"refused","file":"..."}
Inputs that were not run, for example because of --max-failures, are included (`not run`). The input of
a single task without input flags is not kept.

--resume FILE notes in FILE once a second how far a run on this machine has come: all results before
an index are in -o or --out-dir, and the failed inputs before it in FILE, as in other files of failed
inputs. If the run is interrupted in any way, the same command, or `wasmgrid run --resume FILE` alone,
drops what came after the last note and continues there; the results are those of an uninterrupted
run. Inputs that have results are read again (for --files, only their names), and refused if they have
changed; so are another module, seed, limit, folder or output.

A stream: `tail -f log | wasmgrid run task -` runs each line as it arrives and prints its result as
soon as it and all earlier ones are there (--order done: as soon as it is there). If the reader of the
output is slow or stops, no more input is read; memory stays bounded.

Ctrl-C: on a cluster the job continues, and its id and the command that prints the rest are shown; on
this machine the job is cancelled. Results so far are printed. Ctrl-C again stops at once."#;

/// `wasmgrid run`.
#[derive(Args, Debug)]
#[command(after_long_help = RUN_HELP)]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub job: JobArgs,
    /// On what.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// What to do with the results.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Whose they are.
    #[command(flatten)]
    pub each: EachArgs,
    /// Where.
    #[command(flatten)]
    pub grid: GridArgs,
    /// Run on this machine, even if a context is selected
    #[arg(long, conflicts_with = "context", help_heading = "Grid")]
    pub local: bool,
    /// Number of tasks to run at once on this machine [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Grid")]
    pub slots: Option<Slots>,
    /// The boundary around tasks on this machine [default: process]
    #[arg(long, value_enum, help_heading = "Grid")]
    pub isolation: Option<Isolation>,
    /// The sandbox of the grid on this machine.
    #[command(flatten)]
    pub sandbox: Flags<RUN>,
}

/// `wasmgrid submit`.
#[derive(Args, Debug)]
pub struct SubmitArgs {
    /// What to run.
    #[command(flatten)]
    pub job: JobArgs,
    /// On what.
    #[command(flatten)]
    pub inputs: InputArgs,
    /// Leave the job open: `wasmgrid job append` adds inputs, `wasmgrid job close` ends them. The job
    /// may start without inputs
    #[arg(long, help_heading = "Inputs")]
    pub open: bool,
    /// Where.
    #[command(flatten)]
    pub grid: GridArgs,
    /// `json` prints the job's status instead of its id
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

/// The task and what it may use.
#[derive(Args, Debug)]
pub struct JobArgs {
    /// A .wasm file, or a cargo folder, which is built
    #[arg(index = 1, required_unless_present = "kept")]
    pub task: Option<PathBuf>,
    /// Arguments of a command module, after its file name. They need not be UTF-8, unless it is a
    /// component
    #[arg(index = 3, last = true)]
    pub args: Vec<OsString>,
    /// What each task may use.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// What its module may look like.
    #[command(flatten)]
    pub caps: Flags<MODULE>,
    /// Time limit of the whole job; tasks that have not ended by then expire
    #[arg(long, value_name = "TIME", value_parser = above_zero::<Millis>, help_heading = "Job")]
    pub deadline: Option<Millis>,
    /// How often a task may be run again if it asks for a retry
    /// [default: 0]
    #[arg(long, value_name = "N", help_heading = "Job")]
    pub retries: Option<u32>,
    /// A value that all tasks get besides their input: JSON, or the bytes of a file. It is sent
    /// once; a task of the SDK takes it as its second parameter, by `&`
    #[arg(long, value_name = "JSON|@FILE", value_parser = with(), help_heading = "Job")]
    pub with: Option<With>,
    /// Exit codes of a command that count as success, besides 0: `--ok-exit 1` for a grep that
    /// finds nothing
    #[arg(long, value_name = "CODES", value_delimiter = ',', help_heading = "Job")]
    pub ok_exit: Vec<u32>,
    /// Skip the remaining tasks after this many have failed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Job")]
    pub max_failures: Option<u64>,
    /// Seed of the tasks' randomness [default: 0]
    #[arg(long, value_name = "N", help_heading = "Job")]
    pub seed: Option<u64>,
    /// Grant the tasks a capability: clock, random, env:NAME=VALUE, dir:HOST_PATH:GUEST_PATH:ro;
    /// may be repeated. On a cluster the directory is the worker's, and its operator must allow it
    #[arg(long, value_name = "GRANT", help_heading = "Job")]
    pub allow: Vec<Grant>,
    /// A label that a worker must have to be given the job's tasks; may be repeated
    #[arg(long = "require", value_name = "KEY=VALUE", help_heading = "Job")]
    pub requires: Vec<Label>,
    /// Among your jobs, those with a higher priority run first; each step counts as 10 minutes of
    /// waiting [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Job")]
    pub priority: Option<i32>,
    /// The job's name, for people [default: the task's file name]
    #[arg(long, value_name = "NAME", help_heading = "Job")]
    pub name: Option<String>,
    /// Run nothing; describe the job, what its module imports and is given, and whether it would be
    /// accepted (exit code 3 if not)
    #[arg(long, help_heading = "Job")]
    pub dry_run: bool,
    /// Run the failed inputs of an earlier run again, from the file in which it kept them; its task and
    /// flags apply unless others are given
    #[arg(
        long,
        value_name = "FILE",
        group = "kept",
        conflicts_with_all = ["inputs", "batch"],
        help_heading = "Inputs"
    )]
    pub again: Option<PathBuf>,
    /// With --again: even if the module, or the file of --with, has changed since then
    #[arg(long, requires = "again", help_heading = "Inputs")]
    pub changed: bool,
}

/// What each task may use.
#[derive(Args, Clone, Debug, Default)]
pub struct LimitArgs {
    /// Fuel of each task, about one per wasm instruction: 2G, 500M [default: 100G]
    #[arg(long, value_name = "FUEL", value_parser = above_zero::<Fuel>, help_heading = "Limits")]
    pub fuel: Option<Fuel>,
    /// Memory of each task: 64MiB, 1GB; a worker runs at once only as many as fit into its own
    /// [default: 64MiB]
    #[arg(long, value_name = "BYTES", value_parser = above_zero::<ByteCount>, help_heading = "Limits")]
    pub memory: Option<ByteCount>,
    /// Wall time of each attempt of a task: 30s, 1h30m [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = above_zero::<Millis>, help_heading = "Limits")]
    pub timeout: Option<Millis>,
    /// Output and records of each task together [default: 16MiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub output_limit: Option<ByteCount>,
    /// One emitted record [default: 1MiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub record_limit: Option<ByteCount>,
    /// Elements of a task's tables together [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub table_limit: Option<u64>,
    /// Bytes that are kept of a task's log [default: 256KiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub log_limit: Option<ByteCount>,
}

/// The inputs: at most one kind.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct InputArgs {
    /// A file of lines, as with --lines; `-` is stdin
    #[arg(index = 2, value_name = "INPUTS", group = "inputs", help_heading = "Inputs")]
    pub source: Option<PathBuf>,
    /// One task per line of this file
    #[arg(long, value_name = "FILE", group = "inputs", help_heading = "Inputs")]
    pub lines: Option<PathBuf>,
    /// One task per line of this file, each one JSON value (NDJSON); empty lines are skipped
    #[arg(long, value_name = "FILE", group = "inputs", help_heading = "Inputs")]
    pub json: Option<PathBuf>,
    /// One task per file, in the order of their paths; quote the pattern: 'src/**/*.rs'. `-` reads
    /// a list of paths from stdin and keeps its order; may be repeated
    #[arg(long, value_name = "GLOB", group = "inputs", help_heading = "Inputs")]
    pub files: Vec<OsString>,
    /// One task per number: 0..10, 1..=100, 0..1000/10, 10..0/-1
    #[arg(
        long,
        value_name = "A..B[/STEP]",
        allow_hyphen_values = true,
        group = "inputs",
        help_heading = "Inputs"
    )]
    pub range: Option<Range>,
    /// One task per row of this table, as a JSON object with the header's names: {"name":"ada","age":"36"}
    #[arg(long, value_name = "FILE", group = "inputs", help_heading = "Inputs")]
    pub csv: Option<PathBuf>,
    /// One task per point of a product, as a JSON object; repeat it for each axis: 'rate=0.1,0.2'
    /// 'seed=0..10'. The last axis changes fastest
    #[arg(long, value_name = "NAME=VALUES", group = "inputs", help_heading = "Inputs")]
    pub grid: Vec<Axis>,
    /// How they are cut.
    #[command(flatten)]
    pub cut: CutArgs,
}

impl InputArgs {
    /// The file whose lines are the inputs.
    pub fn lines(&self) -> Option<&PathBuf> {
        self.lines.as_ref().or(self.source.as_ref())
    }

    /// True where no inputs are named.
    pub const fn is_none(&self) -> bool {
        let Self { source, lines, json, files, range, csv, grid, cut: _ } = self;
        let no_text = source.is_none() && lines.is_none() && json.is_none() && csv.is_none();
        no_text && files.is_empty() && range.is_none() && grid.is_empty()
    }
}

/// What is done with results.
#[derive(Args, Debug)]
pub struct OutputArgs {
    /// Write results to this file instead of stdout; it must not be an input
    #[arg(short, value_name = "FILE", value_parser = PathBufValueParser::new().try_map(output_file), help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// `json` prints one object per result; see --help
    #[arg(long = "output", value_enum, default_value_t, help_heading = "Output")]
    pub format: Format,
    /// The order of results [default: input; for a part of a job's results, done]
    #[arg(long, value_enum, help_heading = "Output")]
    pub order: Option<Order>,
    /// Write outputs and records one after the other with nothing between them
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    pub raw: bool,
}

/// In which order results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// In the order of their inputs
    Input,
    /// As they come
    Done,
}

/// Which cluster.
#[derive(Args, Clone, Debug, Default)]
pub struct GridArgs {
    /// The cluster to use, instead of WASMGRID_CONTEXT or the selected one
    #[arg(long, value_name = "NAME", help_heading = "Grid")]
    pub context: Option<String>,
}

/// Which cluster is asked, and how its answer is printed.
#[derive(Args, Clone, Debug, Default)]
pub struct AskArgs {
    /// Where.
    #[command(flatten)]
    pub grid: GridArgs,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

/// What separates tasks from the process that serves them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// One process per slot
    #[default]
    Process,
    /// One process per task, forked from a warm one; costs 0.5 to 1 ms per task
    Task,
    /// Threads of this process: no process boundary, and slots share one core's worth of speed
    InProcess,
}

/// `wasmgrid new`.
#[derive(Args, Debug)]
pub struct NewArgs {
    /// The crate's name, and the folder that is created for it
    pub path: PathBuf,
    /// Where the SDK's source is
    #[arg(long, value_name = "PATH")]
    pub sdk: Option<PathBuf>,
}

/// `wasmgrid inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// The .wasm file
    pub file: PathBuf,
    /// What it may look like.
    #[command(flatten)]
    pub caps: Flags<MODULE>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

/// Reads a value of `--with`.
fn with() -> impl TypedValueParser<Value = With> {
    OsStringValueParser::new().try_map(|typed| With::parse(&typed))
}

/// A file for results, unless its name is a shape of them: `-o` is what other programs call that.
fn output_file(path: PathBuf) -> Result<PathBuf, String> {
    let shapes = Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let Some(shape) = shapes.into_iter().find(|shape| path.as_os_str() == shape.get_name()) else {
        return Ok(path);
    };
    let shape = shape.get_name();
    Err(format!(
        "-o names the output file; use `--output {shape}` for the format, or `-o ./{shape}` for a \
         file of that name"
    ))
}

/// A quantity of which there must be some.
fn above_zero<T>(text: &str) -> Result<T, String>
where
    T: FromStr<Err = ParseUnitError> + Default + PartialEq,
{
    let quantity: T = text.parse().map_err(|error: ParseUnitError| error.to_string())?;
    if quantity == T::default() { Err("it must be greater than 0".into()) } else { Ok(quantity) }
}
