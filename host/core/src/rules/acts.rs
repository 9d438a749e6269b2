//! What is remembered for the audit log: the request that is being handled, and who was refused how
//! often. Which of it is entered is decided in `audit`.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use wasmgrid_proto::{Act, Caller, JobId, Micros, text::Name, wire::Role};

/// A role, and [as whom](Caller::known_as) somebody of it is known: who is counted as one caller.
pub(super) type Who = (Role, Name);

/// What is known of acts beside the log itself.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// The request that is being handled, if it belongs in the log.
    pub(super) open: Option<OpenAct>,
    /// Who has appended to another tenant's job in this term: of many appends the first is entered.
    /// Operators alone may, of whom a grid has few.
    pub(super) appended: BTreeMap<JobId, BTreeSet<Who>>,
    pub(super) refusals: BTreeMap<Who, Refusals>,
    /// When the windows of refusals end.
    pub(super) ends: BTreeSet<(Micros, Who)>,
}

#[derive(Debug)]
pub(super) struct OpenAct {
    pub(super) by: Arc<Caller>,
    pub(super) act: Box<Act>,
    /// How many records were written before it.
    pub(super) written: u64,
    /// The job, if inputs are appended to it.
    pub(super) appends: Option<JobId>,
}

/// The refused attempts of one caller in one window.
#[derive(Debug)]
pub(super) struct Refusals {
    pub(super) entered: u64,
    /// Those that have no entries.
    pub(super) more: u64,
    /// The last of those.
    pub(super) last: Option<Refusal>,
}

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) by: Arc<Caller>,
    pub(super) act: Box<Act>,
    pub(super) reason: Name,
}

impl Audit {
    /// When a window ends.
    pub(super) fn next(&self) -> Option<Micros> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// A job is no more.
    pub(super) fn forget(&mut self, job: JobId) {
        self.appended.remove(&job);
    }

    /// Ends the window that ends first, if that is due by `upto`.
    pub(super) fn end_window(&mut self, upto: Micros) -> Option<Refusals> {
        self.next().filter(|at| *at <= upto)?;
        let (_, who) = self.ends.pop_first()?;
        self.refusals.remove(&who)
    }
}
