//! Who is in a jail, and what differs by that.

use serde::{Deserialize, Serialize};
use wasmgrid_proto::{ByteCount, Millis};

use crate::host::open::Allowed;

/// What differs between the jails of the two kinds of child.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inmate {
    /// Runs guests: starts its few threads inside the jail, receives descriptors of code, makes
    /// that executable.
    Runner {
        /// Asks the kernel which pages were written.
        pagemap: bool,
        /// Runs each task in a process that it forks.
        forks: bool,
        /// Directories that jobs may be granted to read, opened before the jail was entered.
        allowed: &'static [Allowed],
    },
    /// Compiles one module: starts the threads it does that with inside the jail.
    Compiler {
        limits: CompilerLimits,
        /// What the stacks of these threads take of its address space, beside the limit.
        stacks: ByteCount,
    },
}

/// What a compiler may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompilerLimits {
    /// Its own time on a core, in whole seconds.
    pub(crate) cpu: Millis,
    /// Its address space, beyond what it has when it enters the jail.
    pub(crate) memory: ByteCount,
}

impl CompilerLimits {
    /// Whole seconds, rounded up: the kernel counts no finer.
    pub(crate) const fn cpu_seconds(&self) -> u64 {
        self.cpu.0.div_ceil(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        let limits = CompilerLimits { cpu: Millis(1_001), memory: ByteCount(0) };
        assert_eq!(limits.cpu_seconds(), 2);
    }
}
