//! Why a module is not run: what was found, where, and what would fit. A refusal is about the
//! module or the job alone; it would be the same on every worker of these settings.

use serde::{Deserialize, Serialize};
use wasmgrid_proto::{ByteCount, Limit, Millis, Outcome};

use crate::Cap;

/// What every file that is not a task is told.
const KINDS: &str = "a task is a component that exports wasmgrid:task/guest (made with the wasmgrid \
crate), a component that exports wasi:cli/run (`cargo build --target wasm32-wasip2`), or a WASI \
preview 1 command that exports _start";

/// Why a module is not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The file is no WebAssembly.
    #[error("not WebAssembly: {found} (offset 0); {KINDS}")]
    NotWasm {
        /// What it is instead, and what would make WebAssembly of it.
        found: String,
    },
    /// The file is WebAssembly of a version nobody runs.
    #[error("unknown version of the WebAssembly format: {found} (offset 4); {KINDS}")]
    UnknownVersion {
        /// The version's bytes.
        found: String,
    },
    /// The file is cut off, or against the rules of WebAssembly.
    #[error(
        "damaged or invalid WebAssembly at offset {offset:#x}: {reason}; build it again, and compare its size after copying"
    )]
    Invalid {
        /// Bytes from the start of the file.
        offset: u64,
        /// Which rule.
        reason: String,
    },
    /// The module uses a feature that is off.
    #[error("uses {feature} at offset {offset:#x}, which tasks may not; {remedy}")]
    Feature {
        /// The feature's name.
        feature: String,
        /// Bytes from the start of the file.
        offset: u64,
        /// How to build without it.
        remedy: String,
    },
    /// The module is over a structural cap.
    #[error("{what} is {found} at offset {offset:#x} where at most {cap} is allowed; {remedy}")]
    Cap {
        /// What was measured.
        what: String,
        /// Bytes from the start of the file to where it was found.
        offset: u64,
        /// How much there is, as far as it was read.
        found: String,
        /// How much may be.
        cap: String,
        /// What would help, and the operator's flag.
        remedy: String,
    },
    /// Valid WebAssembly, but none of the three kinds.
    #[error("not a task: {found}; {KINDS}")]
    NotATask {
        /// What was found, and where.
        found: String,
    },
    /// An import that nothing here provides.
    #[error("imports {import} at offset {offset:#x}: {reason}; {remedy}")]
    Import {
        /// The import's full name.
        import: String,
        /// Bytes from the start of the file.
        offset: u64,
        /// Why it is not provided.
        reason: String,
        /// What would provide or grant it.
        remedy: String,
    },
    /// The module does not fit the job.
    #[error("does not fit the job: {reason}")]
    Mismatch {
        /// What the job says, and what the module is.
        reason: String,
    },
    /// The job is granted what this worker does not give.
    #[error("is granted {grant}, which this worker does not give: {reason}; {remedy}")]
    Grant {
        /// The grant as it was written.
        grant: String,
        /// Why not.
        reason: String,
        /// What would help.
        remedy: String,
    },
    /// The job asks for more than the operator allows.
    #[error("asks for a {limit} limit of {asked} where the operator allows {allowed} at most")]
    Maximum {
        /// Which limit.
        limit: String,
        /// What was asked for.
        asked: String,
        /// The operator's maximum.
        allowed: String,
    },
    /// The module says that it is a component, and none could be made of it.
    #[error("could not be made the component that it says it is: {reason}")]
    Encode {
        /// What the tool said.
        reason: String,
    },
    /// The compiler refused the module.
    #[error("could not be compiled: {reason}")]
    Compile {
        /// What the compiler said.
        reason: String,
    },
    /// The compiler was ended at its limit on time.
    #[error(
        "compiling takes more than {allowed} and was ended there; split the largest functions, optimise for size, or ask the operator of the workers to raise it (--compile-time)"
    )]
    CompileTime {
        /// How long it took until then.
        used: Millis,
        /// How long it may take.
        allowed: Millis,
    },
    /// The compiler was ended at its limit on memory.
    #[error(
        "compiling needs more than {allowed} of memory and was ended there; split the largest functions, optimise for size, or ask the operator of the workers to raise it (--compile-memory)"
    )]
    CompileMemory {
        /// How much it had.
        used: ByteCount,
        /// How much it may have.
        allowed: ByteCount,
    },
    /// The compiler died of the module.
    #[error("the compiler died of this module: {reason}")]
    CompilerDied {
        /// How.
        reason: String,
    },
}

impl Refusal {
    /// How the tasks of a job with this module end.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::CompileTime { used, allowed } => {
                Outcome::Limit { limit: Limit::Compile, used: used.0, allowed: allowed.0 }
            }
            Self::CompileMemory { used, allowed } => {
                Outcome::Limit { limit: Limit::CompileMemory, used: used.0, allowed: allowed.0 }
            }
            _ => Outcome::Refused(self.to_string()),
        }
    }

    /// The module is over a cap: `found` where `allowed` is the most.
    pub(crate) fn cap(cap: Cap, found: u64, allowed: u64, offset: u64) -> Self {
        let (help, name) = (cap.help(), cap.name());
        let remedy = if allowed < cap.most() {
            format!(
                "{help}, or raise it with `--cap {name}=VALUE` wherever the module goes: run or \
                 submit, the scheduler, the workers"
            )
        } else {
            format!("{help}; it cannot be raised")
        };
        Self::Cap {
            what: cap.counts().into(),
            offset,
            found: cap.show(found),
            cap: cap.show(allowed),
            remedy,
        }
    }
}
