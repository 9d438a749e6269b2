//! Stored modules.

use serde::Serialize;
use wasmgrid_proto::ModuleStatus;

use crate::kind;

/// A module that a grid has.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StoredModuleView {
    /// Its BLAKE3, 64 hexadecimal digits.
    pub digest: String,
    /// Its size.
    pub size_bytes: u64,
    /// What kind of task it is: `task`, `command` or `preview1`.
    pub kind: &'static str,
    /// When it came first; `null` if that is not known.
    pub stored_us: Option<u64>,
    /// Tenants that have it, by name: a few of them.
    pub tenants: Vec<String>,
    /// How many tenants have it.
    pub tenant_count: u64,
    /// How many jobs name it, also ended ones that are not deleted yet.
    pub jobs: u64,
    /// How many functions run it.
    pub functions: u64,
}

impl From<&ModuleStatus> for StoredModuleView {
    fn from(status: &ModuleStatus) -> Self {
        Self {
            digest: status.digest.to_string(),
            size_bytes: status.size.0,
            kind: kind(status.kind),
            stored_us: status.stored.map(|date| date.0),
            tenants: status.tenants.clone(),
            tenant_count: status.tenant_count,
            jobs: status.jobs,
            functions: status.functions,
        }
    }
}
