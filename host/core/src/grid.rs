//! The scheduler's value: how it is driven, and what each input leads to. The rules themselves
//! are in the modules named after their subjects.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};

use wasmgrid_proto::{
    Digest, Epoch, JobId, JobStatus, Micros, Record, TaskRange, WorkerId, WorkerStatus,
};

use crate::{
    GridConfig, Input, Ledger, Output,
    fleet::Fleet,
    lease::Leases,
    queue::Queue,
    share::Shares,
    timers::{Timer, Timers},
    worker::Worker,
};

/// The scheduler.
///
/// To drive it: [`apply`](Self::apply) the journal's records, then [`handle`](Self::handle)
/// [`Input::Start`], and commit what that outputs before anything else, since the numbers of
/// leases rest on the epoch. From then on, for each thing that happens, `handle` it and drain
/// [`poll_output`](Self::poll_output); sleep until the next thing or
/// [`poll_timeout`](Self::poll_timeout), whichever is first.
///
/// All records of one drain belong into one atomic commit. Outputs are done in their order, but
/// those that are [gated](Output::is_gated) wait until the records before them are durable, and
/// the others do not.
///
/// The same inputs at the same times give the same outputs, to the byte.
#[derive(Debug)]
pub struct Grid {
    pub(crate) config: GridConfig,
    pub(crate) now: Micros,
    pub(crate) ledger: Ledger,
    /// One for each active job, from the start on.
    pub(crate) queues: BTreeMap<JobId, Queue>,
    pub(crate) leases: Leases,
    pub(crate) fleet: Fleet,
    pub(crate) shares: Shares,
    /// Jobs with tasks that wait for a worker of their own.
    pub(crate) suspects: BTreeSet<JobId>,
    pub(crate) timers: Timers,
    /// After a start: known workers that have not come back yet.
    pub(crate) awaited: BTreeSet<WorkerId>,
    /// Late results by job, since the start.
    pub(crate) discarded: BTreeMap<JobId, u64>,
    /// Jobs whose watchers are to be woken.
    pub(crate) changed: BTreeSet<JobId>,
    outputs: VecDeque<Output>,
}

impl Grid {
    /// A grid with nothing in it.
    #[must_use]
    pub fn new(config: GridConfig) -> Self {
        Self {
            config,
            now: Micros(0),
            ledger: Ledger::default(),
            queues: BTreeMap::new(),
            leases: Leases::default(),
            fleet: Fleet::default(),
            shares: Shares::default(),
            suspects: BTreeSet::new(),
            timers: Timers::default(),
            awaited: BTreeSet::new(),
            discarded: BTreeMap::new(),
            changed: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A grid that goes on where a ledger ends; before [`Input::Start`] only.
    #[must_use]
    pub fn with_ledger(config: GridConfig, ledger: Ledger) -> Self {
        Self { ledger, ..Self::new(config) }
    }

    /// Replays one record of the journal; before [`Input::Start`] only.
    pub fn apply(&mut self, record: &Record) {
        self.ledger.apply(record);
    }

    /// Takes in what happened at `now`. A time before the last one counts as the last one.
    pub fn handle(&mut self, now: Micros, input: Input) {
        self.now = self.now.max(now);
        self.take_in(input);
        while let Some(timer) = self.timers.due(self.now) {
            self.fire(timer);
        }
        self.pump();
        for job in core::mem::take(&mut self.changed) {
            self.drop_spent(job);
            self.output(Output::JobChanged { job });
        }
    }

    /// The next thing to do; `None` once all is drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`], unless something comes first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Micros> {
        self.timers.next()
    }

    /// How a job stands.
    #[must_use]
    pub fn job(&self, job: JobId) -> Option<JobStatus> {
        let running = self.queues.get(&job).map_or(0, |queue| queue.leased);
        let discarded = self.discarded.get(&job).copied().unwrap_or_default();
        self.ledger.jobs.get(&job).map(|entry| entry.status(job, running, discarded))
    }

    /// How jobs stand, the newest first, at most `limit`.
    #[must_use]
    pub fn jobs(&self, limit: usize) -> Vec<JobStatus> {
        self.jobs_before(None).take(limit).collect()
    }

    /// How jobs stand that were submitted before this one, the newest first; all without one.
    pub fn jobs_before(&self, before: Option<JobId>) -> impl Iterator<Item = JobStatus> {
        let jobs = self.ledger.jobs.range(..before.unwrap_or(JobId(u64::MAX))).rev();
        jobs.filter_map(|(job, _)| self.job(*job))
    }

    /// How many jobs there are that were submitted before this one; all without one.
    #[must_use]
    pub fn count_before(&self, before: Option<JobId>) -> u64 {
        self.ledger.jobs.range(..before.unwrap_or(JobId(u64::MAX))).count() as u64
    }

    /// The modules that jobs name, each as often as one does.
    pub fn modules(&self) -> impl Iterator<Item = Digest> {
        self.ledger.jobs.values().map(|entry| entry.spec.task.module)
    }

    /// How the workers stand that joined in this epoch, by number.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.fleet.iter().map(|(id, worker)| worker.status(id)).collect()
    }

    /// The scheduler's term; 0 before the first start.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.ledger.epoch
    }

    /// What must outlive the scheduler, to compare a replayed grid with the live one.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::Start => self.start(),
            Input::Submit { request, spec, idempotency_key, inputs, closed, digest } => {
                self.submit(request, spec, idempotency_key, (inputs, digest), closed);
            }
            Input::Append { request, job, first, count, digest } => {
                self.append(request, job, TaskRange { first, count }, digest);
            }
            Input::DropResults { job, before, why } => self.drop_results(job, before, why),
            Input::Close { request, job } => self.close(request, job),
            Input::Cancel { request, job, by } => self.cancel(request, job, by),
            Input::DrainWorker { request, name } => self.drain_worker(request, &name),
            Input::WorkerJoined { link, name, address, started, capacity, held } => {
                let worker = Worker::new(link, name, address, started, capacity, self.now);
                self.worker_joined(worker, &held);
            }
            Input::WorkerLeft { worker, link, graceful } => {
                self.worker_left(worker, link, graceful);
            }
            Input::WorkerLeaving { worker } => self.worker_leaving(worker),
            Input::Heartbeat { worker, heartbeat } => self.heartbeat(worker, heartbeat),
            Input::Completed { worker, batch, blocks, token } => {
                self.completed(worker, batch, &blocks, token);
            }
            Input::Returned { worker, job, lease, tasks } => {
                self.returned(worker, job, lease, &tasks);
            }
            Input::Deaf => self.fleet.hear_all(self.now),
            Input::Tick => {}
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Deadline(job) => self.expire(job),
            Timer::Retry(job, index) => self.resume(job, index),
            Timer::Silence(worker) => self.check_silence(worker),
            Timer::Rejoin(worker) => self.give_up_on(worker),
            Timer::Recovery => self.recover(),
            Timer::Retention(job) => self.retain(job),
        }
    }

    /// The only way in which durable state changes: as a replay would change it.
    pub(crate) fn persist(&mut self, record: Record) {
        self.persist_as(record, Output::Persist);
    }

    /// As [`persist`](Self::persist), for a record that goes with a segment.
    pub(crate) fn persist_as(&mut self, record: Record, output: impl FnOnce(Record) -> Output) {
        self.ledger.apply(&record);
        self.output(output(record));
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}
