//! What must outlive a scheduler, and how records change it. Nothing else changes it, so that a
//! replayed ledger equals the live one.

mod appends;
mod attempts;
mod catalog;
mod clock;
mod failed_tasks;
mod functions;
mod history;
mod holdings;
mod inputs;
mod job;
mod lists;
mod named;
mod producers;
mod terms;
mod usage;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use wasmgrid_proto::{
    Allowance, Epoch, Fuel, JobId, LogKind, Micros, Record, Resource, SnapshotItem, WorkerId,
};

use self::{
    catalog::Catalog,
    holdings::{Holdings, Part, REPEAT_BYTES},
};
use crate::table::Table;

pub(crate) use attempts::explain;
pub(crate) use catalog::Wanted;
pub(crate) use clock::Clock;
pub(crate) use functions::{Function, Functions};
pub(crate) use history::History;
pub(crate) use holdings::{RANGE_BYTES, SEGMENT_BYTES, job_bytes};
pub(crate) use job::Job;
pub use named::ModuleUses;
pub(crate) use named::Named;
pub(crate) use producers::{Last, PRODUCERS_MAX, Producers, REMEMBERED};
pub(crate) use usage::Usages;

/// The durable part of a [`Grid`](crate::Grid): jobs, what became of their tasks, and who is
/// known. Two ledgers are equal where the same records were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    epoch: Epoch,
    /// Up to when a scheduler ran, and which date that was.
    clock: Clock,
    jobs: Table<JobId, Job>,
    /// The same by tenant and state.
    catalog: Catalog,
    /// The last job's number: not given again when the job is forgotten.
    last_job: JobId,
    /// By tenant and key.
    keys: BTreeMap<String, BTreeMap<Arc<str>, JobId>>,
    workers: BTreeMap<String, WorkerId>,
    last_worker: WorkerId,
    /// Workers that an operator wants to get nothing new.
    cordoned: BTreeSet<WorkerId>,
    /// Workers that an operator drained, and when the process of each started that this concerns.
    drained: BTreeMap<WorkerId, Micros>,
    /// The names of workers that were taken away, of at most [`FORMER_MAX`].
    former: BTreeMap<WorkerId, String>,
    /// The active jobs that take their inputs from a log of another, by that log.
    readers: BTreeMap<(JobId, LogKind), BTreeSet<JobId>>,
    /// What each tenant has of all this.
    holdings: Holdings,
    /// What tenants may have, where an operator said so.
    quotas: BTreeMap<String, BTreeMap<Resource, Allowance>>,
    /// Of each tenant the last day on which its tasks used fuel, and how much.
    fuel: BTreeMap<String, (u64, u64)>,
    /// What each tenant's tasks have used so far.
    usages: Usages,
    /// The functions of tenants.
    functions: Functions,
    /// How many jobs and functions name each module.
    named: Named,
}

/// Workers that were taken away and are still known by name, those that came last: what they did is
/// told under it.
const FORMER_MAX: usize = 4_096;

