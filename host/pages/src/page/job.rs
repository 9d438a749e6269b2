//! A job: how far, how fast, when done; what fails, and why tasks wait.

use askama::Template;
use wasmgrid_proto::{ByteCount, JobStatus, Micros, Millis, ModuleKind};

use super::limits::{self, LimitRow, Reached, Used};
use crate::{
    Bar, Cadence, Count, Fill, Guest, GuestBlock, Line, LivePart, Nav, Page, Prose, Shape, Shell,
    State, Strip, Tone, When, jobs::Left, number, shell::drawn, text::query,
};

/// The page of a job.
#[derive(Clone, Debug)]
pub struct Job {
    /// The time, as the scheduler has it.
    pub now: Micros,
    /// What the grid tells of it.
    pub status: JobStatus,
    /// True if it is active and no worker has a task of it.
    pub waits: bool,
    /// Tasks that end each second.
    pub rate: f64,
    /// Tasks that fail each second.
    pub failed_rate: f64,
    /// What is left at this rate.
    pub left: Left,
    /// Tasks that run now; those assigned beside them wait at their workers. `None` if not known.
    pub running: Option<u64>,
    /// Results that differ from those that count.
    pub diverged: u64,
    /// What failed, by kind and message, most first.
    pub failures: Vec<FailureGroup>,
    /// Failed tasks that are in no group.
    pub failures_other: u64,
    /// Where the inputs of all that failed are, and all failed tasks, if there is such a place.
    pub failures_links: Vec<(String, &'static str)>,
    /// Tasks per second since the submission.
    pub rate_line: Option<Line>,
    /// The time that a task takes.
    pub latency: Option<Latency>,
    /// Slots over time.
    pub strip: Option<Strip>,
    /// How the strip is to be read.
    pub strip_note: String,
    /// The first results and the last.
    pub results: Results,
    /// Why tasks wait, the gravest first.
    pub explain: Vec<Why>,
    /// The most that one task used of each limit.
    pub peak: Used,
    /// How many tasks reached each limit.
    pub reached: Reached,
    /// The module.
    pub module: Module,
    /// The key that keeps a repeated submission from being a second job; empty if there is none.
    pub key: Guest,
    /// How long its results are kept.
    pub kept: String,
}

/// Failures of one kind and message.
#[derive(Clone, Debug)]
pub struct FailureGroup {
    /// The kind: `trap`, `limit(fuel)`, `rejected`, `lost`.
    pub kind: String,
    /// How many tasks.
    pub tasks: u64,
    /// What the first of them said.
    pub message: Guest,
    /// The index of the first of them.
    pub sample: u64,
    /// Its input, cut.
    pub input: Guest,
    /// On how many workers.
    pub workers: u64,
    /// Of how many that had tasks of the job.
    pub of_workers: u64,
    /// Whether it is the task or a worker, in words.
    pub place: Prose,
    /// When the first of them ended.
    pub first: Micros,
    /// When the last of them ended.
    pub last: Micros,
    /// Where all of them are listed.
    pub all: Option<String>,
}

/// The time that a task takes.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Half of the tasks take less, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 tasks take less, in microseconds.
    pub p99_us: u64,
    /// Both over time.
    pub line: Line,
}

/// Results of a job.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// As what they are shown.
    pub shown: Shown,
    /// The first by index.
    pub first: Vec<ResultItem>,
    /// The last.
    pub last: Vec<ResultItem>,
}

/// As what results are shown; `?as=` of the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// As pictures, if they are PNG or SVG.
    Pictures,
    /// As text.
    #[default]
    Text,
    /// The records that tasks emitted.
    Records,
}

/// A result in a list.
#[derive(Clone, Debug)]
pub struct ResultItem {
    /// The task's index.
    pub index: u64,
    /// The address of the picture; a fixed type, `nosniff` and a sandbox are in its answer.
    pub picture: Option<String>,
    /// Its text, cut.
    pub text: GuestBlock,
}

/// Why tasks wait.
#[derive(Clone, Debug)]
pub struct Why {
    /// How many; 0 if it is about others.
    pub tasks: u64,
    /// Why, without a full stop, as [`Wait::text`](wasmgrid_proto::Wait::text) has it.
    pub text: Prose,
    /// What helps, without a full stop; empty if only waiting does.
    pub help: Prose,
}

/// A module, as far as its page tells.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// Bytes of it.
    pub size: Option<ByteCount>,
    /// Where it was compiled: `on 24 workers, 118ms each`.
    pub compiled: String,
    /// What it imports, each with what it is given.
    pub imports: Vec<(Guest, String)>,
}

const LIVE: &[LivePart] = &[
    LivePart { id: "progress", cadence: Cadence::Second },
    LivePart { id: "rate", cadence: Cadence::Second },
    LivePart { id: "head", cadence: Cadence::Changed },
    LivePart { id: "failures", cadence: Cadence::Changed },
    LivePart { id: "explain", cadence: Cadence::Changed },
    LivePart { id: "latency", cadence: Cadence::FiveSeconds },
    LivePart { id: "strip", cadence: Cadence::FiveSeconds },
    LivePart { id: "results", cadence: Cadence::FiveSeconds },
];

