//! Failed tasks: the first few explained on stderr, with what would help, and all their inputs kept
//! to be run again.

use std::{collections::BTreeMap, fmt::Write as _};

use wasmgrid_proto::{ByteCount, Fuel, Grant, Limit, Limits, Millis, Outcome, WorkerId};

use super::{
    again::{Keeper, Mark, Written},
    clues,
    inputs::Unread,
    ledger::{Input, Place},
    reorder::Finished,
};
use crate::escape::{Lines, Outside};

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
/// Inputs that never ran are kept up to this number: a range may have more than a disk holds.
const NOT_RUN_KEPT: usize = 1 << 20;
/// By how much a limit is raised in the flag that is proposed.
const RAISE: u64 = 10;
/// The same for memory, of which there is less to give.
const RAISE_MEMORY: u64 = 4;
/// The longest sleep for which a timeout is proposed, a year: a task that sleeps longer waits for
/// something that never comes.
const SLEEP_MAX: Millis = Millis(365 * 24 * 60 * 60 * 1_000);
/// What one memory of a 32-bit module can have, in bytes.
const MEMORY_MAX: u64 = 4 << 30;
/// What a result can have whatever its limits are, in bytes: it travels in one frame.
const OUTPUT_MAX: u64 = 64 << 20;
/// What helps where a worker may not give a directory.
const ALLOWED_DIRS: &str =
    "a worker gives the directories that its operator allows with --allow-dir";
/// What stands in place of an outcome for an input that never ran.
const NOT_RUN: &str = "not run";

/// The failures of one job.
pub struct Failures {
    limits: Limits,
    /// The job grants directories.
    has_dirs: bool,
    /// Keeps inputs, where they are known here.
    keeper: Option<Keeper>,
    seen: u64,
    /// Workers' names, as far as somebody asked.
    names: BTreeMap<WorkerId, String>,
    /// Inputs that cannot be read.
    unread: u64,
    /// Why inputs are not kept: told at the end, for it is no reason to lose results.
    unkept: Option<anyhow::Error>,
}

impl Failures {
    /// For a job with these limits, whose failed inputs go there.
    pub const fn new(limits: Limits, keeper: Option<Keeper>) -> Self {
        let names = BTreeMap::new();
        Self { limits, has_dirs: false, keeper, seen: 0, names, unread: 0, unkept: None }
    }

    /// The same, of a job with these grants.
    pub fn granting(mut self, grants: &[Grant]) -> Self {
        self.has_dirs = grants.iter().any(|grant| matches!(grant, Grant::Dir { .. }));
        self
    }

    /// True while the next failure is explained.
    pub const fn explains_more(&self) -> bool {
        self.seen < EXPLAINED
    }

    /// How many more failures are explained.
    pub fn left_to_explain(&self) -> usize {
        usize::try_from(EXPLAINED.saturating_sub(self.seen)).unwrap_or_default()
    }

    /// Whether a worker's name was asked for.
    pub fn knows(&self, worker: WorkerId) -> bool {
        self.names.contains_key(&worker)
    }

    /// Takes workers' names.
    pub fn name(&mut self, names: Vec<(WorkerId, String)>) {
        self.names.extend(names);
    }

    /// Takes a failed task; gives the text that explains it, for the first few. All tasks before
    /// `settled` have come.
    pub fn add(
        &mut self,
        finished: &Finished,
        input: Option<&Input>,
        settled: u64,
    ) -> Option<Lines> {
        if let Some(input) = input {
            let what = (finished.meta.index, finished.meta.outcome.name());
            self.try_keep(|keeper| keeper.keep(what, input, settled));
        }
        self.seen += 1;
        let worker = self.names.get(&finished.worker).map(String::as_str);
        let explained = || {
            let mut lines = explain(finished, input, &self.limits, worker);
            if self.has_dirs && matches!(finished.meta.outcome, Outcome::Refused(_)) {
                field(&mut lines, "help", ALLOWED_DIRS);
            }
            lines
        };
        (self.seen <= EXPLAINED).then(explained)
    }

    /// Takes a task whose input cannot be read, as [`add`](Self::add).
    pub fn add_unread(&mut self, index: u64, unread: &Unread, settled: u64) -> Option<Lines> {
        let outcome = Outcome::Refused(String::new()).name();
        self.try_keep(|keeper| keeper.keep_file((index, outcome), &unread.path, settled));
        self.unread += 1;
        self.seen += 1;
        let why = || headed(index, &unread.why);
        (self.seen <= EXPLAINED).then(why)
    }

