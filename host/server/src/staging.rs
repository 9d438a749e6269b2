//! Large data of messages, which is written before the driver decides on them: their link waits for
//! it, and nobody else does.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use wasmgrid_proto::{
    frame::Envelope,
    wire::{FromClient, FromWorker, Request, RequestFrame},
};

use crate::{inbox::Party, journal::Write};

/// Has the journal stage data; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Staging {
    /// Smaller data is written with its record.
    from: usize,
    /// Does not keep the journal alive.
    writes: mpsc::WeakSender<Write>,
    /// Whether nothing is committed.
    halted: watch::Receiver<bool>,
}

impl Staging {
    pub(crate) const fn new(
        from: usize,
        writes: mpsc::WeakSender<Write>,
        halted: watch::Receiver<bool>,
    ) -> Self {
        Self { from, writes, halted }
    }

    /// True if a message with so many bytes may have large data.
    pub(crate) const fn may_stage(&self, bytes: usize) -> bool {
        bytes >= self.from
    }

    /// Stages data, if it is large. While nothing is committed, as on a full disk, it does not wait:
    /// the data is refused, or written with its record.
    pub(crate) async fn stage(&self, by: &Party, bytes: Bytes) {
        if !self.may_stage(bytes.len()) {
            return;
        }
        let mut halted = self.halted.clone();
        let staged = async {
            let writes = self.writes.upgrade()?;
            let (done, staged) = oneshot::channel();
            writes.send(Write::Stage { by: Some(by.clone()), bytes, done }).await.ok()?;
            drop(writes);
            staged.await.ok()
        };
        tokio::select! {
            _ = halted.wait_for(|halted| *halted) => {}
            _ = staged => {}
        }
    }
}

/// The data of a client's message that a record will name.
pub(crate) fn of_client(envelope: &Envelope<FromClient>) -> Vec<Bytes> {
    let FromClient::Request(RequestFrame { request, .. }) = &envelope.message else {
        return Vec::new();
    };
    match request {
        Request::Submit(_)
        | Request::AppendAt { .. }
        | Request::Append { .. }
        | Request::Call { .. } => {
            vec![envelope.payload.clone()]
        }
        _ => Vec::new(),
    }
}

/// The same of a worker's: each block is a segment.
pub(crate) fn of_worker(envelope: &Envelope<FromWorker>) -> Vec<Bytes> {
    let FromWorker::Results(results) = &envelope.message else { return Vec::new() };
    let mut rest = envelope.payload.clone();
    let parts = results.blocks.iter().map(|block| {
        let length = usize::try_from(block.payload_len()).unwrap_or(usize::MAX);
        rest.split_to(length.min(rest.len()))
    });
    parts.collect()
}
