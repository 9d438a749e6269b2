//! Keys, by which people and programs without a certificate ask by way of a gateway, and the codes with
//! which people log in. Of secrets hashes alone are kept. Keys are in the store, and all of them here:
//! a wrong key costs no read. A code is good for two minutes and is only here.

mod key;
mod logins;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use wasmgrid_net::Identity;
use wasmgrid_proto::{
    Act, AuditAction, Caller, Digest, KeyId, KeyKind, KeyStatus, Micros, Millis, Reason, Secret,
    reason::KeyFault,
    text::{Detail, Name},
    wire::{ApiError, Reply, Role},
};
use wasmgrid_store::{Entry, Reader, StoreError};

use crate::{
    clock,
    driver::{KeyAsk, fitting, key_bytes},
    enroll::{Enroller, meta, random},
    error::ServerError,
    members::{MemberKey, Members},
};
use key::{Key, Maker, with_their_own};
use logins::Logins;

/// What stands before a key's id in the store.
const KEY_PREFIX: &str = "key/";

/// What stands before the id of a key that was used; behind it is the day. It is apart from the key, so
/// that a use writes nothing else anew.
const USED_PREFIX: &str = "key-used/";

/// How long a session lasts: a working day, so that nobody logs in twice in one.
const SESSION_LIFE: Millis = Millis(12 * 60 * 60 * 1_000);

/// What may be kept of one kind of key: keys take about 300 bytes each.
struct Bounds {
    of_tenant: usize,
    in_all: usize,
}

/// As many keys as a tenant has programs, and some; tenants cannot take each other's.
const KEYS: Bounds = Bounds { of_tenant: 100, in_all: 10_000 };

/// As many sessions as a tenant has browsers. The oldest ends for a new one.
const SESSIONS: Bounds = Bounds { of_tenant: 100, in_all: 10_000 };

/// All keys and codes; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Arc<Mutex<Known>>);

/// What is known of keys.
#[derive(Debug, Default)]
struct Known {
    keys: BTreeMap<KeyId, Key>,
    /// On which day each was used last.
    used: BTreeMap<KeyId, u64>,
    logins: Logins,
}

impl Keys {
    /// Those that the store has.
    ///
    /// # Errors
    /// [`ServerError`], if it cannot be read.
    pub(crate) fn load(reader: &mut dyn Reader) -> Result<Self, ServerError> {
        let load = |error: StoreError| ServerError::Load(Arc::new(error));
        let mut known = Known::default();
        for (key, bytes) in reader.metas(KEY_PREFIX).map_err(load)? {
            let value = postcard::from_bytes(&bytes);
            let value = value.map_err(|reason| ServerError::Meta { key: key.clone(), reason })?;
            // Nobody else writes such keys.
            let Some(Ok(id)) = key.strip_prefix(KEY_PREFIX).map(str::parse) else { continue };
            known.keys.insert(id, value);
        }
        for (key, bytes) in reader.metas(USED_PREFIX).map_err(load)? {
            let day = postcard::from_bytes(&bytes);
            let day = day.map_err(|reason| ServerError::Meta { key: key.clone(), reason })?;
            let Some(Ok(id)) = key.strip_prefix(USED_PREFIX).map(str::parse) else { continue };
            known.used.insert(id, day);
        }
        Ok(Self(Arc::new(Mutex::new(known))))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Which keys go so that one more of this kind has room.
    ///
    /// # Errors
    /// [`ApiError`], if none can go.
    fn room(&self, kind: KeyKind, tenant: &Name, now: Micros) -> Result<Vec<KeyId>, ApiError> {
        let bounds = match kind {
            KeyKind::Key => KEYS,
            KeyKind::Session => SESSIONS,
        };
        let is_over = |key: &Key| key.until.is_some_and(|until| until <= now);
        let (mut gone, mut left) = (Vec::new(), Vec::new());
        for (id, key) in self.keys.iter().filter(|(_, key)| key.kind == kind) {
            if is_over(key) { gone.push(*id) } else { left.push((!key.revoked, key.created, *id)) }
        }
        // Those that were revoked first, then the oldest.
        left.sort_unstable();
        let of_tenant = |id: &KeyId| self.keys.get(id).is_some_and(|key| key.tenant == *tenant);
        let can_go = |is_good: bool| !is_good || kind == KeyKind::Session;
        let own = left.iter().filter(|(.., id)| of_tenant(id));
        if own.clone().count() >= bounds.of_tenant {
            match own.clone().next() {
                Some((is_good, _, id)) if can_go(*is_good) => gone.push(*id),
                _ => {
                    let allowed = bounds.of_tenant as u64;
                    return Err(Reason::TooManyKeys { tenant: tenant.clone(), allowed }.into());
                }
            }
        } else if left.len() >= bounds.in_all {
            match left.first() {
                Some((is_good, _, id)) if can_go(*is_good) => gone.push(*id),
                _ => {
                    let allowed = bounds.in_all as u64;
                    return Err(Reason::TooManyKeysInAll { allowed }.into());
                }
            }
        }
        Ok(gone)
    }

    fn status(&self, id: KeyId, key: &Key) -> KeyStatus {
        key.status(id, self.used.get(&id).copied())
    }
}

impl Enroller {
    /// Does what was asked of keys; who may ask it was checked.
    ///
    /// # Errors
    /// [`ApiError`], if it cannot be done, and if a key or a code is not good.
    pub(crate) async fn key(&self, by: &Caller, asked: KeyAsk) -> Result<Reply, ApiError> {
        match asked {
            KeyAsk::Create { tenant, role, name, ttl } => {
                self.create_key(by, (tenant, role), name, ttl).await
            }
            KeyAsk::List { after } => Ok(self.list_keys(by, after)),
            KeyAsk::Revoke { key } => self.revoke_key(by, key).await.map(|()| Reply::Done),
            KeyAsk::Check { key, secret } => self.check_key(key, secret).map(Reply::KeyChecked),
            KeyAsk::CreateLogin => self.create_login(by),
            KeyAsk::Login { code } => self.login(by, code).await,
        }
    }

