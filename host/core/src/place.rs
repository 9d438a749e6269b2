//! Who is given what: credit, even spreading, and tasks that must run alone.

use alloc::{collections::BTreeMap, vec::Vec};

use wasmgrid_proto::{JobId, Millis, WorkerId};

use crate::{
    Grant, Grid, Output, classes::ANY, demand::Demand, queue::Queue, ranges::one, worker::FULL,
};

/// For so long tasks that need much memory are overtaken by smaller ones before a worker is kept
/// free for them: much longer than most tasks take, and short for who waits.
const OVERTAKEN_MAX: Millis = Millis(1_000);

/// What a round of placement gives, by worker and job.
type Grants = BTreeMap<(WorkerId, JobId), Vec<Grant>>;

impl Grid {
    /// Gives waiting tasks to workers with room, and rebalances where slots are left.
    pub(crate) fn pump(&mut self) {
        let mut grants = Grants::new();
        let alone = self.place_suspects(&mut grants);
        self.place_overtaken(alone, &mut grants);
        while let Some(job) = self.shares.next(|demand| self.fleet.roomiest(demand).is_some())
            && let Some(worker) = self.pick(job, &grants)
        {
            self.note_overtaken(job);
            let count = self.portion(job, worker);
            self.place(job, worker, count, &mut grants);
        }
        for ((worker, job), grants) in grants {
            self.changed.insert(job);
            self.output(Output::Assign { worker, job, grants });
        }
        // What waits still fits none of the free slots.
        if self.fleet.worth_stealing && self.fleet.free_slots(ANY) > self.fleet.asked() {
            self.steal();
        }
    }

    /// The worker that a job's next tasks go to: where there are slots for all of them a home of
    /// its module that has none of them yet, so that they are spread, else the one with most room.
    fn pick(&mut self, job: JobId, grants: &Grants) -> Option<WorkerId> {
        let queue = self.queues.get(&job)?;
        let (demand, module) = (queue.demand, queue.module);
        let few = queue.ready_len() <= self.fleet.free_slots(demand.class);
        let is_new = |worker| !grants.contains_key(&(worker, job));
        let home = if few { self.fleet.home(demand, module, is_new) } else { None };
        home.or_else(|| self.fleet.roomiest(demand).map(|(_, id)| id))
    }

    /// How many of a job's tasks a worker is given at once: no more than its room, nor than its
    /// part where there are few for all, nor than a fair part where other tenants wait.
    fn portion(&self, job: JobId, worker: WorkerId) -> u64 {
        let (Some(queue), Some(worker)) = (self.queues.get(&job), self.fleet.get(worker)) else {
            return 1;
        };
        let (ready, free, class) = (queue.ready_len(), worker.free_slots(), queue.demand.class);
        let even = if ready <= self.fleet.free_slots(class) {
            part(ready, free, self.fleet.free_slots(class))
        } else {
            part(ready, worker.slots(), self.fleet.roomy_slots(class)).max(free)
        };
        let unit = queue.weight(worker.slots(), &self.config).unit;
        let room = FULL.saturating_sub(worker.load()) / unit.max(1);
        let fair = even.min(room.div_ceil(self.shares.waiting().max(1)));
        fair.min(worker.memory_fitting(queue.demand.memory)).max(1)
    }

    /// Gives a worker at most `count` of a job's tasks, in leases of bounded size.
    fn place(&mut self, job: JobId, worker: WorkerId, count: u64, grants: &mut Grants) {
        let mut left = count;
        while left > 0 {
            let Some(queue) = self.queues.get_mut(&job) else { break };
            let Some(taken) = queue.take(left.min(self.config.batch_tasks.max(1))) else { break };
            left = left.saturating_sub(taken.1.count);
            let grant = self.grant(worker, job, taken);
            grants.entry((worker, job)).or_default().push(grant);
        }
        if self.overtaken.is_some_and(|(overtaken, _)| overtaken == job) {
            self.overtaken = None;
        }
        self.refresh_job(job);
        self.refresh_worker(worker);
    }

    /// Notes whose turn it was, where its tasks need more memory than is free on any one worker
    /// and smaller ones are given out instead: without end those would take what becomes free.
    fn note_overtaken(&mut self, job: JobId) {
        if self.shares.demands() < 2 {
            return;
        }
        let memory = |job: JobId| self.queues.get(&job).map_or(0, |queue| queue.demand.memory);
        let first = self.shares.next(|demand| self.fleet.can_meet(demand));
        if let Some(first) = first.filter(|first| memory(*first) > memory(job))
            && self.overtaken.is_none_or(|(overtaken, _)| overtaken != first)
        {
            self.overtaken = Some((first, self.now));
        }
    }

    /// Keeps one worker free for a task that must run `alone`, else for one that was overtaken
    /// for too long, which is given to it once its memory is free.
    fn place_overtaken(&mut self, alone: Option<Demand>, grants: &mut Grants) {
        let waits = |job: &JobId| self.queues.get(job).is_some_and(Queue::is_ready);
        self.overtaken = self.overtaken.filter(|(job, _)| waits(job));
        let due = self.overtaken.filter(|(_, since)| since.after(OVERTAKEN_MAX) <= self.now);
        let due = due.and_then(|(job, _)| Some((job, self.queues.get(&job)?.demand)));
        let due = due.filter(|(_, demand)| alone.is_none() && self.fleet.can_meet(*demand));
        for worker in self.fleet.reserve(alone.or(due.map(|(_, demand)| demand))) {
            worker.into_iter().for_each(|worker| self.refresh_worker(worker));
        }
        if let Some((job, demand)) = due
            && let Some(worker) = self.fleet.reserved_with_room(demand)
        {
            let count = self.portion(job, worker);
            self.place(job, worker, count, grants);
        }
    }

    /// Gives suspects idle workers of their own; returns what those need that are left.
    fn place_suspects(&mut self, grants: &mut Grants) -> Option<Demand> {
        let suspects: Vec<JobId> = self.suspects.iter().copied().collect();
        let mut waiting = None;
        for job in suspects {
            let Some(demand) = self.queues.get(&job).map(|queue| queue.demand) else { continue };
            while let Some(worker) = self.fleet.idle(demand) {
                let taken = self.queues.get_mut(&job).and_then(|queue| queue.take_suspect());
                let Some(index) = taken else { break };
                self.place_alone(job, worker, index, grants);
                self.refresh_worker(worker);
            }
            self.refresh_job(job);
            if waiting.is_none() && self.suspects.contains(&job) && self.fleet.can_meet(demand) {
                waiting = Some(demand);
            }
        }
        waiting
    }

    fn place_alone(&mut self, job: JobId, worker: WorkerId, index: u64, grants: &mut Grants) {
        let attempt = self.ledger.jobs.get(&job).map_or(1, |entry| entry.history(index).attempt());
        let grant = self.grant(worker, job, (attempt, one(index)));
        grants.entry((worker, job)).or_default().push(grant);
        if let Some(worker) = self.fleet.get_mut(worker) {
            worker.alone = true;
        }
    }
}

/// `share` of `whole` of an amount, rounded up.
pub(crate) fn part(amount: u64, share: u64, whole: u64) -> u64 {
    let part = u128::from(amount) * u128::from(share);
    u64::try_from(part.div_ceil(u128::from(whole.max(1)))).unwrap_or(amount)
}
