//! The modules and [blobs](super::blobs) jobs may name: admitted once, in their tenants' turn, kept
//! durably, given to workers that ask. It never looks into one; the admission it was given does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmgrid_proto::{
    Digest, JobSpec, Micros, Millis, ModuleInfo,
    text::shortened,
    wire::{ApiError, ErrorCode, Reply},
};
use wasmgrid_store::{Entry, StoreError};

use crate::{
    blocking::Blocking,
    config::{Admission, Admit, NotAdmitted},
    driver::blobs::{self, Blobs},
    driver::turns::{Bounds, Full, Turns},
    driver::{ERROR_BYTES, Event, api_error},
    journal::Write,
    links::LinkId,
    readers::Readers,
};

/// The keys under which the store has what admission found.
pub(crate) const MODULE_PREFIX: &str = "module/";

/// The keys under which the store has who sent a module first; it counts among what that one has.
pub(crate) const OWNER_PREFIX: &str = "owner/";

/// How modules wait to be looked at. Two at a time: each takes a core for milliseconds, or for
/// seconds where it is meant to. Of one tenant 64 may wait, and as many bytes as the largest module
/// has; of all tenants together what a scheduler has memory for.
const BOUNDS: Bounds =
    Bounds { at_work: 2, of_one: 1, waiting: 64, waiting_bytes: 64 << 20, all_bytes: 256 << 20 };

/// Refusals that are remembered, so that what costs much to refuse costs it once; each has a text
/// of up to [`ERROR_BYTES`]. The oldest goes first.
const REFUSALS_MAX: usize = 1_024;

/// How long one is remembered: what depended on the machine's load is tried again after that.
const REFUSED_FOR: Millis = Millis(10 * 60 * 1_000);

/// How long a module or a blob stays that no job names: a client that has sent it, or was told that
/// it is here, submits soon.
pub(crate) const UNUSED_AFTER: Millis = Millis(60 * 60 * 1_000);

/// What is in the store at a start: modules with their owners, and blobs; and when that is.
pub(crate) type Kept = (BTreeMap<Digest, (ModuleInfo, String)>, Blobs, Micros);

/// What the server knows of modules.
pub(crate) struct Modules {
    known: BTreeMap<Digest, Known>,
    blobs: Blobs,
    admission: Admission,
    /// Who waits to have a module or a blob looked at.
    turns: Turns<Put>,
    /// What is being looked at, and may be written at any moment.
    at_work: Vec<Digest>,
    /// Why modules were refused lately, and until when that holds.
    refused: BTreeMap<Digest, (Micros, ApiError)>,
    writes: mpsc::Sender<Write>,
    readers: Readers,
    done: mpsc::Sender<Event>,
    beyond: Beyond,
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Module => "module",
            Self::Blob => "blob",
        })
    }
}

/// What jobs that are kept name.
pub(crate) struct Named<'a> {
    pub(crate) modules: BTreeSet<Digest>,
    /// With whose jobs they are.
    pub(crate) blobs: BTreeSet<(&'a str, Digest)>,
}

/// Where modules are looked at.
#[derive(Clone)]
pub(crate) struct Beyond {
    pub(crate) tasks: TaskTracker,
    pub(crate) blocking: Blocking,
    /// The server stops: what is being looked at is not waited for.
    pub(crate) stop: CancellationToken,
}

/// What a client can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Module,
    Blob,
}

/// A module or a blob that a client has sent.
struct Put {
    sort: Sort,
    link: LinkId,
    id: u64,
    digest: Digest,
    bytes: Bytes,
}

/// What became of what was looked at.
pub(crate) enum Looked {
    /// It is durable.
    Kept(ModuleInfo),
    /// The blob of so many bytes is durable.
    KeptBlob(u64),
    /// It is refused, and would be again.
    Refused(ApiError),
    /// Nothing that could be remembered of it.
    Nothing,
}

/// A module that is here.
struct Known {
    info: ModuleInfo,
    /// The tenant that sent it first; empty where an older version took it.
    owner: String,
    /// When somebody last asked for it or named it.
    touched_at: Micros,
}

impl Modules {
    /// With the modules and the blobs the store has.
    pub(crate) fn new(
        (known, blobs, now): Kept,
        admission: Admission,
        writes: mpsc::Sender<Write>,
        readers: Readers,
        done: mpsc::Sender<Event>,
        beyond: Beyond,
    ) -> Self {
        let known = known
            .into_iter()
            .map(|(digest, (info, owner))| (digest, Known { info, owner, touched_at: now }))
            .collect();
        let (turns, at_work, refused) = (Turns::new(BOUNDS), Vec::new(), BTreeMap::new());
        Self { known, blobs, admission, turns, at_work, refused, writes, readers, done, beyond }
    }

