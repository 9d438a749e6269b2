//! Who is given what: credit, even spreading, and tasks that must run alone.

use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::Bound;

use wasmgrid_proto::{JobId, Millis, Reason, TaskRange, WorkerId};

use super::grid::Grid;
use crate::{
    io::{NewLease, Output},
    placement::{ANY, Demand, FULL, Lost, Queue},
};

/// How long smaller tasks may overtake tasks that need much memory before a worker is kept free for
/// the latter: much longer than most tasks take, but a short wait.
const OVERTAKEN_MAX: Millis = Millis(1_000);

/// What a round of placement gives, by worker and job.
type NewLeases = BTreeMap<(WorkerId, JobId), Vec<NewLease>>;

/// The demand for which a worker is kept free, and the workers that are not suitable.
type Wanted = (Demand, Vec<WorkerId>);

/// Jobs with lost tasks that one round looks at, and groups of one job: where the first of them
/// wait for workers that are busy, the others mostly do too.
const LOST_MAX: usize = 64;

impl Grid {
    /// Gives waiting tasks to workers with room, and rebalances where slots are left.
    pub(super) fn pump(&mut self) {
        if self.lacks_room() {
            return;
        }
        self.placement.park_unmet();
        let mut grants = NewLeases::new();
        let alone = self.place_suspects(&mut grants);
        self.place_overtaken(alone, &mut grants);
        self.place_lost(&mut grants);
        let mut passed_over = Vec::new();
        while let Some(job) = self.next_job() {
            if self.call_room(job) == 0 {
                self.placement.unlist(job);
                passed_over.push(job);
                continue;
            }
            let Some(worker) = self.pick(job, &grants) else {
                // Only workers that make its module ready have room: it is the turn of others.
                if !self.pass_over(job) {
                    break;
                }
                passed_over.push(job);
                continue;
            };
            self.note_overtaken(job);
            let count = self.portion(job, worker, None);
            self.place(job, worker, None, count, &mut grants);
        }
        passed_over.into_iter().for_each(|job| self.placement.relist(job));
        for ((worker, job), grants) in grants {
            self.output(Output::Assign { worker, job, grants });
        }
        // What waits still fits none of the free slots.
        let fleet = self.placement.fleet();
        if fleet.is_worth_stealing() && fleet.free_slots(ANY) > fleet.asked() {
            self.steal();
        }
    }

    /// True while there may be no room for the results of more tasks than workers have: the rest of
    /// the room is for those.
    pub(super) const fn lacks_room(&self) -> bool {
        matches!(self.refuses, Some(Reason::DiskFull | Reason::DiskReserved { .. }))
    }

    /// Leaves a job out of the round whose module is being made ready; false where it is not.
    fn pass_over(&mut self, job: JobId) -> bool {
        let is_prepared = self.placement.queue(job).is_some_and(|one| !one.preparing().is_empty());
        if is_prepared {
            self.placement.unlist(job);
        }
        is_prepared
    }

    /// The job whose tasks are given next.
    fn next_job(&self) -> Option<JobId> {
        let has_room = |demand| self.placement.fleet().roomiest(demand).is_some();
        let suits = |demand, tenant: &str| {
            !self.holds_back(tenant)
                && ((self.distrust.is_empty() && self.placement.preparing().is_empty()) || {
                    let mut avoided = self.avoided(tenant, demand, &[]);
                    avoided.extend(self.placement.preparing().full_of(tenant));
                    self.placement.fleet().roomiest_but(demand, &avoided).is_some()
                })
        };
        self.placement.shares().next(has_room, suits)
    }

    /// The worker that a job's next tasks go to: where there are slots for all of them a home of
    /// its module that has none of them yet, so that they are spread, else the one with most room.
    fn pick(&mut self, job: JobId, grants: &NewLeases) -> Option<WorkerId> {
        let queue = self.placement.queue(job)?;
        let (demand, module) = (queue.demand(), queue.module());
        let few = queue.ready_len() <= self.placement.fleet().free_slots(demand.class);
        let avoided = self.kept_from(queue, self.avoided(queue.tenant(), demand, &[]));
        let is_new = |worker| !grants.contains_key(&(worker, job)) && !avoided.contains(&worker);
        let home = if few { self.placement.home(demand, module, is_new) } else { None };
        home.or_else(|| self.placement.fleet().roomiest_but(demand, &avoided).map(|(_, id)| id))
    }

