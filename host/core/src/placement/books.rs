//! The books of the placement: workers, queues, shares and leases, and what has to follow in one of
//! them when another one changes.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};

use wasmgrid_proto::{
    Digest, Epoch, JobId, JobSpec, LeaseId, Micros, RunningTask, TaskRange, WorkerId,
};

use super::{
    demand::Demand,
    fleet::Fleet,
    lease::{Lease, Leases, Recall, WorkerTime},
    preparing::Preparing,
    queue::Queue,
    running::Running,
    seen::Seen,
    share::Shares,
    worker::{Delivery, Worker},
};
use crate::{changed::Changed, config::GridConfig, ledger::Job, ranges::RangeSet, table::Table};

/// Workers, the queues of active jobs, and the leases between them.
///
/// A worker or a queue is changed by [`change_worker`](Self::change_worker) and
/// [`change_queue`](Self::change_queue) alone, which bring the indexes up to date with it. A lease
/// is in the books of its job, of its worker and of its tenant, which only functions of this type
/// write; they note the jobs of which workers have more or fewer tasks.
#[derive(Debug)]
pub(crate) struct Placement {
    /// One for each active job, from the start on.
    queues: Table<JobId, Queue>,
    leases: Leases,
    fleet: Fleet,
    shares: Shares,
    /// Jobs with tasks that wait for a worker of their own.
    suspects: BTreeSet<JobId>,
    /// Jobs with tasks whose last attempts were lost, and that wait for another worker.
    lost: BTreeSet<JobId>,
    /// Modules that workers make ready.
    preparing: Preparing,
    /// Jobs of which workers have more or fewer tasks than others were told.
    changed: Changed,
    /// How many slots run tasks of each job, as workers last told.
    running: Running,
}

/// A lease to be entered into the books.
#[derive(Debug)]
pub(crate) struct Booking {
    pub(crate) job: JobId,
    pub(crate) worker: WorkerId,
    pub(crate) attempt: u32,
    pub(crate) tasks: RangeSet,
    /// True where they must run alone on their worker.
    pub(crate) alone: bool,
}

impl Placement {
    /// With the tenants' weights where they are not 1.
    pub(crate) fn new(weights: BTreeMap<String, u32>) -> Self {
        Self {
            queues: Table::default(),
            leases: Leases::default(),
            fleet: Fleet::default(),
            shares: Shares::new(weights),
            suspects: BTreeSet::new(),
            lost: BTreeSet::new(),
            preparing: Preparing::default(),
            changed: Changed::default(),
            running: Running::default(),
        }
    }

    /// The queue of an active job.
    pub(crate) fn queue(&self, job: JobId) -> Option<&Queue> {
        self.queues.get(&job)
    }

    pub(crate) fn is_active(&self, job: JobId) -> bool {
        self.queues.contains_key(&job)
    }

    /// The active jobs, by number.
    pub(crate) fn active_jobs(&self) -> impl Iterator<Item = JobId> {
        self.queues.iter().map(|(job, _)| job)
    }

    pub(crate) fn lease(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(id)
    }

    /// How many leases workers hold.
    pub(crate) fn leases_held(&self) -> u64 {
        self.leases.count()
    }

    pub(crate) fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.fleet.get(id)
    }

    pub(crate) const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub(crate) const fn shares(&self) -> &Shares {
        &self.shares
    }

    pub(crate) const fn preparing(&self) -> &Preparing {
        &self.preparing
    }

    /// Jobs with tasks that wait for a worker of their own.
    pub(crate) const fn suspects(&self) -> &BTreeSet<JobId> {
        &self.suspects
    }

    /// Jobs with tasks whose last attempts were lost, and that wait for another worker.
    pub(crate) const fn lost(&self) -> &BTreeSet<JobId> {
        &self.lost
    }

    /// The leases of a worker.
    pub(crate) fn leases_of(&self, id: WorkerId) -> Vec<LeaseId> {
        self.fleet.get(id).map(|worker| worker.leases().iter().collect()).unwrap_or_default()
    }

    /// The jobs of which workers have more or fewer tasks than others were told.
    pub(crate) const fn changed_mut(&mut self) -> &mut Changed {
        &mut self.changed
    }

    /// Leases are of this term from now on.
    pub(crate) fn start(&mut self, epoch: Epoch) {
        self.leases.start(epoch);
    }

    /// True where several tenants have tasks to give.
    const fn is_shared(&self) -> bool {
        self.shares.waiting() > 1
    }
}

