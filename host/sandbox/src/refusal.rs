//! Why a module is not run: what was found, where, and what would fit. A refusal is about the
//! module or the job alone; it would be the same on every worker of these settings.

use serde::{Deserialize, Serialize};
use wasmgrid_proto::{
    ByteCount, Limit, Millis, Outcome,
    text::{REASON_MAX, shorten, shortened},
};

use crate::Cap;

/// Bytes of what the tasks of a refused module or job are told: each of them has its own copy.
const SHOWN_MAX: usize = 2 << 10;

/// Bytes of a grant or a path that a refusal quotes.
pub(crate) const QUOTED_MAX: usize = 256;

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
    #[error("uses {feature} at offset {offset:#x}, which is not supported; {remedy}")]
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
    #[error("is granted {grant}, which this worker does not provide: {reason}; {remedy}")]
    Grant {
        /// The grant as it was written.
        grant: String,
        /// Why not.
        reason: String,
        /// What would help.
        remedy: String,
    },
    /// The job asks for more than the operator allows.
    #[error("asks for a {limit} limit of {asked}, but the operator allows at most {allowed}")]
    Maximum {
        /// Which limit.
        limit: String,
        /// What was asked for.
        asked: String,
        /// The operator's maximum.
        allowed: String,
    },
    /// The module says that it is a component, and none could be made of it.
    #[error("failed to become the component that it declares: {reason}")]
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
        "compiling exceeded {allowed} and was \
         stopped; split the largest functions, optimise for size, or ask the operator of the workers to raise it (--compile-time)"
    )]
    CompileTime {
        /// How long it took until then.
        used: Millis,
        /// How long it may take.
        allowed: Millis,
    },
    /// The compiler was ended at its limit on memory.
    #[error(
        "compiling exceeded {allowed} of memory and was \
         stopped; split the largest functions, optimise for size, or ask the operator of the workers to raise it (--compile-memory)"
    )]
    CompileMemory {
        /// How much it had.
        used: ByteCount,
        /// How much it may have.
        allowed: ByteCount,
    },
    /// The compiler died of the module.
    #[error("the compiler crashed on this module: {reason}")]
    CompilerDied {
        /// How.
        reason: String,
    },
    /// Looking at the module was ended at its limit on time.
    #[error(
        "checking this module exceeded {allowed} and was \
         stopped; use fewer types, imports and instances"
    )]
    AdmissionTime {
        /// How long it may take.
        allowed: Millis,
    },
    /// Looking at the module was ended at its limit on memory.
    #[error(
        "checking this module exceeded {allowed} of memory and was \
         stopped; use fewer types, imports and instances"
    )]
    AdmissionMemory {
        /// How much it may take.
        allowed: ByteCount,
    },
    /// The process that looked at the module died of it.
    #[error("the process that checked this module crashed: {reason}")]
    AdmissionDied {
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
            _ => Outcome::Refused(shortened(self.to_string(), SHOWN_MAX)),
        }
    }

    /// The same, with each text within its bound: tools and guests' names may be as long as modules.
    pub(crate) fn bounded(mut self) -> Self {
        let texts: &mut [&mut String] = match &mut self {
            Self::NotWasm { found } | Self::UnknownVersion { found } | Self::NotATask { found } => {
                &mut [found]
            }
            Self::Invalid { reason, .. }
            | Self::Mismatch { reason }
            | Self::Encode { reason }
            | Self::Compile { reason }
            | Self::CompilerDied { reason }
            | Self::AdmissionDied { reason } => &mut [reason],
            Self::Feature { feature, remedy, .. } => &mut [feature, remedy],
            Self::Cap { what, found, cap, remedy, .. } => &mut [what, found, cap, remedy],
            Self::Import { import, reason, remedy, .. } => &mut [import, reason, remedy],
            Self::Grant { grant, reason, remedy } => &mut [grant, reason, remedy],
            Self::Maximum { limit, asked, allowed } => &mut [limit, asked, allowed],
            Self::CompileTime { .. }
            | Self::CompileMemory { .. }
            | Self::AdmissionTime { .. }
            | Self::AdmissionMemory { .. } => &mut [],
        };
        texts.iter_mut().for_each(|text| shorten(text, REASON_MAX));
        self
    }

    /// The module is over a cap: `found` where `allowed` is the most.
    pub(crate) fn cap(cap: Cap, found: u64, allowed: u64, offset: u64) -> Self {
        let (help, name) = (cap.help(), cap.name());
        let remedy = if allowed < cap.most() {
            format!(
                "{help}, or raise it with `--cap {name}=VALUE` for every part that checks the \
                 module: run or submit, the scheduler, the workers"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_quotes_is_bounded() {
        let long = || "é".repeat(100_000);
        let refusal = Refusal::Grant { grant: long(), reason: long(), remedy: long() };
        let Outcome::Refused(text) = refusal.outcome() else { panic!("it is no limit") };
        assert!(text.len() <= SHOWN_MAX && text.ends_with("(cut)"), "{text}");
        let bounded = refusal.bounded();
        let bytes = postcard::to_allocvec(&bounded).expect("encoded").len();
        assert!(bytes < 4 * REASON_MAX, "{bytes}");
        let short = Refusal::Compile { reason: "it is odd".into() };
        assert_eq!(short.clone().bounded(), short);
    }
}
