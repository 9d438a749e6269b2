//! Workers coming, going and falling silent, and what becomes of what they hold.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use wasmgrid_proto::{
    JobId, LeaseId, Record, TaskRange, WorkerId,
    wire::{Heartbeat, HeldLease},
};

use crate::{
    Grid, Output,
    lease::{Lease, epoch_of},
    planted::Planted,
    ranges::RangeSet,
    timers::Timer,
    worker::Worker,
};

impl Grid {
    pub(crate) fn worker_joined(&mut self, joined: Worker, held: Vec<HeldLease>) {
        let id = self.know(&joined.name);
        match self.fleet.get(id) {
            Some(before) if before.link >= joined.link => {}
            Some(before) if before.linked => self.contest(id, joined, held),
            _ => self.admit(id, joined, &held),
        }
    }

    /// A worker that joined gets the place of its name.
    pub(crate) fn admit(&mut self, id: WorkerId, mut joined: Worker, held: &[HeldLease]) {
        let link = joined.link;
        let before = self.fleet.get(id);
        let lived_on = before.is_some_and(|worker| worker.started == joined.started);
        // Draining outlives a broken link, but not the process: one that comes anew takes tasks,
        // also where the end of the one before it was not seen yet.
        let draining = lived_on
            && before.is_some_and(|worker| {
                worker.draining && (worker.linked || !worker.leases.is_empty())
            });
        joined.draining = draining;
        joined.cordoned = self.ledger.cordoned.contains(&id);
        self.link(id, joined);
        self.output(Output::Joined { link, worker: id });
        if draining {
            self.output(Output::Drain { worker: id });
        }
        self.reconcile(id, held, lived_on);
        self.refresh_worker(id);
        if self.awaited.remove(&id) && self.awaited.is_empty() {
            self.recover();
        }
    }

    /// The worker's number; a new one where the name is new.
    fn know(&mut self, name: &str) -> WorkerId {
        if let Some(id) = self.ledger.workers.get(name) {
            return *id;
        }
        let worker = self.ledger.next_worker();
        self.persist(Record::WorkerKnown { worker, name: name.into() });
        worker
    }

    /// Puts a joined worker in its place; its leases stay.
    fn link(&mut self, id: WorkerId, joined: Worker) {
        self.fleet.join(id, joined);
        if let Some(worker) = self.fleet.get_mut(id)
            && !core::mem::replace(&mut worker.watched, true)
        {
            self.timers.set(self.now.after(self.config.worker_timeout), Timer::Silence(id));
        }
    }

    /// Compares what a worker holds with what it should hold. Where its process `lived_on`, what it
    /// lacks never arrived or was given back in words that were lost with the link: nobody's fault.
    fn reconcile(&mut self, id: WorkerId, held: &[HeldLease], lived_on: bool) {
        let mut brought: BTreeMap<LeaseId, RangeSet> = BTreeMap::new();
        for lease in held {
            let tasks = brought.entry(lease.lease).or_default();
            lease.tasks.iter().for_each(|part| tasks.insert(*part));
        }
        let leases: Vec<LeaseId> = self.leases_of(id);
        for lease in leases {
            let has = brought.get(&lease);
            let Some(entry) = self.leases.get(lease) else { continue };
            let missing: Vec<TaskRange> = has
                .map_or_else(|| entry.tasks.clone(), |has| entry.tasks.without(has))
                .iter()
                .collect();
            if lived_on {
                self.release(lease, &missing);
            } else {
                self.lose_part(lease, &missing, "the worker came back without it");
            }
        }
        let mut ended = BTreeSet::new();
        for lease in held {
            if self.queues.contains_key(&lease.job) {
                self.adopt(id, lease);
            } else if ended.insert(lease.job) {
                let by = self.ender(lease.job);
                self.output(Output::Cancel { worker: id, job: lease.job, by });
            }
        }
    }

    /// Why nothing of a job that is not active is wanted.
    fn ender(&self, job: JobId) -> String {
        match self.ledger.jobs.get(&job) {
            Some(entry) => {
                entry.cancelled_by.clone().unwrap_or_else(|| String::from("the job's end"))
            }
            None => String::from("a scheduler that does not know the job"),
        }
    }