    /// Takes the inputs of tasks that never ran to their end, up to a bound; says how many it took.
    pub fn add_not_run(&mut self, inputs: impl Iterator<Item = (u64, Input)>) -> u64 {
        let mut taken = 0;
        for (index, input) in inputs.take(NOT_RUN_KEPT) {
            self.try_keep(|keeper| keeper.keep((index, NOT_RUN), &input, index));
            taken += 1;
        }
        taken
    }

    /// Leaves the file of failed inputs, where there is one.
    ///
    /// # Errors
    /// Where it cannot be, or could not be written.
    pub fn finish(&mut self) -> anyhow::Result<Option<Written>> {
        match (self.unkept.take(), &mut self.keeper) {
            (Some(error), _) => Err(error),
            (None, Some(keeper)) => keeper.finish(),
            (None, None) => Ok(None),
        }
    }

    /// Notes how far the run has come, in its file of progress.
    ///
    /// # Errors
    /// Where that, or an input before it, could not be written.
    pub fn mark(&mut self, mark: Mark) -> anyhow::Result<()> {
        match (self.unkept.take(), &mut self.keeper) {
            (Some(error), _) => Err(error),
            (None, Some(keeper)) => keeper.mark(mark),
            (None, None) => Ok(()),
        }
    }

    /// How many failures were not explained.
    pub const fn unexplained(&self) -> u64 {
        self.seen.saturating_sub(EXPLAINED)
    }

    /// Inputs that cannot be read, whose tasks the grid does not know.
    pub const fn unread(&self) -> u64 {
        self.unread
    }

    fn try_keep(&mut self, keep: impl FnOnce(&mut Keeper) -> anyhow::Result<()>) {
        if let Some(keeper) = &mut self.keeper
            && self.unkept.is_none()
        {
            self.unkept = keep(keeper).err();
        }
    }
}

/// Says what happened to a task: cause, input, attempt, log and what would help. `worker` is the name
/// of the worker that ran it.
fn explain(
    finished: &Finished,
    input: Option<&Input>,
    limits: &Limits,
    worker: Option<&str>,
) -> Lines {
    let meta = &finished.meta;
    let mut lines = headed(meta.index, &meta.outcome.to_string());
    if let Some(input) = input {
        field(&mut lines, "input", &shown_input(input));
    }
    let wall = Millis(meta.usage.wall_us.div_ceil(1_000));
    let number = finished.worker.to_string();
    let worker = worker.unwrap_or(&number);
    let attempt = format!("{} on worker {worker}, after {wall} of wall time", finished.attempt);
    field(&mut lines, "attempt", &attempt);
    if let Outcome::Trap { backtrace, .. } = &meta.outcome {
        let frames: Vec<&str> = backtrace.lines().take(FRAMES).collect();
        field(&mut lines, "at", &cut(&frames.join("\n")));
    }
    if let Ok((_, _, log)) = meta.split(&finished.payload) {
        field(&mut lines, "log", &log_tail(&String::from_utf8_lossy(&log), meta.log_dropped));
    }
    if let Some(help) = remedy(finished, input, limits) {
        field(&mut lines, "help", &help);
    }
    lines
}

/// Which task failed, and why; the further lines of that below it.
fn headed(index: u64, cause: &str) -> Lines {
    let cause = cut(cause);
    let (first, rest) = cause.split_once('\n').unwrap_or((&cause, ""));
    let mut lines = Lines::default();
    lines.push(format_args!("task {index} failed: {}", first.trim_end_matches('\r')));
    field(&mut lines, "", rest);
    lines
}

fn shown_input(input: &Input) -> String {
    let bytes = Outside::of_bytes(&input.bytes).short_line(INPUT_SHOWN);
    match &input.place {
        Place::Range | Place::Stored(_) => bytes,
        Place::Deleted(_) => "deleted".into(),
        Place::Single => format!("{} of stdin", ByteCount(input.bytes.len() as u64)),
        Place::Line { name } => format!("{}: {bytes}", Outside::new(name).line()),
        Place::File { path } => {
            Outside::of_bytes(path.as_os_str().as_encoded_bytes()).short_line(TEXT_SHOWN)
        }
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
        let _ = write!(tail, "\n({} more were dropped because of --log-limit)", ByteCount(dropped));
    }
    tail
}

/// A guest's text, not too long.
fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Appends a named part, its further lines below its first; nothing where it is empty.
fn field(lines: &mut Lines, name: &str, value: &str) {
    for (at, line) in value.lines().enumerate() {
        let name = if at == 0 { name } else { "" };
        lines.push(format_args!("  {name:<8} {line}"));
    }
}

