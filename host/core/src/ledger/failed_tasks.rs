//! The tasks of a job that ended otherwise than ok: what a retry of the job would run.

use alloc::vec::Vec;

use wasmgrid_proto::{JobId, SnapshotItem, TaskRange, TaskSet};

use super::lists::lists;
use crate::ranges::RangeSet;

/// Separate runs of tasks that did not end ok which are remembered of one job: 30 MB of them. A
/// job with more that failed and ended ok in turn is not retried as one.
const RUNS_MAX: usize = 1 << 20;

/// The tasks of a job that ended, and not ok.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailedTasks {
    tasks: RangeSet,
    /// True where there were too many to remember.
    overflown: bool,
}

impl FailedTasks {
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

    /// How many ranges of tasks there are.
    pub(crate) fn runs(&self) -> usize {
        self.tasks.runs()
    }

    /// The tasks, rising; `None` where there were too many to remember.
    pub(crate) fn tasks(&self) -> Option<Vec<TaskRange>> {
        (!self.overflown).then(|| self.tasks.iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_to_remember_is_said_to_be() {
        let mut not_ok = FailedTasks::default();
        let runs = u64::try_from(RUNS_MAX).expect("small");
        let apart = |index| TaskRange { first: index * 2, count: 1 };
        (0..runs).for_each(|index| not_ok.add(&[apart(index)]));
        assert_eq!(not_ok.tasks().map(|tasks| tasks.len()), Some(RUNS_MAX));
        not_ok.add(&[apart(runs)]);
        assert_eq!(not_ok.tasks(), None);
    }
}