#[derive(Template)]
#[template(
    path = "job.html",
    blocks = ["head", "progress", "failures", "rate", "latency", "strip", "results"]
)]
struct View<'a> {
    shell: &'a Shell,
    page: &'a Job,
}

#[derive(Template)]
#[template(path = "part/explain.html")]
struct Explain<'a> {
    page: &'a Job,
}

impl Job {
    /// The time for which it waits, runs or ran, in words.
    pub(crate) fn for_long(&self) -> String {
        let (from, to) = (self.status.submitted_at, self.status.ended_at.unwrap_or(self.now));
        let span = number::seconds(to.since(from));
        match self.status.ended_at {
            Some(_) => format!("took {}", number::span(to.since(from))),
            None if self.waits => format!("waits for {span}"),
            None => format!("runs for {span}"),
        }
    }

    pub(crate) fn name(&self) -> Guest {
        match self.status.spec.name.as_str() {
            "" => Guest::new(format!("job {}", self.status.job)),
            name => Guest::new(name),
        }
    }

    pub(crate) fn tenant(&self) -> Guest {
        Guest::new(self.status.spec.task.tenant.as_str())
    }

    pub(crate) fn state(&self) -> State {
        let counts = &self.status.counts;
        let only_open = !self.status.closed && counts.queued + counts.running == 0;
        State::of_job(self.status.state, self.waits, only_open)
    }

    pub(crate) fn is_active(&self) -> bool {
        !self.status.state.is_terminal()
    }

    /// True if a retry would run anything.
    pub(crate) fn can_retry(&self) -> bool {
        let counts = &self.status.counts;
        !self.is_active() && counts.failed + counts.cancelled + counts.expired + counts.skipped > 0
    }

    pub(crate) fn submitted(&self) -> When {
        When::near(self.status.submitted_at, self.now)
    }

    pub(crate) fn submitted_day(&self) -> When {
        When::day_second(self.status.submitted_at)
    }

    pub(crate) fn ended(&self) -> Option<When> {
        self.status.ended_at.map(|at| When::near(at, self.now))
    }

    pub(crate) fn ended_share(&self) -> String {
        match self.status.counts.total {
            0 => "–".into(),
            total => number::percent(self.status.counts.ended(), total),
        }
    }

    pub(crate) fn ended_says(&self) -> String {
        let counts = &self.status.counts;
        let ended = number::separated(counts.ended());
        format!("{ended} of {}", number::counted(counts.total, "task"))
    }

    pub(crate) fn rate_now(&self) -> String {
        number::rate(self.rate)
    }

    pub(crate) fn failed_rate_now(&self) -> String {
        number::rate(self.failed_rate)
    }

    pub(crate) fn rate_says(&self) -> &'static str {
        match (self.is_active(), self.status.counts.running) {
            (false, _) => "it has ended",
            (true, 0) => "nothing runs",
            _ => "last 10s",
        }
    }

    pub(crate) fn left_says(&self) -> &'static str {
        match self.left {
            Left::About(_) => "at this rate",
            Left::AsFed => "its inputs are open",
            Left::Unknown if !self.is_active() => "it has ended",
            Left::Unknown => "nothing runs",
        }
    }

    pub(crate) fn failed(&self) -> Count {
        Count(self.status.counts.failed)
    }

    pub(crate) fn failed_share(&self) -> String {
        number::small_percent(self.status.counts.failed, self.status.counts.ended())
    }

    pub(crate) fn kinds(&self) -> String {
        number::counted(self.failures.len() as u64, "kind")
    }

    pub(crate) fn bar(&self) -> Bar {
        let counts = &self.status.counts;
        Bar::of_tasks(counts).part(Fill::Wait, counts.queued).big()
    }

    /// All states with their counts; those of nothing are muted.
    pub(crate) fn counts(&self) -> Vec<(State, Count, bool)> {
        let counts = &self.status.counts;
        [
            (Shape::Ok, Tone::Ok, "ok", counts.ok),
            (Shape::Bad, Tone::Bad, "failed", counts.failed),
            (Shape::Run, Tone::Run, "assigned", counts.running),
            (Shape::Wait, Tone::Rest, "queued", counts.queued),
            (Shape::Cancelled, Tone::Rest, "cancelled", counts.cancelled),
            (Shape::Expired, Tone::Warn, "expired", counts.expired),
            (Shape::Skipped, Tone::Rest, "skipped", counts.skipped),
        ]
        .map(|(shape, tone, word, count)| (State::new(shape, tone, word), Count(count), count == 0))
        .into()
    }

    /// What else there is to say of the tasks.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let counts = &self.status.counts;
        let mut remarks = Vec::new();
        if let Some(running) = self.running.filter(|running| *running < counts.running) {
            let running = number::separated(running);
            remarks.push(format!("assigned: {running} run now, the others wait at their workers"));
        }
        if counts.retried > 0 {
            remarks.push(format!("{} run again", number::counted(counts.retried, "attempt")));
        }
        if counts.discarded > 0 {
            let late = number::counted(counts.discarded, "late result");
            remarks.push(format!("{late} discarded"));
        }
        let diverged = match self.diverged {
            0 => "none diverged".into(),
            diverged => format!("{} diverged", number::separated(diverged)),
        };
        if counts.ended() > 0 {
            remarks.push(diverged);
        }
        remarks
    }

    pub(crate) fn failures_say(&self) -> String {
        let failed = number::counted(self.status.counts.failed, "task");
        format!("{failed}, grouped by kind and message")
    }

    pub(crate) fn others(&self) -> String {
        number::counted(self.failures_other, "task")
    }

    pub(crate) fn results_say(&self) -> String {
        format!("{}, by index", number::separated(self.status.results))
    }

    pub(crate) fn limits(&self) -> Vec<LimitRow> {
        limits::rows(&self.status.spec.task.limits, &self.peak, Some(&self.reached))
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self.status.spec.task.kind {
            ModuleKind::Task => "wasmgrid task component",
            ModuleKind::Command => "WASI command component",
            ModuleKind::Preview1 => "WASI preview 1 command",
        }
    }

    pub(crate) fn digest(&self) -> String {
        self.status.spec.task.module.to_string()
    }

    pub(crate) fn short_digest(&self) -> String {
        self.digest().chars().take(12).collect()
    }

    pub(crate) fn args(&self) -> Vec<Guest> {
        let args = self.status.spec.task.args.iter();
        args.map(|arg| Guest::of_bytes(arg.as_bytes())).collect()
    }

    pub(crate) fn grants(&self) -> Vec<Guest> {
        let grants = self.status.spec.task.grants.iter();
        grants.map(|grant| Guest::new(grant.to_string())).collect()
    }

    pub(crate) fn requires(&self) -> Vec<Guest> {
        let labels = self.status.spec.requires.iter();
        labels.map(|(key, value)| Guest::new(format!("{key}={value}"))).collect()
    }

    pub(crate) fn max_failures(&self) -> Option<String> {
        self.status.spec.max_failures.map(number::separated)
    }

    pub(crate) fn deadline(&self) -> Option<String> {
        let deadline = self.status.spec.deadline?;
        let end = self.status.submitted_at.after(deadline);
        match end.since(self.now) {
            Millis(0) => Some(format!("{} after its submission", number::span(deadline))),
            left => Some(format!("in {}", number::span(left))),
        }
    }
}

