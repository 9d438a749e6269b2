//! All workers, and in which order they are given tasks or asked to give some back.

use alloc::collections::{BTreeMap, BTreeSet};

use wasmgrid_proto::{JobId, Micros, WorkerId};

use crate::{GridConfig, queue::Queue, worker::Worker};

/// The load of a worker that has all the work it should; its queues are parts of this.
pub(crate) const FULL: u64 = 1 << 40;

/// A worker is given more once its load is down to this, so that leases do not become single
/// tasks while a flood runs.
const REFILL: u64 = FULL / 4 * 3;

/// The workers by number, and indexes over those that matter for placement.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    workers: BTreeMap<WorkerId, Worker>,
    places: BTreeMap<WorkerId, Place>,
    /// Those that take tasks: with free slots first, then by load.
    roomy: BTreeSet<(bool, u64, WorkerId)>,
    /// Those with tasks that can be asked back, by how many.
    rich: BTreeSet<(u64, WorkerId)>,
    /// Free slots of those that take tasks.
    free_slots: u64,
    /// Slots of those that take tasks.
    roomy_slots: u64,
    /// Tasks asked back and not yet answered for.
    asked: u64,
    /// Kept free for a task that must run alone.
    reserved: Option<WorkerId>,
}

/// What the indexes have of a worker.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    roomy: Option<(bool, u64)>,
    rich: u64,
    free_slots: u64,
    slots: u64,
    asked: u64,
}

impl Fleet {
    pub(crate) fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// A worker to change; [`refresh`](Self::refresh) it afterwards.
    pub(crate) fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    /// Puts a worker that joined in its place, with the accounts it had there;
    /// [`refresh`](Self::refresh) it afterwards.
    pub(crate) fn join(&mut self, id: WorkerId, mut joined: Worker) -> &mut Worker {
        if let Some(before) = self.workers.remove(&id) {
            joined.take_over(before);
        }
        self.workers.entry(id).or_insert(joined)
    }

    /// All workers count as heard at `now`; that changes nobody's place.
    pub(crate) fn hear_all(&mut self, now: Micros) {
        for worker in self.workers.values_mut() {
            worker.heard_at = now;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    /// The worker to give tasks to next: one with a free slot, else the least loaded.
    pub(crate) fn roomiest(&self) -> Option<WorkerId> {
        self.roomy.first().map(|(.., id)| *id)
    }

    /// The worker to ask tasks back from, and how many cannot have begun there.
    pub(crate) fn richest(&self) -> Option<(WorkerId, u64)> {
        self.rich.last().map(|(surplus, id)| (*id, *surplus))
    }

    pub(crate) const fn free_slots(&self) -> u64 {
        self.free_slots
    }

    pub(crate) const fn roomy_slots(&self) -> u64 {
        self.roomy_slots
    }

    pub(crate) const fn asked(&self) -> u64 {
        self.asked
    }

    /// A worker that has nothing and may take a task that must run alone.
    pub(crate) fn idle(&self) -> Option<WorkerId> {
        let idle = |id: &WorkerId| {
            self.get(*id).is_some_and(|worker| worker.is_ready() && worker.assigned == 0)
        };
        self.reserved.filter(idle).or_else(|| self.roomiest().filter(idle))
    }

    /// Keeps the worker free that is soonest idle, or none; returns those whose place changed.
    pub(crate) fn reserve(&mut self, wanted: bool) -> [Option<WorkerId>; 2] {
        let valid = |id: &WorkerId| self.get(*id).is_some_and(Worker::is_ready);
        let next = match self.reserved.filter(valid) {
            _ if !wanted => None,
            Some(id) => Some(id),
            None => self
                .iter()
                .filter(|(_, worker)| worker.is_ready() && !worker.alone)
                .min_by_key(|(id, worker)| (worker.assigned, *id))
                .map(|(id, _)| id),
        };
        let before = core::mem::replace(&mut self.reserved, next);
        if before == next { [None, None] } else { [before, next] }
    }

    /// Brings the indexes up to date with a worker that changed.
    pub(crate) fn refresh(
        &mut self,
        id: WorkerId,
        queues: &BTreeMap<JobId, Queue>,
        config: &GridConfig,
    ) {
        let Some(worker) = self.workers.get(&id) else { return };
        let place = self.place(id, worker, queues, config);
        let before = self.places.insert(id, place).unwrap_or_default();
        if let Some((busy, load)) = before.roomy {
            self.roomy.remove(&(busy, load, id));
        }
        if let Some((busy, load)) = place.roomy {
            self.roomy.insert((busy, load, id));
        }
        if before.rich > 0 {
            self.rich.remove(&(before.rich, id));
        }
        if place.rich > 0 {
            self.rich.insert((place.rich, id));
        }
        self.free_slots = self.free_slots + place.free_slots - before.free_slots;
        self.roomy_slots = self.roomy_slots + place.slots - before.slots;
        self.asked = self.asked + place.asked - before.asked;
    }

    fn place(
        &self,
        id: WorkerId,
        worker: &Worker,
        queues: &BTreeMap<JobId, Queue>,
        config: &GridConfig,
    ) -> Place {
        let load = load(worker, queues, config);
        let takes = worker.is_ready() && !worker.alone && self.reserved != Some(id);
        let roomy = takes && load <= REFILL;
        let gives = worker.linked && worker.asked.is_empty() && !worker.begun_all;
        Place {
            roomy: roomy.then_some((worker.free_slots() == 0, load)),
            rich: if gives { worker.surplus() } else { 0 },
            free_slots: if roomy { worker.free_slots() } else { 0 },
            slots: if roomy { worker.slots() } else { 0 },
            asked: worker.asked.values().sum(),
        }
    }
}

/// How much of the work it should have a worker has, of [`FULL`]: for each job the part that its
/// tasks are of what that job alone might have there.
pub(crate) fn load(worker: &Worker, queues: &BTreeMap<JobId, Queue>, config: &GridConfig) -> u64 {
    let part = |(job, assigned): (&JobId, &u64)| {
        let window = queues.get(job).map_or(1, |queue| queue.window(worker.slots(), config));
        (FULL / window).saturating_mul(*assigned)
    };
    worker.jobs.iter().map(part).fold(0, u64::saturating_add)
}
