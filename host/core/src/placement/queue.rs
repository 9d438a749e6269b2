//! The part of an active job that is not durable: which of its open tasks wait, and how large a
//! share of a worker's credit one of them takes.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use wasmgrid_proto::{Digest, TaskRange, WorkerId};

use super::{
    demand::{Demand, Rank},
    lease::LeaseSet,
    worker::{FULL, Weight},
};
use crate::{
    config::GridConfig,
    ledger::{History, Job},
    planted::Planted,
    ranges::RangeSet,
};

/// Tasks a slot has queued, itself included, while nothing is known of what they cost.
const FIRST_PER_SLOT: u64 = 2;

/// What a task costs a slot at least: instantiation is not in its own time.
const COST_FLOOR_NS: u64 = 5_000;

/// What a task is taken to cost before one has ended.
const COST_GUESS_NS: u64 = 1_000_000;

/// What is alike of tasks that workers lost: which attempt is their next, and those workers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lost {
    pub(crate) attempt: u32,
    pub(crate) by: Vec<WorkerId>,
}

/// An active job's waiting tasks.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(super) tenant: Arc<str>,
    /// What its tasks need of a worker.
    pub(super) demand: Demand,
    /// Where it stands among its tenant's jobs.
    pub(super) rank: Rank,
    /// Whose homes its tasks prefer.
    module: Digest,
    /// True after a start, until the workers had their time to say what they hold of the job.
    recovering: bool,
    /// Inputs that were durable when this scheduler started: leases of earlier terms are of these.
    recovered: u64,
    /// Of these, the tasks that this scheduler gave out itself: no earlier lease of them counts.
    given: RangeSet,
    /// True where nothing more is given out, because too many tasks failed.
    stopping: bool,
    /// As its tenant's jobs with tasks to give have it.
    pub(super) listed: bool,
    pub(super) leases: LeaseSet,
    /// Tasks in `leases`.
    pub(super) leased: u64,
    /// Waiting tasks by the number of their next attempt.
    ready: BTreeMap<u32, RangeSet>,
    /// Waiting tasks that workers lost, by those workers and the number of the next attempt.
    lost: BTreeMap<Lost, RangeSet>,
    /// Waiting tasks that must run alone on a worker, by the workers that lost them.
    suspects: BTreeMap<Vec<WorkerId>, RangeSet>,
    /// Tasks that wait out a pause.
    paused: RangeSet,
    /// The workers that make its module ready.
    pub(super) preparing: BTreeSet<WorkerId>,
    cost_ns: Option<u64>,
    /// Tasks a slot may have, running and queued.
    per_slot: u64,
}

impl Queue {
    /// The queue of a job none of whose tasks is leased.
    pub(crate) fn new(tenant: Arc<str>, demand: Demand, job: &Job, config: &GridConfig) -> Self {
        let task = &job.spec().task;
        let mut queue = Self {
            tenant,
            demand,
            rank: Rank::new(job.spec(), job.submitted(), config.priority_step),
            module: task.module,
            recovering: false,
            recovered: 0,
            given: RangeSet::default(),
            stopping: false,
            listed: false,
            leases: LeaseSet::default(),
            leased: 0,
            ready: BTreeMap::new(),
            lost: BTreeMap::new(),
            suspects: BTreeMap::new(),
            paused: RangeSet::default(),
            preparing: BTreeSet::new(),
            cost_ns: None,
            per_slot: FIRST_PER_SLOT,
        };
        for tasks in job.open().iter() {
            queue.put(tasks, job, config);
        }
        queue
    }

    pub(crate) const fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// What its tasks need of a worker.
    pub(crate) const fn demand(&self) -> Demand {
        self.demand
    }

    /// Where it stands among its tenant's jobs.
    pub(crate) const fn rank(&self) -> Rank {
        self.rank
    }

    /// Whose homes its tasks prefer.
    pub(crate) const fn module(&self) -> Digest {
        self.module
    }

    /// True after a start, until the workers had their time to say what they hold of the job.
    pub(crate) const fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// Inputs that were durable when this scheduler started.
    pub(crate) const fn recovered(&self) -> u64 {
        self.recovered
    }

    /// Of these, the tasks that this scheduler gave out itself.
    pub(crate) const fn given(&self) -> &RangeSet {
        &self.given
    }

