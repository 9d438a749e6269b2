//! Bars: parts of a whole beside each other.

use std::fmt;

use askama::filters::HtmlSafe;
use wasmgrid_proto::JobCounts;

use crate::{
    number::{float, separated},
    text::escaped,
};

/// What an area means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Ended ok.
    Ok,
    /// Failed.
    Bad,
    /// Runs, or is used.
    Run,
    /// Waits.
    Wait,
    /// Lost, or near a bound.
    Warn,
    /// At rest.
    Rest,
    /// Of others.
    Other,
}

impl Fill {
    const fn class(self) -> &'static str {
        match self {
            Self::Ok => "f-ok",
            Self::Bad => "f-bad",
            Self::Run => "f-run",
            Self::Wait => "f-wait",
            Self::Warn => "f-warn",
            Self::Rest => "f-rest",
            Self::Other => "f-other",
        }
    }
}

/// As the name of a class.
impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class())
    }
}

/// A bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    label: String,
    whole: f64,
    parts: Vec<(Fill, f64)>,
    big: bool,
}

/// What is not nothing is at least so wide, in percent of the bar.
const LEAST: f64 = 0.35;

impl Bar {
    /// A bar of `whole`, with what it says to those who do not see it.
    pub fn new(label: impl Into<String>, whole: u64) -> Self {
        Self { label: label.into(), whole: float(whole), parts: Vec::new(), big: false }
    }

    /// One part of a whole.
    pub fn of(label: impl Into<String>, fill: Fill, part: u64, whole: u64) -> Self {
        Self::new(label, whole).part(fill, part)
    }

    /// The tasks of a job that ran or run; what waits, or will never run, is empty.
    #[must_use]
    pub fn of_tasks(counts: &JobCounts) -> Self {
        let label = format!(
            "{} ok, {} failed, {} assigned, {} queued, of {}",
            separated(counts.ok),
            separated(counts.failed),
            separated(counts.running),
            separated(counts.queued),
            separated(counts.total)
        );
        Self::new(label, counts.total)
            .part(Fill::Ok, counts.ok)
            .part(Fill::Bad, counts.failed)
            .part(Fill::Run, counts.running)
    }

    /// Puts one more part behind those before it.
    #[must_use]
    pub fn part(mut self, fill: Fill, size: u64) -> Self {
        if size > 0 {
            self.parts.push((fill, float(size)));
        }
        self
    }

    /// Higher, for the bar that a page is about.
    #[must_use]
    pub fn big(mut self) -> Self {
        self.big = true;
        self
    }

    /// The width of each part in percent: together 100 at most.
    fn widths(&self) -> Vec<f64> {
        let share = |size: f64| if self.whole > 0.0 { size / self.whole * 100.0 } else { 0.0 };
        let mut widths: Vec<f64> =
            self.parts.iter().map(|(_, size)| share(*size).clamp(LEAST, 100.0)).collect();
        let over = widths.iter().sum::<f64>() - 100.0;
        if over > 0.0
            && let Some(largest) = widths.iter_mut().max_by(|a, b| a.total_cmp(b))
        {
            *largest = (*largest - over).max(LEAST);
        }
        widths
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = if self.big { "track big" } else { "track" };
        write!(f, "<svg class=\"{class}\" role=\"img\" aria-label=\"")?;
        escaped(f, &self.label)?;
        f.write_str("\">")?;
        let mut from = 0.0;
        for ((fill, _), width) in self.parts.iter().zip(self.widths()) {
            let (x, width_text) = (trimmed(from), trimmed(width));
            write!(
                f,
                "<rect class=\"{fill}\" x=\"{x}%\" width=\"{width_text}%\" height=\"100%\"/>"
            )?;
            from += width;
        }
        f.write_str("</svg>")
    }
}

impl HtmlSafe for Bar {}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_zero_is_seen_and_all_of_it_fits() {
        let bar = Bar::new("", 1_000_000)
            .part(Fill::Ok, 999_997)
            .part(Fill::Bad, 1)
            .part(Fill::Run, 2)
            .part(Fill::Wait, 0);
        let widths = bar.widths();
        assert_eq!(widths.len(), 3, "a part of nothing is none");
        assert!(widths.iter().all(|width| *width >= LEAST), "{widths:?}");
        assert!(widths.iter().sum::<f64>() <= 100.001, "{widths:?}");
    }

    #[test]
    fn a_bar_of_nothing_is_empty_and_says_so() {
        let bar = Bar::of_tasks(&JobCounts::default()).to_string();
        assert!(bar.contains("aria-label=\"0 ok, 0 failed, 0 assigned, 0 queued, of 0\""), "{bar}");
        assert!(!bar.contains("rect"), "{bar}");
    }
}
