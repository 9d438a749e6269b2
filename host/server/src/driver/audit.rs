//! The driver's side of the audit log. The core says what is entered for what it decides; here is
//! what a request would have been that the driver or one of its services refuses, when entries are
//! dropped, and how they are read.

use std::sync::Arc;

use wasmgrid_core::Input;
use wasmgrid_proto::{
    Act, AuditAction, AuditRecord, Caller, Micros, Millis,
    text::Name,
    wire::{ApiError, AuthorityRequest, Request},
};
use wasmgrid_store::Entry;

use super::{Driver, Effect, LinkId, Observer, batch::Item, gate::Gated, planted::DriverBug};

/// Entries of the log at most; beyond it the oldest are dropped, however young they are. They take
/// some 30 MB, and at most ten times as much.
pub const ENTRIES_MAX: u64 = 100_000;

/// How often the log is looked through for entries that are too old.
const AGE_EVERY: Millis = Millis(60_000);

/// How soon after some were dropped and more are to be.
const AGE_AGAIN: Millis = Millis(1_000);

/// Which entries are not kept any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Those from before this, by the grid's own time.
    pub before: Micros,
    /// Those that are older than so many others.
    pub most: u64,
}

/// What a look through the log has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// The number below which entries are to be dropped, if there are any.
    pub drop_before: Option<u64>,
    /// True if more are to be dropped after those.
    pub more: bool,
}

/// Which entries of the log are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Those with higher numbers; 0 from the oldest on.
    pub after: u64,
    /// Those from this date on.
    pub since: Option<Micros>,
    /// Those of callers of this name.
    pub who: Option<String>,
}

impl AuditQuery {
    /// Whether an entry is asked for.
    pub(crate) fn wants(&self, record: &AuditRecord) -> bool {
        let is_theirs = self.who.as_ref().is_none_or(|who| *who == *record.by.name);
        is_theirs && self.since.is_none_or(|since| record.at >= since)
    }
}

impl<O: Observer> Driver<O> {
    /// Has an entry of the core committed with the records before it. Its date is by this machine's
    /// clock, as in entries that others write.
    pub(super) fn persist_audit(&mut self, record: AuditRecord) {
        let at = self.state.date;
        let item = Item::Audit(Box::new(AuditRecord { at, ..record }));
        if self.settings.breaks(DriverBug::AuditApart) {
            let mut entries = Vec::new();
            if item.add_entries(&mut entries, |_| None).is_ok() {
                self.effects.push(Effect::Keep(entries));
            }
            return;
        }
        self.persist(item);
    }

    /// A caller may not do what it asked for: enters that, if it would have been in the log.
    pub(super) fn forbid(&mut self, link: LinkId, id: u64, request: &Request, error: ApiError) {
        let by = self.state.clients.get(&link).map(|client| Arc::clone(&client.caller));
        match (by, self.act_of(request)) {
            (Some(by), Some(act)) => self.refuse_act(link, id, (by, act), error),
            _ => self.answer(link, id, Err(error)),
        }
    }

    /// Enters that something was refused, and answers once that is durable.
    pub(super) fn refuse_act(
        &mut self,
        link: LinkId,
        id: u64,
        (by, act): (Arc<Caller>, Act),
        error: ApiError,
    ) {
        let (act, reason) = (Box::new(act), Name::from(error.reason.name()));
        self.grid.handle(self.state.now, Input::Refused { by, act, reason });
        self.take_outputs();
        let request = self.pending(link, id, None, None).id;
        self.hold(Gated::Reply { request, reply: Box::new(Err(error)) });
    }

    /// What a request that somebody may not ask is in the log.
    fn act_of(&self, request: &Request) -> Option<Act> {
        let on_job = |action, job| Some(self.grid.act_on_job(action, job));
        match request {
            Request::Drain { name } => Some(Act::drain(name)),
            Request::Cordon { name, cordoned } => Some(Act::cordon(name, *cordoned)),
            Request::SetQuota { tenant, resource, allowed } => {
                Some(Act::quota(tenant, *resource, *allowed))
            }
            Request::RemoveMember { role, name } => Some(Act::removal(*role, name)),
            Request::CreateToken { token, gives } => Some(Act::new_token(token, gives)),
            Request::RevokeToken { token } => Some(Act::on_token(AuditAction::RevokeToken, *token)),
            Request::Authority(asked) => act_on_authority(asked),
            Request::Tokens { .. } => Some(list(AuditAction::ListTokens, "tokens")),
            Request::Members { .. } => Some(list(AuditAction::ListMembers, "members")),
            Request::Audit { .. } => Some(list(AuditAction::ReadAudit, "audit")),
            Request::Keys { .. } => Some(list(AuditAction::ListKeys, "keys")),
            Request::CreateKey { tenant, role, name, ttl } => {
                Some(Act::new_key(tenant, *role, name.as_deref(), *ttl))
            }
            Request::RevokeKey { id } => Some(Act::on_key(AuditAction::RevokeKey, *id)),
            Request::CheckKey { id, .. } => Some(Act::on_key(AuditAction::CheckKey, *id)),
            Request::Login { .. } => Some(list(AuditAction::CheckKey, "key")),
            Request::CreateLogin => Some(list(AuditAction::CreateLogin, "key")),
            Request::AppendAt { job, .. }
            | Request::Append { job, .. }
            | Request::Skip { job, .. } => on_job(AuditAction::AppendToJob, *job),
            Request::Close { job } => on_job(AuditAction::CloseJob, *job),
            Request::Cancel { job } => on_job(AuditAction::CancelJob, *job),
            Request::Retry { job, .. } => on_job(AuditAction::RetryJob, *job),
            _ => None,
        }
    }

    /// Begins to look for entries that are not kept any longer, if that is due.
    pub(super) fn age_audit(&mut self) {
        let now = self.state.now;
        match self.state.next_audit_age {
            None => self.state.next_audit_age = Some(now.after(AGE_EVERY)),
            Some(at) if at <= now => {
                self.state.next_audit_age = Some(now.after(AGE_EVERY));
                let kept_us = self.settings.audit_retention.0.saturating_mul(1_000);
                let before = Micros(now.0.saturating_sub(kept_us));
                self.effects.push(Effect::AgeAudit(Expiry { before, most: ENTRIES_MAX }));
            }
            Some(_) => {}
        }
    }

    /// Drops entries that are not kept any longer.
    pub(super) fn audit_aged(&mut self, Expired { drop_before, more }: Expired) {
        if let Some(before) = drop_before {
            self.effects.push(Effect::Keep(vec![Entry::DropAudits { before }]));
        }
        if more {
            self.state.next_audit_age = Some(self.state.now.after(AGE_AGAIN));
        }
    }
}

fn list(action: AuditAction, of: &str) -> Act {
    Act::new(action, (of, "", ""))
}

/// What is asked of the grid's authority, if that changes it.
pub(crate) fn act_on_authority(asked: &AuthorityRequest) -> Option<Act> {
    let object = ("authority", "", "");
    match asked {
        AuthorityRequest::Certificates { .. } => None,
        AuthorityRequest::Replace => Some(Act::new(AuditAction::ReplaceAuthority, object)),
        AuthorityRequest::Retire { force } => {
            Some(Act::new(AuditAction::RetireAuthority, object).with(format!("force={force}")))
        }
    }
}
