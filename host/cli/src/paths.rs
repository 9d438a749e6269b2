//! Where things are kept on this machine: contexts, state and caches.

use std::{env, path::PathBuf};

use directories::ProjectDirs;

use crate::exit::usage;

/// One folder that holds everything, instead of the user's own ones.
pub const HOME: &str = "WASMGRID_HOME";

/// The folders of this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Contexts, and which is selected.
    pub config: PathBuf,
    /// What must last: a grid's state, a worker's identity.
    pub state: PathBuf,
    /// What can be made again: compiled modules.
    pub cache: PathBuf,
}

impl Paths {
    /// The folders of this user, or those under `$WASMGRID_HOME`.
    ///
    /// # Errors
    /// Where the user has no home folder.
    pub fn find() -> anyhow::Result<Self> {
        Self::known()
            .ok_or_else(|| usage(format!("this user has no home folder; set {HOME} to one")))
    }

    /// The same; `None` where the user has no home folder.
    pub fn known() -> Option<Self> {
        if let Some(home) = env::var_os(HOME).filter(|home| !home.is_empty()) {
            let home = PathBuf::from(home);
            let (state, cache) = (home.join("state"), home.join("cache"));
            return Some(Self { config: home, state, cache });
        }
        let dirs = ProjectDirs::from("", "", "wasmgrid")?;
        Some(Self {
            config: dirs.config_dir().to_owned(),
            state: dirs.data_local_dir().to_owned(),
            cache: dirs.cache_dir().to_owned(),
        })
    }

    /// Where `up` and `server` keep a grid.
    pub fn server(&self) -> PathBuf {
        self.state.join("server")
    }

    /// Where `join` and `worker` keep the identities of workers, each in a folder of its name.
    pub fn workers(&self) -> PathBuf {
        self.state.join("workers")
    }

    /// Where `join` keeps the identities of gateways, each in a folder of its name.
    pub fn gateways(&self) -> PathBuf {
        self.state.join("gateways")
    }

    /// Where compiled modules are.
    pub fn modules(&self) -> PathBuf {
        self.cache.join("modules")
    }
}
