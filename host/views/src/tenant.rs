//! What tenants have of a grid, what they may have, and what they have used.

use serde::Serialize;
use wasmgrid_proto::{EndedTasks, TenantStatus, UsageTotal, Use};

use crate::Wide;

/// A tenant.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TenantView<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it uses of each resource that has a quota.
    pub uses: Vec<UseView>,
    /// What its tasks have used since its first job; `null` if the scheduler is too old to count it.
    pub usage: Option<UsageView>,
}

/// What a tenant uses of one resource.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UseView {
    /// The resource's name, as in `wasmgrid tenant set`.
    pub resource: &'static str,
    /// How much of it the tenant uses.
    pub used: Wide,
    /// The quota; `null` if there is none.
    pub allowed: Option<Wide>,
    /// True if an operator set the quota for this tenant.
    pub own: bool,
}

/// What a tenant's tasks have used. It only grows, and has deleted jobs too.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UsageView {
    /// Its tasks that have ended, by how they did.
    pub tasks: EndedView,
    /// The fuel of their results.
    pub fuel: Wide,
    /// Their wall time on workers.
    pub wall_us: Wide,
    /// Bytes of the inputs that it appended.
    pub input_bytes: u64,
    /// Bytes of their outputs, records and logs.
    pub result_bytes: u64,
}

/// Tasks that have ended.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EndedView {
    /// They returned their output.
    pub ok: u64,
    /// They failed for reasons of their own.
    pub failed: u64,
    /// They used up their attempts, because their hosts or workers failed.
    pub lost: u64,
    /// Their job was cancelled.
    pub cancelled: u64,
    /// Their job's deadline passed.
    pub expired: u64,
    /// Their job had failed too often.
    pub skipped: u64,
}

impl<'a> TenantView<'a> {
    /// A tenant, and what its tasks have used if that is known.
    #[must_use]
    pub fn new(tenant: &'a TenantStatus, usage: Option<UsageTotal>) -> Self {
        let uses = tenant.uses.iter().map(UseView::from).collect();
        Self { name: &tenant.name, uses, usage: usage.map(UsageView::from) }
    }
}

impl From<&Use> for UseView {
    fn from(one: &Use) -> Self {
        let Use { resource, used, allowed, own } = *one;
        Self { resource: resource.name(), used: Wide(used), allowed: allowed.map(Wide), own }
    }
}

impl From<UsageTotal> for UsageView {
    fn from(usage: UsageTotal) -> Self {
        let UsageTotal { ended, cost, input_bytes } = usage;
        Self {
            tasks: ended.into(),
            fuel: Wide(cost.fuel),
            wall_us: Wide(cost.wall_us),
            input_bytes,
            result_bytes: cost.bytes,
        }
    }
}

impl From<EndedTasks> for EndedView {
    fn from(ended: EndedTasks) -> Self {
        let EndedTasks { ok, failed, lost, cancelled, expired, skipped } = ended;
        Self { ok, failed, lost, cancelled, expired, skipped }
    }
}
