//! Why a job's tasks wait.

use serde::Serialize;
use wasmgrid_proto::{Explanation, JobState, Micros, Wait};

use crate::CountsView;

/// Why a job's tasks wait.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ExplanationView<'a> {
    /// The job.
    pub job: u64,
    /// Whose it is.
    pub tenant: &'a str,
    /// `active`, or how it ended.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub state: JobState,
    /// Its tasks by state.
    pub counts: CountsView,
    /// Why tasks wait, the gravest reason first.
    pub reasons: Vec<ReasonView>,
}

/// Why some tasks wait.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReasonView {
    /// A short name that stays the same.
    pub reason: &'static str,
    /// How many tasks wait for it; 0 if it adds to the reason before it.
    pub tasks: u64,
    /// The reason for people.
    pub text: String,
    /// The command that would help; only the command line has it, and else it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl<'a> ExplanationView<'a> {
    /// An explanation at the time `now`, with what would help in each case, if that is to be said.
    #[must_use]
    pub fn new(
        explanation: &'a Explanation,
        now: Micros,
        help: impl Fn(&Wait) -> Option<String>,
    ) -> Self {
        let Explanation { job, tenant, state, counts, reasons } = explanation;
        let reasons = reasons.iter().map(|reason| ReasonView {
            reason: reason.wait.name(),
            tasks: reason.tasks,
            text: reason.wait.text(now),
            help: help(&reason.wait),
        });
        Self {
            job: job.0,
            tenant,
            state: *state,
            counts: CountsView::from(counts),
            reasons: reasons.collect(),
        }
    }
}
