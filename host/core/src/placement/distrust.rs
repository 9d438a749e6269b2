//! Workers that only fail. One that says itself that it cannot run tasks gets none. One on which a
//! tenant's attempts are lost one after the other may be broken, or the tasks break it: so it gets
//! nothing more of that tenant for a while, as long as others can have that, and no other tenant
//! notices.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use wasmgrid_proto::{Failing, JobId, LeaseId, Micros, Millis, WorkerId, wire::Unable};

use super::demand::Demand;
use crate::{config::GridConfig, io::Output, rules::Grid, timers::Timer};

/// Workers that one tenant's tasks avoid at most. Where more of them fail it is the tenant's tasks,
/// not the workers.
const WORKERS_MAX: usize = 64;

/// Tenants whose losses are remembered at most.
const TENANTS_MAX: usize = 1_024;

/// So long after a worker could be tried again its losses mean nothing any more.
const FORGET_AFTER: Millis = Millis(600_000);

/// What was seen of workers since each last ran a task to its end.
#[derive(Debug, Default)]
pub(crate) struct Distrust {
    by_tenant: BTreeMap<Arc<str>, BTreeMap<WorkerId, Streak>>,
    /// The tenants that have lost attempts on a worker.
    by_worker: BTreeMap<WorkerId, BTreeSet<Arc<str>>>,
}

/// Losses of one tenant's attempts on one worker.
#[derive(Debug)]
struct Streak {
    /// How many, one behind the other; those of one moment are one.
    losses: u32,
    /// When the last was.
    at: Micros,
    /// Until when the worker gets nothing more; `None` while the losses are few.
    until: Option<Micros>,
    /// What it was tried with since.
    trial: Option<LeaseId>,
    reason: String,
}

impl Distrust {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_tenant.is_empty()
    }

    /// An attempt was lost. Until when the worker rests, where that is news.
    fn lost(
        &mut self,
        (tenant, worker, lease): (&Arc<str>, WorkerId, LeaseId),
        now: Micros,
        (reason, weight): (&str, u32),
        config: &GridConfig,
    ) -> Option<Micros> {
        if self.by_tenant.len() >= TENANTS_MAX && !self.by_tenant.contains_key(tenant) {
            let oldest = self.by_tenant.first_key_value().map(|(name, _)| name.clone())?;
            self.forget(&oldest);
        }
        let streaks = self.by_tenant.entry(tenant.clone()).or_default();
        if streaks.len() >= WORKERS_MAX && !streaks.contains_key(&worker) {
            return None;
        }
        self.by_worker.entry(worker).or_default().insert(tenant.clone());
        let streak = streaks.entry(worker).or_default();
        if streak.is_over(now) {
            *streak = Streak::default();
        }
        // What it had before it rests tells nothing new.
        let told = streak.until.is_some_and(|until| now < until) || streak.at == now;
        if told && streak.losses > 0 && streak.trial != Some(lease) {
            return None;
        }
        streak.losses = streak.losses.saturating_add(weight);
        (streak.at, streak.trial, streak.reason) = (now, None, String::from(reason));
        let over = streak.losses.checked_sub(config.failing_after.max(1))?;
        streak.until = Some(now.after(config.rest_after(over)));
        streak.until
    }

    /// The worker is given tasks of the tenant. Until when it rests again, where that tries it.
    fn given(
        &mut self,
        (tenant, worker, lease): (&str, WorkerId, LeaseId),
        now: Micros,
        config: &GridConfig,
    ) -> Option<Micros> {
        let streak = self.by_tenant.get_mut(tenant)?.get_mut(&worker)?;
        let over = streak.losses.checked_sub(config.failing_after.max(1))?;
        streak.until.filter(|until| *until <= now)?;
        streak.trial = Some(lease);
        streak.until = Some(now.after(config.rest_after(over)));
        streak.until
    }

    /// The worker ran a task to its end. True where it was failing.
    fn did(&mut self, worker: WorkerId) -> bool {
        let Some(tenants) = self.by_worker.remove(&worker) else { return false };
        let mut failing = false;
        for tenant in tenants {
            if let Some(streaks) = self.by_tenant.get_mut(&tenant) {
                failing |= streaks.remove(&worker).is_some_and(|streak| streak.until.is_some());
                if streaks.is_empty() {
                    self.by_tenant.remove(&tenant);
                }
            }
        }
        failing
    }

    /// A worker is not to come back.
    pub(crate) fn forget_worker(&mut self, worker: WorkerId) {
        self.did(worker);
    }

    fn forget(&mut self, tenant: &str) {
        for worker in self.by_tenant.remove(tenant).unwrap_or_default().into_keys() {
            if let Some(tenants) = self.by_worker.get_mut(&worker) {
                tenants.remove(tenant);
                if tenants.is_empty() {
                    self.by_worker.remove(&worker);
                }
            }
        }
    }

    /// The workers that get nothing of a tenant now, and until when.
    pub(crate) fn resting(
        &self,
        tenant: &str,
        now: Micros,
    ) -> impl Iterator<Item = (WorkerId, Micros)> {
        let streaks = self.by_tenant.get(tenant).into_iter().flatten();
        let until = move |streak: &Streak| streak.until.filter(|until| now < *until);
        streaks.filter_map(move |(worker, streak)| Some((*worker, until(streak)?)))
    }

    /// True where a worker is to be tried with one task of a tenant.
    pub(crate) fn is_on_trial(&self, tenant: &str, worker: WorkerId) -> bool {
        let streak = self.by_tenant.get(tenant).and_then(|streaks| streaks.get(&worker));
        streak.is_some_and(|streak| streak.until.is_some())
    }

    /// How a worker fails that does.
    pub(crate) fn of_worker(&self, worker: WorkerId, now: Micros) -> Option<Failing> {
        let tenants = self.by_worker.get(&worker)?;
        let streak = |tenant: &Arc<str>| {
            let streak = self.by_tenant.get(tenant)?.get(&worker)?;
            let until = streak.until.filter(|_| !streak.is_over(now))?;
            Some((until, streak.losses, tenant.clone(), streak.reason.clone()))
        };
        let (until, losses, tenant, reason) = tenants.iter().filter_map(streak).max()?;
        let reason = format!("it lost tasks of {tenant} {losses} times in a row: {reason}");
        Some(Failing { until: Some(until), reason })
    }
}

