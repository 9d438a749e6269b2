//! Who is given what: credit, even spreading, tasks that must run alone, and stealing.

use alloc::{collections::BTreeMap, vec::Vec};

use wasmgrid_proto::{JobId, LeaseId, WorkerId};

use crate::{
    Grant, Grid, Output,
    fleet::{FULL, load},
    ranges::one,
};

/// Work that ends within this is not worth asking back: the question takes about as long.
const STEAL_MIN_NS: u64 = 2_000_000;

/// What a round of placement gives, by worker and job.
type Grants = BTreeMap<(WorkerId, JobId), Vec<Grant>>;

impl Grid {
    /// Gives waiting tasks to workers with room, and rebalances where nothing waits.
    pub(crate) fn pump(&mut self) {
        let mut grants = Grants::new();
        self.place_suspects(&mut grants);
        while let Some(job) = self.shares.next()
            && let Some(worker) = self.fleet.roomiest()
        {
            let count = self.portion(job, worker);
            self.place(job, worker, count, &mut grants);
        }
        for ((worker, job), grants) in grants {
            self.changed.insert(job);
            self.output(Output::Assign { worker, job, grants });
        }
        if self.shares.waiting() == 0 && self.fleet.free_slots() > self.fleet.asked() {
            self.steal();
        }
    }

    /// How many of a job's tasks a worker is given at once: no more than its room, nor than its
    /// part where there are few for all, nor than a fair part where other tenants wait.
    fn portion(&self, job: JobId, worker: WorkerId) -> u64 {
        let (Some(queue), Some(worker)) = (self.queues.get(&job), self.fleet.get(worker)) else {
            return 1;
        };
        let (ready, free) = (queue.ready_len(), worker.free_slots());
        let even = if ready <= self.fleet.free_slots() {
            part(ready, free, self.fleet.free_slots())
        } else {
            part(ready, worker.slots(), self.fleet.roomy_slots()).max(free)
        };
        let left = FULL.saturating_sub(load(worker, &self.queues, &self.config));
        let room = left / (FULL / queue.window(worker.slots(), &self.config)).max(1);
        even.min(room.div_ceil(self.shares.waiting().max(1))).max(1)
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
        self.charge(job, count - left);
        self.refresh_job(job);
        self.refresh_worker(worker);
    }

    /// Gives suspects idle workers of their own, and keeps one worker free for those that wait.
    fn place_suspects(&mut self, grants: &mut Grants) {
        while let Some(job) = self.suspects.first().copied()
            && let Some(worker) = self.fleet.idle()
        {
            let taken = self.queues.get_mut(&job).and_then(|queue| queue.take_suspect());
            if let Some(index) = taken {
                self.place_alone(job, worker, index, grants);
            }
            self.refresh_job(job);
            self.refresh_worker(worker);
        }
        for worker in self.fleet.reserve(!self.suspects.is_empty()).into_iter().flatten() {
            self.refresh_worker(worker);
        }
    }

    fn place_alone(&mut self, job: JobId, worker: WorkerId, index: u64, grants: &mut Grants) {
        let attempt = self.ledger.jobs.get(&job).map_or(1, |entry| entry.history(index).attempt());
        let grant = self.grant(worker, job, (attempt, one(index)));
        grants.entry((worker, job)).or_default().push(grant);
        if let Some(worker) = self.fleet.get_mut(worker) {
            worker.alone = true;
        }
        self.charge(job, 1);
    }

    fn charge(&mut self, job: JobId, tasks: u64) {
        if let Some(queue) = self.queues.get(&job) {
            self.shares.charge(&queue.tenant, tasks.saturating_mul(queue.cost_ns()));
        }
    }

    /// Slots are free and nothing waits: asks the worker with the most unstarted tasks for the
    /// part of them that the free slots are of all.
    fn steal(&mut self) {
        let Some((victim, surplus)) = self.fleet.richest() else { return };
        let Some(worker) = self.fleet.get(victim) else { return };
        let work = |(job, tasks): (&JobId, &u64)| {
            self.queues.get(job).map_or(0, |queue| queue.work_ns(*tasks))
        };
        let work = worker.jobs.iter().map(work).fold(0, u64::saturating_add);
        if work / worker.slots().max(1) < STEAL_MIN_NS {
            return;
        }
        let free = self.fleet.free_slots();
        let mut wanted = part(surplus, free, free + worker.slots());
        let newest: Vec<LeaseId> = worker.leases.iter().rev().copied().collect();
        for lease in newest {
            if wanted == 0 {
                break;
            }
            let count = self.leases.get(lease).map_or(0, |lease| lease.tasks.len()).min(wanted);
            self.revoke(lease, count);
            wanted -= count;
        }
    }
}

/// `share` of `whole` of an amount, rounded up.
fn part(amount: u64, share: u64, whole: u64) -> u64 {
    let part = u128::from(amount) * u128::from(share);
    u64::try_from(part.div_ceil(u128::from(whole.max(1)))).unwrap_or(amount)
}
