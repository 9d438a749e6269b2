//! Results as they are printed: lines, raw bytes, or JSON. Not for what goes to stderr.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use wasmgrid_proto::{Outcome, Parts, Usage};

use super::reorder::Shown;
use crate::{
    exit::{Exit, WithExit as _},
    print,
};

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each record and output is a line.
    Lines,
    /// Bytes as they are, one behind the other.
    Raw,
    /// The same, and also what a task wrote that failed: for one task used as a filter.
    Filter,
    /// One JSON object a result.
    Json,
}

/// Where results go.
pub struct Output {
    writer: BufWriter<Box<dyn Write>>,
    /// The file, until something may be written to it.
    fresh: Option<Fresh>,
    shape: Shape,
    /// The file's name, for errors.
    name: String,
    is_terminal: bool,
}

/// A file that was opened and has what it had: a job that is refused leaves it so.
struct Fresh {
    file: File,
    /// Where it was made, if it was not there before.
    made: Option<PathBuf>,
}

/// Whoever read our output has closed it, as `head` does.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has closed it")]
pub struct Closed;

impl Output {
    /// Opens `path`, or stdout for `None` and `-`. What a file has stays until
    /// [`begin`](Self::begin).
    ///
    /// # Errors
    /// A usage error where the file cannot be made.
    pub fn open(path: Option<&Path>, shape: Shape) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
            let is_terminal = print::data_on_terminal();
            let writer = buffered(Box::new(print::Stdout));
            let name = "to standard output".into();
            return Ok(Self { writer, fresh: None, shape, name, is_terminal });
        };
        let name = path.display().to_string();
        let opened = || {
            let made = (!path.exists()).then(|| path.to_owned());
            let file = File::options().write(true).create(true).truncate(false).open(path)?;
            Ok::<_, io::Error>((buffered(Box::new(file.try_clone()?)), Fresh { file, made }))
        };
        let opened = opened().with_context(|| {
            format!(
                "failed to open {name} for the output; -o names a file in a folder that is there"
            )
        });
        let (writer, fresh) = opened.exit(Exit::Usage)?;
        Ok(Self { writer, fresh: Some(fresh), shape, name, is_terminal: false })
    }

    /// Lets go of what a file had: results come.
    ///
    /// # Errors
    /// Where the file cannot be emptied.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        let Some(mut fresh) = self.fresh.take() else { return Ok(()) };
        fresh.made = None;
        let emptied = fresh.file.metadata().and_then(|meta| {
            // A pipe or a device has nothing that could go.
            if meta.is_file() { fresh.file.set_len(0) } else { Ok(()) }
        });
        emptied.with_context(|| format!("failed to empty {}", self.name))
    }

    /// True where what is written shows on a terminal.
    pub const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes one result.
    ///
    /// # Errors
    /// [`Closed`] where nobody reads any more; else as the system says.
    pub fn write(&mut self, shown: Shown<'_>) -> anyhow::Result<()> {
        let written = match self.shape {
            Shape::Json => write_json(&mut self.writer, shown),
            shape => write_plain(&mut self.writer, shape, shown),
        };
        self.check(written)
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let flushed = self.writer.flush();
        self.check(flushed)
    }

    fn check(&self, result: io::Result<()>) -> anyhow::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
            result => result.with_context(|| format!("failed to write {}", self.name)),
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(made) = &self.made {
            // It is empty, and where it cannot go it does no harm.
            let _ = fs::remove_file(made);
        }
    }
}

fn buffered(writer: Box<dyn Write>) -> BufWriter<Box<dyn Write>> {
    BufWriter::with_capacity(1 << 16, writer)
}

