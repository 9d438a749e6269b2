//! Why a server does not start, or ends.

use std::sync::Arc;

use wasmgrid_proto::{Epoch, Seq, durable::ReadError};
use wasmgrid_store::StoreError;

/// Why a server does not start, or ended by itself.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServerError {
    /// The store could not be read when the server started.
    #[error("failed to read the store; check that its directory exists and belongs to this grid")]
    Load(#[source] std::sync::Arc<StoreError>),
    /// The journal has a record that this version cannot read.
    #[error("record {seq} of the journal cannot be read; was it written by a newer version?")]
    Record {
        /// Where.
        seq: Seq,
        /// What is wrong with it.
        #[source]
        reason: ReadError,
    },
    /// The snapshot of the journal has something that this version cannot read.
    #[error("the journal's snapshot cannot be read; was it written by a newer version?")]
    Snapshot {
        /// What is wrong with it.
        #[source]
        reason: ReadError,
    },
    /// Durable data of the server's own cannot be read.
    #[error("the stored value {key:?} cannot be read; was it written by a newer version?")]
    Meta {
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        reason: postcard::Error,
    },
    /// The grid's own secret cannot be read or made.
    #[error("failed to read the grid's secret: {reason}")]
    Secret {
        /// Why.
        reason: String,
    },
    /// Something durable is not there.
    #[error("{what} is missing from the store; restore a backup")]
    Missing {
        /// What.
        what: String,
    },
    /// A commit failed: what came after the last one is not durable, so nothing of it was
    /// answered.
    #[error(
        "the store failed to commit and the scheduler stopped; fix the cause and restart; all \
             acknowledged data is safe"
    )]
    Commit(#[source] std::sync::Arc<StoreError>),
    /// Another scheduler was started on the same store.
    #[error(
        "another scheduler took over the store (its epoch is {newest}), so this one stopped; run \
         only one scheduler per state folder"
    )]
    TakenOver {
        /// The other's term.
        newest: Epoch,
    },
    /// The thread that writes the store could not be started, or is gone.
    #[error("the thread that writes the store has ended; restart the scheduler")]
    Writer,
}

impl ServerError {
    /// What it means that a commit failed so.
    pub(crate) fn of_commit(error: StoreError) -> Self {
        match error {
            StoreError::Fenced { newest, .. } => Self::TakenOver { newest },
            error => Self::Commit(Arc::new(error)),
        }
    }
}
