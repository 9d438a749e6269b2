//! Keys of labels that tokens have vouched for, and what becomes of tasks whose worker has lost a
//! label by that.

use alloc::{string::String, vec::Vec};

use wasmgrid_proto::{LeaseId, VouchedLabels, WorkerId};

use super::grid::Grid;
use crate::placement::Worker;

impl Grid {
    /// Tokens vouch for labels of these keys from now on. A worker whose own labels counted before
    /// is asked for what it has not begun of jobs that require them.
    pub(super) fn keys_vouched(&mut self, keys: Vec<String>) {
        for id in self.placement.vouch(keys) {
            let unfit = |lease: &LeaseId| {
                let queue = self
                    .placement
                    .lease(*lease)
                    .and_then(|lease| self.placement.queue(lease.job()));
                queue.is_some_and(|queue| !self.placement.fleet().suits(id, queue.demand()))
            };
            let unfit: Vec<LeaseId> =
                self.placement.leases_of(id).into_iter().filter(unfit).collect();
            let linked = self.placement.worker(id).is_some_and(Worker::is_linked);
            for lease in unfit.into_iter().filter(|_| linked) {
                self.revoke(lease, u64::MAX);
            }
        }
    }

    /// The keys of which only labels of certificates count, sorted.
    pub fn vouched_keys(&self) -> impl Iterator<Item = &str> {
        self.placement.fleet().vouched_keys()
    }

    /// The workers that joined in this epoch with labels in their certificates, by number.
    pub fn vouched(&self) -> impl Iterator<Item = VouchedLabels> {
        let vouched = |(worker, member): (WorkerId, &Worker)| {
            let labels = member.vouched().clone();
            (!labels.is_empty()).then_some(VouchedLabels { worker, labels })
        };
        self.placement.fleet().iter().filter_map(vouched)
    }
}
