//! Tokens by which machines join, and the certificates they get for them. A token's use is
//! counted durably before the certificate is given, so that no crash gives a use twice.

mod certificates;
mod keeper;
mod known;

use std::{collections::BTreeSet, fmt, sync::Mutex as SyncMutex};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, RwLock, mpsc, oneshot};
use wasmgrid_net::{Identity, JoinToken, Link, Recognized, key_of};
use wasmgrid_proto::{
    Act, AuditRecord, Caller, Digest, Reason, TokenGives, TokenState,
    reason::TokenProblem,
    text::Detail,
    wire::{ApiError, Denied, Enroll, Enrolled, FromJoiner, Renewed, Role, ToJoiner, TokenRequest},
};
use wasmgrid_store::{Entry, Reader, StoreError};

use crate::{
    admit::write,
    clock::{self, Clock},
    config::Enrollment,
    journal::Write,
    keys::Keys,
    members::{Member, MemberKey, Members, own_tenant},
    readers::Readers,
    tokens::{self, Token, token_key},
};
use known::only_keys;

const VOUCHED_PREFIX: &str = "vouched/";

/// Keys of labels that tokens vouch for: all are in one answer, and each is for good.
const KEYS_MAX: usize = 256;

/// Machines of one wanted name, told apart by a number behind it.
const NAMESAKES_MAX: u32 = 10_000;

/// What the enroller needs of the scheduler.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Which names do workers have?
    WorkerNames(oneshot::Sender<BTreeSet<String>>),
    /// A token vouches for labels of these keys; the enroller waits until the core knows.
    KeysVouched(Vec<String>, oneshot::Sender<()>),
    /// Workers of these names, or all, should renew their certificates soon.
    RenewSoon { names: Option<BTreeSet<String>> },
}

/// Makes tokens and takes them.
pub(crate) struct Enroller {
    enrollment: Option<Enrollment>,
    pub(crate) grid: String,
    pub(crate) members: Members,
    pub(crate) keys: Keys,
    pub(crate) readers: Readers,
    /// Weak: the journal ends when the driver has gone, whoever still holds a handle.
    writes: mpsc::WeakSender<Write>,
    notices: mpsc::Sender<Notice>,
    pub(crate) clock: Clock,
    /// One at a time: a token's uses and the names that are taken are read, then written.
    pub(crate) turn: Mutex<()>,
    /// Held by who signs, and alone by who replaces the authority: what is signed by the next one is
    /// trusted at the port by then.
    signing: RwLock<()>,
    shown: SyncMutex<Vec<keeper::Shown>>,
}

impl fmt::Debug for Enroller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enroller").field("grid", &self.grid).finish_non_exhaustive()
    }
}

impl Enroller {
    pub(crate) fn new(
        enrollment: Option<Enrollment>,
        grid: String,
        (members, keys): (Members, Keys),
        clock: Clock,
        readers: Readers,
        writes: mpsc::WeakSender<Write>,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        let (turn, signing, shown) = (Mutex::new(()), RwLock::new(()), SyncMutex::default());
        Self {
            enrollment,
            grid,
            members,
            keys,
            readers,
            writes,
            notices,
            clock,
            turn,
            signing,
            shown,
        }
    }

    /// Makes a token, as it is given to the machine that joins. The audit log says who did.
    ///
    /// # Errors
    /// [`ApiError`], where there is no enrollment here, the request makes no sense, or the store
    /// does not take it.
    pub(crate) async fn create(
        &self,
        (by, act): (&Caller, Act),
        request: TokenRequest,
        mut gives: TokenGives,
    ) -> Result<String, ApiError> {
        let Some(enrollment) = &self.enrollment else {
            return Err(Reason::NoAuthority.into());
        };
        tokens::check(&self.grid, request, &gives)?;
        // Whoever has a name from here is one user, however many devices join under it.
        let named = gives.name.as_deref().filter(|_| owns_jobs(request.role));
        let tenant = named.map(|name| own_tenant(request.role, name));
        gives.tenant = gives.tenant.or(tenant);
        let _turn = self.turn.lock().await;
        let now = self.clock.now();
        let mut entries = self.expired(now).await?;
        let keys: Vec<String> = gives.labels.iter().map(|(key, _)| key.clone()).collect();
        self.check_keys(&keys).await?;
        let (token, secret) = (random()?, random()?);
        let number = u64::from_le_bytes(token);
        let kept = Token {
            role: request.role,
            secret_hash: Digest::of(&secret).0,
            expires: clock::date().after(request.ttl),
            until: now.after(request.ttl),
            uses_left: request.uses,
            gives,
            revoked: false,
        };
        entries.push(meta(token_key(number), &kept)?);
        // Before anybody can have the token, and for as long as the store.
        entries.extend(keys.iter().map(|key| vouched_entry(key)));
        entries.push(self.audit(by, act.of_token(number))?);
        self.write(entries).await?;
        if !keys.is_empty() {
            self.vouch(keys).await?;
        }
        let join = JoinToken {
            grid: self.grid.clone(),
            addresses: enrollment.addresses.clone(),
            ca_hash: enrollment.authority.ca_hash(),
            token: number,
            secret,
            role: request.role,
        };
        Ok(join.to_string())
    }

