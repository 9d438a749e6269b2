//! The overview: is it all right? Its heading is the answer.

use askama::Template;
use wasmgrid_proto::{JobId, Micros};

pub use super::parts::{Disk, WorkerCounts};
use crate::{
    Bar, Cadence, Count, Fill, Guest, Line, LivePart, Nav, Page, Prose, Shape, Shell, State, Tone,
    When, jobs::JobRow, number, shell::drawn,
};

/// The overview of a grid.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The time, as the scheduler has it.
    pub now: Micros,
    /// Set if the scheduler cannot be reached; the rest is as it was then.
    pub away: Option<Away>,
    /// Set if the scheduler's disk is full.
    pub disk_full: Option<DiskFull>,
    /// Tasks that end each second now.
    pub rate: f64,
    /// The mean of ten minutes.
    pub rate_mean: f64,
    /// Slots of linked workers.
    pub slots: u64,
    /// Those in use.
    pub slots_busy: u64,
    /// Those of workers that take nothing new.
    pub slots_closed: u64,
    /// Jobs that run.
    pub jobs_run: u64,
    /// Jobs that wait.
    pub jobs_wait: u64,
    /// Jobs that ended today.
    pub jobs_ended: u64,
    /// Tasks that failed in the last hour.
    pub failed: u64,
    /// Tasks that ended in the last hour.
    pub ended: u64,
    /// Of how many jobs those are that failed.
    pub failed_jobs: u64,
    /// What needs a person, the gravest first.
    pub attention: Vec<Attention>,
    /// Tasks per second over ten minutes.
    pub rate_line: Line,
    /// What the line is to be read with.
    pub rate_note: Prose,
    /// Busy slots over ten minutes.
    pub slots_line: Line,
    /// Slots by tenant, most first. Operators see all, clients themselves.
    pub tenants: Vec<TenantSlots>,
    /// Jobs that run, the oldest first; a page of them.
    pub running: Vec<JobRow>,
    /// Jobs that wait; a page of them.
    pub waiting: Vec<WaitingJob>,
    /// Failures of the last hour by kind.
    pub failures: Vec<Failures>,
    /// Workers by state.
    pub workers: WorkerCounts,
    /// The scheduler's disk; operators see it.
    pub disk: Option<Disk>,
}

/// The scheduler cannot be reached.
#[derive(Clone, Debug)]
pub struct Away {
    /// At which address.
    pub address: String,
    /// Since when.
    pub since: Micros,
}

/// The scheduler's disk is full.
#[derive(Clone, Debug)]
pub struct DiskFull {
    /// Results that wait in memory.
    pub results: u64,
    /// The scheduler's folder.
    pub folder: String,
}

/// Something that needs a person.
#[derive(Clone, Debug)]
pub struct Attention {
    /// What kind of thing.
    pub mark: Mark,
    /// What is so.
    pub text: Prose,
    /// What helps, with its command.
    pub help: Prose,
}

/// What kind of thing needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Something is lost, or near a bound.
    Lost,
    /// Something waits.
    Waits,
    /// Something has failed.
    Failed,
}

impl Mark {
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::Lost => Shape::Lost,
            Self::Waits => Shape::Wait,
            Self::Failed => Shape::Bad,
        }
    }

    pub(crate) fn tone(&self) -> Tone {
        match self {
            Self::Lost => Tone::Warn,
            Self::Waits => Tone::Rest,
            Self::Failed => Tone::Bad,
        }
    }
}

/// What a tenant has of the slots.
#[derive(Clone, Debug)]
pub struct TenantSlots {
    /// Its name.
    pub name: Guest,
    /// Its weight, if it is known.
    pub weight: Option<u32>,
    /// Slots that run tasks of it.
    pub slots: u64,
}

/// A job that waits.
#[derive(Clone, Debug)]
pub struct WaitingJob {
    /// Its number.
    pub id: JobId,
    /// Its name.
    pub name: Guest,
    /// Its tasks that wait.
    pub tasks: u64,
    /// Why.
    pub why: Prose,
}

