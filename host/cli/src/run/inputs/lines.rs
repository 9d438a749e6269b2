//! `--lines` and `--json`: one task a line, or a batch of them. A chunk is sent as soon as the source
//! has nothing more at once, so that a slow writer's lines run as they come.

use std::io::Read;

use super::{
    batch::{Batch, Batcher},
    chunk::{Chunk, ChunkBuilder, Origins, Piece, length_of},
    source::Source,
    stream::Sink,
};

/// Reads a file once to the end, and fails at its first line that is no JSON value.
pub fn check(file: impl Read, name: &str) -> anyhow::Result<()> {
    let mut lines = Lines::new(file, name, true);
    while lines.chunk()?.is_some() {}
    Ok(())
}

/// Reads a source's lines into `out`, until its end or its first error.
pub fn read(file: impl Read, name: &str, json: bool, batch: Option<Batch>, out: &Sink) {
    match batch {
        None => {
            let mut lines = Lines::new(file, name, json);
            send(|| lines.chunk(), out);
        }
        Some(size) => {
            let mut batches = Batches::new(file, name, json, size);
            send(|| batches.chunk(), out);
        }
    }
}

fn send(mut next: impl FnMut() -> anyhow::Result<Option<Chunk>>, out: &Sink) {
    while let Some(chunk) = next().transpose() {
        let failed = chunk.is_err();
        if !out.send(chunk.map(Piece::Inputs)) || failed {
            return;
        }
    }
}

struct Lines<R> {
    source: Source<R>,
    /// An error met behind inputs that are good.
    failed: Option<anyhow::Error>,
}

impl<R: Read> Lines<R> {
    fn new(source: R, name: &str, json: bool) -> Self {
        Self { source: Source::new(source, name, json), failed: None }
    }

