//! Neighbouring inputs as they are sent: their bytes, and where each is from. Not for reading them.

use std::path::PathBuf;

use bytes::Bytes;
use wasmgrid_proto::InputBlock;

/// What one append has at most: enough to make its cost small, and small enough that the first
/// tasks run while the rest is read.
pub const CHUNK_BYTES: usize = 1 << 20;
/// The same in inputs.
pub const CHUNK_INPUTS: usize = 8_192;
/// The longest input: a line without end must not fill the memory, and a frame has to carry it.
pub const INPUT_BYTES_MAX: usize = 64 << 20;

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
    /// They are batches of lines: each one's first and last line in its file.
    Spans {
        /// The file, as the user named it.
        file: String,
        /// The lines' numbers, from 1.
        spans: Vec<(u64, u64)>,
    },
    /// They are made of the command line, and say themselves what they are.
    Made,
    /// They are files.
    Files(Vec<PathBuf>),
    /// They are kept inputs of an earlier run: where each was from then, if that has a name.
    Kept(Vec<Option<String>>),
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

impl Piece {
    /// What is behind the first `count` indices, of which there are some; each input before it is given
    /// to `seen`, if it has a place that it is from.
    pub fn behind(self, count: u64, mut seen: impl FnMut(&[u8])) -> Self {
        let at = usize::try_from(count).unwrap_or(usize::MAX);
        match self {
            Self::Gap(all) => Self::Gap(all - count),
            Self::Unread(mut unread) => {
                for unread in unread.drain(..at.min(unread.len())) {
                    seen(unread.path.as_os_str().as_encoded_bytes());
                }
                Self::Unread(unread)
            }
            Self::Inputs(chunk) => Self::Inputs(chunk.behind(at, seen)),
        }
    }
}

impl Chunk {
    fn behind(self, at: usize, mut seen: impl FnMut(&[u8])) -> Self {
        let Self { block, payload, origins } = self;
        if let InputBlock::Packed(lengths) = &block {
            match &origins {
                Origins::Range | Origins::Made | Origins::Single => {}
                Origins::Files(paths) => {
                    paths
                        .iter()
                        .take(at)
                        .for_each(|path| seen(path.as_os_str().as_encoded_bytes()));
                }
                Origins::Lines { .. } | Origins::Spans { .. } | Origins::Kept(_) => {
                    let mut rest: &[u8] = &payload;
                    for length in lengths.iter().take(at) {
                        let (input, behind) = rest.split_at((*length as usize).min(rest.len()));
                        seen(input);
                        rest = behind;
                    }
                }
            }
        }
        // Block and payload are those of one chunk.
        let whole = (InputBlock::Packed(Vec::new()), Bytes::new());
        let (block, payload) = block.slice(&payload, at as u64, u64::MAX).unwrap_or(whole);
        Self { block, payload, origins: origins.behind(at) }
    }

    /// No inputs.
    pub fn empty() -> Self {
        ChunkBuilder::default().finish(Origins::Range)
    }
}

impl Origins {
    fn behind(self, at: usize) -> Self {
        match self {
            Self::Range | Self::Single | Self::Made => self,
            Self::Lines { file, numbers } => Self::Lines { file, numbers: rest(numbers, at) },
            Self::Spans { file, spans } => Self::Spans { file, spans: rest(spans, at) },
            Self::Files(paths) => Self::Files(rest(paths, at)),
            Self::Kept(names) => Self::Kept(rest(names, at)),
        }
    }
}

fn rest<T>(all: Vec<T>, at: usize) -> Vec<T> {
    all.into_iter().skip(at).collect()
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
    pub payload: Vec<u8>,
    /// Bytes of the inputs.
    whole: usize,
}

impl ChunkBuilder {
    /// The input that is being read.
    pub fn open(&self) -> &[u8] {
        self.payload.get(self.whole..).unwrap_or_default()
    }

    /// Makes the first `length` bytes of what was read the next input, and drops the rest.
    pub fn push(&mut self, length: u32) {
        self.lengths.push(length);
        self.whole += length as usize;
        self.payload.truncate(self.whole);
    }

    /// Makes these bytes the next input.
    ///
    /// # Errors
    /// Where they are too long for one.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let length = length_of(bytes.len())?;
        self.drop_open();
        self.payload.extend_from_slice(bytes);
        self.push(length);
        Ok(())
    }

    /// Drops what was read of an input that is left out.
    pub fn drop_open(&mut self) {
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
