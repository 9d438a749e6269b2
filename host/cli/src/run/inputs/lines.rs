//! `--lines` and `--json`: one task a line. A chunk is sent as soon as the source has nothing
//! more at once, so that a slow writer's lines run as they come.

use std::io::{BufRead as _, BufReader, Read};

use serde::de::IgnoredAny;

use super::{CHUNK_BYTES, Chunk, ChunkBuilder, INPUT_BYTES_MAX, Origins, Piece, Sink, length_of};
use crate::exit::usage;

/// Reads a file once to the end, and fails at its first line that is no JSON value.
pub fn check(file: impl Read, name: &str) -> anyhow::Result<()> {
    let mut lines = Lines::new(file, name, true);
    while lines.chunk()?.is_some() {}
    Ok(())
}

/// Reads a source's lines into `out`, until its end or its first error.
pub fn read(file: impl Read, name: &str, json: bool, out: &Sink) {
    let mut lines = Lines::new(file, name, json);
    while let Some(chunk) = lines.chunk().transpose() {
        let failed = chunk.is_err();
        if !out.send(chunk.map(Piece::Inputs)) || failed {
            return;
        }
    }
}

struct Lines<R> {
    source: BufReader<R>,
    name: String,
    json: bool,
    /// The last line's number, from 1.
    number: u64,
    /// An error met behind inputs that are good.
    failed: Option<anyhow::Error>,
    ended: bool,
}

impl<R: Read> Lines<R> {
    fn new(source: R, name: &str, json: bool) -> Self {
        Self {
            source: BufReader::with_capacity(CHUNK_BYTES, source),
            name: name.to_owned(),
            json,
            number: 0,
            failed: None,
            ended: false,
        }
    }

    /// The next lines: those that one read brought, up to a chunk's bounds. `None` at the end.
    fn chunk(&mut self) -> anyhow::Result<Option<Chunk>> {
        if let Some(error) = self.failed.take() {
            self.ended = true;
            return Err(error);
        }
        let mut chunk = ChunkBuilder::default();
        let mut numbers = Vec::new();
        while !self.ended && !chunk.is_full() && (chunk.is_empty() || self.line_is_buffered()) {
            match self.line(&mut chunk) {
                Ok(false) => {}
                Ok(true) => numbers.push(self.number),
                Err(error) if chunk.is_empty() => {
                    self.ended = true;
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
        let file = self.name.clone();
        Ok(Some(chunk.finish(Origins::Lines { file, numbers })))
    }

    fn line_is_buffered(&self) -> bool {
        memchr::memchr(b'\n', self.source.buffer()).is_some()
    }

    /// Reads one line into `chunk`; false where it is left out, or there is none.
    fn line(&mut self, chunk: &mut ChunkBuilder) -> anyhow::Result<bool> {
        // One more byte than may be, so that what is too long shows; and room for "\r\n".
        let limit = INPUT_BYTES_MAX as u64 + 3;
        let read = Read::by_ref(&mut self.source).take(limit).read_until(b'\n', &mut chunk.payload);
        if read.map_err(|error| usage(format!("failed to read {}: {error}", self.name)))? == 0 {
            self.ended = true;
            return Ok(false);
        }
        self.number += 1;
        let line = trim_end(chunk.open());
        let length = line.len();
        if self.json && line.trim_ascii().is_empty() {
            chunk.drop_open();
            return Ok(false);
        }
        if self.json {
            check_json(line).map_err(|wrong| {
                usage(format!("{}:{}:{}: {}", self.name, self.number, wrong.column, wrong.what))
            })?;
        }
        let too_long = |error| usage(format!("{}:{}: the line {error}", self.name, self.number));
        chunk.push(length_of(length).map_err(too_long)?);
        Ok(true)
    }
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What is wrong with a line of NDJSON, and in which column, from 1.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    column: usize,
    what: String,
}

fn check_json(line: &[u8]) -> Result<(), Wrong> {
    let text = str::from_utf8(line).map_err(|error| Wrong {
        column: error.valid_up_to() + 1,
        what: "not UTF-8, which JSON has to be".into(),
    })?;
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let shown = error.to_string();
            let what = shown.split(" at line ").next().unwrap_or(&shown);
            Err(Wrong { column: error.column(), what: format!("not a JSON value: {what}") })
        }
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
        let mut chunks = Vec::new();
        loop {
            match lines.chunk() {
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
    fn two_values_on_one_line_are_not_ndjson() {
        let wrong = check_json(b"1 2").expect_err("two values");
        assert_eq!(wrong.column, 3);
        assert_eq!(check_json(b"\"\xff\"").expect_err("not UTF-8").column, 2);
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
        read(io::repeat(b'\n'), "in", false, &Sink { out });
    }
}
