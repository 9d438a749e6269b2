//! The scheduler's value: how it is driven, and what each input leads to. The rules themselves
//! are in the modules named after their subjects.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use wasmgrid_proto::{
    Digest, Epoch, JobId, JobState, JobStatus, LogRef, Micros, Reason, Record, TaskSpec, WorkerId,
};

use super::{
    acts::Audit,
    claims::{Claims, Rival},
    stored::Stored,
    tally::Tally,
};
use crate::{
    changed::Changed,
    config::GridConfig,
    io::{Input, Output},
    ledger::{Job, Ledger, ModuleUses},
    placement::{Distrust, Placement, Queue, Worker},
    proof::LeaseKey,
    timers::{Timer, Timers},
};

/// The scheduler.
///
/// To drive it: [`apply`](Self::apply) the journal's records, then [`handle`](Self::handle)
/// [`Input::Start`] at the time at which the [ledger](Ledger::time) ends, or any where it has
/// none, and commit what that outputs before anything else, since the numbers of
/// leases rest on the epoch. From then on, for each thing that happens, `handle` it and drain
/// [`poll_output`](Self::poll_output); sleep until the next thing or
/// [`poll_timeout`](Self::poll_timeout), whichever is first.
///
/// All records of one drain belong into one atomic commit. Outputs are done in their order, but
/// those that are [gated](Output::is_gated) wait until the records before them are durable, and
/// the others do not.
///
/// Times are the grid's own: they only grow, pass as real time does, and go on at a start where
/// the last term ended, so that what passed between two terms and how a machine's clock was set
/// counts for nothing. Dates, which people are shown, are told from them.
///
/// The same inputs at the same times give the same outputs, to the byte.
#[derive(Debug)]
pub struct Grid {
    pub(super) config: GridConfig,
    pub(super) now: Micros,
    /// What leases are proved with.
    pub(super) key: LeaseKey,
    pub(super) ledger: Ledger,
    pub(super) placement: Placement,
    /// The last of the jobs with lost tasks that was looked at.
    pub(super) lost_last: JobId,
    /// Workers on which only losses were seen of late.
    pub(super) distrust: Distrust,
    /// The job whose turn it was when smaller tasks were given out, and since when that goes on.
    pub(super) overtaken: Option<(JobId, Micros)>,
    pub(super) timers: Timers,
    /// When data of a job that has ended is next due to be deleted.
    pub(super) retention: BTreeSet<(Micros, JobId)>,
    /// Who wants the places of workers that are linked.
    pub(super) rivals: BTreeMap<WorkerId, Rival>,
    /// After a start: known workers that have not come back yet.
    pub(super) awaited: BTreeSet<WorkerId>,
    /// What was counted of jobs since the start.
    counts: BTreeMap<JobId, SinceStart>,
    /// What was counted of all jobs since the start.
    pub(super) tally: Tally,
    /// What tenants have in the store.
    pub(super) stored: Stored,
    /// Why all new work is refused, if it is.
    pub(super) refuses: Option<Reason>,
    /// True where some tenant may not have all slots.
    pub(super) bounds_running: bool,
    /// What is about to be entered into the audit log.
    pub(super) audit: Audit,
    /// Records that were output.
    pub(super) written: u64,
    /// Jobs that changed: they are settled, and their watchers are woken.
    changed: Changed,
    outputs: VecDeque<Output>,
}

/// What is counted of a job from the start of a scheduler on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SinceStart {
    /// Late results.
    pub(super) discarded: u64,
    /// Divergences that are not in the ledger.
    pub(super) diverged: u64,
}

impl Grid {
    /// A grid with nothing in it.
    #[must_use]
    pub fn new(config: GridConfig) -> Self {
        let placement = Placement::new(config.tenant_weights.clone());
        Self {
            config,
            now: Micros(0),
            key: LeaseKey([0; 32]),
            ledger: Ledger::default(),
            placement,
            lost_last: JobId(0),
            distrust: Distrust::default(),
            overtaken: None,
            timers: Timers::default(),
            retention: BTreeSet::new(),
            rivals: BTreeMap::new(),
            awaited: BTreeSet::new(),
            counts: BTreeMap::new(),
            tally: Tally::default(),
            stored: Stored::default(),
            refuses: None,
            bounds_running: false,
            audit: Audit::default(),
            written: 0,
            changed: Changed::default(),
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
        self.settle();
        while let Some(timer) = self.timers.due(self.now) {
            self.fire(timer);
            self.settle();
        }
        self.relieve_pressed();
        self.pump();
        self.tell_changes();
    }

    /// Gives up and ends the jobs for which that is due since they changed.
    pub(super) fn settle(&mut self) {
        while let Some(job) = self.changed.next_unsettled() {
            self.settle_job(job);
        }
    }

    /// Wakes who watches jobs that changed.
    fn tell_changes(&mut self) {
        let mut changed = core::mem::take(&mut self.changed);
        changed.append(self.placement.changed_mut());
        for job in changed.drain() {
            self.drop_spent(job);
            self.output(Output::JobChanged { job });
        }
        self.changed = changed;
    }

    /// The next thing to do; `None` once all is drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`], unless something comes first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Micros> {
        let retention = self.retention.first().map(|(at, _)| *at);
        [self.timers.next(), retention, self.audit.next()].into_iter().flatten().min()
    }

