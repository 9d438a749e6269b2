//! What a submitter asks for: a job, its module and what its tasks may do.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Arg, Blob, Digest, Extensions, FunctionTerms, Limits, Millis, UnknownExtension, wire::bounded,
};

/// What every task of a job needs to run; it goes to a worker with each batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The module, by the digest of the file that was submitted.
    pub module: Digest,
    /// What kind of task the module is.
    pub kind: ModuleKind,
    /// The command's arguments after its name; empty for [`ModuleKind::Task`].
    #[serde(deserialize_with = "bounded")]
    pub args: Vec<Arg>,
    /// The limits of each task.
    pub limits: Limits,
    /// With the task's index, the seed of its randomness.
    pub seed: u64,
    /// What the tasks may do beside reading their input.
    #[serde(deserialize_with = "bounded")]
    pub grants: Vec<Grant>,
    /// Who owns the job; runners serve one tenant at a time.
    pub tenant: String,
    /// What a command finds as its own name, before its arguments; empty for [`ModuleKind::Task`].
    pub program: String,
    /// Exit codes of a command that are as good as 0; sorted, none twice.
    #[serde(deserialize_with = "bounded")]
    pub ok_exits: Vec<u32>,
    /// What all its tasks can read, by name.
    #[serde(deserialize_with = "bounded")]
    pub blobs: Vec<Blob>,
    /// What later releases add that workers need.
    pub extensions: Extensions,
}

impl TaskSpec {
    /// Of this module, with the default limits and nothing else.
    #[must_use]
    pub fn new(module: Digest, kind: ModuleKind) -> Self {
        Self {
            module,
            kind,
            args: Vec::new(),
            limits: Limits::default(),
            seed: 0,
            grants: Vec::new(),
            tenant: String::new(),
            program: String::new(),
            ok_exits: Vec::new(),
            blobs: Vec::new(),
            extensions: Extensions::NONE,
        }
    }

    /// Refuses critical extensions that this release does not know.
    ///
    /// # Errors
    /// [`UnknownExtension`], which names the first of them.
    pub fn check_extensions(&self) -> Result<(), UnknownExtension> {
        self.extensions.check("a task's spec", &[])
    }

    /// Which argument, from 0, the module cannot be given, since it is no text: the arguments of a
    /// component are text, while a preview 1 command takes any bytes.
    #[must_use]
    pub fn untextual_argument(&self) -> Option<usize> {
        match self.kind {
            ModuleKind::Preview1 => None,
            ModuleKind::Command | ModuleKind::Task => {
                self.args.iter().position(|arg| arg.as_text().is_none())
            }
        }
    }

    /// The blob of this name.
    #[must_use]
    pub fn blob(&self, name: &str) -> Option<Digest> {
        self.blobs.iter().find(|blob| blob.name == name).map(|blob| blob.digest)
    }

    /// True where a command that ends with this exit code has done what it was to do.
    #[must_use]
    pub fn is_ok_exit(&self, code: i32) -> bool {
        code == 0 || self.ok_exits.contains(&code.cast_unsigned())
    }
}

/// A job as it was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// A name for people; need not be unique.
    pub name: String,
    /// What its tasks are.
    pub task: TaskSpec,
    /// Jobs of a higher priority run first within a tenant, as long as those of a lower one have
    /// not waited for longer than that is worth; 0 unless said.
    pub priority: i32,
    /// How many more times a task that asks for a retry is run; 0 unless said.
    pub retries: u32,
    /// After this many failed tasks the rest is skipped; `None` never.
    pub max_failures: Option<u64>,
    /// From submission to the end of the job; tasks not ended by then expire.
    pub deadline: Option<Millis>,
    /// `key=value` labels that a worker must have to be given its tasks; sorted, none twice.
    #[serde(deserialize_with = "bounded")]
    pub requires: Vec<(String, String)>,
    /// True where its inputs come from its submitter alone, who says that it is there
    /// ([`Request::Attend`](crate::wire::Request::Attend)): once that one was gone for as long as
    /// the grid waits, the job is closed with the inputs that it has.
    pub attached: bool,
    /// What later releases add that schedulers need.
    pub extensions: Extensions,
}

impl JobSpec {
    /// Of this name and these tasks, with nothing else asked for.
    #[must_use]
    pub const fn new(name: String, task: TaskSpec) -> Self {
        Self {
            name,
            task,
            priority: 0,
            retries: 0,
            max_failures: None,
            deadline: None,
            requires: Vec::new(),
            attached: false,
            extensions: Extensions::NONE,
        }
    }