    async fn create_key(
        &self,
        by: &Caller,
        (tenant, role): (Name, Role),
        name: Option<Name>,
        ttl: Option<Millis>,
    ) -> Result<Reply, ApiError> {
        self.check_request((&tenant, role), name.as_ref(), ttl)?;
        let id = self.new_id()?;
        let name = name.unwrap_or_else(|| Name::of(&id));
        let act = Act::new_key(&tenant, role, None, ttl).of_key(id, &name);
        let (kind, made_by) = (KeyKind::Key, Maker::of(by));
        let _turn = self.turn.lock().await;
        let audit = self.audit(by, act)?;
        let make = |secret_hash| {
            let (now, date) = (self.clock.now(), clock::date());
            let (expires, until) = (ttl.map(|ttl| date.after(ttl)), ttl.map(|ttl| now.after(ttl)));
            let (created, revoked) = (date, false);
            Key { tenant, role, name, secret_hash, created, expires, until, kind, made_by, revoked }
        };
        self.keep_key(id, make, audit).await
    }

    /// Refuses a request for a key that makes no sense.
    fn check_request(
        &self,
        (tenant, role): (&Name, Role),
        name: Option<&Name>,
        ttl: Option<Millis>,
    ) -> Result<(), ApiError> {
        let invalid = |fault| Err(Reason::KeyRequest { fault }.into());
        if !matches!(role, Role::Client | Role::Operator) {
            return invalid(KeyFault::Role);
        }
        if ttl == Some(Millis(0)) {
            return invalid(KeyFault::NoTime);
        }
        // An operator is a tenant of its own, whose name has a slash.
        let operator = format!("{}/", Role::Operator);
        let tenant = tenant.strip_prefix(operator.as_str()).unwrap_or(tenant);
        for name in [Some(tenant), name.map(|name| &**name)].into_iter().flatten() {
            Identity::new(&self.grid, role, name)
                .map_err(|error| Reason::BadName { reason: Detail::of(&error) })?;
        }
        Ok(())
    }

    /// Keeps a key, durably, with what the audit log says of it. The turn is held meanwhile.
    async fn keep_key(
        &self,
        id: KeyId,
        make: impl FnOnce(Digest) -> Key,
        audit: Entry,
    ) -> Result<Reply, ApiError> {
        let secret = Secret(random()?);
        let key = make(secret.digest());
        let gone = self.keys.lock().room(key.kind, &key.tenant, self.clock.now())?;
        let mut entries = vec![meta(key_entry(id), &key)?, audit];
        for id in &gone {
            let names = [key_entry(*id), used_entry(*id)];
            entries.extend(names.map(|key| Entry::Meta { key, value: None }));
        }
        self.write(entries).await?;
        let mut known = self.keys.lock();
        for id in &gone {
            known.keys.remove(id);
            known.used.remove(id);
        }
        let status = known.status(id, &key);
        known.keys.insert(id, key);
        Ok(Reply::Key { status, secret })
    }

    fn new_id(&self) -> Result<KeyId, ApiError> {
        loop {
            let id = KeyId(u64::from_le_bytes(random()?));
            if !self.keys.lock().keys.contains_key(&id) {
                return Ok(id);
            }
        }
    }

    /// Of a client those of its tenant that are a client's, as many as fit one answer.
    fn list_keys(&self, by: &Caller, after: Option<KeyId>) -> Reply {
        let known = self.keys.lock();
        let behind = |id: KeyId| after.is_none_or(|after| id > after);
        let listed = |(id, key): &(&KeyId, &Key)| behind(**id) && key.is_seen_by(by);
        let left: Vec<_> = known.keys.iter().filter(listed).collect();
        let all = left.len() as u64;
        let keys = fitting(left.into_iter().map(|(id, key)| known.status(*id, key)), key_bytes);
        let more = all - keys.len() as u64;
        Reply::Keys { keys, more }
    }

