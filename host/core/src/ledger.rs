//! What must outlive a scheduler, and how records change it. Nothing else changes it, so that a
//! replayed ledger equals the live one.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    sync::Arc,
};

use wasmgrid_proto::{Epoch, JobId, Record, SnapshotItem, WorkerId};

use crate::job::Job;

/// The durable part of a [`Grid`](crate::Grid): jobs, what became of their tasks, and who is
/// known. Two ledgers are equal where the same records were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub(crate) epoch: Epoch,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    /// The last job's number: not given again when the job is forgotten.
    last_job: JobId,
    /// By tenant and key.
    keys: BTreeMap<String, BTreeMap<Arc<str>, JobId>>,
    pub(crate) workers: BTreeMap<String, WorkerId>,
    last_worker: WorkerId,
}

impl Ledger {
    /// Takes in one record. A record that fits nothing here changes nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::EpochStarted { epoch, .. } => self.epoch = self.epoch.max(*epoch),
            Record::JobSubmitted { job, spec, idempotency_key, at } => {
                let key = idempotency_key.as_deref().map(Arc::from);
                self.add(*job, Job::new(spec.clone(), key, self.epoch, *at));
            }
            Record::JobForgotten { job } => self.forget(*job),
            Record::WorkerKnown { worker, name } => {
                self.workers.insert(name.to_string(), *worker);
                self.last_worker = self.last_worker.max(*worker);
            }
            Record::InputsAppended { job, .. }
            | Record::InputsClosed { job }
            | Record::CancelRequested { job, .. }
            | Record::Committed { job, .. }
            | Record::Ended { job, .. }
            | Record::Retried { job, .. }
            | Record::SubmitDigest { job, .. }
            | Record::InputsDigest { job, .. }
            | Record::InputsDropped { job, .. }
            | Record::ResultsDropped { job, .. }
            | Record::JobEnded { job, .. } => {
                if let Some(entry) = self.jobs.get_mut(job) {
                    entry.apply(record);
                }
            }
        }
    }

    /// As items of a snapshot: from all of them, in this order, [`restore`](Self::restore) makes
    /// an equal ledger.
    pub fn snapshot(&self, out: &mut dyn FnMut(SnapshotItem)) {
        let Self { epoch, last_job, last_worker, .. } = *self;
        out(SnapshotItem::Grid { epoch, last_job, last_worker });
        for (name, worker) in &self.workers {
            out(SnapshotItem::Worker { worker: *worker, name: name.clone() });
        }
        for (job, entry) in &self.jobs {
            entry.snapshot(*job, out);
        }
    }

    /// Takes in the next item of a snapshot.
    pub fn restore(&mut self, item: SnapshotItem) {
        match item {
            SnapshotItem::Grid { epoch, last_job, last_worker } => {
                (self.epoch, self.last_job, self.last_worker) = (epoch, last_job, last_worker);
            }
            SnapshotItem::Worker { worker, name } => {
                self.workers.insert(name, worker);
            }
            SnapshotItem::Job(item) => self.add(item.job, Job::from_item(item)),
            SnapshotItem::Tasks { job, .. }
            | SnapshotItem::Attempts { job, .. }
            | SnapshotItem::Inputs { job, .. }
            | SnapshotItem::Appends { job, .. } => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.restore(item);
                }
            }
        }
    }

    pub(crate) const fn next_job(&self) -> JobId {
        JobId(self.last_job.0 + 1)
    }

    fn add(&mut self, job: JobId, entry: Job) {
        if let Some(key) = &entry.key {
            let keys = self.keys.entry(entry.spec.task.tenant.clone()).or_default();
            keys.insert(key.clone(), job);
        }
        self.last_job = self.last_job.max(job);
        self.jobs.insert(job, entry);
    }

    fn forget(&mut self, job: JobId) {
        let Some(entry) = self.jobs.remove(&job) else { return };
        let Some(key) = &entry.key else { return };
        let tenant = &entry.spec.task.tenant;
        if let Some(keys) = self.keys.get_mut(tenant)
            && keys.get(key) == Some(&job)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.keys.remove(tenant);
            }
        }
    }

    pub(crate) const fn next_worker(&self) -> WorkerId {
        WorkerId(self.last_worker.0 + 1)
    }

    pub(crate) fn by_key(&self, tenant: &str, key: &str) -> Option<JobId> {
        self.keys.get(tenant)?.get(key).copied()
    }
}
