//! `--csv`: each row of a table with a header is a JSON object. A chunk is sent before each read, so
//! that a slow writer's rows run as they come.
//!
//! Rows are cut by the crate `csv-core`. What it lets pass is refused here: rows of other lengths than
//! the header, a quote that is never closed, and text between a closing quote and the field's end.

use std::{
    cell::RefCell,
    io::{self, Read},
    rc::Rc,
};

use csv_core::ReadRecordResult;
use wasmgrid_proto::text::counted;

use super::{
    batch::{Batch, Batcher},
    chunk::{CHUNK_BYTES, ChunkBuilder, INPUT_BYTES_MAX, Origins, Piece},
    source::Unmarked,
    stream::Sink,
};
use crate::exit::usage;

/// The room for a row's fields at first; it grows.
const ROW_BYTES: usize = 1 << 12;

/// Reads a file once to the end, and fails at its first row that is wrong.
pub fn check(file: impl Read, name: &str, numbers: &[String]) -> anyhow::Result<()> {
    let mut rows = Rows::open(file, name, numbers, || true)?;
    let mut json = Vec::new();
    while rows.next(&mut json)?.is_some() {
        json.clear();
    }
    Ok(())
}

/// Reads a table's rows into `out`, until its end or the first that is wrong.
pub fn read(file: impl Read, name: &str, numbers: &[String], batch: Option<Batch>, out: &Sink) {
    let pending = Rc::new(RefCell::new(Pending::new(name, batch)));
    let sent = || pending.borrow_mut().send(out);
    let read = Rows::open(file, name, numbers, sent).and_then(|mut rows| {
        let mut json = Vec::new();
        while let Some(line) = rows.next(&mut json)? {
            let mut pending = pending.borrow_mut();
            let added = pending.add(&json, line);
            added.map_err(|error| wrong(name, line, format!("the row {error}")))?;
            if pending.is_full() && !pending.send(out) {
                break;
            }
            json.clear();
        }
        Ok(())
    });
    let is_wanted = pending.borrow_mut().finish(out);
    if let Err(error) = read
        && is_wanted
    {
        out.send(Err(error));
    }
}

fn wrong(name: &str, line: u64, what: impl std::fmt::Display) -> anyhow::Error {
    usage(format!("{name}:{line}: {what}"))
}

/// Rows that are read and not sent.
struct Pending {
    name: String,
    chunk: ChunkBuilder,
    lines: Vec<u64>,
    batcher: Option<Batcher>,
}

impl Pending {
    fn new(name: &str, batch: Option<Batch>) -> Self {
        let (chunk, lines, batcher) =
            (ChunkBuilder::default(), Vec::new(), batch.map(Batcher::new));
        Self { name: name.to_owned(), chunk, lines, batcher }
    }

    fn add(&mut self, row: &[u8], line: u64) -> Result<(), super::chunk::TooLong> {
        match &mut self.batcher {
            None => {
                self.chunk.add(row)?;
                self.lines.push(line);
                Ok(())
            }
            Some(batcher) => {
                let start = batcher.open.len();
                batcher.open.extend_from_slice(row);
                batcher.open.push(b'\n');
                batcher.add(start, line)
            }
        }
    }

    fn is_full(&self) -> bool {
        self.batcher.as_ref().map_or(&self.chunk, Batcher::chunk).is_full()
    }

    /// Sends what there is; false where nobody wants it.
    fn send(&mut self, out: &Sink) -> bool {
        let chunk = match &mut self.batcher {
            Some(batcher) => batcher.take(&self.name),
            None if self.chunk.is_empty() => None,
            None => {
                let (file, numbers) = (self.name.clone(), std::mem::take(&mut self.lines));
                let chunk = std::mem::take(&mut self.chunk);
                Some(chunk.finish(Origins::Lines { file, numbers }))
            }
        };
        chunk.is_none_or(|chunk| out.send(Ok(Piece::Inputs(chunk))))
    }

    /// Sends all, also a batch that is not full.
    fn finish(&mut self, out: &Sink) -> bool {
        // Its rows were looked at one by one.
        let closed = self.batcher.as_mut().map_or(Ok(()), Batcher::close);
        closed.is_ok() && self.send(out)
    }
}

/// The rows of a table.
struct Rows<R, F> {
    raw: Raw<R, F>,
    name: String,
    columns: Vec<Column>,
    row: Row,
}

struct Column {
    /// `"name":`.
    key: Vec<u8>,
    name: String,
    is_number: bool,
}

