//! Who may ask what: clients for their own tenant, operators everything, gateways for themselves little
//! but whether keys are good.

use wasmgrid_proto::{
    Caller, JobId, Reason,
    reason::Action,
    text::Name,
    wire::{ApiError, AuthorityRequest, Request, Role},
};

use super::{
    Driver, LinkId, Observer, clients::Client, lists::others_jobs, stored::others_modules,
};

impl<O: Observer> Driver<O> {
    /// Why this asker may not ask this, or not now.
    pub(super) fn not_allowed(&self, link: LinkId, request: &Request) -> Option<ApiError> {
        let client = self.state.clients.get(&link)?;
        let caller = &client.caller;
        if caller.role == Role::Gateway {
            let is_own = is_of_gateways(request);
            return (!is_own).then(|| Reason::ActsForNobody { name: caller.name.clone() }.into());
        }
        let action = match request {
            Request::Drain { .. } => Action::DrainWorkers,
            Request::Cordon { .. } => Action::CordonWorkers,
            Request::CreateToken { .. } => Action::MakeTokens,
            Request::Tokens { .. } => Action::SeeTokens,
            Request::RevokeToken { .. } => Action::RevokeTokens,
            Request::Members { .. } => Action::SeeMembers,
            Request::RemoveMember { .. } => Action::RemoveMembers,
            Request::SetQuota { .. } => Action::SetQuotas,
            Request::Metrics => Action::SeeMetrics,
            Request::Audit { .. } => Action::ReadAudit,
            Request::Authority(AuthorityRequest::Replace | AuthorityRequest::Retire { .. }) => {
                Action::ReplaceAuthority
            }
            Request::JobPage { filter, .. } | Request::JobRows { filter, .. } => {
                return others_jobs(client, filter);
            }
            Request::Modules { tenant, .. } => return others_modules(client, tenant.as_deref()),
            Request::CreateKey { .. }
            | Request::CheckKey { .. }
            | Request::Login { .. }
            | Request::CreateLogin
            | Request::Renew(_) => return of_keys(caller, request),
            _ => return job_of(request).and_then(|job| self.not_yours(client, job)),
        };
        (caller.role != Role::Operator).then(|| not_by(caller, action))
    }

    /// Why a job is not this asker's: it is its tenant's and the operators'.
    fn not_yours(&self, asker: &Client, job: JobId) -> Option<ApiError> {
        let own = &asker.tenant;
        let others = self.grid.tenant(job).is_some_and(|owner| owner != own);
        (asker.caller.role != Role::Operator && others)
            .then(|| Reason::OthersJob { job, own: own.as_str().into() }.into())
    }
}

/// What a gateway may ask that acts for nobody.
const fn is_of_gateways(request: &Request) -> bool {
    matches!(
        request,
        Request::CheckKey { .. }
            | Request::Login { .. }
            | Request::Metrics
            | Request::Intake
            | Request::Renew(_)
            | Request::Authority(AuthorityRequest::Certificates { .. })
            | Request::Unknown { .. }
    )
}

/// Why a client or an operator may not ask this of keys, logins and its certificate.
fn of_keys(caller: &Caller, request: &Request) -> Option<ApiError> {
    let name = || caller.name.clone();
    let acts = caller.gateway.is_some();
    let reason = match request {
        Request::CheckKey { .. } | Request::Login { .. } => {
            Reason::GatewaysOnly { role: caller.role, name: name() }
        }
        // Sessions that a key makes would outlive it.
        Request::CreateLogin if acts => Reason::NoOwnLogin { name: name() },
        // The gateway's own certificate is no business of whom it acts for.
        Request::Renew(_) if acts => Reason::NoCertificate,
        Request::CreateKey { tenant, role, .. } if caller.role != Role::Operator => {
            return others_key(caller, tenant, *role);
        }
        _ => return None,
    };
    Some(reason.into())
}

/// Why a client may not make this key.
fn others_key(caller: &Caller, tenant: &Name, role: Role) -> Option<ApiError> {
    if *tenant != caller.tenant {
        let (own, wanted) = (caller.tenant.clone(), tenant.clone());
        return Some(Reason::OthersKey { own, wanted }.into());
    }
    (role == Role::Operator).then(|| not_by(caller, Action::MakeOperatorKeys))
}

/// The asker's role does not allow it.
fn not_by(caller: &Caller, action: Action) -> ApiError {
    Reason::NotAllowed { role: caller.role, name: caller.name.clone(), action }.into()
}

/// The job that a request reads or changes.
const fn job_of(request: &Request) -> Option<JobId> {
    match request {
        Request::AppendAt { job, .. }
        | Request::Skip { job, .. }
        | Request::Append { job, .. }
        | Request::Close { job }
        | Request::Cancel { job }
        | Request::Retry { job, .. }
        | Request::Job { job }
        | Request::Task { job, .. }
        | Request::Divergences { job }
        | Request::Attend { job }
        | Request::Explain { job }
        | Request::JobSummary { job }
        | Request::Inputs { job, .. }
        | Request::Watch { job, .. } => Some(*job),
        Request::HaveModule { .. }
        | Request::PutModule { .. }
        | Request::HaveBlob { .. }
        | Request::PutBlob { .. }
        | Request::Submit(_)
        | Request::JobPage { .. }
        | Request::WorkerPage { .. }
        | Request::Contests
        | Request::VouchedPage { .. }
        | Request::Tenants { .. }
        | Request::SetQuota { .. }
        | Request::Drain { .. }
        | Request::Cordon { .. }
        | Request::CreateToken { .. }
        | Request::Tokens { .. }
        | Request::RevokeToken { .. }
        | Request::Members { .. }
        | Request::RemoveMember { .. }
        | Request::Worker { .. }
        | Request::WorkerNames { .. }
        | Request::Renew(_)
        | Request::Authority(_)
        | Request::Intake
        | Request::Metrics
        | Request::Usage { .. }
        | Request::Audit { .. }
        | Request::CreateKey { .. }
        | Request::Keys { .. }
        | Request::RevokeKey { .. }
        | Request::CheckKey { .. }
        | Request::CreateLogin
        | Request::Login { .. }
        | Request::Overview
        | Request::JobRows { .. }
        | Request::WorkerRows { .. }
        | Request::DeployFunction { .. }
        | Request::Functions { .. }
        | Request::DeleteFunction { .. }
        | Request::Call { .. }
        | Request::Modules { .. }
        | Request::Unknown { .. } => None,
    }
}
