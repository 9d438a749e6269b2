//! Workers: who does not work.

use askama::Template;
use wasmgrid_proto::{ByteCount, Micros, WorkerId, WorkerState};

use crate::{
    Bar, Cadence, Count, Fill, Guest, LivePart, Nav, Page, Shape, Shell, State, Tone, number,
    overview::WorkerCounts, path_part, shell::drawn, text::query,
};

/// A worker in a list.
#[derive(Clone, Debug)]
pub struct WorkerRow {
    /// Its number.
    pub id: WorkerId,
    /// Its name.
    pub name: Guest,
    /// Its address.
    pub address: Guest,
    /// Where it is.
    pub state: WorkerState,
    /// Slots.
    pub slots: u64,
    /// Slots that run a task.
    pub busy: u64,
    /// Memory for all slots.
    pub memory: ByteCount,
    /// Memory by the limits of what runs.
    pub memory_used: ByteCount,
    /// Tasks that end there each second.
    pub rate: f64,
    /// Results committed since the scheduler started.
    pub done: u64,
    /// Layers of its jail: those that hold, and all; `None` if it has not said.
    pub jail: Option<(u32, u32)>,
    /// Its labels, `KEY=VALUE`.
    pub labels: Vec<Guest>,
    /// When it was last heard; `None` if not since the scheduler started.
    pub heard_at: Option<Micros>,
}

/// Labels of a row; the rest is in the title.
const LABELS: usize = 2;

impl WorkerRow {
    pub(crate) fn path(&self) -> String {
        format!("/workers/{}", path_part(self.name.raw()))
    }

    pub(crate) fn state(&self) -> State {
        State::of_worker(&self.state)
    }

    pub(crate) fn slots_bar(&self) -> Bar {
        let label = format!("{} of {} busy", self.busy, number::counted(self.slots, "slot"));
        Bar::of(label, Fill::Run, self.busy, self.slots)
    }

    pub(crate) fn slots_text(&self) -> String {
        format!("{}/{}", self.busy, self.slots)
    }

    pub(crate) fn memory_bar(&self) -> Bar {
        let label = format!("{} of {}", self.memory_used, self.memory);
        Bar::of(label, Fill::Run, self.memory_used.0, self.memory.0)
    }

    pub(crate) fn memory_text(&self) -> String {
        share_of(self.memory_used, self.memory, "/")
    }

    pub(crate) fn rate(&self) -> String {
        number::rate(self.rate)
    }

    pub(crate) fn done(&self) -> Count {
        Count(self.done)
    }

    pub(crate) fn jail(&self) -> Option<State> {
        let (hold, all) = self.jail?;
        let (shape, tone) =
            if hold >= all { (Shape::Ok, Tone::Ok) } else { (Shape::Lost, Tone::Warn) };
        Some(State::new(shape, tone, format!("{hold} of {all}")))
    }

    pub(crate) fn shown_labels(&self) -> Vec<&Guest> {
        self.labels.iter().take(LABELS).collect()
    }

    pub(crate) fn more_labels(&self) -> Option<(usize, String)> {
        let more = self.labels.len().checked_sub(LABELS).filter(|more| *more > 0)?;
        let all: Vec<_> = self.labels.iter().map(Guest::plain).collect();
        Some((more, all.join(" ")))
    }

    pub(crate) fn heard(&self, now: &Micros) -> String {
        self.heard_at.map_or_else(|| "–".into(), |at| number::seconds(now.since(at)))
    }
}

/// A part of an amount, with the unit once if it is the same: `24.1 of 64GiB`.
pub(crate) fn share_of(part: ByteCount, whole: ByteCount, between: &str) -> String {
    let (mut part, whole) = (part.to_string(), whole.to_string());
    if part == "0B" {
        part = "0".into();
    }
    let unit = whole.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let part = part.strip_suffix(unit).unwrap_or(&part);
    format!("{part}{between}{whole}")
}

