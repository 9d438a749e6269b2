//! Who is next: tenants by what they have had (stride scheduling), then jobs by priority and age.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use core::cmp::Reverse;

use wasmgrid_proto::JobId;

/// The tenants with active jobs, and their jobs with tasks to give.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    tenants: BTreeMap<Arc<str>, Tenant>,
    /// Those with tasks to give, by what they have had.
    order: BTreeSet<(u64, Arc<str>)>,
    /// What the tenant that was last served had had: where newcomers begin, so that nobody saves
    /// up a claim while having nothing to run.
    level: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    /// What it has had, in nanoseconds of a slot over its weight. All weights are 1.
    pass: u64,
    /// Active jobs.
    active: u64,
    ready: BTreeSet<(Reverse<i32>, JobId)>,
}

impl Shares {
    /// A job of the tenant became active; returns the tenant's name to keep with the job.
    pub(crate) fn enter(&mut self, tenant: &str) -> Arc<str> {
        let name = self.tenants.get_key_value(tenant).map(|(name, _)| Arc::clone(name));
        let name = name.unwrap_or_else(|| Arc::from(tenant));
        self.tenants.entry(Arc::clone(&name)).or_default().active += 1;
        name
    }

    /// A job of the tenant ended; it has nothing to give any more.
    pub(crate) fn leave(&mut self, name: &Arc<str>) {
        if let Some(tenant) = self.tenants.get_mut(name) {
            tenant.active -= 1;
            if tenant.active == 0 {
                self.tenants.remove(name);
            }
        }
    }

    /// Says whether a job has tasks to give.
    pub(crate) fn set_ready(&mut self, name: &Arc<str>, priority: i32, job: JobId, ready: bool) {
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        let key = (Reverse(priority), job);
        if ready && tenant.ready.insert(key) && tenant.ready.len() == 1 {
            tenant.pass = tenant.pass.max(self.level);
            self.order.insert((tenant.pass, Arc::clone(name)));
        }
        if !ready && tenant.ready.remove(&key) && tenant.ready.is_empty() {
            self.order.remove(&(tenant.pass, Arc::clone(name)));
        }
    }

    /// The job whose tasks are given next.
    pub(crate) fn next(&self) -> Option<JobId> {
        let (_, name) = self.order.first()?;
        self.tenants.get(name)?.ready.first().map(|(_, job)| *job)
    }

    /// How many tenants have tasks to give.
    pub(crate) fn waiting(&self) -> u64 {
        self.order.len() as u64
    }

    /// Charges a tenant that was served, in nanoseconds of a slot.
    pub(crate) fn charge(&mut self, name: &Arc<str>, cost_ns: u64) {
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        let was_waiting = self.order.remove(&(tenant.pass, Arc::clone(name)));
        self.level = self.level.max(tenant.pass);
        tenant.pass = tenant.pass.saturating_add(cost_ns);
        if was_waiting {
            self.order.insert((tenant.pass, Arc::clone(name)));
        }
    }
}
