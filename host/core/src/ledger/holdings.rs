//! What each tenant has of the grid, as far as the ledger knows it: counted with each record, so
//! that nobody's requests make the scheduler look through all jobs.

use alloc::{collections::BTreeMap, string::String};

use super::job::Job;
use crate::rules::job_bytes;

/// What one tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Jobs that are known.
    pub(crate) jobs: u64,
    /// Those that have not ended.
    pub(crate) open_jobs: u64,
    /// Tasks that have not ended.
    pub(crate) tasks: u64,
    /// About what the descriptions of its jobs take, in bytes.
    pub(crate) record_bytes: u64,
}

/// The holdings of all tenants that have some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings(BTreeMap<String, Holding>);

/// What of a job changes as it goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    open: u64,
    tasks: u64,
}

impl Part {
    pub(crate) const fn of(job: &Job) -> Self {
        Self { open: if job.is_active() { 1 } else { 0 }, tasks: job.open.len() }
    }
}

impl Holdings {
    pub(crate) fn of(&self, tenant: &str) -> Holding {
        self.0.get(tenant).copied().unwrap_or_default()
    }

    pub(crate) fn tenants(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// A job is known from now on.
    pub(crate) fn add(&mut self, job: &Job) {
        let tenant = &job.spec.task.tenant;
        if !self.0.contains_key(tenant) {
            self.0.insert(tenant.clone(), Holding::default());
        }
        let Some(holding) = self.0.get_mut(tenant) else { return };
        let Part { open, tasks } = Part::of(job);
        holding.jobs += 1;
        holding.open_jobs += open;
        holding.tasks += tasks;
        holding.record_bytes += job_bytes(&job.spec, job.key.as_deref());
    }

    /// A job has changed.
    pub(crate) fn change(&mut self, tenant: &str, before: Part, after: Part) {
        if before == after {
            return;
        }
        let Some(holding) = self.0.get_mut(tenant) else { return };
        holding.open_jobs = (holding.open_jobs + after.open).saturating_sub(before.open);
        holding.tasks = (holding.tasks + after.tasks).saturating_sub(before.tasks);
    }

    /// A job is forgotten.
    pub(crate) fn remove(&mut self, job: &Job) {
        let tenant = &job.spec.task.tenant;
        let Some(holding) = self.0.get_mut(tenant) else { return };
        let Part { open, tasks } = Part::of(job);
        let record_bytes = job_bytes(&job.spec, job.key.as_deref());
        holding.jobs = holding.jobs.saturating_sub(1);
        holding.open_jobs = holding.open_jobs.saturating_sub(open);
        holding.tasks = holding.tasks.saturating_sub(tasks);
        holding.record_bytes = holding.record_bytes.saturating_sub(record_bytes);
        if holding.jobs == 0 {
            self.0.remove(tenant);
        }
    }
}