impl Default for Streak {
    fn default() -> Self {
        Self { losses: 0, at: Micros(0), until: None, trial: None, reason: String::new() }
    }
}

impl Streak {
    /// True where it was too long ago to mean anything.
    fn is_over(&self, now: Micros) -> bool {
        self.until.unwrap_or(self.at).after(FORGET_AFTER) <= now
    }
}

impl GridConfig {
    /// How long a worker rests that failed once more for the so-manieth time.
    fn rest_after(&self, times: u32) -> Millis {
        Millis(self.rest.0.saturating_mul(1 << times.min(32)).min(self.rest_max.0))
    }
}

impl Grid {
    /// A worker says whether it can run tasks. One that says it can, and then cannot, is believed
    /// later each time.
    pub(crate) fn worker_health(&mut self, id: WorkerId, unable: Option<Unable>) {
        self.hear(id);
        let (now, rest) = (self.now, |times| self.config.rest_after(times));
        let Some(worker) = self.fleet.get_mut(id) else { return };
        let before = worker.unable.take();
        worker.unable = match (unable, before) {
            (Some(unable), before) => {
                let news = before.is_none_or(|before| before.until.is_some());
                worker.unable_count = worker.unable_count.saturating_add(u32::from(news));
                Some(Failing { until: None, reason: unable.to_string() })
            }
            (None, Some(Failing { until: None, reason })) => {
                let again = worker.unable_count.checked_sub(2);
                again.map(|times| Failing { until: Some(now.after(rest(times))), reason })
            }
            (None, before) => before,
        };
        if let Some(until) = worker.unable.as_ref().and_then(|failing| failing.until) {
            self.timers.set(until, Timer::Rest(id));
        }
        self.refresh_worker(id);
        self.tell_failing(id);
    }

    /// A worker's pause may be over.
    pub(crate) fn rested(&mut self, id: WorkerId) {
        let now = self.now;
        let Some(worker) = self.fleet.get_mut(id) else { return };
        let is_due = |failing: &Failing| failing.until.is_some_and(|until| until <= now);
        if worker.unable.take_if(|failing| is_due(failing)).is_some() {
            self.refresh_worker(id);
            self.tell_failing(id);
        }
    }

