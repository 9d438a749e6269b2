//! What each tenant has in the store, and has used up: the store's own sizes are what lasts, from
//! which the driver says at a start how much there is; from then on it is counted here with each
//! commit.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
};

use wasmgrid_proto::{JobId, TaskRange};

use crate::table::Table;

/// What an input segment counts beside its bytes, where it is about how much a job has: many small
/// ones are bounded too.
const SEGMENT_COST: u64 = 1 << 10;

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Stored {
    jobs: Table<JobId, Logs>,
    tenants: BTreeMap<String, Account>,
    /// Tenants that are given nothing, since they have used up what they may.
    held: BTreeSet<String>,
    /// Jobs that may have inputs which no task needs any more, by tenant.
    spent: BTreeMap<String, BTreeSet<JobId>>,
    /// Tenants whose bytes are used up, as far as that was not looked at.
    pressed: BTreeSet<String>,
    /// What the logs of all jobs have.
    total: LogBytes,
}

/// The bytes of jobs' logs, by what is in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogBytes {
    pub(super) inputs: u64,
    pub(super) results: u64,
    /// What stopped tasks had logged.
    pub(super) kept: u64,
}

/// The bytes of one job's logs.
#[derive(Clone, Debug, Default)]
struct Logs {
    inputs: u64,
    results: u64,
    /// What its stopped tasks had logged.
    kept: u64,
    /// Of its input segments that were appended since the start, by their first.
    segments: BTreeMap<u64, u64>,
    /// It is among its tenant's jobs that may have spent inputs.
    spent: bool,
}

/// What one tenant has, and how much it may have before its tasks are held back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// Of its jobs' logs.
    pub(super) log_bytes: u64,
    /// Of the modules that it sent or names, and of its blobs.
    pub(super) module_bytes: u64,
    /// Fuel that no record has yet.
    pub(super) fuel: u64,
    /// How many bytes its logs may have, and how much fuel it may use up until the next record.
    pub(super) most: Most,
}

/// Bounds of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Most {
    pub(super) log_bytes: u64,
    pub(super) fuel: u64,
}

impl Default for Most {
    /// None: an account is bounded from when its tenant is known.
    fn default() -> Self {
        Self { log_bytes: u64::MAX, fuel: u64::MAX }
    }
}

