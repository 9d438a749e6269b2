//! The folder that a grid's state is in. A first start makes it when all is known to fit, and takes
//! away what it made where it fails all the same: a grid is there whole or not at all.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use wasmgrid_net::Authority;

use crate::{
    config,
    context::{Contexts, LOCAL},
    exit::{Exit, WithExit as _, usage},
    parts,
    paths::Paths,
    private,
};

/// The folder of the authority.
const AUTHORITY: &str = "ca";

const LOCK: &str = "lock";

/// The store's database.
pub const STORE: &str = "grid.sqlite";

/// The endings of the store's files: the database, and what SQLite keeps beside it.
const STORE_ENDINGS: [&str; 3] = ["", "-wal", "-shm"];

/// What a grid is called whose machine has a name that no context can have.
const NAME: &str = "grid";

/// All files of the store in a grid's folder, also those that do not exist now.
pub fn store_files(folder: &Path) -> [PathBuf; 3] {
    STORE_ENDINGS.map(|ending| folder.join(format!("{STORE}{ending}")))
}

/// A grid's folder, which this process alone has.
pub struct Folder {
    path: PathBuf,
    authority: Arc<Authority>,
    /// What a first start has to take away again; `None` where there was a grid.
    made: Option<Made>,
    _lock: File,
}

impl Folder {
    /// Takes the folder of a grid; where there is none yet, it is one of this name, of which nothing
    /// is there before [`Folder::make`].
    ///
    /// # Errors
    /// Usage errors: another process has it, the grid there has another name, or no grid can have
    /// that name.
    pub fn open(path: PathBuf, name: Option<String>, contexts: &Contexts) -> anyhow::Result<Self> {
        if !Authority::is_in(&path.join(AUTHORITY)) {
            // Before anything is made.
            check(&name.clone().unwrap_or_else(default_name), contexts)?;
        }
        let mut made = Made::before(&path);
        let lock = lock(&path)?;
        let there = path.join(AUTHORITY);
        if Authority::is_in(&there) {
            made.keep();
            let authority = Arc::new(load(&path, &there, name)?);
            return Ok(Self { path, authority, made: None, _lock: lock });
        }
        let authority = Arc::new(Authority::generate(&name.unwrap_or_else(default_name))?);
        // Only now: what another start makes meanwhile is not this one's.
        made.add_files(&path);
        let folder = Self { path, authority, made: Some(made), _lock: lock };
        if !contexts.is_free_for(folder.grid(), &folder.path, &folder.authority.ca_hash()) {
            return Err(usage(format!(
                "the context {:?} belongs to another grid; choose another name with --name",
                folder.grid()
            )));
        }
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The grid's name.
    pub fn grid(&self) -> &str {
        self.authority.grid()
    }

    /// Signs the grid's members.
    pub const fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Whether this start makes the grid.
    pub const fn is_new(&self) -> bool {
        self.made.is_some()
    }

    /// Writes the authority of a new grid, whole: from then on the grid is there.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn make(&self) -> anyhow::Result<()> {
        if !self.is_new() {
            return Ok(());
        }
        self.authority
            .save(&self.path.join(AUTHORITY))
            .with_context(|| {
                format!("failed to make the grid {:?} in {}", self.grid(), self.path.display())
            })
            .exit(Exit::Usage)
    }

    /// What was made stays.
    pub fn keep(&mut self) {
        if let Some(made) = self.made.take() {
            made.keep();
        }
    }
}

/// What a folder had before something was made in it; dropped, it takes away what is new.
#[derive(Debug)]
struct Made {
    folder: PathBuf,
    /// What was not there, of what a grid makes.
    files: Vec<PathBuf>,
    /// The folder and those above it that were not there, the innermost first.
    folders: Vec<PathBuf>,
}

impl Made {
    fn before(folder: &Path) -> Self {
        let folders = folder.ancestors().take_while(|path| !path.exists());
        let folders: Vec<_> = folders.map(Path::to_owned).collect();
        Self { folder: folder.to_owned(), files: Vec::new(), folders }
    }

