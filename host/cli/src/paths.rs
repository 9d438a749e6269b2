//! Where things are kept on this machine: contexts, state and caches. They are this user's alone:
//! others may neither read what is secret nor hold what is locked.

use std::{
    env,
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use directories::ProjectDirs;

use crate::exit::usage;

/// One folder that holds everything, instead of the user's own ones.
pub const HOME: &str = "WASMGRID_HOME";

/// What may be done with a folder, and with a file, of this user's alone.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes a folder of this user's alone, and those above it that are missing.
///
/// # Errors
/// Where it cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Opens a file of this user's alone, which is made where it is missing.
///
/// # Errors
/// Where it cannot be opened, or is another user's.
pub fn open_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.create(true).mode(FILE_MODE).open(path)?;
    // One that is there may be anybody's to read.
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

/// Writes a file of this user's alone.
///
/// # Errors
/// Where it cannot be written.
pub fn write_file(path: &Path, text: &str) -> io::Result<()> {
    open_file(path, OpenOptions::new().write(true).truncate(true))?.write_all(text.as_bytes())
}

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
        if let Some(home) = env::var_os(HOME).filter(|home| !home.is_empty()) {
            let home = PathBuf::from(home);
            let (state, cache) = (home.join("state"), home.join("cache"));
            return Ok(Self { config: home, state, cache });
        }
        let dirs = ProjectDirs::from("", "", "wasmgrid")
            .ok_or_else(|| usage(format!("this user has no home folder; set {HOME} to one")))?;
        Ok(Self {
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

    /// Where compiled modules are.
    pub fn modules(&self) -> PathBuf {
        self.cache.join("modules")
    }
}
