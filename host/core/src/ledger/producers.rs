//! What each producer of a job appended last, so that a repeated request is done once.

use alloc::{collections::BTreeMap, vec::Vec};

use wasmgrid_proto::{JobId, SnapshotItem};

/// Producers whose last request is remembered of one job; the one whose request is oldest goes
/// first. Each repeats only its last request, and only while it waits for the answer.
const PRODUCERS_MAX: usize = 256;

/// Those who append to a job beside each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers(BTreeMap<u64, Last>);

/// A producer's last request: its number, and the index its first input got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) number: u64,
    pub(crate) first: u64,
}

impl Producers {
    pub(crate) fn note(&mut self, producer: u64, number: u64, first: u64) {
        self.0.insert(producer, Last { number, first });
        if self.0.len() > PRODUCERS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, last)| last.first).map(|(id, _)| *id);
            oldest.map(|id| self.0.remove(&id));
        }
    }

    pub(crate) fn last(&self, producer: u64) -> Option<Last> {
        self.0.get(&producer).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn snapshot(&self, job: JobId, out: &mut dyn FnMut(SnapshotItem)) {
        let all = self.0.iter().map(|(producer, last)| (*producer, last.number, last.first));
        let producers: Vec<_> = all.collect();
        if !producers.is_empty() {
            out(SnapshotItem::Producers { job, producers });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_are_bounded_and_the_newest_stay() {
        let mut producers = Producers::default();
        for producer in 0..1_000 {
            producers.note(producer, 1, producer);
        }
        assert_eq!(producers.0.len(), PRODUCERS_MAX);
        assert_eq!(producers.last(999), Some(Last { number: 1, first: 999 }));
        assert_eq!(producers.last(0), None);
    }
}
