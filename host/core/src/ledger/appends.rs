//! A job's last appends by content, so that a repeat of one is told from another one that claims
//! the same place.

use alloc::{collections::VecDeque, vec::Vec};

use wasmgrid_proto::{Digest, JobId, SnapshotItem, TaskRange};

/// Appends that are known of an active job: a client repeats only what was not answered, and has
/// few of those; 48 bytes each.
const KNOWN: usize = 1_024;

/// Appends that are known of a job that has ended: a client may still repeat its last.
const KNOWN_ENDED: usize = 16;

/// The last appends, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Appends(VecDeque<(TaskRange, Digest)>);

impl Appends {
    pub(crate) fn push(&mut self, tasks: TaskRange, digest: Digest) {
        if self.0.len() >= KNOWN {
            self.0.pop_front();
        }
        self.0.push_back((tasks, digest));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The job has ended: forgets all but the last few.
    pub(crate) fn shrink(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(KNOWN_ENDED));
        self.0.shrink_to_fit();
    }

    /// Whether exactly this was appended there.
    pub(crate) fn knows(&self, tasks: TaskRange, digest: Digest) -> bool {
        let at = self.0.binary_search_by_key(&tasks.first, |(tasks, _)| tasks.first);
        at.is_ok_and(|at| self.0.get(at) == Some(&(tasks, digest)))
    }

    pub(crate) fn snapshot(&self, job: JobId, out: &mut dyn FnMut(SnapshotItem)) {
        if !self.0.is_empty() {
            let appends: Vec<_> = self.0.iter().copied().collect();
            out(SnapshotItem::Appends { job, appends });
        }
    }
}