    /// Refuses critical extensions of the job or its tasks that this release does not know.
    ///
    /// # Errors
    /// [`UnknownExtension`], which names the first of them.
    pub fn check_extensions(&self) -> Result<(), UnknownExtension> {
        self.extensions.check("a job's spec", &[FUNCTION])?;
        self.task.check_extensions()
    }

    /// Under which terms the job takes calls of a function; `None` of any other job.
    #[must_use]
    pub fn function(&self) -> Option<FunctionTerms> {
        // Only what can be read is taken.
        self.extensions.read(FUNCTION).ok().flatten()
    }

    /// The same job, as one that takes calls of a function.
    ///
    /// # Errors
    /// As the encoder says.
    pub fn of_function(mut self, terms: FunctionTerms) -> postcard::Result<Self> {
        self.extensions = Extensions::critical(FUNCTION, &terms)?;
        Ok(self)
    }

    /// True where the rest of the job is not run once so many of its tasks have failed.
    #[must_use]
    pub fn gives_up_after(&self, failed: u64) -> bool {
        self.max_failures.is_some_and(|most| failed >= most.max(1))
    }
}

/// The number of [`JobSpec::function`] among its extensions: a scheduler that does not know it would give
/// out more calls at once than the function allows.
const FUNCTION: u16 = 1;

/// Labels that one job may require.
pub const REQUIRES_MAX: usize = 32;

/// The kinds of `.wasm` that are tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ModuleKind {
    /// A component that exports `wasmgrid:task/guest`: bytes in, bytes out.
    Task,
    /// A component that exports `wasi:cli/run`: stdin to stdout.
    Command,
    /// A core module that is a WASI preview 1 command, run as the core module that it is.
    Preview1,
}

impl fmt::Display for ModuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task => "wasmgrid task component",
            Self::Command => "WASI command component",
            Self::Preview1 => "WASI preview 1 command",
        })
    }
}

/// What admission found in a module that may be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// The file's digest.
    pub digest: Digest,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// What kind of task it is.
    pub kind: ModuleKind,
    /// Its imports, sorted: the capabilities it asks for.
    pub imports: Vec<String>,
    /// Its exports, sorted.
    pub exports: Vec<String>,
}

/// One thing a job's tasks may do beside reading their input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Grant {
    /// Real clocks.
    Clock,
    /// Real entropy.
    Random,
    /// A variable of the environment.
    Env {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A directory of the worker, to be read, where the worker's operator allows it.
    Dir {
        /// Its path on the worker, absolute.
        host: String,
        /// Where the task finds it, absolute.
        guest: String,
    },
}

impl fmt::Display for Grant {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock => f.write_str("clock"),
            Self::Random => f.write_str("random"),
            Self::Env { name, value } => write!(f, "env:{name}={value}"),
            Self::Dir { host, guest } => write!(f, "dir:{host}:{guest}:ro"),
        }
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let unknown = || GrantError { found: text.into() };
        match text.split_once(':') {
            None if text == "clock" => Ok(Self::Clock),
            None if text == "random" => Ok(Self::Random),
            Some(("env", variable)) => {
                let (name, value) = variable.split_once('=').ok_or_else(unknown)?;
                if name.is_empty() || variable.contains('\0') {
                    return Err(unknown());
                }
                Ok(Self::Env { name: name.into(), value: value.into() })
            }
            Some(("dir", paths)) => {
                let (host, guest) = paths
                    .strip_suffix(":ro")
                    .and_then(|paths| paths.split_once(':'))
                    .ok_or_else(unknown)?;
                let is_path = |path: &str| path.starts_with('/') && !path.contains([':', '\0']);
                if !is_path(host) || !is_path(guest) {
                    return Err(unknown());
                }
                Ok(Self::Dir { host: host.into(), guest: guest.into() })
            }
            _ => Err(unknown()),
        }
    }
}

/// A text that names no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid grant {found:?}: expected clock, random, env:NAME=VALUE or \
     dir:HOST_PATH:GUEST_PATH:ro (both paths absolute and without a colon)"
)]
pub struct GrantError {
    /// What was there.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_grant_is_read_back_as_it_is_shown() {
        for text in ["clock", "random", "env:A=b=c:d", "env:EMPTY=", "dir:/srv/data:/data:ro"] {
            assert_eq!(text.parse::<Grant>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_grant_is_refused_by_name_with_those_there_are() {
        for text in [
            "",
            "net:example.org:80",
            "env:",
            "env:=x",
            "env:A",
            "dir:/a:/b",
            "dir:/a:/b:rw",
            "dir:a:/b:ro",
            "dir:/a:b:ro",
            "dir:/a:/b:/c:ro",
            "clock:",
        ] {
            let error = text.parse::<Grant>().expect_err(text).to_string();
            assert!(error.contains("env:NAME=VALUE"), "{error}");
        }
    }
}