    /// How many of a job's tasks a worker is given at once: no more than its room, nor than its
    /// part where there are few for all, nor than a fair part where other tenants wait; one where
    /// that tries a worker. Of tasks that were `lost`, or of those that can go to any worker.
    fn portion(&self, job: JobId, id: WorkerId, lost: Option<&Lost>) -> u64 {
        let (Some(queue), Some(worker)) = (self.placement.queue(job), self.placement.worker(id))
        else {
            return 1;
        };
        if self.distrust.is_on_trial(queue.tenant(), id) {
            return 1;
        }
        let ready = lost.map_or_else(|| queue.ready_len(), |alike| queue.lost_len(alike));
        let (free, class) = (worker.free_slots(), queue.demand().class);
        let even = if ready <= self.placement.fleet().free_slots(class) {
            part(ready, free, self.placement.fleet().free_slots(class))
        } else {
            part(ready, worker.slots(), self.placement.fleet().roomy_slots(class)).max(free)
        };
        let unit = queue.weight(worker.slots(), &self.config).unit;
        let room = FULL.saturating_sub(worker.load()) / unit.max(1);
        let fair = even.min(room.div_ceil(self.placement.shares().waiting().max(1)));
        let most = worker.memory_fitting(queue.demand().memory);
        fair.min(most).min(self.running_room(queue.tenant())).min(self.call_room(job)).max(1)
    }

    /// Gives a worker at most `count` of a job's tasks, in leases of bounded size: of those that
    /// were `lost`, or of those that can go to any worker.
    fn place(
        &mut self,
        job: JobId,
        worker: WorkerId,
        lost: Option<&Lost>,
        count: u64,
        grants: &mut NewLeases,
    ) {
        let mut left = count;
        while left > 0 {
            let most = left.min(self.config.batch_tasks.max(1));
            let taken = self.placement.change_queue(job, |queue| match lost {
                Some(alike) => queue.take_lost(alike, most),
                None => queue.take(most),
            });
            let Some(taken) = taken.flatten() else { break };
            left = left.saturating_sub(taken.1.count);
            let grant = self.grant(worker, job, taken, false);
            grants.entry((worker, job)).or_default().push(grant);
        }
        if self.overtaken.is_some_and(|(overtaken, _)| overtaken == job) {
            self.overtaken = None;
        }
    }

    /// Notes whose turn it was, where its tasks need more memory than is free on any one worker
    /// and smaller ones are given out instead: without end those would take what becomes free.
    fn note_overtaken(&mut self, job: JobId) {
        if self.placement.shares().demands() < 2 {
            return;
        }
        let memory =
            |job: JobId| self.placement.queue(job).map_or(0, |queue| queue.demand().memory);
        let suits = |_, tenant: &str| !self.holds_back(tenant);
        let first =
            self.placement.shares().next(|demand| self.placement.fleet().can_meet(demand), suits);
        if let Some(first) = first.filter(|first| memory(*first) > memory(job))
            && self.overtaken.is_none_or(|(overtaken, _)| overtaken != first)
        {
            self.overtaken = Some((first, self.now));
        }
    }

    /// Keeps one worker free for a task that must run `alone`, else for one that was overtaken
    /// for too long, which is given to it once its memory is free.
    fn place_overtaken(&mut self, alone: Option<Wanted>, grants: &mut NewLeases) {
        let waits = |job: &JobId| self.placement.queue(*job).is_some_and(Queue::is_ready);
        self.overtaken = self.overtaken.filter(|(job, _)| waits(job));
        let due = self.overtaken.filter(|(_, since)| since.after(OVERTAKEN_MAX) <= self.now);
        let due = due.and_then(|(job, _)| Some((job, self.placement.queue(job)?)));
        let due = due.filter(|(_, queue)| !self.holds_back(queue.tenant()));
        let due = due.filter(|(job, _)| self.call_room(*job) > 0);
        let due = due.filter(|(_, queue)| {
            alone.is_none() && self.placement.fleet().can_meet(queue.demand())
        });
        let due = due.map(|(job, queue)| {
            let avoided = self.avoided(queue.tenant(), queue.demand(), &[]);
            (job, queue.demand(), self.kept_from(queue, avoided))
        });
        let wanted = due.clone().map(|(_, demand, avoided)| (demand, avoided));
        self.placement.reserve(alone.or(wanted));
        if let Some((job, demand, avoided)) = due
            && let Some(worker) = self.placement.fleet().reserved_with_room(demand)
            && !avoided.contains(&worker)
        {
            let count = self.portion(job, worker, None);
            self.place(job, worker, None, count, grants);
        }
    }

