//! Inputs on their way to the grid: several appends at once, so that one is read while another is
//! sent and a third is committed.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;
use wasmgrid_client::{Client, ClientError};
use wasmgrid_proto::{InputBlock, JobId, wire::ErrorCode};

/// Appends on their way: what a grid that commits to a disk needs to have one always at hand.
const APPENDS_MAX: usize = 8;

/// Bytes of these, unless a single one has more.
const APPENDS_BYTES: usize = 8 << 20;

/// The appends to one job that are not answered, in order.
pub struct Uploads {
    client: Client,
    job: JobId,
    open: VecDeque<Upload>,
    bytes: usize,
}

struct Upload {
    first: u64,
    block: InputBlock,
    payload: Bytes,
    /// Others were before it on the way, which it may have overtaken.
    behind: bool,
    answer: AbortOnDropHandle<Result<(), ClientError>>,
}

impl Uploads {
    /// Appends to a job whose inputs nobody else appends by their index.
    pub const fn new(client: Client, job: JobId) -> Self {
        Self { client, job, open: VecDeque::new(), bytes: 0 }
    }

    /// True where nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Sends inputs behind those before, the first of which gets index `first`; waits until there is
    /// room for them.
    ///
    /// # Errors
    /// Of this append or one before it, none of which is then to be trusted.
    pub async fn push(
        &mut self,
        first: u64,
        block: InputBlock,
        payload: Bytes,
    ) -> Result<(), ClientError> {
        let is_full = |this: &Self| {
            this.open.len() >= APPENDS_MAX || this.bytes + payload.len() > APPENDS_BYTES
        };
        while !self.is_empty() && is_full(self) {
            self.settle().await?;
        }
        let answer = self.ask(first, block.clone(), payload.clone());
        self.bytes += payload.len();
        let behind = !self.is_empty();
        self.open.push_back(Upload { first, block, payload, behind, answer });
        Ok(())
    }

    /// Waits until everything that was sent is part of the job.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn finish(&mut self) -> Result<(), ClientError> {
        while !self.is_empty() {
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits for the oldest append. Cancel safe.
    ///
    /// # Errors
    /// As the grid says.
    pub async fn settle(&mut self) -> Result<(), ClientError> {
        let Some(oldest) = self.open.front_mut() else { return Ok(()) };
        let mut answer = (&mut oldest.answer).await;
        if oldest.behind && matches!(&answer, Ok(Err(error)) if is_gap(error)) {
            // Large messages may overtake each other; now those before it are there.
            oldest.behind = false;
            tracing::debug!(job = %self.job, first = oldest.first, "an append came too early");
            let (first, block, payload) =
                (oldest.first, oldest.block.clone(), oldest.payload.clone());
            let again = self.ask(first, block, payload);
            let Some(oldest) = self.open.front_mut() else { return Ok(()) };
            oldest.answer = again;
            answer = (&mut oldest.answer).await;
        }
        if let Some(settled) = self.open.pop_front() {
            self.bytes -= settled.payload.len();
        }
        // It is not aborted, so it has panicked.
        answer.unwrap_or(Err(ClientError::Stopped))
    }

    fn ask(
        &self,
        first: u64,
        block: InputBlock,
        payload: Bytes,
    ) -> AbortOnDropHandle<Result<(), ClientError>> {
        let (client, job) = (self.client.clone(), self.job);
        AbortOnDropHandle::new(tokio::spawn(async move {
            client.append(job, first, block, payload).await
        }))
    }
}

/// The inputs do not fit, as something is missing before them.
fn is_gap(error: &ClientError) -> bool {
    matches!(error, ClientError::Api(error) if error.code == ErrorCode::Invalid)
}
