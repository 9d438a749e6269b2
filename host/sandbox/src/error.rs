//! What can go wrong with the sandbox itself, as against a module it refuses.

use std::{io, path::PathBuf};

use wasmgrid_proto::Digest;

use crate::{Refusal, jail::Layer};

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
    /// The engine could not be made.
    #[error(
        "the engine could not be made: {reason}; is the address space of this process limited (ulimit -v)?"
    )]
    Engine {
        /// What the engine said.
        reason: String,
    },
    /// A child process could not be started.
    #[error("{} {role} could not be started; is it the wasmgrid binary?", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Which of its hidden subcommands.
        role: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A child process broke off the conversation.
    #[error("the {role} process broke off: {reason}")]
    Child {
        /// Which kind of child.
        role: &'static str,
        /// What was seen.
        reason: String,
    },
    /// The jail was required, and this machine lacks a layer of it.
    #[error(
        "the jail is required, and its layer {layer} is missing: {reason}; to have it, {}",
        layer.remedy()
    )]
    Jail {
        /// What is missing.
        layer: Layer,
        /// What the system said.
        reason: String,
    },
    /// The directory of compiled code cannot be used.
    #[error("the cache of compiled code at {} cannot be used; set another cache directory", path.display())]
    Cache {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Memory for compiled code could not be had.
    #[error("compiled code could not be held in memory")]
    Memory(#[source] io::Error),
    /// The sandbox has been shut down.
    #[error("the sandbox has been shut down")]
    Stopped,
}

/// Why a module could not be made ready to run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The module or what the job asks for is refused; it would be again.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing compiled is at hand, and no module was given: ask again with its bytes.
    #[error("module {digest:.12} is not compiled here, and its bytes were not given")]
    NeedsModule {
        /// The module.
        digest: Digest,
    },
    /// The bytes given are not those of the module.
    #[error("the bytes given for module {expected:.12} are those of {found:.12}: fetch them again")]
    WrongModule {
        /// The module that was asked for.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// The sandbox failed; another worker, or this one later, may do better.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}