    /// True where the module is here; then it stays for a while.
    pub(crate) fn has(&mut self, digest: Digest, now: Micros) -> bool {
        let known = self.known.get_mut(&digest);
        known.map(|known| known.touched_at = now).is_some()
    }

    /// True where the tenant has given the blob; then it stays for a while.
    pub(crate) fn has_blob(&mut self, tenant: &str, digest: Digest, now: Micros) -> bool {
        self.blobs.has(tenant, digest, now)
    }

    /// What the modules and blobs of a tenant take.
    pub(crate) fn bytes_of(&self, tenant: &str) -> u64 {
        let own = self.known.values().filter(|known| known.owner == tenant);
        let modules: u64 = own.map(|known| known.info.size_bytes).sum();
        modules.saturating_add(self.blobs.bytes_of(tenant))
    }

    /// Who has modules or blobs here.
    pub(crate) fn owners(&self) -> BTreeSet<String> {
        let modules = self.known.values().map(|known| &known.owner);
        modules.chain(self.blobs.owners()).cloned().collect()
    }

    /// Drops modules and blobs that are not `named` by a job that is kept, and that nobody asked for
    /// lately. Says whose they were.
    pub(crate) fn sweep(&mut self, named: &Named<'_>, now: Micros) -> BTreeSet<String> {
        let mut owners = BTreeSet::new();
        let unused = |(digest, known): (&Digest, &Known)| {
            let idle = known.touched_at.after(UNUSED_AFTER) <= now;
            (idle && !named.modules.contains(digest)).then_some(*digest)
        };
        let unused: Vec<Digest> = self.known.iter().filter_map(unused).collect();
        for digest in unused {
            let [info, owner] = [MODULE_PREFIX, OWNER_PREFIX]
                .map(|prefix| Entry::Meta { key: format!("{prefix}{digest}"), value: None });
            let mut entries = vec![info, owner];
            if !self.blobs.is_anybodys(digest) {
                entries.push(Entry::DropModule { digest });
            }
            if self.drop_unused(digest, entries) {
                owners.extend(self.known.remove(&digest).map(|known| known.owner));
                tracing::info!(%digest, "no job names the module any more: dropped");
            }
        }
        for place in self.blobs.unused(&named.blobs, now) {
            let (digest, tenant) = &place;
            let mut entries = vec![blobs::meta(*digest, tenant, None)];
            if self.blobs.is_one_tenants(*digest) && !self.known.contains_key(digest) {
                entries.push(Entry::DropModule { digest: *digest });
            }
            if self.drop_unused(*digest, entries) {
                self.blobs.forget(&place);
                owners.insert(tenant.clone());
                tracing::info!(%digest, tenant, "no job names the blob any more: dropped");
            }
        }
        owners
    }

    /// Has the store drop something, in the order of the driver's turns, so that what is sent again
    /// comes behind it; false where that is for later.
    fn drop_unused(&self, digest: Digest, entries: Vec<Entry>) -> bool {
        if self.at_work.contains(&digest) {
            return false;
        }
        let Ok(permit) = self.writes.try_reserve() else { return false };
        // Where the disk is full it is found again at the next start.
        let (done, _) = oneshot::channel();
        permit.send(Write::Keep { entries, done });
        true
    }

    /// Reads a module or a blob for the worker of `link`.
    pub(crate) fn read(&self, link: LinkId, digest: Digest) {
        self.readers.module(link, digest);
    }

    /// Says whether the module and the blobs of a tenant's job are here, and whether the module is
    /// what the job says it is and is given what it asks for.
    pub(crate) fn check(
        &mut self,
        tenant: &str,
        spec: &JobSpec,
        now: Micros,
    ) -> Result<(), ApiError> {
        let task = &spec.task;
        for blob in &task.blobs {
            if !self.blobs.has(tenant, blob.digest, now) {
                let (name, digest) = (shortened(blob.name.clone(), 100), blob.digest);
                let why = format!(
                    "{tenant} has given no blob {digest}, which the job names as {name}; send it \
                     first (PutBlob), then submit again"
                );
                return Err(api_error(ErrorCode::NotFound, why));
            }
        }
        let Some(Known { info, .. }) = self.known.get(&task.module) else {
            let why = format!(
                "module {} is not here; send it first (PutModule), then submit again",
                task.module
            );
            return Err(api_error(ErrorCode::NotFound, why));
        };
        if info.kind != task.kind {
            let why = format!(
                "module {:.12} is a {}, the job says {}; submit it as what it is",
                task.module, info.kind, task.kind
            );
            return Err(api_error(ErrorCode::Refused, why));
        }
        (self.admission.check_task)(info, task).map_err(|why| api_error(ErrorCode::Refused, why))
    }

