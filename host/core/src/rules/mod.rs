//! What each input leads to. The [`Grid`] has the state; each other file here has the rules of one
//! subject.

mod acts;
mod audit;
mod bounds;
mod claims;
mod contest;
mod cordon;
mod distrust;
mod diverge;
mod explain;
mod functions;
mod grid;
mod labels;
mod leases;
mod lifecycle;
mod links;
mod listing;
mod metrics;
mod overdue;
mod overview;
mod place;
mod preparing;
mod quota;
mod removal;
mod requests;
mod results;
mod retention;
mod steal;
mod stored;
mod tally;
mod time;
mod verdict;

pub use audit::{REFUSALS_ENTERED, REFUSALS_WINDOW};
pub use explain::without_others;
pub use grid::Grid;
pub use retention::{JobLogs, RETAINED_AT_ONCE};
