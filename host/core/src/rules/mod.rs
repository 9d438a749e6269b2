//! What each input leads to. The [`Grid`] has the state; each other file here has the rules of one
//! subject.

mod accounts;
mod bounds;
mod claims;
mod contest;
mod cordon;
mod diverge;
mod explain;
mod grid;
mod lifecycle;
mod links;
mod listing;
mod overdue;
mod place;
mod quota;
mod removal;
mod requests;
mod results;
mod retention;
mod steal;
mod stored;

pub use grid::Grid;
pub use retention::JobLogs;

pub(crate) use bounds::job_bytes;
pub(crate) use overdue::{Recall, WorkerTime};
