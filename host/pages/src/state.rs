//! States: a shape, a word and a colour. The words are the command line's.

use std::{borrow::Cow, fmt};

use askama::filters::HtmlSafe;
use wasmgrid_proto::{JobState, Outcome, OutcomeClass, WorkerState};

use crate::text::escaped;

/// What a state looks like beside its colour. The name of each is that of a symbol of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A tick.
    Ok,
    /// A half full circle: it runs.
    Run,
    /// A dashed circle: it waits.
    Wait,
    /// A full diamond: it failed.
    Bad,
    /// A clock: its time is over.
    Expired,
    /// A crossed circle.
    Cancelled,
    /// Two arrows.
    Skipped,
    /// A triangle: something is lost, missing or near a bound.
    Lost,
    /// A full circle.
    Ready,
    /// Two bars in a circle.
    Cordoned,
    /// An arrow down.
    Draining,
    /// An arrow to a bar: more may come.
    Open,
}

/// A colour by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It went well.
    Ok,
    /// It runs now.
    Run,
    /// It failed.
    Bad,
    /// It is lost, or near a bound.
    Warn,
    /// It rests.
    Rest,
}

impl Shape {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Run => "run",
            Self::Wait => "wait",
            Self::Bad => "bad",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Lost => "lost",
            Self::Ready => "ready",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = self.symbol();
        write!(f, "<svg class=\"ico\" aria-hidden=\"true\"><use href=\"#i-{symbol}\"/></svg>")
    }
}

impl HtmlSafe for Shape {}

impl Tone {
    /// The class of text in this colour.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Ok => "is-ok",
            Self::Run => "is-run",
            Self::Bad => "is-bad",
            Self::Warn => "is-warn",
            Self::Rest => "is-rest",
        }
    }
}

impl fmt::Display for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class())
    }
}

/// A state as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    shape: Shape,
    tone: Tone,
    word: Cow<'static, str>,
    wraps: bool,
}

impl State {
    /// A state with this word.
    pub fn new(shape: Shape, tone: Tone, word: impl Into<Cow<'static, str>>) -> Self {
        Self { shape, tone, word: word.into(), wraps: false }
    }

    /// Its word.
    #[must_use]
    pub fn word(&self) -> &str {
        &self.word
    }

    /// The same as a sentence, which may take several lines.
    #[must_use]
    pub fn wrapped(mut self) -> Self {
        self.wraps = true;
        self
    }

    /// The same shape and colour with other words.
    #[must_use]
    pub fn worded(self, word: impl Into<Cow<'static, str>>) -> Self {
        Self { word: word.into(), ..self }
    }

    /// A job's: `waits` if it is active and nothing of it runs, `open` if it only waits for inputs.
    #[must_use]
    pub fn of_job(state: JobState, waits: bool, open: bool) -> Self {
        match state {
            JobState::Active if open => Self::new(Shape::Open, Tone::Rest, "active · open"),
            JobState::Active if waits => Self::new(Shape::Wait, Tone::Rest, "active · waiting"),
            JobState::Active => Self::new(Shape::Run, Tone::Run, "active"),
            JobState::Ok => Self::new(Shape::Ok, Tone::Ok, "ok"),
            JobState::Failed => Self::new(Shape::Bad, Tone::Bad, "failed"),
            JobState::Cancelled => Self::new(Shape::Cancelled, Tone::Rest, "cancelled"),
            JobState::Expired => Self::new(Shape::Expired, Tone::Warn, "expired"),
        }
    }

    /// An outcome's, with its name as the word: `limit(fuel)`.
    #[must_use]
    pub fn of_outcome(outcome: &Outcome) -> Self {
        let state = Self::of_class(outcome.class());
        match outcome {
            Outcome::Limit { limit, .. } => state.worded(format!("limit({limit})")),
            other => state.worded(other.name()),
        }
    }

    /// That of a class of outcomes.
    #[must_use]
    pub fn of_class(class: OutcomeClass) -> Self {
        match class {
            OutcomeClass::Ok => Self::new(Shape::Ok, Tone::Ok, "ok"),
            OutcomeClass::Failed => Self::new(Shape::Bad, Tone::Bad, "failed"),
            OutcomeClass::Retry => Self::new(Shape::Bad, Tone::Bad, "retry"),
            OutcomeClass::Cancelled => Self::new(Shape::Cancelled, Tone::Rest, "cancelled"),
            OutcomeClass::Lost => Self::new(Shape::Lost, Tone::Warn, "lost"),
            OutcomeClass::Expired => Self::new(Shape::Expired, Tone::Warn, "expired"),
            OutcomeClass::Skipped => Self::new(Shape::Skipped, Tone::Rest, "skipped"),
        }
    }

    /// A kind of failure by its name as the scheduler groups them: `trap`, `limit(fuel)`, `lost`.
    #[must_use]
    pub fn of_kind(kind: &str) -> Self {
        let class = match kind {
            "ok" => OutcomeClass::Ok,
            "lost" => OutcomeClass::Lost,
            "cancelled" => OutcomeClass::Cancelled,
            "expired" => OutcomeClass::Expired,
            "skipped" => OutcomeClass::Skipped,
            _ => OutcomeClass::Failed,
        };
        Self::of_class(class).worded(kind.to_owned())
    }

    /// A worker's.
    #[must_use]
    pub fn of_worker(state: &WorkerState) -> Self {
        let (shape, tone) = match state {
            WorkerState::Ready => (Shape::Ready, Tone::Ok),
            WorkerState::Cordoned => (Shape::Cordoned, Tone::Rest),
            WorkerState::Draining | WorkerState::Drained => (Shape::Draining, Tone::Rest),
            WorkerState::Gone | WorkerState::Failing(_) => (Shape::Lost, Tone::Warn),
        };
        Self::new(shape, tone, state.name())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrap = if self.wraps { " wrap" } else { "" };
        let (tone, symbol) = (self.tone.class(), self.shape.symbol());
        write!(f, "<span class=\"state{wrap} {tone}\"><svg aria-hidden=\"true\">")?;
        write!(f, "<use href=\"#i-{symbol}\"/></svg>")?;
        escaped(f, &self.word)?;
        f.write_str("</span>")
    }
}

impl HtmlSafe for State {}
