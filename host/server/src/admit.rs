//! Looks at modules and blobs that clients have sent, and has them kept: off the driver, for
//! seconds if need be. It does not decide whose turn it is; that is the table's
//! (`driver/modules.rs`).

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmgrid_proto::{
    Digest, Micros, ModuleInfo, Reason, reason::Upload, text::Detail, wire::ApiError,
};
use wasmgrid_store::{Entry, StoreError};

use crate::{
    blocking::Blocking,
    config::{Admit, NotAdmitted},
    driver::{AdmissionResult, MODULE_PREFIX, OWNER_PREFIX, Put, STORED_PREFIX, blob_entry},
    inbox::Party,
    journal::Write,
};

/// Looks at what was sent; cheap to clone.
#[derive(Clone)]
pub(crate) struct Admitter {
    pub(crate) admit: Admit,
    pub(crate) writes: mpsc::Sender<Write>,
    pub(crate) tasks: TaskTracker,
    pub(crate) blocking: Blocking,
    /// The server stops: nothing that is being looked at is waited for.
    pub(crate) stop: CancellationToken,
}

impl Admitter {
    /// Looks at what a client has sent and keeps it, if it may be kept; `None` if the server stops
    /// meanwhile.
    pub(crate) async fn look(&self, put: Put) -> Option<AdmissionResult> {
        let Put { tenant, sort, digest, bytes, date, .. } = put;
        let looking = async {
            self.check_digest(sort, digest, &bytes).await?;
            match sort {
                Upload::Module => self.look_and_keep(digest, bytes, (&tenant, date)).await,
                Upload::Blob => Ok(keep_blob(&self.writes, digest, &tenant, bytes).await?),
            }
        };
        // Its links end with the server, and nobody is left who could be answered.
        Some(match self.stop.run_until_cancelled(looking).await? {
            Ok(kept) => kept,
            Err(NotKept { error, is_final: true }) => AdmissionResult::Refused(error),
            Err(NotKept { error, .. }) => AdmissionResult::Failed(error),
        })
    }

    /// Fails if the bytes are not those that their digest names.
    async fn check_digest(
        &self,
        sort: Upload,
        digest: Digest,
        bytes: &Bytes,
    ) -> Result<(), ApiError> {
        let hashed = bytes.clone();
        let found = self.blocking.run(&self.tasks, move || Digest::of(&hashed)).await;
        let found = found.ok_or_else(|| broken_off(sort, digest))?;
        if found == digest {
            return Ok(());
        }
        Err(Reason::WrongDigest { what: sort, said: digest, found }.into())
    }

    async fn look_and_keep(
        &self,
        digest: Digest,
        bytes: Bytes,
        from: (&str, Micros),
    ) -> Result<AdmissionResult, NotKept> {
        let broken = || broken_off(Upload::Module, digest);
        let admitted = match &self.admit {
            Admit::Here(admit) => {
                let (admit, bytes) = (admit.clone(), bytes.clone());
                let admitted = self
                    .blocking
                    .run(&self.tasks, move || admit(&bytes))
                    .await
                    .ok_or_else(broken)?;
                admitted.map_err(NotAdmitted::Refused)
            }
            Admit::Apart(admit) => admit(bytes.clone()).await,
        };
        let info = admitted.map_err(|why| match why {
            NotAdmitted::Refused(refusal) => {
                let error = Reason::NotAdmitted { refusal: Box::new(refusal) }.into();
                NotKept { error, is_final: true }
            }
            NotAdmitted::Unavailable(reason) => {
                ApiError::from(Reason::CheckFailed { reason }).into()
            }
        })?;
        keep(&self.writes, &info, from, bytes).await?;
        Ok(AdmissionResult::Kept(info))
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

fn broken_off(sort: Upload, digest: Digest) -> ApiError {
    Reason::CheckInterrupted { what: sort, digest }.into()
}

async fn keep_blob(
    writes: &mpsc::Sender<Write>,
    digest: Digest,
    tenant: &str,
    bytes: Bytes,
) -> Result<AdmissionResult, ApiError> {
    let size_bytes = bytes.len() as u64;
    let meta = blob_entry(digest, tenant, Some(size_bytes));
    let by = Some(Party::Tenant(tenant.to_owned()));
    write(writes, by, vec![Entry::Module { digest, bytes }, meta]).await?;
    Ok(AdmissionResult::KeptBlob(size_bytes))
}

async fn keep(
    writes: &mpsc::Sender<Write>,
    info: &ModuleInfo,
    (owner, date): (&str, Micros),
    bytes: Bytes,
) -> Result<(), ApiError> {
    let value = postcard::to_allocvec(info)
        .map_err(|error| Reason::Internal { reason: Detail::of(&error) })?;
    let key = format!("{MODULE_PREFIX}{}", info.digest);
    let owner_key = format!("{OWNER_PREFIX}{}", info.digest);
    let by = Some(Party::Tenant(owner.to_owned()));
    let owner = Bytes::copy_from_slice(owner.as_bytes());
    let stored_key = format!("{STORED_PREFIX}{}", info.digest);
    let stored = Bytes::copy_from_slice(&date.0.to_le_bytes());
    write(
        writes,
        by,
        vec![
            Entry::Module { digest: info.digest, bytes },
            Entry::Meta { key, value: Some(value.into()) },
            Entry::Meta { key: owner_key, value: Some(owner) },
            Entry::Meta { key: stored_key, value: Some(stored) },
        ],
    )
    .await
}

/// Makes `entries` durable.
///
/// # Errors
/// [`ErrorCode::Unavailable`](wasmgrid_proto::wire::ErrorCode::Unavailable), where that cannot be
/// done now; nothing of them is then kept.
pub(crate) async fn write(
    writes: &mpsc::Sender<Write>,
    by: Option<Party>,
    entries: Vec<Entry>,
) -> Result<(), ApiError> {
    let (done, written) = oneshot::channel();
    if writes.send(Write::Keep { by, entries, done }).await.is_err() {
        return Err(Reason::Stopping.into());
    }
    match written.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if matches!(*error, StoreError::Full(_)) => Err(Reason::DiskFull.into()),
        Ok(Err(error)) => Err(Reason::StoreFailed { reason: Detail::of(&error) }.into()),
        Err(_) => Err(Reason::Stopping.into()),
    }
}
