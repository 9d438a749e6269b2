//! The modules and [blobs](crate::blobs) jobs may name: admitted once, in their tenants' turn, kept
//! durably, given to workers that ask. It never looks into one; the admission it was given does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use wasmgrid_proto::{
    Digest, JobSpec, Micros, Millis, ModuleInfo, TaskSpec,
    text::shortened,
    wire::{ApiError, ErrorCode, Reply},
};
use wasmgrid_store::Entry;

use super::{
    blobs::{self, Blobs},
    io::LinkId,
    turns::{Bounds, Full, Turns},
};
use crate::error::api_error;

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
/// of up to 8 KiB. The oldest goes first.
const REFUSALS_MAX: usize = 1_024;

/// How long one is remembered: what depended on the machine's load is tried again after that.
const REFUSED_FOR: Millis = Millis(10 * 60 * 1_000);

/// Modules, and blobs, that are dropped at once when nothing uses them: one commit is short so.
const SWEPT_MAX: usize = 256;

/// How long a module or a blob stays that no job names: a client that has sent it, or was told that
/// it is here, submits soon.
pub(super) const UNUSED_AFTER: Millis = Millis(60 * 60 * 1_000);

/// Says whether the module can use all that its tasks are given, and is given all that they need.
/// Quick: it compares names.
pub type CheckTask = Arc<dyn Fn(&ModuleInfo, &TaskSpec) -> Result<(), String> + Send + Sync>;

/// What the server knows of modules.
pub struct Modules {
    known: BTreeMap<Digest, Known>,
    blobs: Blobs,
    check_task: CheckTask,
    /// Who waits to have a module or a blob looked at.
    turns: Turns<Put>,
    /// What is being looked at, and may be written at any moment.
    at_work: Vec<Digest>,
    /// Why modules were refused lately, and until when that holds.
    refused: BTreeMap<Digest, (Micros, ApiError)>,
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
pub(super) struct Named<'a> {
    pub(super) modules: BTreeSet<Digest>,
    /// With whose jobs they are.
    pub(super) blobs: BTreeSet<(&'a str, Digest)>,
}

/// What goes at once, unused.
#[derive(Default)]
pub(super) struct Swept {
    /// Whose it was.
    pub(super) owners: BTreeSet<String>,
    /// What deletes it. It must be written in the order of the driver's turns, so that what is sent
    /// again comes after it; if the disk is full, it is found again at the next start.
    pub(super) entries: Vec<Entry>,
}

/// What a client can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A module.
    Module,
    /// A blob.
    Blob,
}

/// A module or a blob that a client has sent.
#[derive(Debug)]
pub struct Put {
    /// Whose turn it is.
    pub tenant: String,
    /// Which of both.
    pub sort: Sort,
    /// Who is answered.
    pub link: LinkId,
    /// In which request it came.
    pub id: u64,
    /// What it is said to be.
    pub digest: Digest,
    /// What it is.
    pub bytes: Bytes,
}

/// What became of what was looked at.
#[derive(Debug)]
pub enum Looked {
    /// It is durable.
    Kept(ModuleInfo),
    /// The blob of so many bytes is durable.
    KeptBlob(u64),
    /// It is refused, and would be again.
    Refused(ApiError),
    /// It could not be looked at or kept this time.
    Failed(ApiError),
}

impl Looked {
    /// The answer to its sender.
    pub(super) fn reply(&self) -> Result<Reply, ApiError> {
        match self {
            Self::Kept(_) | Self::KeptBlob(_) => Ok(Reply::Done),
            Self::Refused(error) | Self::Failed(error) => Err(error.clone()),
        }
    }
}

