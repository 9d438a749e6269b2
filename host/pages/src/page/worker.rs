//! A worker: what it runs, and what its jail lacks.

use askama::Template;
use wasmgrid_proto::{ByteCount, Micros, TaskId, WorkerId, WorkerState};

use super::workers::share_of;
use crate::{
    Cadence, Count, Guest, Lanes, Line, LivePart, Nav, Page, Prose, Shape, Shell, State, Tone,
    When, number, path_part, shell::drawn,
};

/// The page of a worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The time, as the scheduler has it.
    pub now: Micros,
    /// Its number.
    pub id: WorkerId,
    /// Its name.
    pub name: Guest,
    /// Its address.
    pub address: Guest,
    /// Where it is.
    pub state: WorkerState,
    /// When it was last heard; `None` if not since the scheduler started.
    pub heard_at: Option<Micros>,
    /// Since when it is linked.
    pub linked_at: Option<Micros>,
    /// Slots.
    pub slots: u64,
    /// Slots that run a task.
    pub busy: u64,
    /// Tasks that wait at it.
    pub queued: u64,
    /// Memory for all slots.
    pub memory: ByteCount,
    /// Memory by the limits of what runs.
    pub memory_used: ByteCount,
    /// Tasks that end there each second.
    pub rate: f64,
    /// Results committed since the scheduler started.
    pub done: u64,
    /// Runners lost in 24 hours, and why; `None` if it has not said.
    pub runners_lost: Option<(u64, String)>,
    /// What ran in each slot.
    pub lanes: Option<Lanes>,
    /// The job that the picture is about.
    pub lanes_job: String,
    /// What runs, the longest first; a part of it.
    pub running: Vec<RunningRow>,
    /// Busy slots over an hour.
    pub busy_line: Option<Line>,
    /// Memory over an hour.
    pub memory_line: Option<Line>,
    /// Layers of its jail, in their order; empty if it has not said.
    pub jail: Vec<Layer>,
    /// Its labels, `KEY=VALUE`.
    pub labels: Vec<Guest>,
    /// What its results depend on: release, flags and processor.
    pub engine: Guest,
    /// What else is to be known, in pairs: `isolation`, `at most`, `version`.
    pub facts: Vec<(&'static str, Guest)>,
    /// When its certificate ends; a worker in the scheduler's process has none.
    pub certificate_ends: Option<Micros>,
}

/// A task that runs.
#[derive(Clone, Debug)]
pub struct RunningRow {
    /// Which.
    pub task: TaskId,
    /// Tasks behind it in the same lease, which one slot runs in order.
    pub more: u64,
    /// The name of its job.
    pub job_name: Guest,
    /// For how long it runs, in microseconds.
    pub us: u64,
    /// How much of it is done, and of how much, if it says so.
    pub progress: Option<(u64, u64)>,
    /// The memory that it has, if that is known.
    pub memory: Option<ByteCount>,
}

/// A layer of a jail.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its name.
    pub name: Guest,
    /// True if it holds.
    pub holds: bool,
    /// What it takes away; of a missing one why it is missing, and what helps.
    pub says: Prose,
}

const LIVE: &[LivePart] = &[
    LivePart { id: "load", cadence: Cadence::Second },
    LivePart { id: "head", cadence: Cadence::Changed },
    LivePart { id: "running", cadence: Cadence::Changed },
    LivePart { id: "strip", cadence: Cadence::FiveSeconds },
];

#[derive(Template)]
#[template(path = "worker.html", blocks = ["head", "load", "strip", "running"])]
struct View<'a> {
    shell: &'a Shell,
    page: &'a Worker,
}

impl Worker {
    pub(crate) fn state(&self) -> State {
        State::of_worker(&self.state)
    }

    pub(crate) fn failing(&self) -> Option<Guest> {
        match &self.state {
            WorkerState::Failing(failing) => Some(Guest::new(failing.reason.as_str())),
            _ => None,
        }
    }