    /// True where what had not begun was skipped, because too many tasks failed.
    pub(crate) const fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Leases of its tasks.
    pub(crate) const fn leases(&self) -> &LeaseSet {
        &self.leases
    }

    /// Tasks in its leases.
    pub(crate) const fn leased(&self) -> u64 {
        self.leased
    }

    /// The workers that make its module ready.
    pub(crate) const fn preparing(&self) -> &BTreeSet<WorkerId> {
        &self.preparing
    }

    /// A scheduler started when the job had so many inputs. Where workers are `awaited`, what they
    /// hold of it is not given out meanwhile.
    pub(crate) const fn start(&mut self, recovered: u64, awaited: bool) {
        self.recovered = recovered;
        self.recovering = awaited;
    }

    /// The workers had their time to say what they hold.
    pub(crate) const fn end_recovery(&mut self) {
        self.recovering = false;
    }

    /// Too many tasks failed: takes all that waits.
    pub(crate) fn stop(&mut self) -> RangeSet {
        self.stopping = true;
        self.take_all()
    }

    /// Makes open tasks wait for a worker.
    pub(crate) fn put(&mut self, tasks: TaskRange, job: &Job, config: &GridConfig) {
        for (tasks, history) in job.by_history(tasks) {
            self.waiting(tasks, job, history, config).insert(tasks);
        }
    }

    /// The waiting tasks that are like these, which have one history.
    fn waiting(
        &mut self,
        tasks: TaskRange,
        job: &Job,
        history: History,
        config: &GridConfig,
    ) -> &mut RangeSet {
        let attempt = history.attempt();
        if !history.was_lost() {
            return self.ready.entry(attempt).or_default();
        }
        let forgets = config.breaks(Planted::LostToTheSame);
        let by = if forgets { Vec::new() } else { job.lost_by(tasks.first) };
        if history.is_suspect(config) && !config.breaks(Planted::SuspectInCompany) {
            self.suspects.entry(by).or_default()
        } else {
            self.lost.entry(Lost { attempt, by }).or_default()
        }
    }

    /// Forgets the groups that have no tasks.
    fn tidy(&mut self) {
        self.ready.retain(|_, tasks| !tasks.is_empty());
        self.lost.retain(|_, tasks| !tasks.is_empty());
        self.suspects.retain(|_, tasks| !tasks.is_empty());
    }

    /// Makes a task wait out a pause.
    pub(crate) fn pause(&mut self, index: u64) {
        self.paused.insert(TaskRange::one(index));
    }

    /// The pause is over; says whether the task was still waiting for that.
    pub(crate) fn resume(&mut self, index: u64) -> bool {
        self.paused.take(TaskRange::one(index))
    }

    /// True where tasks can be given to any worker.
    pub(crate) fn is_ready(&self) -> bool {
        !self.recovering && !self.ready.is_empty()
    }

    /// True where tasks wait for a worker of their own.
    pub(crate) fn has_suspects(&self) -> bool {
        !self.recovering && !self.suspects.is_empty()
    }

    /// True where tasks wait that workers lost.
    pub(crate) fn has_lost(&self) -> bool {
        !self.recovering && !self.lost.is_empty()
    }

    /// How many of these wait.
    pub(crate) fn lost_len(&self, alike: &Lost) -> u64 {
        self.lost.get(alike).map_or(0, RangeSet::len)
    }