    /// Has a module or a blob admitted and kept, when it is its tenant's turn; the answer is an
    /// [`Event::Answer`], before it comes an [`Event::ModuleLooked`].
    ///
    /// # Errors
    /// Where it is not looked at: it was refused lately, or too much waits already.
    pub(crate) fn put(
        &mut self,
        tenant: &str,
        (link, id): (LinkId, u64),
        (sort, digest, bytes): (Sort, Digest, Bytes),
        now: Micros,
    ) -> Result<(), ApiError> {
        match sort {
            Sort::Blob => self.blobs.check(tenant, bytes.len() as u64)?,
            Sort::Module => {
                if let Some((until, error)) = self.refused.get(&digest)
                    && *until > now
                {
                    return Err(error.clone());
                }
            }
        }
        let size = bytes.len();
        self.turns.push(tenant, Put { sort, link, id, digest, bytes }, size).map_err(|full| {
            let whose = match full {
                Full::Tenant => "of yours",
                Full::All => "of all tenants",
            };
            let why = format!(
                "too many {sort}s {whose} wait to be looked at; send this one again once others \
                 are answered"
            );
            api_error(ErrorCode::Unavailable, why)
        })?;
        self.start_next();
        Ok(())
    }

    /// A module or a blob of the tenant's was looked at.
    pub(crate) fn looked(&mut self, tenant: &str, digest: Digest, looked: Looked, now: Micros) {
        self.turns.done(tenant);
        if let Some(place) = self.at_work.iter().position(|at_work| *at_work == digest) {
            self.at_work.swap_remove(place);
        }
        match looked {
            Looked::KeptBlob(size_bytes) => self.blobs.kept(tenant, digest, size_bytes, now),
            Looked::Kept(info) => {
                let known = Known { owner: tenant.to_owned(), touched_at: now, info };
                self.known.insert(known.info.digest, known);
            }
            Looked::Refused(error) => {
                if self.refused.len() >= REFUSALS_MAX
                    && let Some((digest, _)) =
                        self.refused.iter().min_by_key(|(_, (until, _))| *until)
                {
                    let digest = *digest;
                    self.refused.remove(&digest);
                }
                self.refused.insert(digest, (now.after(REFUSED_FOR), error));
            }
            Looked::Nothing => {}
        }
        self.start_next();
    }

    /// A client's link has ended: nobody waits for what it has sent.
    pub(crate) fn unlinked(&mut self, link: LinkId) {
        self.turns.retain(|put| put.link != link);
    }

    fn start_next(&mut self) {
        while let Some((tenant, put)) = self.turns.next() {
            self.at_work.push(put.digest);
            let (admit, writes) = (self.admission.admit.clone(), self.writes.clone());
            let (done, beyond) = (self.done.clone(), self.beyond.clone());
            self.beyond.tasks.spawn(async move {
                let Put { sort, link, id, digest, bytes } = put;
                let stop = beyond.stop.clone();
                let looking = async {
                    check_digest(&beyond, sort, digest, &bytes).await?;
                    match sort {
                        Sort::Module => {
                            look_and_keep(&admit, &beyond, &writes, (digest, bytes), &tenant).await
                        }
                        Sort::Blob => keep_blob(&writes, digest, &tenant, bytes).await,
                    }
                };
                // Its links end with the server, and nobody is left who could be answered.
                let Some(found) = stop.run_until_cancelled(looking).await else { return };
                let (looked, reply) = match found {
                    Ok(kept) => (kept, Ok(Reply::Done)),
                    Err(NotKept { error, is_final: true }) => {
                        (Looked::Refused(error.clone()), Err(error))
                    }
                    Err(NotKept { error, .. }) => (Looked::Nothing, Err(error)),
                };
                // The driver is gone only when the server ends.
                let _ = done.send(Event::ModuleLooked { tenant, digest, looked }).await;
                let _ = done.send(Event::Answer { link, id, reply }).await;
            });
        }
    }
}

