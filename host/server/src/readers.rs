//! Reads of the store, off the driver: a few readers, each used by one blocking call at a time.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use wasmgrid_proto::{Digest, JobId, LogRef, wire::Reply};
use wasmgrid_store::{LogKind, Reader, Store, StoreError};

use crate::{
    audit_log,
    blocking::Blocking,
    driver::{
        AuditQuery, Cached, Expired, Expiry, GivenInputs, InputReading, Measured, Search, decode,
    },
    error::ServerError,
};

/// Reads at a time: enough to keep a disk's queue busy beside the writer.
const READERS: usize = 4;

/// How much of a log is read in search of one task: seconds of work beside the driver.
const WALK_BYTES: usize = 1 << 30;

/// The readers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Box<dyn Reader>>>>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    blocking: Blocking,
}

impl Readers {
    /// Readers of `store`.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) fn new(
        store: &dyn Store,
        tasks: TaskTracker,
        blocking: Blocking,
    ) -> Result<Self, StoreError> {
        let idle = (0..READERS).map(|_| store.reader()).collect::<Result<Vec<_>, _>>()?;
        let permits = Arc::new(Semaphore::new(READERS));
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits, tasks, blocking })
    }

    /// Reads the segment that holds `place`.
    ///
    /// # Errors
    /// [`ServerError::Missing`], if there is none.
    pub(crate) async fn segment(&self, place: LogRef) -> Result<Cached, ServerError> {
        self.run(move |reader| Ok(segment(reader, place))).await?
    }

    /// Reads inputs, as many as fit one answer.
    ///
    /// # Errors
    /// As [`Self::segment`], for the first of them.
    pub(crate) async fn inputs(&self, reading: InputReading) -> Result<GivenInputs, ServerError> {
        self.run(move |reader| Ok(reading.read(|place| segment(reader, place)))).await?
    }

    /// Reads a job's results from before `end` backwards, a segment at a time, until the search is
    /// over or there are no more; at most [`WALK_BYTES`].
    ///
    /// # Errors
    /// [`ServerError::Load`].
    pub(crate) async fn walk_back(
        &self,
        job: JobId,
        end: u64,
        mut search: Search,
    ) -> Result<Search, ServerError> {
        self.run(move |reader| {
            let (mut end, mut bytes) = (end, 0);
            while end > 0 && bytes < WALK_BYTES {
                let Some(segment) = reader.segment(job, LogKind::Result, end - 1)? else { break };
                bytes += segment.bytes();
                end = segment.first.min(end - 1);
                // One that cannot be read is told of by who needs it.
                let Ok(Cached::Results(results)) = decode(&segment) else { continue };
                if !search.look(&results) {
                    break;
                }
            }
            Ok(search)
        })
        .await
    }

    /// Runs a call that may take long and reads nothing; `None` where it broke off.
    pub(crate) async fn beside<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.blocking.run(&self.tasks, call).await
    }

    /// Measures the store.
    ///
    /// # Errors
    /// [`ServerError::Load`].
    pub(crate) async fn measure(&self, keep_open: Option<u64>) -> Result<Measured, ServerError> {
        self.run(move |reader| measure(reader, keep_open)).await
    }

    /// Reads entries of the audit log.
    ///
    /// # Errors
    /// [`ServerError::Load`].
    pub(crate) async fn audit_page(&self, query: AuditQuery) -> Result<Reply, ServerError> {
        self.run(move |reader| audit_log::page(reader, &query)).await
    }

    /// Looks for the first entries of the audit log that are not kept any longer.
    ///
    /// # Errors
    /// [`ServerError::Load`].
    pub(crate) async fn expired_audits(&self, expiry: Expiry) -> Result<Expired, ServerError> {
        self.run(move |reader| audit_log::expired(reader, expiry)).await
    }

    /// Reads a module or a blob.
    ///
    /// # Errors
    /// [`ServerError::Load`].
    pub(crate) async fn module(&self, digest: Digest) -> Result<Option<Bytes>, ServerError> {
        self.run(move |reader| reader.module(digest)).await
    }

    /// Reads one value.
    ///
    /// # Errors
    /// [`ServerError::Load`].
    pub(crate) async fn meta(&self, key: String) -> Result<Option<Bytes>, ServerError> {
        self.run(move |reader| reader.meta(&key)).await
    }

    /// Reads all values whose keys start with `prefix`.
    ///
    /// # Errors
    /// [`ServerError::Load`].
    pub(crate) async fn metas(
        &self,
        prefix: &'static str,
    ) -> Result<Vec<(String, Bytes)>, ServerError> {
        self.run(move |reader| reader.metas(prefix)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ServerError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| ServerError::Writer)?;
        let idle = self.idle.clone();
        let call = move || {
            let _permit = permit;
            let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(mut reader) = lock().pop() else { return Err(ServerError::Writer) };
            let result = read(reader.as_mut()).map_err(|error| ServerError::Load(Arc::new(error)));
            lock().push(reader);
            result
        };
        self.blocking.run(&self.tasks, call).await.unwrap_or(Err(ServerError::Writer))
    }
}

/// Reads the segment that holds `place`.
fn segment(reader: &mut dyn Reader, place: LogRef) -> Result<Cached, ServerError> {
    let found = reader.segment(place.job, place.log, place.position);
    match found.map_err(|error| ServerError::Load(Arc::new(error)))? {
        Some(segment) => {
            decode(&segment).map_err(|reason| ServerError::Meta { key: place.to_string(), reason })
        }
        None => Err(ServerError::Missing { what: place.to_string() }),
    }
}

/// Measures the store.
///
/// # Errors
/// Where it cannot be read.
fn measure(reader: &mut dyn Reader, keep_open: Option<u64>) -> Result<Measured, StoreError> {
    let sizes = reader.sizes()?;
    let mut cuts = Vec::new();
    for size in sizes.iter().filter(|size| size.log == LogKind::Result) {
        let over = keep_open.map_or(0, |keep| size.bytes.saturating_sub(keep));
        if over > 0 {
            cuts.push((size.job, reader.position_after(size.job, LogKind::Result, over)?));
        }
    }
    Ok(Measured { sizes, cuts })
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}
