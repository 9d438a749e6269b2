//! What a file has of each thing that is capped, counted while it is read: a cap is looked at
//! before the thing is.

use crate::{Cap, Caps, Refusal, refusal::cap_refusal};

/// Running totals against their caps.
pub(super) struct Tally<'a> {
    caps: &'a Caps,
    /// What there is of each, in the shape of what there may be.
    totals: Caps,
}

impl<'a> Tally<'a> {
    pub(super) fn new(caps: &'a Caps) -> Self {
        Self { caps, totals: Caps::none() }
    }

    pub(super) const fn caps(&self) -> &'a Caps {
        self.caps
    }

    /// Counts `more` of what `cap` is on, in all of the file.
    pub(super) fn add(
        &mut self,
        cap: Cap,
        more: impl TryInto<u64>,
        offset: usize,
    ) -> Result<(), Refusal> {
        let total = self.totals.value_mut(cap);
        *total = total.saturating_add(more.try_into().unwrap_or(u64::MAX));
        let total = *total;
        self.at_most(cap, total, offset)
    }

    /// Refuses one thing that is over its cap by itself.
    pub(super) fn at_most(
        &self,
        cap: Cap,
        found: impl TryInto<u64>,
        offset: usize,
    ) -> Result<(), Refusal> {
        let (found, allowed) = (found.try_into().unwrap_or(u64::MAX), self.caps.value(cap));
        if found > allowed {
            return Err(cap_refusal(cap, found, allowed, offset as u64));
        }
        Ok(())
    }
}
