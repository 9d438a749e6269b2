//! What each tenant has of the grid, as far as the ledger knows it: counted with each record, so
//! that nobody's requests make the scheduler look through all jobs.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
};

use wasmgrid_proto::JobSpec;

use super::job::Job;

/// What a job takes in memory and in the journal beside its texts, about, in bytes.
const JOB_BYTES: u64 = 2 << 10;

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

/// About how many bytes of memory and of the journal a job takes as long as it is known.
pub(crate) fn job_bytes(spec: &JobSpec, key: Option<&str>) -> u64 {
    let args = spec.task.args.iter().map(|argument| argument.len() + 32);
    let grants = spec.task.grants.iter().map(|grant| grant.to_string().len() + 64);
    let labels = spec.requires.iter().map(|(key, value)| key.len() + value.len() + 64);
    let blobs = spec.task.blobs.iter().map(|blob| blob.name.len() + 64);
    let lists = args.chain(grants).chain(labels).chain(blobs).sum::<usize>();
    let names = spec.name.len() + spec.task.tenant.len() + spec.task.program.len();
    let texts = names + 4 * spec.task.ok_exits.len() + key.map_or(0, str::len) + lists;
    JOB_BYTES + texts as u64
}
