//! Who has joined the grid: by which names, as which tenants, and who was taken away. All of it is
//! in the store, and here for whoever looks at a link; only the enroller changes it.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use wasmgrid_net::{Identity, Peer};
use wasmgrid_proto::{Digest, Micros, Reason, wire::Role};
use wasmgrid_store::{Reader, StoreError};

use crate::error::ServerError;

/// What stands before the role and the name of a member.
const MEMBER_PREFIX: &str = "member/";

/// A member as the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Of its signing request: a request that is repeated gets the same name. `None` where it has
    /// no token to thank.
    pub request: Option<Digest>,
    /// The keys with which its name is good, where somebody had the name before and was taken away;
    /// any where there is none.
    pub only_keys: Vec<Digest>,
    /// Who it is as an owner of jobs, where that is not its name.
    pub tenant: Option<String>,
    /// How its machine called itself.
    pub machine: String,
    /// Which date it was.
    pub joined_at: Micros,
    /// On which date it was taken away; its name is good with no key since.
    pub removed_at: Option<Micros>,
}

impl Member {
    /// One that did not join with a token, on the date on which it was first seen.
    #[must_use]
    pub fn seen_at(date: Micros) -> Self {
        let (request, only_keys, tenant, machine) = (None, Vec::new(), None, String::new());
        Self { request, only_keys, tenant, machine, joined_at: date, removed_at: None }
    }
}

impl Member {
    /// Whether its name is good with this key.
    pub(crate) fn has_key(&self, key: &Digest) -> bool {
        let is_one = self.only_keys.is_empty() || self.only_keys.contains(key);
        self.removed_at.is_none() && is_one
    }

    /// Its tenant, as long as it was not taken away.
    pub(crate) fn kept_tenant(self) -> Option<String> {
        self.tenant.filter(|_| self.removed_at.is_none())
    }
}

/// A role and a name: two members are never alike in both.
pub type MemberKey = (Role, String);

/// All members; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Members(Arc<Mutex<BTreeMap<MemberKey, Member>>>);

impl Members {
    /// Those that the store has.
    ///
    /// # Errors
    /// [`ServerError`], where it cannot be read.
    pub(crate) fn load(reader: &mut dyn Reader) -> Result<Self, ServerError> {
        let load = |error: StoreError| ServerError::Load(Arc::new(error));
        let mut all = BTreeMap::new();
        for (key, bytes) in reader.metas(MEMBER_PREFIX).map_err(load)? {
            let name = key.strip_prefix(MEMBER_PREFIX).and_then(|rest| rest.split_once('/'));
            let name = name.and_then(|(role, name)| Some((role.parse().ok()?, name.to_owned())));
            let member = postcard::from_bytes(&bytes)
                .map_err(|reason| ServerError::Meta { key: key.clone(), reason })?;
            // Nobody else writes such keys.
            all.extend(name.map(|name| (name, member)));
        }
        Ok(Self(Arc::new(Mutex::new(all))))
    }

    /// Under which key the store has a member.
    pub(crate) fn store_key((role, name): &MemberKey) -> String {
        format!("{MEMBER_PREFIX}{role}/{name}")
    }

    /// Enters what the store has now.
    pub fn set(&self, key: MemberKey, member: Member) {
        self.lock().insert(key, member);
    }

    pub(crate) fn get(&self, key: &MemberKey) -> Option<Member> {
        self.lock().get(key).cloned()
    }

    /// True where an operator took the member away, and nobody has its name again.
    pub(crate) fn has_removed(&self, key: &MemberKey) -> bool {
        self.lock().get(key).is_some_and(|member| member.removed_at.is_some())
    }

    /// Why this peer may not be linked; `None` where it may.
    pub(crate) fn turns_away(&self, peer: &Peer) -> Option<Reason> {
        let key = member_key(&peer.identity);
        // Inside this process there are no certificates that somebody else could have.
        let shown = peer.key?;
        let member = self.get(&key)?;
        let is_good = member.has_key(&shown);
        let (role, name) = key;
        (!is_good).then(|| Reason::Removed { role, name: name.into() })
    }

    /// The name of a member that is there, whose last certificate was signed for this request: by that
    /// its key is known whichever authority there was then.
    pub(crate) fn with_request(&self, role: Role, request: Digest) -> Option<String> {
        let all = self.lock();
        let found = all.iter().find(|((of, _), member)| {
            *of == role && member.request == Some(request) && member.removed_at.is_none()
        });
        found.map(|((_, name), _)| name.clone())
    }

    /// Who a peer is as an owner of jobs.
    pub(crate) fn tenant(&self, identity: &Identity) -> String {
        let (role, name) = member_key(identity);
        let own = own_tenant(role, &name);
        self.get(&(role, name)).and_then(|member| member.tenant).unwrap_or(own)
    }

    /// Whether somebody is or was this tenant under another name: whoever says the name of its own
    /// accord is somebody else.
    pub(crate) fn has_tenant(&self, tenant: &str) -> bool {
        self.lock().values().any(|member| member.tenant.as_deref() == Some(tenant))
    }

    /// Those behind `after` that are there, by role and name; workers are not told of here.
    pub(crate) fn list(&self, after: Option<&MemberKey>) -> Vec<(MemberKey, Member)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.lock();
        let some = all.range((from, Bound::Unbounded));
        let some = some.filter(|((role, _), member)| {
            !matches!(role, Role::Worker | Role::Scheduler) && member.removed_at.is_none()
        });
        some.map(|(key, member)| (key.clone(), member.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MemberKey, Member>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By what a member is known.
pub(crate) fn member_key(identity: &Identity) -> MemberKey {
    (identity.role(), identity.name().to_owned())
}

/// Who a member is as an owner of jobs, unless its token says otherwise. Names are unique within a
/// role alone, and cannot have a slash: so an operator is never taken for a client of the same name.
pub(crate) fn own_tenant(role: Role, name: &str) -> String {
    match role {
        Role::Client => name.to_owned(),
        role => format!("{role}/{name}"),
    }
}