    /// Answers one joiner: with a certificate, or why it gets none.
    pub(crate) async fn serve(&self, mut link: Link<ToJoiner, FromJoiner>) {
        let Ok(Some(envelope)) = link.receiver.recv().await else { return };
        let FromJoiner::Enroll(enroll) = envelope.message;
        let answer = match self.enroll(&enroll).await {
            Ok(enrolled) => {
                let (role, name) = (enrolled.role, &enrolled.name);
                tracing::info!(%role, name, peer = link.peer.address, "machine joins the grid");
                ToJoiner::Enrolled(enrolled)
            }
            Err(error) => {
                tracing::warn!(reason = %error, peer = link.peer.address, "machine may not join");
                ToJoiner::Denied(Denied { error })
            }
        };
        if link.sender.send(answer).await.is_ok() {
            // The joiner closes the link when it has read the answer.
            while let Ok(Some(_)) = link.receiver.recv().await {}
        }
    }

    async fn enroll(&self, enroll: &Enroll) -> Result<Enrolled, ApiError> {
        let Some(enrollment) = &self.enrollment else {
            return Err(Reason::NoAuthority.into());
        };
        let _turn = self.turn.lock().await;
        let mut token = self.check(enroll).await?;
        let Place { key, before, former } = self.place(&token, enroll).await?;
        let (role, name) = key.clone();
        let labels = former.as_ref().filter(|_| token.gives.labels.is_empty());
        let labels = labels.map_or(&token.gives.labels, |former| &former.labels).clone();
        let _signing = self.signing.read().await;
        let signed = certificates::sign(enrollment, &enroll.csr, (role, &name), &labels)?;
        // A worker that gets what it has adds no machine: it could as well renew over its link.
        let has_all = |former: &Former| former.is_good && former.has_labels(&labels);
        if role != Role::Worker || !former.as_ref().is_some_and(has_all) {
            token.uses_left -= 1;
        }
        let member = Member {
            request: Some(Digest::of(&enroll.csr)),
            only_keys: only_keys(before.as_ref(), &signed.renewed.certificate)?,
            tenant: token.gives.tenant.clone().or_else(|| before.and_then(|one| one.kept_tenant())),
            machine: if enroll.name.is_empty() { name.clone() } else { enroll.name.clone() },
            joined_at: clock::date(),
            removed_at: None,
        };
        let entries = vec![
            meta(token_key(enroll.token), &token)?,
            certificates::given(role, &name, &signed)?,
        ];
        self.write_member(key, member, entries).await?;
        let Renewed { certificate, authority } = signed.renewed;
        Ok(Enrolled { role, name, certificate, authority })
    }

    /// The token, where it is good.
    async fn check(&self, enroll: &Enroll) -> Result<Token, ApiError> {
        let denied = |problem| Err(Reason::BadToken { problem }.into());
        let key = token_key(enroll.token);
        let Some(bytes) = self.read(key.clone()).await? else {
            return denied(TokenProblem::Unknown);
        };
        let token: Token = parse(&key, &bytes)?;
        let hash = Digest(token.secret_hash);
        if !hash.equals_in_constant_time(&Digest::of(&enroll.secret)) {
            return denied(TokenProblem::Unknown);
        }
        let date = clock::date();
        match token.state(self.clock.now(), date) {
            TokenState::Good => Ok(token),
            TokenState::UsedUp => denied(TokenProblem::UsedUp),
            TokenState::Revoked => denied(TokenProblem::Revoked),
            TokenState::Expired => denied(TokenProblem::Expired { now: date }),
        }
    }