/// What would help, where something would.
fn remedy(finished: &Finished, input: Option<&Input>, limits: &Limits) -> Option<String> {
    match &finished.meta.outcome {
        Outcome::Limit { limit, used, allowed } => raise(*limit, *used, *allowed),
        Outcome::Trap { .. } | Outcome::Exit(_) | Outcome::Rejected(_) => {
            let said = said(finished);
            memory_lacked(finished, &said, limits).or_else(|| lines_meant(input, &said))
        }
        Outcome::Retry(_) => Some("use --retries N to run such tasks again".into()),
        Outcome::Lost(_) => Some("`wasmgrid worker list` shows the workers".into()),
        _ => None,
    }
}

/// All that a task said of its failure.
fn said(finished: &Finished) -> String {
    let meta = &finished.meta;
    let log = meta.split(&finished.payload).map(|(_, _, log)| log).unwrap_or_default();
    format!("{}\n{}", meta.outcome, String::from_utf8_lossy(&log))
}

/// More memory, where the task says that it lacked it, or had nearly all that it may have: an
/// allocation that fails ends in a panic, most often.
fn memory_lacked(finished: &Finished, said: &str, limits: &Limits) -> Option<String> {
    let (used, allowed) = (finished.meta.usage.memory_bytes, limits.memory);
    let is_full = used >= allowed.0 / 8 * 7;
    let ended_itself = matches!(finished.meta.outcome, Outcome::Rejected(_));
    if !clues::lacked_memory(said) && (ended_itself || !is_full) {
        return None;
    }
    let wanted = clues::bytes_wanted(said).unwrap_or_default();
    let had = format!("it had {} of the {allowed} of memory allowed", ByteCount(used));
    let flag = |least| format!("--memory {}", more_memory(least));
    Some(match used.saturating_add(wanted).checked_next_power_of_two() {
        Some(least) if wanted > 0 => {
            let wanted = ByteCount(wanted);
            format!("{had}, and wanted {wanted} more: {}", flag(least.max(allowed.0)))
        }
        _ => format!("{had}: {}", flag(allowed.0)),
    })
}

/// Each line as a task, where all of stdin was one and the task found several values in it.
fn lines_meant(input: Option<&Input>, said: &str) -> Option<String> {
    let input = input.filter(|input| matches!(input.place, Place::Single))?;
    let has_lines = input.bytes.trim_ascii().contains(&b'\n');
    (has_lines && clues::had_several_values(said)).then(|| {
        "all of stdin was one input; add `-` after the task to make each line one: wasmgrid run \
         TASK -"
            .into()
    })
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
        Limit::Memory => format!("--memory {}", more_memory(least)),
        Limit::TableElements => format!("--table-limit {more}"),
        Limit::Output | Limit::Record if used.max(allowed.saturating_add(1)) > OUTPUT_MAX => {
            format!("no result has more than {}: give each task less to do", ByteCount(OUTPUT_MAX))
        }
        Limit::Output => format!("--output-limit {}", ByteCount(more.min(OUTPUT_MAX))),
        Limit::Record => format!("--record-limit {}", ByteCount(more.min(OUTPUT_MAX))),
        Limit::VirtualDeadline if used > SLEEP_MAX.0 => {
            "it sleeps longer than any timeout: a task must end by itself".into()
        }
        Limit::VirtualDeadline => {
            let enough = Millis(raised(used.max(allowed), 2));
            format!("--timeout {enough}: without --allow clock a sleep takes no time and counts")
        }
        Limit::Compile => worker_wide(&format!("--compile-time {}", Millis(more))),
        Limit::CompileMemory => {
            let more = ByteCount(raised(least, RAISE_MEMORY));
            worker_wide(&format!("--compile-memory {more}"))
        }
        Limit::Quota => {
            "make room or ask an operator for more (`wasmgrid tenant set`), then `wasmgrid job retry`"
                .into()
        }
        Limit::Resources => return None,
    })
}

