//! One job: how far, how fast, what fails, and what tasks used.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Gauge, Paragraph, Sparkline},
};
use wasmgrid_proto::{
    ByteCount, FailureGroup, JobCounts, JobSummary, Limits, Millis, Peak, Peaks, text::counted,
};

use super::{
    lists::lasted,
    parts::{bad, count, outside, run, state, state_style, strong, weak},
};
use crate::cluster::{rate, took};

/// Draws it.
pub fn draw(summary: &JobSummary, frame: &mut Frame<'_>, area: Rect) {
    let failures = failures(summary);
    let charts = if area.height >= 18 { 4 } else { 0 };
    let rows = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(charts),
        Constraint::Length(1),
        Constraint::Min(1),
    ];
    let [head, bar, counts, rates, peaks, failed] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(heading(summary)), head);
    frame.render_widget(progress(&summary.status.counts), bar);
    frame.render_widget(Paragraph::new(numbers(summary)), counts);
    draw_rates(summary, frame, rates);
    frame.render_widget(Paragraph::new(used(summary)), peaks);
    frame.render_widget(Paragraph::new(failures), failed);
}

fn heading(summary: &JobSummary) -> Line<'static> {
    let status = &summary.status;
    let waits = !status.state.is_terminal() && status.counts.running == 0;
    let (name, tenant) = (&status.spec.name, &status.spec.task.tenant);
    Line::from(vec![
        Span::styled(format!("job {} {}", status.job, outside(name, 60)), strong()),
        Span::raw("  "),
        Span::styled(state(status.state, waits), state_style(status.state)),
        Span::raw(format!("  {}  for {}", lasted(status), outside(tenant, 32))),
    ])
}

fn progress(counts: &JobCounts) -> Gauge<'static> {
    let (done, total) = (counts.ended(), counts.total);
    let ratio = if total == 0 { 0.0 } else { done as f64 / total as f64 };
    let label = format!("{} of {}", count(done), counted(total, "task"));
    Gauge::default().ratio(ratio.clamp(0.0, 1.0)).label(label).gauge_style(run())
}

fn numbers(summary: &JobSummary) -> Vec<Line<'static>> {
    let counts = &summary.status.counts;
    let mut tasks = Line::default();
    let all = [
        ("ok", counts.ok),
        ("failed", counts.failed),
        ("assigned", counts.running),
        ("queued", counts.queued),
        ("cancelled", counts.cancelled),
        ("expired", counts.expired),
        ("skipped", counts.skipped),
        ("retried", counts.retried),
    ];
    for (word, number) in all.into_iter().filter(|(_, number)| *number > 0) {
        let style = if word == "failed" { bad() } else { strong() };
        let number = Span::styled(count(number), style);
        tasks.extend([Span::styled(format!("{word} "), weak()), number, Span::raw("   ")]);
    }
    let running = counts.running.min(summary.running);
    let pace = format!("{}, {} run now", rate(summary.pace), count(running));
    vec![
        tasks,
        Line::from(vec![Span::styled("rate ", weak()), Span::styled(pace, strong())]),
        Line::from(vec![Span::styled("task time ", weak()), Span::styled(took(summary), strong())]),
    ]
}

fn draw_rates(summary: &JobSummary, frame: &mut Frame<'_>, area: Rect) {
    if area.height < 2 {
        return;
    }
    let rows = [Constraint::Length(1), Constraint::Min(1)];
    let [heading, drawn] = Layout::vertical(rows).areas(area);
    let what = format!("tasks that ended, each {}", summary.rates.width);
    frame.render_widget(Paragraph::new(what).style(weak()), heading);
    let ended = summary.rates.buckets.iter();
    let ended = ended.map(|bucket| bucket.ok.saturating_add(bucket.failed)).collect::<Vec<_>>();
    frame.render_widget(Sparkline::default().data(ended).style(run()), drawn);
}

/// The most that a task used of each limit.
fn used(summary: &JobSummary) -> Line<'static> {
    let Peaks { fuel, wall_us, memory, output, .. } = &summary.peaks;
    let limits: &Limits = &summary.status.spec.task.limits;
    let mut line = Line::from(Span::styled("at most ", weak()));
    let time = Millis(wall_us.most.div_ceil(1_000)).to_string();
    for (what, peak, most, limit) in [
        ("memory", memory, ByteCount(memory.most).to_string(), limits.memory.to_string()),
        ("time", wall_us, time, limits.deadline.to_string()),
        ("output", output, ByteCount(output.most).to_string(), limits.output.to_string()),
        ("fuel", fuel, count(fuel.most), limits.fuel.to_string()),
    ] {
        line.push_span(Span::styled(format!("{what} "), weak()));
        line.push_span(Span::styled(format!("{most} of {limit}"), style(peak)));
        line.push_span(Span::raw("   "));
    }
    line
}

/// What tasks ended at stands out.
fn style(peak: &Peak) -> ratatui::style::Style {
    if peak.reached > 0 { bad() } else { strong() }
}

fn failures(summary: &JobSummary) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = summary.failures.iter().map(failure).collect();
    if summary.other_failures.count > 0 {
        let others = counted(summary.other_failures.count, "more task");
        lines.push(Line::styled(format!("{others} failed in other ways"), weak()));
    }
    lines
}

fn failure(group: &FailureGroup) -> Line<'static> {
    let (tasks, message) = (counted(group.tasks.count, "task"), outside(&group.message, 200));
    Line::from(vec![
        Span::styled(format!("◆ {} ", group.kind), bad()),
        Span::styled(format!("{tasks}, as task {}  ", group.sample), weak()),
        Span::raw(message),
    ])
}
