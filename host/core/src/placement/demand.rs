//! What a job's tasks need of a worker, and which of a tenant's jobs is first.

use wasmgrid_proto::{JobSpec, Micros, Millis};

/// What a job's tasks need of a worker. Jobs that need the same share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Demand {
    /// Which labels: the number of a class of the fleet.
    pub(crate) class: u32,
    /// The memory limit of each task, in bytes.
    pub(crate) memory: u64,
}

/// Where a job stands among those of its tenant: the lower goes first.
///
/// It is the time of its submission, moved back by a fixed span for each step of its priority. So
/// among jobs of one priority the oldest is first, a higher priority goes before, and since the
/// difference of two ranks never changes, a job waits at most for those submitted within the span
/// that their priorities are apart: none starves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(pub(super) i64);

impl Rank {
    pub(crate) fn new(spec: &JobSpec, submitted: Micros, step: Millis) -> Self {
        let step = i64::try_from(step.0.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let at = i64::try_from(submitted.0).unwrap_or(i64::MAX);
        Self(at.saturating_sub(step.saturating_mul(i64::from(spec.priority))))
    }
}
