//! Reads a file of failed inputs: each under the index that it had.

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use wasmgrid_proto::Digest;

use super::{Entry, Header, MARK, VERSION, progress::Mark as Progress};
use crate::{
    args::JobArgs,
    exit::{refused, usage},
    run::{
        Task,
        clash::Reads,
        inputs::{
            self, ChunkBuilder, Files, INPUT_BYTES_MAX, Names, Origins, Piece, Sink, is_read_once,
        },
    },
};

/// Bytes of one line at most: in JSON a character may take six times as many as it has.
const LINE_BYTES_MAX: u64 = 6 * INPUT_BYTES_MAX as u64 + (1 << 20);

/// What an earlier run has kept.
pub struct Again {
    path: PathBuf,
    /// The first line.
    pub header: Header,
    /// Where the file's relative paths begin, from here.
    folder: PathBuf,
    /// Behind the first line.
    lines: Lines,
    /// The value that all tasks have is the file's.
    keeps_value: bool,
}

/// The lines of the file behind the first.
pub struct Lines {
    file: BufReader<File>,
    name: String,
    /// The last line's number, from 1.
    number: u64,
    /// Where it ends in the file.
    pub at: u64,
    /// Its bytes.
    pub line: Vec<u8>,
    /// The index that the next one has at least.
    next: u64,
    /// The last line may be a part of one: its run may have been killed.
    may_be_torn: bool,
}

/// What every version of the file has in its first line.
#[derive(Deserialize)]
struct Mark {
    wasmgrid: String,
    version: u32,
}

/// An entry as it is run.
enum Kept {
    Input { bytes: Vec<u8>, from: Option<String> },
    File(PathBuf),
}

impl Again {
    /// Opens a file and reads its first line.
    ///
    /// # Errors
    /// A usage error where it is no such file.
    fn open(path: &Path) -> anyhow::Result<Self> {
        let (lines, header) = Lines::open(path)?;
        let folder = header.folder().map_err(|wrong| lines.wrong(wrong))?;
        // Where the paths are as they were typed, they are shown so.
        let here = std::env::current_dir().is_ok_and(|here| here == folder);
        let folder = if here { PathBuf::new() } else { folder };
        Ok(Self { path: path.to_owned(), header, folder, lines, keeps_value: true })
    }

    /// What a job's `--again` names, if it is given; those flags of the job that are not given become
    /// the file's.
    ///
    /// # Errors
    /// A usage error where it is no such file.
    pub fn of(job: &mut JobArgs) -> anyhow::Result<Option<Self>> {
        let Some(path) = &job.again else { return Ok(None) };
        let mut again = Self::open(path)?;
        again.keeps_value = job.with.is_none();
        let filled = again.header.fill(&again.folder, job);
        filled.map_err(|wrong| again.lines.wrong(wrong))?;
        Ok(Some(again))
    }

    /// Fails where the module, or the value of all tasks that is not given anew, is another than that
    /// of the earlier run, unless that is wanted.
    ///
    /// # Errors
    /// A refusal with both digests.
    pub fn check_unchanged(&self, now: &Task, changed: bool) -> anyhow::Result<()> {
        self.check_same("module", &self.header.module, now.info.digest, changed)?;
        match (&self.header.with, &now.value) {
            (Some(then), Some(now)) if self.keeps_value => {
                self.check_same("value of --with", &then.digest, now.digest, changed)
            }
            _ => Ok(()),
        }
    }

    fn check_same(&self, what: &str, then: &str, now: Digest, changed: bool) -> anyhow::Result<()> {
        let then: Digest = then.parse().map_err(|error| self.lines.wrong(error))?;
        if changed || then == now {
            return Ok(());
        }
        Err(refused(format!(
            "the {what} has changed since the run of {}: its digest was {then:.12} and is now \
             {now:.12}; use --changed to run these inputs anyway",
            self.path.display(),
        )))
    }

