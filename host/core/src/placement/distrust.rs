//! Workers that only fail. One that says itself that it cannot run tasks gets none. One on which a
//! tenant's attempts are lost one after the other may be broken, or the tasks break it: so it gets
//! nothing more of that tenant for a while, as long as others can have that, and no other tenant
//! notices.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    sync::Arc,
};

use wasmgrid_proto::{Failing, LeaseId, Micros, Millis, WorkerId};

use crate::config::GridConfig;

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
    pub(crate) fn lost(
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
    pub(crate) fn given(
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
    pub(crate) fn did(&mut self, worker: WorkerId) -> bool {
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
