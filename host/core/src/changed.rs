//! Which jobs changed since others were last told.

use alloc::vec::Vec;

use wasmgrid_proto::JobId;

/// Some jobs. Most inputs change one or two, often more than once.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    jobs: Vec<JobId>,
    /// How many of them were settled.
    settled: usize,
}

impl Changed {
    pub(crate) fn insert(&mut self, job: JobId) {
        if self.jobs.len() == self.settled || self.jobs.last() != Some(&job) {
            self.jobs.push(job);
        }
    }

    /// The next job that changed and was not settled since.
    pub(crate) fn next_unsettled(&mut self) -> Option<JobId> {
        let job = self.jobs.get(self.settled).copied()?;
        self.settled += 1;
        Some(job)
    }

    /// Moves what is in the other one here.
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.jobs.append(&mut other.jobs);
        other.settled = 0;
    }

    /// Takes them out: each once, by number.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = JobId> {
        self.settled = 0;
        self.jobs.sort_unstable();
        self.jobs.dedup();
        self.jobs.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_settled_again_after_it_changed_again_and_told_of_once() {
        let mut changed = Changed::default();
        [2, 2, 1].map(JobId).into_iter().for_each(|job| changed.insert(job));
        assert_eq!(changed.next_unsettled(), Some(JobId(2)));
        assert_eq!(changed.next_unsettled(), Some(JobId(1)));
        changed.insert(JobId(1));
        assert_eq!(changed.next_unsettled(), Some(JobId(1)));
        assert_eq!(changed.next_unsettled(), None);
        assert!(changed.drain().eq([1, 2].map(JobId)));
        assert_eq!(changed.next_unsettled(), None);
    }
}
