//! Slots over time: a row is a worker, or one slot of it.

use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;
use wasmgrid_proto::Micros;

use super::{line::times, short};
use crate::{
    Guest,
    number::{counted, float, separated},
    text::escaped,
};

/// How much of a worker's slots was in use in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Column {
    /// The share for this job, from 0 to 1.
    pub own: f64,
    /// The share for other jobs, from 0 to 1.
    pub other: f64,
    /// True if a task failed then.
    pub failed: bool,
}

/// A worker over time.
#[derive(Clone, Debug, PartialEq)]
pub struct StripRow {
    /// Its name; what several rows are together has none.
    pub name: Guest,
    /// The worker's page.
    pub href: Option<String>,
    /// Slots.
    pub slots: u64,
    /// What ran in each span of time.
    pub columns: Vec<Column>,
}

/// Workers over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Strip {
    /// The odd rows first.
    pub rows: Vec<StripRow>,
    /// All others as one row, with how many they are.
    pub others: Option<(u64, Vec<Column>)>,
    /// When it begins.
    pub from: Micros,
    /// When it ends.
    pub to: Micros,
}

/// The height of a row in the drawing.
const ROW: f64 = 34.0;

impl fmt::Display for Strip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<div class=\"strip\">")?;
        for row in &self.rows {
            let plain = row.name.plain();
            match &row.href {
                Some(href) => {
                    f.write_str("<a class=\"w clip\" href=\"")?;
                    escaped(f, href)?;
                    f.write_str("\" title=\"")?;
                    escaped(f, &plain)?;
                    write!(f, "\">{}</a>", row.name)?;
                }
                None => write!(f, "<span class=\"w clip\">{}</span>", row.name)?,
            }
            columns(
                f,
                &format!("{plain}: {} over time", counted(row.slots, "slot")),
                &row.columns,
            )?;
        }
        if let Some((count, others)) = &self.others {
            write!(f, "<span class=\"w\">{} others, together</span>", separated(*count))?;
            columns(f, &format!("The other {}", counted(*count, "worker")), others)?;
        }
        f.write_str("<span></span>")?;
        times(f, self.from, self.to, 3)?;
        f.write_str("</div>")
    }
}

impl HtmlSafe for Strip {}

fn columns(f: &mut fmt::Formatter<'_>, label: &str, columns: &[Column]) -> fmt::Result {
    f.write_str("<svg viewBox=\"0 0 800 34\" preserveAspectRatio=\"none\" role=\"img\" ")?;
    f.write_str("aria-label=\"")?;
    escaped(f, label)?;
    f.write_str("\">")?;
    let shares = |share: fn(&Column) -> f64| area(&columns.iter().map(share).collect::<Vec<_>>());
    for (class, d) in [("f-other", shares(|at| at.own + at.other)), ("f-run", shares(|at| at.own))]
    {
        if !d.is_empty() {
            write!(f, "<path class=\"{class}\" d=\"{d}\"/>")?;
        }
    }
    let width = 800.0 / float(columns.len().max(1) as u64);
    let mut notches = String::new();
    for (at, _) in columns.iter().enumerate().filter(|(_, column)| column.failed) {
        // A notch is ten wide, however narrow its column is.
        let x = (float(at as u64) + 0.5).mul_add(width, -5.0).clamp(0.0, 790.0);
        let _ = write!(notches, "M{} 0h10l-5 8z", short(x));
    }
    if !notches.is_empty() {
        write!(f, "<path class=\"f-bad\" d=\"{notches}\"/>")?;
    }
    f.write_str("</svg>")
}

/// Steps from the left to the right; equal ones are one.
fn area(shares: &[f64]) -> String {
    let width = 800.0 / float(shares.len().max(1) as u64);
    let mut path = String::new();
    let mut before = f64::NAN;
    for (at, share) in shares.iter().enumerate() {
        let y = (ROW - share.clamp(0.0, 1.0) * ROW).round();
        if path.is_empty() {
            let _ = write!(path, "M0 34V{}", short(y));
        } else if (y - before).abs() > 0.1 {
            let _ = write!(path, "H{}V{}", short(float(at as u64) * width), short(y));
        }
        before = y;
    }
    let is_idle = shares.iter().all(|share| *share <= 0.0);
    if is_idle { String::new() } else { path + "H800V34z" }
}

/// A task in a slot, from and to as shares of the time shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// When it began, from 0 to 1.
    pub from: f64,
    /// When it ended.
    pub to: f64,
    /// Of the job that the picture is about.
    pub own: bool,
    /// It failed.
    pub failed: bool,
}

/// The slots of a worker over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Lanes {
    /// What it shows, in words.
    pub label: String,
    /// For each slot what ran there.
    pub slots: Vec<Vec<Block>>,
    /// When it begins.
    pub from: Micros,
    /// When it ends.
    pub to: Micros,
}

impl fmt::Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, height) = (self.slots.len(), self.slots.len() * 11);
        write!(f, "<div class=\"strip lanes\"><span class=\"w\">slots 1 to {count}</span>")?;
        write!(f, "<svg viewBox=\"0 0 800 {height}\" height=\"{height}\" ")?;
        f.write_str("preserveAspectRatio=\"none\" role=\"img\" aria-label=\"")?;
        escaped(f, &self.label)?;
        f.write_str("\">")?;
        let (mut own, mut other, mut failed) = (String::new(), String::new(), String::new());
        for (slot, blocks) in self.slots.iter().enumerate() {
            let y = slot * 11 + 1;
            for block in blocks {
                let from = block.from.clamp(0.0, 1.0) * 800.0;
                // What is short is still seen, and there is a gap to the next.
                let to = (block.to.clamp(0.0, 1.0) * 800.0 - 2.0).max(from + 1.0);
                let (from, end) = (short(from.round()), short(to.round()));
                let path = if block.own { &mut own } else { &mut other };
                let _ = write!(path, "M{from} {y}H{end}v9H{from}z");
                if block.failed {
                    let notch = short((to - 9.0).max(0.0).round());
                    let _ = write!(failed, "M{notch} {y}h9v9z");
                }
            }
        }
        for (class, d) in [("f-run", own), ("hollow", other), ("f-bad", failed)] {
            if !d.is_empty() {
                write!(f, "<path class=\"{class}\" d=\"{d}\"/>")?;
            }
        }
        f.write_str("</svg><span></span>")?;
        times(f, self.from, self.to, 3)?;
        f.write_str("</div>")
    }
}

impl HtmlSafe for Lanes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_worker_is_empty_and_equal_columns_are_one() {
        assert_eq!(area(&[0.0, 0.0]), "");
        assert_eq!(area(&[1.0, 1.0, 0.5, 0.5]), "M0 34V0H400V17H800V34z");
    }

    #[test]
    fn names_in_a_strip_are_text() {
        let row = StripRow {
            name: Guest::new("\"><script>"),
            href: Some("/workers/x\"y".into()),
            slots: 1,
            columns: vec![Column { own: 1.0, other: 0.0, failed: true }],
        };
        let (from, to) = (Micros(0), Micros(1));
        let drawn = Strip { rows: vec![row], others: None, from, to }.to_string();
        assert!(!drawn.contains("<script") && drawn.contains("x&quot;y"), "{drawn}");
        assert!(drawn.contains("<path class=\"f-bad\" d=\"M395 0h10l-5 8z\"/>"), "{drawn}");
    }
}
