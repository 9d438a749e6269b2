//! What an operator may set about a worker's sandbox. Decides nothing.

use std::path::PathBuf;

use wasmgrid_proto::{ByteCount, Limits, Millis};

use crate::{Caps, EngineSettings};

/// Where tasks run and modules are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In child processes: one runner a slot, and compilers that can be killed. For workers.
    Process,
    /// In threads of this process, for embedding and tests of modules that are trusted: a
    /// compilation that never ends is not stopped.
    InProcess,
}

/// A worker's sandbox.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Tasks that run at once, each in a runner of its own. Default 1; a worker sets its cores.
    pub slots: u32,
    /// Where tasks run. Default [`Isolation::Process`].
    pub isolation: Isolation,
    /// Keeps compiled code across restarts; `None` keeps it in memory alone. Default `None`.
    pub cache_dir: Option<PathBuf>,
    /// What the directory may hold; the code used longest ago goes first. Default 4 GiB.
    pub cache_bytes: ByteCount,
    /// The `wasmgrid` binary, started as `wasmgrid runner` and `wasmgrid compiler`.
    /// Default: this process's own.
    pub program: PathBuf,
    /// The most a job may ask for; one that asks for more is refused.
    pub max_limits: Limits,
    /// What a module may look like.
    pub caps: Caps,
    /// Directories, with all below them, that jobs may be granted to read. Default none.
    pub allow_dirs: Vec<PathBuf>,
    /// What may differ between engines of two workers; its largest memory and table are raised
    /// or lowered to those of `max_limits`.
    pub engine: EngineSettings,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            slots: 1,
            isolation: Isolation::Process,
            cache_dir: None,
            cache_bytes: ByteCount(4 << 30),
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("wasmgrid")),
            max_limits: default_maxima(),
            caps: Caps::default(),
            allow_dirs: Vec::new(),
            engine: EngineSettings::default(),
        }
    }
}

impl SandboxConfig {
    /// The engine's settings with the operator's largest memory and table in them.
    #[must_use]
    pub fn engine_settings(&self) -> EngineSettings {
        EngineSettings {
            max_memory: ByteCount(self.max_limits.memory.0.min(ADDRESSABLE_BYTES)),
            max_table_elements: u32::try_from(self.max_limits.table_elements).unwrap_or(u32::MAX),
            ..self.engine.clone()
        }
    }
}

/// All that a 32-bit memory can address.
const ADDRESSABLE_BYTES: u64 = 4 << 30;

/// Far above the defaults of a task and below what would let one task take a machine for good.
fn default_maxima() -> Limits {
    Limits {
        fuel: wasmgrid_proto::Fuel(u64::MAX),
        deadline: Millis(24 * 60 * 60 * 1_000),
        memory: ByteCount(ADDRESSABLE_BYTES),
        table_elements: 1_000_000,
        output: ByteCount(1 << 30),
        record: ByteCount(16 << 20),
        log: ByteCount(16 << 20),
    }
}
