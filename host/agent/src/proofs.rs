//! What proves that this worker was given its leases: kept as long as something of them is here, so
//! that a scheduler that starts anew believes it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use wasmgrid_proto::{LeaseId, LeaseProof, wire::HeldLease};

/// Proofs that are kept before it is looked at which leases are over. Twice as many as are of
/// leases that are not, where those are more: so each proof is looked at about once.
const KEPT_MIN: usize = 4_096;

/// The newest proofs, which stay in any case: the tasks of their leases may still be under way.
const UNDER_WAY: usize = 1_024;

/// The proofs, by lease.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    kept: BTreeMap<LeaseId, LeaseProof>,
    /// How many may be kept before those of leases that are over go.
    room: usize,
}

impl Proofs {
    /// Keeps some more; `held` says what the worker has of all leases, and is asked rarely.
    pub(crate) fn keep(&mut self, proofs: Vec<LeaseProof>, held: impl Fn() -> Vec<HeldLease>) {
        if self.kept.len() > self.room.max(KEPT_MIN) {
            let held: BTreeSet<LeaseId> = held().into_iter().map(|lease| lease.lease).collect();
            let newest = self.kept.keys().rev().nth(UNDER_WAY).copied().unwrap_or_default();
            self.kept.retain(|lease, _| *lease > newest || held.contains(lease));
            self.room = self.kept.len() * 2;
        }
        self.kept.extend(proofs.into_iter().map(|proof| (proof.lease, proof)));
    }

    /// Those of what is held.
    pub(crate) fn of(&self, held: &[HeldLease]) -> Vec<LeaseProof> {
        held.iter().filter_map(|lease| self.kept.get(&lease.lease).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use wasmgrid_proto::{JobId, LeaseTag, TaskRange};

    use super::*;

    fn proof(lease: u64) -> LeaseProof {
        let tasks = TaskRange { first: 0, count: 1 };
        LeaseProof { lease: LeaseId(lease), tasks, tag: LeaseTag([0; 16]) }
    }

    fn held(leases: impl Iterator<Item = u64>) -> Vec<HeldLease> {
        let held = |lease| HeldLease {
            job: JobId(1),
            lease: LeaseId(lease),
            attempt: 1,
            tasks: vec![TaskRange { first: 0, count: 1 }],
        };
        leases.map(held).collect()
    }

    #[test]
    fn proofs_go_with_their_leases_and_stay_with_those_that_are_held() {
        let mut proofs = Proofs::default();
        for lease in 0..20_000 {
            proofs.keep(vec![proof(lease)], || held([3, 7, lease - 1].into_iter()));
            assert!(proofs.kept.len() <= KEPT_MIN + 2);
        }
        assert_eq!(proofs.of(&held([3, 7, 8, 19_500].into_iter())), [3, 7, 19_500].map(proof));
    }
}
