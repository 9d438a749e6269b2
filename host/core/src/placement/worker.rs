//! One worker: its link, what it offers and what it has.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};

use wasmgrid_proto::{
    Failing, JobId, LeaseId, Micros, RunningTask, WorkerCapacity, WorkerId, WorkerState,
    WorkerStatus,
};

use super::{
    labels::Labels,
    lease::{LeaseSet, WorkerTime},
    memory::MemoryBook,
    seen::Seen,
};
use crate::{config::GridConfig, ledger::Clock};

/// Slots a worker is believed to have at most: more than any machine has threads. One that says
/// more would otherwise be given all there is, in leases without number.
const SLOTS_MAX: u32 = 4_096;

/// Slots that a worker is believed to have at first, whatever it says: more than most machines have
/// threads. Each task that it ends makes it one more.
const SLOTS_FIRST: u64 = 128;

/// The load of a worker that has all the work it should; its queues are parts of this.
pub(crate) const FULL: u64 = 1 << 40;

/// What a worker has of one job.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) tasks: u64,
    /// What each adds to the load. As of the job's last change on this worker.
    unit: u64,
    /// The memory limit of each.
    memory: u64,
    /// They wait for their module to be made ready, and weigh nothing.
    waits: bool,
}

/// What one task of a job is on a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    /// What it adds to the worker's load.
    pub(crate) unit: u64,
    /// Its memory limit.
    pub(crate) memory: u64,
}

/// A worker that joined in this epoch.
///
/// What it is given rests on most of this, so that the indexes over all workers have to follow each
/// change: only [`Fleet::change`](super::fleet::Fleet::change) gives a worker to change. What nothing of
/// that rests on stands apart in [`Seen`].
#[derive(Debug)]
pub(crate) struct Worker {
    name: String,
    address: String,
    /// When its process started, by its own clock.
    started: Micros,
    pub(super) capacity: WorkerCapacity,
    /// The labels of its certificate.
    pub(super) vouched: Labels,
    /// Those that count: these, and its own of other keys.
    pub(super) labels: Labels,
    /// The driver's number of its newest link.
    link: u64,
    pub(super) linked: bool,
    /// Since when it has this link.
    since: Micros,
    /// Since when it is not linked.
    lost_at: Micros,
    draining: bool,
    /// It drains on its own wish: it stops when it is done.
    leaving: bool,
    /// An operator wants it to get nothing new.
    cordoned: bool,
    /// It said that it cannot run tasks; or it says that it can again, but said so in vain before.
    unable: Option<Failing>,
    /// Slots that it is taken to have at most: grows with what it ends.
    believed: u64,
    running: Vec<RunningTask>,
    leases: LeaseSet,
    /// What it has, by job; nothing without tasks. The oldest jobs' tasks end first mostly.
    jobs: VecDeque<(JobId, Held)>,
    /// The tasks of `jobs`.
    pub(super) assigned: u64,
    /// Those of them that wait for their module.
    waiting: u64,
    /// The jobs whose modules it makes ready.
    preparing: BTreeSet<JobId>,
    /// How much of the work it should have it has, of [`FULL`]: for each job the part that its
    /// tasks are of what that job alone might have there.
    load: u128,
    memory: MemoryBook,
    /// Leases of which tasks were asked back, and how many; until it answers.
    pub(super) asked: BTreeMap<LeaseId, u64>,
    /// Since when an answer is due.
    asked_at: Micros,
    /// It did not answer in time, and is not asked again until it answers something.
    pub(super) unresponsive: bool,
    /// It gave nothing back when it was last asked, and nothing has changed since.
    pub(super) begun_all: bool,
    /// It has a task that must run alone.
    pub(super) alone: bool,
    pub(super) seen: Seen,
}

/// Results of a lease that were taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) at: Micros,
    /// How many of them are committed.
    pub(crate) kept: u64,
    /// What all of them took of a slot's time.
    pub(crate) took_ns: u64,
}

impl Worker {
    /// A worker that has just joined and has nothing.
    pub(crate) fn new(
        link: u64,
        name: String,
        address: String,
        started: Micros,
        (mut capacity, vouched): (WorkerCapacity, Labels),
        now: Micros,
    ) -> Self {
        capacity.slots = capacity.slots.min(SLOTS_MAX);
        Self {
            name,
            address,
            started,
            capacity,
            vouched,
            labels: Labels::new(),
            link,
            linked: true,
            since: now,
            lost_at: now,
            draining: false,
            leaving: false,
            cordoned: false,
            unable: None,
            believed: SLOTS_FIRST,
            running: Vec::new(),
            leases: LeaseSet::default(),
            jobs: VecDeque::new(),
            assigned: 0,
            waiting: 0,
            preparing: BTreeSet::new(),
            load: 0,
            memory: MemoryBook::default(),
            asked: BTreeMap::new(),
            asked_at: now,
            unresponsive: false,
            begun_all: false,
            alone: false,
            seen: Seen::new(now),
        }
    }

