//! The list of stored modules: of a client's own tenant, of any tenant for an operator.

use wasmgrid_proto::{
    ByteCount, Digest, Extensions, ModuleStatus, Reason,
    wire::{ApiError, Reply, Role},
};

use super::{
    Driver, LinkId, Observer,
    clients::Client,
    modules::Listed,
    sizes::{LIST_BYTES, module_bytes},
};

/// Modules in one answer at most.
const MODULES_MAX: u32 = 1_000;

impl<O: Observer> Driver<O> {
    pub(super) fn modules_request(
        &mut self,
        link: LinkId,
        id: u64,
        (after, limit): (Option<Digest>, u32),
        tenant: Option<String>,
    ) {
        let Some(asker) = self.state.clients.get(&link) else { return };
        let is_operator = asker.caller.role == Role::Operator;
        let tenant = if is_operator { tenant } else { Some(asker.tenant.clone()) };
        let (limit, mut modules) = (limit.clamp(1, MODULES_MAX) as usize, Vec::new());
        let mut room = LIST_BYTES;
        let next = self.modules.list(after, tenant.as_deref(), |listed| {
            let status = self.module_status(&listed, tenant.as_deref());
            let left = room.checked_sub(module_bytes(&status)).filter(|_| modules.len() < limit);
            let Some(left) = left else { return false };
            room = left;
            modules.push(status);
            true
        });
        self.answer(link, id, Ok(Reply::Modules { modules, next }));
    }

    fn module_status(&self, listed: &Listed<'_>, tenant: Option<&str>) -> ModuleStatus {
        let info = &listed.module.info;
        let uses = self.grid.module_uses(info.digest, tenant);
        let (tenants, tenant_count) = match tenant {
            Some(tenant) => (vec![tenant.to_owned()], 1),
            None => {
                let named = listed.tenants().take(ModuleStatus::TENANTS_NAMED);
                (named.map(String::from).collect(), listed.tenants().count() as u64)
            }
        };
        ModuleStatus {
            digest: info.digest,
            size: ByteCount(info.size_bytes),
            kind: info.kind,
            stored: listed.module.stored,
            tenants,
            tenant_count,
            jobs: uses.jobs,
            functions: uses.functions,
            extensions: Extensions::NONE,
        }
    }
}

/// Why a client may not list modules: they are another tenant's.
pub(super) fn others_modules(asker: &Client, tenant: Option<&str>) -> Option<ApiError> {
    let wanted = tenant.filter(|tenant| *tenant != asker.tenant)?;
    (asker.caller.role != Role::Operator).then(|| {
        let (own, wanted) = (asker.tenant.as_str().into(), wanted.into());
        Reason::OthersModules { own, wanted }.into()
    })
}