    /// Gives tasks that workers lost to others. Their turn was when they were given out first.
    fn place_lost(&mut self, grants: &mut NewLeases) {
        if self.placement.lost().is_empty() {
            return;
        }
        let waiting = self.placement.lost();
        let after = waiting.range((Bound::Excluded(self.lost_last), Bound::Unbounded));
        let jobs = after.chain(waiting.range(..=self.lost_last)).take(LOST_MAX);
        let jobs: Vec<JobId> = jobs.copied().collect();
        self.lost_last = jobs.last().copied().unwrap_or_default();
        for job in jobs {
            while let Some((alike, worker)) = self.pick_lost(job) {
                let count = self.portion(job, worker, Some(&alike));
                self.place(job, worker, Some(&alike), count, grants);
            }
        }
    }

    /// Tasks of a job that workers lost, and another that has room for them.
    fn pick_lost(&self, job: JobId) -> Option<(Lost, WorkerId)> {
        let lost = |queue: &&Queue| queue.has_lost() && !self.holds_back(queue.tenant());
        let queue = self.placement.queue(job).filter(lost).filter(|_| self.call_room(job) > 0)?;
        queue.lost().take(LOST_MAX).find_map(|(alike, _)| {
            let avoided = self.avoided(queue.tenant(), queue.demand(), &alike.by);
            let avoided = self.kept_from(queue, avoided);
            let (_, worker) = self.placement.fleet().roomiest_but(queue.demand(), &avoided)?;
            Some((alike.clone(), worker))
        })
    }

    /// Gives suspects idle workers of their own; returns what those need that are left.
    fn place_suspects(&mut self, grants: &mut NewLeases) -> Option<Wanted> {
        let suspects: Vec<JobId> = self.placement.suspects().iter().copied().collect();
        let mut waiting = None;
        for job in suspects {
            while let Some((lost_by, worker)) = self.pick_alone(job) {
                let take = |queue: &mut Queue| queue.take_suspect(&lost_by);
                let Some(index) = self.placement.change_queue(job, take).flatten() else { break };
                self.place_alone(job, worker, index, grants);
            }
            if waiting.is_none() && self.placement.suspects().contains(&job) {
                waiting = self.wanted_alone(job);
            }
        }
        waiting
    }

    /// The workers that lost a task of a job that must run alone, and an idle one for it.
    fn pick_alone(&self, job: JobId) -> Option<(Vec<WorkerId>, WorkerId)> {
        let queue = self.placement.queue(job).filter(|queue| !self.holds_back(queue.tenant()))?;
        queue.suspects().take(LOST_MAX).find_map(|lost_by| {
            let avoided = self.avoided(queue.tenant(), queue.demand(), lost_by);
            Some((lost_by.clone(), self.placement.fleet().idle(queue.demand(), &avoided)?))
        })
    }

    /// What a task of a job needs that must run alone.
    fn wanted_alone(&self, job: JobId) -> Option<Wanted> {
        let fits = |queue: &&Queue| {
            self.placement.fleet().can_meet(queue.demand()) && !self.holds_back(queue.tenant())
        };
        let queue = self.placement.queue(job).filter(fits)?;
        let lost_by = queue.suspects().next()?;
        Some((queue.demand(), self.avoided(queue.tenant(), queue.demand(), lost_by)))
    }

    fn place_alone(&mut self, job: JobId, worker: WorkerId, index: u64, grants: &mut NewLeases) {
        let attempt = self.ledger.job(job).map_or(1, |entry| entry.history(index).attempt());
        let grant = self.grant(worker, job, (attempt, TaskRange::one(index)), true);
        grants.entry((worker, job)).or_default().push(grant);
    }
}

/// `share` of `whole` of an amount, rounded up.
pub(super) fn part(amount: u64, share: u64, whole: u64) -> u64 {
    let part = u128::from(amount) * u128::from(share);
    u64::try_from(part.div_ceil(u128::from(whole.max(1)))).unwrap_or(amount)
}