impl<R: Read, F: FnMut() -> bool> Rows<R, F> {
    /// Reads the header; `before_read` is asked before each read whether there should be one.
    fn open(file: R, name: &str, numbers: &[String], before_read: F) -> anyhow::Result<Self> {
        let (mut raw, mut row) = (Raw::new(file, before_read), Row::default());
        let Some(line) = raw.row(name, &mut row)? else {
            return Err(usage(format!(
                "{name} has no header: the first line of a table names its columns"
            )));
        };
        let columns = columns(&row, numbers).map_err(|what| wrong(name, line, what))?;
        Ok(Self { raw, name: name.to_owned(), columns, row })
    }

    /// Appends the next row's object to `json`; gives the number of the line in which it begins.
    fn next(&mut self, json: &mut Vec<u8>) -> anyhow::Result<Option<u64>> {
        let Some(line) = self.raw.row(&self.name, &mut self.row)? else { return Ok(None) };
        self.object(json).map_err(|what| wrong(&self.name, line, what))?;
        Ok(Some(line))
    }

    fn object(&self, json: &mut Vec<u8>) -> Result<(), String> {
        let (fields, columns) = (self.row.count, self.columns.len());
        if fields != columns {
            let fields = counted(fields as u64, "field");
            return Err(format!("the row has {fields}, and the header names {columns}"));
        }
        json.push(b'{');
        for (at, (column, field)) in self.columns.iter().zip(self.row.fields()).enumerate() {
            if at > 0 {
                json.push(b',');
            }
            json.extend_from_slice(&column.key);
            let Column { name, is_number, .. } = column;
            let field = str::from_utf8(field)
                .map_err(|_| format!("column {name:?} is not UTF-8, as JSON requires"))?;
            match (is_number, field.trim()) {
                (false, _) => push_text(json, field)?,
                (true, "") => json.extend_from_slice(b"null"),
                (true, number) if serde_json::from_str::<serde_json::Number>(number).is_ok() => {
                    json.extend_from_slice(number.as_bytes());
                }
                (true, other) => {
                    return Err(format!(
                        "invalid number {other:?} in column {name:?} (--csv-numbers): expected a \
                         JSON number"
                    ));
                }
            }
        }
        json.push(b'}');
        Ok(())
    }
}

fn push_text(json: &mut Vec<u8>, text: &str) -> Result<(), String> {
    serde_json::to_writer(json, text).map_err(|error| error.to_string())
}

/// The columns that a header names.
fn columns(header: &Row, numbers: &[String]) -> Result<Vec<Column>, String> {
    let mut columns: Vec<Column> = Vec::with_capacity(header.count);
    for (at, name) in header.fields().enumerate() {
        let name = str::from_utf8(name)
            .map_err(|_| "the header is not UTF-8, as JSON requires".to_owned())?;
        if let Some(other) = columns.iter().position(|column| column.name == name) {
            let (other, at) = (other + 1, at + 1);
            return Err(format!(
                "columns {other} and {at} are both named {name:?}; names must differ"
            ));
        }
        let mut key = Vec::new();
        push_text(&mut key, name)?;
        key.push(b':');
        let is_number = numbers.iter().any(|number| number == name);
        columns.push(Column { key, name: name.to_owned(), is_number });
    }
    let is_there = |number: &&String| columns.iter().any(|column| column.name == **number);
    match numbers.iter().find(|number| !is_there(number)) {
        None => Ok(columns),
        Some(number) => {
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            Err(format!(
                "--csv-numbers names the column {number:?}, but the header has {}",
                names.join(", ")
            ))
        }
    }
}

/// A row's fields, without their quotes.
#[derive(Default)]
struct Row {
    bytes: Vec<u8>,
    /// Where each field ends.
    ends: Vec<usize>,
    count: usize,
}

impl Row {
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().take(self.count).map(move |end| {
            let field = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            field
        })
    }
}

/// Where in a field the bytes are that were read last.
#[derive(Clone, Copy, Default)]
enum Quoting {
    /// Before its first byte.
    #[default]
    Start,
    /// In one without quotes, or in which they are characters like others.
    Plain,
    /// Between its quotes.
    Open,
    /// After a quote that closes it, or that is the first of two.
    Closing,
}

