//! Words for people: what a reason advises who has a command line. What is wrong, and what was
//! expected, is the reason's own text, which names no command; here stands what to type.

mod net;
mod refusal;

use wasmgrid_client::ClientError;
use wasmgrid_net::{NetError, TokenError};
use wasmgrid_proto::{
    DropReason, Reason,
    reason::{KeyFault, TokenFault},
    wire::{ApiError, Role},
};
use wasmgrid_worker::GaveUp;

use crate::{exit, module::Unfit};

pub use refusal::access;
pub use wasmgrid_pages::remedy;

/// How a member comes back that an operator removed.
const RETURN: &str = "to return, join with a new token of `wasmgrid token create` (with `wasmgrid \
     join` for a worker or a gateway, `wasmgrid context add` for a context)";

/// A text, with what would help behind it.
pub fn advised(text: impl Into<String>, advice: Option<String>) -> String {
    let text = text.into();
    match advice {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

/// What a scheduler has answered, with what would help.
pub fn answer(error: &ApiError) -> String {
    advised(error.to_string(), advice(&error.reason))
}

/// What would help after an error, if one of its causes is known to have help.
pub fn help(error: &anyhow::Error) -> Option<String> {
    exit::find(error, &|cause| {
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return match error {
                ClientError::Api(error) => advice(&error.reason),
                ClientError::Removed(_) => Some(RETURN.into()),
                _ => None,
            };
        }
        if let Some(error) = cause.downcast_ref::<GaveUp>() {
            return match error {
                GaveUp::Refused(error) => advice(&error.reason),
                GaveUp::Removed(_) => Some(RETURN.into()),
                GaveUp::Unreachable(error) => net::advice(error),
                GaveUp::Misunderstood(_) => None,
            };
        }
        if let Some(error) = cause.downcast_ref::<TokenError>() {
            return net::token(error);
        }
        if let Some(unfit) = cause.downcast_ref::<Unfit>() {
            return refusal::advice(&unfit.refusal);
        }
        let answered = || cause.downcast_ref::<ApiError>().and_then(|error| advice(&error.reason));
        cause.downcast_ref::<NetError>().and_then(net::advice).or_else(answered)
    })
}

/// What helps who has this answer, and a command line; nothing where the reason says all there is.
pub fn advice(reason: &Reason) -> Option<String> {
    Some(match reason {
        Reason::NoJob { .. } => "see `wasmgrid job list`".into(),
        Reason::NoTask { job, .. } => format!("`wasmgrid job show {job}` shows how many there are"),
        Reason::NoWorker { .. }
        | Reason::NoMember { role: Role::Worker, .. }
        | Reason::AlreadyRemoved { role: Role::Worker, .. } => {
            "`wasmgrid worker list --all` shows all workers".into()
        }
        Reason::WorkerAway { .. } => "see `wasmgrid worker list`".into(),
        Reason::NoMember { .. } | Reason::AlreadyRemoved { .. } => {
            "`wasmgrid client list` shows all clients".into()
        }
        Reason::OtherRole { other, .. } => format!("remove it with --role {other}"),
        Reason::NoToken { .. } => "see `wasmgrid token list`".into(),
        Reason::NoKey { .. } => "see `wasmgrid key list`".into(),
        Reason::NoFunction { .. } => "see `wasmgrid function list`".into(),
        Reason::TooManyKeys { .. } | Reason::TooManyKeysInAll { .. } => {
            "`wasmgrid key revoke ID` does that".into()
        }
        Reason::KeyRequest { fault: KeyFault::Role } => "make one with `wasmgrid token create`".into(),
        Reason::NoModule { .. } | Reason::NoBlob { .. } => {
            "submit the job again, which sends it first".into()
        }
        Reason::Shared { job, .. } => format!("`wasmgrid job append {job}` does that"),
        Reason::JobEnded { job, .. } => format!("`wasmgrid job results {job}` prints its results"),
        Reason::JobActive { job } => format!("wait for its end with `wasmgrid job wait {job}`"),
        Reason::NotAdmitted { refusal } => return refusal::advice(refusal),
        Reason::OverQuota { .. } => {
            "or ask an operator to raise the quota (`wasmgrid tenant set`)".into()
        }
        Reason::TenantName { .. } => "see `wasmgrid tenant list`".into(),
        Reason::TooManyQuotas { .. } => "`wasmgrid tenant set NAME RESOURCE=default` does that".into(),
        Reason::Removed { .. } => RETURN.into(),
        Reason::BadToken { .. } => "make a new one with `wasmgrid token create`".into(),
        Reason::TokenRequest { fault: TokenFault::Tenant } => {
            "give it with --role client and --tenant".into()
        }
        Reason::OwnRemoval { .. } => {
            "`wasmgrid context remove` deletes the identity on this machine".into()
        }
        Reason::BuiltInWorker { .. } => "`wasmgrid up --no-worker` does that".into(),
        Reason::OwnCertificateFormer => "each command does that when it begins".into(),
        Reason::MembersLockedOut { .. } => "or use --force".into(),
        Reason::IdentityInUse { .. } => {
            "join this machine with its own token (`wasmgrid token create` on an operator's machine, \
             then `wasmgrid join TOKEN` here), or stop the other process"
                .into()
        }
        Reason::LabelVouched { key } => format!("start it without `--label {key}=...`"),
        Reason::DiskReserved { .. } => {
            "the scheduler's --disk-reserve sets how much is reserved".into()
        }
        Reason::JobDeleted { .. } => "the scheduler's --keep-jobs sets how long jobs stay".into(),
        Reason::ResultsDeleted { why, .. } | Reason::ResultsSkipped { why, .. } => kept_by(*why),
        _ => return None,
    })
}

/// Which setting of the scheduler has results deleted for this.
fn kept_by(why: DropReason) -> String {
    let flag = match why {
        DropReason::Age => "--keep-results",
        DropReason::Bytes => "--keep-bytes",
        DropReason::JobBytes => "--keep-open-bytes",
    };
    format!("the scheduler's {flag} sets how much is kept")
}

#[cfg(test)]
mod tests;