/// The page of workers; operators have it.
#[derive(Clone, Debug)]
pub struct Workers {
    /// The time, as the scheduler has it.
    pub now: Micros,
    /// All workers by state.
    pub counts: WorkerCounts,
    /// Slots of linked workers.
    pub slots: u64,
    /// Those in use.
    pub busy: u64,
    /// The state that is looked for, by name; empty for all.
    pub state: String,
    /// Those of this page: those that are not ready first, then by name.
    pub rows: Vec<WorkerRow>,
    /// The cursor of this page; empty for the first.
    pub cursor: String,
    /// The cursor of the next ones, if there are any.
    pub next: Option<String>,
    /// Tasks that wait; said if no worker is linked.
    pub waiting_tasks: u64,
    /// Jobs that wait.
    pub waiting_jobs: u64,
}

const LIVE: &[LivePart] = &[LivePart { id: "workers", cadence: Cadence::Changed }];

#[derive(Template)]
#[template(path = "workers.html", blocks = ["workers"])]
struct View<'a> {
    shell: &'a Shell,
    page: &'a Workers,
}

#[derive(Template)]
#[template(path = "row/workers.html")]
struct Row<'a> {
    page: &'a Workers,
    row: &'a WorkerRow,
}

impl Workers {
    fn query_at(&self, cursor: &str) -> String {
        query(&[("state", &self.state), ("cursor", cursor)])
    }

    pub(crate) fn next_path(&self) -> Option<String> {
        self.next.as_ref().map(|cursor| format!("/workers{}", self.query_at(cursor)))
    }

    pub(crate) fn head_line(&self) -> String {
        let wait = if self.waiting_jobs == 1 { "waits" } else { "wait" };
        match self.counts.total() {
            0 => format!(
                "no worker is linked; {} {wait} for one",
                number::counted(self.waiting_jobs, "job")
            ),
            total => format!(
                "{}, {} linked, {} busy",
                number::counted(total, "worker"),
                number::counted(self.slots, "slot"),
                number::separated(self.busy)
            ),
        }
    }

    pub(crate) fn waiting(&self) -> String {
        let tasks = number::counted(self.waiting_tasks, "task");
        let wait = if self.waiting_tasks == 1 { "waits" } else { "wait" };
        format!("{tasks} of {} {wait}.", number::counted(self.waiting_jobs, "job"))
    }

    pub(crate) fn tabs(&self) -> Vec<(String, String, bool)> {
        let total = self.counts.total();
        let mut tabs = vec![(
            "/workers".to_owned(),
            format!("All {}", number::separated(total)),
            self.state.is_empty(),
        )];
        let states = [
            ("ready", self.counts.ready),
            ("cordoned", self.counts.cordoned),
            ("draining", self.counts.draining),
            ("failing", self.counts.failing),
            ("gone", self.counts.gone),
        ];
        tabs.extend(states.into_iter().filter(|(_, count)| *count > 0).map(|(state, count)| {
            let href = format!("/workers?state={state}");
            (href, format!("{state} {}", number::separated(count)), self.state == state)
        }));
        tabs
    }

    pub(crate) fn range_line(&self) -> String {
        let (shown, total) = (self.rows.len(), number::separated(self.counts.total()));
        format!("{shown} of {total}: those that are not ready first, then by name")
    }
}

impl Page for Workers {
    fn path(&self) -> String {
        "/workers".into()
    }

    fn query(&self) -> String {
        self.query_at(&self.cursor)
    }

    fn title(&self) -> String {
        "Workers".into()
    }

    fn nav(&self) -> Nav {
        Nav::Workers
    }

    fn live_parts(&self) -> &'static [LivePart] {
        LIVE
    }

    fn part(&self, shell: &Shell, id: &str) -> Option<String> {
        if id == "workers" {
            return Some(drawn(View { shell, page: self }.as_workers().render()));
        }
        let number = id.strip_prefix("worker-")?;
        let row = self.rows.iter().find(|row| row.id.to_string() == number)?;
        Some(drawn(Row { page: self, row }.render()))
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(View { shell, page: self }.render())
    }
}