impl Quoting {
    /// Goes on by these bytes; false if something follows the quote that closes a field.
    fn follow(&mut self, bytes: &[u8]) -> bool {
        let is_plain = matches!(self, Self::Start | Self::Plain);
        if is_plain && memchr::memchr(b'"', bytes).is_none() {
            *self = bytes.last().map_or(*self, |last| Self::after(*last));
            return true;
        }
        for byte in bytes {
            *self = match (*self, *byte) {
                (Self::Start, b'"') | (Self::Closing, b'"') => Self::Open,
                (Self::Open, b'"') => Self::Closing,
                (Self::Open, _) => Self::Open,
                (Self::Closing, other) if !matches!(Self::after(other), Self::Start) => {
                    return false;
                }
                (_, byte) => Self::after(byte),
            };
        }
        true
    }

    /// After a byte that is not between quotes.
    const fn after(byte: u8) -> Self {
        match byte {
            b',' | b'\r' | b'\n' => Self::Start,
            _ => Self::Plain,
        }
    }
}

/// A table as it is read.
struct Raw<R, F> {
    source: Unmarked<R>,
    before_read: F,
    core: csv_core::Reader,
    /// What was read, and how much of it belongs to rows before the next.
    buffer: Vec<u8>,
    used: usize,
    /// All was read; a line end stands behind it, as if the last row had one.
    is_last: bool,
    /// The line that the next byte is in, from 1.
    line: u64,
    quoting: Quoting,
}

impl<R: Read, F: FnMut() -> bool> Raw<R, F> {
    fn new(source: R, before_read: F) -> Self {
        let (source, core) = (Unmarked::new(source), csv_core::Reader::new());
        let (buffer, used, is_last, line) = (Vec::new(), 0, false, 1);
        let quoting = Quoting::default();
        Self { source, before_read, core, buffer, used, is_last, line, quoting }
    }