    /// Keeps the accounts of the worker as it was on its last link. What was asked there is not
    /// answered any more.
    pub(super) fn take_over(&mut self, before: Self) {
        let now = self.seen.heard_at;
        self.seen = before.seen;
        self.seen.hear(now);
        self.believed = before.believed;
        self.leases = before.leases;
        self.jobs = before.jobs;
        self.assigned = before.assigned;
        self.waiting = before.waiting;
        self.preparing = before.preparing;
        self.load = before.load;
        self.memory = before.memory;
        self.alone = before.alone;
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// When its process started, by its own clock.
    pub(crate) const fn started(&self) -> Micros {
        self.started
    }

    /// What it offers. Its labels are what it says itself.
    pub(crate) const fn capacity(&self) -> &WorkerCapacity {
        &self.capacity
    }

    /// The labels of its certificate.
    pub(crate) const fn vouched(&self) -> &Labels {
        &self.vouched
    }

    /// The labels that count.
    pub(crate) const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The driver's number of its newest link.
    pub(crate) const fn link(&self) -> u64 {
        self.link
    }

    pub(crate) const fn is_linked(&self) -> bool {
        self.linked
    }

    /// Since when it has this link.
    pub(crate) const fn since(&self) -> Micros {
        self.since
    }

    /// Since when it is not linked.
    pub(crate) const fn lost_at(&self) -> Micros {
        self.lost_at
    }

    pub(crate) const fn is_draining(&self) -> bool {
        self.draining
    }

    pub(crate) const fn is_cordoned(&self) -> bool {
        self.cordoned
    }

    /// Why it cannot run tasks.
    pub(crate) const fn unable(&self) -> Option<&Failing> {
        self.unable.as_ref()
    }

    /// How many tasks it has.
    pub(crate) const fn assigned(&self) -> u64 {
        self.assigned
    }

    /// True where it has a task that must run alone.
    pub(crate) const fn is_alone(&self) -> bool {
        self.alone
    }

    pub(crate) const fn leases(&self) -> &LeaseSet {
        &self.leases
    }

    /// Since when it owes an answer.
    pub(crate) fn asked_at(&self) -> Option<Micros> {
        (!self.asked.is_empty()).then_some(self.asked_at)
    }

    pub(crate) const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// It is given a place for which it waited: its link counts from now.
    pub(crate) const fn begin(&mut self, now: Micros) {
        self.since = now;
        self.seen.heard_at = now;
    }

    /// What operators wanted of it before it joined.
    pub(crate) const fn set_orders(&mut self, draining: bool, cordoned: bool) {
        self.draining = draining;
        self.cordoned = cordoned;
    }

    /// It gets nothing new, and gives back what it has not begun.
    pub(crate) const fn drain(&mut self) {
        self.draining = true;
    }

    /// It drains on its own wish.
    pub(crate) const fn leave(&mut self) {
        self.draining = true;
        self.leaving = true;
    }

    /// It gets nothing new, or takes tasks again, unless it leaves.
    pub(crate) const fn set_cordoned(&mut self, cordoned: bool) {
        self.cordoned = cordoned;
        self.draining &= cordoned || self.leaving;
    }

    /// It says that it cannot run tasks, or that it can: once it said so in vain, that is believed
    /// later each time. Returns when.
    pub(crate) fn set_unable(
        &mut self,
        unable: Option<String>,
        now: Micros,
        config: &GridConfig,
    ) -> Option<Micros> {
        let before = self.unable.take();
        self.unable = match (unable, before) {
            (Some(reason), before) => {
                let news = before.is_none_or(|before| before.until.is_some());
                let count = &mut self.seen.unable_count;
                *count = count.saturating_add(u32::from(news));
                Some(Failing { until: None, reason })
            }
            (None, Some(Failing { until: None, reason })) => {
                let again = self.seen.unable_count.checked_sub(2);
                let until = again.map(|times| now.after(config.rest_after(times)));
                until.map(|until| Failing { until: Some(until), reason })
            }
            (None, before) => before,
        };
        self.unable.as_ref().and_then(|failing| failing.until)
    }

    /// Its pause may be over; says whether it is.
    pub(crate) fn end_rest(&mut self, now: Micros) -> bool {
        let is_due = |failing: &Failing| failing.until.is_some_and(|until| until <= now);
        self.unable.take_if(|failing| is_due(failing)).is_some()
    }

    /// It is taken to have one slot until it has shown more.
    pub(crate) const fn doubt(&mut self) {
        self.believed = 1;
    }

    /// It says what it runs. Returns what it ran before.
    pub(super) fn set_running(&mut self, mut running: Vec<RunningTask>) -> Vec<RunningTask> {
        running.truncate(self.capacity.slots as usize);
        self.begun_all = false;
        core::mem::replace(&mut self.running, running)
    }

    /// What runs on its slots, as it last told.
    pub(crate) fn running(&self) -> &[RunningTask] {
        &self.running
    }

    /// Results of so many tasks were taken.
    pub(super) fn deliver(&mut self, tasks: u64, Delivery { at, kept, .. }: Delivery) {
        self.believed = self.believed.saturating_add(tasks);
        self.seen.committed += kept;
        self.seen.delivered_at = at;
    }

    /// It is asked for so many tasks of a lease.
    pub(super) fn ask(&mut self, lease: LeaseId, tasks: u64, now: Micros) {
        if self.asked.is_empty() {
            self.asked_at = now;
        }
        self.asked.insert(lease, tasks);
    }

    /// It answers what it was asked of a lease; false where it was asked nothing.
    pub(crate) fn answer(&mut self, lease: LeaseId) -> bool {
        self.unresponsive = false;
        self.asked.remove(&lease).is_some()
    }

    /// Whether it had begun all that it has when it was last asked.
    pub(crate) const fn set_begun_all(&mut self, begun_all: bool) {
        self.begun_all = begun_all;
    }

    /// It does not answer, and is not asked again until it answers something.
    pub(crate) fn silence(&mut self) {
        self.asked.clear();
        self.unresponsive = true;
    }

    /// Its link is gone.
    pub(super) fn unlink(&mut self, now: Micros) {
        self.linked = false;
        self.lost_at = now;
        self.asked.clear();
        self.running.clear();
    }

    /// Slots that it is taken to have: what it says, as far as that is believed.
    pub(crate) fn slots(&self) -> u64 {
        u64::from(self.capacity.slots).min(self.believed)
    }

    /// Its own time: it passes only while it is heard, as that of its tasks does at least.
    pub(crate) const fn time(&self, now: Micros) -> WorkerTime {
        let Seen { stalled_us, .. } = self.seen;
        Micros(now.0.saturating_sub(stalled_us).saturating_sub(self.seen.silence_us(now)))
    }

    /// True where it may be given tasks, as far as its state says.
    pub(crate) fn is_ready(&self) -> bool {
        let wanted = self.linked && !self.draining && !self.cordoned;
        wanted && self.unable.is_none() && self.capacity.slots > 0
    }

    pub(crate) fn free_slots(&self) -> u64 {
        self.slots().saturating_sub(self.startable())
    }

    /// Tasks that cannot have begun, because there are no slots for them.
    pub(crate) fn surplus(&self) -> u64 {
        self.startable().saturating_sub(self.slots())
    }

    /// Its tasks that do not wait for their module.
    const fn startable(&self) -> u64 {
        self.assigned.saturating_sub(self.waiting)
    }

    /// What it has, by job.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = (JobId, Held)> {
        self.jobs.iter().copied()
    }

