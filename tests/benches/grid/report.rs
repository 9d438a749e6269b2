//! The figures: collected one by one, then printed as a table and written as JSON.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{machine::Machine, options::Options};

/// The version of the JSON; a change that readers notice gets another one.
const FORMAT: u32 = 1;

/// All figures of a run.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    skipped: Vec<(String, String)>,
}

/// One figure.
#[derive(Clone)]
pub struct Row {
    /// For programs; stable.
    name: String,
    /// For people.
    what: String,
    value: f64,
    unit: &'static str,
    /// What it is compared with: the name of another row, and how much of it this is.
    ratio: Option<(String, f64)>,
    target: Option<Target>,
    beside: Vec<(&'static str, f64)>,
    /// Others had enough of the machine that the clock tells little.
    is_noisy: bool,
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Target {
    /// The figure at most.
    AtMost(f64),
    /// The figure at least.
    AtLeast(f64),
    /// Its ratio at least.
    RatioAtLeast(f64),
    /// Its ratio at most.
    RatioAtMost(f64),
}

impl Row {
    /// A figure with nothing to compare it with.
    pub fn new(
        name: impl Into<String>,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        let (name, what) = (name.into(), what.into());
        Self {
            name,
            what,
            value,
            unit,
            ratio: None,
            target: None,
            beside: Vec::new(),
            is_noisy: false,
        }
    }

    /// Compared with another row's.
    pub fn of(self, name: impl Into<String>, value: f64) -> Self {
        let ratio = self.value / value;
        self.ratio(name, ratio)
    }

    /// The same with a ratio that was taken elsewhere, such as round by round.
    pub fn ratio(mut self, name: impl Into<String>, ratio: f64) -> Self {
        self.ratio = Some((name.into(), ratio));
        self
    }

    /// Held to this.
    pub const fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// What else was seen; the name ends in its unit.
    pub fn beside(mut self, name: &'static str, value: f64) -> Self {
        self.beside.push((name, value));
        self
    }

    fn is_met(&self) -> Option<bool> {
        let ratio = self.ratio.as_ref().map_or(f64::NAN, |(_, ratio)| *ratio);
        Some(match self.target? {
            Target::AtMost(most) => self.value <= most,
            Target::AtLeast(least) => self.value >= least,
            Target::RatioAtLeast(least) => ratio >= least,
            Target::RatioAtMost(most) => ratio <= most,
        })
    }

    fn target_text(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtMost(most)) => format!("at most {}", figure(most)),
            Some(Target::AtLeast(least)) => format!("at least {}", figure(least)),
            Some(Target::RatioAtLeast(least)) => format!("at least {:.0} %", 100.0 * least),
            Some(Target::RatioAtMost(most)) => format!("at most {:.0} %", 100.0 * most),
        }
    }

    fn print(&self) {
        let ratio = self.ratio.as_ref();
        let ratio = ratio.map_or_else(String::new, |(of, r)| format!("{:.1} % of {of}", 100.0 * r));
        let met = match (self.is_met(), self.is_noisy) {
            (None, _) => "",
            (Some(true), false) => "yes",
            (Some(true), true) => "yes?",
            (Some(false), false) => "**no**",
            (Some(false), true) => "**no?**",
        };
        let beside: Vec<_> = self
            .beside
            .iter()
            .map(|(name, value)| format!("{} {}", figure(*value), name.replace('_', " ")))
            .collect();
        println!(
            "| {} | {} | {} {} | {ratio} | {} | {met} | {} |",
            self.name,
            self.what,
            figure(self.value),
            self.unit,
            self.target_text(),
            beside.join(", "),
        );
    }

    fn json(&self) -> Value {
        let (kind, bound) = match self.target {
            None => (None, None),
            Some(Target::AtMost(value)) => (Some("at_most"), Some(value)),
            Some(Target::AtLeast(value)) => (Some("at_least"), Some(value)),
            Some(Target::RatioAtLeast(value)) => (Some("ratio_at_least"), Some(value)),
            Some(Target::RatioAtMost(value)) => (Some("ratio_at_most"), Some(value)),
        };
        let beside: serde_json::Map<String, Value> =
            self.beside.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "name": self.name, "what": self.what, "value": self.value, "unit": self.unit,
            "of": self.ratio.as_ref().map(|(of, _)| of),
            "ratio": self.ratio.as_ref().map(|(_, ratio)| ratio),
            "target": kind.map(|kind| json!({ kind: bound })),
            "met": self.is_met(), "noisy": self.is_noisy, "beside": beside,
        })
    }
}

impl Report {
    /// Takes a figure, and tells of it.
    pub fn push(&mut self, row: Row) {
        eprintln!("{}: {} {}", row.name, figure(row.value), row.unit);
        self.rows.push(row);
    }

    /// How many figures there are.
    pub const fn count(&self) -> usize {
        self.rows.len()
    }

    /// Says of all figures from this one on that others had much of the machine meanwhile.
    pub fn noisy(&mut self, from: usize) {
        self.rows.iter_mut().skip(from).for_each(|row| row.is_noisy = true);
    }

    /// Notes what was not measured, and why.
    pub fn skip(&mut self, name: impl Into<String>, why: impl Into<String>) {
        let (name, why) = (name.into(), why.into());
        eprintln!("{name}: skipped: {why}");
        self.skipped.push((name, why));
    }

    /// A figure that was taken before.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name).map(|row| row.value)
    }

    /// Its ratio.
    pub fn ratio(&self, name: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        row.ratio.as_ref().map(|(_, ratio)| *ratio)
    }

    /// Prints the figures as Markdown, but for those of peers, which have a table of their own.
    pub fn print(&self) {
        println!("| line | what | figure | ratio | target | met | beside |");
        println!("|---|---|--:|--:|--:|---|---|");
        self.rows.iter().filter(|row| !row.name.starts_with("peers.")).for_each(Row::print);
        for (name, why) in &self.skipped {
            println!("| {name} | skipped: {why} | | | | | |");
        }
        println!();
    }

    /// Writes everything to a file.
    pub fn write_json(&self, path: &Path, machine: &Machine, options: &Options) {
        let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
        let skipped: Vec<_> =
            self.skipped.iter().map(|(name, why)| json!({ "name": name, "why": why })).collect();
        let text = json!({
            "format": FORMAT, "machine": machine.json(),
            "mode": { "quick": options.quick, "only": options.only },
            "took_seconds": options.elapsed().as_secs(),
            "rows": rows, "skipped": skipped,
        });
        fs::write(path, format!("{text:#}\n"))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// A number as people read it: three digits that mean something, and all before the point.
pub fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(w, r)| (w, r));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && digit != '-' && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}
