//! Where a job's inputs come from: opened and checked before anything runs, then read in chunks.
//! Not for sending them, nor for remembering them (see [`ledger`](super::ledger)).

mod files;
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

use crate::{
    args::InputArgs,
    exit::{Exit, WithExit as _, usage},
};

pub use range::Range;

/// What one append has at most: enough to make its cost small, and small enough that the first
/// tasks run while the rest is read.
const CHUNK_BYTES: usize = 1 << 20;
/// The same in inputs.
const CHUNK_INPUTS: usize = 8_192;
/// Chunks that are read ahead while one is sent.
const CHUNKS_AHEAD: usize = 4;
/// The longest input: a line without end must not fill the memory, and a frame has to carry it.
const INPUT_BYTES_MAX: usize = 64 << 20;

/// A job's inputs.
pub enum Inputs {
    /// All of them, known from the start.
    Known(Chunk),
    /// What a reader finds.
    Stream(Stream),
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
        /// NDJSON or plain lines.
        json: bool,
        /// The lines' numbers.
        numbers: Vec<u64>,
    },
    /// They are files.
    Files(Vec<PathBuf>),
}

/// Reads inputs on a thread of its own, and stops when it is dropped.
pub struct Stream {
    chunks: mpsc::Receiver<anyhow::Result<Chunk>>,
    /// The reader; it may sit in a read that ends only with the process.
    _reader: JoinSet<()>,
}

impl Stream {
    /// The next inputs: as many as are there, up to the bounds of one append. `None` at the end.
    /// Cancel safe.
    ///
    /// # Errors
    /// Where an input cannot be read or is wrong; nothing comes after that.
    pub async fn next(&mut self) -> Option<anyhow::Result<Chunk>> {
        self.chunks.recv().await
    }
}

impl Inputs {
    /// Opens what the flags name. Must be called inside a runtime.
    ///
    /// # Errors
    /// Usage errors: a file that is not there, a line that is no JSON, a pattern that no file fits.
    pub fn open(args: &InputArgs) -> anyhow::Result<Self> {
        if args.is_none() {
            return single().map(Self::Known);
        }
        Self::named(args)
    }

    /// What the flags name, and nothing where they name nothing.
    ///
    /// # Errors
    /// As [`Inputs::open`].
    pub fn named(args: &InputArgs) -> anyhow::Result<Self> {
        if let Some(range) = args.range {
            let (block, payload, origins) = (range.block(), Bytes::new(), Origins::Range);
            return Ok(Self::Known(Chunk { block, payload, origins }));
        }
        if let Some(pattern) = &args.files {
            let paths = files::find(pattern)?;
            return Ok(Self::Stream(stream(move |out| files::read(paths, &out))));
        }
        if let Some(path) = args.lines() {
            return Ok(Self::Stream(open_lines(path, false)?));
        }
        if let Some(path) = &args.json {
            return Ok(Self::Stream(open_lines(path, true)?));
        }
        Ok(Self::Known(ChunkBuilder::default().finish(Origins::Range)))
    }

    /// How many there are, where that can be known without taking them from whom they are for.
    ///
    /// # Errors
    /// As [`Inputs::open`], and where an input is wrong.
    pub async fn count(args: &InputArgs) -> anyhow::Result<Option<u64>> {
        if let Some(pattern) = args.files.as_deref() {
            return Ok(if pattern == "-" {
                None
            } else {
                Some(files::find(pattern)?.len() as u64)
            });
        }
        let Some(path) = args.lines().or(args.json.as_ref()) else {
            return Ok(Some(args.range.map_or(1, |range| range.block().count())));
        };
        if is_read_once(path) {
            return Ok(None);
        }
        let mut lines = open_lines(path, args.json.is_some())?;
        let mut count = 0;
        while let Some(chunk) = lines.next().await.transpose()? {
            count += chunk.block.count();
        }
        Ok(Some(count))
    }
}

/// Whether reading a path takes away what it has: stdin, a pipe.
fn is_read_once(path: &Path) -> bool {
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
    let (out, chunks) = mpsc::channel(CHUNKS_AHEAD);
    let mut reader = JoinSet::new();
    reader.spawn_blocking(move || read(Sink { out }));
    Stream { chunks, _reader: reader }
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
    let length = chunk.open().len();
    chunk.push(length).map_err(|error| usage(format!("stdin {error}")))?;
    Ok(chunk.finish(Origins::Single))
}

/// True where a path stands for stdin.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn display_name(path: &Path) -> String {
    if is_stdin(path) { "stdin".into() } else { path.display().to_string() }
}

fn open_file(path: &Path) -> anyhow::Result<File> {
    File::open(path)
        .map_err(|error| anyhow::anyhow!("failed to open {}: {error}", path.display()))
        .exit(Exit::Usage)
}

/// Where a reader puts its chunks.
struct Sink {
    out: mpsc::Sender<anyhow::Result<Chunk>>,
}

impl Sink {
    /// Hands a chunk on and waits for room; false where nobody wants more.
    fn send(&self, chunk: anyhow::Result<Chunk>) -> bool {
        self.out.blocking_send(chunk).is_ok()
    }
}

/// An input that is too long for one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is longer than {} MiB, the most that one task's input may have", INPUT_BYTES_MAX >> 20)]
struct TooLong;

/// A chunk in the making.
#[derive(Default)]
struct ChunkBuilder {
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
    fn push(&mut self, length: usize) -> Result<(), TooLong> {
        if length > INPUT_BYTES_MAX {
            return Err(TooLong);
        }
        self.lengths.push(u32::try_from(length).map_err(|_| TooLong)?);
        self.whole += length;
        self.payload.truncate(self.whole);
        Ok(())
    }

    /// Drops what was read of an input that is left out.
    fn drop_open(&mut self) {
        self.payload.truncate(self.whole);
    }

    fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    fn is_full(&self) -> bool {
        self.lengths.len() >= CHUNK_INPUTS || self.whole >= CHUNK_BYTES
    }

    fn finish(mut self, origins: Origins) -> Chunk {
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
        let error = Inputs::open(&args).err().expect("is not there");
        assert_eq!(crate::exit::of(&error), Exit::Usage);
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }

    #[tokio::test]
    async fn a_range_is_one_block_whatever_its_length() {
        let range = "0..1000000000000".parse().expect("a range");
        let args = InputArgs { range: Some(range), ..InputArgs::default() };
        let Ok(Inputs::Known(chunk)) = Inputs::open(&args) else { panic!("not known") };
        assert_eq!(chunk.block.count(), 1_000_000_000_000);
    }
}
