//! What `list` and `show` print: tables for people, JSON for programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use wasmgrid_proto::{Micros, Millis};

use crate::escape;

/// Prints a line on stdout. Where nobody reads it any more (`| head`) there is nobody to tell.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}
pub(crate) use say;

/// Prints a value as one JSON document.
///
/// # Errors
/// Where stdout cannot be written.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints rows under a heading.
pub fn rows<const N: usize>(heading: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading);
    for row in rows {
        table.add_row(row.map(|cell| escape::text(&cell)));
    }
    say!("{}", table.trim_fmt());
}

/// Prints names with their values below each other.
pub fn fields<const N: usize>(fields: [(&str, String); N]) {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in fields {
        say!("{name:width$}  {}", escape::text(&value));
    }
}

/// How long ago something was, to the second.
pub fn ago(at: Micros) -> String {
    format!("{} ago", seconds(now().since(at)))
}

/// The time by this machine's clock.
pub fn now() -> Micros {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Micros(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

/// A span of time to the second.
pub fn seconds(span: Millis) -> Millis {
    Millis(span.0 / 1_000 * 1_000)
}