    pub(crate) fn heard(&self) -> String {
        match self.heard_at {
            Some(at) => format!("heard {} ago", number::seconds(self.now.since(at))),
            None => "not heard since the scheduler started".into(),
        }
    }

    pub(crate) fn linked(&self) -> Option<When> {
        self.linked_at.map(When::day_second)
    }

    pub(crate) fn is_cordoned(&self) -> bool {
        matches!(self.state, WorkerState::Cordoned)
    }

    pub(crate) fn takes_tasks(&self) -> bool {
        matches!(self.state, WorkerState::Ready | WorkerState::Failing(_))
    }

    pub(crate) fn drains(&self) -> bool {
        matches!(self.state, WorkerState::Draining | WorkerState::Drained)
    }

    pub(crate) fn busy(&self) -> Count {
        Count(self.busy)
    }

    pub(crate) fn of_slots(&self) -> String {
        format!("of {} busy", number::separated(self.slots))
    }

    pub(crate) fn queued(&self) -> String {
        format!("{} more in its queue", number::counted(self.queued, "task"))
    }

    pub(crate) fn memory_parts(&self) -> (String, String) {
        let text = share_of(self.memory_used, self.memory, " of ");
        let (used, of) = text.split_once(' ').unwrap_or((&text, ""));
        (used.to_owned(), of.to_owned())
    }

    pub(crate) fn rate(&self) -> String {
        number::rate(self.rate)
    }

    pub(crate) fn done(&self) -> String {
        format!("{} done", number::separated(self.done))
    }

    pub(crate) fn lost(&self) -> Option<(Count, &str)> {
        self.runners_lost.as_ref().map(|(count, why)| (Count(*count), why.as_str()))
    }

    pub(crate) fn running_says(&self) -> String {
        let shown = self.running.len();
        format!("{shown} of {}, the longest first", number::counted(self.busy, "task"))
    }

    pub(crate) fn has_leases(&self) -> bool {
        self.running.iter().any(|row| row.more > 0)
    }

    pub(crate) fn jail_says(&self) -> String {
        let hold = self.jail.iter().filter(|layer| layer.holds).count();
        format!("{hold} of {} layers", self.jail.len())
    }

    pub(crate) fn certificate(&self) -> Option<When> {
        self.certificate_ends.map(When::day)
    }

    pub(crate) fn path_name(&self) -> String {
        path_part(self.name.raw())
    }
}

impl RunningRow {
    pub(crate) fn path(&self) -> String {
        format!("/jobs/{}/tasks/{}", self.task.job, self.task.index)
    }

    pub(crate) fn runs_for(&self) -> String {
        number::took(self.us)
    }

    pub(crate) fn progress(&self) -> String {
        match self.progress {
            Some((done, total)) if total > 0 => {
                format!("{} %", u128::from(done.min(total)) * 100 / u128::from(total))
            }
            _ => String::new(),
        }
    }

    pub(crate) fn memory(&self) -> String {
        self.memory.map_or_else(String::new, |memory| memory.to_string())
    }
}

impl Layer {
    pub(crate) fn state(&self) -> State {
        match self.holds {
            true => State::new(Shape::Ok, Tone::Ok, self.name.plain()),
            false => State::new(Shape::Lost, Tone::Warn, self.name.plain()),
        }
    }
}

impl Page for Worker {
    fn path(&self) -> String {
        format!("/workers/{}", self.path_name())
    }

    fn title(&self) -> String {
        format!("Worker {}", self.name.plain())
    }

    fn nav(&self) -> Nav {
        Nav::Workers
    }

    fn live_parts(&self) -> &'static [LivePart] {
        LIVE
    }

    fn part(&self, shell: &Shell, id: &str) -> Option<String> {
        let view = View { shell, page: self };
        let part = match id {
            "head" => view.as_head().render(),
            "load" => view.as_load().render(),
            "strip" => view.as_strip().render(),
            "running" => view.as_running().render(),
            _ => return None,
        };
        Some(drawn(part))
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(View { shell, page: self }.render())
    }
}
