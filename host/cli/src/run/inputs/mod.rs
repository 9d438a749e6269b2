//! Where a job's inputs come from: found before anything runs, then read in chunks. Not for sending
//! them, nor for remembering them (see [`ledger`](super::ledger)).

mod files;
mod glob;
mod lines;
mod range;

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet};
use wasmgrid_proto::InputBlock;

use super::{again::Again, clash::Reads};
use crate::{
    args::InputArgs,
    exit::{Exit, WithExit as _, usage},
};

pub use self::glob::Unlisted;
pub use files::Files;
pub use range::Range;

/// What one append has at most: enough to make its cost small, and small enough that the first
/// tasks run while the rest is read.
const CHUNK_BYTES: usize = 1 << 20;
/// The same in inputs.
const CHUNK_INPUTS: usize = 8_192;
/// Pieces that are read ahead while one is sent.
const PIECES_AHEAD: usize = 4;
/// The longest input: a line without end must not fill the memory, and a frame has to carry it.
pub const INPUT_BYTES_MAX: usize = 64 << 20;
/// Folders that cannot be listed and are named; the others are counted.
const UNLISTED_NAMED: usize = 3;

/// What the inputs of a job are, before any is read.
pub struct Sources {
    kind: Kind,
    /// Folders that may have more, and cannot be listed.
    unlisted: Vec<Unlisted>,
}

enum Kind {
    /// There are none.
    Nothing,
    /// One, from stdin.
    Single,
    Range(Range),
    /// Of a list on stdin, where that is so.
    Files {
        paths: Vec<PathBuf>,
        listed: bool,
    },
    Lines {
        path: PathBuf,
        json: bool,
    },
    Again(Box<Again>),
}

/// A job's inputs.
pub enum Inputs {
    /// All of them, known from the start.
    Known(Chunk),
    /// What a reader finds.
    Stream(Stream),
}

/// What comes next of a job's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Neighbouring inputs.
    Inputs(Chunk),
    /// Inputs that cannot be read: each is a task that has failed.
    Unread(Vec<Unread>),
    /// So many indices have no task.
    Gap(u64),
}

/// A file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which.
    pub path: PathBuf,
    /// What is wrong with it, and its name.
    pub why: String,
}

/// Neighbouring inputs, and where they are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Their lengths or numbers.
    pub block: InputBlock,
    /// Their bytes.
    pub payload: Bytes,
    /// Where each is from.
    pub origins: Origins,
}

/// Where the inputs of a chunk are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// They are numbers of a range.
    Range,
    /// The one input of a task without input flags.
    Single,
    /// They are lines: each one's number in its file, from 1.
    Lines {
        /// The file, as the user named it.
        file: String,
        /// The lines' numbers.
        numbers: Vec<u64>,
    },
    /// They are files.
    Files(Vec<PathBuf>),
    /// They are kept inputs of an earlier run: where each was from then, if that has a name.
    Kept(Vec<Option<String>>),
}

/// Reads inputs on a thread of its own, and stops when it is dropped.
pub struct Stream {
    pieces: mpsc::Receiver<anyhow::Result<Piece>>,
    /// What was taken and given back.
    back: Option<Piece>,
    /// The reader; it may sit in a read that ends only with the process.
    _reader: JoinSet<()>,
}

impl Piece {
    /// How many indices it takes.
    pub fn count(&self) -> u64 {
        match self {
            Self::Inputs(chunk) => chunk.block.count(),
            Self::Unread(unread) => unread.len() as u64,
            Self::Gap(count) => *count,
        }
    }
}

impl Stream {
    /// The next inputs: as many as are there, up to the bounds of one append. `None` at the end.
    /// Cancel safe.
    ///
    /// # Errors
    /// Where an input is wrong; nothing comes after that.
    pub async fn next(&mut self) -> Option<anyhow::Result<Piece>> {
        match self.back.take() {
            Some(piece) => Some(Ok(piece)),
            None => self.pieces.recv().await,
        }
    }

    /// Gives back what was taken last: it comes next.
    pub fn give_back(&mut self, piece: Piece) {
        self.back = Some(piece);
    }
}

impl Chunk {
    /// No inputs.
    pub fn empty() -> Self {
        ChunkBuilder::default().finish(Origins::Range)
    }
}

impl Sources {
    /// Finds what the flags name; without any, the input is stdin.
    ///
    /// # Errors
    /// Usage errors: a pattern that no file fits, a list that cannot be read.
    pub fn find(args: &InputArgs) -> anyhow::Result<Self> {
        let named = Self::named(args)?;
        let single = matches!(named.kind, Kind::Nothing);
        Ok(if single { Self::of(Kind::Single) } else { named })
    }

