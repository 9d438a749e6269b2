//! Where results go: standard output, a file, or files of their own. Not for what one looks like, nor
//! for what goes to stderr.

use std::{
    fs::{self, File},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    clash::Reads,
    ledger::Input,
    out_dir::OutDir,
    render::{self, ResultContext},
    reorder::Shown,
    whole::Whole,
};
use crate::{
    exit::{Exit, WithExit as _, usage},
    print,
};

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each record and output is a line.
    Lines,
    /// Bytes as they are, one behind the other.
    Raw,
    /// The same, and also what a task wrote that failed: for one task used as a filter.
    Filter,
    /// Each line of an output behind its input.
    WithInput,
    /// One JSON object a result.
    Json,
    /// Nothing: each result has a file of its own.
    Nothing,
}

/// Where results go.
pub struct Output {
    writer: Whole,
    /// Files of their own, where results have some.
    dir: Option<OutDir>,
    /// The file, until something may be written to it.
    fresh: Option<Fresh>,
    /// Bytes that stay of what it had.
    kept: u64,
    shape: Shape,
    /// The file's name, for errors.
    name: String,
    /// The file, where it is one that another file can be beside.
    file: Option<PathBuf>,
    is_terminal: bool,
}

/// A file that was opened and has what it had: a job that is refused leaves it so.
struct Fresh {
    file: File,
    /// Where it was made, if it was not there before.
    made: Option<PathBuf>,
}

/// Whoever read our output has closed it, as `head` does.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has closed it")]
pub struct Closed;

impl Output {
    /// Opens `path`, or stdout for `None` and `-`. What a file has stays until
    /// [`begin`](Self::begin). Nothing is opened that is among `reads`.
    ///
    /// # Errors
    /// A usage error where the file cannot be made, or is to be read.
    pub fn open(path: Option<&Path>, shape: Shape, reads: &Reads) -> anyhow::Result<Self> {
        check(path, reads)?;
        let Some(path) = path.filter(|path| !is_stdout(path)) else {
            let is_terminal = print::data_on_terminal();
            let writer = Whole::new(Box::new(print::Stdout), None);
            let (name, dir) = ("to standard output".into(), None);
            return Ok(Self {
                writer,
                dir,
                fresh: None,
                kept: 0,
                shape,
                name,
                file: None,
                is_terminal,
            });
        };
        let name = path.display().to_string();
        let fresh = Fresh::open(path).with_context(|| {
            format!("failed to open {name} for the output; its folder must exist")
        });
        let fresh = fresh.exit(Exit::Usage)?;
        // Where it was made now, a name that is read may have come to be this file.
        reads.check_file(path)?;
        let file = fresh.file.metadata().is_ok_and(|meta| meta.is_file() && !is_open(path));
        let file = file.then(|| path.to_owned());
        let cut = file.is_some().then(|| fresh.file.try_clone()).transpose()?;
        let writer = Whole::new(Box::new(fresh.file.try_clone()?), cut);
        let fresh = (!is_open(path)).then_some(fresh);
        Ok(Self { writer, dir: None, fresh, kept: 0, shape, name, file, is_terminal: false })
    }

    /// The same, and each result has a file of its own there.
    pub fn beside(self, dir: Option<OutDir>) -> Self {
        Self { dir, ..self }
    }

    /// True where the inputs of results are shown with them, or name their files.
    pub const fn wants_inputs(&self) -> bool {
        self.dir.is_some() || self.prints_inputs()
    }

    /// True if the inputs of results are printed with them.
    pub const fn prints_inputs(&self) -> bool {
        matches!(self.shape, Shape::Json | Shape::WithInput)
    }

    /// True if a result is of no use without its input.
    pub const fn needs_inputs(&self) -> bool {
        matches!(self.shape, Shape::WithInput)
    }

    /// The file that results go to, where it is one that another file can be beside.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Fails where results go to something that cannot be gone on with.
    ///
    /// # Errors
    /// A usage error.
    pub fn check_resumable(&self) -> anyhow::Result<()> {
        if self.shape == Shape::Nothing || self.file.is_some() {
            return Ok(());
        }
        Err(usage(format!("--resume needs -o to be a file, but results would go {}", self.name)))
    }

    /// Goes on behind this many bytes of the file, which are there from a run that was cut off.
    ///
    /// # Errors
    /// A usage error where there are fewer.
    pub fn resume(&mut self, bytes: u64) -> anyhow::Result<()> {
        let Some(fresh) = &self.fresh else { return Ok(()) };
        let has = fresh.file.metadata()?.len();
        if has < bytes {
            return Err(usage(format!(
                "{} has {has} bytes, but had {bytes} when its run was interrupted: it has changed \
                 and cannot be continued; use another --resume file for another run",
                self.name
            )));
        }
        self.kept = bytes;
        Ok(())
    }

    /// Writes all to the disk; gives how many bytes the file has.
    ///
    /// # Errors
    /// As the system says.
    pub fn sync(&mut self) -> anyhow::Result<u64> {
        self.flush()?;
        if let Some(dir) = &self.dir {
            dir.sync()?;
        }
        let synced = self.writer.sync();
        self.check(synced)?;
        Ok(self.writer.written())
    }