    /// Reads a row; gives the number of the line in which it begins, and `None` at the end.
    fn row(&mut self, name: &str, row: &mut Row) -> anyhow::Result<Option<u64>> {
        let failed = |error: io::Error| usage(format!("failed to read {name}: {error}"));
        if !self.skip_empty().map_err(failed)? {
            return Ok(None);
        }
        let (line, mut length, mut written) = (self.line, 0_usize, 0);
        row.count = 0;
        loop {
            let input = self.buffer.get(self.used..).unwrap_or_default();
            let bytes = row.bytes.get_mut(written..).unwrap_or_default();
            let ends = row.ends.get_mut(row.count..).unwrap_or_default();
            let (result, read, put, ended) = self.core.read_record(input, bytes, ends);
            if !self.quoting.follow(input.get(..read).unwrap_or_default()) {
                let what = "text follows the closing quote of a field in this row; a quote within \
                            a quoted field is written twice";
                return Err(wrong(name, line, what));
            }
            self.take(read);
            (length, written, row.count) = (length + read, written + put, row.count + ended);
            match result {
                ReadRecordResult::Record => return Ok(Some(line)),
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::OutputFull => {
                    row.bytes.resize((2 * row.bytes.len()).max(ROW_BYTES), 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    row.ends.resize((2 * row.ends.len()).max(ROW_BYTES), 0);
                }
                ReadRecordResult::InputEmpty if self.is_last => {
                    let what = "a quote is opened in this row and never closed";
                    return Err(wrong(name, line, what));
                }
                ReadRecordResult::InputEmpty if length > INPUT_BYTES_MAX => {
                    let most = INPUT_BYTES_MAX >> 20;
                    let what = format!(
                        "the row is longer than {most} MiB, the most that one task's input may \
                         have; is a quote left open?"
                    );
                    return Err(wrong(name, line, what));
                }
                ReadRecordResult::InputEmpty => {
                    if !self.fill().map_err(failed)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Passes over what ends lines before a row; false where no row comes.
    fn skip_empty(&mut self) -> io::Result<bool> {
        loop {
            match self.buffer.get(self.used) {
                Some(b'\r' | b'\n') => self.take(1),
                Some(_) => return Ok(true),
                None if self.is_last => return Ok(false),
                None => {
                    if !self.fill()? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Counts bytes, and the lines that they end.
    fn take(&mut self, count: usize) {
        let taken = self.buffer.get(self.used..self.used + count).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', taken).count() as u64;
        self.used += count;
    }

    /// Reads on; false where nobody wants that.
    fn fill(&mut self) -> io::Result<bool> {
        if !(self.before_read)() {
            return Ok(false);
        }
        self.buffer.resize(CHUNK_BYTES, 0);
        let count = loop {
            match self.source.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.used = 0;
        self.is_last = count == 0;
        self.buffer.truncate(count);
        if self.is_last {
            self.buffer.push(b'\n');
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a table, each with its line, and the error it ended with.
    fn rows(text: &str, numbers: &[&str]) -> (Vec<(u64, String)>, Option<String>) {
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let mut found = Vec::new();
        let read = Rows::open(text.as_bytes(), "t", &numbers, || true).and_then(|mut rows| {
            let mut json = Vec::new();
            while let Some(line) = rows.next(&mut json)? {
                found.push((line, String::from_utf8(std::mem::take(&mut json)).expect("UTF-8")));
            }
            Ok(())
        });
        (found, read.err().map(|error| error.to_string()))
    }

    fn good(text: &str) -> Vec<(u64, String)> {
        let (rows, error) = rows(text, &[]);
        assert_eq!(error, None, "{text:?}");
        rows
    }

    #[test]
    fn quotes_blanks_and_line_ends_within_a_field_are_its_own() {
        let text =
            "name,says\nada,\"a, b\"\nbob,\"he said \"\"hi\"\"\"\ncy,\"two\nlines\"\n d , \n";
        let expected = [
            (2, r#"{"name":"ada","says":"a, b"}"#),
            (3, r#"{"name":"bob","says":"he said \"hi\""}"#),
            (4, r#"{"name":"cy","says":"two\nlines"}"#),
            (6, r#"{"name":" d ","says":" "}"#),
        ];
        assert_eq!(good(text), expected.map(|(line, row)| (line, row.to_owned())));
    }

    #[test]
    fn lines_are_counted_right_whatever_ends_them() {
        let lines = |text: &str| good(text).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
        assert_eq!(lines("a,b\n1,2\n\n\n3,4\n"), [2, 5]);
        assert_eq!(lines("a,b\r\n1,2\r\n\r\n3,4\r\n\"x\r\ny\",z\r\n5,6\r\n"), [2, 4, 5, 7]);
        assert_eq!(lines("\n\na,b\n1,2"), [4]);
        assert_eq!(lines("\u{feff}a,b\n\"1\n\n\",2\n3,4"), [2, 5]);
        assert!(lines("a,b\n").is_empty() && lines("a,b").is_empty());
        // Far behind what one read brings.
        let long = "a,b\r\n".to_owned() + &"x,\"y\nz\"\r\n".repeat(200_000) + "1,2,3\r\n";
        let (found, error) = rows(&long, &[]);
        assert_eq!(found.last().map(|(line, _)| *line), Some(400_000));
        assert_eq!(
            error.expect("ragged"),
            "t:400002: the row has 3 fields, and the header names 2"
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, said) in [
            ("", "t has no header"),
            ("\n\n", "t has no header"),
            ("a,b,a\n1,2,3\n", "t:1: columns 1 and 3 are both named \"a\""),
            ("a,b\n1,2\n3\n", "t:3: the row has 1 field, and the header names 2"),
            ("a,b\n1,2\n\"3\n\n\",4,5\n", "t:3: the row has 3 fields"),
            ("a,b\n1,\"2\n3,4\n", "t:2: a quote is opened in this row and never closed"),
            ("a\n1\n\"2", "t:3: a quote is opened"),
            ("a\n\"", "t:2: a quote is opened"),
            ("a,\"b\n1,2\n", "t:1: a quote is opened"),
            ("a,b\n1,2\n\"3\"x,4\n", "t:3: text follows the closing quote of a field"),
            ("a,b\n1,\"2\" \n", "t:2: text follows the closing quote"),
            ("\"a\"b\n", "t:1: text follows the closing quote"),
            ("a\n\"x\"\"y\"z\"\n", "t:2: text follows the closing quote"),
        ] {
            let error = rows(text, &[]).1.expect(text);
            assert!(error.starts_with(said), "{text:?}: {error}");
        }
        // A quote within a field that does not begin with one is a character like others.
        assert_eq!(good("a\n5\" x\n"), [(2, "{\"a\":\"5\\\" x\"}".to_owned())]);
    }

    #[test]
    fn numbers_are_numbers_where_they_are_asked_for() {
        let (found, error) = rows("id,n\n007,1.50\n1e3,\n2, 3\n4,x\n", &["n"]);
        let texts: Vec<_> = found.iter().map(|(_, row)| row.as_str()).collect();
        let expected =
            [r#"{"id":"007","n":1.50}"#, r#"{"id":"1e3","n":null}"#, r#"{"id":"2","n":3}"#];
        assert_eq!(texts, expected);
        let error = error.expect("no number");
        assert!(
            error.starts_with("t:5: invalid number \"x\"") && error.contains("\"n\""),
            "{error}"
        );
        let error = rows("a,b\n", &["c"]).1.expect("no such column");
        assert!(error.contains("\"c\"") && error.contains("a, b"), "{error}");
    }
}