    /// Its load, of [`FULL`].
    pub(crate) fn load(&self) -> u64 {
        u64::try_from(self.load).unwrap_or(u64::MAX)
    }

    /// The largest memory limit that a further task may have.
    pub(crate) fn memory_room(&self) -> u64 {
        self.memory.room(self.slots(), self.capacity.memory.0)
    }

    /// What its tasks may take together, by their memory limits.
    pub(crate) fn memory_taken(&self) -> u64 {
        self.memory.taken(self.slots())
    }

    /// How many further tasks of this memory limit it may be given.
    pub(crate) fn memory_fitting(&self, limit: u64) -> u64 {
        self.memory.fitting(limit, self.slots(), self.capacity.memory.0)
    }

    pub(super) fn add(&mut self, job: JobId, lease: LeaseId, count: u64, weight: Weight) {
        self.leases.insert(lease);
        let tasks = self.held(job).tasks;
        self.hold(job, tasks + count, weight);
    }

    /// Takes tasks off its account; `last` where the lease has none left. Without a weight they
    /// weigh what they did.
    pub(super) fn subtract(
        &mut self,
        job: JobId,
        (lease, last): (LeaseId, bool),
        count: u64,
        weight: Option<Weight>,
    ) {
        if last {
            self.leases.remove(lease);
            self.asked.remove(&lease);
        }
        let held = self.held(job);
        if held.tasks > 0 {
            let as_before = Weight { unit: held.unit, memory: held.memory };
            self.hold(job, held.tasks.saturating_sub(count), weight.unwrap_or(as_before));
        }
        self.alone &= self.assigned > 0;
    }

