//! The lists of jobs and of workers.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::Text,
    widgets::{Cell, Paragraph, Row, Table, TableState},
};
use wasmgrid_proto::{JobRow, WorkerRow, WorkerState, text::counted, wire::More};

use super::{
    super::model::Model,
    parts::{
        bad, count, good, outside, percent, run, span, state, state_style, strong, warn, weak,
    },
};
use crate::{cluster::rate, table};

/// Characters of a name.
const NAME: usize = 32;

/// The jobs.
pub fn jobs(rows: &[JobRow], more: More, model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if rows.is_empty() {
        let what = if model.only_active { "No job is active" } else { "There is no job" };
        return frame.render_widget(Paragraph::new(none(what, &model.filter)), area);
    }
    let behind = match more {
        More::Exactly(0) => String::new(),
        More::Exactly(more) => format!("{} before these", counted(more, "job")),
        More::AtMost(_) | More::Many => "more before these".into(),
    };
    let area = noted(&behind, frame, area);
    jobs_table(rows, model.selected, frame, area);
}

/// A table of jobs, one of which is selected.
pub fn jobs_table(rows: &[JobRow], selected: usize, frame: &mut Frame<'_>, area: Rect) {
    let heading = ["JOB", "NAME", "TENANT", "STATE", "DONE", "TASKS", "FAILED", "RATE", "AGE"];
    let widths = [
        Constraint::Length(8),
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Length(18),
        Constraint::Length(5),
        Constraint::Length(13),
        Constraint::Length(10),
        Constraint::Length(14),
        Constraint::Length(8),
    ];
    // A narrow terminal has no room for all of them.
    let fits = columns(area.width);
    let keep = |at: &usize| fits.contains(at);
    let rows = rows.iter().map(|row| pick(job(row), keep));
    let widths = widths.into_iter().enumerate().filter(|(at, _)| keep(at)).map(|(_, width)| width);
    let heading = pick(heading.map(Cell::from).into(), keep).style(weak());
    list(Table::new(rows, widths).header(heading), selected, frame, area);
}

/// The columns of jobs that fit.
const fn columns(width: u16) -> &'static [usize] {
    match width {
        0..50 => &[0, 1, 4, 6],
        50..80 => &[0, 1, 3, 4, 6],
        80..110 => &[0, 1, 3, 4, 5, 6, 7],
        _ => &[0, 1, 2, 3, 4, 5, 6, 7, 8],
    }
}

fn pick<'a>(cells: Vec<Cell<'a>>, keep: impl Fn(&usize) -> bool) -> Row<'a> {
    Row::new(cells.into_iter().enumerate().filter(|(at, _)| keep(at)).map(|(_, cell)| cell))
}

fn job(row: &JobRow) -> Vec<Cell<'static>> {
    let status = &row.status;
    let counts = &status.counts;
    let waits = !status.state.is_terminal() && counts.running == 0;
    let failed = Cell::from(count(counts.failed));
    let age = table::ago(status.submitted_at);
    vec![
        Cell::from(status.job.to_string()),
        Cell::from(outside(&status.spec.name, NAME)),
        Cell::from(outside(&status.spec.task.tenant, NAME)),
        Cell::from(state(status.state, waits)).style(state_style(status.state)),
        Cell::from(percent(counts.ok + counts.failed, counts.total)),
        Cell::from(count(counts.total)),
        if counts.failed > 0 { failed.style(bad()) } else { failed.style(weak()) },
        Cell::from(if status.state.is_terminal() { String::new() } else { rate(row.pace) }),
        Cell::from(age.trim_end_matches(" ago").to_owned()),
    ]
}

/// The workers.
pub fn workers(rows: &[WorkerRow], more: bool, model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if rows.is_empty() {
        let none = none("There is no worker", &model.filter);
        return frame.render_widget(Paragraph::new(none), area);
    }
    let area = noted(if more { "more behind these" } else { "" }, frame, area);
    let heading = ["NAME", "STATE", "BUSY", "RATE", "MEMORY", "HEARD", "LACKS"];
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(12),
        Constraint::Length(9),
        Constraint::Length(14),
        Constraint::Length(18),
        Constraint::Length(10),
        Constraint::Fill(1),
    ];
    let shown = match area.width {
        0..50 => 3,
        50..80 => 4,
        80..100 => 5,
        _ => widths.len(),
    };
    let keep = |at: &usize| *at < shown;
    let rows = rows.iter().map(|row| pick(worker(row), keep));
    let heading = pick(heading.map(Cell::from).into(), keep).style(weak());
    let widths = widths.into_iter().take(shown);
    list(Table::new(rows, widths).header(heading), model.selected, frame, area);
}

fn worker(row: &WorkerRow) -> Vec<Cell<'static>> {
    let status = &row.status;
    let (style, memory) = (worker_style(&status.state), status.capacity.memory);
    let lacks = row.report.as_ref().map_or_else(String::new, |report| report.jail_lacks.join(", "));
    vec![
        Cell::from(outside(&status.name, NAME)),
        Cell::from(Text::raw(state_word(&status.state))).style(style),
        Cell::from(format!("{} of {}", status.running.len(), status.capacity.slots)),
        Cell::from(rate(row.pace)),
        Cell::from(format!("{} of {memory}", row.memory_taken)),
        Cell::from(table::ago(status.heard_at)),
        Cell::from(outside(&lacks, NAME)).style(warn()),
    ]
}

fn worker_style(state: &WorkerState) -> ratatui::style::Style {
    match state {
        WorkerState::Ready => good(),
        WorkerState::Gone => warn(),
        WorkerState::Failing(_) => bad(),
        WorkerState::Draining | WorkerState::Drained | WorkerState::Cordoned => run(),
    }
}

fn state_word(state: &WorkerState) -> &'static str {
    match state {
        WorkerState::Ready => "● ready",
        WorkerState::Gone => "△ gone",
        WorkerState::Failing(_) => "◆ failing",
        WorkerState::Draining => "⤓ draining",
        WorkerState::Drained => "⤓ drained",
        WorkerState::Cordoned => "⏸ cordoned",
    }
}

/// Draws a table with the selected row in sight.
fn list(table: Table<'_>, selected: usize, frame: &mut Frame<'_>, area: Rect) {
    let table = table.column_spacing(1).row_highlight_style(strong().reversed());
    let mut at = TableState::new().with_selected(selected);
    frame.render_stateful_widget(table, area, &mut at);
}

/// Draws a note below, if there is one; what is left above it.
fn noted(note: &str, frame: &mut Frame<'_>, area: Rect) -> Rect {
    if note.is_empty() || area.height < 4 {
        return area;
    }
    let above = Rect { height: area.height - 1, ..area };
    let below = Rect { y: area.y + area.height - 1, height: 1, ..area };
    frame.render_widget(Paragraph::new(note.to_owned()).style(weak()), below);
    above
}

fn none(what: &str, filter: &str) -> String {
    match filter {
        "" => format!("{what}."),
        filter => format!("{what} whose name has {} in it.", outside(filter, NAME)),
    }
}

/// For how long a job has been there or took, for its page.
pub fn lasted(row: &wasmgrid_proto::JobStatus) -> String {
    let end = row.ended_at.unwrap_or_else(table::now);
    span(end.since(row.submitted_at))
}