/// Failures of one kind.
#[derive(Clone, Debug)]
pub struct Failures {
    /// The kind: `trap`, `limit`, `rejected`, `lost`.
    pub kind: String,
    /// How many tasks.
    pub tasks: u64,
    /// Of them: the most frequent message, or how they divide.
    pub of: Prose,
}

const LIVE: &[LivePart] = &[
    LivePart { id: "figures", cadence: Cadence::Second },
    LivePart { id: "rate", cadence: Cadence::Second },
    LivePart { id: "slots", cadence: Cadence::Second },
    LivePart { id: "answer", cadence: Cadence::Changed },
    LivePart { id: "attention", cadence: Cadence::Changed },
    LivePart { id: "running", cadence: Cadence::Changed },
    LivePart { id: "waiting", cadence: Cadence::Changed },
    LivePart { id: "failures", cadence: Cadence::Changed },
    LivePart { id: "workers", cadence: Cadence::Changed },
    LivePart { id: "disk", cadence: Cadence::Changed },
];

#[derive(Template)]
#[template(
    path = "overview.html",
    blocks = [
        "answer", "figures", "attention", "rate", "running", "waiting", "failures", "slots",
        "workers", "disk"
    ]
)]
struct View<'a> {
    shell: &'a Shell,
    page: &'a Overview,
}

#[derive(Template)]
#[template(path = "overview-new.html")]
struct NewView<'a> {
    shell: &'a Shell,
    page: &'a Overview,
}

#[derive(Template)]
#[template(path = "row/running.html")]
struct Row<'a> {
    row: &'a JobRow,
}

const SMALL: [&str; 10] =
    ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"];

impl Overview {
    /// True if nothing was ever run here, and nothing can be.
    pub(crate) fn is_new(&self) -> bool {
        let jobs = self.jobs_run + self.jobs_wait + self.jobs_ended + self.ended;
        self.workers.total() == 0 && jobs == 0 && self.away.is_none() && self.disk_full.is_none()
    }

    /// The answer.
    pub(crate) fn heading(&self) -> String {
        if self.away.is_some() {
            return "The grid is away".into();
        }
        if self.disk_full.is_some() {
            return "The scheduler’s disk is full".into();
        }
        if self.is_new() {
            return "This grid has no workers and no jobs yet".into();
        }
        let open = self.slots.saturating_sub(self.slots_closed);
        let slots = match (self.workers.total() - self.workers.gone, self.slots_busy) {
            (0, _) => "No worker is linked.".into(),
            (_, 0) => "Nothing runs.".into(),
            (_, busy) if busy >= open => "All slots that take tasks are busy.".into(),
            (_, busy) => {
                let (busy, slots) = (number::separated(busy), number::separated(self.slots));
                format!("{busy} of {slots} slots are busy.")
            }
        };
        let things = match self.attention.len() {
            0 => "Nothing to look at.".into(),
            1 => "One thing to look at.".into(),
            more => {
                let word = SMALL.get(more).map_or_else(|| more.to_string(), |word| (*word).into());
                format!("{word} things to look at.")
            }
        };
        format!("{slots} {things}")
    }

    pub(crate) fn rate_now(&self) -> String {
        number::rate(self.rate)
    }

    pub(crate) fn rate_says(&self) -> String {
        if self.disk_full.is_some() {
            return "nothing is committed".into();
        }
        format!("mean of 10m: {}", number::rate(self.rate_mean))
    }

    pub(crate) fn slots_text(&self) -> String {
        format!("{} of {} busy", number::separated(self.slots_busy), number::separated(self.slots))
    }

    pub(crate) fn slots_says(&self) -> String {
        match self.slots_closed {
            0 => "all take tasks".into(),
            closed => format!("{} take nothing new", number::separated(closed)),
        }
    }

    pub(crate) fn busy(&self) -> Count {
        Count(self.slots_busy)
    }

    pub(crate) fn of_slots(&self) -> String {
        format!("of {} busy", number::separated(self.slots))
    }