    /// The next lines: those that one read brought, up to a chunk's bounds. `None` at the end.
    fn chunk(&mut self) -> anyhow::Result<Option<Chunk>> {
        if let Some(error) = self.failed.take() {
            self.source.ended = true;
            return Err(error);
        }
        let mut chunk = ChunkBuilder::default();
        let mut numbers = Vec::new();
        while self.goes_on(&chunk) {
            match self.line(&mut chunk) {
                Ok(false) => {}
                Ok(true) => numbers.push(self.source.number),
                Err(error) if chunk.is_empty() => {
                    self.source.ended = true;
                    return Err(error);
                }
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        if chunk.is_empty() {
            return Ok(None);
        }
        let file = self.source.name.clone();
        Ok(Some(chunk.finish(Origins::Lines { file, numbers })))
    }

    fn goes_on(&self, chunk: &ChunkBuilder) -> bool {
        let is_there = || chunk.is_empty() || self.source.line_is_buffered();
        !self.source.ended && !chunk.is_full() && is_there()
    }

    /// Reads one line into `chunk`; false where it is left out, or there is none.
    fn line(&mut self, chunk: &mut ChunkBuilder) -> anyhow::Result<bool> {
        let Some(length) = self.source.line(&mut chunk.payload)? else { return Ok(false) };
        let length =
            length_of(length).map_err(|error| self.source.wrong(format!("the line {error}")))?;
        chunk.push(length);
        Ok(true)
    }
}

/// The same lines, many to an input.
struct Batches<R> {
    source: Source<R>,
    json: bool,
    batcher: Batcher,
    failed: Option<anyhow::Error>,
}

impl<R: Read> Batches<R> {
    fn new(source: R, name: &str, json: bool, size: Batch) -> Self {
        let (source, batcher) = (Source::new(source, name, json), Batcher::new(size));
        Self { source, json, batcher, failed: None }
    }

    /// The next batches: those that one read completed, up to a chunk's bounds. `None` at the end.
    fn chunk(&mut self) -> anyhow::Result<Option<Chunk>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while self.goes_on() {
            if let Err(error) = self.line() {
                self.source.ended = true;
                self.failed = Some(error);
            }
        }
        match (self.batcher.take(&self.source.name), self.failed.take()) {
            (Some(chunk), failed) => {
                self.failed = failed;
                Ok(Some(chunk))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    fn goes_on(&self) -> bool {
        let chunk = self.batcher.chunk();
        let is_there = || chunk.is_empty() || self.source.line_is_buffered();
        !self.source.ended && !chunk.is_full() && is_there()
    }

    /// Reads one line; behind the last, and behind those before one that is wrong, the batch ends.
    fn line(&mut self) -> anyhow::Result<()> {
        let start = self.batcher.open.len();
        let read = self.source.line(&mut self.batcher.open);
        let added = match read {
            Ok(Some(length)) => {
                if self.json {
                    self.batcher.open.truncate(start + length);
                    self.batcher.open.push(b'\n');
                }
                self.batcher.add(start, self.source.number)
            }
            Ok(None) if self.source.ended => self.batcher.close(),
            Ok(None) => Ok(()),
            Err(error) => {
                self.batcher.open.truncate(start);
                // Those before it were looked at one by one.
                return self.batcher.close().map_err(Into::into).and(Err(error));
            }
        };
        added.map_err(|error| self.source.wrong(format!("the batch that ends here {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::sync::mpsc;
    use wasmgrid_proto::InputBlock;

    use super::*;

    /// All chunks of a source, and the error it ended with.
    fn chunks(source: impl Read, json: bool) -> (Vec<Chunk>, Option<String>) {
        let mut lines = Lines::new(source, "in", json);
        all(|| lines.chunk())
    }

    fn all(
        mut next: impl FnMut() -> anyhow::Result<Option<Chunk>>,
    ) -> (Vec<Chunk>, Option<String>) {
        let mut chunks = Vec::new();
        loop {
            match next() {
                Ok(Some(chunk)) => chunks.push(chunk),
                Ok(None) => return (chunks, None),
                Err(error) => return (chunks, Some(error.to_string())),
            }
        }
    }

    fn origins(numbers: &[u64]) -> Origins {
        Origins::Lines { file: "in".into(), numbers: numbers.to_vec() }
    }

    #[test]
    fn each_line_is_one_input_without_its_end() {
        let (chunks, error) = chunks(&b"one\r\n\nthree\n"[..], false);
        assert_eq!((chunks.len(), error), (1, None));
        assert_eq!(chunks[0].block, InputBlock::Packed(vec![3, 0, 5]));
        assert_eq!(&chunks[0].payload[..], b"onethree");
        assert_eq!(chunks[0].origins, origins(&[1, 2, 3]));
    }

    #[test]
    fn a_last_line_needs_no_end() {
        let (chunks, error) = chunks(&b"one\ntwo"[..], false);
        let lines: Vec<&[u8]> = chunks.iter().map(|chunk| &chunk.payload[..]).collect();
        assert_eq!((lines, error), (vec![&b"one"[..], b"two"], None));
    }

    #[test]
    fn empty_lines_of_ndjson_are_left_out_and_the_others_keep_their_numbers() {
        let (chunks, error) = chunks(&b"1\n\n  \n{\"a\":2}\n"[..], true);
        assert_eq!(error, None);
        assert_eq!(chunks[0].block, InputBlock::Packed(vec![1, 7]));
        assert_eq!(chunks[0].origins, origins(&[1, 4]));
    }

    #[test]
    fn a_bad_line_is_named_with_its_column_after_the_good_ones() {
        let (chunks, error) = chunks(&b"1\n[2,]\n3\n"[..], true);
        assert_eq!(chunks.len(), 1);
        let error = error.expect("a bad line");
        assert!(error.starts_with("in:2:4: not a JSON value"), "{error}");
        assert!(check(&b"1\n2\n"[..], "in").is_ok());
        assert!(check(&b"1\n{\n"[..], "in").is_err());
    }

    #[test]
    fn chunks_are_bounded() {
        let text = "7\n".repeat(20_000);
        let (chunks, _) = chunks(text.as_bytes(), false);
        let counts: Vec<u64> = chunks.iter().map(|chunk| chunk.block.count()).collect();
        assert_eq!(counts, [8_192, 8_192, 3_616]);
    }

    #[test]
    fn what_one_read_brings_is_sent_before_the_next_read() {
        struct Slow(Vec<&'static [u8]>);
        impl Read for Slow {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let Some(part) = self.0.pop() else { return Ok(0) };
                out[..part.len()].copy_from_slice(part);
                Ok(part.len())
            }
        }
        let (chunks, _) = chunks(Slow(vec![b"ee\n", b"c\nd", b"a\nb\n"]), false);
        let payloads: Vec<&[u8]> = chunks.iter().map(|chunk| &chunk.payload[..]).collect();
        assert_eq!(payloads, [&b"ab"[..], b"c", b"dee"]);
    }

    #[test]
    fn a_reader_stops_where_nobody_wants_more() {
        let (out, chunks) = mpsc::channel(1);
        drop(chunks);
        for batch in [None, Some(Batch::Lines(3))] {
            read(io::repeat(b'\n'), "in", false, batch, &Sink::new(out.clone()));
        }
    }

    fn payloads(chunks: &[Chunk]) -> Vec<&[u8]> {
        chunks.iter().map(|chunk| &chunk.payload[..]).collect()
    }

    #[test]
    fn the_batch_before_a_line_that_is_wrong_comes_before_the_error() {
        let mut batches = Batches::new(&b"1\n\n[2]\r\n{\n4\n"[..], "in", true, Batch::Lines(10));
        let (chunks, error) = all(|| batches.chunk());
        assert_eq!(payloads(&chunks), [b"1\n[2]\n"]);
        let spans = vec![(1, 3)];
        assert_eq!(chunks[0].origins, Origins::Spans { file: "in".into(), spans });
        assert!(error.expect("a bad line").starts_with("in:4:1: "));
    }

    #[test]
    fn batches_together_are_the_file() {
        let text = (0..50_000).map(|n| format!("{n}\r\n")).collect::<String>() + "no end";
        for size in [Batch::Lines(1), Batch::Lines(7), Batch::Bytes(1), Batch::Bytes(4_096)] {
            let mut batches = Batches::new(text.as_bytes(), "in", false, size);
            let (chunks, error) = all(|| batches.chunk());
            assert_eq!(error, None);
            assert!(payloads(&chunks).concat() == text.as_bytes(), "{size}");
        }
    }
}
