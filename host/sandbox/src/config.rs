//! What an operator may set about a worker's sandbox. Decides nothing.

use std::path::PathBuf;

use wasmgrid_proto::{ByteCount, Limits, Millis};

use crate::{Caps, EngineSettings, program};

/// Where tasks run and modules are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In child processes: one runner a slot, and compilers that can be killed. For workers.
    Process,
    /// Each task in a child process of its own, forked from a runner that has the engine and the
    /// module loaded and runs nothing itself. Costs half a millisecond to one a task, mostly
    /// the kernel's, and leaves nothing of a task behind but its result.
    Task,
    /// In threads of this process, for embedding and tests of modules that are trusted: a
    /// compilation that never ends is not stopped.
    InProcess,
}

impl Isolation {
    /// Its name, as the command line has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Task => "task",
            Self::InProcess => "in-process",
        }
    }
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
    /// What is started as `wasmgrid runner` and `wasmgrid compiler`; of the same build as this
    /// process. Default: the file that this process runs, also once another has its name.
    pub program: PathBuf,
    /// Tasks after which a runner is replaced by a fresh one, which is started ahead: what a guest
    /// has broken or left behind in a runner ends with it. Default 1,000,000: at the fastest about
    /// 10 s of work, against which the 5 ms of a warm-up do not count.
    pub runner_tasks: u64,
    /// Age at which a runner is replaced, when it is next given something. Default 1 h.
    pub runner_age: Millis,
    /// How long a refusal of the compiler is remembered, so that what costs much to refuse costs
    /// it once; on disk too where it took long. Default 10 min: what depended on the machine's
    /// load is tried again after that.
    pub refusal_age: Millis,
    /// The most a job may ask for; one that asks for more is refused.
    pub max_limits: Limits,
    /// What a module may look like.
    pub caps: Caps,
    /// Directories, with all below them, that jobs may be granted to read. Default none.
    pub allow_dirs: Vec<PathBuf>,
    /// Starts and runs tasks only where each layer of the jail is there; else a missing one is
    /// told and left out. Default off.
    pub require_jail: bool,
    /// The time that compiling one module may take of a core, counted in whole seconds. Default
    /// 10 s; the largest honest modules known take 6.
    pub compile_cpu: Millis,
    /// The memory that compiling one module may take. Default 1 GiB.
    pub compile_memory: ByteCount,
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
            program: program::OWN.into(),
            runner_tasks: 1_000_000,
            runner_age: Millis(60 * 60 * 1_000),
            refusal_age: Millis(10 * 60 * 1_000),
            max_limits: default_maxima(),
            caps: Caps::default(),
            allow_dirs: Vec::new(),
            require_jail: false,
            compile_cpu: Millis(10_000),
            compile_memory: ByteCount(1 << 30),
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

impl SandboxConfig {
    /// The most memory a runner may need: for its task's memory and output, and for itself.
    pub(crate) const fn runner_memory(&self) -> ByteCount {
        let task = self.max_limits.memory.0.saturating_add(self.max_limits.output.0);
        ByteCount(task.saturating_add(RUNNER_SLACK_BYTES))
    }
}

/// What a runner needs beside its task: the engine, compiled code of up to 64 modules and what
/// of their memories is kept, frames on their way.
const RUNNER_SLACK_BYTES: u64 = 512 << 20;

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