impl Ledger {
    /// Takes in one record. A record that fits nothing here changes nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::EpochStarted { epoch, .. } => self.epoch = self.epoch.max(*epoch),
            Record::JobSubmitted { job, spec, idempotency_key, digest, at } => {
                let key = idempotency_key.as_deref().map(Arc::from);
                let at = (*at, self.clock.time_of(*at));
                self.add(*job, Job::new((**spec).clone(), (key, *digest), self.epoch, at));
            }
            Record::TimePassed { time, date } => {
                self.clock = Clock { time: *time, date: *date };
                self.functions.forget_callers(*time);
            }
            Record::ProducerNoted { job, producer, number, first } => {
                self.note_producer(*job, *producer, (*number, *first));
            }
            Record::JobForgotten { job } => self.forget(*job),
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
            Record::WorkerRemoved { worker } => self.remove_worker(*worker),
            Record::WorkerDrained { worker, process: Some(process) } => {
                self.drained.insert(*worker, *process);
            }
            Record::WorkerDrained { worker, process: None } => {
                self.drained.remove(worker);
            }
            Record::QuotaSet { tenant, resource, allowed } => {
                self.set_quota(tenant, *resource, *allowed);
            }
            Record::FuelUsed { tenant, day, fuel } => {
                self.fuel.insert(tenant.clone(), (*day, fuel.0));
            }
            Record::FunctionSet { tenant, name, job, called, deployed } => {
                let before = self.functions.get(tenant, name).map(|function| function.job);
                self.functions.set((tenant, name), *job, (*called, *deployed));
                self.rename(before, *job);
            }
            Record::InputsAppended { job, .. }
            | Record::InputsClosed { job }
            | Record::CancelRequested { job, .. }
            | Record::Committed { job, .. }
            | Record::Ended { job, .. }
            | Record::AttemptsFailed { job, .. }
            | Record::Diverged { job, .. }
            | Record::InputsDigest { job, .. }
            | Record::InputsDropped { job, .. }
            | Record::IndicesSkipped { job, .. }
            | Record::ResultsDropped { job, .. } => self.apply_to(*job, record),
            Record::JobEnded { job, at, .. } => {
                self.apply_to(*job, record);
                let ended = self.clock.time_of(*at);
                if let Some(entry) = self.jobs.get_mut(job) {
                    entry.ended = Some(ended);
                }
                self.note_reader(*job);
            }
            Record::InputsTaken { job, .. } => {
                self.apply_to(*job, record);
                self.note_reader(*job);
            }
        }
    }

    fn apply_to(&mut self, job: JobId, record: &Record) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            let (before, state) = (Part::of(entry), entry.state);
            let ended = entry.apply(record, self.epoch);
            let tenant = &entry.spec.task.tenant;
            self.usages.count(tenant, record, ended);
            self.holdings.change(tenant, before, Part::of(entry));
            if entry.state != state {
                self.catalog.remove(tenant, state, job);
                self.catalog.add(tenant, entry.state, job);
            }
        }
    }

    /// Remembers what a producer asked last: of the function whose calls the job takes, or else of the job.
    fn note_producer(&mut self, job: JobId, producer: u64, (number, first): (u64, u64)) {
        let last = Last { number, job, first, at: self.clock.time };
        if self.functions.note_caller(job, producer, last) {
            return;
        }
        if let Some(entry) = self.jobs.get_mut(&job) {
            let before = Part::of(entry);
            entry.producers.note(producer, last);
            self.holdings.change(&entry.spec.task.tenant, before, Part::of(entry));
        }
    }

    /// What a producer asked last of a job, or of the function whose calls it takes.
    pub(crate) fn producers(&self, job: JobId) -> Option<&Producers> {
        match self.functions.of_job(job) {
            Some((tenant, name)) => self.functions.callers(tenant, name),
            None => self.jobs.get(&job).map(Job::producers),
        }
    }

    /// About how many bytes of memory and of the journal take what a tenant's jobs are, and who appended to
    /// them.
    pub(crate) fn record_bytes(&self, tenant: &str) -> u64 {
        let callers = self.functions.count_callers(tenant) as u64;
        self.holdings.of(tenant).record_bytes + callers * REPEAT_BYTES
    }

    fn remove_worker(&mut self, worker: WorkerId) {
        self.cordoned.remove(&worker);
        self.drained.remove(&worker);
        let gone = self.workers.extract_if(.., |_, id| *id == worker).next();
        if let Some((name, _)) = gone {
            self.remember(worker, name);
        }
    }

    fn remember(&mut self, worker: WorkerId, name: String) {
        self.former.insert(worker, name);
        if self.former.len() > FORMER_MAX {
            self.former.pop_first();
        }
    }

    fn set_quota(&mut self, tenant: &str, resource: Resource, allowed: Allowance) {
        let set = self.quotas.entry(tenant.into()).or_default();
        if allowed == Allowance::Default {
            set.remove(&resource);
        } else {
            set.insert(resource, allowed);
        }
        if set.is_empty() {
            self.quotas.remove(tenant);
        }
    }

    /// The active jobs that take their inputs from a log of this one: what they need of it must stay.
    /// Those that run its tasks again read its input log.
    pub(crate) fn readers(&self, job: JobId, log: LogKind) -> impl Iterator<Item = JobId> {
        self.readers.get(&(job, log)).into_iter().flatten().copied()
    }

    /// True if active jobs take their inputs from either log of this one.
    pub(crate) fn is_read(&self, job: JobId) -> bool {
        [LogKind::Input, LogKind::Result].iter().any(|log| self.readers(job, *log).next().is_some())
    }

    /// Sees to it that a job is among the readers of a log as long as it is an active one.
    fn note_reader(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get(&job) else { return };
        let Some(log) = entry.reads() else { return };
        if entry.is_active() {
            self.readers.entry(log).or_default().insert(job);
        } else if let Some(readers) = self.readers.get_mut(&log) {
            readers.remove(&job);
            if readers.is_empty() {
                self.readers.remove(&log);
            }
        }
    }

    /// As items of a snapshot: from all of them, in this order, [`restore`](Self::restore) makes
    /// an equal ledger.
    pub fn snapshot(&self, out: &mut dyn FnMut(SnapshotItem)) {
        let Self { epoch, last_job, last_worker, .. } = *self;
        out(SnapshotItem::Grid { epoch, last_job, last_worker });
        let Clock { time, date } = self.clock;
        out(SnapshotItem::Time { time, date });
        for (name, worker) in &self.workers {
            let (cordoned, drained) = (self.is_cordoned(*worker), self.drained(*worker));
            out(SnapshotItem::Worker { worker: *worker, name: name.clone(), cordoned, drained });
        }
        for (worker, name) in &self.former {
            out(SnapshotItem::FormerWorker { worker: *worker, name: name.clone() });
        }
        for (tenant, set) in &self.quotas {
            for (resource, allowed) in set {
                let (resource, allowed) = (*resource, *allowed);
                out(SnapshotItem::Quota { tenant: tenant.clone(), resource, allowed });
            }
        }
        for (tenant, (day, fuel)) in &self.fuel {
            let (day, fuel) = (*day, Fuel(*fuel));
            out(SnapshotItem::FuelUsed { tenant: tenant.clone(), day, fuel });
        }
        for (tenant, usage) in self.usages.iter() {
            out(SnapshotItem::Usage { tenant: tenant.clone(), usage });
        }
        self.functions.snapshot(out);
        for (job, entry) in self.jobs.iter() {
            entry.snapshot(job, out);
        }
    }

    /// Takes in the next item of a snapshot.
    pub fn restore(&mut self, item: SnapshotItem) {
        match item {
            SnapshotItem::Grid { epoch, last_job, last_worker } => {
                (self.epoch, self.last_job, self.last_worker) = (epoch, last_job, last_worker);
            }
            SnapshotItem::Worker { worker, name, cordoned, drained } => {
                self.workers.insert(name, worker);
                if cordoned {
                    self.cordoned.insert(worker);
                }
                self.drained.extend(drained.map(|process| (worker, process)));
            }
            SnapshotItem::FormerWorker { worker, name } => self.remember(worker, name),
            SnapshotItem::Time { time, date } => self.clock = Clock { time, date },
            SnapshotItem::Quota { tenant, resource, allowed } => {
                self.set_quota(&tenant, resource, allowed);
            }
            SnapshotItem::FuelUsed { tenant, day, fuel } => {
                self.fuel.insert(tenant, (day, fuel.0));
            }
            SnapshotItem::Usage { tenant, usage } => self.usages.add(&tenant, usage),
            SnapshotItem::Function { tenant, name, job, before, called, deployed } => {
                let function = Function { job, before, called, deployed };
                self.functions.restore((&tenant, &name), function);
            }
            SnapshotItem::Callers { tenant, name, producers } => {
                self.functions.restore_callers((&tenant, &name), producers);
            }
            // As an earlier release wrote it: when, is not known.
            SnapshotItem::Producers { job, producers } => {
                for (producer, number, first) in producers {
                    self.note_producer(job, producer, (number, first));
                }
            }
            SnapshotItem::Job(item) => self.add(item.job, Job::from_item(item)),
            SnapshotItem::Tasks { job, .. }
            | SnapshotItem::Attempts { job, .. }
            | SnapshotItem::Inputs { job, .. }
            | SnapshotItem::Appends { job, .. }
            | SnapshotItem::Appenders { job, .. }
            | SnapshotItem::Notes { job, .. }
            | SnapshotItem::Terms { job, .. }
            | SnapshotItem::Divergences { job, .. } => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    let before = Part::of(entry);
                    entry.restore(item);
                    self.holdings.change(&entry.spec.task.tenant, before, Part::of(entry));
                }
            }
        }
    }

    /// The grid's time up to which a scheduler is known to have run; 0 where none ever did. It goes
    /// on from there.
    #[must_use]
    pub const fn time(&self) -> Micros {
        self.clock.time
    }

    /// The last term.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Up to when a scheduler ran, and which date that was.
    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn job(&self, job: JobId) -> Option<&Job> {
        self.jobs.get(&job)
    }

    /// The jobs that are known, by number.
    pub(crate) fn jobs(&self) -> impl DoubleEndedIterator<Item = (JobId, &Job)> {
        self.jobs.iter()
    }

    /// The jobs that are known by tenant and state.
    pub(crate) const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The workers that are known, by name.
    pub(crate) fn workers(&self) -> impl ExactSizeIterator<Item = (&String, WorkerId)> {
        self.workers.iter().map(|(name, id)| (name, *id))
    }

    /// The number of a worker that is known.
    pub(crate) fn worker(&self, name: &str) -> Option<WorkerId> {
        self.workers.get(name).copied()
    }

    /// True where an operator wants a worker to get nothing new.
    pub(crate) fn is_cordoned(&self, worker: WorkerId) -> bool {
        self.cordoned.contains(&worker)
    }

    /// When the process of a worker started that an operator drained.
    pub(crate) fn drained(&self, worker: WorkerId) -> Option<Micros> {
        self.drained.get(&worker).copied()
    }

    /// What each tenant has of all this.
    pub(crate) const fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// What tenants may have, where an operator said so.
    pub(crate) const fn quotas(&self) -> &BTreeMap<String, BTreeMap<Resource, Allowance>> {
        &self.quotas
    }

    /// How much of something a tenant may have, as an operator said.
    pub(crate) fn quota(&self, tenant: &str, resource: Resource) -> Allowance {
        let set = self.quotas.get(tenant).and_then(|set| set.get(&resource));
        set.copied().unwrap_or(Allowance::Default)
    }

    /// The last day on which a tenant's tasks used fuel, and how much.
    pub(crate) fn fuel(&self, tenant: &str) -> Option<(u64, u64)> {
        self.fuel.get(tenant).copied()
    }

    /// The functions of tenants.
    pub(crate) const fn functions(&self) -> &Functions {
        &self.functions
    }

    /// What each tenant's tasks have used so far.
    pub(crate) const fn usages(&self) -> &Usages {
        &self.usages
    }

    /// The last job's number: so many were submitted.
    pub(crate) const fn last_job(&self) -> JobId {
        self.last_job
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
        self.holdings.add(&entry);
        let task = &entry.spec.task;
        self.catalog.add(&task.tenant, entry.state, job);
        self.named.add(&task.tenant, task.module, self.uses_of(job));
        self.jobs.insert(job, entry);
        self.note_reader(job);
    }

    fn forget(&mut self, job: JobId) {
        let Some(entry) = self.jobs.remove(&job) else { return };
        self.holdings.remove(&entry);
        let task = &entry.spec.task;
        self.catalog.remove(&task.tenant, entry.state, job);
        self.named.remove(&task.tenant, task.module, self.uses_of(job));
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

    /// What a job counts as among what names its module: itself, and the function whose calls it takes.
    fn uses_of(&self, job: JobId) -> ModuleUses {
        ModuleUses { jobs: 1, functions: self.functions.of_job(job).is_some().into() }
    }

    /// A function's calls go to another job, and with it maybe to another module.
    fn rename(&mut self, before: Option<JobId>, job: Option<JobId>) {
        let function = ModuleUses { jobs: 0, functions: 1 };
        if let Some(entry) = before.and_then(|before| self.jobs.get(&before)) {
            let task = &entry.spec.task;
            self.named.remove(&task.tenant, task.module, function);
        }
        if let Some(entry) = job.and_then(|job| self.jobs.get(&job)) {
            let task = &entry.spec.task;
            self.named.add(&task.tenant, task.module, function);
        }
    }

    /// How many jobs and functions name each module.
    pub(crate) const fn named(&self) -> &Named {
        &self.named
    }

    pub(crate) const fn next_worker(&self) -> WorkerId {
        WorkerId(self.last_worker.0 + 1)
    }

    /// The name of a worker that is or was known.
    pub(crate) fn worker_name(&self, worker: WorkerId) -> Option<&str> {
        let known = self.workers.iter().find(|(_, id)| **id == worker).map(|(name, _)| name);
        known.or_else(|| self.former.get(&worker)).map(String::as_str)
    }

    /// The names of those of these workers that are or were known.
    pub(crate) fn names_of(&self, workers: &[WorkerId]) -> Vec<(WorkerId, String)> {
        let wanted: BTreeSet<WorkerId> = workers.iter().copied().collect();
        let known = self.workers.iter().map(|(name, id)| (*id, name));
        let all = self.former.iter().map(|(id, name)| (*id, name)).chain(known);
        let named = all.filter(|(id, _)| wanted.contains(id));
        named.map(|(id, name)| (id, name.clone())).collect()
    }

    pub(crate) fn by_key(&self, tenant: &str, key: &str) -> Option<JobId> {
        self.keys.get(tenant)?.get(key).copied()
    }
}
