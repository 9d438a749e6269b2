//! Keeps failed inputs as they come, and leaves them in the order of their indices, in a file of a
//! name that no file had.

use std::{
    ffi::OsString,
    fs::{File, Permissions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::NamedTempFile;
use time::OffsetDateTime;
use wasmgrid_views::Data;

use super::{
    Entry, Header,
    ordered::{Ordered, line},
    progress::Mark,
};
use crate::run::ledger::{Input, Place as Origin};

/// Runs that begin in one second and keep inputs in one place.
const NAMES_TRIED: u32 = 10_000;

/// Where failed inputs are kept, should there be some.
pub struct Target {
    /// The file of the results, or nothing where that has no place for one beside it.
    output: Option<PathBuf>,
    /// When the run began.
    stamp: String,
}

/// Keeps the failed inputs of one run.
pub struct Keeper {
    header: Header,
    place: Place,
}

enum Place {
    /// A file that is made where there is something to keep.
    Beside { target: Target, file: Option<Ordered<BufWriter<NamedTempFile>>> },
    /// The file that says how far the run has come.
    Progress { path: PathBuf, file: Ordered<BufWriter<File>> },
}

/// The file of failed inputs.
pub struct Written {
    /// Its name.
    pub path: PathBuf,
    /// How many it has.
    pub count: u64,
}

impl Target {
    /// Beside this file of results, or in the folder where the command runs.
    pub fn new(output: Option<&Path>) -> Self {
        let now = OffsetDateTime::now_utc();
        let (date, time) = (now.date(), now.time());
        let stamp = format!(
            "{:04}{:02}{:02}-{:02}{:02}{:02}",
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second()
        );
        Self { output: output.map(Path::to_owned), stamp }
    }

    /// The `n`-th name that the file may get, from 1.
    fn name(&self, n: u32) -> PathBuf {
        let mut name = match &self.output {
            Some(output) => {
                let mut name = output.clone().into_os_string();
                name.push(".");
                name
            }
            None => OsString::from("wasmgrid-"),
        };
        name.push(&self.stamp);
        if n > 1 {
            name.push(format!("-{n}"));
        }
        name.push(".failed");
        name.into()
    }

    /// The folder of that name.
    fn folder(&self) -> &Path {
        let folder = self.output.as_deref().and_then(Path::parent);
        folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}

impl Keeper {
    /// Keeps nothing yet.
    pub const fn new(header: Header, target: Target) -> Self {
        Self { header, place: Place::Beside { target, file: None } }
    }

    /// Keeps them in a run's file of progress, which has `kept` of them.
    pub fn in_progress(header: Header, path: PathBuf, file: File, kept: u64) -> Self {
        let mut file = Ordered::new(BufWriter::new(file));
        file.written = kept;
        Self { header, place: Place::Progress { path, file } }
    }

    /// Notes how far the run has come, behind the entries before that; they and the note are on the
    /// disk then. Only for a run with a file of progress.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn mark(&mut self, mut mark: Mark) -> anyhow::Result<()> {
        let Place::Progress { path, file } = &mut self.place else { return Ok(()) };
        let mut write = || {
            file.write_before(mark.next)?;
            mark.failed = file.written;
            file.file.write_all(&line(&mark)?)?;
            file.file.flush()?;
            file.file.get_ref().sync_data()
        };
        write().with_context(|| format!("failed to write {}", path.display()))
    }

    /// Keeps an input; those of lower indices than `settled` have come.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn keep(
        &mut self,
        (index, outcome): (u64, &str),
        input: &Input,
        settled: u64,
    ) -> anyhow::Result<()> {
        let (mut from, mut bytes, mut file) = (None, None, None);
        match &input.place {
            Origin::Single | Origin::Deleted(_) => return Ok(()),
            Origin::File { path } => file = Some(Data::from(path.as_path())),
            Origin::Range | Origin::Stored(_) => bytes = Some(Data::from(&*input.bytes)),
            Origin::Line { name } => {
                from = Some(name.into());
                bytes = Some(Data::from(&*input.bytes));
            }
        }
        let entry = Entry { index, outcome: outcome.into(), from, input: bytes, file };
        self.add(&entry, settled)
    }

    /// Keeps a file that cannot be read.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub fn keep_file(
        &mut self,
        (index, outcome): (u64, &str),
        path: &Path,
        settled: u64,
    ) -> anyhow::Result<()> {
        let file = Some(Data::from(path));
        let entry = Entry { index, outcome: outcome.into(), from: None, input: None, file };
        self.add(&entry, settled)
    }

    fn add(&mut self, entry: &Entry<'_>, settled: u64) -> anyhow::Result<()> {
        let header = &self.header;
        let write = |place: &mut Place| {
            let text = line(entry)?;
            match place {
                Place::Progress { file, .. } => file.add(entry.index, &text, settled),
                Place::Beside { file: Some(file), .. } => file.add(entry.index, &text, settled),
                Place::Beside { target, file } => {
                    file.insert(begin(target, header)?).add(entry.index, &text, settled)
                }
            }
        };
        write(&mut self.place)
            .with_context(|| format!("failed to write {}", self.place.name().display()))
    }

    /// Leaves the file under its name, where there is one.
    ///
    /// # Errors
    /// Where that cannot be.
    pub fn finish(&mut self) -> anyhow::Result<Option<Written>> {
        let failed = format!("failed to write {}", self.place.name().display());
        let (target, file) = match &mut self.place {
            Place::Progress { path, file } => {
                let written = Written { path: path.clone(), count: file.written };
                return Ok((written.count > 0).then_some(written));
            }
            Place::Beside { target, file } => (target, file),
        };
        let Some(mut file) = file.take() else { return Ok(None) };
        file.write_before(u64::MAX).context(failed.clone())?;
        let count = file.written;
        let inner = file.file.into_inner().map_err(io::IntoInnerError::into_error);
        let mut file = inner.context(failed.clone())?;
        for n in 1..NAMES_TRIED {
            let path = target.name(n);
            match file.persist_noclobber(&path) {
                Ok(_) => return Ok(Some(Written { path, count })),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    file = error.file;
                }
                Err(error) => return Err(error.error).context(failed),
            }
        }
        Err(anyhow::anyhow!("there are already {NAMES_TRIED} files with this name")).context(failed)
    }
}

impl Place {
    /// The file, for people.
    fn name(&self) -> PathBuf {
        match self {
            Self::Beside { target, .. } => target.name(1),
            Self::Progress { path, .. } => path.clone(),
        }
    }
}

/// A file with its first line, under a name that goes with it.
fn begin(target: &Target, header: &Header) -> io::Result<Ordered<BufWriter<NamedTempFile>>> {
    let mut file = BufWriter::new(unnamed(target.folder())?);
    file.write_all(&line(header)?)?;
    Ok(Ordered::new(file))
}

/// A file that has the permissions of one that is made under its own name.
///
/// # Errors
/// As the system says.
pub fn unnamed(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wasmgrid-").suffix(".failed");
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    builder.tempfile_in(folder)
}
