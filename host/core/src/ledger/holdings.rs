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

/// What one range of a job's tasks takes in memory and in the journal, about, in bytes: an entry of
/// a set, and its part of a record.
pub(crate) const RANGE_BYTES: u64 = 48;

/// What one append that is stored takes beside its inputs, in memory and in the journal.
pub(crate) const SEGMENT_BYTES: u64 = 384;

/// What is remembered of an append or of a producer, to tell a repeat.
pub(crate) const REPEAT_BYTES: u64 = 128;

/// What any job has room for in its [`JOB_BYTES`]: so most jobs take the same all their life.
const INCLUDED_BYTES: u64 = 4 * SEGMENT_BYTES;

/// What one tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Jobs that are known.
    pub(crate) jobs: u64,
    /// Those that have not ended.
    pub(crate) open_jobs: u64,
    /// Tasks that have not ended.
    pub(crate) tasks: u64,
    /// About what the descriptions of its jobs take, and the ranges of their tasks, in bytes.
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
    /// What its tasks' ranges take, in bytes.
    range_bytes: u64,
}

impl Part {
    pub(crate) fn of(job: &Job) -> Self {
        let open = u64::from(job.is_active());
        Self { open, tasks: job.open.len(), range_bytes: range_bytes(job) }
    }
}

impl Holdings {
    pub(crate) fn of(&self, tenant: &str) -> Holding {
        self.0.get(tenant).copied().unwrap_or_default()
    }

    /// Those of all tenants.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Holding> {
        self.0.values()
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
        let Part { open, tasks, range_bytes } = Part::of(job);
        holding.jobs += 1;
        holding.open_jobs += open;
        holding.tasks += tasks;
        holding.record_bytes += job_bytes(&job.spec, job.key.as_deref()) + range_bytes;
    }

    /// A job has changed.
    pub(crate) fn change(&mut self, tenant: &str, before: Part, after: Part) {
        if before == after {
            return;
        }
        let Some(holding) = self.0.get_mut(tenant) else { return };
        holding.open_jobs = (holding.open_jobs + after.open).saturating_sub(before.open);
        holding.tasks = (holding.tasks + after.tasks).saturating_sub(before.tasks);
        let record_bytes = holding.record_bytes + after.range_bytes;
        holding.record_bytes = record_bytes.saturating_sub(before.range_bytes);
    }

    /// A job is forgotten.
    pub(crate) fn remove(&mut self, job: &Job) {
        let tenant = &job.spec.task.tenant;
        let Some(holding) = self.0.get_mut(tenant) else { return };
        let Part { open, tasks, range_bytes } = Part::of(job);
        let record_bytes = job_bytes(&job.spec, job.key.as_deref()) + range_bytes;
        holding.jobs = holding.jobs.saturating_sub(1);
        holding.open_jobs = holding.open_jobs.saturating_sub(open);
        holding.tasks = holding.tasks.saturating_sub(tasks);
        holding.record_bytes = holding.record_bytes.saturating_sub(record_bytes);
        if holding.jobs == 0 {
            self.0.remove(tenant);
        }
    }
}

/// About how many bytes of memory and of the journal the ranges of a job's tasks take, and what is
/// remembered of its appends, beyond what every job has room for.
fn range_bytes(job: &Job) -> u64 {
    let sets = job.open.runs() + job.taken.runs() + job.skipped.runs() + job.not_ok.runs();
    let ranges = (sets + job.inputs.ended_runs()) as u64 * RANGE_BYTES;
    let segments = job.inputs.live_segments() as u64 * SEGMENT_BYTES;
    let repeats = (job.appends.len() + job.producers.len()) as u64 * REPEAT_BYTES;
    (ranges + segments + repeats).saturating_sub(INCLUDED_BYTES)
}

/// About how many bytes of memory and of the journal a job takes as long as it is known.
pub(crate) fn job_bytes(spec: &JobSpec, key: Option<&str>) -> u64 {
    let args = spec.task.args.iter().map(|argument| argument.len() + 32);
    let grants = spec.task.grants.iter().map(|grant| grant.to_string().len() + 64);
    let labels = spec.requires.iter().map(|(key, value)| key.len() + value.len() + 64);
    let blobs = spec.task.blobs.iter().map(|blob| blob.name.len() + 64);
    let lists = args.chain(grants).chain(labels).chain(blobs).sum::<usize>();
    let names = spec.name.len() + spec.task.tenant.len() + spec.task.program.len();
    let extensions = spec.extensions.bytes() + spec.task.extensions.bytes();
    let texts = names + 4 * spec.task.ok_exits.len() + key.map_or(0, str::len) + lists + extensions;
    JOB_BYTES + texts as u64
}