/// A module that is here.
struct Known {
    info: ModuleInfo,
    /// The tenant that sent it first; empty where an older version took it.
    owner: String,
    /// When somebody last asked for it or named it.
    touched_at: Micros,
}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modules").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Modules {
    /// With the modules and the blobs the store has; of modules also who sent them first.
    #[must_use]
    pub fn new(
        known: BTreeMap<Digest, (ModuleInfo, String)>,
        blobs: Blobs,
        check_task: CheckTask,
        now: Micros,
    ) -> Self {
        let known = known
            .into_iter()
            .map(|(digest, (info, owner))| (digest, Known { info, owner, touched_at: now }))
            .collect();
        let (turns, at_work, refused) = (Turns::new(BOUNDS), Vec::new(), BTreeMap::new());
        Self { known, blobs, check_task, turns, at_work, refused }
    }

    /// True where the module is here; then it stays for a while.
    pub(super) fn has(&mut self, digest: Digest, now: Micros) -> bool {
        let known = self.known.get_mut(&digest);
        known.map(|known| known.touched_at = now).is_some()
    }

    /// True where the tenant has given the blob; then it stays for a while.
    pub(super) fn has_blob(&mut self, tenant: &str, digest: Digest, now: Micros) -> bool {
        self.blobs.has(tenant, digest, now)
    }

    /// What the modules and blobs of a tenant take.
    pub(super) fn bytes_of(&self, tenant: &str) -> u64 {
        let own = self.known.values().filter(|known| known.owner == tenant);
        let modules: u64 = own.map(|known| known.info.size_bytes).sum();
        modules.saturating_add(self.blobs.bytes_of(tenant))
    }

    /// Who has modules or blobs here.
    pub(super) fn owners(&self) -> BTreeSet<String> {
        let modules = self.known.values().map(|known| &known.owner);
        modules.chain(self.blobs.owners()).cloned().collect()
    }

    /// Forgets modules and blobs that are not `named` by a job that is kept, and that nobody asked
    /// for lately.
    pub(super) fn sweep(&mut self, named: &Named<'_>, now: Micros) -> Swept {
        let mut swept = Swept::default();
        let unused = |(digest, known): (&Digest, &Known)| {
            let idle = known.touched_at.after(UNUSED_AFTER) <= now;
            let goes = idle && !named.modules.contains(digest) && !self.at_work.contains(digest);
            goes.then_some(*digest)
        };
        let unused: Vec<Digest> = self.known.iter().filter_map(unused).take(SWEPT_MAX).collect();
        for digest in unused {
            let [info, owner] = [MODULE_PREFIX, OWNER_PREFIX]
                .map(|prefix| Entry::Meta { key: format!("{prefix}{digest}"), value: None });
            swept.entries.extend([info, owner]);
            if !self.blobs.is_anybodys(digest) {
                swept.entries.push(Entry::DropModule { digest });
            }
            swept.owners.extend(self.known.remove(&digest).map(|known| known.owner));
            tracing::info!(%digest, "no job names the module any more: deleted");
        }
        let unused = self.blobs.unused(&named.blobs, now).into_iter();
        let unused = unused.filter(|(digest, _)| !self.at_work.contains(digest)).take(SWEPT_MAX);
        for place in unused.collect::<Vec<_>>() {
            let (digest, tenant) = &place;
            swept.entries.push(blobs::meta(*digest, tenant, None));
            if self.blobs.is_one_tenants(*digest) && !self.known.contains_key(digest) {
                swept.entries.push(Entry::DropModule { digest: *digest });
            }
            self.blobs.forget(&place);
            tracing::info!(%digest, tenant, "no job names the blob any more: deleted");
            swept.owners.insert(tenant.clone());
        }
        swept
    }

    /// Says whether the module and the blobs of a tenant's job are here, and whether the module is
    /// what the job says it is and is given what it asks for.
    pub(super) fn check(
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
                    "tenant {tenant} has not sent the blob {digest}, which the job names {name}; \
                     send it first (PutBlob), then submit again"
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
                "module {:.12} is a {}, but the job says {}; correct its kind",
                task.module, info.kind, task.kind
            );
            return Err(api_error(ErrorCode::Refused, why));
        }
        (self.check_task)(info, task).map_err(|why| api_error(ErrorCode::Refused, why))
    }

    /// Has a module or a blob wait until it is its tenant's turn to have it looked at; see
    /// [`Self::next`].
    ///
    /// # Errors
    /// Where it is not looked at: it was refused lately, or too much waits already.
    pub(super) fn put(&mut self, put: Put, now: Micros) -> Result<(), ApiError> {
        let (sort, size) = (put.sort, put.bytes.len());
        match sort {
            Sort::Blob => self.blobs.check(&put.tenant, size as u64)?,
            Sort::Module => {
                if let Some((until, error)) = self.refused.get(&put.digest)
                    && *until > now
                {
                    return Err(error.clone());
                }
            }
        }
        let tenant = put.tenant.clone();
        self.turns.push(&tenant, put, size).map_err(|(_, full)| {
            let whose = match full {
                Full::Tenant => "of yours",
                Full::All => "of all tenants",
            };
            let why = format!(
                "too many {sort}s {whose} wait for admission; send this one again after others are \
                 answered"
            );
            api_error(ErrorCode::Unavailable, why)
        })
    }

    /// The next that is to be looked at, if one more may be; [`Self::looked`] is called after that.
    pub(super) fn next(&mut self) -> Option<Put> {
        let (_, put) = self.turns.next()?;
        self.at_work.push(put.digest);
        Some(put)
    }

    /// A module or a blob of the tenant's was looked at.
    pub(super) fn looked(&mut self, tenant: &str, digest: Digest, looked: Looked, now: Micros) {
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
            Looked::Failed(_) => {}
        }
    }

    /// A client's link has ended: nobody waits for what it has sent.
    pub(super) fn unlinked(&mut self, link: LinkId) {
        self.turns.retain(|put| put.link != link);
    }
}
