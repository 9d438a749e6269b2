//! What `list` and `show` print: tables for people, JSON for programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use wasmgrid_net::Validity;
use wasmgrid_proto::{Micros, Millis};

use crate::{
    escape::{Lines, Outside},
    print::{self, Unwritten},
};

/// Prints a value as one JSON document.
///
/// # Errors
/// Where stdout cannot be written.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(print::exactly(&format!("{}\n", serde_json::to_string_pretty(value)?))?)
}

/// Prints rows under a heading.
///
/// # Errors
/// Where stdout cannot be written.
pub fn rows<const N: usize>(
    heading: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<(), Unwritten> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading);
    for row in rows {
        table.add_row(row.map(|cell| Outside::new(cell).line()));
    }
    let mut lines = Lines::default();
    table.trim_fmt().lines().for_each(|line| lines.push(line));
    print::lines(&lines)
}

/// A value: a text on one line, or several such below each other.
pub enum Value {
    /// One line.
    Line(String),
    /// One line each.
    Lines(Vec<String>),
}

impl From<String> for Value {
    fn from(line: String) -> Self {
        Self::Line(line)
    }
}

/// Prints names with their values below each other.
///
/// # Errors
/// Where stdout cannot be written.
pub fn fields<'a, V: Into<Value>>(
    fields: impl IntoIterator<Item = (&'a str, V)>,
) -> Result<(), Unwritten> {
    let fields: Vec<_> = fields.into_iter().collect();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut lines = Lines::default();
    for (name, value) in fields {
        let values = match value.into() {
            Value::Line(line) => vec![line],
            Value::Lines(lines) => lines,
        };
        for (at, value) in values.into_iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            lines.push(format_args!("{name:width$}  {}", Outside::new(value).line()));
        }
    }
    print::lines(&lines)
}

/// How long ago something was, to the second.
pub fn ago(at: Micros) -> String {
    format!("{} ago", seconds(now().since(at)))
}

/// What is left of a certificate, and whether it should have been renewed.
pub fn left(validity: &Validity) -> String {
    let left = validity.left(now());
    if left == Millis(0) {
        return "ended".into();
    }
    let left = if left > DAY { Millis(left.0 / DAY.0 * DAY.0) } else { seconds(left) };
    let mark = if validity.warn_at() <= now() { " left, not renewed" } else { " left" };
    format!("{left}{mark}")
}

const DAY: Millis = Millis(24 * 60 * 60 * 1_000);

/// The time by this machine's clock.
pub fn now() -> Micros {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Micros(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

/// A span of time to the second.
pub fn seconds(span: Millis) -> Millis {
    Millis(span.0 / 1_000 * 1_000)
}
