//! What the scheduler asked back that may still be under way: a recall overtakes the inputs of an
//! assignment. What comes of it afterwards goes back unbegun, so that what is asked back and not
//! given back has begun.

use alloc::collections::BTreeMap;

use wasmgrid_proto::{LeaseId, RangeList, TaskRange};

/// Leases that are remembered; the oldest are forgotten. A recall overtakes what was sent a moment
/// before it.
const LEASES_MAX: usize = 1_024;

/// What was asked back on this link, by lease.
#[derive(Debug, Default)]
pub(super) struct Recalled(BTreeMap<LeaseId, RangeList>);

impl Recalled {
    /// These tasks of a lease are asked back.
    pub(super) fn note(&mut self, lease: LeaseId, tasks: &[TaskRange]) {
        self.0.entry(lease).or_default().extend(tasks.iter().copied());
        if self.0.len() > LEASES_MAX {
            self.0.pop_first();
        }
    }

    /// Nothing overtakes what was said on another link.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What was asked back of a lease.
    pub(super) fn of(&self, lease: LeaseId) -> Option<&[TaskRange]> {
        self.0.get(&lease).map(|tasks| &**tasks)
    }
}
