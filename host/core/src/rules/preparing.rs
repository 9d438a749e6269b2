//! What workers say of the modules that they make ready, and what becomes of it; see
//! `placement/preparing.rs`.

use alloc::{collections::BTreeSet, vec::Vec};

use wasmgrid_proto::{JobId, WorkerId, wire::Compiled};

use super::grid::Grid;
use crate::placement::Queue;

/// Jobs that one worker may say it makes ready the modules of: it keeps no more of them.
const OF_WORKER_MAX: usize = 64;

impl Grid {
    /// A worker says which jobs' modules it makes ready, and what it has compiled since.
    pub(super) fn worker_prepares(&mut self, id: WorkerId, jobs: &[JobId], compiled: &[Compiled]) {
        self.hear(id);
        for Compiled { job, took_us } in compiled {
            self.placement.charge(*job, took_us.saturating_mul(1_000));
        }
        let active = jobs.iter().copied().filter(|job| self.placement.is_active(*job));
        let jobs: BTreeSet<JobId> = active.take(OF_WORKER_MAX).collect();
        self.placement.set_preparing(id, jobs, &self.config);
    }

    /// The worker makes nothing ready, as far as is known.
    pub(super) fn forget_preparing(&mut self, id: WorkerId) {
        self.placement.set_preparing(id, BTreeSet::new(), &self.config);
    }

    /// The workers that get no tasks of a job now, beside those it `avoids`.
    pub(super) fn kept_from(&self, queue: &Queue, mut avoids: Vec<WorkerId>) -> Vec<WorkerId> {
        if !self.placement.preparing().is_empty() {
            avoids.extend(self.placement.preparing().full_of(queue.tenant()));
            avoids.extend(queue.preparing());
        }
        avoids
    }
}
