//! `--batch`: so many neighbouring lines are one input, as `parallel --pipe` has it. Not for reading
//! the lines.

use std::{fmt, str::FromStr};

use wasmgrid_proto::ByteCount;

use super::chunk::{Chunk, ChunkBuilder, INPUT_BYTES_MAX, Origins, TooLong};

/// How much one batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// So many lines.
    Lines(u64),
    /// As many whole lines as fit so many bytes, and one at least.
    Bytes(usize),
}

/// A text that is no size of a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It is neither a number nor an amount of bytes.
    #[error(
        "invalid batch size {found:?}: expected a number of lines, such as 1000, or bytes with a \
         unit, such as 1MiB"
    )]
    Shape {
        /// What was there.
        found: String,
    },
    /// Nothing fits it.
    #[error("a batch has at least 1 line or byte")]
    Empty,
    /// No input may be so long.
    #[error("a batch is one task's input and can have at most {} MiB", INPUT_BYTES_MAX >> 20)]
    Large,
}

impl FromStr for Batch {
    type Err = BatchError;

    /// Reads a number of lines, or an amount of bytes with its unit.
    fn from_str(text: &str) -> Result<Self, BatchError> {
        let shape = || BatchError::Shape { found: text.into() };
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse().map_err(|_| shape())? {
                0 => Err(BatchError::Empty),
                lines => Ok(Self::Lines(lines)),
            };
        }
        // Without a unit it would be one or the other.
        if !text.contains(|c: char| c.is_ascii_alphabetic()) {
            return Err(shape());
        }
        let ByteCount(bytes) = text.parse().map_err(|_| shape())?;
        match usize::try_from(bytes) {
            Ok(0) => Err(BatchError::Empty),
            Ok(bytes) if bytes <= INPUT_BYTES_MAX => Ok(Self::Bytes(bytes)),
            _ => Err(BatchError::Large),
        }
    }
}

impl fmt::Display for Batch {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines(lines) => write!(f, "{lines}"),
            Self::Bytes(bytes) => write!(f, "{bytes}B"),
        }
    }
}

/// Lines as they become batches, and batches as they become chunks.
pub struct Batcher {
    size: Batch,
    /// The batch in the making. A line is read behind what it has.
    pub open: Vec<u8>,
    /// Its first and last line's numbers, and how many it has: empty lines may be left out.
    span: (u64, u64),
    lines: u64,
    chunk: ChunkBuilder,
    spans: Vec<(u64, u64)>,
}

impl Batcher {
    /// Batches of this size.
    pub fn new(size: Batch) -> Self {
        let (open, chunk, spans) = (Vec::new(), ChunkBuilder::default(), Vec::new());
        Self { size, open, span: (0, 0), lines: 0, chunk, spans }
    }

    /// Takes a line of this number, which is in `open` from there on, with its end.
    ///
    /// # Errors
    /// Where the batch is too long for one task.
    pub fn add(&mut self, start: usize, number: u64) -> Result<(), TooLong> {
        if let Batch::Bytes(max) = self.size
            && start > 0
            && self.open.len() > max
        {
            self.close_at(start)?;
        }
        if self.lines == 0 {
            self.span.0 = number;
        }
        self.span.1 = number;
        self.lines += 1;
        match self.size {
            Batch::Lines(lines) if self.lines >= lines => self.close(),
            // A line alone may be longer; it is as large a batch as there is.
            Batch::Bytes(max) if self.open.len() >= max => self.close(),
            _ if self.open.len() > INPUT_BYTES_MAX => Err(TooLong),
            _ => Ok(()),
        }
    }

    /// Makes what there is a batch, unless there is nothing.
    ///
    /// # Errors
    /// Where it is too long for one task.
    pub fn close(&mut self) -> Result<(), TooLong> {
        if self.lines == 0 { Ok(()) } else { self.close_at(self.open.len()) }
    }

    fn close_at(&mut self, end: usize) -> Result<(), TooLong> {
        self.chunk.add(self.open.get(..end).unwrap_or_default())?;
        self.spans.push(self.span);
        self.open.drain(..end);
        self.lines = 0;
        Ok(())
    }

    /// The chunk in the making.
    pub const fn chunk(&self) -> &ChunkBuilder {
        &self.chunk
    }

    /// The batches that are whole, of this file; `None` where there are none.
    pub fn take(&mut self, file: &str) -> Option<Chunk> {
        let chunk = std::mem::take(&mut self.chunk);
        let spans = std::mem::take(&mut self.spans);
        let file = || file.to_owned();
        (!chunk.is_empty()).then(|| chunk.finish(Origins::Spans { file: file(), spans }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_of_lines_and_a_unit_of_bytes() {
        assert_eq!("1000".parse(), Ok(Batch::Lines(1_000)));
        assert_eq!("1MiB".parse(), Ok(Batch::Bytes(1 << 20)));
        assert_eq!("64MiB".parse(), Ok(Batch::Bytes(64 << 20)));
        for (text, wrong) in
            [("0", BatchError::Empty), ("0B", BatchError::Empty), ("65MiB", BatchError::Large)]
        {
            assert_eq!(text.parse::<Batch>(), Err(wrong), "{text}");
        }
        for text in ["", "many", "-1", "1.5", "1 2"] {
            let error = text.parse::<Batch>().expect_err(text);
            assert!(error.to_string().contains("1MiB"), "{text}: {error}");
        }
        for batch in [Batch::Lines(7), Batch::Bytes(1_025)] {
            assert_eq!(batch.to_string().parse(), Ok(batch));
        }
    }

    fn batches(size: Batch, lines: &[&str]) -> Vec<(String, (u64, u64))> {
        let mut batcher = Batcher::new(size);
        for (number, line) in (1..).zip(lines) {
            let start = batcher.open.len();
            batcher.open.extend_from_slice(line.as_bytes());
            batcher.add(start, number).expect("fits");
        }
        batcher.close().expect("fits");
        let spans = batcher.spans.clone();
        let chunk = batcher.take("in").expect("some");
        let mut at = 0;
        let texts = (0..chunk.block.count()).map(|offset| {
            let (block, _) = chunk.block.slice(&chunk.payload, offset, 1).expect("there");
            let length = usize::try_from(block.payload_len()).expect("small");
            at += length;
            String::from_utf8(chunk.payload[at - length..at].to_vec()).expect("UTF-8")
        });
        texts.collect::<Vec<_>>().into_iter().zip(spans).collect()
    }

    #[test]
    fn batches_end_at_line_ends() {
        let lines = ["1\n", "22\n", "333\n", "4444\n", "5"];
        let of = |text: &str, first, last| (text.to_owned(), (first, last));
        let two = batches(Batch::Lines(2), &lines);
        assert_eq!(two, [of("1\n22\n", 1, 2), of("333\n4444\n", 3, 4), of("5", 5, 5)]);
        let bytes = batches(Batch::Bytes(5), &lines);
        let expected = [of("1\n22\n", 1, 2), of("333\n", 3, 3), of("4444\n", 4, 4), of("5", 5, 5)];
        assert_eq!(bytes, expected);
        // A line that is longer is a batch of its own.
        let one = batches(Batch::Bytes(3), &["a\n", "longer\n", "b\n"]);
        assert_eq!(one, [of("a\n", 1, 1), of("longer\n", 2, 2), of("b\n", 3, 3)]);
    }
}
