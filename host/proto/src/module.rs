//! The modules that a grid has, as they are listed.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{ByteCount, Digest, Extensions, Micros, ModuleKind, wire::bounded};

/// A stored module, and who uses it.
///
/// What a client is told is about its own tenant; an operator is told of all tenants, or of the one that it
/// asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: ByteCount,
    /// What kind of task it is.
    pub kind: ModuleKind,
    /// When it came first: the date. `None` if an earlier release stored it.
    pub stored: Option<Micros>,
    /// Tenants that have it, by name: the first [`TENANTS_NAMED`](Self::TENANTS_NAMED).
    #[serde(deserialize_with = "bounded")]
    pub tenants: Vec<String>,
    /// How many tenants have it.
    pub tenant_count: u64,
    /// How many jobs name it, also ended ones that are not deleted yet.
    pub jobs: u64,
    /// How many functions run it.
    pub functions: u64,
    /// What later releases add.
    pub extensions: Extensions,
}

impl ModuleStatus {
    /// Tenants of one module that are named at most.
    pub const TENANTS_NAMED: usize = 8;
}
