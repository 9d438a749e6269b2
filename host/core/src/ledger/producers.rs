//! What each of those who append beside each other appended last, so that a repeated request is done once.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use wasmgrid_proto::{JobId, Micros, Millis, ProducerItem, SNAPSHOT_LIST, wire::REPEATED_FOR};

/// Producers that are remembered however long ago they asked: so one that asks seldom can count on.
pub(crate) const KEPT: usize = 256;

/// Producers that are remembered at most, of one job or function. While all of them may still repeat, no
/// other is taken on: none is forgotten that could be done twice.
pub(crate) const PRODUCERS_MAX: usize = 65_536;

/// For how long a request is remembered at least, by the grid's own time, which stands still while no
/// scheduler runs. Longer than clients repeat it, by more than that time may be behind.
pub(crate) const REMEMBERED: Millis = Millis(REPEATED_FOR.0 + 60_000);

/// Those who append to a job, or call a function, beside each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    last: BTreeMap<u64, Last>,
    /// The same by when each asked last.
    by_time: BTreeSet<(Micros, u64)>,
}

/// A producer's last request: its number, the job and the index that its first input got, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) number: u64,
    pub(crate) job: JobId,
    pub(crate) first: u64,
    pub(crate) at: Micros,
}

impl Producers {
    pub(crate) fn note(&mut self, producer: u64, last: Last) {
        if let Some(before) = self.last.insert(producer, last) {
            self.by_time.remove(&(before.at, producer));
        }
        self.by_time.insert((last.at, producer));
        self.forget(last.at, KEPT);
    }

    /// Forgets those that are not repeated any more, but for the newest.
    pub(crate) fn forget(&mut self, now: Micros, kept: usize) {
        while self.last.len() > kept
            && let Some((at, producer)) = self.by_time.first().copied()
            && at.after(REMEMBERED) <= now
        {
            self.by_time.pop_first();
            self.last.remove(&producer);
        }
    }

    pub(crate) fn last(&self, producer: u64) -> Option<Last> {
        self.last.get(&producer).copied()
    }

    /// True if a producer that is not known cannot be taken on now.
    pub(crate) fn is_full(&self, now: Micros) -> bool {
        let oldest = self.by_time.first();
        self.last.len() >= PRODUCERS_MAX && oldest.is_some_and(|(at, _)| at.after(REMEMBERED) > now)
    }

    pub(crate) fn len(&self) -> usize {
        self.last.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// As lists for items of a snapshot.
    pub(crate) fn snapshot(&self, mut out: impl FnMut(Vec<ProducerItem>)) {
        let all = self.last.iter().map(|(producer, last)| {
            let Last { number, job, first, at } = *last;
            ProducerItem { producer: *producer, number, job, first, at }
        });
        let all: Vec<_> = all.collect();
        all.chunks(SNAPSHOT_LIST).for_each(|part| out(part.to_vec()));
    }

    /// Takes in a list of a snapshot.
    pub(crate) fn restore(&mut self, items: Vec<ProducerItem>) {
        for ProducerItem { producer, number, job, first, at } in items {
            self.last.insert(producer, Last { number, job, first, at });
            self.by_time.insert((at, producer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(first: u64, at: u64) -> Last {
        Last { number: 1, job: JobId(1), first, at: Micros(at * 1_000_000) }
    }

    #[test]
    fn who_may_repeat_is_remembered_however_many_ask() {
        let mut producers = Producers::default();
        for producer in 0..PRODUCERS_MAX as u64 {
            producers.note(producer, last(producer, 1));
        }
        assert_eq!(producers.last(0), Some(last(0, 1)));
        assert!(producers.is_full(Micros(1_000_000)), "another would cost one that may repeat");
        let later = 1 + REMEMBERED.0 / 1_000;
        assert!(!producers.is_full(Micros(later * 1_000_000)), "nobody repeats any more");
        producers.note(1 << 40, last(7, later));
        assert_eq!(producers.len(), KEPT, "the newest stay");
        assert_eq!(producers.last(1 << 40), Some(last(7, later)));
        assert_eq!(producers.last(0), None);
    }

    #[test]
    fn few_are_remembered_for_ever() {
        let mut producers = Producers::default();
        producers.note(1, last(0, 1));
        producers.note(2, last(1, 1_000_000));
        assert_eq!(producers.last(1), Some(last(0, 1)));
        producers.forget(Micros(u64::MAX), 0);
        assert!(producers.is_empty());
    }

    #[test]
    fn a_snapshot_has_all_of_them() {
        let mut producers = Producers::default();
        for producer in 0..3_000 {
            producers.note(producer, last(producer, producer));
        }
        let mut restored = Producers::default();
        let mut lists = 0;
        producers.snapshot(|items| {
            lists += 1;
            restored.restore(items);
        });
        assert_eq!(restored, producers);
        assert!(lists > 0);
    }
}