    /// Lets go of what a file had: results come.
    ///
    /// # Errors
    /// Where the file cannot be emptied.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        if let Some(dir) = &self.dir {
            dir.begin()?;
        }
        let Some(mut fresh) = self.fresh.take() else { return Ok(()) };
        fresh.made = None;
        let kept = self.kept;
        let emptied = fresh.file.metadata().and_then(|meta| {
            // A pipe or a device has nothing that could go.
            if !meta.is_file() {
                return Ok(());
            }
            fresh.file.set_len(kept)?;
            fresh.file.seek(SeekFrom::Start(kept)).map(drop)
        });
        self.writer.begin_at(kept);
        emptied.with_context(|| format!("failed to empty {}", self.name))
    }

    /// True where what is written shows on a terminal.
    pub const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes one result, of this input where it is known.
    ///
    /// # Errors
    /// [`Closed`] where nobody reads any more; else as the system says.
    pub fn write(&mut self, shown: Shown<'_>, input: Option<&Input>) -> anyhow::Result<()> {
        let file = match &mut self.dir {
            Some(dir) => Some(dir.write(shown, input)?),
            None => None,
        };
        let written = match (self.shape, input) {
            (Shape::Nothing, _) => Ok(()),
            (Shape::Json, input) => {
                let file = file.as_ref().map(Option::as_deref);
                render::write_json(&mut self.writer, shown, ResultContext { input, file })
            }
            (Shape::WithInput, Some(input)) => {
                render::write_with_input(&mut self.writer, shown, input)
            }
            (shape, _) => render::write_plain(&mut self.writer, shape, shown),
        };
        let written = written.and_then(|()| self.writer.end_result());
        self.check(written)
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let flushed = self.writer.flush();
        self.check(flushed)
    }

    fn check(&self, result: io::Result<()>) -> anyhow::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
            result => result.with_context(|| format!("failed to write {}", self.name)),
        }
    }
}

/// Fails where results must not go there.
///
/// # Errors
/// A usage error that says why.
pub fn check(path: Option<&Path>, reads: &Reads) -> anyhow::Result<()> {
    match path.filter(|path| !is_stdout(path)) {
        None => reads.check_stdout(),
        Some(path) => reads.check_file(path),
    }
}

/// Whether a path stands for standard output. Opened anew, a file would be written from its start.
fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
        .iter()
        .any(|name| path.as_os_str() == *name)
}

/// Whether a path stands for what this process has open: what is there stays.
fn is_open(path: &Path) -> bool {
    path.as_os_str() == "/dev/stderr"
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
}

impl Fresh {
    fn open(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let mut options = File::options();
        options.create(true).truncate(false).append(is_open(path));
        let file = options.write(true).open(path)?;
        // Through a link it is made where that leads.
        let made = if is_new { path.canonicalize().ok() } else { None };
        Ok(Self { file, made })
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(made) = &self.made {
            // It is empty, and where it cannot go it does no harm.
            let _ = fs::remove_file(made);
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::Outcome;

    use super::{super::reorder::tests::finished, *};

    #[test]
    fn a_file_keeps_what_it_has_until_results_come() {
        let dir = tempfile::tempdir().expect("a folder");
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::write(&old, "precious").expect("written");
        let open = |path: &Path| {
            Output::open(Some(path), Shape::Lines, &Reads::default()).expect("opened")
        };
        drop((open(&old), open(&new)));
        assert_eq!(fs::read_to_string(&old).expect("there"), "precious");
        assert!(!new.exists(), "a file was left of a job that never was");
        for path in [&old, &new] {
            let mut output = open(path);
            output.begin().expect("emptied");
            output.write(finished(0, Outcome::Ok, "zero").shown(), None).expect("written");
            output.flush().expect("written");
            assert_eq!(fs::read_to_string(path).expect("there"), "zero\n");
        }
    }

    #[test]
    fn a_file_that_is_read_is_not_opened_also_where_it_comes_to_be() {
        let dir = tempfile::tempdir().expect("a folder");
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::write(&old, "precious").expect("written");
        let mut reads = Reads::default();
        reads.input(&old);
        reads.input(&new);
        for path in [&old, &new] {
            let opened = Output::open(Some(path), Shape::Lines, &reads);
            assert_eq!(opened.err().map(|error| crate::exit::of(&error)), Some(Exit::Usage));
        }
        assert_eq!(fs::read_to_string(&old).expect("there"), "precious");
        assert!(!new.exists());
    }

    #[test]
    fn through_a_link_a_file_is_made_and_the_link_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let (link, to) = (dir.path().join("link"), dir.path().join("to"));
        std::os::unix::fs::symlink("to", &link).expect("made");
        let open = || Output::open(Some(&link), Shape::Lines, &Reads::default()).expect("opened");
        drop(open());
        assert!(link.is_symlink() && !to.exists());
        open().begin().expect("begun");
        assert!(link.is_symlink() && to.exists());
    }
}
