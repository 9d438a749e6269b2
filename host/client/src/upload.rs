//! Inputs on their way to the grid: several appends at once, so that one is read while another is
//! sent and a third is committed.

use std::collections::VecDeque;

use bytes::Bytes;
use wasmgrid_proto::{InputBlock, JobId, Reason, wire::Request};

use crate::{
    Client, ClientError,
    client::{Answer, done},
};

/// Appends on their way: what a grid that commits to a disk needs to have one always at hand.
const APPENDS_MAX: usize = 8;

/// Bytes of these, unless a single one has more.
const APPENDS_BYTES: usize = 8 << 20;

/// Appends to an open job, the oldest of which are not answered yet; see [`Client::uploads`].
#[derive(Debug)]
pub struct Uploads {
    client: Client,
    job: JobId,
    open: VecDeque<Upload>,
    bytes: usize,
}

#[derive(Debug)]
struct Upload {
    request: Request,
    payload: Bytes,
    /// Others were before it on the way, which it may have overtaken.
    behind: bool,
    /// `None` where it is to be asked again.
    answer: Option<Answer>,
}

impl Uploads {
    pub(crate) const fn new(client: Client, job: JobId) -> Self {
        Self { client, job, open: VecDeque::new(), bytes: 0 }
    }

    /// True where nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Sends inputs behind those before, the first of which gets index `first`; waits until there is
    /// room for them.
    ///
    /// # Errors
    /// Of one before it, where this is not sent, or why this cannot be sent.
    pub async fn push(
        &mut self,
        first: u64,
        inputs: InputBlock,
        payload: Bytes,
    ) -> Result<(), ClientError> {
        let job = self.job;
        self.send(Request::AppendAt { job, first, inputs }, payload).await
    }

    /// Leaves indices behind those before without a task, from index `first` on; as
    /// [`push`](Self::push).
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn skip(&mut self, first: u64, count: u64) -> Result<(), ClientError> {
        let job = self.job;
        self.send(Request::Skip { job, first, count }, Bytes::new()).await
    }

    async fn send(&mut self, request: Request, payload: Bytes) -> Result<(), ClientError> {
        let is_full = |this: &Self| {
            this.open.len() >= APPENDS_MAX || this.bytes + payload.len() > APPENDS_BYTES
        };
        while !self.is_empty() && is_full(self) {
            self.settle().await?;
        }
        let answer = Some(self.client.begin(request.clone(), payload.clone(), None).await?);
        self.bytes += payload.len();
        let behind = !self.is_empty();
        self.open.push_back(Upload { request, payload, behind, answer });
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
    /// As [`push`](Self::push).
    pub async fn settle(&mut self) -> Result<(), ClientError> {
        let Some(oldest) = self.open.front_mut() else { return Ok(()) };
        let answer = loop {
            let Some(asked) = &mut oldest.answer else {
                let (request, payload) = (oldest.request.clone(), oldest.payload.clone());
                oldest.answer = Some(self.client.begin(request, payload, None).await?);
                continue;
            };
            let answer = asked.await;
            if !oldest.behind || !answer.as_ref().is_err_and(is_gap) {
                break answer;
            }
            // Large messages may overtake each other; now those before it are there.
            tracing::debug!(job = %self.job, "an append came too early");
            (oldest.behind, oldest.answer) = (false, None);
        };
        if let Some(settled) = self.open.pop_front() {
            self.bytes -= settled.payload.len();
        }
        done(answer?)
    }
}

/// The inputs do not fit, as something is missing before them.
fn is_gap(error: &ClientError) -> bool {
    matches!(error, ClientError::Api(error) if matches!(*error.reason, Reason::Gap { .. }))
}