    /// What the flags name, and nothing where they name nothing.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn named(args: &InputArgs) -> anyhow::Result<Self> {
        if let Some(pattern) = &args.files {
            let glob::Found { files: paths, unlisted } = files::find(pattern)?;
            let listed = pattern == "-";
            return Ok(Self { kind: Kind::Files { paths, listed }, unlisted });
        }
        Ok(Self::of(if let Some(range) = args.range {
            Kind::Range(range)
        } else if let Some(path) = args.lines() {
            Kind::Lines { path: path.clone(), json: false }
        } else if let Some(path) = &args.json {
            Kind::Lines { path: path.clone(), json: true }
        } else {
            Kind::Nothing
        }))
    }

    /// What an earlier run has kept.
    pub fn again(again: Again) -> Self {
        Self::of(Kind::Again(Box::new(again)))
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, unlisted: Vec::new() }
    }

    /// What is left out, for people; `None` where nothing is.
    pub fn left_out(&self) -> Option<String> {
        let count = self.unlisted.len();
        let named = self.unlisted.iter().take(UNLISTED_NAMED);
        let named: Vec<_> =
            named.map(|folder| format!("{}: {}", folder.path.display(), folder.error)).collect();
        let folders = match count {
            0 => return None,
            1 => "1 folder cannot be listed, and its files are left out".into(),
            _ => format!("{count} folders cannot be listed, and their files are left out"),
        };
        let more = if count > named.len() { "; …" } else { "" };
        Some(format!("{folders}: {}{more}", named.join("; ")))
    }

    /// Adds what is read to `reads`.
    pub fn add_to(&self, reads: &mut Reads) {
        match &self.kind {
            Kind::Nothing | Kind::Range(_) => {}
            Kind::Single => reads.stdin(),
            Kind::Files { paths, listed } => {
                if *listed {
                    reads.stdin();
                }
                paths.iter().for_each(|path| reads.input(path));
            }
            Kind::Lines { path, .. } if is_stdin(path) => reads.stdin(),
            Kind::Lines { path, .. } => reads.input(path),
            Kind::Again(again) => again.add_to(reads),
        }
    }

    /// Opens them. Must be called inside a runtime.
    ///
    /// # Errors
    /// Usage errors: a file that is not there, a line that is no JSON.
    pub fn open(self) -> anyhow::Result<Inputs> {
        Ok(match self.kind {
            Kind::Nothing => Inputs::Known(Chunk::empty()),
            Kind::Single => Inputs::Known(single()?),
            Kind::Range(range) => {
                let (block, payload, origins) = (range.block(), Bytes::new(), Origins::Range);
                Inputs::Known(Chunk { block, payload, origins })
            }
            Kind::Files { paths, .. } => {
                Inputs::Stream(stream(move |out| files::read(paths, &out)))
            }
            Kind::Lines { path, json } => Inputs::Stream(open_lines(&path, json)?),
            Kind::Again(again) => {
                again.check()?;
                Inputs::Stream(stream(move |out| again.read(&out)))
            }
        })
    }

    /// How many there are, where that can be known without taking them from whom they are for.
    ///
    /// # Errors
    /// As [`open`](Self::open), and where an input is wrong.
    pub async fn count(self) -> anyhow::Result<Option<u64>> {
        match &self.kind {
            Kind::Nothing => Ok(Some(0)),
            Kind::Single => Ok(Some(1)),
            Kind::Range(range) => Ok(Some(range.block().count())),
            Kind::Files { paths, .. } => Ok(Some(paths.len() as u64)),
            Kind::Lines { path, .. } if is_read_once(path) => Ok(None),
            Kind::Again(again) => again.check(),
            Kind::Lines { path, json } => {
                let mut lines = open_lines(path, *json)?;
                let mut count = 0;
                while let Some(piece) = lines.next().await.transpose()? {
                    count += piece.count();
                }
                Ok(Some(count))
            }
        }
    }
}

/// Whether reading a path takes away what it has: stdin, a pipe.
pub fn is_read_once(path: &Path) -> bool {
    is_stdin(path) || path.metadata().is_ok_and(|meta| !meta.is_file())
}

fn open_lines(path: &Path, json: bool) -> anyhow::Result<Stream> {
    let name = display_name(path);
    if is_stdin(path) {
        return Ok(stream(move |out| lines::read(io::stdin().lock(), &name, json, &out)));
    }
    let file = open_file(path)?;
    if json && file.metadata().is_ok_and(|meta| meta.is_file()) {
        lines::check(open_file(path)?, &name)?;
    }
    Ok(stream(move |out| lines::read(file, &name, json, &out)))
}

