//! Jobs: which one, how far it is, what failed.

use askama::Template;
use wasmgrid_proto::{JobCounts, JobId, JobState, Micros, Millis};

use crate::{
    Bar, Cadence, Count, Guest, LivePart, Nav, Page, Shell, State, When, number, shell::drawn,
    text::query,
};

/// A job in a list.
#[derive(Clone, Debug)]
pub struct JobRow {
    /// Its number.
    pub id: JobId,
    /// Its name; may be empty.
    pub name: Guest,
    /// Whose it is.
    pub tenant: Guest,
    /// Where it is in its life.
    pub state: JobState,
    /// True if it is active and no worker has a task of it.
    pub waits: bool,
    /// True if inputs may be appended.
    pub open: bool,
    /// Its tasks.
    pub counts: JobCounts,
    /// Tasks that end each second; `None` if it does not run.
    pub rate: Option<f64>,
    /// What is left at this rate.
    pub left: Left,
    /// When it was submitted.
    pub submitted_at: Micros,
    /// How long it took; `None` before its end.
    pub took: Option<Millis>,
}

/// When a job will be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// At this rate.
    About(Millis),
    /// Its inputs come from others, so nobody knows.
    AsFed,
    /// Nothing runs.
    Unknown,
}

impl Left {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::About(left) => number::seconds(*left),
            Self::AsFed => "as fed".into(),
            Self::Unknown => "–".into(),
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        matches!(self, Self::About(_))
    }
}

impl JobRow {
    pub(crate) fn shown_name(&self) -> Guest {
        if self.name.is_empty() {
            Guest::new(format!("job {}", self.id))
        } else {
            self.name.clone()
        }
    }

    pub(crate) fn state(&self) -> State {
        let only_waits_for_inputs = self.open && self.counts.queued + self.counts.running == 0;
        State::of_job(self.state, self.waits, only_waits_for_inputs)
    }

    pub(crate) fn bar(&self) -> Bar {
        Bar::of_tasks(&self.counts)
    }

    pub(crate) fn ended(&self) -> String {
        if self.counts.total == 0 {
            return "–".into();
        }
        // What was cancelled, has expired or was skipped did not run, so it is no progress.
        number::percent(self.counts.ok + self.counts.failed, self.counts.total)
    }

    pub(crate) fn rate(&self) -> String {
        self.rate.map_or_else(String::new, number::rate)
    }

    pub(crate) fn total(&self) -> Count {
        Count(self.counts.total)
    }

    pub(crate) fn failed(&self) -> Count {
        Count(self.counts.failed)
    }

    pub(crate) fn submitted_near(&self, now: &Micros) -> When {
        When::near(self.submitted_at, *now)
    }

    pub(crate) fn took(&self) -> String {
        self.took.map_or_else(String::new, number::span)
    }
}

/// The filters of the list, as the address has them.
#[derive(Clone, Debug, Default)]
pub struct JobsFilter {
    /// In this state; in any if there is none.
    pub state: Option<JobState>,
    /// The name begins so; empty for any.
    pub name: String,
    /// Of this tenant; empty for all. Operators alone choose one.
    pub tenant: String,
}

impl JobsFilter {
    /// True if it keeps any job out.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.state.is_some() || !self.name.is_empty() || !self.tenant.is_empty()
    }

    pub(crate) fn states(&self) -> Vec<(String, bool)> {
        let states = [
            JobState::Active,
            JobState::Ok,
            JobState::Failed,
            JobState::Cancelled,
            JobState::Expired,
        ];
        states.map(|state| (state.to_string(), self.state == Some(state))).into()
    }

    pub(crate) fn guest_tenant(&self) -> Guest {
        Guest::new(self.tenant.as_str())
    }

    pub(crate) fn plain_name(&self) -> Guest {
        Guest::new(self.name.as_str())
    }

    /// What no job is like, in words, around the guests' texts.
    pub(crate) fn has(&self) -> &'static str {
        match self.state {
            None => " is kept here",
            Some(JobState::Active) => " is active",
            Some(JobState::Ok) => " has ended ok",
            Some(JobState::Failed) => " has failed",
            Some(JobState::Cancelled) => " was cancelled",
            Some(JobState::Expired) => " has expired",
        }
    }
}

/// The page of jobs.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// The time, as the scheduler has it.
    pub now: Micros,
    /// What is looked for.
    pub filter: JobsFilter,
    /// Tenants to choose from; for operators.
    pub tenants: Vec<Guest>,
    /// The jobs of this page, newest first.
    pub rows: Vec<JobRow>,
    /// How many there are; `None` if nobody counted.
    pub total: Option<u64>,
    /// The cursor of this page; empty for the first.
    pub cursor: String,
    /// The cursor of older ones, if there are any.
    pub older: Option<String>,
    /// How long ended jobs are kept.
    pub kept: Option<Millis>,
}

const LIVE: &[LivePart] = &[LivePart { id: "jobs", cadence: Cadence::Changed }];

#[derive(Template)]
#[template(path = "jobs.html", blocks = ["jobs"])]
struct View<'a> {
    shell: &'a Shell,
    page: &'a Jobs,
}

#[derive(Template)]
#[template(path = "row/jobs.html")]
struct Row<'a> {
    shell: &'a Shell,
    page: &'a Jobs,
    row: &'a JobRow,
}

impl Jobs {
    /// This list from a cursor on.
    fn query_at(&self, cursor: &str) -> String {
        let state = self.filter.state.map_or_else(String::new, |state| state.to_string());
        let (name, tenant) = (self.filter.name.as_str(), self.filter.tenant.as_str());
        query(&[("state", &state), ("name", name), ("tenant", tenant), ("cursor", cursor)])
    }

    pub(crate) fn older_path(&self) -> Option<String> {
        self.older.as_ref().map(|cursor| format!("/jobs{}", self.query_at(cursor)))
    }

    pub(crate) fn count_line(&self) -> String {
        let shown = match self.rows.len() {
            0 => "none".to_owned(),
            shown => number::separated(shown as u64),
        };
        match self.total {
            Some(total) => format!("Newest first, {shown} of {}", number::separated(total)),
            None => format!("Newest first, {shown} on this page"),
        }
    }

    pub(crate) fn range_line(&self) -> String {
        let (first, last) = (self.rows.first(), self.rows.last());
        let mut line = match (first, last) {
            (Some(first), Some(last)) => format!("Jobs {} to {}.", first.id, last.id),
            _ => String::new(),
        };
        if let Some(kept) = self.kept {
            line +=
                &format!(" Those that ended {} ago and earlier are not kept.", number::span(kept));
        }
        line
    }
}

impl Page for Jobs {
    fn path(&self) -> String {
        "/jobs".into()
    }

    fn query(&self) -> String {
        self.query_at(&self.cursor)
    }

    fn title(&self) -> String {
        "Jobs".into()
    }

    fn nav(&self) -> Nav {
        Nav::Jobs
    }

    fn live_parts(&self) -> &'static [LivePart] {
        LIVE
    }

    fn part(&self, shell: &Shell, id: &str) -> Option<String> {
        let view = View { shell, page: self };
        if id == "jobs" {
            return Some(drawn(view.as_jobs().render()));
        }
        let number = id.strip_prefix("job-")?;
        let row = self.rows.iter().find(|row| row.id.to_string() == number)?;
        Some(drawn(Row { shell, page: self, row }.render()))
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(View { shell, page: self }.render())
    }
}
