//! Who is next: tenants by what they have had for their weight (stride scheduling), then jobs by
//! rank, which is age and priority.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
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
    /// What waiting tasks need that no worker could meet when that was last looked at, and whose
    /// they are: they cost nothing until workers come or change.
    parked: BTreeMap<Demand, BTreeSet<Arc<str>>>,
    /// Of `demands`, those of which it was not looked at whether a worker could meet them.
    unsorted: BTreeSet<Demand>,
    /// How many tenants have tasks to give that are not parked.
    waiting: u64,
    /// Tenants without active jobs that have had more than others; they come back as they went.
    owing: BTreeSet<(u128, Arc<str>)>,
    /// What the tenant that was last served had had: where newcomers begin, so that nobody saves
    /// up a claim while having nothing to run.
    level: u128,
}

/// Tenants by what their tasks need, and then by what they have had.
type Waiting = BTreeMap<Demand, BTreeSet<(u128, Arc<str>)>>;

/// Jobs with tasks to give, in the order of their ranks, by what their tasks need.
type Ready = BTreeMap<Demand, BTreeSet<(Rank, JobId)>>;

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
    ready: Ready,
    /// The same of demands that are parked.
    parked: Ready,
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
        if ready && tenant.ready.is_empty() && tenant.parked.is_empty() {
            tenant.pass = tenant.pass.max(self.level);
        }
        let is_parked = self.parked.contains_key(&demand);
        let of_tenant = if is_parked { &mut tenant.parked } else { &mut tenant.ready };
        let jobs = of_tenant.entry(demand).or_default();
        let before = jobs.len();
        if ready {
            jobs.insert((rank, job));
        } else {
            jobs.remove(&(rank, job));
        }
        match (before, jobs.len()) {
            (0, 1) if is_parked => {
                self.parked.entry(demand).or_default().insert(Arc::clone(name));
            }
            (0, 1) => self.list(name, demand),
            (_, 0) => self.unlist(name, demand),
            _ => {}
        }
    }

    /// The first job of a tenant has tasks to give that need this.
    fn list(&mut self, name: &Arc<str>, demand: Demand) {
        let Some(tenant) = self.tenants.get(name) else { return };
        self.waiting += u64::from(tenant.ready.len() == 1);
        let waiting = self.demands.entry(demand).or_default();
        if waiting.is_empty() {
            self.unsorted.insert(demand);
        }
        waiting.insert((tenant.pass, Arc::clone(name)));
    }

    /// No job of a tenant has tasks to give that need this.
    fn unlist(&mut self, name: &Arc<str>, demand: Demand) {
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        if tenant.parked.remove(&demand).is_some() {
            if let Some(tenants) = self.parked.get_mut(&demand) {
                tenants.remove(name);
                if tenants.is_empty() {
                    self.parked.remove(&demand);
                }
            }
            return;
        }
        let was_listed = tenant.ready.remove(&demand).is_some();
        let Some(waiting) = self.demands.get_mut(&demand) else { return };
        if waiting.remove(&(tenant.pass, Arc::clone(name))) {
            self.waiting -= u64::from(was_listed && tenant.ready.is_empty());
        }
        if waiting.is_empty() {
            self.demands.remove(&demand);
            self.unsorted.remove(&demand);
        }
    }

    /// Parks demands that no worker can meet, whatever it has to do now: of those that are new, or
    /// of all if workers came or changed; then those that were parked and can be met wait again.
    pub(super) fn sort(&mut self, has_changed: bool, can_meet: impl Fn(Demand) -> bool) {
        let new = core::mem::take(&mut self.unsorted);
        if !has_changed {
            new.into_iter().filter(|demand| !can_meet(*demand)).for_each(|one| self.park(one));
            return;
        }
        let met: Vec<Demand> = self.parked.keys().copied().filter(|one| can_meet(*one)).collect();
        let unmet = self.demands.keys().copied().filter(|one| !can_meet(*one));
        unmet.collect::<Vec<_>>().into_iter().for_each(|demand| self.park(demand));
        met.into_iter().for_each(|demand| self.unpark(demand));
    }

    fn park(&mut self, demand: Demand) {
        let waiting = self.demands.remove(&demand).unwrap_or_default();
        let mut parked = BTreeSet::new();
        for (_, name) in waiting {
            let Some(tenant) = self.tenants.get_mut(&name) else { continue };
            if let Some(jobs) = tenant.ready.remove(&demand) {
                tenant.parked.insert(demand, jobs);
                self.waiting -= u64::from(tenant.ready.is_empty());
                parked.insert(name);
            }
        }
        if !parked.is_empty() {
            self.parked.insert(demand, parked);
        }
    }

    fn unpark(&mut self, demand: Demand) {
        for name in self.parked.remove(&demand).unwrap_or_default() {
            let Some(tenant) = self.tenants.get_mut(&name) else { continue };
            if let Some(jobs) = tenant.parked.remove(&demand) {
                self.waiting += u64::from(tenant.ready.is_empty());
                tenant.ready.insert(demand, jobs);
                self.demands.entry(demand).or_default().insert((tenant.pass, name));
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

    /// How many different things tasks that wait, and are not parked, need of a worker.
    pub(crate) fn demands(&self) -> usize {
        self.demands.len()
    }

    /// How many tenants have tasks to give that are not parked.
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

    /// What waiting tasks need that no worker could meet when that was last looked at, with whose they
    /// are and the jobs, the first to be given out first.
    pub(crate) fn unmet(
        &self,
    ) -> impl Iterator<Item = (Demand, &Arc<str>, &BTreeSet<(Rank, JobId)>)> {
        let parked = self.parked.iter();
        let all = parked.flat_map(|(demand, names)| names.iter().map(move |name| (demand, name)));
        all.filter_map(|(demand, name)| {
            Some((*demand, name, self.tenants.get(name)?.parked.get(demand)?))
        })
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
            parked: BTreeMap::new(),
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

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use alloc::format;

    use super::*;

    const fn demand(class: u32) -> Demand {
        Demand { class, memory: 1 }
    }

    /// A job of a tenant has tasks to give.
    fn ready(shares: &mut Shares, tenant: &str, class: u32, job: u64) -> Arc<str> {
        let name = shares.enter(tenant, demand(class));
        let rank = Rank(0);
        shares.set_ready(&name, (demand(class), rank, JobId(job)), true);
        name
    }

    #[test]
    fn what_no_worker_meets_is_not_looked_at_until_workers_change() {
        let mut shares = Shares::default();
        for class in 1..100 {
            ready(&mut shares, &format!("tenant-{class}"), class, class.into());
        }
        ready(&mut shares, "ann", 0, 1_000);
        let looked = Cell::new(0);
        let can_meet = |demand: Demand| {
            looked.set(looked.get() + 1);
            demand.class == 0
        };
        shares.sort(false, can_meet);
        looked.set(0);
        for _ in 0..10 {
            shares.sort(false, can_meet);
            assert_eq!(shares.next(can_meet, |_, _| true), Some(JobId(1_000)));
        }
        assert_eq!(looked.get(), 20, "one of each tenant, and one of ann's");
        assert_eq!((shares.waiting(), shares.demands()), (1, 1), "the others are in nobody's way");
        shares.sort(true, |_| true);
        assert_eq!((shares.waiting(), shares.demands()), (100, 100));
    }

    #[test]
    fn the_order_of_jobs_is_the_same_whether_demands_are_parked_or_not() {
        const CLASSES: u32 = 6;
        let (mut parks, mut walks) = (Shares::default(), Shares::default());
        let mut state = 9_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let (mut met, mut listed) = (0_u64, BTreeSet::new());
        for _ in 0..20_000 {
            let mut has_changed = false;
            let (tenant, class, job) = (draw(5), draw(CLASSES.into()) as u32, draw(4));
            let key = (tenant, class, job);
            let tenant = format!("tenant-{tenant}");
            let id = (demand(class), Rank(0), JobId(job + 10 * u64::from(class)));
            match draw(4) {
                0 => {
                    met = draw(1 << CLASSES);
                    has_changed = true;
                }
                1 => {
                    for shares in [&mut parks, &mut walks] {
                        let name = shares.enter(&tenant, demand(class));
                        shares.charge(&name, 1, 1_000);
                        shares.leave(&name, demand(class));
                    }
                }
                _ if listed.remove(&key) => {
                    for shares in [&mut parks, &mut walks] {
                        let name: Arc<str> = Arc::from(tenant.as_str());
                        shares.set_ready(&name, id, false);
                        shares.leave(&name, demand(class));
                    }
                }
                _ => {
                    listed.insert(key);
                    for shares in [&mut parks, &mut walks] {
                        let name = shares.enter(&tenant, demand(class));
                        shares.set_ready(&name, id, true);
                    }
                }
            }
            let can_meet = |demand: Demand| met >> demand.class & 1 == 1;
            parks.sort(has_changed, can_meet);
            let all = |_: Demand, _: &str| true;
            assert_eq!(parks.next(can_meet, all), walks.next(can_meet, all));
            let tenants = parks.tenants.values();
            let waiting = tenants.filter(|tenant| !tenant.ready.is_empty()).count();
            assert_eq!(parks.waiting(), waiting as u64);
        }
    }
}
