//! What the slots of a sandbox have in common.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use wasmgrid_proto::Millis;

use super::ends::Ends;
use crate::{EngineSettings, Isolation, jail::warden::Warden, runner::message::Hello};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct PoolConfig {
    pub(crate) slots: u32,
    pub(crate) isolation: Isolation,
    /// Started as `wasmgrid runner`.
    pub(crate) program: PathBuf,
    pub(crate) engine: EngineSettings,
    /// Tasks and time after which a runner is replaced.
    pub(crate) runner_tasks: u64,
    pub(crate) runner_age: Millis,
    pub(crate) warden: Arc<Warden>,
    /// Directories that jobs may be granted to read.
    pub(crate) allow_dirs: Vec<PathBuf>,
    /// Counts the runners that end.
    pub(crate) ends: Arc<Ends>,
}

impl PoolConfig {
    /// What a runner is told first.
    pub(super) fn hello(&self) -> Hello {
        let forks = self.isolation == Isolation::Task;
        // The file that says what a process has written is that of the process that opened it,
        // and no child's.
        let pagemap_scan = self.engine.pagemap_scan && !forks;
        Hello {
            engine: EngineSettings { pagemap_scan, ..self.engine.clone() },
            forks,
            require_jail: self.warden.requires(),
            allow_dirs: self.allow_dirs.iter().filter_map(|path| real(path)).collect(),
        }
    }
}

/// The real path of a directory, as text: grants are text. None where there is no such.
pub(super) fn real(path: &Path) -> Option<String> {
    path.canonicalize().ok()?.into_os_string().into_string().ok()
}