    /// A name that no other machine of the role has: the one that the machine has already, if it shows
    /// that and the token gives no other.
    async fn place(&self, token: &Token, enroll: &Enroll) -> Result<Place, ApiError> {
        let (role, request) = (token.role, Digest::of(&enroll.csr));
        if let Some(former) = self.former(role, enroll) {
            let key = (role, former.name.clone());
            let before = self.members.get(&key);
            // A name that was given again is not that of who had it before and was taken away.
            let has_key = before.as_ref().is_none_or(|member| member.has_key(&former.key));
            let is_given = token.gives.name.as_ref().is_none_or(|name| *name == key.1);
            if is_given && has_key {
                return Ok(Place { key, before, former: Some(former) });
            }
        }
        if enroll.name.is_empty() {
            return Err(Reason::UnknownKey.into());
        }
        let wanted = token.gives.name.as_ref().unwrap_or(&enroll.name);
        let workers = if role == Role::Worker { self.workers().await? } else { BTreeSet::new() };
        for number in 1..=NAMESAKES_MAX {
            let name = if number == 1 { wanted.clone() } else { format!("{wanted}-{number}") };
            Identity::new(&self.grid, role, &name)
                .map_err(|error| Reason::BadName { reason: Detail::of(&error) })?;
            let key = (role, name);
            let holder = self.members.get(&key);
            let repeats = holder.as_ref().is_some_and(|holder| {
                holder.removed_at.is_none() && holder.request == Some(request)
            });
            let is_free = holder.as_ref().is_none_or(|holder| holder.removed_at.is_some());
            let is_free = is_free && !workers.contains(&key.1);
            if repeats || (is_free && self.may_be(token, &key, holder.as_ref()).await?) {
                return Ok(Place { key, before: holder, former: None });
            }
        }
        let (name, allowed) = (wanted.as_str().into(), NAMESAKES_MAX.into());
        Err(Reason::NameTaken { name, allowed }.into())
    }

    /// Whether who joins with the token may have a name that nobody has: one who says it of its own
    /// accord is not to own the jobs of somebody whom an operator named.
    async fn may_be(
        &self,
        token: &Token,
        (role, name): &MemberKey,
        before: Option<&Member>,
    ) -> Result<bool, ApiError> {
        if !owns_jobs(*role) || token.gives.tenant.is_some() {
            return Ok(true);
        }
        let tenant = own_tenant(*role, name);
        let is_somebodys = before.is_some() || self.members.has_tenant(&tenant);
        Ok(!is_somebodys && !self.gives_tenant(&tenant).await?)
    }

    /// Who a machine is that joins again with its key: by its certificate, also if that has ended, or by
    /// its key alone, if the authority that signed its certificate was replaced and is trusted no more.
    fn former(&self, role: Role, enroll: &Enroll) -> Option<Former> {
        let shown = enroll.former.as_ref()?;
        let key = key_of(shown).ok()?;
        let authority = &self.enrollment.as_ref()?.authority;
        match authority.recognize(shown, &enroll.csr) {
            Ok(Recognized { identity, labels, validity }) => {
                let is_good = validity.is_good(clock::date());
                let labels = if is_good { labels } else { Vec::new() };
                let name = identity.name().to_owned();
                let former = Former { name, key, labels, is_good };
                (identity.role() == role).then_some(former)
            }
            Err(error) => {
                let name = self.members.with_request(role, Digest::of(&enroll.csr));
                if name.is_none() {
                    tracing::warn!(%error, name = enroll.name, "a machine shows a wrong identity");
                }
                Some(Former { name: name?, key, labels: Vec::new(), is_good: false })
            }
        }
    }

    /// Refuses keys with which tokens would have vouched for too many.
    async fn check_keys(&self, keys: &[String]) -> Result<(), ApiError> {
        if keys.is_empty() {
            return Ok(());
        }
        let known = self.readers.metas(VOUCHED_PREFIX).await.map_err(|e| unreadable(&e))?;
        let is_known = |key: &String| known.iter().any(|(k, _)| *k == vouched_key(key));
        let new = keys.iter().filter(|key| !is_known(key)).count();
        if known.len() + new > KEYS_MAX {
            return Err(Reason::TooManyLabelKeys { allowed: KEYS_MAX as u64 }.into());
        }
        Ok(())
    }