impl FailureGroup {
    pub(crate) fn state(&self) -> State {
        State::of_kind(&self.kind)
    }

    pub(crate) fn count(&self) -> Count {
        Count(self.tasks)
    }

    pub(crate) fn workers_say(&self) -> String {
        let workers = number::separated(self.workers);
        format!("{workers} of {}", number::counted(self.of_workers, "worker"))
    }

    pub(crate) fn first(&self) -> When {
        When::second(self.first)
    }

    pub(crate) fn last(&self) -> When {
        When::second(self.last)
    }
}

impl Latency {
    pub(crate) fn p50(&self) -> String {
        number::took(self.p50_us)
    }

    pub(crate) fn p99(&self) -> String {
        number::took(self.p99_us)
    }
}

impl Why {
    pub(crate) fn count(&self) -> Option<String> {
        (self.tasks > 0).then(|| number::counted(self.tasks, "task"))
    }
}

impl Results {
    pub(crate) fn tabs(&self) -> [(&'static str, &'static str, bool); 3] {
        [
            ("pictures", "Pictures", Shown::Pictures),
            ("text", "Text", Shown::Text),
            ("records", "Records", Shown::Records),
        ]
        .map(|(name, word, shown)| (name, word, shown == self.shown))
    }

    pub(crate) fn groups(&self) -> Vec<(&'static str, &[ResultItem])> {
        let groups = [("First", self.first.as_slice()), ("Last", self.last.as_slice())];
        groups.into_iter().filter(|(_, items)| !items.is_empty()).collect()
    }
}

impl Page for Job {
    fn path(&self) -> String {
        format!("/jobs/{}", self.status.job)
    }

    fn query(&self) -> String {
        let shown = self.results.tabs().into_iter().find(|(.., is_chosen)| *is_chosen);
        query(&[("as", shown.map_or("", |(name, ..)| name))])
    }

    fn title(&self) -> String {
        format!("Job {} {}", self.status.job, Guest::new(self.status.spec.name.as_str()).plain())
    }

    fn nav(&self) -> Nav {
        Nav::Jobs
    }

    fn live_parts(&self) -> &'static [LivePart] {
        if self.is_active() { LIVE } else { &[] }
    }

    fn part(&self, shell: &Shell, id: &str) -> Option<String> {
        let view = View { shell, page: self };
        let part = match id {
            "head" => view.as_head().render(),
            "progress" => view.as_progress().render(),
            "failures" => view.as_failures().render(),
            "rate" => view.as_rate().render(),
            "latency" => view.as_latency().render(),
            "strip" => view.as_strip().render(),
            "results" => view.as_results().render(),
            "explain" => Explain { page: self }.render(),
            _ => return None,
        };
        Some(drawn(part))
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(View { shell, page: self }.render())
    }
}