    /// All files of a grid that are not there.
    fn add_files(&mut self, folder: &Path) {
        let made = [AUTHORITY, config::KEPT].map(|name| folder.join(name)).into_iter();
        let made = made.chain(store_files(folder));
        self.files.extend(made.filter(|path| !path.exists()));
        // Without the folder there was no lock either; in one that was there it harms nobody.
        if !self.folders.is_empty() {
            self.files.push(folder.join(LOCK));
        }
    }

    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be taken away is no worse than the error that is reported already.
        for path in &self.files {
            drop(if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
        }
        for folder in &self.folders {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        if !self.files.is_empty() {
            tracing::debug!(folder = %self.folder.display(), "removed what was created");
        }
    }
}

/// The folder that is meant where none is said: the one of this user, or where an earlier start was
/// told that it is.
///
/// # Errors
/// A usage error where that is not there.
pub fn standard(paths: &Paths) -> anyhow::Result<PathBuf> {
    let folder = paths.server();
    match fs::read_link(&folder) {
        Ok(elsewhere) if folder.exists() => Ok(elsewhere),
        Ok(elsewhere) => Err(usage(format!(
            "the state of this machine's grid is expected in {}, which does not exist; give its \
             folder with --state-dir, or delete {} to forget the grid",
            elsewhere.display(),
            folder.display()
        ))),
        Err(_) => Ok(folder),
    }
}

/// Has later starts find what was made elsewhere under `link`, unless there is something already.
///
/// # Errors
/// Where the link cannot be made.
pub fn remember(link: &Path, folder: &Path) -> anyhow::Result<()> {
    let is_link = fs::read_link(link);
    if is_link.as_deref().is_ok_and(|there| there == folder) || link == folder {
        return Ok(());
    }
    if is_link.is_err() && link.symlink_metadata().is_ok() {
        tracing::info!(
            folder = %folder.display(),
            "later starts need --state-dir too; without it they use {}", link.display()
        );
        return Ok(());
    }
    let beside = link.with_extension("new");
    let make = || -> std::io::Result<()> {
        private::folder(link.parent().unwrap_or(link))?;
        if beside.symlink_metadata().is_ok() {
            fs::remove_file(&beside)?;
        }
        std::os::unix::fs::symlink(folder, &beside)?;
        fs::rename(&beside, link)
    };
    make().with_context(|| format!("failed to write {}", link.display()))
}

/// Takes a folder for this process alone, for as long as the file lives.
///
/// # Errors
/// A usage error where another process has it.
pub fn lock(folder: &Path) -> anyhow::Result<File> {
    let path: PathBuf = folder.join(LOCK);
    let file = private::folder(folder)
        .and_then(|()| private::lock_file(&path))
        .with_context(|| format!("failed to use {}", folder.display()))
        .exit(Exit::Usage)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(usage(format!(
            "another wasmgrid runs on {}; stop it, or choose another --state-dir",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock {}", path.display()))
        }
    }
}

/// What a grid is called that nobody has named.
fn default_name() -> String {
    let name = parts::machine_name();
    if name == LOCAL { NAME.into() } else { name }
}

/// Whether a grid can have this name, which is also that of its context.
fn check(name: &str, contexts: &Contexts) -> anyhow::Result<()> {
    contexts.check_name(name).with_context(|| format!("no grid can be called {name:?}"))
}

/// The authority that is there.
fn load(folder: &Path, path: &Path, name: Option<String>) -> anyhow::Result<Authority> {
    let authority = Authority::load(path)
        .with_context(|| format!("failed to read the grid's authority in {}", path.display()))?;
    match name {
        Some(name) if name != authority.grid() => Err(usage(format!(
            "the grid in {} is called {:?} and keeps its name; use another --state-dir for another \
             grid",
            folder.display(),
            authority.grid()
        ))),
        _ => Ok(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(state: &Path, name: Option<&str>) -> anyhow::Result<Folder> {
        let contexts = Contexts::in_folder(&state.with_extension("contexts"));
        Folder::open(state.to_owned(), name.map(Into::into), &contexts)
    }

    #[test]
    fn a_folder_belongs_to_one_process_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = lock(folder.path()).expect("free");
        let error = lock(folder.path()).expect_err("taken");
        assert_eq!(crate::exit::of(&error), Exit::Usage);
        drop(first);
        lock(folder.path()).expect("free again");
    }

    #[test]
    fn of_a_first_start_that_fails_nothing_is_left_and_any_name_is_free() {
        let outer = tempfile::tempdir().expect("a folder");
        let state = outer.path().join("a/state");
        for name in ["local", "no/name", ""] {
            let error = open(&state, Some(name)).err().expect(name);
            assert_eq!(crate::exit::of(&error), Exit::Usage, "{name}");
            assert!(!outer.path().join("a").exists(), "{name}");
        }
        let failed = open(&state, Some("first")).expect("it fits");
        failed.make().expect("written");
        fs::write(state.join(STORE), "").expect("written");
        drop(failed);
        assert!(!outer.path().join("a").exists(), "all that was made is gone");
        let mut second = open(&state, Some("second")).expect("it fits");
        second.make().expect("written");
        second.keep();
        drop(second);
        let again = open(&state, None).expect("it is there");
        assert_eq!((again.grid(), again.is_new()), ("second", false));
        drop(again);
        assert!(open(&state, Some("third")).is_err());
        assert!(open(&state, Some("second")).is_ok());
    }

    #[test]
    fn what_was_there_before_a_first_start_that_fails_stays() {
        let outer = tempfile::tempdir().expect("a folder");
        fs::write(outer.path().join(STORE), "mine").expect("written");
        let failed = open(outer.path(), Some("first")).expect("it fits");
        failed.make().expect("written");
        drop(failed);
        let names = fs::read_dir(outer.path())
            .expect("its own")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("text"));
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        assert_eq!(names, [STORE, LOCK]);
    }

    #[test]
    fn state_elsewhere_is_found_again_until_another_takes_its_place() {
        let outer = tempfile::tempdir().expect("a folder");
        let (link, one, two) =
            (outer.path().join("x/server"), outer.path().join("one"), outer.path().join("two"));
        let paths = Paths {
            config: outer.path().into(),
            state: outer.path().join("x"),
            cache: outer.path().into(),
        };
        for folder in [&one, &two] {
            fs::create_dir(folder).expect("made");
            remember(&link, folder).expect("made");
            assert_eq!(standard(&paths).expect("found"), *folder);
        }
        fs::remove_dir(&two).expect("its own");
        let error = standard(&paths).expect_err("gone").to_string();
        assert!(error.contains("two"), "{error}");
        fs::remove_file(&link).expect("its own");
        fs::create_dir(&link).expect("made");
        remember(&link, &one).expect("nothing to do");
        assert_eq!(standard(&paths).expect("found"), link);
    }
}
