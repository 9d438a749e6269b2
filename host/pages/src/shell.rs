//! What all pages share: the bar, who looks at it, whether it is live, and what a page is.

use wasmgrid_proto::{Micros, wire::Role};

use crate::{Guest, When, assets::Files};

/// The name of the form's field that has [`Shell::csrf`].
pub const CSRF_FIELD: &str = "csrf";

/// What a page shows beside its own.
#[derive(Clone, Debug)]
pub struct Shell {
    /// The grid's name; may be empty.
    pub grid: Guest,
    /// The tenant for whom the browser is logged in.
    pub user: Guest,
    /// As what.
    pub role: Role,
    /// The token against forgery that each form sends back in [`CSRF_FIELD`].
    pub csrf: String,
    /// Whether the page goes on by itself.
    pub live: Liveness,
}

/// Whether a page goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It has a stream, if it has live parts.
    Live,
    /// The grid is away since then: the page is as it was, and has a stream that tells when it is back.
    Away(Micros),
    /// It has no stream: to print it, or for a test.
    Still,
}

impl Shell {
    /// True if the browser is logged in as an operator.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.role == Role::Operator
    }

    pub(crate) fn files(&self) -> Files {
        Files
    }

    pub(crate) fn away_since(&self) -> Option<When> {
        match self.live {
            Liveness::Away(since) => Some(When::second(since)),
            Liveness::Live | Liveness::Still => None,
        }
    }

    pub(crate) fn streams(&self) -> bool {
        self.live != Liveness::Still
    }
}

/// How often a part of a page changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cadence {
    /// Each second.
    Second,
    /// When it has changed, and at most every two seconds.
    Changed,
    /// Every five seconds.
    FiveSeconds,
}

impl Cadence {
    /// The least time between two events of it.
    #[must_use]
    pub const fn millis(self) -> u64 {
        match self {
            Self::Second => 1_000,
            Self::Changed => 2_000,
            Self::FiveSeconds => 5_000,
        }
    }
}

/// A part of a page that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivePart {
    /// The `id` of the element whose inside changes; also the name of the event that has it.
    pub id: &'static str,
    /// How often.
    pub cadence: Cadence,
}

/// A part of a page as a server-sent event.
#[must_use]
pub fn event(id: &str, inside: &str) -> String {
    let mut event = format!("event: {id}\n");
    for line in inside.split('\n') {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event
}

/// A page.
pub trait Page {
    /// The path at which it is served. Its stream is at [`live_path`](Self::live_path), its parts at
    /// [`part_path`](Self::part_path).
    fn path(&self) -> String;

    /// What it is about, for the window's title.
    fn title(&self) -> String;

    /// To which entry of the bar it belongs.
    fn nav(&self) -> Nav;

    /// The parts of it that change. Send each as an event of the name `id` when its text differs from
    /// the last that was sent, no more often than its cadence says.
    fn live_parts(&self) -> &'static [LivePart] {
        &[]
    }

    /// The inside of the element with this id, as the whole page has it: a live part, or a row of a
    /// list (`job-N`, `worker-N`).
    fn part(&self, shell: &Shell, id: &str) -> Option<String> {
        let _ = (shell, id);
        None
    }

    /// The whole page.
    fn html(&self, shell: &Shell) -> String;

    /// After how many seconds the browser asks for it again, also without scripts.
    fn reload_seconds(&self) -> Option<u32> {
        None
    }

    /// The query of its address, with its `?`: a filter, a cursor, how results are shown. The stream
    /// and the parts have it too, so that they are of the same content.
    fn query(&self) -> String {
        String::new()
    }

    /// Where its stream of server-sent events is.
    fn live_path(&self) -> String {
        format!("{}/live{}", self.path().trim_end_matches('/'), self.query())
    }

    /// Where one part of it is.
    fn part_path(&self, id: &str) -> String {
        format!("{}/part/{id}{}", self.path().trim_end_matches('/'), self.query())
    }
}

/// The entries of the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nav {
    /// The overview.
    Overview,
    /// Jobs and tasks.
    Jobs,
    /// Workers; operators alone have it.
    Workers,
    /// Functions.
    Functions,
    /// Keys.
    Keys,
    /// About.
    About,
    /// None of them.
    None,
}

/// An entry of the bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NavItem {
    pub(crate) href: &'static str,
    pub(crate) word: &'static str,
    pub(crate) is_here: bool,
}

impl Nav {
    pub(crate) fn items(self, is_operator: bool) -> Vec<NavItem> {
        [
            (Self::Overview, "/", "Overview"),
            (Self::Jobs, "/jobs", "Jobs"),
            (Self::Workers, "/workers", "Workers"),
            (Self::Functions, "/functions", "Functions"),
            (Self::Keys, "/keys", "Keys"),
            (Self::About, "/about", "About"),
        ]
        .into_iter()
        .filter(|(nav, ..)| is_operator || *nav != Self::Workers)
        .map(|(nav, href, word)| NavItem { href, word, is_here: nav == self })
        .collect()
    }
}

/// What was drawn. Writing to a string cannot fail, so there is nothing to tell if it does.
pub(crate) fn drawn(result: askama::Result<String>) -> String {
    result.unwrap_or_default()
}