fn write_plain(out: &mut impl Write, shape: Shape, shown: Shown<'_>) -> io::Result<()> {
    if shown.meta.outcome != Outcome::Ok && shape != Shape::Filter {
        return Ok(());
    }
    let Parts { output, records, .. } =
        shown.meta.parts(shown.payload).map_err(io::Error::other)?;
    for bytes in records.chain([output]) {
        out.write_all(bytes)?;
        if shape == Shape::Lines && bytes.last().is_some_and(|last| *last != b'\n') {
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// One result as JSON: a public interface, documented in `wasmgrid run --help`.
#[derive(Serialize)]
struct Line<'a> {
    index: u64,
    cursor: u64,
    outcome: &'static str,
    deterministic: bool,
    output: Data<'a>,
    records: Vec<Data<'a>>,
    attempt: u32,
    worker: u64,
    usage: Usage,
    error: Option<String>,
    log: Data<'a>,
    log_dropped: u64,
}

/// Bytes in JSON: a string where they are UTF-8, else base64 and named so.
#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Text(&'a str),
    Binary { base64: String },
}

impl<'a> From<&'a [u8]> for Data<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        str::from_utf8(bytes)
            .map_or_else(|_| Self::Binary { base64: STANDARD.encode(bytes) }, Self::Text)
    }
}

fn write_json(out: &mut impl Write, shown: Shown<'_>) -> io::Result<()> {
    let meta = shown.meta;
    let Parts { output, records, log } = meta.parts(shown.payload).map_err(io::Error::other)?;
    let line = Line {
        index: meta.index,
        cursor: shown.cursor,
        outcome: meta.outcome.name(),
        deterministic: meta.outcome.is_deterministic(),
        output: Data::from(output),
        records: records.map(Data::from).collect(),
        attempt: shown.attempt,
        worker: shown.worker.0,
        usage: meta.usage,
        error: error(&meta.outcome),
        log: Data::from(log),
        log_dropped: meta.log_dropped,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

fn error(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Ok => None,
        Outcome::Trap { backtrace, .. } if !backtrace.is_empty() => {
            Some(format!("{outcome}\n{backtrace}"))
        }
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::reorder::{Finished, tests::finished},
        *,
    };

    fn with_record(mut result: Finished, record: &str) -> Finished {
        let mut payload = result.payload.to_vec();
        payload.extend_from_slice(record.as_bytes());
        result.meta.record_lens = vec![record.len() as u32];
        result.payload = payload.into();
        result
    }

    fn plain(shape: Shape, results: &[Finished]) -> String {
        let mut out = Vec::new();
        for result in results {
            write_plain(&mut out, shape, result.shown()).expect("written");
        }
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn each_output_is_a_line_after_its_records() {
        let results = [
            with_record(finished(0, Outcome::Ok, "zero"), "record"),
            finished(1, Outcome::Ok, "one\n"),
            finished(2, Outcome::Ok, ""),
            finished(3, Outcome::Exit(1), "half"),
        ];
        assert_eq!(plain(Shape::Lines, &results), "record\nzero\none\n");
        assert_eq!(plain(Shape::Raw, &results), "recordzeroone\n");
        assert_eq!(plain(Shape::Filter, &results), "recordzeroone\nhalf");
    }

    #[test]
    fn a_file_keeps_what_it_has_until_results_come() {
        let dir = tempfile::tempdir().expect("a folder");
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::write(&old, "precious").expect("written");
        let open = |path: &Path| Output::open(Some(path), Shape::Lines).expect("opened");
        drop((open(&old), open(&new)));
        assert_eq!(fs::read_to_string(&old).expect("there"), "precious");
        assert!(!new.exists(), "a file was left of a job that never was");
        for path in [&old, &new] {
            let mut output = open(path);
            output.begin().expect("emptied");
            output.write(finished(0, Outcome::Ok, "zero").shown()).expect("written");
            output.flush().expect("written");
            assert_eq!(fs::read_to_string(path).expect("there"), "zero\n");
        }
    }

    #[test]
    fn a_result_in_json_has_the_documented_fields() {
        let mut out = Vec::new();
        let result = with_record(finished(3, Outcome::Rejected("no".into()), "out"), "rec");
        write_json(&mut out, result.shown()).expect("written");
        let line: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        let expected = serde_json::json!({
            "index": 3, "cursor": 3, "outcome": "rejected", "deterministic": true, "output": "out", "records": ["rec"],
            "attempt": 1, "worker": 1, "usage": {"fuel": 0, "memory_bytes": 0, "wall_us": 0},
            "error": "rejected: no", "log": "", "log_dropped": 0,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_base64_in_json() {
        let data: &[u8] = b"\xff\x00";
        let json = serde_json::to_string(&Data::from(data)).expect("JSON");
        assert_eq!(json, r#"{"base64":"/wA="}"#);
    }
}
