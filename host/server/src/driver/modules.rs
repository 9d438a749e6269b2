//! The modules and [blobs](super::blobs) jobs may name: admitted once, in their tenants' turn, kept
//! durably, given to workers that ask. It never looks into one; the admission it was given does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;
use wasmgrid_proto::{
    Digest, JobSpec, Micros, Millis, ModuleInfo, Reason, Refusal, TaskSpec,
    reason::Upload,
    wire::{ApiError, Reply},
};
use wasmgrid_store::Entry;

use super::{
    blobs::{self, Blobs},
    io::LinkId,
    payers::{Payers, UNUSED_AFTER},
    turns::{Bounds, Full, Turns},
};

/// The keys under which the store has what admission found.
pub(crate) const MODULE_PREFIX: &str = "module/";

/// The keys under which the store has who sent a module first; it counts among what that one has.
pub(crate) const OWNER_PREFIX: &str = "owner/";

/// The keys under which the store has when a module came first: the date.
pub(crate) const STORED_PREFIX: &str = "stored/";

/// How modules wait to be looked at. Two at a time: each takes a core for milliseconds, or for
/// seconds where it is meant to. Of one tenant 64 may wait, and as many bytes as the largest module
/// has; of all tenants together what a scheduler has memory for.
const BOUNDS: Bounds =
    Bounds { at_work: 2, of_one: 1, waiting: 64, waiting_bytes: 64 << 20, all_bytes: 256 << 20 };

/// Refusals that are remembered, so that what costs much to refuse costs it once; each has up to
/// 4 KiB of texts. The oldest goes first.
const REFUSALS_MAX: usize = 1_024;

/// How long one is remembered: what depended on the machine's load is tried again after that.
const REFUSED_FOR: Millis = Millis(10 * 60 * 1_000);

/// Modules, and blobs, that are dropped at once when nothing uses them: one commit is short so.
const SWEPT_MAX: usize = 256;

/// Modules of one tenant: each takes memory here beside its bytes.
const MODULES_OF_ONE: usize = 10_000;

/// Modules that one request looks at: a fraction of a millisecond.
const LOOKED_MAX: usize = 4_096;

/// Says whether the module can use all that its tasks are given, and is given all that they need.
/// Quick: it compares names.
pub type CheckTask = Arc<dyn Fn(&ModuleInfo, &TaskSpec) -> Result<(), Refusal> + Send + Sync>;

/// What the server knows of modules.
pub struct Modules {
    known: BTreeMap<Digest, Known>,
    /// Who has sent modules, or names them.
    users: Payers,
    blobs: Blobs,
    check_task: CheckTask,
    /// Who waits to have a module or a blob looked at.
    turns: Turns<Put>,
    /// What is being looked at, and may be written at any moment.
    at_work: Vec<AtWork>,
    /// Why modules were refused lately, and until when that holds.
    refused: BTreeMap<Digest, (Micros, ApiError)>,
}

/// What jobs that are kept name.
pub(super) struct Named<'a> {
    /// With whose jobs they are.
    pub(super) modules: BTreeSet<(&'a str, Digest)>,
    /// As above.
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

/// A module or a blob that a client has sent.
#[derive(Debug)]
pub struct Put {
    /// Whose turn it is.
    pub tenant: String,
    /// Which of both.
    pub sort: Upload,
    /// Who is answered.
    pub link: LinkId,
    /// In which request it came.
    pub id: u64,
    /// What it is said to be.
    pub digest: Digest,
    /// What it is.
    pub bytes: Bytes,
    /// When it came: the date.
    pub date: Micros,
}

/// What became of what was looked at.
#[derive(Debug)]
pub enum AdmissionResult {
    /// It is durable.
    Kept(ModuleInfo),
    /// The blob of so many bytes is durable.
    KeptBlob(u64),
    /// It is refused, and would be again.
    Refused(ApiError),
    /// It could not be looked at or kept this time.
    Failed(ApiError),
}

impl AdmissionResult {
    /// The answer to its sender.
    pub(super) fn reply(&self) -> Result<Reply, ApiError> {
        match self {
            Self::Kept(_) | Self::KeptBlob(_) => Ok(Reply::Done),
            Self::Refused(error) | Self::Failed(error) => Err(error.clone()),
        }
    }
}

/// A module or a blob that is being looked at.
struct AtWork {
    tenant: String,
    digest: Digest,
    bytes: usize,
    date: Micros,
}

/// A module that the store has.
#[derive(Clone, Debug)]
pub struct StoredModule {
    /// What admission found.
    pub info: ModuleInfo,
    /// The tenant that sent it, if the store has that.
    pub owner: Option<String>,
    /// When it came first: the date, if the store has that.
    pub stored: Option<Micros>,
}

/// A module that is here.
struct Known {
    module: StoredModule,
    /// Since when nobody uses it.
    unused_since: Micros,
}

/// A module as it is listed.
pub(super) struct Listed<'a> {
    pub(super) module: &'a StoredModule,
    users: &'a Payers,
}

