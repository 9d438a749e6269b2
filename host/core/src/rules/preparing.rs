//! What workers say of the modules that they make ready, and what becomes of it; see
//! [`Preparing`](crate::placement::Preparing).

use alloc::{collections::BTreeSet, vec::Vec};

use wasmgrid_proto::{JobId, WorkerId, wire::Compiled};

use super::grid::Grid;
use crate::placement::Queue;

/// Jobs that one worker may say it makes ready the modules of: it keeps no more of them.
const OF_WORKER_MAX: usize = 64;

impl Grid {
    /// A worker says which jobs' modules it makes ready, and what it has compiled since.
    pub(crate) fn worker_prepares(&mut self, id: WorkerId, jobs: &[JobId], compiled: &[Compiled]) {
        self.hear(id);
        for Compiled { job, took_us } in compiled {
            if let Some(queue) = self.queues.get(job) {
                self.shares.settle(&queue.tenant, 0, 0, took_us.saturating_mul(1_000));
            }
        }
        let active = jobs.iter().copied().filter(|job| self.queues.contains_key(job));
        let jobs: BTreeSet<JobId> = active.take(OF_WORKER_MAX).collect();
        self.set_preparing(id, jobs);
        self.refresh_worker(id);
    }

    /// The worker makes nothing ready, as far as is known.
    pub(crate) fn forget_preparing(&mut self, id: WorkerId) {
        self.set_preparing(id, BTreeSet::new());
    }

    fn set_preparing(&mut self, id: WorkerId, jobs: BTreeSet<JobId>) {
        let Some(worker) = self.fleet.get_mut(id) else { return };
        let before = core::mem::replace(&mut worker.preparing, jobs.clone());
        for job in before.symmetric_difference(&jobs) {
            let weight = self.queues.get_mut(job).map(|queue| {
                if jobs.contains(job) {
                    queue.preparing.insert(id);
                    self.preparing.begin(&queue.tenant, id);
                } else if queue.preparing.remove(&id) {
                    self.preparing.end(&queue.tenant, id);
                }
                queue.weight(worker.slots(), &self.config)
            });
            worker.reweigh(*job, weight);
        }
    }

    /// A job ends: nobody waits for its module any more.
    pub(crate) fn end_preparing(&mut self, queue: &Queue) {
        for worker in &queue.preparing {
            self.preparing.end(&queue.tenant, *worker);
        }
    }

    /// The workers that get no tasks of a job now, beside those it `avoids`.
    pub(crate) fn kept_from(&self, queue: &Queue, mut avoids: Vec<WorkerId>) -> Vec<WorkerId> {
        if !self.preparing.is_empty() {
            avoids.extend(self.preparing.full_of(&queue.tenant));
            avoids.extend(&queue.preparing);
        }
        avoids
    }
}
