//! What all views are made of.

use std::env;

use ratatui::style::{Color, Modifier, Style};
use wasmgrid_proto::{JobState, Millis};

use crate::escape::Outside;

/// What stands out.
pub fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// What stands behind.
pub fn weak() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// What went wrong.
pub fn bad() -> Style {
    coloured(Color::Red)
}

/// What is lost, or near a bound.
pub fn warn() -> Style {
    coloured(Color::Yellow)
}

/// What runs.
pub fn run() -> Style {
    coloured(Color::Cyan)
}

/// What is well.
pub fn good() -> Style {
    coloured(Color::Green)
}

/// Colour is never all that tells a thing, so it may be left out.
fn coloured(colour: Color) -> Style {
    if env::var_os("NO_COLOR").is_none() { Style::new().fg(colour) } else { strong() }
}

/// A text from outside on one line.
pub fn outside(text: &str, max: usize) -> String {
    Outside::new(text).short_line(max)
}

/// A count with a mark between thousands.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut marked = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            marked.push(',');
        }
        marked.push(digit);
    }
    marked
}

/// A part of a whole in percent, rounded down, so that 100% is all.
pub fn percent(part: u64, whole: u64) -> String {
    let hundredths = (u128::from(part) * 100).checked_div(u128::from(whole));
    hundredths.map_or_else(|| "–".into(), |hundredths| format!("{hundredths}%"))
}

/// A span to the second.
pub fn span(span: Millis) -> String {
    Millis(span.0 / 1_000 * 1_000).to_string()
}

/// A job's state as shape and word.
pub const fn state(state: JobState, waits: bool) -> &'static str {
    match state {
        JobState::Active if waits => "◌ active · waiting",
        JobState::Active => "◐ active",
        JobState::Ok => "✓ ok",
        JobState::Failed => "◆ failed",
        JobState::Cancelled => "⊘ cancelled",
        JobState::Expired => "◷ expired",
    }
}

/// How a job's state is drawn.
pub fn state_style(state: JobState) -> Style {
    match state {
        JobState::Active => run(),
        JobState::Ok => good(),
        JobState::Failed => bad(),
        JobState::Cancelled => weak(),
        JobState::Expired => warn(),
    }
}