    pub(crate) fn run(&self) -> Count {
        Count(self.jobs_run)
    }

    pub(crate) fn jobs_says(&self) -> String {
        let run = if self.jobs_run == 1 { "runs" } else { "run" };
        let wait = if self.jobs_wait == 1 { "waits" } else { "wait" };
        format!("{run}, {} {wait}", number::separated(self.jobs_wait))
    }

    pub(crate) fn ended_today(&self) -> String {
        format!("{} ended today", number::separated(self.jobs_ended))
    }

    pub(crate) fn failed_count(&self) -> Count {
        Count(self.failed)
    }

    pub(crate) fn failed_says(&self) -> String {
        format!("of {}", number::short(self.ended))
    }

    pub(crate) fn failed_share(&self) -> String {
        number::small_percent(self.failed, self.ended)
    }

    pub(crate) fn failures_say(&self) -> String {
        let (tasks, jobs) = (number::counted(self.failed, "task"), self.failed_jobs);
        format!("{tasks} of {}", number::counted(jobs, "job"))
    }

    pub(crate) fn tenant_bar(&self, tenant: &TenantSlots) -> Bar {
        let (slots, of) = (number::separated(tenant.slots), number::separated(self.slots_busy));
        Bar::of(format!("{slots} of {of}"), Fill::Run, tenant.slots, self.slots_busy)
    }
}

impl TenantSlots {
    pub(crate) fn weight(&self) -> String {
        self.weight.map_or_else(|| "–".into(), |weight| weight.to_string())
    }

    pub(crate) fn count(&self) -> Count {
        Count(self.slots)
    }
}

impl WaitingJob {
    pub(crate) fn count(&self) -> Count {
        Count(self.tasks)
    }
}

impl Failures {
    pub(crate) fn state(&self) -> State {
        State::of_kind(&self.kind)
    }

    pub(crate) fn count(&self) -> Count {
        Count(self.tasks)
    }
}

impl Away {
    pub(crate) fn at(&self) -> When {
        When::second(self.since)
    }

    pub(crate) fn span(&self, now: &Micros) -> String {
        number::seconds(now.since(self.since))
    }
}

impl DiskFull {
    pub(crate) fn waiting(&self) -> String {
        number::counted(self.results, "result")
    }

    pub(crate) fn look(&self) -> Prose {
        let folder = self.folder.replace('`', "'");
        Prose::new(&format!(
            "What takes the room: `du -xh {folder} | sort -h | tail`. To keep fewer results: \
             `wasmgrid server --keep-bytes 200GiB`."
        ))
    }
}

impl Page for Overview {
    fn path(&self) -> String {
        "/".into()
    }

    fn title(&self) -> String {
        "Overview".into()
    }

    fn nav(&self) -> Nav {
        Nav::Overview
    }

    fn reload_seconds(&self) -> Option<u32> {
        (self.is_new() || self.away.is_some()).then_some(10)
    }

    fn live_parts(&self) -> &'static [LivePart] {
        if self.is_new() { &[] } else { LIVE }
    }

    fn part(&self, shell: &Shell, id: &str) -> Option<String> {
        let view = View { shell, page: self };
        if self.is_new() {
            return None;
        }
        let part = match id {
            "answer" => view.as_answer().render(),
            "figures" => view.as_figures().render(),
            "attention" => view.as_attention().render(),
            "rate" => view.as_rate().render(),
            "running" => view.as_running().render(),
            "waiting" => view.as_waiting().render(),
            "failures" => view.as_failures().render(),
            "slots" => view.as_slots().render(),
            "workers" => view.as_workers().render(),
            "disk" => view.as_disk().render(),
            id => {
                let number = id.strip_prefix("job-")?;
                let row = self.running.iter().find(|row| row.id.to_string() == number)?;
                Row { row }.render()
            }
        };
        Some(drawn(part))
    }

    fn html(&self, shell: &Shell) -> String {
        if self.is_new() {
            return drawn(NewView { shell, page: self }.render());
        }
        drawn(View { shell, page: self }.render())
    }
}
