//! In which terms a job's inputs were appended. What a scheduler gave out before it was durable may
//! be another input now, also two terms later: a lease counts for inputs of no later term than its
//! own.

use alloc::vec::Vec;

use wasmgrid_proto::{Epoch, JobId, SnapshotItem};

/// Terms that are told apart of one job. Beyond, its oldest inputs count as appended in a later
/// term than they were: what a worker still has of them since before that is run again.
const TERMS_MAX: usize = 64;

/// Where the appends of each term begin, rising; without the term in which the job was submitted,
/// which is that of the inputs before. Few jobs have any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms(Vec<(u64, Epoch)>);

impl Terms {
    /// Inputs from this index on are appended in this term, to a job that was submitted in that.
    pub(crate) fn append(&mut self, first: u64, term: Epoch, submitted: Epoch) {
        let last = self.0.last().map_or(submitted, |(_, last)| *last);
        if term <= last {
            return;
        }
        self.0.push((first, term));
        if self.0.len() > TERMS_MAX {
            let (oldest, _) = self.0.remove(0);
            self.0.iter_mut().take(1).for_each(|(first, _)| *first = oldest);
        }
    }

    /// The index before which all inputs are of this term or an earlier one, of `all` there are.
    pub(crate) fn upto(&self, term: Epoch, submitted: Epoch, all: u64) -> u64 {
        if term < submitted {
            return 0;
        }
        let later = self.0.iter().find(|(_, later)| *later > term);
        later.map_or(all, |(first, _)| *first)
    }

    pub(crate) fn snapshot(&self, job: JobId, out: &mut dyn FnMut(SnapshotItem)) {
        if !self.0.is_empty() {
            out(SnapshotItem::Terms { job, terms: self.0.clone() });
        }
    }

    pub(crate) fn restore(terms: Vec<(u64, Epoch)>) -> Self {
        Self(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_of_the_term_that_appended_them() {
        let mut terms = Terms::default();
        for (first, term) in [(0, 3), (5, 3), (7, 4), (9, 6), (9, 6)] {
            terms.append(first, Epoch(term), Epoch(3));
        }
        let upto = |term| terms.upto(Epoch(term), Epoch(3), 20);
        assert_eq!([2, 3, 4, 5, 6, 7].map(upto), [0, 7, 9, 9, 20, 20]);
    }

    #[test]
    fn of_more_terms_than_are_told_apart_the_oldest_inputs_count_as_later_ones() {
        let mut terms = Terms::default();
        for term in 1..=200 {
            terms.append(term * 10, Epoch(term), Epoch(0));
        }
        assert_eq!(terms.0.len(), TERMS_MAX);
        for term in 0..=200 {
            let upto = terms.upto(Epoch(term), Epoch(0), 5_000);
            assert!(upto <= (term + 1) * 10 || term == 200, "{term}: {upto}");
        }
        assert_eq!(terms.upto(Epoch(199), Epoch(0), 5_000), 2_000, "the newest are told apart");
    }
}
