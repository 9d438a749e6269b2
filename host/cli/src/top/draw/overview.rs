//! How the grid is: rates, slots, what needs somebody, what fails, and what runs.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Sparkline},
};
use wasmgrid_proto::{
    Attention, ByteCount, DiskUse, JobRow, Overview, RateBucket, SlotsBucket, Workers,
    text::counted,
};

use super::{
    lists::jobs_table,
    parts::{bad, count, outside, percent, run, strong, warn, weak},
};
use crate::{cluster::rate, table, words};

/// Things that need somebody, at most: `wasmgrid status` has all.
const ATTENTION: usize = 4;

/// Draws it.
pub fn draw(
    overview: &Overview,
    (running, selected): (&[JobRow], usize),
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let notes = notes(overview);
    let charts = if area.height >= 16 { 4 } else { 0 };
    let rows = [
        Constraint::Length(3),
        Constraint::Length(charts),
        Constraint::Length(u16::try_from(notes.len()).unwrap_or(u16::MAX)),
        Constraint::Min(3),
    ];
    let [figures, drawn, said, jobs] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(lines(overview)), figures);
    draw_charts(overview, frame, drawn);
    frame.render_widget(Paragraph::new(notes), said);
    if running.is_empty() {
        frame.render_widget(Paragraph::new("No job is active."), jobs);
    } else {
        jobs_table(running, selected, frame, jobs);
    }
}

fn lines(overview: &Overview) -> Vec<Line<'static>> {
    let slots = &overview.slots;
    let linked = slots.busy + slots.idle + slots.cordoned + slots.draining + slots.failing;
    let pair = |name: &'static str, value: String| {
        [Span::styled(format!("{name} "), weak()), Span::styled(value, strong()), Span::raw("   ")]
    };
    let (jobs, tasks, hour) = (&overview.jobs, &overview.tasks, &overview.last_hour);
    let failed: u64 = hour.failed.iter().map(|kind| kind.count).sum();
    let mut first = Line::default();
    first.extend(pair("rate", rate(overview.pace)));
    first.extend(pair("slots", format!("{} of {} busy", count(slots.busy), count(linked))));
    first.extend(pair("jobs", format!("{} active", count(jobs.active))));
    let mut second = Line::default();
    second.extend(pair("queued", count(tasks.queued)));
    second.extend(pair("assigned", count(tasks.assigned)));
    let share = percent(failed, hour.ended);
    second.extend(pair("failed, last hour", format!("{} ({share})", count(failed))));
    let mut third = Line::default();
    if let Some(disk) = &overview.disk {
        third.extend(pair("disk", ByteCount(all(disk)).to_string()));
    }
    third.extend(pair("counted since", table::ago(overview.since)));
    vec![first, second, third]
}

const fn all(disk: &DiskUse) -> u64 {
    let DiskUse { inputs, results, logs, modules, journal } = *disk;
    inputs
        .saturating_add(results)
        .saturating_add(logs)
        .saturating_add(modules)
        .saturating_add(journal)
}

/// Tasks per second, and busy slots, over the last minutes.
fn draw_charts(overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    if area.height < 2 {
        return;
    }
    let halves = [Constraint::Fill(1), Constraint::Length(2), Constraint::Fill(1)];
    let [left, _, right] = Layout::horizontal(halves).areas(area);
    let ended = |bucket: &RateBucket| bucket.ok.saturating_add(bucket.failed);
    let rates = overview.rates.buckets.iter().map(ended).collect();
    chart("tasks that ended", rates, frame, left);
    let busy =
        |bucket: &SlotsBucket| bucket.jobs.iter().copied().fold(bucket.others, u64::saturating_add);
    let slots = overview.busy.buckets.iter().map(busy).collect();
    chart("busy slots", slots, frame, right);
}

/// The newest values, a column each, below what they are.
fn chart(what: &'static str, values: Vec<u64>, frame: &mut Frame<'_>, area: Rect) {
    let rows = [Constraint::Length(1), Constraint::Min(1)];
    let [heading, drawn] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(what).style(weak()), heading);
    let old = values.len().saturating_sub(usize::from(drawn.width));
    let newest = values.into_iter().skip(old).collect::<Vec<_>>();
    frame.render_widget(Sparkline::default().data(newest).style(run()), drawn);
}

/// What needs somebody, and what fails most.
fn notes(overview: &Overview) -> Vec<Line<'static>> {
    let mut notes: Vec<Line<'static>> = overview
        .attention
        .iter()
        .take(ATTENTION)
        .map(|one| Line::styled(format!("△ {}", outside(&attention(one), 200)), warn()))
        .collect();
    let more = overview.attention.len().saturating_sub(ATTENTION);
    if more > 0 {
        let more = counted(more as u64, "more thing");
        notes.push(Line::styled(format!("△ {more}: wasmgrid status"), warn()));
    }
    for kind in overview.last_hour.failed.iter().take(3) {
        let example = kind.example.as_ref();
        let example = example.map_or_else(String::new, |(job, text)| format!("job {job}: {text}"));
        let (tasks, example) = (counted(kind.count, "task"), outside(&example, 200));
        notes.push(Line::styled(format!("◆ {} {tasks}  {example}", kind.kind), bad()));
    }
    notes
}

/// What is so, in few words; `wasmgrid status` has what helps.
fn attention(attention: &Attention) -> String {
    match attention {
        Attention::NoWorker { workers: 0 } => "the grid has no worker".into(),
        Attention::NoWorker { workers } => {
            format!("of {} none takes tasks", counted(*workers, "worker"))
        }
        Attention::Refuses { error } => {
            format!("the scheduler takes no new work: {}", words::answer(error))
        }
        Attention::Gone(workers) => format!("gone: {}", named(workers)),
        Attention::Failing(workers) => format!("failing: {}", named(workers)),
        Attention::NotTaking(workers) => format!("taking no new tasks: {}", named(workers)),
        Attention::JailLacks { workers, layers } => {
            format!("the jail lacks {} on {}", layers.join(", "), named(workers))
        }
        Attention::Contested(workers) => {
            format!("another machine has the identity of {}", named(workers))
        }
        Attention::Stuck { jobs, count, wait, .. } => {
            let which = match jobs.as_slice() {
                [one] if *count == 1 => format!("job {one} cannot run"),
                _ => format!("{} cannot run", counted(*count, "job")),
            };
            format!("{which}: {}", wait.text(table::now()))
        }
    }
}

fn named(workers: &Workers) -> String {
    let behind = workers.count.saturating_sub(workers.names.len() as u64);
    let mut names = workers.names.join(", ");
    if behind > 0 {
        names += &format!(" and {}", counted(behind, "other"));
    }
    names
}