    fn held(&self, job: JobId) -> Held {
        let at = self.find(job).ok().and_then(|at| self.jobs.get(at));
        at.map(|(_, held)| *held).unwrap_or_default()
    }

    /// Where a job is among those it has tasks of, or where it belongs.
    fn find(&self, job: JobId) -> Result<usize, usize> {
        match (self.jobs.front(), self.jobs.back()) {
            (Some((first, _)), _) if *first == job => Ok(0),
            (_, Some((last, _))) if *last < job => Err(self.jobs.len()),
            _ => self.jobs.binary_search_by_key(&job, |(job, _)| *job),
        }
    }

    /// Enters what it has of a job now, and returns what that was before.
    fn replace(&mut self, job: JobId, now: Held) -> Held {
        match self.find(job) {
            Ok(at) if now.tasks == 0 => self.jobs.remove(at).map(|(_, before)| before),
            Ok(at) => self.jobs.get_mut(at).map(|(_, held)| core::mem::replace(held, now)),
            Err(at) => {
                if now.tasks > 0 {
                    self.jobs.insert(at, (job, now));
                }
                None
            }
        }
        .unwrap_or_default()
    }

    /// Enters the jobs whose modules it makes ready now; those it made ready before. What it has of
    /// those that differ is to be [weighed](Self::reweigh) anew.
    pub(super) fn set_preparing(&mut self, jobs: BTreeSet<JobId>) -> BTreeSet<JobId> {
        core::mem::replace(&mut self.preparing, jobs)
    }

    /// Its job's module is being made ready, or no longer: its tasks weigh nothing, or this again.
    pub(super) fn reweigh(&mut self, job: JobId, weight: Option<Weight>) {
        let held = self.held(job);
        if held.tasks > 0 {
            let as_before = Weight { unit: held.unit, memory: held.memory };
            self.hold(job, held.tasks, weight.unwrap_or(as_before));
        }
    }

    /// Sets what it has of a job.
    fn hold(&mut self, job: JobId, tasks: u64, weight: Weight) {
        let waits = !self.preparing.is_empty() && self.preparing.contains(&job);
        let Weight { unit, memory } = if waits { Weight { unit: 0, memory: 0 } } else { weight };
        let now = Held { tasks, unit, memory, waits };
        let before = self.replace(job, now);
        let waiting = |held: Held| if held.waits { held.tasks } else { 0 };
        self.waiting = (self.waiting + waiting(now)).saturating_sub(waiting(before));
        let part = |held: Held| u128::from(held.tasks) * u128::from(held.unit);
        self.load = (self.load + part(now)).saturating_sub(part(before));
        self.assigned = (self.assigned + tasks).saturating_sub(before.tasks);
        if before.memory == memory {
            match tasks.checked_sub(before.tasks) {
                Some(more) => self.memory.add(memory, more),
                None => self.memory.subtract(memory, before.tasks - tasks),
            }
        } else {
            self.memory.subtract(before.memory, before.tasks);
            self.memory.add(memory, tasks);
        }
        self.begun_all = false;
    }

    /// What it offers, with all of its labels, also its own that do not count.
    fn all_labels(&self) -> WorkerCapacity {
        let mut labels = self.capacity.labels.clone();
        labels.extend(self.vouched.iter().cloned());
        labels.sort_unstable();
        WorkerCapacity { labels, ..self.capacity.clone() }
    }

    /// Where it is, with what was seen of it; its times are the grid's own.
    pub(crate) fn state(&self, seen: Option<Failing>) -> WorkerState {
        match (self.linked, self.draining, self.cordoned) {
            (false, ..) => WorkerState::Gone,
            (true, true, _) if self.assigned == 0 && !self.leaving => WorkerState::Drained,
            (true, true, _) => WorkerState::Draining,
            (true, false, true) => WorkerState::Cordoned,
            (true, false, false) => {
                let failing = self.unable.clone().or(seen);
                failing.map_or(WorkerState::Ready, WorkerState::Failing)
            }
        }
    }

    /// How it stands, with what was seen of it; its times become dates.
    pub(crate) fn status(
        &self,
        worker: WorkerId,
        seen: Option<Failing>,
        clock: Clock,
    ) -> WorkerStatus {
        let state = match self.state(seen) {
            WorkerState::Failing(failing) => WorkerState::Failing(clock.dated(failing)),
            state => state,
        };
        WorkerStatus {
            worker,
            name: self.name.clone(),
            address: self.address.clone(),
            state,
            capacity: self.all_labels(),
            assigned: self.assigned,
            committed: self.seen.committed,
            heard_at: clock.date_of(self.seen.heard_at),
            running: self.running.clone(),
        }
    }
}