/// Workers.
impl Placement {
    /// Changes a worker, and its place among the others with it.
    pub(crate) fn change_worker<T>(
        &mut self,
        id: WorkerId,
        change: impl FnOnce(&mut Worker) -> T,
    ) -> Option<T> {
        self.fleet.change(id, self.is_shared(), change)
    }

    /// What was seen of a worker, to change: its place does not rest on that.
    pub(crate) fn seen_mut(&mut self, id: WorkerId) -> Option<&mut Seen> {
        self.fleet.seen_mut(id)
    }

    /// All workers count as heard at `now`.
    pub(crate) fn reset_silence(&mut self, now: Micros) {
        self.fleet.reset_silence(now);
    }

    /// How many slots run tasks of each job, as workers last told.
    pub(crate) const fn running(&self) -> &Running {
        &self.running
    }

    /// A worker says what it runs.
    pub(crate) fn set_running(&mut self, id: WorkerId, running: Vec<RunningTask>) {
        let (shared, counted) = (self.is_shared(), &mut self.running);
        self.fleet.change(id, shared, |worker| {
            let before = worker.set_running(running);
            counted.replace(&before, worker.running());
        });
    }

    /// A worker's link is gone, and nobody tells what it runs.
    pub(crate) fn unlink(&mut self, id: WorkerId, now: Micros) {
        self.forget_running(id);
        self.change_worker(id, |worker| worker.unlink(now));
    }

    fn forget_running(&mut self, id: WorkerId) {
        if let Some(worker) = self.fleet.get(id) {
            self.running.replace(worker.running(), &[]);
        }
    }

    /// Puts a worker that joined in its place; its leases stay.
    pub(crate) fn join(&mut self, id: WorkerId, joined: Worker) {
        self.forget_running(id);
        self.fleet.join(id, joined, self.is_shared());
    }

    /// Takes a worker out that has nothing any more and is not to come back.
    pub(crate) fn remove(&mut self, id: WorkerId) {
        self.forget_running(id);
        self.fleet.remove(id);
    }

    /// From now on only labels of certificates count for these keys. The workers for which that
    /// changes something.
    pub(crate) fn vouch(&mut self, keys: Vec<String>) -> Vec<WorkerId> {
        self.fleet.vouch(keys, self.is_shared())
    }

    /// Keeps a worker free for such a task that is none of these, or none.
    pub(crate) fn reserve(&mut self, wanted: Option<(Demand, Vec<WorkerId>)>) {
        self.fleet.reserve(wanted, self.is_shared());
    }

    /// The worker with a free slot that a module's few tasks go to: one of its homes that is
    /// `wanted`.
    pub(crate) fn home(
        &mut self,
        demand: Demand,
        module: Digest,
        wanted: impl Fn(WorkerId) -> bool,
    ) -> Option<WorkerId> {
        self.fleet.home(demand, module, wanted)
    }

    /// The workers to ask tasks back from, those with the most that cannot have begun first.
    pub(crate) fn richest(&mut self) -> impl Iterator<Item = WorkerId> {
        self.fleet.richest()
    }

    /// Whether something was found to ask back.
    pub(crate) const fn set_worth_stealing(&mut self, found: bool) {
        self.fleet.set_worth_stealing(found);
    }

    /// A worker makes the modules of these jobs ready, and no others.
    pub(crate) fn set_preparing(
        &mut self,
        id: WorkerId,
        jobs: BTreeSet<JobId>,
        config: &GridConfig,
    ) {
        let (shared, queues, preparing) = (self.is_shared(), &mut self.queues, &mut self.preparing);
        self.fleet.change(id, shared, |worker| {
            let before = worker.set_preparing(jobs.clone());
            for job in before.symmetric_difference(&jobs) {
                let weight = queues.get_mut(job).map(|queue| {
                    if jobs.contains(job) {
                        queue.preparing.insert(id);
                        preparing.begin(&queue.tenant, id);
                    } else if queue.preparing.remove(&id) {
                        preparing.end(&queue.tenant, id);
                    }
                    queue.weight(worker.slots(), config)
                });
                worker.reweigh(*job, weight);
            }
        });
    }
}

