//! The functions of tenants: which job takes the calls of each.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::ops::Bound;

use wasmgrid_proto::{JobId, Micros, ProducerItem, SnapshotItem};

use super::producers::{KEPT, Last, Producers};

/// All functions, by tenant and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Functions {
    by_tenant: BTreeMap<String, BTreeMap<String, Function>>,
    /// How many functions' calls a job takes: one, or none.
    jobs: BTreeMap<JobId, (String, String)>,
    /// Who called them, by tenant.
    callers: BTreeMap<String, Callers>,
}

/// Who called the functions of a tenant, by the function's name, whichever job took the calls; also of those
/// that were deleted, as long as somebody may repeat a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Callers {
    by_name: BTreeMap<String, Producers>,
    /// How many those are.
    count: usize,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// The job that takes its calls.
    pub(crate) job: JobId,
    /// The one that did before: calls of it may be open.
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

    /// Remembers a call, if a job takes the calls of a function; says whether it does.
    pub(crate) fn note_caller(&mut self, job: JobId, producer: u64, last: Last) -> bool {
        let Some((tenant, name)) = self.jobs.get(&job) else { return false };
        let callers = self.callers.entry(tenant.clone()).or_default();
        callers.change(name, |producers| producers.note(producer, last));
        true
    }

    /// Who called a function, if anybody did.
    pub(crate) fn callers(&self, tenant: &str, name: &str) -> Option<&Producers> {
        self.callers.get(tenant)?.by_name.get(name)
    }

    /// How many callers of a tenant's functions are remembered.
    pub(crate) fn count_callers(&self, tenant: &str) -> usize {
        self.callers.get(tenant).map_or(0, |callers| callers.count)
    }

    /// Time has passed: forgets who does not repeat a call any more.
    pub(crate) fn forget_callers(&mut self, now: Micros) {
        let Self { by_tenant, callers, .. } = self;
        callers.retain(|tenant, callers| {
            let functions = by_tenant.get(tenant);
            callers.count = 0;
            callers.by_name.retain(|name, producers| {
                let is_there = functions.is_some_and(|functions| functions.contains_key(name));
                producers.forget(now, if is_there { KEPT } else { 0 });
                callers.count += producers.len();
                !producers.is_empty()
            });
            callers.count > 0
        });
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
        for (tenant, callers) in &self.callers {
            for (name, producers) in &callers.by_name {
                producers.snapshot(|producers| {
                    let (tenant, name) = (tenant.clone(), name.clone());
                    out(SnapshotItem::Callers { tenant, name, producers });
                });
            }
        }
    }

    pub(crate) fn restore_callers(
        &mut self,
        (tenant, name): (&str, &str),
        items: Vec<ProducerItem>,
    ) {
        let callers = self.callers.entry(tenant.into()).or_default();
        callers.change(name, |producers| producers.restore(items));
    }

    pub(crate) fn restore(&mut self, (tenant, name): (&str, &str), function: Function) {
        self.put((tenant, name), function);
    }
}

impl Callers {
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Producers)) {
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.into(), Producers::default());
        }
        let Some(producers) = self.by_name.get_mut(name) else { return };
        self.count = self.count.saturating_sub(producers.len());
        change(producers);
        self.count += producers.len();
    }
}
