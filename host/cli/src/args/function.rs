//! The flags of `wasmgrid function`.

use std::str::FromStr;

use clap::{ArgGroup, Args, Subcommand};
use wasmgrid_proto::{Digest, is_function_name};

use super::{AskArgs, Format, GridArgs, JobArgs};

/// What a call is, for its `--help`.
const CALL_HELP: &str = r#"The call's input is --input, or else all of stdin; its output goes to stdout. A call is a task of the
job that takes the function's calls, with the same limits, fair share and retries; results are kept for
some minutes. The exit code is 1 if the task failed.

With --output json the result is one object, with the fields of a line of `wasmgrid run --help`."#;

/// What can be asked of functions.
#[derive(Debug, Subcommand)]
pub enum FunctionCommand {
    /// Give a task a name by which it is called; new calls go to it at once, earlier ones end as they were
    Deploy(Box<DeployArgs>),
    /// List your functions
    List {
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Call a function with one input and print its output
    #[command(after_long_help = CALL_HELP)]
    Call {
        /// The function; NAME@DIGEST only while it runs that module
        #[arg(value_name = "NAME[@DIGEST]")]
        function: Version,
        /// The input [default: stdin]
        #[arg(long, value_name = "TEXT")]
        input: Option<String>,
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Delete a function; its calls that have not ended still run
    Delete {
        /// The function
        name: String,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
}

/// `wasmgrid function deploy`.
// What is of inputs is named by flags of jobs: a function has none.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("inputs")), group(ArgGroup::new("batch")))]
pub struct DeployArgs {
    /// The function's name: 1 to 64 of a-z, 0-9, '-', '_' and '.'
    // On the command line it stands before the task: see `help::before_the_task`.
    #[arg(index = 2, value_name = "NAME")]
    pub function: Option<String>,
    /// What runs.
    #[command(flatten)]
    pub job: JobArgs,
    /// How many calls may run at once [default: as many as there is room for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Job")]
    pub concurrency: Option<u32>,
    /// How many calls may run or wait; further ones are refused until some have ended
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        default_value_t = 10_000,
        help_heading = "Job"
    )]
    pub max_calls: u32,
    /// Where.
    #[command(flatten)]
    pub grid: GridArgs,
    /// `json` prints the function instead of its version
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

impl DeployArgs {
    /// The flag that was given and is of no use to a function.
    pub fn useless(&self) -> Option<&'static str> {
        let JobArgs { again, changed, deadline, dry_run, max_failures, name, .. } = &self.job;
        let given = [
            again.is_some(),
            *changed,
            deadline.is_some(),
            *dry_run,
            max_failures.is_some(),
            name.is_some(),
        ];
        let flags = ["--again", "--changed", "--deadline", "--dry-run", "--max-failures", "--name"];
        given.into_iter().zip(flags).find(|(given, _)| *given).map(|(_, flag)| flag)
    }
}

/// A function, or one version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// The module that it must run.
    pub module: Option<Digest>,
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if !is_function_name(name) {
            return Err(format!(
                "invalid function name {name:?}: expected 1 to 64 of a-z, 0-9, '-', '_' and '.', the first a \
                 letter or a digit"
            ));
        }
        let module = digest.map(str::parse).transpose().map_err(|_| {
            format!(
                "invalid digest after {name}@: expected the 64 hexadecimal digits that `wasmgrid function \
                 list` shows"
            )
        })?;
        Ok(Self { name: name.into(), module })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_name_and_a_digest() {
        let digest = Digest::of(b"x");
        let named = |module| Ok(Version { name: "f".into(), module });
        assert_eq!("f".parse::<Version>(), named(None));
        assert_eq!(format!("f@{digest}").parse::<Version>(), named(Some(digest)));
        for wrong in ["", "F", "f@", "f@12", "@12"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }
}
