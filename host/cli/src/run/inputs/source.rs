//! Lines as they stand in a file or come from a pipe, each with its number. Not for what they mean.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};

use serde::de::IgnoredAny;

use super::chunk::{CHUNK_BYTES, INPUT_BYTES_MAX};
use crate::exit::usage;

/// The mark that some editors put before a text in UTF-8. It is no part of the first line.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines.
pub struct Source<R> {
    read: BufReader<Unmarked<R>>,
    /// The file's name, for people.
    pub name: String,
    /// Each line is to be a JSON value, and an empty one is left out.
    json: bool,
    /// The last line's number, from 1.
    pub number: u64,
    /// Nothing more comes.
    pub ended: bool,
}

impl<R: Read> Source<R> {
    /// The lines of a file of this name.
    pub fn new(read: R, name: &str, json: bool) -> Self {
        let read = BufReader::with_capacity(CHUNK_BYTES, Unmarked::new(read));
        Self { read, name: name.to_owned(), json, number: 0, ended: false }
    }

    /// True where a line can be had without reading on.
    pub fn line_is_buffered(&self) -> bool {
        memchr::memchr(b'\n', self.read.buffer()).is_some()
    }

    /// Appends the next line to `into`, with its end, and gives its length without that; `None` where
    /// it is left out, or there is none.
    ///
    /// # Errors
    /// A usage error where it cannot be read, or is no JSON value and should be one.
    pub fn line(&mut self, into: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
        let start = into.len();
        // One more byte than may be, so that what is too long shows; and room for "\r\n".
        let limit = INPUT_BYTES_MAX as u64 + 3;
        let read = Read::by_ref(&mut self.read).take(limit).read_until(b'\n', into);
        if read.map_err(|error| usage(format!("failed to read {}: {error}", self.name)))? == 0 {
            self.ended = true;
            return Ok(None);
        }
        self.number += 1;
        let line = trim_end(into.get(start..).unwrap_or_default());
        let length = line.len();
        if !self.json {
            return Ok(Some(length));
        }
        if line.trim_ascii().is_empty() {
            into.truncate(start);
            return Ok(None);
        }
        check_json(line).map_err(|wrong| {
            usage(format!("{}:{}:{}: {}", self.name, self.number, wrong.column, wrong.what))
        })?;
        Ok(Some(length))
    }

    /// A usage error about the last line.
    pub fn wrong(&self, what: impl std::fmt::Display) -> anyhow::Error {
        usage(format!("{}:{}: {what}", self.name, self.number))
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
        what: "not UTF-8, as JSON requires".into(),
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

/// A text without the mark before it. Read into buffers that have room for the mark.
pub struct Unmarked<R> {
    source: R,
    begun: bool,
}

impl<R: Read> Unmarked<R> {
    /// The text that is read here.
    pub const fn new(source: R) -> Self {
        Self { source, begun: false }
    }

    /// The first read: what may be the mark is read to its end.
    fn begin(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.begun = true;
        let mut count = 0;
        while let Some(room) = into.get_mut(count..).filter(|room| !room.is_empty()) {
            match self.source.read(room) {
                Ok(0) => return Ok(count),
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let read = into.get(..count).unwrap_or_default();
            if read.starts_with(BYTE_ORDER_MARK) {
                into.copy_within(BYTE_ORDER_MARK.len()..count, 0);
                let left = count - BYTE_ORDER_MARK.len();
                return if left == 0 { self.source.read(into) } else { Ok(left) };
            }
            if !BYTE_ORDER_MARK.starts_with(read) {
                break;
            }
        }
        Ok(count)
    }
}

impl<R: Read> Read for Unmarked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.begun { self.source.read(into) } else { self.begin(into) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_on_one_line_are_not_ndjson() {
        let wrong = check_json(b"1 2").expect_err("two values");
        assert_eq!(wrong.column, 3);
        assert_eq!(check_json(b"\"\xff\"").expect_err("not UTF-8").column, 2);
    }

    /// A source that gives one byte at a time, as a slow pipe may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = into.len().min(1);
            self.0.read(into.get_mut(..count).unwrap_or_default())
        }
    }

    #[test]
    fn a_mark_before_a_text_is_no_part_of_it() {
        for (text, expected) in [
            (&b"\xef\xbb\xbfone\n"[..], &b"one\n"[..]),
            (b"\xef\xbb\xbf\xef\xbb\xbf", b"\xef\xbb\xbf"),
            (b"\xef\xbb", b"\xef\xbb"),
            (b"\xef\xbbx", b"\xef\xbbx"),
            (b"one\xef\xbb\xbf", b"one\xef\xbb\xbf"),
            (b"", b""),
        ] {
            let mut read = Vec::new();
            Unmarked::new(Slow(text)).read_to_end(&mut read).expect("read");
            assert_eq!(read, expected);
            read.clear();
            Unmarked::new(text).read_to_end(&mut read).expect("read");
            assert_eq!(read, expected);
        }
    }
}
