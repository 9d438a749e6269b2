//! One worker: its link, what it offers and what it has.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use wasmgrid_proto::{
    JobId, LeaseId, Micros, RunningTask, WorkerCapacity, WorkerId, WorkerState, WorkerStatus,
};

/// Slots a worker is believed to have at most: more than any machine has threads. One that says
/// more would otherwise be given all there is, in leases without number.
const SLOTS_MAX: u32 = 4_096;

/// A worker that joined in this epoch.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) address: String,
    /// When its process started, by its own clock.
    pub(crate) started: Micros,
    pub(crate) capacity: WorkerCapacity,
    /// The driver's number of its newest link.
    pub(crate) link: u64,
    pub(crate) linked: bool,
    /// Since when it is not linked.
    pub(crate) lost_at: Micros,
    pub(crate) draining: bool,
    pub(crate) heard_at: Micros,
    /// A timer for its silence is set; one is enough, however often it joins.
    pub(crate) watched: bool,
    pub(crate) running: Vec<RunningTask>,
    pub(crate) committed: u64,
    pub(crate) leases: BTreeSet<LeaseId>,
    /// Tasks it has, by job; no zeros.
    pub(crate) jobs: BTreeMap<JobId, u64>,
    /// The sum of `jobs`.
    pub(crate) assigned: u64,
    /// Leases of which tasks were asked back, and how many; until it answers.
    pub(crate) asked: BTreeMap<LeaseId, u64>,
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
        mut capacity: WorkerCapacity,
        now: Micros,
    ) -> Self {
        capacity.slots = capacity.slots.min(SLOTS_MAX);
        Self {
            name,
            address,
            started,
            capacity,
            link,
            linked: true,
            lost_at: now,
            draining: false,
            heard_at: now,
            watched: false,
            running: Vec::new(),
            committed: 0,
            leases: BTreeSet::new(),
            jobs: BTreeMap::new(),
            assigned: 0,
            asked: BTreeMap::new(),
            begun_all: false,
            alone: false,
        }
    }

    /// Keeps the accounts of the worker as it was on its last link. What was asked there is not
    /// answered any more.
    pub(crate) fn take_over(&mut self, before: Self) {
        self.watched = before.watched;
        self.committed = before.committed;
        self.leases = before.leases;
        self.jobs = before.jobs;
        self.assigned = before.assigned;
        self.alone = before.alone;
    }

    /// Its link is gone.
    pub(crate) fn unlink(&mut self, now: Micros) {
        self.linked = false;
        self.lost_at = now;
        self.asked.clear();
        self.running.clear();
    }

    pub(crate) fn slots(&self) -> u64 {
        u64::from(self.capacity.slots)
    }

    /// True where it may be given tasks, as far as its state says.
    pub(crate) fn is_ready(&self) -> bool {
        self.linked && !self.draining && self.capacity.slots > 0
    }

    pub(crate) fn free_slots(&self) -> u64 {
        self.slots().saturating_sub(self.assigned)
    }

    /// Tasks that cannot have begun, because there are no slots for them.
    pub(crate) fn surplus(&self) -> u64 {
        self.assigned.saturating_sub(self.slots())
    }

    pub(crate) fn add(&mut self, job: JobId, lease: LeaseId, count: u64) {
        self.leases.insert(lease);
        *self.jobs.entry(job).or_default() += count;
        self.assigned += count;
        self.begun_all = false;
    }

    /// Takes tasks off its account; `last` where the lease has none left.
    pub(crate) fn subtract(&mut self, job: JobId, lease: LeaseId, count: u64, last: bool) {
        if last {
            self.leases.remove(&lease);
            self.asked.remove(&lease);
        }
        if let Some(assigned) = self.jobs.get_mut(&job) {
            *assigned = assigned.saturating_sub(count);
            if *assigned == 0 {
                self.jobs.remove(&job);
            }
        }
        self.assigned = self.assigned.saturating_sub(count);
        self.begun_all = false;
        self.alone &= self.assigned > 0;
    }

    pub(crate) fn status(&self, worker: WorkerId) -> WorkerStatus {
        let state = match (self.linked, self.draining) {
            (false, _) => WorkerState::Gone,
            (true, true) => WorkerState::Draining,
            (true, false) => WorkerState::Ready,
        };
        WorkerStatus {
            worker,
            name: self.name.clone(),
            address: self.address.clone(),
            state,
            capacity: self.capacity.clone(),
            assigned: self.assigned,
            committed: self.committed,
            heard_at: self.heard_at,
            running: self.running.clone(),
        }
    }
}
