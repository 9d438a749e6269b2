//! Why a module is not run: what was found, where, and what would fit. The refusal is about the
//! module or the job alone; it would be the same on every worker with these settings. It names no
//! command and no flag: whoever shows it knows how its reader talks to the grid.

use alloc::{format, string::String};

use serde::{Deserialize, Serialize};

use crate::{
    ByteCount, Limit, Millis, ModuleKind, Outcome,
    text::{Detail, Name, Text},
};

/// Bytes of what each task of a refused module or job is told: each of them has its own copy.
const SHOWN_MAX: usize = 2 << 10;

/// What every file that is not a task is told.
const KINDS: &str = "a task is a component that exports wasmgrid:task/guest (made with the wasmgrid \
crate), a component that exports wasi:cli/run (`cargo build --target wasm32-wasip2`), or a WASI \
preview 1 command that exports _start";

/// Why a module, or a job with it, is not run. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The file is no WebAssembly.
    #[error("not WebAssembly: {found} (offset 0); {KINDS}")]
    NotWasm {
        /// What it is instead, and what would make WebAssembly of it.
        found: Detail,
    },
    /// The file is WebAssembly of a version nobody runs.
    #[error("unknown version of the WebAssembly format: {found} (offset 4); {KINDS}")]
    UnknownVersion {
        /// The version's bytes.
        found: Detail,
    },
    /// The file is cut off, or against the rules of WebAssembly.
    #[error(
        "damaged or invalid WebAssembly at offset {offset:#x}: {reason}; build it again, and \
         compare its size after copying"
    )]
    Invalid {
        /// Bytes from the start of the file.
        offset: u64,
        /// Which rule.
        reason: Detail,
    },
    /// The module uses a feature that is off.
    #[error("uses {feature} at offset {offset:#x}, which is not supported; {remedy}")]
    Feature {
        /// The feature's name.
        feature: Detail,
        /// Bytes from the start of the file.
        offset: u64,
        /// How to build without it.
        remedy: Detail,
    },
    /// The module is over a structural cap.
    #[error(
        "{what} is {found} at offset {offset:#x} where at most {allowed} is allowed{}",
        cap_remedy(raised_by.as_ref(), remedy)
    )]
    Cap {
        /// What was measured.
        what: Detail,
        /// Bytes from the start of the file to where it was found.
        offset: u64,
        /// How much there is, as far as it was read.
        found: Name,
        /// How much may be.
        allowed: Name,
        /// What the module's author can do about it.
        remedy: Detail,
        /// The name under which the cap is set; `None` if it is as high as it can be.
        raised_by: Option<Name>,
    },
    /// Valid WebAssembly, but none of the three kinds.
    #[error("not a task: {found}; {KINDS}")]
    NotATask {
        /// What was found, and where.
        found: Detail,
    },
    /// An import that nothing here provides.
    #[error("imports {import} at offset {offset:#x}: {reason}; {remedy}")]
    Import {
        /// The import's full name.
        import: Detail,
        /// Bytes from the start of the file.
        offset: u64,
        /// Why it is not provided.
        reason: Detail,
        /// What would provide it.
        remedy: Detail,
    },
    /// The job says that its module is of another kind than it is.
    #[error("does not fit the job: the job says that its module is a {said}, but it is a {found}")]
    OtherKind {
        /// What the module is.
        found: ModuleKind,
        /// What the job says.
        said: ModuleKind,
    },
    /// The job gives its tasks a value that they cannot read.
    #[error(
        "does not fit the job: it gives all tasks a value, which the module cannot use: it imports \
         nothing of {interface}"
    )]
    ValueUnused {
        /// The interface through which it would read the value.
        interface: Name,
    },
    /// The job gives its tasks no value, and they need one.
    #[error("does not fit the job: its tasks need a shared value, and the job has none")]
    ValueMissing,
    /// The job gives a blob that no task can read.
    #[error("does not fit the job: it gives a blob named {name}, which no task can read")]
    BlobUnused {
        /// The blob's name.
        name: Name,
    },
    /// The job grants what the module cannot use.
    #[error(
        "does not fit the job: it grants {grant}, which the module cannot use: it imports nothing \
         of {imports}"
    )]
    GrantUnused {
        /// The grant as it was written.
        grant: Name,
        /// The beginnings of the imports that would use it.
        imports: Name,
    },
    /// The job grants two variables of one name, or two directories at one place.
    #[error("does not fit the job: it grants {what} twice")]
    GrantTwice {
        /// The variable or the directory.
        what: Name,
    },
    /// The job is granted what this worker does not give.
    #[error("is granted {grant}, which this worker does not provide: {fault}")]
    Grant {
        /// The grant as it was written.
        grant: Name,
        /// Why not.
        fault: GrantFault,
    },
    /// The job asks for more than the operator allows.
    #[error("asks for a {limit} limit of {asked}, but the operator allows at most {allowed}")]
    Maximum {
        /// Which limit.
        limit: Name,
        /// What was asked for.
        asked: Name,
        /// The operator's maximum.
        allowed: Name,
    },
    /// The module says that it is a component, and none could be made of it.
    #[error("failed to become the component that it declares: {reason}")]
    Encode {
        /// What the tool said.
        reason: Detail,
    },
    /// The compiler refused the module.
    #[error("could not be compiled: {reason}")]
    Compile {
        /// What the compiler said.
        reason: Detail,
    },
    /// The compiler was ended at its limit on time.
    #[error(
        "compiling exceeded {allowed} and was stopped; split the largest functions, optimise for \
         size, or ask the operator of the workers to raise it"
    )]
    CompileTime {
        /// How long it took until then.
        used: Millis,
        /// How long it may take.
        allowed: Millis,
    },
    /// The compiler was ended at its limit on memory.
    #[error(
        "compiling exceeded {allowed} of memory and was stopped; split the largest functions, \
         optimise for size, or ask the operator of the workers to raise it"
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
        reason: Detail,
    },
    /// Looking at the module was ended at its limit on time.
    #[error(
        "checking this module exceeded {allowed} and was stopped; use fewer types, imports and \
         instances"
    )]
    AdmissionTime {
        /// How long it may take.
        allowed: Millis,
    },
    /// Looking at the module was ended at its limit on memory.
    #[error(
        "checking this module exceeded {allowed} of memory and was stopped; use fewer types, \
         imports and instances"
    )]
    AdmissionMemory {
        /// How much it may take.
        allowed: ByteCount,
    },
    /// The process that looked at the module died of it.
    #[error("the process that checked this module crashed: {reason}")]
    AdmissionDied {
        /// How.
        reason: Detail,
    },
}