    /// Adds the file, and those that it names, to `reads`.
    pub fn add_to(&self, reads: &mut Reads) {
        reads.input(&self.path);
        if is_read_once(&self.path) {
            return;
        }
        let Ok((mut lines, _)) = Lines::open(&self.path) else { return };
        // What is wrong with a line is said where it is read.
        while let Ok(Some((_, kept))) = lines.next(&self.folder) {
            if let Kept::File(path) = kept {
                reads.input(&path);
            }
        }
    }

    /// The indices of the inputs, and those that are files; `None` where it cannot be read twice.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn names(&self) -> anyhow::Result<Option<Names>> {
        if is_read_once(&self.path) {
            return Ok(None);
        }
        let (mut lines, _) = Lines::open(&self.path)?;
        let mut names = Vec::new();
        while let Some((index, kept)) = lines.next(&self.folder)? {
            names.push((index, if let Kept::File(path) = kept { Some(path) } else { None }));
        }
        Ok(Some(names))
    }

    /// Reads the file once to its end, where it can be read twice; gives how many inputs it has.
    ///
    /// # Errors
    /// A usage error at the first line that is wrong.
    pub fn check(&self) -> anyhow::Result<Option<u64>> {
        if is_read_once(&self.path) {
            return Ok(None);
        }
        let (mut lines, _) = Lines::open(&self.path)?;
        let mut count = 0;
        while lines.next(&self.folder)?.is_some() {
            count += 1;
        }
        Ok(Some(count))
    }

    /// Reads the inputs into `out`, until the last or the first that is wrong.
    pub fn read(mut self, out: &Sink) {
        let mut pieces = Pieces::default();
        loop {
            let (ready, end) = match self.lines.next(&self.folder) {
                Ok(Some((index, kept))) => (pieces.add(index, kept), None),
                Ok(None) => (pieces.finish(), Some(Ok(()))),
                Err(error) => (pieces.finish(), Some(Err(error))),
            };
            let all = ready.into_iter().all(|piece| out.send(Ok(piece)));
            match end {
                None if all => {}
                Some(Err(error)) if all => {
                    out.send(Err(error));
                    return;
                }
                _ => return,
            }
        }
    }
}

impl Lines {
    /// Opens a file and reads its first line.
    ///
    /// # Errors
    /// A usage error where it is no such file.
    pub fn open(path: &Path) -> anyhow::Result<(Self, Header)> {
        let file = BufReader::new(inputs::open_file(path)?);
        let name = path.display().to_string();
        let mut lines =
            Self { file, name, number: 0, at: 0, line: Vec::new(), next: 0, may_be_torn: false };
        let none = |lines: &Self| lines.wrong("not a file of failed inputs of `wasmgrid run`");
        lines.read()?;
        let mark = serde_json::from_slice::<Mark>(&lines.line).map_err(|_| none(&lines))?;
        if mark.wasmgrid != MARK {
            return Err(none(&lines));
        }
        if mark.version != VERSION {
            let version = mark.version;
            return Err(lines.wrong(format!(
                "this file of failed inputs has version {version}; this program reads version \
                 {VERSION}"
            )));
        }
        let header: Header =
            serde_json::from_slice(&lines.line).map_err(|error| lines.wrong(error))?;
        lines.may_be_torn = header.asked.is_some();
        Ok((lines, header))
    }

