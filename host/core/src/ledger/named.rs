//! How many jobs and functions name each module: counted as they come and go, so that a list of modules
//! looks at no job.

use alloc::{collections::BTreeMap, string::String};

use wasmgrid_proto::Digest;

/// Jobs and functions, by module and tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named(BTreeMap<Digest, BTreeMap<String, ModuleUses>>);

/// What names a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModuleUses {
    /// Jobs, also ended ones that are not forgotten yet.
    pub jobs: u64,
    /// Functions.
    pub functions: u64,
}

impl ModuleUses {
    const NONE: Self = Self { jobs: 0, functions: 0 };

    fn plus(self, other: Self) -> Self {
        Self {
            jobs: self.jobs.saturating_add(other.jobs),
            functions: self.functions.saturating_add(other.functions),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            jobs: self.jobs.saturating_sub(other.jobs),
            functions: self.functions.saturating_sub(other.functions),
        }
    }
}

impl Named {
    pub(super) fn add(&mut self, tenant: &str, module: Digest, uses: ModuleUses) {
        let tenants = self.0.entry(module).or_default();
        if let Some(found) = tenants.get_mut(tenant) {
            *found = found.plus(uses);
        } else {
            tenants.insert(tenant.into(), uses);
        }
    }

    pub(super) fn remove(&mut self, tenant: &str, module: Digest, uses: ModuleUses) {
        let Some(tenants) = self.0.get_mut(&module) else { return };
        let Some(found) = tenants.get_mut(tenant) else { return };
        *found = found.minus(uses);
        if *found == ModuleUses::NONE {
            tenants.remove(tenant);
        }
        if tenants.is_empty() {
            self.0.remove(&module);
        }
    }

    /// What of a tenant names a module.
    pub(crate) fn of(&self, tenant: &str, module: Digest) -> ModuleUses {
        self.0.get(&module).and_then(|tenants| tenants.get(tenant)).copied().unwrap_or_default()
    }

    /// What names a module.
    pub(crate) fn of_all(&self, module: Digest) -> ModuleUses {
        let tenants = self.0.get(&module).into_iter().flat_map(BTreeMap::values);
        tenants.fold(ModuleUses::NONE, |sum, uses| sum.plus(*uses))
    }
}
