//! One key as the store has it, and who made it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wasmgrid_proto::{
    Caller, Digest, KeyId, KeyKind, KeyStatus, Micros, Secret, text::Name, wire::Role,
};

use crate::members::MemberKey;

/// A key as the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// Whose jobs it sees and submits.
    pub(super) tenant: Name,
    /// A client's or an operator's.
    pub(super) role: Role,
    pub(super) name: Name,
    pub(super) secret_hash: Digest,
    /// On which date.
    pub(super) created: Micros,
    /// The date from which on it is not good, for which a clock that was set forward passes too.
    pub(super) expires: Option<Micros>,
    /// The same by the grid's own time: a clock that was set back makes no key good again.
    pub(super) until: Option<Micros>,
    pub(super) kind: KeyKind,
    pub(super) made_by: Maker,
    /// It was taken back.
    pub(super) revoked: bool,
}

/// Who made a key: a member, or the holder of another key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Maker {
    pub(super) role: Role,
    pub(super) name: Name,
    pub(super) tenant: Name,
    /// The role, name and tenant are a key's or a session's.
    pub(super) by_key: bool,
}

impl Key {
    pub(super) fn has(&self, secret: Secret) -> bool {
        self.secret_hash.equals_in_constant_time(&secret.digest())
    }

    /// Whether it is good at this time and date.
    pub(super) fn is_good(&self, now: Micros, date: Micros) -> bool {
        let is_over = |end: Option<Micros>, at: Micros| end.is_some_and(|end| end <= at);
        !self.revoked && !is_over(self.until, now) && !is_over(self.expires, date)
    }

    /// Whether a caller may know of it and take it back.
    pub(super) fn is_seen_by(&self, by: &Caller) -> bool {
        by.role == Role::Operator || (self.role == Role::Client && self.tenant == by.tenant)
    }

    pub(super) fn status(&self, id: KeyId, last_used_day: Option<u64>) -> KeyStatus {
        let Self { tenant, role, name, created, expires, kind, revoked, .. } = self.clone();
        KeyStatus { id, tenant, role, name, created, expires, last_used_day, kind, revoked }
    }
}

impl Maker {
    pub(super) fn of(by: &Caller) -> Self {
        let Caller { role, name, tenant, gateway, .. } = by.clone();
        Self { role, name, tenant, by_key: gateway.is_some() }
    }

    /// Whether this is a member, or one of its sessions, which have its name.
    pub(super) fn is(&self, (role, name): &MemberKey, tenant: &str) -> bool {
        let is_named = self.role == *role && *self.name == **name;
        is_named && (!self.by_key || *self.tenant == *tenant)
    }

    /// Whether this is the holder of a key. Sessions of a member are not told apart from each other, so
    /// that what was made in one stays when another one ends.
    fn has(&self, key: &Key) -> bool {
        let Self { role, name, tenant, by_key } = self;
        *by_key
            && key.kind == KeyKind::Key
            && (role, name, tenant) == (&key.role, &key.name, &key.tenant)
    }
}

/// Keys that end, with those that were made with them, and so on, as far as they have not ended yet.
pub(super) fn with_their_own(
    all: &BTreeMap<KeyId, Key>,
    first: BTreeSet<KeyId>,
) -> BTreeSet<KeyId> {
    let (mut ended, mut next) = (first.clone(), first);
    while !next.is_empty() {
        let makers: Vec<&Key> = next.iter().filter_map(|id| all.get(id)).collect();
        let is_theirs = |key: &Key| makers.iter().any(|maker| key.made_by.has(maker));
        let made = all.iter().filter(|(id, key)| !ended.contains(id) && is_theirs(key));
        next = made.map(|(id, _)| *id).collect();
        ended.extend(&next);
    }
    ended.retain(|id| all.get(id).is_some_and(|key| !key.revoked));
    ended
}
