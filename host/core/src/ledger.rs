//! What must outlive a scheduler, and how records change it. Nothing else changes it, so that a
//! replayed ledger equals the live one.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
};

use wasmgrid_proto::{Epoch, JobId, Record, WorkerId};

use crate::{job::Job, table::Table};

/// The durable part of a [`Grid`](crate::Grid): jobs, what became of their tasks, and who is
/// known. Two ledgers are equal where the same records were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub(crate) epoch: Epoch,
    pub(crate) jobs: Table<JobId, Job>,
    /// By tenant and key.
    keys: BTreeMap<String, BTreeMap<String, JobId>>,
    pub(crate) workers: BTreeMap<String, WorkerId>,
    last_worker: WorkerId,
    /// Workers that an operator wants to get nothing new.
    pub(crate) cordoned: BTreeSet<WorkerId>,
}

impl Ledger {
    /// Takes in one record. A record that fits nothing here changes nothing.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::EpochStarted { epoch, .. } => self.epoch = self.epoch.max(*epoch),
            Record::JobSubmitted { job, spec, idempotency_key, at } => {
                if let Some(key) = idempotency_key {
                    let keys = self.keys.entry(spec.task.tenant.clone()).or_default();
                    keys.insert(key.clone(), *job);
                }
                self.jobs.insert(*job, Job::new((**spec).clone(), self.epoch, *at));
            }
            Record::WorkerKnown { worker, name } => {
                self.workers.insert(name.to_string(), *worker);
                self.last_worker = self.last_worker.max(*worker);
            }
            Record::WorkerCordoned { worker, cordoned: true } => {
                self.cordoned.insert(*worker);
            }
            Record::WorkerCordoned { worker, cordoned: false } => {
                self.cordoned.remove(worker);
            }
            Record::InputsAppended { job, .. }
            | Record::InputsClosed { job }
            | Record::CancelRequested { job, .. }
            | Record::Committed { job, .. }
            | Record::Ended { job, .. }
            | Record::Retried { job, .. }
            | Record::AttemptsFailed { job, .. }
            | Record::Diverged { job, .. }
            | Record::JobEnded { job, .. }
            | Record::ProducerNoted { job, .. }
            | Record::InputsTaken { job, .. } => {
                if let Some(entry) = self.jobs.get_mut(job) {
                    entry.apply(record);
                }
            }
        }
    }

    pub(crate) fn next_job(&self) -> JobId {
        JobId(self.jobs.iter().next_back().map_or(1, |(last, _)| last.0 + 1))
    }

    pub(crate) const fn next_worker(&self) -> WorkerId {
        WorkerId(self.last_worker.0 + 1)
    }

    /// The name of a worker that was known once.
    pub(crate) fn worker_name(&self, worker: WorkerId) -> Option<&str> {
        self.workers.iter().find(|(_, id)| **id == worker).map(|(name, _)| name.as_str())
    }

    pub(crate) fn by_key(&self, tenant: &str, key: &str) -> Option<JobId> {
        self.keys.get(tenant)?.get(key).copied()
    }
}