    /// How a job stands.
    #[must_use]
    pub fn job(&self, job: JobId) -> Option<JobStatus> {
        let running = self.placement.queue(job).map_or(0, Queue::leased);
        let discarded = self.counts_of(job).discarded;
        self.ledger.job(job).map(|entry| entry.status(job, running, discarded))
    }

    /// How many tasks of a job slots run, of those that workers have, as workers last told.
    #[must_use]
    pub fn running(&self, job: JobId) -> u64 {
        let leased = self.placement.queue(job).map_or(0, Queue::leased);
        self.placement.running().of(job).min(leased)
    }

    /// The jobs of which slots run tasks, with how many, as workers last told.
    pub fn running_jobs(&self) -> impl Iterator<Item = (JobId, u64)> {
        self.placement.running().iter()
    }

    /// Where a job is in its life.
    #[must_use]
    pub fn state(&self, job: JobId) -> Option<JobState> {
        self.ledger.job(job).map(Job::state)
    }

    /// What the tasks of a job need to run; `None` once it has ended.
    #[must_use]
    pub fn task_spec(&self, job: JobId) -> Option<&TaskSpec> {
        let entry = self.ledger.job(job).filter(|entry| entry.is_active());
        entry.map(|entry| &entry.spec().task)
    }

    /// Results in a job's log: the cursor behind the last.
    #[must_use]
    pub fn results(&self, job: JobId) -> Option<u64> {
        self.ledger.job(job).map(Job::results)
    }

    /// The modules that jobs name, with whose jobs they are, each as often as one does.
    pub fn modules(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.ledger.jobs().map(|(_, entry)| {
            let task = &entry.spec().task;
            (task.tenant.as_str(), task.module)
        })
    }

    /// What names a module: of this tenant, or of all without one.
    #[must_use]
    pub fn module_uses(&self, module: Digest, tenant: Option<&str>) -> ModuleUses {
        let named = self.ledger.named();
        tenant.map_or_else(|| named.of_all(module), |tenant| named.of(tenant, module))
    }

    /// The blobs that jobs name, with whose jobs they are, each as often as one does.
    pub fn blobs(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.ledger.jobs().flat_map(|(_, entry)| {
            let task = &entry.spec().task;
            task.blobs.iter().map(|blob| (task.tenant.as_str(), blob.digest))
        })
    }

    /// Who owns a job.
    #[must_use]
    pub fn tenant(&self, job: JobId) -> Option<&str> {
        self.ledger.job(job).map(Job::tenant)
    }

    /// Where the input of a task comes from: its job's own log, unless the job takes its inputs from a
    /// log of another, as a retry does.
    #[must_use]
    pub fn input_of(&self, job: JobId, index: u64) -> LogRef {
        let own = LogRef::input(job, index);
        self.ledger.job(job).map_or(own, |entry| entry.input_of(job, index))
    }

    /// True where a job takes inputs, and only of its submitter.
    #[must_use]
    pub fn is_attached(&self, job: JobId) -> bool {
        let entry = self.ledger.job(job);
        entry.is_some_and(|entry| entry.spec().attached && entry.is_active() && !entry.is_closed())
    }

    /// The jobs that take inputs, and only of their submitters.
    pub fn attached_jobs(&self) -> impl Iterator<Item = JobId> {
        self.placement.active_jobs().filter(|job| self.is_attached(*job))
    }