impl<'a> Listed<'a> {
    /// Who has it, by name.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &'a str> {
        self.users.of(self.module.info.digest)
    }
}

/// What a module is to a tenant that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is not here.
    Absent,
    /// It counts among what the tenant has.
    Own,
    /// It would take so many bytes of what the tenant may have.
    Others(u64),
}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Modules").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Modules {
    /// With the modules and the blobs the store has; of modules also who sent them, unless that one
    /// uses them no more.
    #[must_use]
    pub fn new(
        known: BTreeMap<Digest, StoredModule>,
        blobs: Blobs,
        check_task: CheckTask,
        now: Micros,
    ) -> Self {
        let mut users = Payers::default();
        let known = known.into_iter().map(|(digest, module)| {
            if let Some(owner) = &module.owner {
                users.add(owner, digest, bytes_of(&module.info), now);
            }
            (digest, Known { module, unused_since: now })
        });
        let known = known.collect();
        let (turns, at_work, refused) = (Turns::new(BOUNDS), Vec::new(), BTreeMap::new());
        Self { known, users, blobs, check_task, turns, at_work, refused }
    }

    /// At a start: tenants have jobs that name these.
    pub(super) fn named<'a>(
        &mut self,
        modules: impl Iterator<Item = (&'a str, Digest)>,
        now: Micros,
    ) {
        for (tenant, digest) in modules {
            if !self.users.touch(tenant, digest, now) {
                self.add_user(tenant, digest, now);
            }
        }
    }

    /// What a module is to a tenant that asks for it; if it is its own, it stays for a while.
    pub(super) fn find(&mut self, tenant: &str, digest: Digest, now: Micros) -> Found {
        let Some(known) = self.known.get(&digest) else { return Found::Absent };
        if self.users.touch(tenant, digest, now) {
            return Found::Own;
        }
        Found::Others(bytes_of(&known.module.info))
    }

    /// A module that is here counts among what this tenant has from now on.
    pub(super) fn add_user(&mut self, tenant: &str, digest: Digest, now: Micros) {
        if let Some(known) = self.known.get(&digest) {
            self.users.add(tenant, digest, bytes_of(&known.module.info), now);
        }
    }

    /// Refuses a tenant one more module than it may have.
    ///
    /// # Errors
    /// [`Reason::TooManyModules`].
    pub(super) fn check_count(&self, tenant: &str) -> Result<(), ApiError> {
        if self.users.total(tenant).count < MODULES_OF_ONE {
            return Ok(());
        }
        let (tenant, allowed) = (tenant.into(), MODULES_OF_ONE as u64);
        Err(Reason::TooManyModules { tenant, allowed }.into())
    }

    /// True where the tenant has given the blob; then it stays for a while.
    pub(super) fn has_blob(&mut self, tenant: &str, digest: Digest, now: Micros) -> bool {
        self.blobs.has(tenant, digest, now)
    }

    /// What the modules and blobs of a tenant take, with those that it has sent and that are not kept
    /// or refused yet.
    pub(super) fn bytes_of(&self, tenant: &str) -> u64 {
        let at_work = self.at_work.iter().filter(|one| one.tenant == tenant).map(|one| one.bytes);
        let sent = self.turns.bytes_of(tenant).saturating_add(at_work.sum());
        let kept = self.users.total(tenant).bytes.saturating_add(self.blobs.bytes_of(tenant));
        kept.saturating_add(sent as u64)
    }

    /// Who has modules or blobs here.
    pub(super) fn owners(&self) -> BTreeSet<String> {
        self.users.tenants().chain(self.blobs.owners()).cloned().collect()
    }

    /// Forgets what no job that is kept has `named` of its tenant's, and the tenant did not ask for
    /// lately; modules go with their last user.
    pub(super) fn sweep(&mut self, named: &Named<'_>, now: Micros) -> Swept {
        let mut swept = Swept::default();
        let unused = self.users.unused(&named.modules, now).into_iter().take(SWEPT_MAX);
        for place in unused.collect::<Vec<_>>() {
            self.users.forget(&place);
            let (digest, tenant) = place;
            if let Some(known) = self.known.get_mut(&digest)
                && known.module.owner.as_ref() == Some(&tenant)
            {
                known.module.owner = None;
                swept.entries.push(no_meta(OWNER_PREFIX, digest));
            }
            swept.owners.insert(tenant);
        }
        let unused = |(digest, known): (&Digest, &Known)| {
            let goes = known.unused_since.after(UNUSED_AFTER) <= now
                && self.users.count_of(*digest) == 0
                && !self.is_at_work(*digest);
            goes.then_some(*digest)
        };
        let unused: Vec<Digest> = self.known.iter().filter_map(unused).take(SWEPT_MAX).collect();
        for digest in unused {
            swept.entries.push(no_meta(MODULE_PREFIX, digest));
            swept.entries.push(no_meta(STORED_PREFIX, digest));
            if !self.blobs.is_anybodys(digest) {
                swept.entries.push(Entry::DropModule { digest });
            }
            self.known.remove(&digest);
            tracing::info!(%digest, "no job names the module any more: deleted");
        }
        let unused = self.blobs.unused(&named.blobs, now).into_iter();
        let unused = unused.filter(|(digest, _)| !self.is_at_work(*digest)).take(SWEPT_MAX);
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
                let (name, digest) = (blob.name.as_str().into(), blob.digest);
                return Err(Reason::NoBlob { tenant: tenant.into(), name, digest }.into());
            }
        }
        let Some(known) = self.known.get(&task.module) else {
            return Err(Reason::NoModule { digest: task.module }.into());
        };
        let info = &known.module.info;
        if info.kind != task.kind {
            let (digest, found, said) = (task.module, info.kind, task.kind);
            return Err(Reason::OtherKind { digest, found, said }.into());
        }
        let refused = |refusal| Reason::NotAdmitted { refusal: Box::new(refusal) }.into();
        (self.check_task)(info, task).map_err(refused)
    }

    /// Has a module or a blob wait until it is its tenant's turn to have it looked at; see
    /// [`Self::next`].
    ///
    /// # Errors
    /// Where it is not looked at: it was refused lately, or too much waits already.
    pub(super) fn put(&mut self, put: Put, now: Micros) -> Result<(), ApiError> {
        let (sort, size) = (put.sort, put.bytes.len());
        match sort {
            Upload::Blob => self.blobs.check(&put.tenant, size as u64)?,
            Upload::Module => {
                self.check_count(&put.tenant)?;
                if let Some((until, error)) = self.refused.get(&put.digest)
                    && *until > now
                {
                    return Err(error.clone());
                }
            }
        }
        let tenant = put.tenant.clone();
        self.turns.push(&tenant, put, size).map_err(|(_, full)| {
            let wait = match full {
                Full::Tenant => Reason::UploadsWait { what: sort },
                Full::All => Reason::AllUploadsWait { what: sort },
            };
            wait.into()
        })
    }

    /// The next that is to be looked at, if one more may be; [`Self::looked`] is called after that.
    pub(super) fn next(&mut self) -> Option<Put> {
        let (_, put) = self.turns.next()?;
        let Put { tenant, digest, bytes, date, .. } = &put;
        let (tenant, digest, bytes, date) = (tenant.clone(), *digest, bytes.len(), *date);
        self.at_work.push(AtWork { tenant, digest, bytes, date });
        Some(put)
    }

    /// A module or a blob of the tenant's was looked at.
    pub(super) fn looked(
        &mut self,
        tenant: &str,
        digest: Digest,
        looked: AdmissionResult,
        now: Micros,
    ) {
        self.turns.done(tenant);
        let is_it = |one: &AtWork| one.tenant == tenant && one.digest == digest;
        let place = self.at_work.iter().position(is_it);
        let stored = place.map(|place| self.at_work.swap_remove(place).date);
        match looked {
            AdmissionResult::KeptBlob(size_bytes) => {
                self.blobs.kept(tenant, digest, size_bytes, now)
            }
            AdmissionResult::Kept(info) => {
                let module = StoredModule { info, owner: Some(tenant.to_owned()), stored };
                self.known.insert(digest, Known { module, unused_since: now });
                self.add_user(tenant, digest, now);
            }
            AdmissionResult::Refused(error) => {
                if self.refused.len() >= REFUSALS_MAX
                    && let Some((digest, _)) =
                        self.refused.iter().min_by_key(|(_, (until, _))| *until)
                {
                    let digest = *digest;
                    self.refused.remove(&digest);
                }
                self.refused.insert(digest, (now.after(REFUSED_FOR), error));
            }
            AdmissionResult::Failed(_) => {}
        }
    }

    /// Modules behind `after`, by digest, of this tenant or of all: shows each until one is not `taken`,
    /// and looks at no more than [`LOOKED_MAX`]. Gives where the list goes on.
    pub(super) fn list(
        &self,
        after: Option<Digest>,
        tenant: Option<&str>,
        mut taken: impl FnMut(Listed<'_>) -> bool,
    ) -> Option<Digest> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = after;
        for (looked, (digest, known)) in self.known.range((from, Bound::Unbounded)).enumerate() {
            if looked >= LOOKED_MAX {
                return last;
            }
            let is_wanted = tenant.is_none_or(|tenant| self.users.has(tenant, *digest));
            if is_wanted && !taken(Listed { module: &known.module, users: &self.users }) {
                return last;
            }
            last = Some(*digest);
        }
        None
    }

    fn is_at_work(&self, digest: Digest) -> bool {
        self.at_work.iter().any(|one| one.digest == digest)
    }

    /// A client's link has ended: nobody waits for what it has sent. True if it had sent something that
    /// was not looked at yet.
    pub(super) fn unlinked(&mut self, link: LinkId) -> bool {
        self.turns.retain(|put| put.link != link)
    }
}

