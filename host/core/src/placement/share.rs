//! Who is next: tenants by what they have had for their weight (stride scheduling), then jobs by
//! rank, which is age and priority.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
};
use core::ops::RangeInclusive;

use wasmgrid_proto::JobId;

use super::demand::{Demand, Rank};

/// What one nanosecond of a slot adds to the account of a tenant of weight 1. Far above the
/// largest weight, so that a heavy tenant's small tasks still count.
const UNIT: u128 = 1 << 32;

/// What a tenant may be behind the others at most when it is served, in nanoseconds of a slot: one
/// whose tasks no worker could take for a day must not have the grid alone for the next.
const CLAIM_MAX_NS: u128 = 600_000_000_000;

/// The tenants with active jobs, and their jobs with tasks to give.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    weights: BTreeMap<String, u32>,
    tenants: BTreeMap<Arc<str>, Tenant>,
    /// Tenants with tasks to give, by what those need and then by what the tenants have had.
    demands: Waiting,
    /// How many tenants have tasks to give.
    waiting: u64,
    /// Tenants without active jobs that have had more than others; they come back as they went.
    owing: BTreeSet<(u128, Arc<str>)>,
    /// What the tenant that was last served had had: where newcomers begin, so that nobody saves
    /// up a claim while having nothing to run.
    level: u128,
}

/// Tenants by what their tasks need, and then by what they have had.
type Waiting = BTreeMap<Demand, BTreeSet<(u128, Arc<str>)>>;

#[derive(Debug)]
struct Tenant {
    weight: u32,
    /// What it has had, in [`UNIT`]s over its weight.
    pass: u128,
    /// Active jobs.
    active: u64,
    /// The same by what their tasks need.
    wanted: BTreeMap<Demand, u64>,
    /// Its tasks on workers.
    leased: u64,
    ready: BTreeMap<Demand, BTreeSet<(Rank, JobId)>>,
}

/// A tenant as others see it.
pub(crate) struct TenantView<'a> {
    pub(crate) name: &'a Arc<str>,
    pub(crate) weight: u32,
    pub(crate) leased: u64,
}

impl Shares {
    /// The tenants' weights where they are not 1.
    pub(crate) fn new(weights: BTreeMap<String, u32>) -> Self {
        Self { weights, ..Self::default() }
    }

    /// A job of the tenant became active; returns the tenant's name to keep with the job.
    pub(super) fn enter(&mut self, tenant: &str, demand: Demand) -> Arc<str> {
        let name = self.tenants.get_key_value(tenant).map(|(name, _)| Arc::clone(name));
        let name = name.unwrap_or_else(|| Arc::from(tenant));
        let weight = self.weights.get(tenant).copied().unwrap_or(1).max(1);
        let entry = self.tenants.entry(Arc::clone(&name)).or_insert_with(|| Tenant::new(weight));
        if entry.active == 0 {
            self.owing.remove(&(entry.pass, Arc::clone(&name)));
        }
        entry.active += 1;
        *entry.wanted.entry(demand).or_default() += 1;
        name
    }

    /// A job of the tenant ended; it has nothing to give any more.
    pub(super) fn leave(&mut self, name: &Arc<str>, demand: Demand) {
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        tenant.active -= 1;
        if let Some(jobs) = tenant.wanted.get_mut(&demand) {
            *jobs -= 1;
            if *jobs == 0 {
                tenant.wanted.remove(&demand);
            }
        }
        if tenant.active == 0 {
            self.owing.insert((tenant.pass, Arc::clone(name)));
        }
        self.forget();
    }

    /// Forgets those who left and have had no more than others since.
    fn forget(&mut self) {
        while let Some((pass, name)) = self.owing.first()
            && *pass <= self.level
        {
            self.tenants.remove(name);
            self.owing.pop_first();
        }
    }

    /// Says whether a job has tasks to give.
    pub(super) fn set_ready(
        &mut self,
        name: &Arc<str>,
        (demand, rank, job): (Demand, Rank, JobId),
        ready: bool,
    ) {
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        if ready {
            if tenant.ready.is_empty() {
                self.waiting += 1;
                tenant.pass = tenant.pass.max(self.level);
            }
            let jobs = tenant.ready.entry(demand).or_default();
            if jobs.insert((rank, job)) && jobs.len() == 1 {
                let waiting = self.demands.entry(demand).or_default();
                waiting.insert((tenant.pass, Arc::clone(name)));
            }
            return;
        }
        let Some(jobs) = tenant.ready.get_mut(&demand) else { return };
        jobs.remove(&(rank, job));
        if !jobs.is_empty() {
            return;
        }
        tenant.ready.remove(&demand);
        self.waiting -= u64::from(tenant.ready.is_empty());
        if let Some(waiting) = self.demands.get_mut(&demand) {
            waiting.remove(&(tenant.pass, Arc::clone(name)));
            if waiting.is_empty() {
                self.demands.remove(&demand);
            }
        }
    }