    /// An attempt was lost on a worker, or given back as one that it cannot run.
    pub(crate) fn distrust(&mut self, id: WorkerId, job: JobId, lease: LeaseId, reason: &str) {
        self.distrust_by(id, job, lease, (reason, 1));
    }

    /// An attempt was lost in a way that no task can cause.
    pub(crate) fn distrust_at_once(
        &mut self,
        id: WorkerId,
        job: JobId,
        lease: LeaseId,
        reason: &str,
    ) {
        self.distrust_by(id, job, lease, (reason, self.config.failing_after.max(1)));
    }

    fn distrust_by(
        &mut self,
        id: WorkerId,
        job: JobId,
        lease: LeaseId,
        (reason, weight): (&str, u32),
    ) {
        let Some(tenant) = self.queues.get(&job).map(|queue| queue.tenant.clone()) else { return };
        let claim = (&tenant, id, lease);
        let Some(until) = self.distrust.lost(claim, self.now, (reason, weight), &self.config)
        else {
            return;
        };
        self.timers.set(until, Timer::Rest(id));
        self.tell_failing(id);
        self.relieve(id, &tenant);
    }

    /// Asks back what a resting worker has of a tenant, where others can have that.
    fn relieve(&mut self, id: WorkerId, tenant: &Arc<str>) {
        let of_tenant = |lease: &LeaseId| {
            let queue = self.queues.get(&self.leases.get(*lease)?.job)?;
            (queue.tenant == *tenant).then_some(queue.demand)
        };
        let held = self.leases_of(id).into_iter();
        let held = held.filter_map(|lease| Some((lease, of_tenant(&lease)?)));
        let is_linked = self.fleet.get(id).is_some_and(|worker| worker.linked);
        let relieved = |(_, demand): &(LeaseId, Demand)| {
            is_linked && self.avoided(tenant, *demand, &[]).contains(&id)
        };
        let held: Vec<(LeaseId, Demand)> = held.filter(relieved).collect();
        for (lease, _) in held {
            self.revoke(lease, u64::MAX);
        }
    }

    /// A worker ran a task to its end.
    pub(crate) fn trust(&mut self, id: WorkerId) {
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.unable_count = 0;
        }
        if !self.distrust.is_empty() && self.distrust.did(id) {
            self.tell_failing(id);
        }
    }

    /// A worker is given tasks of a job.
    pub(crate) fn note_trial(&mut self, id: WorkerId, job: JobId, lease: LeaseId) {
        if self.distrust.is_empty() {
            return;
        }
        let Some(queue) = self.queues.get(&job) else { return };
        let claim = (&*queue.tenant, id, lease);
        if let Some(until) = self.distrust.given(claim, self.now, &self.config) {
            self.timers.set(until, Timer::Rest(id));
        }
    }

    /// The workers that tasks are not given to, as long as there are others that take such tasks:
    /// those that lost them, and those that rest for the tenant.
    pub(crate) fn avoided(
        &self,
        tenant: &str,
        demand: Demand,
        lost_by: &[WorkerId],
    ) -> Vec<WorkerId> {
        if lost_by.is_empty() && self.distrust.is_empty() {
            return Vec::new();
        }
        let fits = |id: &WorkerId| self.fleet.could_take(*id, demand);
        let resting = self.distrust.resting(tenant, self.now).map(|(id, _)| id);
        let resting: BTreeSet<WorkerId> = resting.filter(fits).collect();
        let lost_by: BTreeSet<WorkerId> = lost_by.iter().copied().filter(fits).collect();
        let all = self.fleet.fitting(demand);
        let leaves_some = |set: &BTreeSet<WorkerId>| (set.len() as u64) < all;
        let both: BTreeSet<WorkerId> = resting.union(&lost_by).copied().collect();
        let set = [both, resting, lost_by].into_iter().find(leaves_some).unwrap_or_default();
        set.into_iter().collect()
    }

    fn tell_failing(&mut self, id: WorkerId) {
        let Some(worker) = self.fleet.get(id) else { return };
        let failing = worker.unable.clone().or_else(|| self.distrust.of_worker(id, self.now));
        let failing = failing.map(|failing| self.ledger.clock.dated(failing));
        let name = worker.name.to_string();
        self.output(Output::Failing { worker: id, name, failing });
    }
}
