//! What can go wrong with the sandbox itself, as against a module it refuses.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use wasmgrid_proto::{ByteCount, Digest, Outcome};

use crate::{Refusal, jail::Layer, program};

/// The sandbox could not do its work: the machine's fault, never the module's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The settings do not fit this machine.
    #[error("the sandbox's settings do not fit this machine: {reason}")]
    Settings {
        /// What does not fit.
        reason: String,
    },
    /// The engine could not be made, or not take compiled code.
    #[error("failed to create the engine: {reason}")]
    Engine {
        /// What the engine said.
        reason: String,
    },
    /// The address space of processes is limited, and the engine could not be made within.
    #[error(
        "the address space of a process is limited to {limit}, which is too little for the engine: \
         {reason}"
    )]
    AddressSpace {
        /// How much a process may have.
        limit: ByteCount,
        /// What the engine said.
        reason: String,
    },
    /// There is no `/proc` that shows this process its own file.
    #[error("{} could not be read", program::OWN)]
    NoProc(#[source] io::Error),
    /// A child process could not be started.
    #[error("{} could not be started", child(program, role))]
    Start {
        /// The program.
        program: PathBuf,
        /// Which of its hidden subcommands.
        role: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A child process could not start its threads.
    #[error("a {role} process could not start its threads: {reason}")]
    Threads {
        /// Which kind of child.
        role: &'static str,
        /// What the system said.
        reason: String,
    },
    /// A child process is of another build than this one.
    #[error(
        "{} is of another build than this process, which is {}",
        child(program, role),
        program::BUILD
    )]
    Build {
        /// The program.
        program: PathBuf,
        /// Which of its hidden subcommands.
        role: &'static str,
    },
    /// A child process broke off the conversation.
    #[error("the {role} process ended unexpectedly: {reason}")]
    Child {
        /// Which kind of child.
        role: &'static str,
        /// What was seen.
        reason: String,
    },
    /// A task that does nothing did not end ok.
    #[error("a task that does nothing ended as {outcome}")]
    Trial {
        /// How it ended.
        outcome: Outcome,
    },
    /// The jail was required, and this machine lacks a layer of it.
    #[error(
        "the jail is required, but its layer {layer} is missing: {reason}; to get it, {}",
        layer.remedy()
    )]
    Jail {
        /// What is missing.
        layer: Layer,
        /// What the system said.
        reason: String,
    },
    /// The directory of compiled code cannot be used.
    #[error("failed to use the cache of compiled code at {}; set another cache \
         directory", path.display())]
    Cache {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Memory for compiled code or a blob could not be had.
    #[error("compiled code or a blob could not be held in memory")]
    Memory(#[source] io::Error),
    /// The jobs at work have so many blobs that there is no room for another.
    #[error("the blobs of the jobs that run here already take {allowed}; others must end first")]
    Blobs {
        /// What all may take together.
        allowed: ByteCount,
    },
    /// The sandbox has been shut down.
    #[error("the sandbox has been shut down")]
    Stopped,
}

/// A child as it is named in an error: by its program where that is not this process's own.
fn child(program: &Path, role: &str) -> String {
    if program == Path::new(program::OWN) {
        format!("a {role} process")
    } else {
        format!("{} {role}", program.display())
    }
}

/// Why this machine cannot run tasks. Cheap to clone; it reads as the error within and its causes,
/// on one line.
#[derive(Clone, Debug)]
pub struct Inability(Arc<SandboxError>);

impl Inability {
    /// What went wrong.
    #[must_use]
    pub fn error(&self) -> &SandboxError {
        &self.0
    }

    /// Whether it is compilers that do not do their work, and not runners.
    #[must_use]
    pub fn is_of_compilers(&self) -> bool {
        match &*self.0 {
            SandboxError::Start { role, .. }
            | SandboxError::Threads { role, .. }
            | SandboxError::Build { role, .. }
            | SandboxError::Child { role, .. } => *role == program::COMPILER,
            _ => false,
        }
    }
}

impl From<SandboxError> for Inability {
    fn from(error: SandboxError) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for Inability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for Inability {}

/// Why a module could not be made ready to run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The module or what the job asks for is refused; it would be again.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing compiled is at hand, or a blob is not, and it was not given: ask again with its bytes.
    #[error("{digest:.12} is missing, and its bytes were not given")]
    NeedsModule {
        /// The module or the blob.
        digest: Digest,
    },
    /// The bytes given are not those of the module or of a blob.
    #[error("the bytes given for {expected:.12} are those of {found:.12}: fetch them again")]
    WrongModule {
        /// The module or the blob that was asked for.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// The sandbox failed; another worker, or this one later, may do better.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}