/// What helps who is over a cap of this name; of none that can be raised without one.
fn cap_remedy(raised_by: Option<&Name>, remedy: &str) -> String {
    match raised_by {
        Some(cap) => format!(" (cap {cap}); {remedy}"),
        None => format!("; {remedy}; it cannot be raised"),
    }
}

/// Why a worker does not give a directory. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum GrantFault {
    /// It is something else there.
    #[error("{path} is no directory; name its folder")]
    NoDirectory {
        /// The path, on the worker.
        path: Name,
    },
    /// It cannot be opened there.
    #[error("{path}: {reason}; the path is on the worker, not on your machine")]
    Unreadable {
        /// The path, on the worker.
        path: Name,
        /// What the worker's system says.
        reason: Detail,
    },
    /// It is within no directory that the worker's operator allows.
    #[error("its operator does not allow that path ({path})")]
    NotAllowed {
        /// The path, on the worker, symbolic links resolved.
        path: Name,
    },
}

impl Refusal {
    /// A short name that stays the same.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotWasm { .. } => "not_wasm",
            Self::UnknownVersion { .. } => "unknown_wasm_version",
            Self::Invalid { .. } => "invalid_wasm",
            Self::Feature { .. } => "feature_not_supported",
            Self::Cap { .. } => "cap_exceeded",
            Self::NotATask { .. } => "not_a_task",
            Self::Import { .. } => "import_not_provided",
            Self::OtherKind { .. } => "module_of_other_kind",
            Self::ValueUnused { .. } => "value_not_used",
            Self::ValueMissing => "value_missing",
            Self::BlobUnused { .. } => "blob_not_used",
            Self::GrantUnused { .. } => "grant_not_used",
            Self::GrantTwice { .. } => "granted_twice",
            Self::Grant { .. } => "grant_not_provided",
            Self::Maximum { .. } => "limit_above_maximum",
            Self::Encode { .. } => "component_not_made",
            Self::Compile { .. } => "not_compiled",
            Self::CompileTime { .. } => "compile_time_exceeded",
            Self::CompileMemory { .. } => "compile_memory_exceeded",
            Self::CompilerDied { .. } => "compiler_crashed",
            Self::AdmissionTime { .. } => "check_time_exceeded",
            Self::AdmissionMemory { .. } => "check_memory_exceeded",
            Self::AdmissionDied { .. } => "check_crashed",
        }
    }

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
            _ => Outcome::Refused(Text::<SHOWN_MAX>::of(self).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_quotes_is_bounded() {
        let long = "é".repeat(100_000);
        let long = long.as_str();
        let refusal = Refusal::Import {
            import: long.into(),
            offset: u64::MAX,
            reason: long.into(),
            remedy: long.into(),
        };
        let Outcome::Refused(text) = refusal.outcome() else { panic!("it is no limit") };
        assert!(text.len() <= SHOWN_MAX && text.ends_with("(cut)"), "{text}");
        let bytes = postcard::to_allocvec(&refusal).expect("encoded").len();
        assert!(bytes < 4 << 10, "{bytes}");
    }

    #[test]
    fn compiling_at_its_limit_ends_tasks_at_a_limit() {
        let (used, allowed) = (Millis(10_000), Millis(2_000));
        let outcome = Refusal::CompileTime { used, allowed }.outcome();
        let expected = Outcome::Limit { limit: Limit::Compile, used: 10_000, allowed: 2_000 };
        assert_eq!(outcome, expected);
    }
}
