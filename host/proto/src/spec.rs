//! What a submitter asks for: a job, its module and what its tasks may do.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Digest, Limits, Millis, wire::bounded};

/// What every task of a job needs to run; it goes to a worker with each batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The module, by the digest of the file that was submitted.
    pub module: Digest,
    /// What kind of task the module is.
    pub kind: ModuleKind,
    /// The command's arguments after its name; empty for [`ModuleKind::Task`].
    #[serde(deserialize_with = "bounded")]
    pub args: Vec<String>,
    /// The limits of each task.
    pub limits: Limits,
    /// With the task's index, the seed of its randomness.
    pub seed: u64,
    /// What the tasks may do beside reading their input.
    #[serde(deserialize_with = "bounded")]
    pub grants: Vec<Grant>,
    /// Who owns the job; runners serve one tenant at a time.
    pub tenant: String,
}

/// A job as it was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// A name for people; need not be unique.
    pub name: String,
    /// What its tasks are.
    pub task: TaskSpec,
    /// Jobs of a higher priority run first within a tenant; 0 unless said.
    pub priority: i32,
    /// How many more times a task that asks for a retry is run; 0 unless said.
    pub retries: u32,
    /// After this many failed tasks the rest is skipped; `None` never.
    pub max_failures: Option<u64>,
    /// From submission to the end of the job; tasks not ended by then expire.
    pub deadline: Option<Millis>,
}

/// The kinds of `.wasm` that are tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ModuleKind {
    /// A component that exports `wasmgrid:task/guest`: bytes in, bytes out.
    Task,
    /// A component that exports `wasi:cli/run`: stdin to stdout.
    Command,
    /// A core WASI preview 1 command: adapted to [`ModuleKind::Command`] before it is compiled.
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
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clock => "clock",
            Self::Random => "random",
        })
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        match text {
            "clock" => Ok(Self::Clock),
            "random" => Ok(Self::Random),
            _ => Err(GrantError { found: text.into() }),
        }
    }
}

/// A text that names no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no grant is called {found:?}; there are: clock, random")]
pub struct GrantError {
    /// What was there.
    pub found: String,
}