    /// The scheduler's term; 0 before the first start.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.ledger.epoch()
    }

    /// What must outlive the scheduler, to compare a replayed grid with the live one.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::Start { date, key, vouched } => {
                self.key = key;
                self.placement.vouch(vouched);
                self.start(date);
            }
            input @ (Input::Submit { .. }
            | Input::AppendAt { .. }
            | Input::Skip { .. }
            | Input::Append { .. }
            | Input::Retry { .. }
            | Input::Close { .. }
            | Input::Cancel { .. }
            | Input::DrainWorker { .. }
            | Input::CordonWorker { .. }
            | Input::RemoveWorker { .. }
            | Input::DeployFunction { .. }
            | Input::DeleteFunction { .. }
            | Input::Call { .. }
            | Input::SetQuota { .. }) => self.take_request(input),
            Input::DropResults { job, before, why } => self.drop_results(job, before, why),
            Input::WorkerJoined {
                link,
                name,
                address,
                started,
                capacity,
                vouched,
                held,
                proofs,
            } => {
                let offer = (capacity, vouched);
                let worker = Worker::new(link, name, address, started, offer, self.now);
                self.worker_joined(worker, Claims::new(held, proofs));
            }
            Input::KeysVouched { keys } => self.keys_vouched(keys),
            Input::WorkerLeft { worker, link, graceful } => {
                self.worker_left(worker, link, graceful);
            }
            Input::JoinerLeft { link } => self.rival_left(link),
            Input::Alive { worker, rival } => self.alive(worker, rival),
            Input::WorkerLeaving { worker } => self.worker_leaving(worker),
            Input::Heard { worker } => self.hear(worker),
            Input::Heartbeat { worker, heartbeat } => self.heartbeat(worker, heartbeat),
            Input::Health { worker, unable } => self.worker_health(worker, unable),
            Input::Preparing { worker, jobs, compiled } => {
                self.worker_prepares(worker, &jobs, &compiled);
            }
            Input::Completed { worker, batch, blocks, token } => {
                self.completed(worker, batch, &blocks, token);
            }
            Input::Returned { worker, job, lease, tasks, reason } => {
                self.returned(worker, (job, lease), &tasks, &reason);
            }
            Input::Diverged { job, index, committed, late } => {
                self.diverged(job, index, committed, late);
            }
            Input::Stored { job, inputs, results } => self.measured(job, inputs, results),
            Input::LogKept { job, bytes } => self.keep_log(job, bytes),
            Input::Modules { tenant, bytes } => {
                self.bound(&tenant);
                self.stored.modules(&tenant, bytes);
            }
            Input::Refused { by, act, reason } => self.refused(by, act, reason),
            Input::Intake { refusal } => self.refuses = refusal,
            Input::InboxStalled => self.inbox_stalled(),
            Input::Tick => self.tick(),
        }
    }

    /// How long workers and rivals were silent is not known.
    fn inbox_stalled(&mut self) {
        self.placement.reset_silence(self.now);
        self.ask_rivals_anew();
    }

    /// Does what is due beside the timers.
    fn tick(&mut self) {
        self.retain_due();
        self.enter_refusals();
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Deadline(job) => self.expire(job),
            Timer::Retry(job, index) => self.resume(job, index),
            Timer::Contest(worker) => self.decide_contest(worker),
            Timer::Silence(worker) => self.check_silence(worker),
            Timer::Answer(worker) => self.check_answer(worker),
            Timer::Overdue(worker) => self.check_overdue(worker),
            Timer::Rejoin(worker) => self.give_up_on(worker),
            Timer::Rest(worker) => self.rested(worker),
            Timer::Recovery => self.recover(),
            Timer::Time => self.keep_time(),
        }
    }

    /// The only way in which durable state changes: as a replay would change it.
    pub(super) fn persist(&mut self, record: Record) {
        self.persist_as(record, Output::Persist);
    }

    /// As [`persist`](Self::persist), for a record that goes with a segment.
    pub(super) fn persist_as(&mut self, record: Record, output: impl FnOnce(Record) -> Output) {
        self.bring_time();
        self.write_as(record, output);
    }

    /// Writes a record down as it is, whatever time it is.
    pub(super) fn write(&mut self, record: Record) {
        self.write_as(record, Output::Persist);
    }

    fn write_as(&mut self, record: Record, output: impl FnOnce(Record) -> Output) {
        self.written += 1;
        self.ledger.apply(&record);
        if let Some(job) = changed_by(&record) {
            self.changed.insert(job);
        }
        self.output(output(record));
    }

    /// Counts something of a job that is not durable.
    pub(super) fn count(&mut self, job: JobId, count: impl FnOnce(&mut SinceStart)) {
        count(self.counts.entry(job).or_default());
        self.changed.insert(job);
    }

    /// What was counted of a job since the start.
    pub(super) fn counts_of(&self, job: JobId) -> SinceStart {
        self.counts.get(&job).copied().unwrap_or_default()
    }

    /// Nothing is counted of a job any more.
    pub(super) fn forget_counts(&mut self, job: JobId) {
        self.counts.remove(&job);
        self.audit.forget(job);
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}

/// The job that a record changes, as far as that shows: in how it stands, or in its results.
const fn changed_by(record: &Record) -> Option<JobId> {
    match record {
        Record::JobSubmitted { job, .. }
        | Record::InputsAppended { job, .. }
        | Record::InputsTaken { job, .. }
        | Record::InputsClosed { job }
        | Record::Committed { job, .. }
        | Record::Ended { job, .. }
        | Record::AttemptsFailed { job, .. }
        | Record::Diverged { job, .. }
        | Record::ResultsDropped { job, .. }
        | Record::JobEnded { job, .. }
        | Record::JobForgotten { job } => Some(*job),
        Record::CancelRequested { .. }
        | Record::ProducerNoted { .. }
        | Record::InputsDigest { .. }
        | Record::InputsDropped { .. }
        | Record::IndicesSkipped { .. }
        | Record::EpochStarted { .. }
        | Record::TimePassed { .. }
        | Record::WorkerKnown { .. }
        | Record::WorkerCordoned { .. }
        | Record::WorkerDrained { .. }
        | Record::WorkerRemoved { .. }
        | Record::QuotaSet { .. }
        | Record::FuelUsed { .. }
        | Record::FunctionSet { .. } => None,
    }
}
