//! What tenants may have: whoever asks for more than that is refused, and the tasks of who has used
//! up more are held back, so that nobody fills what the others need as well.

use alloc::{collections::BTreeMap, collections::BTreeSet, string::String, vec::Vec};

use wasmgrid_proto::{
    Allowance, Fuel, JobId, Reason, Record, Resource, TenantStatus, Use, Wait, reason::Excess,
    wire::ApiError,
};

use super::{grid::Grid, stored::Most};
use crate::{io::RequestId, planted::Planted};

/// A day of the grid's own time.
const DAY_US: u64 = 24 * 60 * 60 * 1_000_000;

/// How many tenants an operator may set something for: each is in memory and in the journal.
const TENANTS_MAX: usize = 10_000;

/// The longest name of a tenant: a role, and what a certificate allows.
const TENANT_BYTES: usize = 128;

impl Grid {
    /// All tenants that have or had something, or for which something was set, and what they have.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantStatus> {
        let names: BTreeSet<&String> = self.ledger.quotas().keys().collect();
        let names = names.into_iter().chain(self.ledger.holdings().tenants());
        let names = names.chain(self.stored.tenants()).chain(self.ledger.usages().tenants());
        let names: BTreeSet<&String> = names.collect();
        names.into_iter().map(|name| self.tenant_status(name)).collect()
    }

    /// What a tenant has, and may have.
    #[must_use]
    pub fn tenant_status(&self, tenant: &str) -> TenantStatus {
        let set = self.ledger.quotas().get(tenant);
        let use_of = |resource| {
            let own = set.is_some_and(|set| set.contains_key(&resource));
            let (used, allowed) = (self.used(tenant, resource), self.allowed(tenant, resource));
            Use { resource, used, allowed, own }
        };
        TenantStatus { name: tenant.into(), uses: Resource::ALL.map(use_of).to_vec() }
    }

    /// Refuses what would bring a tenant over what it may have of the store. Inputs that were kept for
    /// its readers alone give way.
    ///
    /// # Errors
    /// [`Reason::OverQuota`].
    pub fn check_bytes(&mut self, tenant: &str, bytes: u64) -> Result<(), ApiError> {
        self.make_room(tenant, bytes);
        self.check_quota(tenant, &[(Resource::Bytes, bytes)])
    }

    /// Refuses what would bring a tenant over what it may have.
    pub(super) fn check_quota(
        &self,
        tenant: &str,
        more: &[(Resource, u64)],
    ) -> Result<(), ApiError> {
        for (resource, more) in more.iter().copied().filter(|(_, more)| *more > 0) {
            let Some(allowed) = self.allowed(tenant, resource) else { continue };
            let used = self.used(tenant, resource);
            if used.saturating_add(more) > allowed {
                let excess = Excess { resource, used, more, allowed };
                return Err(Reason::OverQuota { tenant: tenant.into(), excess }.into());
            }
        }
        Ok(())
    }

    /// Deletes inputs of a tenant that no task needs any more, if so many more bytes do not fit beside
    /// them and may without them.
    pub(super) fn make_room(&mut self, tenant: &str, more: u64) {
        let Some(allowed) = self.allowed(tenant, Resource::Bytes) else { return };
        let used = self.used(tenant, Resource::Bytes);
        let at_least = used.saturating_sub(self.stored.account(tenant).log_bytes);
        if used.saturating_add(more) > allowed && at_least.saturating_add(more) <= allowed {
            self.drop_all_spent(tenant);
        }
    }

    /// Deletes inputs that no task needs any more of tenants whose bytes are used up: their other
    /// tasks go on.
    pub(super) fn relieve_pressed(&mut self) {
        while let Some(tenant) = self.stored.next_pressed() {
            self.drop_all_spent(&tenant);
        }
    }

    /// What a tenant would have of its bytes with so many more of results, and may have; `None` if
    /// that is no more than what results under way may take beside the quota.
    pub(super) fn over_margin(&self, tenant: &str, more: u64) -> Option<(u64, u64)> {
        let allowed = self.allowed(tenant, Resource::Bytes)?;
        let used = self.used(tenant, Resource::Bytes).saturating_add(more);
        (used > allowed.saturating_add(self.config.bytes_margin)).then_some((used, allowed))
    }

    /// How much of something a tenant may have; `None` without end.
    fn allowed(&self, tenant: &str, resource: Resource) -> Option<u64> {
        let set = self.ledger.quotas().get(tenant).and_then(|set| set.get(&resource));
        match set {
            Some(Allowance::Most(most)) => Some(*most),
            Some(Allowance::Unbounded) => None,
            Some(Allowance::Default) | None => self.config.quotas.get(&resource).copied(),
        }
    }

    fn used(&self, tenant: &str, resource: Resource) -> u64 {
        let (holding, account) = (self.ledger.holdings().of(tenant), self.stored.account(tenant));
        let records = self.ledger.record_bytes(tenant);
        match resource {
            Resource::Bytes => account.log_bytes + account.module_bytes + records,
            Resource::Jobs => holding.jobs,
            Resource::OpenJobs => holding.open_jobs,
            Resource::RecordBytes => records,
            Resource::WaitingTasks => holding.tasks,
            Resource::RunningTasks => self.placement.shares().leased(tenant),
            Resource::FuelADay => self.noted_fuel(tenant).saturating_add(account.fuel),
        }
    }

    /// The fuel of this day that is in the ledger.
    fn noted_fuel(&self, tenant: &str) -> u64 {
        let noted = self.ledger.fuel(tenant).filter(|(day, _)| *day == self.day());
        noted.map_or(0, |(_, fuel)| fuel)
    }

    const fn day(&self) -> u64 {
        self.now.0 / DAY_US
    }

    /// An operator says how much of something a tenant may have.
    pub(super) fn set_quota(
        &mut self,
        request: RequestId,
        tenant: String,
        resource: Resource,
        allowed: Allowance,
    ) {
        let known = self.ledger.quotas().contains_key(&tenant);
        if tenant.is_empty() || tenant.len() > TENANT_BYTES {
            let (bytes, allowed) = (tenant.len() as u64, TENANT_BYTES as u64);
            return self.reply(request, Err(Reason::TenantName { bytes, allowed }.into()));
        }
        if !known && self.ledger.quotas().len() >= TENANTS_MAX {
            let allowed = TENANTS_MAX as u64;
            return self.reply(request, Err(Reason::TooManyQuotas { allowed }.into()));
        }
        if self.ledger.quota(&tenant, resource) != allowed {
            self.persist(Record::QuotaSet { tenant: tenant.clone(), resource, allowed });
            self.bound(&tenant);
        }
        self.reply(request, Ok(()));
    }

    /// Brings the bounds of a tenant's account up to date.
    pub(super) fn bound(&mut self, tenant: &str) {
        let most = |resource| self.allowed(tenant, resource).unwrap_or(u64::MAX);
        let records = self.ledger.record_bytes(tenant);
        let log_bytes = most(Resource::Bytes).saturating_sub(records);
        let fuel = most(Resource::FuelADay).saturating_sub(self.noted_fuel(tenant));
        self.stored.bound(tenant, Most { log_bytes, fuel });
        let bounds_running =
            |set: &BTreeMap<Resource, Allowance>| set.contains_key(&Resource::RunningTasks);
        self.bounds_running = self.config.quotas.contains_key(&Resource::RunningTasks)
            || self.ledger.quotas().values().any(bounds_running);
    }

    /// At a start, and at the end of a day: brings all bounds up to date.
    pub(super) fn bound_all(&mut self) {
        let known = self.ledger.holdings().tenants().chain(self.ledger.quotas().keys());
        let tenants: BTreeSet<String> = known.chain(self.stored.tenants()).cloned().collect();
        for tenant in tenants {
            self.bound(&tenant);
        }
    }

    /// Writes down what fuel was used, with the time: so much of it is counted anew after a crash.
    pub(super) fn note_fuel(&mut self) {
        let used = self.stored.tenants().filter(|name| self.stored.account(name).fuel > 0);
        let used: Vec<String> = used.cloned().collect();
        let day = self.day();
        for tenant in used {
            let fuel = self.noted_fuel(&tenant).saturating_add(self.stored.take_fuel(&tenant));
            self.write(Record::FuelUsed { tenant, day, fuel: Fuel(fuel) });
        }
        self.bound_all();
    }

    /// True where a tenant is given no more tasks for now.
    pub(super) fn holds_back(&self, tenant: &str) -> bool {
        if self.config.breaks(Planted::QuotaIgnored) {
            return false;
        }
        self.stored.holds_back(tenant) || (self.bounds_running && self.running_room(tenant) == 0)
    }

    /// How many more tasks of a tenant may be on workers.
    pub(super) fn running_room(&self, tenant: &str) -> u64 {
        if !self.bounds_running {
            return u64::MAX;
        }
        let allowed = self.allowed(tenant, Resource::RunningTasks).unwrap_or(u64::MAX);
        allowed.saturating_sub(self.placement.shares().leased(tenant))
    }

    /// Why a tenant is given no more tasks, whatever workers have room for.
    pub(super) fn held_by(&self, tenant: &str) -> Option<Wait> {
        if self.lacks_room() {
            return Some(Wait::DiskFull);
        }
        if !self.holds_back(tenant) {
            return None;
        }
        let resources = [Resource::Bytes, Resource::FuelADay, Resource::RunningTasks];
        resources.into_iter().find_map(|resource| {
            let allowed = self.allowed(tenant, resource)?;
            let used = self.used(tenant, resource);
            (used >= allowed).then_some(Wait::Quota { resource, used, allowed })
        })
    }

    /// More is kept of what a job's stopped tasks had logged.
    pub(super) fn keep_log(&mut self, job: JobId, bytes: u64) {
        if let Some(entry) = self.ledger.job(job) {
            self.stored.keep_log(entry.tenant(), job, bytes);
        }
    }

    /// What the store has of a job's logs.
    pub(super) fn measured(&mut self, job: JobId, inputs: Option<u64>, results: Option<u64>) {
        if let Some(entry) = self.ledger.job(job) {
            self.stored.measured(entry.tenant(), job, (inputs, results));
        }
    }
}
