//! Failed tasks: the first few explained on stderr, with what would help, and all their inputs in
//! a file that can be run again.

use std::{
    fmt::Write as _,
    fs::Permissions,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::NamedTempFile;
use wasmgrid_proto::{ByteCount, Fuel, JobId, Limit, Limits, Millis, Outcome};

use super::{
    ledger::{Input, Place},
    reorder::Finished,
};
use crate::{args::JobArgs, escape};

/// Failures that are explained; the others are counted.
const EXPLAINED: u64 = 3;
/// Characters of an input that are shown.
const INPUT_SHOWN: usize = 80;
/// The last lines of a log that are shown.
const LOG_LINES: usize = 10;
/// Characters of a message, log or backtrace that are shown.
const TEXT_SHOWN: usize = 2_000;
/// The innermost frames of a backtrace that are shown.
const FRAMES: usize = 8;
/// Inputs that never ran are written up to this number: a range may have more than a disk holds.
const NOT_RUN_WRITTEN: usize = 1 << 20;
/// By how much a limit is raised in the flag that is proposed.
const RAISE: u64 = 10;
/// The same for memory, of which there is less to give.
const RAISE_MEMORY: u64 = 4;

/// The failures of one job.
pub struct Failures {
    limits: Limits,
    path: PathBuf,
    file: Option<BufWriter<NamedTempFile>>,
    /// Where the first input in the file is from: all are from the same sort of place.
    place: Option<Place>,
    seen: u64,
    written: u64,
    /// Why inputs are not kept: told at the end, for it is no reason to lose results.
    unkept: Option<anyhow::Error>,
}

/// The file of failed inputs.
pub struct Written {
    /// Its name.
    pub path: PathBuf,
    /// How many it has.
    pub count: u64,
    /// Where one of them is from.
    pub place: Place,
}

impl Failures {
    /// For a job with these limits, whose results go to `output` (`None`: stdout).
    pub fn new(limits: Limits, job: JobId, output: Option<&Path>) -> Self {
        let path = file_name(job, output);
        Self { limits, path, file: None, place: None, seen: 0, written: 0, unkept: None }
    }

    /// Takes a failed task; gives the text that explains it, for the first few.
    pub fn add(&mut self, finished: &Finished, input: Option<&Input>) -> Option<String> {
        if let Some(input) = input {
            self.try_keep(input);
        }
        self.seen += 1;
        (self.seen <= EXPLAINED).then(|| explain(finished, input, &self.limits))
    }

    /// Takes the inputs of tasks that never ran to their end, up to a bound.
    pub fn add_not_run(&mut self, inputs: impl Iterator<Item = Input>) {
        for input in inputs.take(NOT_RUN_WRITTEN) {
            self.try_keep(&input);
        }
    }

    /// Puts the file in its place, where there is one.
    ///
    /// # Errors
    /// Where it cannot be, or could not be written.
    pub fn finish(&mut self) -> anyhow::Result<Option<Written>> {
        if let Some(error) = self.unkept.take() {
            return Err(error);
        }
        let (Some(file), Some(place)) = (self.file.take(), self.place.take()) else {
            return Ok(None);
        };
        let name = self.path.display().to_string();
        let file = file.into_inner().map_err(|error| error.into_error());
        let file = file.with_context(|| format!("failed to write {name}"))?;
        file.persist(&self.path).with_context(|| format!("failed to write {name}"))?;
        Ok(Some(Written { path: self.path.clone(), count: self.written, place }))
    }

    /// How many failures were not explained.
    pub const fn unexplained(&self) -> u64 {
        self.seen.saturating_sub(EXPLAINED)
    }

    fn try_keep(&mut self, input: &Input) {
        if self.unkept.is_none() {
            self.unkept = self.keep(input).err();
        }
    }

    fn keep(&mut self, input: &Input) -> anyhow::Result<()> {
        let line = match &input.place {
            Place::Single => return Ok(()),
            Place::File { path } => path.as_os_str().as_encoded_bytes(),
            Place::Range | Place::Line { .. } => &input.bytes,
        };
        let name = || format!("failed to write {}", self.path.display());
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(beside(&self.path).with_context(name)?)),
        };
        file.write_all(line).and_then(|()| file.write_all(b"\n")).with_context(name)?;
        self.place.get_or_insert_with(|| input.place.clone());
        self.written += 1;
        Ok(())
    }
}