    async fn revoke_key(&self, by: &Caller, id: KeyId) -> Result<(), ApiError> {
        let _turn = self.turn.lock().await;
        let (name, ended) = {
            let known = self.keys.lock();
            let found = known.keys.get(&id).filter(|key| key.is_seen_by(by));
            let Some(key) = found else { return Err(Reason::NoKey { id }.into()) };
            (key.name.clone(), with_their_own(&known.keys, BTreeSet::from([id])))
        };
        if ended.is_empty() {
            return Ok(());
        }
        let act = Act::on_key(AuditAction::RevokeKey, id).of_key(id, &name);
        let act = match ended.len() {
            1 => act,
            count => act.with(format!("keys={count}")),
        };
        let mut entries = vec![self.audit(by, act)?];
        entries.extend(self.revoked(&ended)?);
        self.write(entries).await?;
        self.end_keys(&ended);
        Ok(())
    }

    /// What ends the keys and sessions that a member made who is taken away: it has seen their secrets.
    /// Once that is durable, [`Self::end_keys`] is told of them.
    ///
    /// # Errors
    /// If a key cannot be encoded.
    pub(crate) fn keys_of_removed(
        &self,
        member: &MemberKey,
        tenant: &str,
    ) -> Result<(BTreeSet<KeyId>, Vec<Entry>), ApiError> {
        let ended = {
            let known = self.keys.lock();
            let made = known.keys.iter().filter(|(_, key)| key.made_by.is(member, tenant));
            let made = made.map(|(id, _)| *id).collect();
            with_their_own(&known.keys, made)
        };
        let entries = self.revoked(&ended)?;
        Ok((ended, entries))
    }

    /// No code of a member that was taken away is good any more.
    pub(crate) fn forget_logins(&self, member: &MemberKey) {
        self.keys.lock().logins.forget(member);
    }

    fn revoked(&self, ended: &BTreeSet<KeyId>) -> Result<Vec<Entry>, ApiError> {
        let known = self.keys.lock();
        let found = ended.iter().filter_map(|id| Some((*id, known.keys.get(id)?.clone())));
        found.map(|(id, key)| meta(key_entry(id), &Key { revoked: true, ..key })).collect()
    }

    /// These keys are revoked, durably.
    pub(crate) fn end_keys(&self, ended: &BTreeSet<KeyId>) {
        let mut known = self.keys.lock();
        for id in ended {
            if let Some(key) = known.keys.get_mut(id) {
                key.revoked = true;
            }
        }
    }

    fn check_key(&self, id: KeyId, secret: Secret) -> Result<KeyStatus, ApiError> {
        let date = clock::date();
        let day = KeyStatus::day_of(date);
        let (status, is_first) = {
            let mut known = self.keys.lock();
            let good = known
                .keys
                .get(&id)
                .filter(|key| key.has(secret) && key.is_good(self.clock.now(), date));
            let status = good.map(|key| key.status(id, Some(day))).ok_or(Reason::BadKey)?;
            let is_first = known.used.get(&id).is_none_or(|last| *last < day);
            if is_first {
                known.used.insert(id, day);
            }
            (status, is_first)
        };
        if is_first {
            // Nobody waits for it: a disk that is full keeps no key from being good.
            self.write_later(meta(used_entry(id), &day).into_iter().collect());
        }
        Ok(status)
    }

    fn create_login(&self, by: &Caller) -> Result<Reply, ApiError> {
        let code = Secret(random()?);
        let (now, date) = (self.clock.now(), clock::date());
        let expires = self.keys.lock().logins.add(code.digest(), by, (now, date));
        Ok(Reply::Login { code, expires })
    }

    /// Makes a session of who has asked for the code.
    async fn login(&self, by: &Caller, code: Secret) -> Result<Reply, ApiError> {
        let _turn = self.turn.lock().await;
        let (now, date) = (self.clock.now(), clock::date());
        let login = self.keys.lock().logins.take(&code.digest(), (now, date));
        let made_by = login.ok_or(Reason::BadLogin)?;
        let id = self.new_id()?;
        let Maker { role, name, tenant, .. } = made_by.clone();
        let (gateway, serial) = (Some(by.name.clone()), by.serial.clone());
        let who = Caller { role, name: name.clone(), tenant: tenant.clone(), serial, gateway };
        let act = Act::new_key(&tenant, role, None, Some(SESSION_LIFE)).of_key(id, &name);
        let parameters = format!("{} kind={}", act.parameters, KeyKind::Session);
        let audit = self.audit(&who, act.with(parameters))?;
        let make = |secret_hash| {
            let (expires, until) = (Some(date.after(SESSION_LIFE)), Some(now.after(SESSION_LIFE)));
            let (created, kind, revoked) = (date, KeyKind::Session, false);
            Key { tenant, role, name, secret_hash, created, expires, until, kind, made_by, revoked }
        };
        self.keep_key(id, make, audit).await
    }

    /// Who a member is as an owner of jobs, also after it was taken away.
    pub(crate) fn tenant_of(&self, (role, name): &MemberKey) -> Option<String> {
        let identity = Identity::new(&self.grid, *role, name).ok()?;
        Some(Members::tenant(&self.members, &identity))
    }
}

fn key_entry(id: KeyId) -> String {
    format!("{KEY_PREFIX}{id}")
}

fn used_entry(id: KeyId) -> String {
    format!("{USED_PREFIX}{id}")
}

#[cfg(test)]
mod tests;