    /// The job whose tasks are given next, of those whose demand can be met now, also by what
    /// `suits` their tenant.
    pub(crate) fn next(
        &self,
        can_meet: impl Fn(Demand) -> bool,
        suits: impl Fn(Demand, &str) -> bool,
    ) -> Option<JobId> {
        let met = self.demands.iter().filter(|(demand, _)| can_meet(**demand));
        let first = met
            .filter_map(|(demand, tenants)| tenants.iter().find(|(_, name)| suits(*demand, name)));
        let (_, name) = first.min()?;
        let ready = &self.tenants.get(name)?.ready;
        let met = ready.iter().filter(|(demand, _)| can_meet(**demand) && suits(**demand, name));
        met.filter_map(|(_, jobs)| jobs.first()).min().map(|(_, job)| *job)
    }

    /// How many different things the active jobs of a tenant need of a worker.
    pub(super) fn wanted(&self, tenant: &str) -> usize {
        self.tenants.get(tenant).map_or(0, |tenant| tenant.wanted.len())
    }

    /// True where an active job of the tenant needs this of a worker.
    pub(super) fn wants(&self, tenant: &str, demand: Demand) -> bool {
        self.tenants.get(tenant).is_some_and(|tenant| tenant.wanted.contains_key(&demand))
    }

    /// How many different things tasks that wait need of a worker.
    pub(crate) fn demands(&self) -> usize {
        self.demands.len()
    }

    /// How many tenants have tasks to give.
    pub(crate) const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Charges a tenant that was given tasks with what they are likely to take of a slot.
    pub(super) fn charge(&mut self, name: &Arc<str>, tasks: u64, cost_ns: u64) {
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        let before = tenant.pass;
        self.level = self.level.max(before);
        let claim = CLAIM_MAX_NS * UNIT / u128::from(tenant.weight);
        let from = before.max(self.level.saturating_sub(claim));
        tenant.pass = from.saturating_add(tenant.price(cost_ns));
        tenant.leased += tasks;
        tenant.move_from(before, name, &mut self.demands);
    }

    /// Tasks left their lease: what they were charged with goes back, and what they took is
    /// charged instead.
    pub(super) fn settle(&mut self, name: &Arc<str>, tasks: u64, charged_ns: u64, took_ns: u64) {
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        let before = tenant.pass;
        tenant.leased = tenant.leased.saturating_sub(tasks);
        let owed = before.saturating_add(tenant.price(took_ns));
        tenant.pass = owed.saturating_sub(tenant.price(charged_ns));
        tenant.move_from(before, name, &mut self.demands);
    }

    /// The tenants that are served before this one on workers of a class, the next first.
    pub(crate) fn before(
        &self,
        name: &Arc<str>,
        class: u32,
    ) -> impl Iterator<Item = TenantView<'_>> {
        let pass = self.tenants.get(name).map_or(0, |tenant| tenant.pass);
        let mut before = BTreeSet::new();
        for (_, tenants) in self.demands.range(of_class(class)) {
            before.extend(tenants.range(..(pass, Arc::clone(name))));
        }
        before.into_iter().filter_map(|(_, name)| self.view(name))
    }

    /// The jobs of a tenant that are given out before this one on workers of its class.
    pub(crate) fn jobs_before(
        &self,
        name: &Arc<str>,
        (demand, rank, job): (Demand, Rank, JobId),
    ) -> impl Iterator<Item = JobId> {
        let mut before = BTreeSet::new();
        if let Some(tenant) = self.tenants.get(name) {
            for (_, jobs) in tenant.ready.range(of_class(demand.class)) {
                before.extend(jobs.range(..(rank, job)));
            }
        }
        before.into_iter().map(|(_, job)| job)
    }

    /// How many tasks of a tenant are on workers.
    pub(crate) fn leased(&self, tenant: &str) -> u64 {
        self.tenants.get(tenant).map_or(0, |tenant| tenant.leased)
    }

    /// All tenants with tasks on workers.
    pub(crate) fn served(&self) -> impl Iterator<Item = TenantView<'_>> {
        let served = self.tenants.iter().filter(|(_, tenant)| tenant.leased > 0);
        served.filter_map(|(name, _)| self.view(name))
    }

    fn view<'a>(&'a self, name: &'a Arc<str>) -> Option<TenantView<'a>> {
        let tenant = self.tenants.get(name)?;
        Some(TenantView { name, weight: tenant.weight, leased: tenant.leased })
    }
}

/// All demands of a class.
fn of_class(class: u32) -> RangeInclusive<Demand> {
    Demand { class, memory: 0 }..=Demand { class, memory: u64::MAX }
}

impl Tenant {
    const fn new(weight: u32) -> Self {
        Self {
            weight,
            pass: 0,
            active: 0,
            wanted: BTreeMap::new(),
            leased: 0,
            ready: BTreeMap::new(),
        }
    }

    /// Puts it in its new place after its account changed.
    fn move_from(&self, before: u128, name: &Arc<str>, demands: &mut Waiting) {
        if self.pass == before {
            return;
        }
        for demand in self.ready.keys() {
            if let Some(waiting) = demands.get_mut(demand) {
                let mut entry = (before, Arc::clone(name));
                waiting.remove(&entry);
                entry.0 = self.pass;
                waiting.insert(entry);
            }
        }
    }

    fn price(&self, ns: u64) -> u128 {
        u128::from(ns) * UNIT / u128::from(self.weight)
    }
}
