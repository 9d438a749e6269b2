//! Where a worker stands with its scheduler.

use wasmgrid_net::{LinkError, NetError};
use wasmgrid_proto::{WorkerId, wire::ApiError};

/// After so many links in a row that end because the two sides do not understand each other, no
/// other is dialled. A link that lives for `dial::MISUNDERSTOOD_WITHIN` ends such a row.
pub(crate) const MISUNDERSTOOD_MAX: u32 = 3;

/// Where a worker stands with its scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Dialling, or waiting to be let in; what it has goes on running.
    Linking {
        /// Why the last link or attempt ended; `None` before the first.
        reason: Option<String>,
    },
    /// In the grid.
    Joined {
        /// Its number there.
        worker: WorkerId,
    },
    /// It dials no more; what it has is of no use. Whoever owns it should stop it.
    GaveUp {
        /// Why.
        why: GaveUp,
    },
    /// It has ended: it was told to leave, or stopped.
    Ended,
}

/// Why a worker dials no more: another try would end in the same way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GaveUp {
    /// The scheduler refuses it.
    #[error("the scheduler refuses this worker: {0}")]
    Refused(ApiError),
    /// An operator took it out of the grid.
    #[error("the scheduler refuses this worker: {0}")]
    Removed(String),
    /// No link can be had with these credentials, or with this release.
    #[error(transparent)]
    Unreachable(#[from] NetError),
    /// The two sides do not understand each other.
    #[error("gave up on the grid after {MISUNDERSTOOD_MAX} links")]
    Misunderstood(#[source] LinkError),
}
