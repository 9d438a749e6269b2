//! How many runners ended while their slots went on, by why. A runner's end is rare beside its tasks, so
//! that each counts with one atomic addition.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wasmgrid_proto::RunnerEnds;

/// Why a runner ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    Died,
    Overdue,
    Stuck,
    Unready,
    Served,
}

/// The counters of all slots.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    died: AtomicU64,
    overdue: AtomicU64,
    stuck: AtomicU64,
    unready: AtomicU64,
    served: AtomicU64,
}

impl Ends {
    /// One more has ended.
    pub(super) fn count(&self, why: Why) {
        let ends = match why {
            Why::Died => &self.died,
            Why::Overdue => &self.overdue,
            Why::Stuck => &self.stuck,
            Why::Unready => &self.unready,
            Why::Served => &self.served,
        };
        ends.fetch_add(1, Relaxed);
    }

    /// How many have.
    pub(crate) fn counted(&self) -> RunnerEnds {
        let Self { died, overdue, stuck, unready, served } = self;
        RunnerEnds {
            died: died.load(Relaxed),
            overdue: overdue.load(Relaxed),
            stuck: stuck.load(Relaxed),
            unready: unready.load(Relaxed),
            served: served.load(Relaxed),
        }
    }
}
