//! Keeps failed inputs as they come, and leaves them in the order of their indices, in a file of a
//! name that no file had.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::{File, Permissions},
    io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Serialize;
use tempfile::NamedTempFile;
use time::OffsetDateTime;

use super::{Entry, Header};
use crate::{
    args::{Format, Order, RunArgs},
    escape,
    run::{
        data::Data,
        ledger::{Input, Place},
    },
};

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
    target: Target,
    file: Option<Parts>,
    written: u64,
}

/// The file in the making, and what must wait for entries before it.
struct Parts {
    file: BufWriter<NamedTempFile>,
    waiting: Waiting,
}

/// Entries that came before others of lower indices: in a file without a name.
#[derive(Default)]
struct Waiting {
    spool: Option<BufWriter<File>>,
    end: u64,
    /// Where each begins, and how long it is.
    places: BTreeMap<u64, (u64, u64)>,
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
        Self { header, target, file: None, written: 0 }
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
            Place::Single => return Ok(()),
            Place::File { path } => file = Some(Data::from(path.as_path())),
            Place::Range => bytes = Some(Data::from(&*input.bytes)),
            Place::Line { name } => {
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
        let write = |this: &mut Self| {
            let line = line(entry)?;
            let parts = match &mut this.file {
                Some(parts) => parts,
                none => none.insert(Parts::new(this.target.folder(), &this.header)?),
            };
            parts.add(entry.index, &line, settled)
        };
        write(self)
            .with_context(|| format!("failed to write {}", self.target.name(1).display()))?;
        self.written += 1;
        Ok(())
    }

    /// Leaves the file under its name, where there is one.
    ///
    /// # Errors
    /// Where that cannot be.
    pub fn finish(&mut self) -> anyhow::Result<Option<Written>> {
        let Some(parts) = self.file.take() else { return Ok(None) };
        let failed = || format!("failed to write {}", self.target.name(1).display());
        let mut file = parts.finish().with_context(failed)?;
        for n in 1..NAMES_TRIED {
            let path = self.target.name(n);
            match file.persist_noclobber(&path) {
                Ok(_) => return Ok(Some(Written { path, count: self.written })),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    file = error.file;
                }
                Err(error) => return Err(error.error).with_context(failed),
            }
        }
        Err(anyhow::anyhow!("there are {NAMES_TRIED} files of this name")).with_context(failed)
    }
}

impl Parts {
    fn new(folder: &Path, header: &Header) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".wasmgrid-").suffix(".failed");
        // As of a file that is made under its own name.
        builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
        let mut file = BufWriter::new(builder.tempfile_in(folder)?);
        file.write_all(&line(header)?)?;
        Ok(Self { file, waiting: Waiting::default() })
    }

    fn add(&mut self, index: u64, line: &[u8], settled: u64) -> io::Result<()> {
        let is_next = self.waiting.first().is_none_or(|first| index < first);
        if is_next && index < settled {
            return self.file.write_all(line);
        }
        self.waiting.add(index, line)?;
        self.waiting.write_before(settled, &mut self.file)
    }

    fn finish(mut self) -> io::Result<NamedTempFile> {
        self.waiting.write_before(u64::MAX, &mut self.file)?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl Waiting {
    fn first(&self) -> Option<u64> {
        self.places.first_key_value().map(|(index, _)| *index)
    }

    fn add(&mut self, index: u64, line: &[u8]) -> io::Result<()> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => none.insert(BufWriter::new(tempfile::tempfile()?)),
        };
        spool.write_all(line)?;
        let length = line.len() as u64;
        self.places.insert(index, (self.end, length));
        self.end += length;
        Ok(())
    }

    /// Writes those whose index is below this one, in order.
    fn write_before(&mut self, index: u64, out: &mut impl io::Write) -> io::Result<()> {
        if self.first().is_none_or(|first| first >= index) {
            return Ok(());
        }
        let Some(spool) = &mut self.spool else { return Ok(()) };
        spool.flush()?;
        let mut read = BufReader::new(spool.get_ref().try_clone()?);
        let mut at = read.stream_position()?;
        while let Some(place) = self.places.first_entry().filter(|place| *place.key() < index) {
            let (start, length) = place.remove();
            // Most follow each other, and need no other place of the file.
            read.seek_relative(start.cast_signed() - at.cast_signed())?;
            at = start + io::copy(&mut read.by_ref().take(length), out)?;
        }
        let file = spool.get_mut();
        if self.places.is_empty() {
            // Its room is used again.
            file.set_len(0)?;
            self.end = 0;
        }
        file.seek(SeekFrom::Start(self.end))?;
        Ok(())
    }
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// The command that runs the inputs of a file again as they were run.
pub fn command(written: &Path, run: &RunArgs) -> String {
    let RunArgs { output, each, grid, local, .. } = run;
    let mut words: Vec<&OsStr> = ["wasmgrid", "run", "--again"].map(OsStr::new).to_vec();
    words.push(written.as_os_str());
    let beside = written.with_extension("again");
    if let Some(out) = &output.out {
        // The results that are there stay.
        let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_owned();
        let is_beside = bytes(written).starts_with(&bytes(out));
        let again = if is_beside { &beside } else { out };
        words.extend([OsStr::new("-o"), again.as_os_str()]);
    }
    if output.raw {
        words.push(OsStr::new("--raw"));
    }
    if output.format == Format::Json {
        words.extend([OsStr::new("--output"), OsStr::new("json")]);
    }
    if output.order == Some(Order::Done) {
        words.extend([OsStr::new("--order"), OsStr::new("done")]);
    }
    if each.with_input {
        words.push(OsStr::new("--with-input"));
    }
    if let Some(dir) = &each.out_dir {
        words.extend([OsStr::new("--out-dir"), dir]);
    }
    if *local {
        words.push(OsStr::new("--local"));
    }
    if let Some(context) = &grid.context {
        words.extend([OsStr::new("--context"), OsStr::new(context)]);
    }
    words.into_iter().map(escape::shell).collect::<Vec<_>>().join(" ")
}
