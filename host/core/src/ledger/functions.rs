//! The functions of tenants: which job takes the calls of each.

use alloc::{collections::BTreeMap, string::String};
use core::ops::Bound;

use wasmgrid_proto::{JobId, Micros, SnapshotItem};

/// All functions, by tenant and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Functions {
    by_tenant: BTreeMap<String, BTreeMap<String, Function>>,
    /// How many functions' calls a job takes: one, or none.
    jobs: BTreeMap<JobId, (String, String)>,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// The job that takes its calls.
    pub(crate) job: JobId,
    /// The one that did before: a repeated request may be about it.
    pub(crate) before: Option<JobId>,
    /// How many calls it had before its job.
    pub(crate) called: u64,
    /// When it was deployed last: the date.
    pub(crate) deployed: Micros,
}

impl Functions {
    pub(crate) fn set(
        &mut self,
        (tenant, name): (&str, &str),
        job: Option<JobId>,
        (called, deployed): (u64, Micros),
    ) {
        let before = self.get(tenant, name).map(|function| function.job);
        let before = before.filter(|before| Some(*before) != job);
        if let Some(before) = before {
            self.jobs.remove(&before);
        }
        match job {
            Some(job) => self.put((tenant, name), Function { job, before, called, deployed }),
            None => self.remove(tenant, name),
        }
    }

    fn put(&mut self, (tenant, name): (&str, &str), function: Function) {
        self.jobs.insert(function.job, (tenant.into(), name.into()));
        self.by_tenant.entry(tenant.into()).or_default().insert(name.into(), function);
    }

    fn remove(&mut self, tenant: &str, name: &str) {
        let Some(functions) = self.by_tenant.get_mut(tenant) else { return };
        functions.remove(name);
        if functions.is_empty() {
            self.by_tenant.remove(tenant);
        }
    }

    pub(crate) fn get(&self, tenant: &str, name: &str) -> Option<Function> {
        self.by_tenant.get(tenant)?.get(name).copied()
    }

    /// The function whose calls a job takes.
    pub(crate) fn of_job(&self, job: JobId) -> Option<(&str, &str)> {
        self.jobs.get(&job).map(|(tenant, name)| (tenant.as_str(), name.as_str()))
    }

    /// How many functions a tenant has.
    pub(crate) fn count(&self, tenant: &str) -> usize {
        self.by_tenant.get(tenant).map_or(0, BTreeMap::len)
    }

    /// Those of a tenant behind `after`, by name.
    pub(crate) fn after(
        &self,
        tenant: &str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&str, Function)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let functions = self.by_tenant.get(tenant).into_iter();
        let behind = functions.flat_map(move |all| all.range::<str, _>((from, Bound::Unbounded)));
        behind.map(|(name, function)| (name.as_str(), *function))
    }

    pub(crate) fn snapshot(&self, out: &mut dyn FnMut(SnapshotItem)) {
        for (tenant, functions) in &self.by_tenant {
            for (name, function) in functions {
                let Function { job, before, called, deployed } = *function;
                let (tenant, name) = (tenant.clone(), name.clone());
                out(SnapshotItem::Function { tenant, name, job, before, called, deployed });
            }
        }
    }

    pub(crate) fn restore(&mut self, (tenant, name): (&str, &str), function: Function) {
        self.put((tenant, name), function);
    }
}
