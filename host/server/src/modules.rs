//! The modules jobs may name: admitted once, kept durably, given to workers that ask. It never
//! looks into one; the admission it was given does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;
use wasmgrid_proto::{
    Digest, JobSpec, Micros, Millis, ModuleInfo,
    wire::{ApiError, ErrorCode, Reply},
};
use wasmgrid_store::{Entry, StoreError};

use crate::{
    blocking::Blocking,
    config::{Admission, Admit},
    driver::{Event, api_error},
    journal::Write,
    links::{HeardRoom, LinkId},
    readers::Readers,
};

/// The keys under which the store has what admission found.
pub(crate) const MODULE_PREFIX: &str = "module/";

/// Modules looked at at a time: each takes a core for milliseconds, and its bytes wait in memory.
const ADMISSIONS: usize = 2;

/// How long a module stays that no job names: a client that has sent it, or was told that it is
/// here, submits soon.
const UNUSED_AFTER: Millis = Millis(60 * 60 * 1_000);

/// What the server knows of modules.
pub(crate) struct Modules {
    known: BTreeMap<Digest, Known>,
    admission: Admission,
    permits: Arc<Semaphore>,
    writes: mpsc::Sender<Write>,
    readers: Readers,
    done: mpsc::Sender<Event>,
    tasks: TaskTracker,
    blocking: Blocking,
}

/// A module that is here.
struct Known {
    info: ModuleInfo,
    /// When somebody last asked for it or named it.
    touched_at: Micros,
}

impl Modules {
    /// With the modules the store has.
    pub(crate) fn new(
        (known, now): (BTreeMap<Digest, ModuleInfo>, Micros),
        admission: Admission,
        writes: mpsc::Sender<Write>,
        readers: Readers,
        done: mpsc::Sender<Event>,
        tasks: TaskTracker,
        blocking: Blocking,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(ADMISSIONS));
        let known = known
            .into_iter()
            .map(|(digest, info)| (digest, Known { info, touched_at: now }))
            .collect();
        Self { known, admission, permits, writes, readers, done, tasks, blocking }
    }

    /// True where the module is here; then it stays for a while.
    pub(crate) fn has(&mut self, digest: Digest, now: Micros) -> bool {
        let known = self.known.get_mut(&digest);
        known.map(|known| known.touched_at = now).is_some()
    }

    /// The module is durable.
    pub(crate) fn insert(&mut self, info: ModuleInfo, now: Micros) {
        self.known.insert(info.digest, Known { info, touched_at: now });
    }

    /// Drops modules that are not `named` by a job that is kept, and that nobody asked for lately.
    pub(crate) fn sweep(&mut self, named: &BTreeSet<Digest>, now: Micros) {
        let unused = |(digest, known): (&Digest, &Known)| {
            let idle = known.touched_at.after(UNUSED_AFTER) <= now;
            (idle && !named.contains(digest)).then_some(*digest)
        };
        let unused: Vec<Digest> = self.known.iter().filter_map(unused).collect();
        for digest in unused {
            // In the order of the driver's turns, so that one that is sent again comes behind it.
            let Ok(permit) = self.writes.try_reserve() else { return };
            let key = format!("{MODULE_PREFIX}{digest}");
            let entries = vec![Entry::DropModule { digest }, Entry::Meta { key, value: None }];
            // Where the disk is full it is found again at the next start.
            let (done, _) = oneshot::channel();
            permit.send(Write::Keep { entries, done });
            self.known.remove(&digest);
            tracing::info!(%digest, "no job names the module any more: dropped");
        }
    }

    /// Reads a module for the worker of `link`.
    pub(crate) fn read(&self, link: LinkId, digest: Digest) {
        self.readers.module(link, digest);
    }

    /// Says whether the job's module is here, is what the job says it is, and is granted what it
    /// asks for.
    pub(crate) fn check(&self, spec: &JobSpec) -> Result<(), ApiError> {
        let task = &spec.task;
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
        (self.admission.check_grants)(info, &task.grants)
            .map_err(|why| api_error(ErrorCode::Refused, why))
    }

    /// Admits a module and keeps it; the answer is an [`Event::Answer`], before it an
    /// [`Event::ModuleKept`].
    pub(crate) fn put(
        &self,
        link: LinkId,
        id: u64,
        digest: Digest,
        (bytes, room): (Bytes, HeardRoom),
    ) {
        let (admit, permits) = (self.admission.admit.clone(), self.permits.clone());
        let (writes, done) = (self.writes.clone(), self.done.clone());
        let (tasks, blocking) = (self.tasks.clone(), self.blocking.clone());
        self.tasks.spawn(async move {
            let Ok(_permit) = permits.acquire_owned().await else { return };
            let look = {
                let bytes = bytes.clone();
                move || look(&admit, digest, &bytes)
            };
            let kept = match blocking.run(&tasks, look).await {
                Some(Ok(info)) => keep(&writes, &info, bytes).await.map(|()| info),
                Some(Err(error)) => Err(error),
                None => Err(api_error(
                    ErrorCode::Refused,
                    format!("module {digest:.12} could not be looked at: the check broke off"),
                )),
            };
            let reply = match kept {
                Ok(info) => {
                    let _ = done.send(Event::ModuleKept { info }).await;
                    Ok(Reply::Done)
                }
                Err(error) => Err(error),
            };
            let _ = done.send(Event::Answer { link, id, reply }).await;
            // The module's bytes were in memory until here.
            drop(room);
        });
    }
}

fn look(admit: &Admit, digest: Digest, bytes: &[u8]) -> Result<ModuleInfo, ApiError> {
    let found = Digest::of(bytes);
    if found != digest {
        let why = format!("the module's digest is {found}, not {digest}; send it again");
        return Err(api_error(ErrorCode::Invalid, why));
    }
    admit(bytes).map_err(|why| api_error(ErrorCode::Refused, why))
}

async fn keep(
    writes: &mpsc::Sender<Write>,
    info: &ModuleInfo,
    bytes: Bytes,
) -> Result<(), ApiError> {
    let value = postcard::to_allocvec(info)
        .map_err(|error| api_error(ErrorCode::Refused, format!("its description: {error}")))?;
    let key = format!("{MODULE_PREFIX}{}", info.digest);
    write(
        writes,
        vec![
            Entry::Module { digest: info.digest, bytes },
            Entry::Meta { key, value: Some(value.into()) },
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
