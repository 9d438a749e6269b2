//! The JSON shapes of a grid: what `--output json` prints and other programs read. They are a public
//! interface, separate from the messages between the parts of a grid:
//!
//! - A field that is here stays, with its name, type and meaning. New fields may be added.
//! - Names are in `snake_case`. Times end in `_us` (microseconds since 1970) or `_ms` (milliseconds).
//! - Numbers that may exceed 2^53 are [`Wide`]: strings with their digits.
//! - What is not known is `null`; a field is left out only where its comment says so.
//! - Bytes are [`Data`]: a string if they are UTF-8, else an object with base64.
//!
//! `docs/book/src/reference/json.md` describes them to their readers. Make a view with `From` or
//! `new`; nothing here reads a clock, a file or the network.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod audit;
mod data;
mod explain;
mod function;
mod job;
mod member;
mod module;
mod overview;
mod result;
mod summary;
mod task;
mod tenant;
mod wide;
mod worker;

pub use audit::{AuditView, CallerView, ObjectView};
pub use data::Data;
pub use explain::{ExplanationView, ReasonView};
pub use function::{CallView, FunctionView};
pub use job::{
    AppendedView, CountsView, DivergenceView, DivergencesView, JobView, JobWithDivergences,
    LimitsView, WitnessView, kind,
};
pub use member::{ClientView, KeyView, TokenView, token_id};
pub use module::StoredModuleView;
pub use overview::{
    AttentionView, BusyBucketView, BusyView, DiskView, FailedKindView, JobsView, LastHourView,
    OverviewView, SlotsView,
};
pub use result::{LogView, ResultBytes, ResultLine, SpentView, error};
pub use summary::{
    FailureCountView, FailureView, JobSummaryView, PeakView, PeaksView, RateView, RatesView,
    WallBucketView, WallView, quantile,
};
pub use task::{AttemptView, Kept, ResultView, TaskView};
pub use tenant::{EndedView, TenantView, UsageView, UseView};
pub use wide::Wide;
pub use worker::{
    CertificateView, ContestView, FailingView, RunningView, Standing, Vouched, WorkerView,
};

/// Labels as they are written: `KEY=VALUE`.
#[must_use]
pub fn written(labels: &[(String, String)]) -> Vec<String> {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect()
}
