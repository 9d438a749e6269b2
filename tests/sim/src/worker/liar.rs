//! A worker that says, when it joins, that it holds more than it was given: more of its own leases,
//! and leases that nobody was given, with what would prove its own; and has results of that.

use std::collections::BTreeMap;

use wasmgrid_proto::{JobId, LeaseId, LeaseProof, OutcomeClass, TaskRange, wire::HeldLease};

use crate::{
    message::{Block, Shown, Up},
    random::Random,
};

/// The newest leases from which a worker invents others.
const INVENTED_FROM: usize = 3;

/// So far after a lease there is none that anybody was given.
const NEVER_GIVEN: u64 = 1_000_000;

/// Batches of forged results have numbers that no others have.
const FORGED_FROM: u64 = 1 << 62;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Liar {
    /// What it was given with each lease of this process, with the lease's job and attempt.
    given: BTreeMap<LeaseId, (JobId, u32, LeaseProof)>,
    /// Results of what it was not given, which are not acknowledged.
    forged: BTreeMap<u64, Vec<Block>>,
    count: u64,
}

impl Liar {
    /// It was given a lease.
    pub(super) fn given(&mut self, job: JobId, attempt: u32, proof: LeaseProof) {
        self.given.insert(proof.lease, (job, attempt, proof));
    }

    /// Batches are acknowledged.
    pub(super) fn committed(&mut self, batches: &[u64]) {
        for batch in batches {
            self.forged.remove(batch);
        }
    }

    /// The results that it has no right to.
    pub(super) fn forged(&self) -> impl Iterator<Item = Up> {
        let forged = self.forged.iter();
        forged.map(|(batch, blocks)| Up::Results { batch: *batch, blocks: blocks.clone() })
    }

    /// Adds to what it says that it holds.
    pub(super) fn invent(
        &mut self,
        held: &mut Vec<HeldLease>,
        proofs: &mut Vec<LeaseProof>,
        random: &mut Random,
    ) {
        // What it has results of it holds, until they are acknowledged.
        for block in self.forged.values().flatten() {
            let tasks =
                block.results.iter().map(|shown| TaskRange { first: shown.index, count: 1 });
            claim(held, (block.job, block.lease, block.attempt), tasks);
        }
        let own: Vec<_> = self.given.values().rev().take(INVENTED_FROM).copied().collect();
        let mut blocks = Vec::new();
        for (job, attempt, proof) in own {
            let beside = if random.chance(50) { 0 } else { NEVER_GIVEN };
            let tasks = TaskRange {
                first: (proof.tasks.first + random.below(4)).saturating_sub(2),
                count: random.between(1, 4),
            };
            let lease = LeaseId(proof.lease.0 + beside);
            claim(held, (job, lease, attempt), [tasks]);
            proofs.push(LeaseProof { lease, ..proof });
            let forged = |index| Shown { index, class: OutcomeClass::Ok, output: u64::MAX };
            // What it was given it may end as it likes.
            let own =
                |index: &u64| beside == 0 && (proof.tasks.first..proof.tasks.end()).contains(index);
            let indices = (tasks.first..tasks.end()).filter(|index| !own(index));
            let results: Vec<_> = indices.map(forged).collect();
            if !results.is_empty() {
                blocks.push(Block { job, lease, attempt, wall_us: 1, results });
            }
        }
        if !blocks.is_empty() {
            self.count += 1;
            self.forged.insert(FORGED_FROM + self.count, blocks);
        }
    }
}

/// Says that it holds some tasks more.
fn claim(
    held: &mut Vec<HeldLease>,
    (job, lease, attempt): (JobId, LeaseId, u32),
    tasks: impl IntoIterator<Item = TaskRange>,
) {
    match held.iter_mut().find(|known| known.lease == lease) {
        Some(known) => known.tasks.extend(tasks),
        None => held.push(HeldLease { job, lease, attempt, tasks: tasks.into_iter().collect() }),
    }
}