fn file_name(job: JobId, output: Option<&Path>) -> PathBuf {
    // Beside a device or a pipe there is no place for a file.
    let is_place = |path: &&Path| path.as_os_str() != "-" && (path.is_file() || !path.exists());
    match output.filter(is_place) {
        None => PathBuf::from(format!("wasmgrid-{job}.failed")),
        Some(path) => {
            let mut name = path.as_os_str().to_owned();
            name.push(".failed");
            name.into()
        }
    }
}

/// A file beside `path` that takes its place at the end: the inputs may be read from the one that
/// is there now.
fn beside(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wasmgrid-").suffix(".failed");
    #[cfg(unix)]
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    builder.tempfile_in(folder.unwrap_or(Path::new(".")))
}

/// The command that runs failed inputs again: the same task with the same arguments.
pub struct Again {
    task: String,
    args: Vec<String>,
}

impl Again {
    /// Of a job.
    pub fn new(job: &JobArgs) -> Self {
        Self { task: job.task.display().to_string(), args: job.args.clone() }
    }

    /// With the inputs in a file of failed ones.
    pub fn command(&self, place: &Place, path: &Path) -> String {
        let path = quoted(&path.display().to_string());
        let (inputs, stdin) = match place {
            Place::Single => (String::new(), format!(" < {path}")),
            Place::File { .. } => (" --files -".into(), format!(" < {path}")),
            Place::Line { json: true, .. } => (format!(" --json {path}"), String::new()),
            Place::Range | Place::Line { json: false, .. } => {
                (format!(" --lines {path}"), String::new())
            }
        };
        let mut command = format!("wasmgrid run {}{inputs}", quoted(&self.task));
        if !self.args.is_empty() {
            command.push_str(" --");
        }
        for arg in &self.args {
            command.push(' ');
            command.push_str(&quoted(arg));
        }
        command + &stdin
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", escape::text(word).replace('\'', r"'\''"))
}

/// Says what happened to a task: cause, input, attempt, log and what would help.
fn explain(finished: &Finished, input: Option<&Input>, limits: &Limits) -> String {
    let meta = &finished.meta;
    let mut text = format!("task {} failed: {}", meta.index, cause(&meta.outcome));
    if let Some(input) = input {
        field(&mut text, "input", &shown_input(input));
    }
    let wall = Millis(meta.usage.wall_us.div_ceil(1_000));
    let attempt =
        format!("{} on worker {}, after {wall} of wall time", finished.attempt, finished.worker);
    field(&mut text, "attempt", &attempt);
    if let Outcome::Trap { backtrace, .. } = &meta.outcome {
        let frames: Vec<&str> = backtrace.lines().take(FRAMES).collect();
        field(&mut text, "at", &cut(&frames.join("\n")));
    }
    if let Ok((_, _, log)) = meta.split(&finished.payload) {
        field(&mut text, "log", &log_tail(&String::from_utf8_lossy(&log), meta.log_dropped));
    }
    if let Some(help) = remedy(finished, limits) {
        field(&mut text, "help", &help);
    }
    text
}

fn cause(outcome: &Outcome) -> String {
    cut(&outcome.to_string())
}

fn shown_input(input: &Input) -> String {
    let bytes = escape::line(&input.bytes, INPUT_SHOWN);
    match &input.place {
        Place::Range => bytes,
        Place::Single => format!("{} of stdin", ByteCount(input.bytes.len() as u64)),
        Place::Line { name, .. } => format!("{name}: {bytes}"),
        Place::File { path } => escape::text(&path.display().to_string()),
    }
}

fn log_tail(log: &str, dropped: u64) -> String {
    let lines: Vec<&str> = log.trim_end().trim_start_matches(['\r', '\n']).lines().collect();
    let skipped = lines.len().saturating_sub(LOG_LINES);
    let mut tail = String::new();
    if skipped > 0 {
        tail.push_str("…\n");
    }
    tail.push_str(&lines.get(skipped..).unwrap_or_default().join("\n"));
    let mut tail = cut(&tail);
    if dropped > 0 {
        // Writing to a string cannot fail.
        let _ = write!(tail, "\n({} more were dropped at --log-limit)", ByteCount(dropped));
    }
    tail
}

/// A guest's text, safe to show and not too long.
fn cut(text: &str) -> String {
    let mut shown = escape::text(text);
    if let Some((end, _)) = shown.char_indices().nth(TEXT_SHOWN) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// Appends a named part, its further lines below its first; nothing where it is empty.
fn field(text: &mut String, name: &str, value: &str) {
    for (at, line) in value.lines().enumerate() {
        let name = if at == 0 { name } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {name:<8} {line}");
    }
}

/// What would help, where something would.
fn remedy(finished: &Finished, limits: &Limits) -> Option<String> {
    let usage = &finished.meta.usage;
    let more_memory = || format!("--memory {}", ByteCount(raised(limits.memory.0, RAISE_MEMORY)));
    match &finished.meta.outcome {
        Outcome::Limit { limit, used, allowed } => raise(*limit, *used, *allowed),
        // An allocation that fails ends in a panic, most often.
        Outcome::Trap { .. } | Outcome::Exit(_)
            if usage.memory_bytes >= limits.memory.0 / 8 * 7 =>
        {
            let used = ByteCount(usage.memory_bytes);
            let allowed = limits.memory;
            Some(format!("it had {used} of the {allowed} of memory allowed: {}", more_memory()))
        }
        Outcome::Retry(_) => Some("--retries N runs such tasks again".into()),
        Outcome::Lost(_) => Some("`wasmgrid worker list` shows the workers".into()),
        _ => None,
    }
}

fn raise(limit: Limit, used: u64, allowed: u64) -> Option<String> {
    // What a task was stopped at may be far above what it was allowed; a round number is shown in
    // full. Time alone is always a little above.
    let least = match limit {
        Limit::Deadline => allowed.max(1),
        _ if used > allowed => used.checked_next_power_of_two().unwrap_or(used),
        _ => allowed.max(1),
    };
    let more = raised(least, RAISE);
    Some(match limit {
        Limit::Fuel => format!("--fuel {}", Fuel(more)),
        Limit::Deadline => format!("--timeout {}", Millis(more)),
        Limit::Memory => format!("--memory {}", ByteCount(raised(least, RAISE_MEMORY))),
        Limit::TableElements => format!("--table-limit {more}"),
        Limit::Output => format!("--output-limit {}", ByteCount(more)),
        Limit::Record => format!("--record-limit {}", ByteCount(more)),
        Limit::Compile => worker_wide(&format!("--compile-time {}", Millis(more))),
        Limit::CompileMemory => {
            let more = ByteCount(raised(least, RAISE_MEMORY));
            worker_wide(&format!("--compile-memory {more}"))
        }
        Limit::Resources => return None,
    })
}

/// A flag of `run` on this machine, and of the workers elsewhere.
fn worker_wide(flag: &str) -> String {
    format!("{flag}; on a cluster, ask the workers' operator for it")
}

const fn raised(allowed: u64, by: u64) -> u64 {
    allowed.saturating_mul(by)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;

    use super::{super::reorder::tests::finished, *};

    fn line_input() -> Input {
        let place = Place::Line { name: "in.txt:18".into(), json: false };
        Input { bytes: Bytes::from_static(b"99999999"), place }
    }

    fn with_log(outcome: Outcome, log: &str) -> Finished {
        let mut result = finished(17, outcome, "");
        result.meta.log_len = log.len() as u32;
        result.payload = Bytes::copy_from_slice(log.as_bytes());
        result.meta.usage.wall_us = 811_500;
        result
    }

    #[test]
    fn a_limit_is_explained_with_its_place_its_use_and_the_flag_that_helps() {
        let outcome =
            Outcome::Limit { limit: Limit::Fuel, used: 2_000_000_000, allowed: 2_000_000_000 };
        let result = with_log(outcome, "starting\n\u{1b}[31mworking\n");
        let text = explain(&result, Some(&line_input()), &Limits::default());
        let expected = "\
task 17 failed: limit(fuel): used 2G of 2G allowed
  input    in.txt:18: 99999999
  attempt  1 on worker 1, after 812ms of wall time
  log      starting
           \\u{1b}[31mworking
  help     --fuel 20G";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_trap_shows_its_innermost_frames_and_hints_at_memory() {
        let backtrace = (0..20).map(|n| format!("{n}: frame")).collect::<Vec<_>>().join("\n");
        let kind = wasmgrid_proto::TrapKind::Unreachable;
        let mut result = with_log(Outcome::Trap { kind, backtrace }, "");
        result.meta.usage.memory_bytes = 60 << 20;
        let text = explain(&result, None, &Limits::default());
        assert!(text.contains("7: frame") && !text.contains("8: frame"), "{text}");
        assert!(text.ends_with("--memory 256MiB"), "{text}");
        assert!(!text.contains("log"), "{text}");
    }

    #[test]
    fn a_long_log_is_shown_from_its_end() {
        let log = (0..100).map(|n| format!("line {n}\n")).collect::<String>();
        let tail = log_tail(&log, 4_096);
        assert!(tail.starts_with("…\nline 90\n"), "{tail}");
        assert!(tail.contains("line 99") && tail.contains("4KiB more were dropped"), "{tail}");
    }

    #[test]
    fn only_the_first_failures_are_explained_and_all_inputs_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let output = dir.path().join("out");
        let mut failures = Failures::new(Limits::default(), JobId(7), Some(&output));
        let mut explained = 0;
        for _ in 0..5 {
            let result = with_log(Outcome::Rejected("no".into()), "");
            let text = failures.add(&result, Some(&line_input()));
            explained += u64::from(text.is_some());
        }
        assert_eq!((explained, failures.unexplained()), (EXPLAINED, 2));
        let written = failures.finish().expect("written").expect("some failed");
        assert_eq!((&written.path, written.count), (&dir.path().join("out.failed"), 5));
        assert_eq!(fs::read_to_string(written.path).expect("there"), "99999999\n".repeat(5));
    }

    #[test]
    fn the_file_of_failed_inputs_may_be_the_one_that_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let output = dir.path().join("out");
        fs::write(dir.path().join("out.failed"), "old\n").expect("written");
        let mut failures = Failures::new(Limits::default(), JobId(1), Some(&output));
        failures.add_not_run([line_input()].into_iter());
        let at = dir.path().join("out.failed");
        assert_eq!(fs::read_to_string(&at).expect("there"), "old\n");
        failures.finish().expect("written");
        assert_eq!(fs::read_to_string(&at).expect("there"), "99999999\n");
    }

    #[test]
    fn without_an_output_file_the_name_has_the_job() {
        assert_eq!(file_name(JobId(7), None), Path::new("wasmgrid-7.failed"));
        assert_eq!(file_name(JobId(7), Some(Path::new("-"))), Path::new("wasmgrid-7.failed"));
    }

    #[test]
    fn how_to_run_them_again_fits_their_kind() {
        let path = Path::new("x.failed");
        let again = Again { task: "t.wasm".into(), args: Vec::new() };
        assert_eq!(again.command(&Place::Range, path), "wasmgrid run t.wasm --lines x.failed");
        let line = line_input().place;
        assert_eq!(again.command(&line, path), "wasmgrid run t.wasm --lines x.failed");
        let file = Place::File { path: "a".into() };
        assert_eq!(again.command(&file, path), "wasmgrid run t.wasm --files - < x.failed");
        assert_eq!(again.command(&Place::Single, path), "wasmgrid run t.wasm < x.failed");
    }

    #[test]
    fn arguments_are_given_again_as_a_shell_reads_them() {
        let args = vec!["-i".into(), "it's a word".into(), String::new()];
        let again = Again { task: "my tasks/grep.wasm".into(), args };
        assert_eq!(
            again.command(&Place::Range, Path::new("x.failed")),
            r"wasmgrid run 'my tasks/grep.wasm' --lines x.failed -- -i 'it'\''s a word' ''"
        );
    }

    #[test]
    fn the_flag_that_is_proposed_allows_what_was_used() {
        let raised = |limit, used, allowed| raise(limit, used, allowed).expect("a flag");
        assert_eq!(raised(Limit::Memory, 1_900_544, 1), "--memory 8MiB");
        assert_eq!(raised(Limit::Output, 11, 0), "--output-limit 160B");
        assert_eq!(raised(Limit::Fuel, 0, 0), "--fuel 10");
        assert_eq!(raised(Limit::TableElements, 11, 0), "--table-limit 160");
        let compile = raised(Limit::Compile, 10_000, 10_000);
        assert!(compile.starts_with("--compile-time 1m40s; "), "{compile}");
        let memory = raised(Limit::CompileMemory, 1 << 30, 1 << 30);
        assert!(memory.starts_with("--compile-memory 4GiB; "), "{memory}");
    }

    #[test]
    fn the_output_may_be_where_no_file_can_be_beside_it() {
        let at = file_name(JobId(7), Some(Path::new("/dev/null")));
        assert_eq!(at, Path::new("wasmgrid-7.failed"));
    }

    #[test]
    fn results_are_printed_also_where_failed_inputs_cannot_be_kept() {
        let output = Path::new("/nowhere/out");
        let mut failures = Failures::new(Limits::default(), JobId(7), Some(output));
        let result = with_log(Outcome::Rejected("no".into()), "");
        assert!(failures.add(&result, Some(&line_input())).is_some());
        assert!(failures.add(&result, Some(&line_input())).is_some());
        let error = failures.finish().err().expect("not written");
        assert!(error.to_string().contains("/nowhere/out.failed"), "{error}");
    }

    #[test]
    fn empty_lines_around_a_log_are_not_shown() {
        assert_eq!(log_tail("\n\n  panicked\n\n", 0), "  panicked");
    }
}
