//! What a task may use at most.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{ByteCount, Fuel, Millis};

/// The limits of every task of a job. Each is enforced; what happens at it is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Instructions, counted by Wasmtime; host calls are charged by their bytes. At it the task
    /// ends with `limit(fuel)`. Default 10^11, about 40 s of a plain loop.
    pub fuel: Fuel,
    /// Wall time of one attempt. At it the task ends with `limit(deadline)`. Default 2 minutes.
    pub deadline: Millis,
    /// Linear memory of all the task's memories together. Growing beyond it fails inside the
    /// guest; a module that starts above it ends with `limit(memory)`. Default 64 MiB.
    pub memory: ByteCount,
    /// Elements of all tables together; beyond it growing fails inside the guest. Default 10,000.
    pub table_elements: u64,
    /// Output and emitted records together. At it the task ends with `limit(output)`.
    /// Default 16 MiB.
    pub output: ByteCount,
    /// One emitted record. At it the task ends with `limit(record)`. Default 1 MiB.
    pub record: ByteCount,
    /// What is kept of the task's log; what comes after is dropped and counted, which is no
    /// error. Default 256 KiB.
    pub log: ByteCount,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: Fuel(100_000_000_000),
            deadline: Millis(120_000),
            memory: ByteCount(64 << 20),
            table_elements: 10_000,
            output: ByteCount(16 << 20),
            record: ByteCount(1 << 20),
            log: ByteCount(256 << 10),
        }
    }
}

/// Which limit ended a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Limit {
    /// [`Limits::fuel`], in units of fuel.
    Fuel,
    /// [`Limits::deadline`], in milliseconds.
    Deadline,
    /// [`Limits::memory`], in bytes.
    Memory,
    /// [`Limits::table_elements`].
    TableElements,
    /// [`Limits::output`], in bytes.
    Output,
    /// [`Limits::record`], in bytes.
    Record,
    /// Handles, sockets and other host resources a task holds open, or the host memory of one
    /// call.
    Resources,
    /// CPU time of the module's compilation, in milliseconds.
    Compile,
    /// Memory of the module's compilation, in bytes.
    CompileMemory,
    /// [`Limits::deadline`] by the task's virtual clock, in milliseconds: it slept past it, which
    /// took no time.
    VirtualDeadline,
    /// [`Resource::Bytes`](crate::Resource::Bytes) of the task's tenant, in bytes: with this result
    /// the tenant would have had too much. The result was discarded.
    Quota,
}

impl Limit {
    /// The limit's name as the command line and messages have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fuel => "fuel",
            Self::Deadline | Self::VirtualDeadline => "deadline",
            Self::Memory => "memory",
            Self::TableElements => "table",
            Self::Output => "output",
            Self::Record => "record",
            Self::Resources => "resource",
            Self::Compile | Self::CompileMemory => "compile",
            Self::Quota => "quota",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
