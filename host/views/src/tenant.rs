//! What tenants have of a grid, and what they may have.

use serde::Serialize;
use wasmgrid_proto::{TenantStatus, Use};

/// A tenant.
#[derive(Debug, Serialize)]
pub struct TenantView<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it uses of each resource that has a quota.
    pub uses: Vec<UseView>,
}

/// What a tenant uses of one resource.
#[derive(Debug, Serialize)]
pub struct UseView {
    /// The resource's name, as in `wasmgrid tenant set`.
    pub resource: &'static str,
    /// How much of it the tenant uses.
    pub used: u64,
    /// The quota; `null` if there is none.
    pub allowed: Option<u64>,
    /// True if an operator set the quota for this tenant.
    pub own: bool,
}

impl<'a> From<&'a TenantStatus> for TenantView<'a> {
    fn from(tenant: &'a TenantStatus) -> Self {
        Self { name: &tenant.name, uses: tenant.uses.iter().map(UseView::from).collect() }
    }
}

impl From<&Use> for UseView {
    fn from(one: &Use) -> Self {
        let Use { resource, used, allowed, own } = *one;
        Self { resource: resource.name(), used, allowed, own }
    }
}
