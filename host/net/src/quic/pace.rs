//! How long a message may stand still on its way from or to a peer that may be anybody's.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use quinn::{SendStream, WriteError};
use tokio::time;

use super::control::write_end;
use crate::link::LinkError;

/// Why something was not written.
pub(super) enum Unwritten {
    /// The stream or the connection is gone.
    Ended(WriteError),
    /// The peer took nothing more of it.
    Still,
}

impl Unwritten {
    /// What that means for the link; `Ok` where it ended in order.
    pub(super) fn end(&self, peer: &str) -> Result<(), LinkError> {
        match self {
            Self::Ended(error) => write_end(error, peer),
            Self::Still => {
                let reason = "it does not read its messages".into();
                Err(LinkError::Lost { peer: peer.to_owned(), reason })
            }
        }
    }
}

/// Waits for a step of a message; `None` where it takes longer than `patience`.
pub(super) async fn going<T>(
    patience: Option<Duration>,
    step: impl Future<Output = T>,
) -> Option<T> {
    match patience {
        Some(patience) => time::timeout(patience, step).await.ok(),
        None => Some(step.await),
    }
}

/// Writes all of these; however long that takes, as long as the peer takes some of it each time.
pub(super) async fn write_all(
    stream: &mut SendStream,
    mut chunks: &mut [Bytes],
    patience: Option<Duration>,
) -> Result<(), Unwritten> {
    while !chunks.is_empty() {
        let step = going(patience, stream.write_chunks(chunks)).await;
        let written = step.ok_or(Unwritten::Still)?.map_err(Unwritten::Ended)?;
        chunks = chunks.get_mut(written.chunks..).unwrap_or_default();
    }
    Ok(())
}