/// Several times as much memory, but no more than one memory can have unless that is needed.
fn more_memory(least: u64) -> ByteCount {
    ByteCount(raised(least, RAISE_MEMORY).min(MEMORY_MAX).max(least))
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
    use bytes::Bytes;

    use super::{super::reorder::tests::finished, *};

    fn line_input() -> Input {
        let place = Place::Line { name: "in.txt:18".into() };
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
        let text =
            explain(&result, Some(&line_input()), &Limits::default(), Some("w1")).to_string();
        let expected = "\
task 17 failed: limit(fuel): used 2G of 2G allowed
  input    in.txt:18: 99999999
  attempt  1 on worker w1, after 812ms of wall time
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
        let text = explain(&result, None, &Limits::default(), None).to_string();
        assert!(text.contains("7: frame") && !text.contains("8: frame"), "{text}");
        assert!(text.ends_with("--memory 256MiB"), "{text}");
        assert!(!text.contains("log"), "{text}");
    }

    #[test]
    fn an_allocation_that_failed_is_explained_though_little_was_used() {
        let kind = wasmgrid_proto::TrapKind::Unreachable;
        let outcome = Outcome::Trap { kind, backtrace: String::new() };
        let mut result = with_log(outcome, "memory allocation of 100000000 bytes failed\n");
        result.meta.usage.memory_bytes = 1 << 20;
        let text = explain(&result, None, &Limits::default(), None).to_string();
        let help = "it had 1MiB of the 64MiB of memory allowed, and wanted 95.3MiB more: --memory ";
        assert!(text.contains(help) && text.ends_with("512MiB"), "{text}");
        let python = with_log(Outcome::Exit(1), "MemoryError\n");
        let text = explain(&python, None, &Limits::default(), None).to_string();
        assert!(text.ends_with("--memory 256MiB"), "{text}");
    }

    #[test]
    fn several_lines_that_were_one_input_are_explained() {
        let cause = "input does not fit u64: trailing characters at line 2 column 1";
        let result = finished(0, Outcome::Rejected(cause.into()), "");
        let stdin = |bytes: &'static str| {
            Some(Input { bytes: Bytes::from_static(bytes.as_bytes()), place: Place::Single })
        };
        let text = |input: Option<Input>| {
            explain(&result, input.as_ref(), &Limits::default(), None).to_string()
        };
        assert!(text(stdin("1\n2\n")).contains("`-`"), "{}", text(stdin("1\n2\n")));
        for other in [stdin("1 2\n"), Some(line_input()), None] {
            assert!(!text(other.clone()).contains("`-`"), "{other:?}");
        }
    }

    #[test]
    fn a_long_log_is_shown_from_its_end() {
        let log = (0..100).map(|n| format!("line {n}\n")).collect::<String>();
        let tail = log_tail(&log, 4_096);
        assert!(tail.starts_with("…\nline 90\n"), "{tail}");
        assert!(tail.contains("line 99") && tail.contains("4KiB more were dropped"), "{tail}");
    }

    #[test]
    fn the_flag_that_is_proposed_allows_what_was_used() {
        let raised = |limit, used, allowed| raise(limit, used, allowed).expect("a flag");
        assert_eq!(raised(Limit::Memory, 1_900_544, 1), "--memory 8MiB");
        assert_eq!(raised(Limit::Memory, 4 << 30, 64 << 20), "--memory 4GiB");
        assert_eq!(raised(Limit::Memory, 5 << 30, 64 << 20), "--memory 8GiB");
        assert_eq!(raised(Limit::Output, 11, 0), "--output-limit 160B");
        assert_eq!(raised(Limit::Output, 17 << 20, 16 << 20), "--output-limit 64MiB");
        let most = raised(Limit::Output, 65 << 20, 64 << 20);
        assert_eq!(most, "no result has more than 64MiB: give each task less to do");
        assert_eq!(raised(Limit::Record, 33 << 20, 1 << 20), "--record-limit 64MiB");
        assert_eq!(raised(Limit::Record, 65 << 20, 1 << 20), most);
        assert_eq!(raised(Limit::Fuel, 0, 0), "--fuel 10");
        let sleep = raised(Limit::VirtualDeadline, 3_600_000, 120_000);
        assert!(sleep.starts_with("--timeout 2h: "), "{sleep}");
        for endless in [SLEEP_MAX.0 + 1, u64::MAX / 1_000_000, u64::MAX] {
            let text = raised(Limit::VirtualDeadline, endless, 120_000);
            assert!(text.contains("longer than any timeout") && !text.contains("--"), "{text}");
        }
        assert_eq!(raised(Limit::TableElements, 11, 0), "--table-limit 160");
        let compile = raised(Limit::Compile, 10_000, 10_000);
        assert!(compile.starts_with("--compile-time 1m40s; "), "{compile}");
        let memory = raised(Limit::CompileMemory, 1 << 30, 1 << 30);
        assert!(memory.starts_with("--compile-memory 4GiB; "), "{memory}");
    }

    #[test]
    fn a_cause_of_several_lines_makes_none_that_looks_like_ours() {
        let cause = "no\r\nwasmgrid: 1 task: 1 ok\n\u{1b}[2K\rwasmgrid: all is well".to_owned();
        let result = finished(17, Outcome::Rejected(cause), "");
        let lines = explain(&result, None, &Limits::default(), None);
        let text = lines.to_string();
        let expected = "\
task 17 failed: rejected: no
           wasmgrid: 1 task: 1 ok
           \\u{1b}[2K\\rwasmgrid: all is well
";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn empty_lines_around_a_log_are_not_shown() {
        assert_eq!(log_tail("\n\n  panicked\n\n", 0), "  panicked");
    }
}