/// What a module takes: its bytes, and the names of its imports and exports, which stay in memory.
fn bytes_of(info: &ModuleInfo) -> u64 {
    let names = info.imports.iter().chain(&info.exports);
    let names: usize = names.map(|name| name.len() + size_of::<String>()).sum();
    info.size_bytes.saturating_add(names as u64)
}

/// What deletes what the store has of a module.
fn no_meta(prefix: &str, digest: Digest) -> Entry {
    Entry::Meta { key: format!("{prefix}{digest}"), value: None }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::ModuleKind;

    use super::*;

    fn digest() -> Digest {
        Digest::of(b"module")
    }

    fn kept(tenant: &str) -> Modules {
        let (known, blobs, check_task) =
            (BTreeMap::new(), Blobs::default(), Arc::new(|_: &_, _: &_| Ok(())));
        let mut modules = Modules::new(known, blobs, check_task, Micros(0));
        let (kind, imports, exports) = (ModuleKind::Task, Vec::new(), Vec::new());
        let info = ModuleInfo { digest: digest(), size_bytes: 100, kind, imports, exports };
        modules.looked(tenant, digest(), AdmissionResult::Kept(info), Micros(0));
        modules
    }

    fn named<'a>(by: &[&'a str]) -> Named<'a> {
        let modules = by.iter().map(|tenant| (*tenant, digest())).collect();
        Named { modules, blobs: BTreeSet::new() }
    }

    #[test]
    fn a_module_counts_for_those_who_name_it_and_goes_with_the_last() {
        let mut modules = kept("ann");
        assert_eq!(modules.find("bob", digest(), Micros(0)), Found::Others(100));
        assert_eq!(modules.bytes_of("bob"), 0, "to hear of it costs nothing");
        modules.add_user("bob", digest(), Micros(0));
        assert_eq!(["ann", "bob"].map(|tenant| modules.bytes_of(tenant)), [100, 100]);

        // Bob has a job that names it, and asks again and again; of Ann nobody does.
        let later = Micros(0).after(UNUSED_AFTER);
        assert_eq!(modules.find("bob", digest(), later), Found::Own);
        let swept = modules.sweep(&named(&["bob"]), later);
        assert_eq!((swept.owners, swept.entries.len()), (BTreeSet::from(["ann".into()]), 1));
        assert_eq!(["ann", "bob"].map(|tenant| modules.bytes_of(tenant)), [0, 100]);

        let last = later.after(UNUSED_AFTER);
        let swept = modules.sweep(&named(&[]), last);
        let drops = |entry: &Entry| matches!(entry, Entry::DropModule { .. });
        assert!(swept.entries.iter().any(drops), "nobody names it");
        let date = no_meta(STORED_PREFIX, digest());
        assert!(swept.entries.contains(&date), "with its date");
        assert_eq!(modules.find("bob", digest(), last), Found::Absent);
    }

    #[test]
    fn at_a_start_a_module_counts_for_those_whose_jobs_name_it() {
        let module = kept("ann").known.remove(&digest()).expect("it is kept").module;
        let known = BTreeMap::from([(digest(), module)]);
        let check_task: CheckTask = Arc::new(|_, _| Ok(()));
        let mut modules = Modules::new(known, Blobs::default(), check_task, Micros(0));
        modules.named(named(&["bob", "bob"]).modules.into_iter(), Micros(0));
        assert_eq!(["ann", "bob", "cat"].map(|tenant| modules.bytes_of(tenant)), [100, 100, 0]);
    }

    #[test]
    fn a_page_looks_at_a_bounded_number_of_modules_and_says_where_the_list_goes_on() {
        let mut modules = kept("ann");
        let module = modules.known[&digest()].module.clone();
        for number in 0..LOOKED_MAX {
            let digest = Digest::of(&number.to_le_bytes());
            let info = ModuleInfo { digest, ..module.info.clone() };
            modules.looked("ann", digest, AdmissionResult::Kept(info), Micros(0));
        }
        let last = *modules.known.keys().next_back().expect("there are some");
        modules.add_user("bob", last, Micros(0));

        let mut found = Vec::new();
        let mut list = |after| {
            modules.list(after, Some("bob"), |one| {
                found.push((one.module.info.digest, one.tenants().count()));
                true
            })
        };
        let next = list(None);
        assert!(next.is_some_and(|next| next < last), "one module is left");
        assert_eq!((list(next), found), (None, vec![(last, 2)]));

        let mut room = 2;
        let next = modules.list(None, None, |_| {
            room -= 1;
            room >= 0
        });
        assert_eq!(next.as_ref(), modules.known.keys().nth(1), "behind the last that was taken");
    }

    #[test]
    fn a_tenant_has_not_too_many_modules() {
        let mut modules = kept("ann");
        for number in 1..MODULES_OF_ONE {
            let (digest, tenant) = (Digest::of(&number.to_le_bytes()), "ann");
            modules.users.add(tenant, digest, 1, Micros(0));
            assert_eq!(modules.check_count(tenant).is_err(), number == MODULES_OF_ONE - 1);
        }
        let allowed = MODULES_OF_ONE as u64;
        let full = Reason::TooManyModules { tenant: "ann".into(), allowed };
        assert_eq!(modules.check_count("ann"), Err(full.into()));
        assert_eq!(modules.check_count("bob"), Ok(()));
    }
}