fn stream(read: impl FnOnce(Sink) + Send + 'static) -> Stream {
    let (out, pieces) = mpsc::channel(PIECES_AHEAD);
    let mut reader = JoinSet::new();
    reader.spawn_blocking(move || read(Sink { out }));
    Stream { pieces, back: None, _reader: reader }
}

fn single() -> anyhow::Result<Chunk> {
    let mut chunk = ChunkBuilder::default();
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let limit = INPUT_BYTES_MAX as u64 + 1;
        stdin
            .lock()
            .take(limit)
            .read_to_end(&mut chunk.payload)
            .map_err(|error| usage(format!("failed to read stdin: {error}")))?;
    }
    let length = length_of(chunk.open().len()).map_err(|error| usage(format!("stdin {error}")))?;
    chunk.push(length);
    Ok(chunk.finish(Origins::Single))
}

/// True where a path stands for stdin.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn display_name(path: &Path) -> String {
    if is_stdin(path) { "stdin".into() } else { path.display().to_string() }
}

/// Opens a file of inputs.
///
/// # Errors
/// A usage error where that cannot be.
pub fn open_file(path: &Path) -> anyhow::Result<File> {
    File::open(path)
        .map_err(|error| anyhow::anyhow!("failed to open {}: {error}", path.display()))
        .exit(Exit::Usage)
}

/// Where a reader puts what it finds.
pub struct Sink {
    out: mpsc::Sender<anyhow::Result<Piece>>,
}

impl Sink {
    /// Hands it on and waits for room; false where nobody wants more.
    pub fn send(&self, piece: anyhow::Result<Piece>) -> bool {
        self.out.blocking_send(piece).is_ok()
    }
}

/// An input that is too long for one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is longer than {} MiB, the most that one task's input may have", INPUT_BYTES_MAX >> 20)]
pub struct TooLong;

/// The length of an input, as far as one may be.
///
/// # Errors
/// [`TooLong`].
pub fn length_of(bytes: usize) -> Result<u32, TooLong> {
    let length = u32::try_from(bytes).map_err(|_| TooLong)?;
    if bytes > INPUT_BYTES_MAX { Err(TooLong) } else { Ok(length) }
}

/// A chunk in the making.
#[derive(Default)]
pub struct ChunkBuilder {
    lengths: Vec<u32>,
    /// Inputs, and behind them what is read of the next one: a large input is not copied again.
    payload: Vec<u8>,
    /// Bytes of the inputs.
    whole: usize,
}

impl ChunkBuilder {
    /// The input that is being read.
    fn open(&self) -> &[u8] {
        self.payload.get(self.whole..).unwrap_or_default()
    }

    /// Makes the first `length` bytes of what was read the next input, and drops the rest.
    fn push(&mut self, length: u32) {
        self.lengths.push(length);
        self.whole += length as usize;
        self.payload.truncate(self.whole);
    }

    /// Makes these bytes the next input.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let length = length_of(bytes.len())?;
        self.drop_open();
        self.payload.extend_from_slice(bytes);
        self.push(length);
        Ok(())
    }

    /// Drops what was read of an input that is left out.
    fn drop_open(&mut self) {
        self.payload.truncate(self.whole);
    }

    /// True where it has no input.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// True where it has as much as one append should.
    pub fn is_full(&self) -> bool {
        self.lengths.len() >= CHUNK_INPUTS || self.whole >= CHUNK_BYTES
    }

    /// The inputs, which are from there.
    pub fn finish(mut self, origins: Origins) -> Chunk {
        self.drop_open();
        let block = InputBlock::Packed(self.lengths);
        Chunk { block, payload: self.payload.into(), origins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_not_there_is_a_usage_error_that_names_it() {
        let args = InputArgs { lines: Some("/no/such/file".into()), ..InputArgs::default() };
        let error = Sources::find(&args).and_then(Sources::open).err().expect("is not there");
        assert_eq!(crate::exit::of(&error), Exit::Usage);
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }

    #[tokio::test]
    async fn a_range_is_one_block_whatever_its_length() {
        let range = "0..1000000000000".parse().expect("a range");
        let args = InputArgs { range: Some(range), ..InputArgs::default() };
        let Ok(Inputs::Known(chunk)) = Sources::find(&args).and_then(Sources::open) else {
            panic!("not known")
        };
        assert_eq!(chunk.block.count(), 1_000_000_000_000);
    }
}
