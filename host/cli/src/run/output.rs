//! Results as they are printed: lines, raw bytes, or JSON. Not for what goes to stderr.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Serialize;
use wasmgrid_proto::{Outcome, Parts, Usage};

use super::{
    clash::Reads,
    data::Data,
    reorder::{NEVER_RAN, Shown},
};
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
    /// The file, where it is one that another file can be beside.
    file: Option<PathBuf>,
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
    /// [`begin`](Self::begin). Nothing is opened that is among `reads`.
    ///
    /// # Errors
    /// A usage error where the file cannot be made, or is to be read.
    pub fn open(path: Option<&Path>, shape: Shape, reads: &Reads) -> anyhow::Result<Self> {
        check(path, reads)?;
        let Some(path) = path.filter(|path| !is_stdout(path)) else {
            let is_terminal = print::data_on_terminal();
            let writer = buffered(Box::new(print::Stdout));
            let name = "to standard output".into();
            return Ok(Self { writer, fresh: None, shape, name, file: None, is_terminal });
        };
        let name = path.display().to_string();
        let fresh = Fresh::open(path).with_context(|| {
            format!(
                "failed to open {name} for the output; -o names a file in a folder that is there"
            )
        });
        let fresh = fresh.exit(Exit::Usage)?;
        // Where it was made now, a name that is read may have come to be this file.
        reads.check_file(path)?;
        let file = fresh.file.metadata().is_ok_and(|meta| meta.is_file() && !is_open(path));
        let file = file.then(|| path.to_owned());
        let writer = buffered(Box::new(fresh.file.try_clone()?));
        let fresh = (!is_open(path)).then_some(fresh);
        Ok(Self { writer, fresh, shape, name, file, is_terminal: false })
    }

    /// The file that results go to, where it is one that another file can be beside.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
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

/// Fails where results must not go there.
///
/// # Errors
/// A usage error that says why.
pub fn check(path: Option<&Path>, reads: &Reads) -> anyhow::Result<()> {
    match path.filter(|path| !is_stdout(path)) {
        None => reads.check_stdout(),
        Some(path) => reads.check_file(path),
    }
}

/// Whether a path stands for standard output. Opened anew, a file would be written from its start.
fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
        .iter()
        .any(|name| path.as_os_str() == *name)
}

/// Whether a path stands for what this process has open: what is there stays.
fn is_open(path: &Path) -> bool {
    path.as_os_str() == "/dev/stderr"
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
}

impl Fresh {
    fn open(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let mut options = File::options();
        options.create(true).truncate(false).append(is_open(path));
        let file = options.write(true).open(path)?;
        // Through a link it is made where that leads.
        let made = if is_new { path.canonicalize().ok() } else { None };
        Ok(Self { file, made })
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
    cursor: Option<u64>,
    outcome: &'static str,
    deterministic: bool,
    output: Data<'a>,
    records: Vec<Data<'a>>,
    attempt: u32,
    worker: Option<u64>,
    usage: Usage,
    error: Option<String>,
    log: Data<'a>,
    log_dropped: u64,
}

fn write_json(out: &mut impl Write, shown: Shown<'_>) -> io::Result<()> {
    let meta = shown.meta;
    let Parts { output, records, log } = meta.parts(shown.payload).map_err(io::Error::other)?;
    let ran = shown.attempt != NEVER_RAN;
    let line = Line {
        index: meta.index,
        cursor: ran.then_some(shown.cursor),
        outcome: meta.outcome.name(),
        deterministic: meta.outcome.is_deterministic(),
        output: Data::from(output),
        records: records.map(Data::from).collect(),
        attempt: shown.attempt,
        worker: ran.then_some(shown.worker.0),
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
        super::reorder::{Finished, Run, tests::finished},
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
        let open = |path: &Path| {
            Output::open(Some(path), Shape::Lines, &Reads::default()).expect("opened")
        };
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
    fn a_task_that_never_ran_has_no_worker_and_no_place_in_the_log() {
        let mut out = Vec::new();
        for shown in Run::unrun(3, "gone".into()).results() {
            write_json(&mut out, shown).expect("written");
        }
        let line: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        let null = serde_json::Value::Null;
        assert_eq!((&line["cursor"], &line["worker"]), (&null, &null));
        assert_eq!((&line["index"], &line["attempt"]), (&3.into(), &0.into()));
        assert_eq!(
            (&line["outcome"], &line["error"]),
            (&"refused".into(), &"refused: gone".into())
        );
    }

    #[test]
    fn a_file_that_is_read_is_not_opened_also_where_it_comes_to_be() {
        let dir = tempfile::tempdir().expect("a folder");
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::write(&old, "precious").expect("written");
        let mut reads = Reads::default();
        reads.input(&old);
        reads.input(&new);
        for path in [&old, &new] {
            let opened = Output::open(Some(path), Shape::Lines, &reads);
            assert_eq!(opened.err().map(|error| crate::exit::of(&error)), Some(Exit::Usage));
        }
        assert_eq!(fs::read_to_string(&old).expect("there"), "precious");
        assert!(!new.exists());
    }

    #[test]
    fn through_a_link_a_file_is_made_and_the_link_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let (link, to) = (dir.path().join("link"), dir.path().join("to"));
        std::os::unix::fs::symlink("to", &link).expect("made");
        let open = || Output::open(Some(&link), Shape::Lines, &Reads::default()).expect("opened");
        drop(open());
        assert!(link.is_symlink() && !to.exists());
        open().begin().expect("begun");
        assert!(link.is_symlink() && to.exists());
    }
}