    /// What waits that workers lost, the most tried first.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (&Lost, &RangeSet)> {
        self.lost.iter().rev()
    }

    /// The workers that lost what must run alone.
    pub(crate) fn suspects(&self) -> impl Iterator<Item = &Vec<WorkerId>> {
        self.suspects.keys()
    }

    /// Tasks that can be given to any worker.
    pub(crate) fn ready_len(&self) -> u64 {
        self.ready.values().map(RangeSet::len).sum()
    }

    /// Takes at most `max` neighbouring tasks, those that were run before first.
    pub(crate) fn take(&mut self, max: u64) -> Option<(u32, TaskRange)> {
        let mut entry = self.ready.last_entry()?;
        let attempt = *entry.key();
        let tasks = entry.get_mut().take_first(max);
        if entry.get().is_empty() {
            entry.remove();
        }
        self.give(tasks).map(|tasks| (attempt, tasks))
    }

    /// Takes at most `max` neighbouring tasks that workers lost, of those that are alike.
    pub(crate) fn take_lost(&mut self, alike: &Lost, max: u64) -> Option<(u32, TaskRange)> {
        let waiting = self.lost.get_mut(alike)?;
        let tasks = waiting.take_first(max);
        if waiting.is_empty() {
            self.lost.remove(alike);
        }
        self.give(tasks).map(|tasks| (alike.attempt, tasks))
    }

    /// Takes one task that must run alone, which these workers lost.
    pub(crate) fn take_suspect(&mut self, lost_by: &Vec<WorkerId>) -> Option<u64> {
        let waiting = self.suspects.get_mut(lost_by)?;
        let tasks = waiting.take_first(1);
        if waiting.is_empty() {
            self.suspects.remove(lost_by);
        }
        self.give(tasks).map(|tasks| tasks.first)
    }

    /// Notes that tasks are given out.
    fn give(&mut self, tasks: Option<TaskRange>) -> Option<TaskRange> {
        if let Some(tasks) = tasks.filter(|tasks| tasks.first < self.recovered) {
            self.given.insert(tasks);
        }
        tasks
    }

    /// Takes what waits of a range with exactly this history, because its worker has it already.
    pub(crate) fn adopt(
        &mut self,
        tasks: TaskRange,
        job: &Job,
        history: History,
        config: &GridConfig,
    ) -> RangeSet {
        let mut taken = RangeSet::default();
        let waiting = self.waiting(tasks, job, history, config);
        for part in waiting.within(tasks) {
            waiting.remove(part);
            taken.insert(part);
        }
        self.tidy();
        taken
    }

    fn take_all(&mut self) -> RangeSet {
        let ready = core::mem::take(&mut self.ready).into_values();
        let lost = core::mem::take(&mut self.lost).into_values();
        let suspects = core::mem::take(&mut self.suspects).into_values();
        let paused = core::mem::take(&mut self.paused);
        let mut all = RangeSet::default();
        for set in ready.chain(lost).chain(suspects).chain([paused]) {
            set.iter().for_each(|tasks| all.insert(tasks));
        }
        all
    }

    /// What one task takes of a slot's time, measured or guessed.
    pub(crate) fn cost_ns(&self) -> u64 {
        self.cost_ns.unwrap_or(COST_GUESS_NS)
    }

    /// What so many tasks take of a slot's time; without end where nothing is known.
    pub(crate) fn work_ns(&self, tasks: u64) -> u64 {
        self.cost_ns.map_or(u64::MAX, |cost| cost.saturating_mul(tasks))
    }

    /// Tasks that must run alone on a worker.
    pub(crate) fn suspects_len(&self) -> u64 {
        self.suspects.values().map(RangeSet::len).sum()
    }

    /// Tasks that wait out a pause.
    pub(crate) const fn paused_len(&self) -> u64 {
        self.paused.len()
    }

    /// What one of its tasks is on a worker.
    pub(crate) fn weight(&self, slots: u64, config: &GridConfig) -> Weight {
        Weight { unit: FULL / self.window(slots, config), memory: self.demand.memory }
    }

    /// What so many tasks took of a slot's time that say they took this.
    pub(crate) const fn took_ns(tasks: u64, wall_us: u64) -> u64 {
        let (told, least) = (wall_us.saturating_mul(1_000), COST_FLOOR_NS.saturating_mul(tasks));
        if told > least { told } else { least }
    }

    /// How many tasks of this job alone fill a worker.
    pub(crate) fn window(&self, slots: u64, config: &GridConfig) -> u64 {
        let most = config.credit_tasks.max(FIRST_PER_SLOT * slots);
        slots.saturating_mul(self.per_slot).clamp(1, most.max(1))
    }

    /// Learns from a batch of results what tasks cost. Credit at most doubles with each batch, so
    /// that tasks of unknown length never pile up on one worker.
    pub(crate) fn learn(&mut self, count: u64, wall_us: u64, config: &GridConfig) {
        let average = (wall_us.saturating_mul(1_000) / count.max(1)).max(COST_FLOOR_NS);
        let cost = self.cost_ns.map_or(average, |cost| cost - cost / 4 + average / 4);
        self.cost_ns = Some(cost);
        let ideal = config.target_queue.0.saturating_mul(1_000_000) / cost.max(1);
        let most = (self.per_slot * 2).min(config.credit_tasks.max(FIRST_PER_SLOT));
        self.per_slot = ideal.clamp(FIRST_PER_SLOT, most.max(FIRST_PER_SLOT));
    }
}