    /// The core counts only vouched labels for these keys; returns when it does.
    async fn vouch(&self, keys: Vec<String>) -> Result<(), ApiError> {
        let (asker, done) = oneshot::channel();
        let _ = self.notices.send(Notice::KeysVouched(keys, asker)).await;
        done.await.map_err(|_| Reason::Stopping.into())
    }

    /// The entry of the audit log that says that somebody did this, which is written with it.
    pub(crate) fn audit(&self, by: &Caller, act: Act) -> Result<Entry, ApiError> {
        let record = AuditRecord::done(self.clock.now(), clock::date(), by.clone(), act);
        let bytes = record.encode();
        let bytes = bytes.map_err(|error| Reason::Internal { reason: Detail::of(&error) })?;
        Ok(Entry::Audit(bytes.into()))
    }

    async fn workers(&self) -> Result<BTreeSet<String>, ApiError> {
        let (asker, names) = oneshot::channel();
        let _ = self.notices.send(Notice::WorkerNames(asker)).await;
        names.await.map_err(|_| Reason::Stopping.into())
    }

    pub(crate) async fn read(&self, key: String) -> Result<Option<Bytes>, ApiError> {
        self.readers.meta(key).await.map_err(|error| unreadable(&error))
    }

    /// Writes entries in time. Nobody waits for it, and if there is no room it is not done.
    pub(crate) fn write_later(&self, entries: Vec<Entry>) {
        let (done, _) = oneshot::channel();
        // If the journal has no room or is gone, this is what need not be done.
        let _ =
            self.writes.upgrade().map(|to| to.try_send(Write::Keep { by: None, entries, done }));
    }

    pub(crate) async fn write(&self, entries: Vec<Entry>) -> Result<(), ApiError> {
        let Some(writes) = self.writes.upgrade() else { return Err(Reason::Stopping.into()) };
        write(&writes, None, entries).await
    }
}

/// Where a machine that joins gets its place in the grid.
struct Place {
    key: MemberKey,
    /// Who had the name before.
    before: Option<Member>,
    /// If it is who it was.
    former: Option<Former>,
}

/// A machine that joins again.
struct Former {
    name: String,
    /// The one that its certificate is for.
    key: Digest,
    /// Those that its certificate still vouches for, sorted.
    labels: Vec<(String, String)>,
    /// Its certificate is good.
    is_good: bool,
}

impl Former {
    fn has_labels(&self, labels: &[(String, String)]) -> bool {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        self.labels == labels
    }
}

/// What says that a token has vouched for labels of this key.
fn vouched_entry(key: &str) -> Entry {
    Entry::Meta { key: vouched_key(key), value: Some(Bytes::new()) }
}

fn vouched_key(key: &str) -> String {
    format!("{VOUCHED_PREFIX}{key}")
}

/// The keys of labels that tokens have vouched for.
///
/// # Errors
/// Where the store cannot be read.
pub(crate) fn vouched_keys(reader: &mut dyn Reader) -> Result<Vec<String>, StoreError> {
    let metas = reader.metas(VOUCHED_PREFIX)?.into_iter();
    Ok(metas.filter_map(|(key, _)| Some(key.strip_prefix(VOUCHED_PREFIX)?.to_owned())).collect())
}

pub(crate) fn meta<T: Serialize>(key: String, value: &T) -> Result<Entry, ApiError> {
    let value = postcard::to_allocvec(value)
        .map_err(|error| Reason::Internal { reason: Detail::of(&error) })?;
    Ok(Entry::Meta { key, value: Some(value.into()) })
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(key: &str, bytes: &'a [u8]) -> Result<T, ApiError> {
    postcard::from_bytes(bytes)
        .map_err(|error| Reason::Unreadable { key: key.into(), reason: Detail::of(&error) }.into())
}

pub(crate) fn unreadable(error: &crate::ServerError) -> ApiError {
    Reason::StoreFailed { reason: Detail::of(error) }.into()
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Reason::NoRandom { reason: Detail::of(&error) })?;
    Ok(bytes)
}

/// Whether members of this role are tenants.
const fn owns_jobs(role: Role) -> bool {
    !matches!(role, Role::Worker | Role::Gateway)
}