impl Stored {
    pub(super) fn account(&self, tenant: &str) -> Account {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// What the logs of all jobs have.
    pub(super) const fn total(&self) -> LogBytes {
        self.total
    }

    /// Those of all tenants.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.tenants.values()
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = &String> {
        self.tenants.keys()
    }

    /// True where the tenant is given nothing for now.
    pub(super) fn holds_back(&self, tenant: &str) -> bool {
        !self.held.is_empty() && self.held.contains(tenant)
    }

    /// True where the tenant's bounds are known.
    pub(super) fn knows(&self, tenant: &str) -> bool {
        self.tenants.contains_key(tenant)
    }

    /// Sets how much a tenant may have.
    pub(super) fn bound(&mut self, tenant: &str, most: Most) {
        if !self.knows(tenant) {
            self.tenants.insert(tenant.into(), Account::default());
        }
        self.update(tenant, |account| account.most = most);
    }

    /// An input segment was appended.
    pub(super) fn append(&mut self, tenant: &str, job: JobId, first: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.change(job, |logs| {
            logs.inputs += bytes;
            *logs.segments.entry(first).or_default() += bytes;
        });
        self.update(tenant, |account| account.log_bytes += bytes);
    }

    /// How much a job has of inputs that are not numbers of a range.
    pub(super) fn inputs_cost(&self, job: JobId) -> u64 {
        self.jobs
            .get(&job)
            .map_or(0, |logs| logs.inputs.saturating_add(logs.segments.len() as u64 * SEGMENT_COST))
    }

    /// Results were committed, which took so much fuel.
    pub(super) fn commit(&mut self, tenant: &str, job: JobId, (bytes, fuel): (u64, u64)) {
        let has_inputs = self.change(job, |logs| {
            logs.results += bytes;
            logs.inputs > 0
        });
        if has_inputs {
            self.note_spent(tenant, job);
        }
        self.update(tenant, |account| {
            account.log_bytes += bytes;
            account.fuel = account.fuel.saturating_add(fuel);
        });
    }

    /// More is kept of what a job's stopped tasks had logged.
    pub(super) fn keep_log(&mut self, tenant: &str, job: JobId, bytes: u64) {
        self.change(job, |logs| logs.kept += bytes);
        self.update(tenant, |account| account.log_bytes += bytes);
    }

    /// Input segments were dropped; all there are, where `all`.
    pub(super) fn drop_inputs(&mut self, tenant: &str, job: JobId, tasks: &[TaskRange], all: bool) {
        let Some(logs) = self.jobs.get_mut(&job) else { return };
        let mut bytes = 0;
        for part in tasks {
            while let Some((first, size)) = logs.segments.range(part.first..part.end()).next() {
                let first = *first;
                bytes += *size;
                logs.segments.remove(&first);
            }
        }
        // What was there at the start is known as a whole alone.
        let bytes = if all { logs.inputs } else { bytes.min(logs.inputs) };
        logs.inputs -= bytes;
        self.total.inputs = self.total.inputs.saturating_sub(bytes);
        self.release(tenant, bytes);
    }

    /// All results of a job were dropped.
    pub(super) fn drop_results(&mut self, tenant: &str, job: JobId) {
        let bytes = self.jobs.get_mut(&job).map_or(0, |logs| core::mem::take(&mut logs.results));
        self.total.results = self.total.results.saturating_sub(bytes);
        self.release(tenant, bytes);
    }

    /// A job may have inputs that no task needs any more.
    pub(super) fn note_spent(&mut self, tenant: &str, job: JobId) {
        if !self.change(job, |logs| core::mem::replace(&mut logs.spent, true)) {
            self.spent.entry(tenant.into()).or_default().insert(job);
        }
    }

    /// The jobs of a tenant that may have inputs which no task needs any more; they are noted anew
    /// when more of their tasks end.
    pub(super) fn take_spent(&mut self, tenant: &str) -> BTreeSet<JobId> {
        let jobs = self.spent.remove(tenant).unwrap_or_default();
        for job in &jobs {
            if let Some(logs) = self.jobs.get_mut(job) {
                logs.spent = false;
            }
        }
        jobs
    }

    /// The next tenant whose bytes are used up, if that was not looked at.
    pub(super) fn next_pressed(&mut self) -> Option<String> {
        self.pressed.pop_first()
    }

    /// A job is forgotten, and all that was stored of it.
    pub(super) fn forget(&mut self, tenant: &str, job: JobId) {
        let gone = self.jobs.remove(&job);
        if gone.as_ref().is_some_and(|logs| logs.spent)
            && let Some(jobs) = self.spent.get_mut(tenant)
        {
            jobs.remove(&job);
            if jobs.is_empty() {
                self.spent.remove(tenant);
            }
        }
        let gone = gone.map(|logs| logs.bytes()).unwrap_or_default();
        self.total.replace(gone, LogBytes::default());
        self.release(tenant, gone.inputs + gone.results + gone.kept);
    }

    /// What the store has of a job's logs; of inputs or results that are not told it stays.
    pub(super) fn measured(
        &mut self,
        tenant: &str,
        job: JobId,
        (inputs, results): (Option<u64>, Option<u64>),
    ) {
        let (before, after) = self.change(job, |logs| {
            let before = logs.inputs + logs.results;
            if let Some(inputs) = inputs {
                logs.inputs = inputs;
                logs.segments.clear();
            }
            logs.results = results.unwrap_or(logs.results);
            (before, logs.inputs + logs.results)
        });
        self.update(tenant, |account| {
            account.log_bytes = (account.log_bytes + after).saturating_sub(before);
        });
    }

    /// What the modules of a tenant take.
    pub(super) fn modules(&mut self, tenant: &str, bytes: u64) {
        self.update(tenant, |account| account.module_bytes = bytes);
    }

    /// Takes the fuel of a tenant that no record has.
    pub(super) fn take_fuel(&mut self, tenant: &str) -> u64 {
        self.tenants.get_mut(tenant).map_or(0, |account| core::mem::take(&mut account.fuel))
    }

    fn release(&mut self, tenant: &str, bytes: u64) {
        if bytes > 0 {
            self.update(tenant, |account| {
                account.log_bytes = account.log_bytes.saturating_sub(bytes);
            });
        }
    }

    fn change<T>(&mut self, job: JobId, change: impl FnOnce(&mut Logs) -> T) -> T {
        if let Some(logs) = self.jobs.get_mut(&job) {
            let before = logs.bytes();
            let changed = change(logs);
            self.total.replace(before, logs.bytes());
            return changed;
        }
        let mut logs = Logs::default();
        let changed = change(&mut logs);
        self.total.replace(LogBytes::default(), logs.bytes());
        self.jobs.insert(job, logs);
        changed
    }

    /// Changes a tenant's account, and with it whether it is held back.
    fn update(&mut self, tenant: &str, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.tenants.get_mut(tenant) else { return };
        let was_over = account.is_over();
        change(account);
        let is_over = account.is_over();
        if is_over && account.is_full() {
            self.pressed.insert(tenant.into());
        }
        if is_over && !was_over {
            self.held.insert(tenant.into());
        } else if was_over && !is_over {
            self.held.remove(tenant);
        }
    }
}

impl Logs {
    const fn bytes(&self) -> LogBytes {
        LogBytes { inputs: self.inputs, results: self.results, kept: self.kept }
    }
}

impl LogBytes {
    /// A job's logs have other bytes than before.
    const fn replace(&mut self, before: Self, after: Self) {
        self.inputs = (self.inputs + after.inputs).saturating_sub(before.inputs);
        self.results = (self.results + after.results).saturating_sub(before.results);
        self.kept = (self.kept + after.kept).saturating_sub(before.kept);
    }
}

impl Account {
    /// Its bytes are used up.
    const fn is_full(&self) -> bool {
        self.log_bytes.saturating_add(self.module_bytes) >= self.most.log_bytes
    }

    const fn is_over(&self) -> bool {
        self.is_full()
            // Without a quota it is never used up, whatever a worker says that its tasks took.
            || (self.most.fuel < u64::MAX && self.fuel >= self.most.fuel)
    }
}
