//! How `top` draws what it shows. All that comes from outside is escaped, as in whatever is printed.

mod job;
mod lists;
mod overview;
mod parts;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    ask::Of,
    model::{Model, View},
};
use crate::escape::Outside;
use parts::{bad, strong, weak};

/// Draws everything.
pub fn draw(model: &Model, frame: &mut Frame<'_>) {
    let rows = [Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)];
    let [head, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(heading(model)), head);
    draw_body(model, frame, body);
    frame.render_widget(Paragraph::new(footer(model)), foot);
}

fn draw_body(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if let Some(refusal) = &model.refusal {
        let said = Paragraph::new(Outside::new(refusal).line()).style(bad());
        return frame.render_widget(said.wrap(ratatui::widgets::Wrap { trim: true }), area);
    }
    let Some(seen) = &model.seen else {
        return frame.render_widget(Paragraph::new("Asking the grid …"), area);
    };
    match (&seen.of, model.open, model.view) {
        (Of::Job(summary), Some(_), _) => job::draw(summary, frame, area),
        (Of::Jobs(rows, _), None, View::Overview) => {
            overview::draw(&seen.overview, (rows, model.selected), frame, area);
        }
        (Of::Jobs(rows, more), None, View::Jobs) => {
            lists::jobs(rows, *more, model, frame, area);
        }
        (Of::Workers(rows, more), None, View::Workers) => {
            lists::workers(rows, *more, model, frame, area);
        }
        // What was seen is of another view.
        _ => frame.render_widget(Paragraph::new("Asking the grid …"), area),
    }
}

/// Which grid, which view, and whether it is live.
fn heading(model: &Model) -> Line<'static> {
    let mut spans = vec![Span::styled(Outside::new(&model.context).short_line(24), strong())];
    for (number, view) in (1..).zip(View::ALL) {
        let is_here = view == model.view && model.open.is_none();
        let style = if is_here { strong().reversed() } else { weak() };
        spans.push(Span::raw("  "));
        spans.push(Span::styled(format!("{number} {}", view.word()), style));
    }
    if let Some(job) = model.open {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(format!("Job {job}"), strong().reversed()));
    }
    spans.push(Span::raw("  "));
    spans.push(match model.silent_since {
        None => Span::styled("live", weak()),
        Some(since) => {
            let seconds = since.elapsed().as_secs();
            Span::styled(format!("not live for {seconds}s: the grid is away"), bad())
        }
    });
    Line::from(spans)
}

/// What keys do; while a filter is typed, the filter.
fn footer(model: &Model) -> Line<'static> {
    if model.is_typing {
        let typed = Outside::new(&model.filter).line();
        return Line::from(format!("name has: {typed}▏  Enter keeps it, Esc drops it"));
    }
    let keys: &[(&str, &str)] = match (model.open, model.view) {
        (Some(_), _) => &[("Esc", "back")],
        (None, View::Overview) => &[("Tab", "next view"), ("Enter", "open job")],
        (None, View::Jobs) => &[("Enter", "open"), ("/", "name"), ("a", "active only")],
        (None, View::Workers) => &[("/", "name"), ("Esc", "back")],
    };
    let mut spans = vec![Span::styled("q", strong()), Span::raw(" quit")];
    for (key, does) in keys {
        spans.extend([
            Span::raw("  "),
            Span::styled(*key, strong()),
            Span::raw(format!(" {does}")),
        ]);
    }
    if !model.filter.is_empty() {
        let filter = Outside::new(&model.filter).line();
        spans.push(Span::raw(format!("  name has: {filter}")));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests;
