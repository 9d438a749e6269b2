//! Outputs that are inputs: to write them would destroy what is to be read. Files are known by
//! device and inode, whatever name or link they are given by.

use std::{
    fs::{self, Metadata},
    os::{
        fd::BorrowedFd,
        unix::fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::stdio;

use crate::{context::Contexts, exit::usage, paths::Paths};

/// What a command reads, and what of this program's own is never an output.
#[derive(Default)]
pub struct Reads {
    files: Vec<(PathBuf, What)>,
    stdin: bool,
    /// Folders in which everything is this program's own.
    own: Vec<PathBuf>,
}

/// What a file is to the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Input,
    Module,
    Source,
    Settings,
}

/// A file, by whatever name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    device: u64,
    inode: u64,
}

impl Reads {
    /// Reads nothing; what this program keeps on this machine is no place for an output.
    pub fn new() -> Self {
        let Some(paths) = Paths::known() else { return Self::default() };
        let contexts = Contexts::new(&paths);
        let settings = contexts.settings();
        let own = vec![paths.state, paths.cache, contexts.known()];
        Self { files: vec![(settings, What::Settings)], stdin: false, own }
    }

    /// A file is an input, or has some.
    pub fn input(&mut self, path: &Path) {
        self.files.push((path.to_owned(), What::Input));
    }

    /// Standard input is.
    pub const fn stdin(&mut self) {
        self.stdin = true;
    }

    /// A file is the task.
    pub fn module(&mut self, path: &Path) {
        self.files.push((path.to_owned(), What::Module));
    }

    /// A file is what the task is built from.
    pub fn source(&mut self, path: &Path) {
        self.files.push((path.to_owned(), What::Source));
    }

    /// Fails where a file that is there must not be written.
    ///
    /// # Errors
    /// A usage error that says what it is.
    pub fn check_file(&self, path: &Path) -> anyhow::Result<()> {
        self.check_flag("-o", path)
    }

    /// The same of what another flag names.
    ///
    /// # Errors
    /// As [`check_file`](Self::check_file).
    pub fn check_flag(&self, flag: &str, path: &Path) -> anyhow::Result<()> {
        let shown = path.display();
        if let Some(own) = self.own_folder_of(path) {
            return Err(usage(format!(
                "{flag} {shown} is in {}, which wasmgrid uses itself; nothing was done: choose \
                 another place",
                own.display()
            )));
        }
        let Some(why) = fs::metadata(path).ok().and_then(|meta| self.clash(&meta)) else {
            return Ok(());
        };
        Err(usage(format!(
            "{flag} {shown} {why}, which writing it would destroy; nothing was done: choose another \
             file"
        )))
    }

    /// Fails where standard output is a file that must not be written.
    ///
    /// # Errors
    /// A usage error that says what it is.
    pub fn check_stdout(&self) -> anyhow::Result<()> {
        let Some(why) = metadata_of(stdio::stdout()).and_then(|meta| self.clash(&meta)) else {
            return Ok(());
        };
        Err(usage(format!(
            "standard output {why}; nothing was done: choose another file, or one that the pattern \
             of the inputs does not match"
        )))
    }

    /// What a file is that must not be written.
    fn clash(&self, output: &Metadata) -> Option<String> {
        let id = id(output)?;
        let read = |(path, _): &&(PathBuf, What)| {
            fs::metadata(path).ok().and_then(|meta| self::id(&meta)) == Some(id)
        };
        if let Some((path, what)) = self.files.iter().find(read) {
            let path = path.display();
            return Some(match what {
                What::Input => format!("is also an input ({path})"),
                What::Module => format!("is also the task's module ({path})"),
                What::Source => format!("is also what the task is built from ({path})"),
                What::Settings => format!("contains wasmgrid's settings ({path})"),
            });
        }
        let is_stdin = || metadata_of(stdio::stdin()).and_then(|meta| self::id(&meta)) == Some(id);
        (self.stdin && is_stdin()).then(|| "is also an input (standard input)".into())
    }

    fn own_folder_of(&self, path: &Path) -> Option<&PathBuf> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let real = path.canonicalize().or_else(|_| folder.unwrap_or(Path::new(".")).canonicalize());
        let real = real.ok()?;
        self.own.iter().find(|own| own.canonicalize().is_ok_and(|own| real.starts_with(own)))
    }
}

/// What can be destroyed by being written: pipes and terminals are read and written at once.
fn id(meta: &Metadata) -> Option<Id> {
    let is_lasting = meta.is_file() || meta.file_type().is_block_device();
    is_lasting.then(|| Id { device: meta.dev(), inode: meta.ino() })
}

fn metadata_of(stream: BorrowedFd<'_>) -> Option<Metadata> {
    fs::File::from(stream.try_clone_to_owned().ok()?).metadata().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_known_under_every_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("in"), "").expect("written");
        fs::write(path("other"), "").expect("written");
        fs::hard_link(path("in"), path("hard")).expect("made");
        symlink("in", path("soft")).expect("made");
        let mut reads = Reads::default();
        reads.input(&path("in"));
        for name in ["in", "hard", "soft", "./in"] {
            let error = reads.check_file(&path(name)).expect_err(name);
            assert_eq!(crate::exit::of(&error), crate::exit::Exit::Usage);
        }
        reads.check_file(&path("other")).expect("another file");
        reads.check_file(&path("new")).expect("no file yet");
        reads.check_file(Path::new("/dev/null")).expect("a device");
    }

    #[test]
    fn what_is_the_programs_own_is_no_place_for_results() {
        let dir = tempfile::tempdir().expect("a folder");
        let own = dir.path().join("cache");
        fs::create_dir(&own).expect("made");
        symlink("cache", dir.path().join("link")).expect("made");
        let reads = Reads { own: vec![own.clone()], ..Reads::default() };
        for path in [own.join("new"), dir.path().join("link/new"), own.join("../cache/new")] {
            assert!(reads.check_file(&path).is_err(), "{}", path.display());
        }
        reads.check_file(&dir.path().join("new")).expect("beside it");
    }
}
