//! Where a module's few tasks go while slots are free: to the same workers each time, which have
//! it compiled, found by rendezvous hashing.
//!
//! Each worker has a score with each module, and the workers with the highest scores are the
//! module's homes: modules are spread evenly over workers, and a worker that comes or goes moves
//! only the modules that are at home there. The load is bounded: a home is given tasks only while
//! it has a free slot, and then the next, so that a module that is in demand spreads. Where a job
//! has more tasks than slots are free every worker gets its part, and nobody is preferred.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::cmp::Reverse;

use wasmgrid_proto::{Digest, WorkerId};

/// Homes of a module. Behind them tasks go wherever there is most room.
const HOMES: usize = 8;

/// Modules whose homes are remembered: finding them looks at every worker once, and a worker that
/// comes or goes looks at each of them.
const REMEMBERED: usize = 4_096;

/// The homes of modules, as far as they were asked for and none of them went since.
#[derive(Debug, Default)]
pub(crate) struct Homes(BTreeMap<(u32, Digest), Vec<WorkerId>>);

impl Homes {
    /// A worker of these classes came: it is a home of the modules it has a high score with.
    pub(crate) fn came(&mut self, id: WorkerId, classes: &[u32]) {
        for ((class, module), homes) in &mut self.0 {
            if classes.contains(class) {
                let score = |home: &WorkerId| (Reverse(score(*module, *home)), *home);
                let at = homes.partition_point(|home| score(home) < score(&id));
                if at < HOMES && homes.get(at) != Some(&id) {
                    homes.insert(at, id);
                    homes.truncate(HOMES);
                }
            }
        }
    }

    /// A worker went: the modules that were at home there are to be ranked anew when they are next
    /// asked for.
    pub(crate) fn went(&mut self, id: WorkerId) {
        self.0.retain(|_, homes| !homes.contains(&id));
    }

    /// These classes are no more.
    pub(crate) fn forget(&mut self, classes: &BTreeSet<u32>) {
        self.0.retain(|(class, _), _| !classes.contains(class));
    }

    /// A module's homes among the workers of a class, the best first.
    pub(crate) fn of<W: Iterator<Item = WorkerId>>(
        &mut self,
        class: u32,
        module: Digest,
        workers: impl FnOnce() -> W,
    ) -> &[WorkerId] {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&(class, module)) {
            self.0.clear();
        }
        self.0.entry((class, module)).or_insert_with(|| rank(module, workers()))
    }
}

/// The workers with the highest scores, the best first.
fn rank(module: Digest, workers: impl Iterator<Item = WorkerId>) -> Vec<WorkerId> {
    let mut best = BTreeSet::new();
    for id in workers {
        best.insert((Reverse(score(module, id)), id));
        if best.len() > HOMES {
            best.pop_last();
        }
    }
    best.into_iter().map(|(_, id)| id).collect()
}

/// A worker's score with a module.
fn score(module: Digest, id: WorkerId) -> u64 {
    let key = module.0.iter().take(8).fold(0, |key, byte| (key << 8) | u64::from(*byte));
    mix(key ^ mix(id.0))
}

/// The finisher of `SplitMix64`: every bit of the number changes about half of the result's.
const fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(count: u64) -> impl Iterator<Item = WorkerId> {
        (1..=count).map(WorkerId)
    }

    fn module(number: u64) -> Digest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Digest(bytes)
    }

    #[test]
    fn modules_are_spread_evenly_over_workers() {
        let mut homes = BTreeMap::new();
        for number in 0..10_000 {
            *homes.entry(rank(module(number), workers(100))[0]).or_insert(0) += 1;
        }
        assert_eq!(homes.len(), 100);
        assert!(homes.values().all(|count| (50..200).contains(count)), "{homes:?}");
    }

    #[test]
    fn homes_are_the_best_of_those_there_are_and_few_are_ranked_anew_when_one_comes_or_goes() {
        const MODULES: u64 = 200;
        let (mut homes, mut there) = (Homes::default(), BTreeSet::new());
        let ask = |homes: &mut Homes, there: &BTreeSet<WorkerId>| {
            let mut ranked = 0;
            for module in (0..MODULES).map(module) {
                let found = homes.of(7, module, || {
                    ranked += 1;
                    there.iter().copied()
                });
                assert_eq!(found, rank(module, there.iter().copied()));
            }
            ranked
        };
        assert_eq!(ask(&mut homes, &there), MODULES);
        for id in workers(400) {
            there.insert(id);
            homes.came(id, &[0, 7]);
            homes.came(WorkerId(id.0 + 1_000), &[0, 3]);
            if id.0 % 20 == 0 {
                assert_eq!(ask(&mut homes, &there), 0, "who comes has none ranked anew");
            }
        }
        for id in workers(400).filter(|id| id.0 % 10 == 0) {
            there.remove(&id);
            homes.went(id);
            assert!(ask(&mut homes, &there) < MODULES / 10, "only what was at home there");
        }
    }

    #[test]
    fn a_worker_that_comes_moves_only_what_is_at_home_there() {
        for number in 0..1_000 {
            let (before, after) =
                (rank(module(number), workers(50)), rank(module(number), workers(51)));
            let stays = after.iter().filter(|id| id.0 != 51);
            assert!(stays.zip(&before).all(|(a, b)| a == b), "{before:?} {after:?}");
        }
    }
}