/// Queues.
impl Placement {
    /// Makes an active job part of the placement.
    pub(crate) fn activate(&mut self, job: JobId, entry: &Job, config: &GridConfig) {
        let spec = entry.spec();
        let demand = self.fleet.enter_class(&spec.requires, spec.task.limits.memory.0);
        let tenant = self.shares.enter(entry.tenant(), demand);
        self.queues.insert(job, Queue::new(tenant, demand, entry, config));
        self.relist(job);
    }

    /// How many different things the active jobs of a tenant need of a worker, if those that need
    /// this are to be one more.
    pub(crate) fn new_demand(&self, spec: &JobSpec) -> Option<usize> {
        let tenant = &spec.task.tenant;
        let demand = self.fleet.known_demand(&spec.requires, spec.task.limits.memory.0);
        let is_known = demand.is_some_and(|demand| self.shares.wants(tenant, demand));
        (!is_known).then(|| self.shares.wanted(tenant))
    }

    /// A job ended, of which no worker has anything any more.
    pub(crate) fn end(&mut self, job: JobId) {
        self.suspects.remove(&job);
        self.lost.remove(&job);
        let Some(queue) = self.queues.remove(&job) else { return };
        self.shares.set_ready(&queue.tenant, (queue.demand, queue.rank, job), false);
        self.shares.leave(&queue.tenant, queue.demand);
        self.fleet.leave_class(queue.demand.class);
        for worker in &queue.preparing {
            self.preparing.end(&queue.tenant, *worker);
        }
    }

    /// Changes the queue of an active job, and the order of jobs with it.
    pub(crate) fn change_queue<T>(
        &mut self,
        job: JobId,
        change: impl FnOnce(&mut Queue) -> T,
    ) -> Option<T> {
        let changed = change(self.queues.get_mut(&job)?);
        self.relist(job);
        Some(changed)
    }

    /// Leaves a job out of the order of jobs until it is [listed](Self::relist) again.
    pub(crate) fn unlist(&mut self, job: JobId) {
        let Some(queue) = self.queues.get_mut(&job) else { return };
        if core::mem::take(&mut queue.listed) {
            self.shares.set_ready(&queue.tenant, (queue.demand, queue.rank, job), false);
        }
    }

    /// Brings the order of jobs up to date with a job.
    pub(crate) fn relist(&mut self, job: JobId) {
        let Some(queue) = self.queues.get_mut(&job) else { return };
        let ready = queue.is_ready();
        if core::mem::replace(&mut queue.listed, ready) != ready {
            self.shares.set_ready(&queue.tenant, (queue.demand, queue.rank, job), ready);
        }
        if queue.has_suspects() {
            self.suspects.insert(job);
        } else if !self.suspects.is_empty() {
            self.suspects.remove(&job);
        }
        if queue.has_lost() {
            self.lost.insert(job);
        } else if !self.lost.is_empty() {
            self.lost.remove(&job);
        }
    }

    /// Leaves demands that no worker could meet out of the order of jobs, until one can.
    pub(crate) fn park_unmet(&mut self) {
        let has_changed = self.fleet.meets_others();
        self.shares.sort(has_changed, |demand| self.fleet.can_meet(demand));
    }

    /// Charges the tenant of a job for what a worker did for it beside its tasks.
    pub(crate) fn charge(&mut self, job: JobId, took_ns: u64) {
        if let Some(queue) = self.queues.get(&job) {
            self.shares.settle(&queue.tenant, 0, 0, took_ns);
        }
    }
}

/// Leases.
impl Placement {
    /// The number of the next lease.
    pub(crate) fn next_lease(&mut self) -> LeaseId {
        self.leases.next_id()
    }

