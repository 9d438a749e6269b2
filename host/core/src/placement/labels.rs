//! Labels of workers: those of their certificates, which an operator vouched for with the token, and
//! those that they say themselves. Of a key that any token of the grid has vouched for, only the
//! former count: so a job that requires such a label goes to no worker that merely says it has it.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use wasmgrid_proto::{LeaseId, VouchedLabels, WorkerId};

use super::worker::Worker;
use crate::rules::Grid;

/// `key=value` labels, sorted.
pub(crate) type Labels = Vec<(String, String)>;

/// A key of which a worker says a label itself though its certificate has one: a worker may only
/// add labels of other keys.
#[must_use]
pub fn claimed_key<'a>(
    own: &'a [(String, String)],
    vouched: &[(String, String)],
) -> Option<&'a str> {
    let claimed = own.iter().find(|(key, _)| has_key(vouched, key));
    claimed.map(|(key, _)| key.as_str())
}

/// The labels that count, of those that a worker says itself and those of its certificate.
pub(crate) fn counting(
    own: &[(String, String)],
    vouched: &[(String, String)],
    keys: &BTreeSet<String>,
) -> Labels {
    let counts = |(key, _): &&(String, String)| !keys.contains(key) && !has_key(vouched, key);
    let mut labels: Labels = own.iter().filter(counts).chain(vouched).cloned().collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

pub(crate) fn has_key(labels: &[(String, String)], key: &str) -> bool {
    labels.iter().any(|(known, _)| known == key)
}

impl Grid {
    /// Tokens vouch for labels of these keys from now on. A worker whose own labels counted before
    /// is asked for what it has not begun of jobs that require them.
    pub(crate) fn keys_vouched(&mut self, keys: Vec<String>) {
        for id in self.fleet.vouch(keys) {
            self.refresh_worker(id);
            let unfit = |lease: &LeaseId| {
                let queue = self.leases.get(*lease).and_then(|lease| self.queues.get(&lease.job));
                queue.is_some_and(|queue| !self.fleet.suits(id, queue.demand))
            };
            let unfit: Vec<LeaseId> = self.leases_of(id).into_iter().filter(unfit).collect();
            let linked = self.fleet.get(id).is_some_and(|worker| worker.linked);
            for lease in unfit.into_iter().filter(|_| linked) {
                self.revoke(lease, u64::MAX);
            }
        }
    }

    /// The keys of which only labels of certificates count, sorted.
    pub fn vouched_keys(&self) -> impl Iterator<Item = &str> {
        self.fleet.vouched_keys()
    }

    /// The workers that joined in this epoch with labels in their certificates, by number.
    pub fn vouched(&self) -> impl Iterator<Item = VouchedLabels> {
        let vouched = |(worker, member): (WorkerId, &Worker)| {
            let labels = member.vouched.clone();
            (!labels.is_empty()).then_some(VouchedLabels { worker, labels })
        };
        self.fleet.iter().filter_map(vouched)
    }
}
