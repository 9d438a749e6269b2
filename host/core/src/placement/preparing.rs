//! Modules that workers make ready. Tasks that wait for that take nothing of their worker's credit,
//! since no slot can run them: what others have goes on there. Their job gets no more from that
//! worker until its module is ready, and a tenant with many such modules gets nothing more there;
//! what compiling takes is charged to it as what its tasks take.

use alloc::{collections::BTreeMap, sync::Arc};

use wasmgrid_proto::WorkerId;

/// Jobs of one tenant whose modules a worker may be making ready before it gets no more of that
/// tenant: compilers are few, and each job brings tasks that wait in the worker's memory.
const OF_TENANT_MAX: u32 = 4;

/// How many modules of each tenant workers make ready.
#[derive(Debug, Default)]
pub(crate) struct Preparing {
    by_tenant: BTreeMap<Arc<str>, BTreeMap<WorkerId, u32>>,
}

impl Preparing {
    pub(super) fn begin(&mut self, tenant: &Arc<str>, worker: WorkerId) {
        let workers = self.by_tenant.entry(Arc::clone(tenant)).or_default();
        *workers.entry(worker).or_default() += 1;
    }

    pub(super) fn end(&mut self, tenant: &Arc<str>, worker: WorkerId) {
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