    /// Enters a lease into the books, and charges its tenant.
    pub(crate) fn book(&mut self, id: LeaseId, booking: Booking, now: Micros, config: &GridConfig) {
        let Booking { job, worker, attempt, tasks, alone } = booking;
        let (count, mut charged_ns) = (tasks.len(), 0);
        let mut queue = self.queues.get_mut(&job);
        if let Some(queue) = &mut queue {
            charged_ns = queue.cost_ns();
            self.shares.charge(&queue.tenant, count, count.saturating_mul(charged_ns));
            queue.leases.insert(id);
            queue.leased += count;
        }
        let shared = self.shares.waiting() > 1;
        let given = self.fleet.change(worker, shared, |worker| {
            if let Some(queue) = queue {
                worker.add(job, id, count, queue.weight(worker.slots(), config));
            }
            worker.alone |= alone;
            worker.time(now)
        });
        let (given, asked) = (given.unwrap_or(now), RangeSet::default());
        let recall = Recall::No;
        let lease = Lease { job, worker, attempt, charged_ns, tasks, asked, given, recall };
        self.leases.insert(id, lease);
        self.changed.insert(job);
    }

    /// What a lease has that is this worker's for this attempt of this job. Whoever takes tasks out
    /// of it [settles](Self::settle_lease) them.
    pub(crate) fn claimed(
        &mut self,
        id: LeaseId,
        claim: (JobId, WorkerId, u32),
    ) -> Option<&mut RangeSet> {
        self.leases.matching(id, claim).map(|lease| &mut lease.tasks)
    }

    /// Takes tasks back from a lease, as far as they are in it.
    pub(crate) fn take_back(
        &mut self,
        id: LeaseId,
        tasks: &[TaskRange],
        config: &GridConfig,
    ) -> Vec<TaskRange> {
        let taken = self.leases.take_back(id, tasks);
        self.settle_lease(id, taken.iter().map(|part| part.count).sum(), None, config);
        taken
    }

    /// Brings the books up to date after `count` tasks left a lease, which ends with its last. If
    /// they were not delivered, they did not run.
    pub(crate) fn settle_lease(
        &mut self,
        id: LeaseId,
        count: u64,
        delivery: Option<Delivery>,
        config: &GridConfig,
    ) {
        let Some(lease) = self.leases.get(id) else { return };
        let (job, worker, last) = (lease.job, lease.worker, lease.tasks.is_empty());
        let mut queue = self.queues.get_mut(&job);
        if let Some(queue) = &mut queue {
            queue.leased = queue.leased.saturating_sub(count);
            if last {
                queue.leases.remove(id);
            }
            let charged_ns = lease.charged_ns.saturating_mul(count);
            let took_ns = delivery.map_or(0, |delivery| delivery.took_ns);
            self.shares.settle(&queue.tenant, count, charged_ns, took_ns);
        }
        let shared = self.shares.waiting() > 1;
        self.fleet.change(worker, shared, |worker| {
            if let Some(delivery) = delivery {
                worker.deliver(count, delivery);
            }
            let weight = queue.map(|queue| queue.weight(worker.slots(), config));
            worker.subtract(job, (id, last), count, weight);
        });
        if last {
            self.leases.remove(id);
        }
        if count > 0 {
            self.changed.insert(job);
        }
    }

    /// Notes that the last `count` tasks of a lease are asked back; which those are, of which job,
    /// and who has them.
    pub(crate) fn ask_back(
        &mut self,
        id: LeaseId,
        count: u64,
        now: Micros,
    ) -> Option<(JobId, WorkerId, Vec<TaskRange>)> {
        let lease = self.leases.get_mut(id)?;
        let (job, worker, tasks) = (lease.job, lease.worker, lease.tasks.last(count));
        tasks.iter().for_each(|part| lease.asked.insert(*part));
        let asked = tasks.iter().map(|part| part.count).sum();
        self.change_worker(worker, |worker| worker.ask(id, asked, now));
        Some((job, worker, tasks))
    }

    /// Notes that a lease is recalled, since its tasks' time was over.
    pub(crate) fn recall(&mut self, id: LeaseId, at: WorkerTime) {
        if let Some(lease) = self.leases.get_mut(id) {
            lease.recall = Recall::Asked(at);
        }
    }

    /// Notes that a worker answered what it was asked of a lease.
    pub(crate) fn note_answer(&mut self, worker: WorkerId, id: LeaseId, at: WorkerTime) {
        if let Some(lease) = self.leases.get_mut(id)
            && lease.worker == worker
            && matches!(lease.recall, Recall::Asked(_))
        {
            lease.recall = Recall::Answered(at);
        }
    }

    /// The tenant of an active job.
    pub(crate) fn tenant(&self, job: JobId) -> Option<&Arc<str>> {
        self.queues.get(&job).map(Queue::tenant)
    }
}
