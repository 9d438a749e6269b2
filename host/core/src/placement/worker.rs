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
};
use crate::ledger::Clock;

/// Slots a worker is believed to have at most: more than any machine has threads. One that says
/// more would otherwise be given all there is, in leases without number.
const SLOTS_MAX: u32 = 4_096;

/// Slots that a worker is believed to have at first, whatever it says: more than most machines have
/// threads. Each task that it ends makes it one more.
const SLOTS_FIRST: u64 = 128;

/// A worker that is not heard for longer than this may have been stopped: several heartbeats.
const STALL_US: u64 = 3_000_000;

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
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) address: String,
    /// When its process started, by its own clock.
    pub(crate) started: Micros,
    pub(crate) capacity: WorkerCapacity,
    /// The labels of its certificate.
    pub(crate) vouched: Labels,
    /// Those that count: these, and its own of other keys.
    pub(crate) labels: Labels,
    /// The driver's number of its newest link.
    pub(crate) link: u64,
    pub(crate) linked: bool,
    /// Since when it has this link.
    pub(crate) since: Micros,
    /// When another process was last refused its place, and from where that came.
    pub(crate) contested: Option<(Micros, String)>,
    /// Since when it is not linked.
    pub(crate) lost_at: Micros,
    pub(crate) draining: bool,
    /// It drains on its own wish: it stops when it is done.
    pub(crate) leaving: bool,
    /// An operator wants it to get nothing new.
    pub(crate) cordoned: bool,
    /// It said that it cannot run tasks; or it says that it can again, but said so in vain before.
    pub(crate) unable: Option<Failing>,
    /// How often it became unable since it last ran a task to its end.
    pub(crate) unable_count: u32,
    pub(crate) heard_at: Micros,
    /// For how long it was not heard though it should have been, in microseconds: it may have been
    /// stopped, or cut off.
    stalled_us: u64,
    /// When results of it were last taken.
    pub(crate) delivered_at: Micros,
    /// A timer for what it holds is set; one is enough.
    pub(crate) overdue_watched: bool,
    /// Slots that it is taken to have at most: grows with what it ends.
    pub(crate) believed: u64,
    /// A timer for its silence is set; one is enough, however often it joins.
    pub(crate) watched: bool,
    pub(crate) running: Vec<RunningTask>,
    pub(crate) committed: u64,
    pub(crate) leases: LeaseSet,
    /// What it has, by job; nothing without tasks. The oldest jobs' tasks end first mostly.
    jobs: VecDeque<(JobId, Held)>,
    /// The tasks of `jobs`.
    pub(crate) assigned: u64,
    /// Those of them that wait for their module.
    waiting: u64,
    /// The jobs whose modules it makes ready.
    pub(crate) preparing: BTreeSet<JobId>,
    /// How much of the work it should have it has, of [`FULL`]: for each job the part that its
    /// tasks are of what that job alone might have there.
    load: u128,
    memory: MemoryBook,
    /// Leases of which tasks were asked back, and how many; until it answers.
    pub(crate) asked: BTreeMap<LeaseId, u64>,
    /// Since when an answer is due.
    pub(crate) asked_at: Micros,
    /// A timer for its answers is set; one is enough.
    pub(crate) answer_watched: bool,
    /// It did not answer in time, and is not asked again until it answers something.
    pub(crate) mute: bool,
    /// It gave nothing back when it was last asked, and nothing has changed since.
    pub(crate) begun_all: bool,
    /// It has a task that must run alone.
    pub(crate) alone: bool,
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
            contested: None,
            lost_at: now,
            draining: false,
            leaving: false,
            cordoned: false,
            unable: None,
            unable_count: 0,
            heard_at: now,
            stalled_us: 0,
            delivered_at: now,
            overdue_watched: false,
            believed: SLOTS_FIRST,
            watched: false,
            running: Vec::new(),
            committed: 0,
            leases: LeaseSet::default(),
            jobs: VecDeque::new(),
            assigned: 0,
            waiting: 0,
            preparing: BTreeSet::new(),
            load: 0,
            memory: MemoryBook::default(),
            asked: BTreeMap::new(),
            asked_at: now,
            answer_watched: false,
            mute: false,
            begun_all: false,
            alone: false,
        }
    }

    /// Keeps the accounts of the worker as it was on its last link. What was asked there is not
    /// answered any more.
    pub(crate) fn take_over(&mut self, before: Self) {
        let now = core::mem::replace(&mut self.heard_at, before.heard_at);
        self.stalled_us = before.stalled_us;
        self.hear(now);
        self.believed = before.believed;
        self.delivered_at = before.delivered_at;
        self.overdue_watched = before.overdue_watched;
        self.watched = before.watched;
        self.unable_count = before.unable_count;
        self.contested = before.contested;
        self.committed = before.committed;
        self.leases = before.leases;
        self.jobs = before.jobs;
        self.assigned = before.assigned;
        self.waiting = before.waiting;
        self.preparing = before.preparing;
        self.load = before.load;
        self.memory = before.memory;
        self.answer_watched = before.answer_watched;
        self.alone = before.alone;
    }

    /// Its link is gone.
    pub(crate) fn unlink(&mut self, now: Micros) {
        self.linked = false;
        self.lost_at = now;
        self.asked.clear();
        self.running.clear();
    }

    /// Slots that it is taken to have: what it says, as far as that is believed.
    pub(crate) fn slots(&self) -> u64 {
        u64::from(self.capacity.slots).min(self.believed)
    }

    /// It said something.
    pub(crate) fn hear(&mut self, now: Micros) {
        self.stalled_us += self.silence_us(now);
        self.heard_at = self.heard_at.max(now);
    }

    /// Whether it said something since it was last heard is not known.
    pub(crate) fn excuse(&mut self, now: Micros) {
        self.stalled_us += now.0.saturating_sub(self.heard_at.0);
        self.heard_at = self.heard_at.max(now);
    }

    /// How much of the time since it was last heard is more than between two heartbeats.
    const fn silence_us(&self, now: Micros) -> u64 {
        now.0.saturating_sub(self.heard_at.0).saturating_sub(STALL_US)
    }

    /// Its own time: it passes only while it is heard, as that of its tasks does at least.
    pub(crate) const fn time(&self, now: Micros) -> WorkerTime {
        Micros(now.0.saturating_sub(self.stalled_us).saturating_sub(self.silence_us(now)))
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

    /// How many further tasks of this memory limit it may be given.
    pub(crate) fn memory_fitting(&self, limit: u64) -> u64 {
        self.memory.fitting(limit, self.slots(), self.capacity.memory.0)
    }

    pub(crate) fn add(&mut self, job: JobId, lease: LeaseId, count: u64, weight: Weight) {
        self.leases.insert(lease);
        let tasks = self.held(job).tasks;
        self.hold(job, tasks + count, weight);
    }

    /// Takes tasks off its account; `last` where the lease has none left. Without a weight they
    /// weigh what they did.
    pub(crate) fn subtract(
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

    /// Its job's module is being made ready, or no longer: its tasks weigh nothing, or this again.
    pub(crate) fn reweigh(&mut self, job: JobId, weight: Option<Weight>) {
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

    /// How it stands, with what was seen of it; its times become dates.
    pub(crate) fn status(
        &self,
        worker: WorkerId,
        seen: Option<Failing>,
        clock: Clock,
    ) -> WorkerStatus {
        let state = match (self.linked, self.draining, self.cordoned) {
            (false, ..) => WorkerState::Gone,
            (true, true, _) if self.assigned == 0 && !self.leaving => WorkerState::Drained,
            (true, true, _) => WorkerState::Draining,
            (true, false, true) => WorkerState::Cordoned,
            (true, false, false) => {
                let failing = self.unable.clone().or(seen).map(|failing| clock.dated(failing));
                failing.map_or(WorkerState::Ready, WorkerState::Failing)
            }
        };
        WorkerStatus {
            worker,
            name: self.name.clone(),
            address: self.address.clone(),
            state,
            capacity: self.all_labels(),
            assigned: self.assigned,
            committed: self.committed,
            heard_at: clock.date_of(self.heard_at),
            running: self.running.clone(),
        }
    }
}