    /// The next entry; `None` at the end.
    fn next(&mut self, folder: &Path) -> anyhow::Result<Option<(u64, Kept)>> {
        loop {
            if !self.read()? || (self.may_be_torn && !self.is_whole()) {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() && mark(&self.line).is_none() {
                break;
            }
        }
        let (index, kept) = self.entry(folder).map_err(|wrong| self.wrong(wrong))?;
        self.next = index + 1;
        Ok(Some((index, kept)))
    }

    fn entry(&self, folder: &Path) -> Result<(u64, Kept), String> {
        let entry: Entry<'_> =
            serde_json::from_slice(&self.line).map_err(|error| error.to_string())?;
        let Entry { index, from, input, file, .. } = entry;
        if index < self.next || index == u64::MAX {
            return Err(format!(
                "index {index} is out of order: indices must increase from line to \
                 line"
            ));
        }
        let kept = match (input, file) {
            (Some(input), None) => {
                let bytes = input.into_bytes().map_err(|error| format!("`input`: {error}"))?;
                inputs::length_of(bytes.len()).map_err(|error| format!("`input` {error}"))?;
                Kept::Input { bytes, from: from.map(Into::into) }
            }
            (None, Some(file)) => {
                let path = file.into_path().map_err(|error| format!("`file`: {error}"))?;
                Kept::File(folder.join(path))
            }
            _ => return Err("an entry has one of `input` and `file`".into()),
        };
        Ok((index, kept))
    }

    /// True where the last line has its end.
    pub fn is_whole(&self) -> bool {
        self.line.ends_with(b"\n")
    }

    /// What is wrong with the last line, if it is no entry that may be there.
    pub fn is_wrong(&mut self) -> Option<anyhow::Error> {
        if self.line.trim_ascii().is_empty() {
            return None;
        }
        match self.entry(Path::new("")) {
            Ok((index, _)) => {
                self.next = index + 1;
                None
            }
            Err(wrong) => Some(self.wrong(wrong)),
        }
    }

    /// Reads a line; false at the end.
    ///
    /// # Errors
    /// Where it cannot be read, or is too long.
    pub fn read(&mut self) -> anyhow::Result<bool> {
        self.line.clear();
        let mut rest = self.file.by_ref().take(LINE_BYTES_MAX);
        let read = rest.read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| usage(format!("failed to read {}: {error}", self.name)))?;
        self.number += 1;
        self.at += read as u64;
        if read as u64 == LINE_BYTES_MAX {
            return Err(self.wrong("the line is longer than any input can be"));
        }
        Ok(read > 0)
    }

    /// A usage error that names the line.
    fn wrong(&self, what: impl fmt::Display) -> anyhow::Error {
        usage(format!("{}:{}: {what}", self.name, self.number))
    }
}

/// How far a run has come, where a line says that.
pub fn mark(line: &[u8]) -> Option<Progress> {
    // An entry begins otherwise: what a line is need not be found out twice.
    line.starts_with(b"{\"next\":").then(|| serde_json::from_slice(line).ok()).flatten()
}

/// Entries as they become pieces.
#[derive(Default)]
struct Pieces {
    /// Behind the last entry.
    next: u64,
    chunk: ChunkBuilder,
    names: Vec<Option<String>>,
    files: Files,
}

impl Pieces {
    /// Takes an entry; gives what is complete.
    fn add(&mut self, index: u64, kept: Kept) -> Vec<Piece> {
        let mut ready = Vec::new();
        if index > self.next {
            ready.extend(self.finish());
            ready.push(Piece::Gap(index - self.next));
        }
        self.next = index + 1;
        match kept {
            Kept::File(path) => {
                ready.extend(self.inputs());
                ready.extend(self.files.add(path));
            }
            Kept::Input { bytes, from } => {
                ready.extend(self.files.finish());
                // Its length was looked at as it was read.
                if self.chunk.add(&bytes).is_ok() {
                    self.names.push(from);
                }
                if self.chunk.is_full() {
                    ready.extend(self.inputs());
                }
            }
        }
        ready
    }

    /// What is left.
    fn finish(&mut self) -> Vec<Piece> {
        self.inputs().into_iter().chain(self.files.finish()).collect()
    }

    fn inputs(&mut self) -> Option<Piece> {
        let names = std::mem::take(&mut self.names);
        let chunk = std::mem::take(&mut self.chunk);
        (!chunk.is_empty()).then(|| Piece::Inputs(chunk.finish(Origins::Kept(names))))
    }
}