    /// Believes a worker that it holds a lease of an earlier term, as far as that fits; the rest
    /// is asked back.
    fn adopt(&mut self, id: WorkerId, held: &HeldLease) {
        let known = self.leases.get(held.lease);
        if known.is_some_and(|lease| lease.worker == id && lease.job == held.job) {
            return;
        }
        let tasks = if known.is_some() { RangeSet::default() } else { self.adoptable(held) };
        let held_tasks: RangeSet = held.tasks.iter().copied().collect();
        let refused: Vec<TaskRange> = held_tasks.without(&tasks).iter().collect();
        if !refused.is_empty() {
            let (job, lease) = (held.job, held.lease);
            self.output(Output::Revoke { worker: id, job, lease, tasks: refused });
        }
        if tasks.is_empty() {
            return;
        }
        let suspect = self.has_suspect(held.job, &tasks);
        let (job, asked) = (held.job, RangeSet::default());
        let charged_ns = self.charge(job, tasks.len());
        let lease = Lease { job, worker: id, attempt: held.attempt, charged_ns, tasks, asked };
        self.book(held.lease, lease);
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.alone |= suspect;
        }
        self.changed.insert(held.job);
        self.refresh_job(held.job);
    }

    /// Takes from the queue what a worker has already, under the attempt that is the next.
    fn adoptable(&mut self, held: &HeldLease) -> RangeSet {
        let mut adopted = RangeSet::default();
        let term = epoch_of(held.lease);
        let Some(entry) = self.ledger.jobs.get(&held.job) else { return adopted };
        let Some(queue) = self.queues.get_mut(&held.job) else { return adopted };
        if term >= self.ledger.epoch {
            return adopted;
        }
        // What was not durable when it was leased may be another job, or other inputs, now.
        let upto = if self.config.breaks(Planted::LeaseOfLostInput) && term >= entry.epoch {
            queue.recovered
        } else {
            entry.leased_upto(term)
        };
        let believes_all = self.config.breaks(Planted::StaleAdoption);
        for part in &held.tasks {
            let count = part.end().min(upto).saturating_sub(part.first);
            let durable = TaskRange { first: part.first, count };
            let first_hand = RangeSet::from_iter([durable]).without(&queue.given);
            let parts = first_hand.iter().flat_map(|part| entry.by_history(part));
            for (part, history) in parts.collect::<Vec<_>>() {
                if history.attempt() == held.attempt || believes_all {
                    let taken = queue.adopt(part, entry, history, &self.config);
                    taken.iter().for_each(|part| adopted.insert(part));
                }
            }
        }
        adopted
    }

    fn has_suspect(&self, job: JobId, tasks: &RangeSet) -> bool {
        let Some(entry) = self.ledger.jobs.get(&job) else { return false };
        let histories = tasks.iter().flat_map(|part| entry.by_history(part));
        histories.into_iter().any(|(_, history)| history.is_suspect(&self.config))
    }

    pub(crate) fn worker_left(&mut self, id: WorkerId, link: u64, graceful: bool) {
        let now = self.now;
        let current = self.fleet.get_mut(id).filter(|worker| worker.linked && worker.link == link);
        let Some(worker) = current else { return };
        worker.unlink(now);
        if graceful {
            self.release_all(id);
        } else if !worker.leases.is_empty() {
            self.timers.set(now.after(self.config.rejoin_grace), Timer::Rejoin(id));
        }
        self.refresh_worker(id);
        self.admit_rival(id);
    }

    pub(crate) fn worker_leaving(&mut self, id: WorkerId) {
        self.hear(id);
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.draining = true;
            worker.leaving = true;
        }
        self.refresh_worker(id);
    }

    pub(crate) fn heartbeat(&mut self, id: WorkerId, heartbeat: Heartbeat) {
        self.hear(id);
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.running = heartbeat.running;
            worker.running.truncate(worker.capacity.slots as usize);
            worker.begun_all = false;
        }
        self.refresh_worker(id);
    }

    pub(crate) fn hear(&mut self, id: WorkerId) {
        let now = self.now;
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.heard_at = now;
        }
    }

    /// Disconnects a worker that said nothing for too long.
    pub(crate) fn check_silence(&mut self, id: WorkerId) {
        let (now, timeout) = (self.now, self.config.worker_timeout);
        let Some(worker) = self.fleet.get_mut(id) else { return };
        let due = worker.heard_at.after(timeout);
        worker.watched = worker.linked && due > now;
        if worker.watched {
            return self.timers.set(due, Timer::Silence(id));
        }
        if !worker.linked {
            return;
        }
        worker.unlink(now);
        let reason = format!("the worker was silent for {timeout}");
        self.output(Output::Disconnect { worker: id, reason: reason.clone() });
        self.lose_all(id, &reason);
        self.admit_rival(id);
    }

    /// A worker whose link was lost had its time to come back.
    pub(crate) fn give_up_on(&mut self, id: WorkerId) {
        let (now, grace) = (self.now, self.config.rejoin_grace);
        let gone = |worker: &&Worker| !worker.linked && worker.lost_at.after(grace) <= now;
        if self.fleet.get(id).filter(gone).is_some() {
            self.lose_all(id, "the worker lost its link and did not come back");
        }
    }

    fn lose_all(&mut self, id: WorkerId, reason: &str) {
        for lease in self.leases_of(id) {
            let all = [TaskRange { first: 0, count: u64::MAX }];
            self.lose_part(lease, &all, reason);
        }
        self.refresh_worker(id);
    }

    fn lose_part(&mut self, lease: LeaseId, tasks: &[TaskRange], reason: &str) {
        let Some(entry) = self.leases.get(lease) else { return };
        let (job, worker) = (entry.job, entry.worker);
        let taken = self.take_back(lease, tasks);
        if !taken.is_empty() {
            self.distrust(worker, job, lease, reason);
            self.lose(job, &taken, worker, reason);
        }
    }

    /// A worker stopped in order: what it leaves behind is nobody's fault.
    fn release_all(&mut self, id: WorkerId) {
        for lease in self.leases_of(id) {
            self.release(lease, &[TaskRange { first: 0, count: u64::MAX }]);
        }
    }

    /// Queues tasks of a lease again, as they were before it.
    fn release(&mut self, lease: LeaseId, tasks: &[TaskRange]) {
        let Some(job) = self.leases.get(lease).map(|lease| lease.job) else { return };
        let taken = self.take_back(lease, tasks);
        self.requeue(job, &taken);
        self.settle_job(job);
    }

    pub(crate) fn leases_of(&self, id: WorkerId) -> Vec<LeaseId> {
        let worker = self.fleet.get(id);
        worker.map(|worker| worker.leases.iter().collect()).unwrap_or_default()
    }
}
