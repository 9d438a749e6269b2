//! Functions: what they cost, and what fails.

use askama::Template;
use wasmgrid_proto::{Digest, Micros, Millis};

use crate::{
    Cadence, Count, Guest, LivePart, Nav, Page, Shell, Spark, number, shell::drawn, text::query,
};

/// A function in the list.
#[derive(Clone, Debug)]
pub struct FunctionRow {
    /// Its name.
    pub name: Guest,
    /// Calls each second.
    pub rate: f64,
    /// Calls per second over an hour.
    pub hour: Spark,
    /// Half of the calls take less, in microseconds; `None` without calls.
    pub p50_us: Option<u64>,
    /// 99 of 100 calls take less, in microseconds.
    pub p99_us: Option<u64>,
    /// Calls that failed in the last hour.
    pub failed: u64,
    /// Its module.
    pub module: Digest,
    /// What it may do, as on the command line.
    pub grants: Vec<Guest>,
    /// When it was deployed.
    pub deployed_at: Micros,
}

/// The page of functions.
#[derive(Clone, Debug)]
pub struct Functions {
    /// The time, as the scheduler has it.
    pub now: Micros,
    /// All of the tenant, by name; or a page of them.
    pub rows: Vec<FunctionRow>,
    /// The cursor of this page; empty for the first.
    pub cursor: String,
    /// The cursor of the next ones, if there are any.
    pub next: Option<String>,
    /// The gateway's own address, for the example of a call: `https://grid.example:7434`.
    pub base: String,
}

const DAY_MS: u64 = 86_400_000;

const LIVE: &[LivePart] = &[LivePart { id: "functions", cadence: Cadence::Changed }];

#[derive(Template)]
#[template(path = "functions.html", blocks = ["functions"])]
struct View<'a> {
    shell: &'a Shell,
    page: &'a Functions,
}

impl Functions {
    pub(crate) fn next_path(&self) -> Option<String> {
        self.next.as_ref().map(|cursor| format!("/functions{}", query(&[("cursor", cursor)])))
    }

    /// A name for the examples.
    pub(crate) fn example(&self) -> String {
        self.rows.first().map_or_else(|| "resize".into(), |row| row.name.plain())
    }
}

impl FunctionRow {
    pub(crate) fn rate(&self) -> String {
        number::rate(self.rate)
    }

    pub(crate) fn p50(&self) -> Option<String> {
        self.p50_us.map(number::took)
    }

    pub(crate) fn p99(&self) -> Option<String> {
        self.p99_us.map(number::took)
    }

    pub(crate) fn failed_count(&self) -> Count {
        Count(self.failed)
    }

    pub(crate) fn digest(&self) -> String {
        self.module.to_string()
    }

    pub(crate) fn short_digest(&self) -> String {
        self.digest().chars().take(12).collect()
    }

    pub(crate) fn deployed(&self, now: &Micros) -> String {
        match now.since(self.deployed_at) {
            ago if ago.0 < 60_000 => "just now".into(),
            ago if ago.0 < DAY_MS => format!("{} ago", number::span(ago)),
            ago => format!("{} ago", number::span(Millis(ago.0 / DAY_MS * DAY_MS))),
        }
    }
}

impl Page for Functions {
    fn path(&self) -> String {
        "/functions".into()
    }

    fn query(&self) -> String {
        query(&[("cursor", &self.cursor)])
    }

    fn title(&self) -> String {
        "Functions".into()
    }

    fn nav(&self) -> Nav {
        Nav::Functions
    }

    fn live_parts(&self) -> &'static [LivePart] {
        LIVE
    }

    fn part(&self, shell: &Shell, id: &str) -> Option<String> {
        (id == "functions").then(|| drawn(View { shell, page: self }.as_functions().render()))
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(View { shell, page: self }.render())
    }
}
