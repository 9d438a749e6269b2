//! What of a job is kept for those who come again: which tasks a retry would run, and what each
//! producer appended last.

use alloc::{collections::BTreeMap, vec::Vec};

use wasmgrid_proto::{JobId, SnapshotItem, TaskRange, TaskSet};

use super::job::lists;
use crate::ranges::RangeSet;

/// Separate runs of tasks that did not end ok which are remembered of one job: 30 MB of them. A
/// job with more that failed and ended ok in turn is not retried as one.
const RUNS_MAX: usize = 1 << 20;

/// Producers whose last request is remembered of one job; the one whose request is oldest goes
/// first. Each repeats only its last request, and only while it waits for the answer.
const PRODUCERS_MAX: usize = 256;

/// The tasks of a job that ended, and not ok.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NotOk {
    tasks: RangeSet,
    /// True where there were too many to remember.
    overflown: bool,
}

impl NotOk {
    pub(crate) fn new(overflown: bool) -> Self {
        Self { tasks: RangeSet::default(), overflown }
    }

    pub(crate) const fn is_overflown(&self) -> bool {
        self.overflown
    }

    pub(crate) fn snapshot(&self, job: JobId, out: &mut dyn FnMut(SnapshotItem)) {
        lists(job, TaskSet::NotOk, &self.tasks, out);
    }

    pub(crate) fn add(&mut self, tasks: &[TaskRange]) {
        if self.overflown {
            return;
        }
        for tasks in tasks {
            self.tasks.insert(*tasks);
        }
        if self.tasks.runs() > RUNS_MAX {
            *self = Self::new(true);
        }
    }

    /// The tasks, rising; `None` where there were too many to remember.
    pub(crate) fn tasks(&self) -> Option<Vec<TaskRange>> {
        (!self.overflown).then(|| self.tasks.iter().collect())
    }
}

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
    fn what_is_too_much_to_remember_is_said_to_be() {
        let mut not_ok = NotOk::default();
        let runs = u64::try_from(RUNS_MAX).expect("small");
        let apart = |index| TaskRange { first: index * 2, count: 1 };
        (0..runs).for_each(|index| not_ok.add(&[apart(index)]));
        assert_eq!(not_ok.tasks().map(|tasks| tasks.len()), Some(RUNS_MAX));
        not_ok.add(&[apart(runs)]);
        assert_eq!(not_ok.tasks(), None);
    }

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
