//! A task: how it ended, where in the code, on which input, near which limit.

use askama::Template;
use wasmgrid_proto::{JobId, Limits, Micros, Outcome, TaskState};

use super::limits::{self, LimitRow, Used};
use crate::{
    Guest, GuestBlock, Nav, Page, Prose, Shape, Shell, State, Tone, When, number, path_part,
    shell::drawn,
};

/// The page of a task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its job.
    pub job: JobId,
    /// The job's name.
    pub job_name: Guest,
    /// Its index.
    pub index: u64,
    /// Where it is.
    pub state: TaskState,
    /// How it ended; `None` before.
    pub outcome: Option<Outcome>,
    /// What is to be known of how it ended, such as how many others ended so.
    pub remark: Prose,
    /// When it ended.
    pub ended_at: Option<Micros>,
    /// The worker that has it or had it last; empty if none.
    pub worker: Guest,
    /// Its seed.
    pub seed: u64,
    /// The index before it, if there is one.
    pub before: Option<u64>,
    /// The index behind it, if there is one.
    pub next: Option<u64>,
    /// Its attempts, the oldest first.
    pub attempts: Vec<AttemptRow>,
    /// Older attempts that are not listed.
    pub attempts_dropped: u32,
    /// What it logged.
    pub log: Log,
    /// Its input, as far as it is shown; `None` if it was deleted.
    pub input: Option<ShownBytes>,
    /// Its output, as far as it is shown; `None` if it has none.
    pub output: Option<ShownBytes>,
    /// What it used.
    pub used: Used,
    /// What it may use.
    pub limits: Limits,
}

/// An attempt.
#[derive(Clone, Debug)]
pub struct AttemptRow {
    /// Its number.
    pub number: u32,
    /// How it ended.
    pub state: State,
    /// On which worker; empty if that is not known.
    pub worker: Guest,
    /// When it was given out.
    pub given: Option<Micros>,
    /// When it began.
    pub began: Option<Micros>,
    /// How long it took, in microseconds.
    pub wall_us: Option<u64>,
    /// What it said.
    pub said: Prose,
}

/// What a task logged: the end of it.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Of which attempt; 0 if it has not run.
    pub attempt: u32,
    /// Lines before the first that is shown.
    pub before: u64,
    /// The lines that are shown.
    pub lines: Vec<Guest>,
    /// Bytes that were dropped behind the last.
    pub dropped: u64,
}

/// Bytes of a guest, as far as a page shows them.
#[derive(Clone, Debug)]
pub struct ShownBytes {
    /// How many there are.
    pub bytes: u64,
    /// What they are: `JSON`, `text`, `PNG`, `bytes`.
    pub kind: &'static str,
    /// The beginning of them as text.
    pub text: GuestBlock,
    /// The address of the picture that they are; a fixed type, `nosniff` and a sandbox are in its
    /// answer.
    pub picture: Option<String>,
    /// Bytes that are not shown.
    pub cut: u64,
    /// Where all of them are.
    pub download: String,
}

#[derive(Template)]
#[template(path = "task.html")]
struct View<'a> {
    shell: &'a Shell,
    page: &'a Task,
}

impl Task {
    pub(crate) fn head_state(&self) -> State {
        match (&self.outcome, self.state) {
            (Some(outcome), _) => {
                let state = State::of_outcome(outcome);
                match outcome {
                    Outcome::Limit { limit, .. } => state.worded(format!("ended · limit({limit})")),
                    other => state.worded(format!("ended · {}", other.name())),
                }
            }
            (None, TaskState::Queued) => State::new(Shape::Wait, Tone::Rest, "queued"),
            (None, TaskState::Running) => State::new(Shape::Run, Tone::Run, "assigned"),
            (None, TaskState::Ended) => State::new(Shape::Cancelled, Tone::Rest, "ended · not run"),
        }
    }

    /// The outcome in a sentence; a guest's message is apart from it.
    pub(crate) fn said(&self) -> Option<(State, Guest)> {
        let outcome = self.outcome.as_ref()?;
        let state = State::of_outcome(outcome).wrapped();
        Some(match outcome {
            Outcome::Trap { kind, .. } => (state.worded(format!("trap: {kind}")), Guest::default()),
            Outcome::Limit { .. } => (state.worded(outcome.to_string()), Guest::default()),
            Outcome::Exit(_) => (state.worded(outcome.to_string()), Guest::default()),
            other => (state, Guest::new(other.text().unwrap_or_default())),
        })
    }

    pub(crate) fn outcome_word(&self) -> Option<String> {
        self.outcome.as_ref().map(|outcome| State::of_outcome(outcome).word().to_owned())
    }

    pub(crate) fn backtrace(&self) -> Option<GuestBlock> {
        match &self.outcome {
            Some(Outcome::Trap { backtrace, .. }) if !backtrace.is_empty() => {
                Some(GuestBlock::new(backtrace.as_str()))
            }
            _ => None,
        }
    }

    pub(crate) fn attempts_say(&self) -> String {
        let count = self.attempts.len() as u64 + u64::from(self.attempts_dropped);
        number::counted(count, "attempt")
    }

    pub(crate) fn ended(&self) -> Option<When> {
        self.ended_at.map(When::milli)
    }

    pub(crate) fn rows(&self) -> Vec<LimitRow> {
        limits::rows(&self.limits, &self.used, None)
    }

    pub(crate) fn log_limit(&self) -> String {
        self.limits.log.to_string()
    }
}

impl AttemptRow {
    pub(crate) fn given_at(&self) -> Option<When> {
        self.given.map(When::milli)
    }

    pub(crate) fn began_at(&self) -> Option<When> {
        self.began.map(When::milli)
    }

    pub(crate) fn took(&self) -> String {
        self.wall_us.map_or_else(String::new, number::took)
    }

    pub(crate) fn worker_path(&self) -> String {
        format!("/workers/{}", path_part(self.worker.raw()))
    }
}

impl Log {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }

    pub(crate) fn before_says(&self) -> String {
        format!("{} before these", number::counted(self.before, "line"))
    }

    pub(crate) fn dropped_says(&self) -> String {
        number::counted(self.dropped, "more byte")
    }

    pub(crate) fn numbered(&self) -> Vec<(u64, &Guest)> {
        (self.before + 1..).zip(&self.lines).collect()
    }
}

impl ShownBytes {
    pub(crate) fn says(&self) -> String {
        format!("{}, {}", number::counted(self.bytes, "byte"), self.kind)
    }

    pub(crate) fn cut_says(&self) -> String {
        number::counted(self.cut, "more byte")
    }
}

impl Page for Task {
    fn path(&self) -> String {
        format!("/jobs/{}/tasks/{}", self.job, self.index)
    }

    fn title(&self) -> String {
        format!("Task {}/{}", self.job, self.index)
    }

    fn nav(&self) -> Nav {
        Nav::Jobs
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(View { shell, page: self }.render())
    }
}