/// Why a module is not kept.
struct NotKept {
    error: ApiError,
    /// It is of the module itself, by its content.
    is_final: bool,
}

impl From<ApiError> for NotKept {
    fn from(error: ApiError) -> Self {
        Self { error, is_final: false }
    }
}

/// Fails where the bytes are not those that their digest names.
async fn check_digest(
    Beyond { tasks, blocking, .. }: &Beyond,
    sort: Sort,
    digest: Digest,
    bytes: &Bytes,
) -> Result<(), ApiError> {
    let hashed = bytes.clone();
    let found = blocking.run(tasks, move || Digest::of(&hashed)).await;
    let found = found.ok_or_else(|| broken_off(sort, digest))?;
    if found == digest {
        return Ok(());
    }
    let why = format!("the {sort}'s digest is {found}, not {digest}; send it again");
    Err(api_error(ErrorCode::Invalid, why))
}

fn broken_off(sort: Sort, digest: Digest) -> ApiError {
    let why = format!("{sort} {digest:.12} could not be looked at: the check broke off");
    api_error(ErrorCode::Refused, why)
}

async fn look_and_keep(
    admit: &Admit,
    beyond: &Beyond,
    writes: &mpsc::Sender<Write>,
    (digest, bytes): (Digest, Bytes),
    owner: &str,
) -> Result<Looked, NotKept> {
    let Beyond { tasks, blocking, .. } = beyond;
    let broken = || broken_off(Sort::Module, digest);
    let admitted = match admit {
        Admit::Here(admit) => {
            let (admit, bytes) = (admit.clone(), bytes.clone());
            let admitted = blocking.run(tasks, move || admit(&bytes)).await.ok_or_else(broken)?;
            admitted.map_err(NotAdmitted::Refused)
        }
        Admit::Apart(admit) => admit(bytes.clone()).await,
    };
    let info = admitted.map_err(|why| match why {
        NotAdmitted::Refused(why) => {
            let why = shortened(why, ERROR_BYTES);
            NotKept { error: api_error(ErrorCode::Refused, why), is_final: true }
        }
        NotAdmitted::Unavailable(why) => api_error(ErrorCode::Unavailable, why).into(),
    })?;
    keep(writes, &info, owner, bytes).await?;
    Ok(Looked::Kept(info))
}

async fn keep_blob(
    writes: &mpsc::Sender<Write>,
    digest: Digest,
    tenant: &str,
    bytes: Bytes,
) -> Result<Looked, NotKept> {
    let size_bytes = bytes.len() as u64;
    let meta = blobs::meta(digest, tenant, Some(size_bytes));
    write(writes, vec![Entry::Module { digest, bytes }, meta]).await?;
    Ok(Looked::KeptBlob(size_bytes))
}

async fn keep(
    writes: &mpsc::Sender<Write>,
    info: &ModuleInfo,
    owner: &str,
    bytes: Bytes,
) -> Result<(), ApiError> {
    let value = postcard::to_allocvec(info)
        .map_err(|error| api_error(ErrorCode::Refused, format!("its description: {error}")))?;
    let key = format!("{MODULE_PREFIX}{}", info.digest);
    let owner_key = format!("{OWNER_PREFIX}{}", info.digest);
    let owner = Bytes::copy_from_slice(owner.as_bytes());
    write(
        writes,
        vec![
            Entry::Module { digest: info.digest, bytes },
            Entry::Meta { key, value: Some(value.into()) },
            Entry::Meta { key: owner_key, value: Some(owner) },
        ],
    )
    .await
}

/// Makes `entries` durable.
///
/// # Errors
/// [`ErrorCode::Unavailable`], where that cannot be done now; nothing of them is then kept.
pub(crate) async fn write(
    writes: &mpsc::Sender<Write>,
    entries: Vec<Entry>,
) -> Result<(), ApiError> {
    let unavailable = |why: &str| api_error(ErrorCode::Unavailable, why.into());
    let (done, written) = oneshot::channel();
    if writes.send(Write::Keep { entries, done }).await.is_err() {
        return Err(unavailable("the scheduler is stopping; try again"));
    }
    match written.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if matches!(*error, StoreError::Full(_)) => {
            Err(unavailable("the scheduler's disk is full; make room there and try again"))
        }
        Ok(Err(error)) => Err(unavailable(&format!("{error}; try again"))),
        Err(_) => Err(unavailable("the scheduler is stopping; try again")),
    }
}
