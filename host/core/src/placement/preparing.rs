//! Modules that workers make ready. Tasks that wait for that take nothing of their worker's credit,
//! since no slot can run them: what others have goes on there. Their job gets no more from that
//! worker until its module is ready, and a tenant with many such modules gets nothing more there;
//! what compiling takes is charged to it as what its tasks take.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use wasmgrid_proto::{JobId, WorkerId, wire::Compiled};

use super::queue::Queue;
use crate::rules::Grid;

/// Jobs of one tenant whose modules a worker may be making ready before it gets no more of that
/// tenant: compilers are few, and each job brings tasks that wait in the worker's memory.
const OF_TENANT_MAX: u32 = 4;

/// Jobs that one worker may say it makes ready the modules of: it keeps no more of them.
const OF_WORKER_MAX: usize = 64;

/// How many modules of each tenant workers make ready.
#[derive(Debug, Default)]
pub(crate) struct Preparing {
    by_tenant: BTreeMap<Arc<str>, BTreeMap<WorkerId, u32>>,
}

impl Preparing {
    fn begin(&mut self, tenant: &Arc<str>, worker: WorkerId) {
        let workers = self.by_tenant.entry(Arc::clone(tenant)).or_default();
        *workers.entry(worker).or_default() += 1;
    }

    fn end(&mut self, tenant: &Arc<str>, worker: WorkerId) {
        let Some(workers) = self.by_tenant.get_mut(tenant) else { return };
        if let Some(count) = workers.get_mut(&worker) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                workers.remove(&worker);
            }
        }
        if workers.is_empty() {
            self.by_tenant.remove(tenant);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_tenant.is_empty()
    }

    /// The workers that get nothing more of a tenant.
    pub(crate) fn full_of(&self, tenant: &str) -> impl Iterator<Item = WorkerId> {
        let workers = self.by_tenant.get(tenant).into_iter().flatten();
        workers.filter(|(_, count)| **count >= OF_TENANT_MAX).map(|(worker, _)| *worker)
    }
}

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
