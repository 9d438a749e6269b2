//! One job from its first input to its last result: feeds inputs, collects results, and heeds
//! Ctrl-C, all at once.

use std::{cell::RefCell, pin::pin};

use bytes::Bytes;
use tokio::sync::Notify;
use wasmgrid_client::{Client, ClientError, JobEvent, JobStream, SubmitRequest};
use wasmgrid_proto::{InputBlock, JobId, JobSpec, JobStatus, wire::ErrorCode};

use super::{
    collect::Collector,
    inputs::{Chunk, Inputs, Origins, Stream},
    ledger::Ledger,
    output::Closed,
};
use crate::interrupt::Interrupt;

/// A job that was submitted, and its inputs.
pub struct Session {
    client: Client,
    /// The job.
    pub job: JobId,
    /// Inputs whose results have not come.
    pub ledger: RefCell<Ledger>,
    /// A result came, so that there may be room for inputs.
    settled: Notify,
}

/// What is still to come of a session's job.
pub struct Rest {
    /// Inputs that were not read yet.
    inputs: Option<Stream>,
    /// The results.
    results: Option<JobStream>,
}

/// How a session ended.
pub enum Ending {
    /// The job ended.
    Ended(Box<JobStatus>),
    /// Ctrl-C on a cluster: the job goes on with the inputs it has.
    Detached,
    /// Nobody reads the output any more.
    OutputClosed,
}

/// What Ctrl-C does to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It goes on without us.
    Detach,
    /// It is cancelled: it lives in this process.
    Cancel,
}

impl Session {
    /// Submits the job with its first inputs; with `watch` its results can be collected.
    ///
    /// # Errors
    /// Where the first inputs are wrong, or the grid does not take the job.
    pub async fn open(
        client: Client,
        spec: JobSpec,
        inputs: Inputs,
        watch: bool,
    ) -> anyhow::Result<(Self, Rest)> {
        let (first, rest) = begin(inputs).await?;
        let (inputs, payload) = (first.block.clone(), first.payload.clone());
        let closed = rest.is_none();
        let request = SubmitRequest { spec, key: None, inputs, payload, closed, watch };
        let (status, results) = client.submit(request).await?;
        let mut ledger = Ledger::default();
        ledger.add(first);
        let (ledger, settled) = (RefCell::new(ledger), Notify::new());
        Ok((Self { client, job: status.job, ledger, settled }, Rest { inputs: rest, results }))
    }

    /// Appends the inputs that are left and closes the job, without waiting for results.
    ///
    /// # Errors
    /// Where an input is wrong or the grid is lost; the job then has the inputs before it.
    pub async fn upload(&self, rest: Rest) -> anyhow::Result<()> {
        let Some(mut inputs) = rest.inputs else { return Ok(()) };
        let mut next = self.ledger.borrow().total();
        let appended = async {
            while let Some(chunk) = inputs.next().await.transpose()? {
                let count = chunk.block.count();
                self.client.append(self.job, next, chunk.block, chunk.payload).await?;
                next += count;
            }
            anyhow::Ok(())
        };
        let appended = appended.await;
        self.client.close(self.job).await?;
        appended
    }

    /// Feeds and collects until the end; gives it with the error of an input that was wrong, which
    /// ends the feeding and not the job.
    ///
    /// # Errors
    /// Where the grid is lost, or the output cannot be written.
    pub async fn run(
        &self,
        rest: Rest,
        collector: &mut Collector<'_>,
        interrupt: &Interrupt,
        on_interrupt: OnInterrupt,
    ) -> anyhow::Result<(Ending, Option<anyhow::Error>)> {
        let (mut feeding, mut asked, mut wrong_input) = (rest.inputs.is_some(), false, None);
        let mut feed = pin!(self.feed(rest.inputs));
        let mut collect = pin!(self.collect(rest.results, collector));
        loop {
            tokio::select! {
                ended = &mut collect => return Ok((ended?, wrong_input)),
                fed = &mut feed, if feeding => {
                    feeding = false;
                    wrong_input = fed.err();
                    self.close().await?;
                }
                () = interrupt.asked(), if !asked => {
                    asked = true;
                    if on_interrupt == OnInterrupt::Cancel {
                        feeding = false;
                        self.client.cancel(self.job).await?;
                        continue;
                    }
                    if feeding {
                        self.close().await?;
                    }
                    return Ok((Ending::Detached, wrong_input));
                }
            }
        }
    }

    /// Reads inputs and appends them, as far ahead of the results as the ledger lets it.
    async fn feed(&self, inputs: Option<Stream>) -> anyhow::Result<()> {
        let Some(mut inputs) = inputs else { return Ok(()) };
        loop {
            while !self.ledger.borrow().has_room() {
                self.settled.notified().await;
            }
            let Some(chunk) = inputs.next().await.transpose()? else { return Ok(()) };
            let (block, payload) = (chunk.block.clone(), chunk.payload.clone());
            let first = self.ledger.borrow_mut().add(chunk);
            match self.client.append(self.job, first, block, payload).await {
                Err(error) if is_conflict(&error) => return Ok(()),
                appended => appended?,
            }
        }
    }

    async fn collect(
        &self,
        results: Option<JobStream>,
        collector: &mut Collector<'_>,
    ) -> anyhow::Result<Ending> {
        let Some(mut results) = results else { return Ok(Ending::Detached) };
        let ending = collect(&mut results, collector, u64::MAX, || self.settled.notify_one()).await;
        if matches!(ending, Ok(Ending::OutputClosed)) {
            self.client.cancel(self.job).await?;
        }
        ending
    }

    /// Says that no more inputs come; a job that has ended needs no telling.
    async fn close(&self) -> anyhow::Result<()> {
        match self.client.close(self.job).await {
            Err(error) if is_conflict(&error) => Ok(()),
            closed => Ok(closed?),
        }
    }
}

/// Collects a job's results until its end or the position `until` of its result log, and tells
/// `settled` of each block.
///
/// # Errors
/// Where the grid is lost, or the output cannot be written.
pub async fn collect(
    results: &mut JobStream,
    collector: &mut Collector<'_>,
    until: u64,
    settled: impl Fn(),
) -> anyhow::Result<Ending> {
    match collect_all(results, collector, until, settled).await {
        Err(error) if error.is::<Closed>() => Ok(Ending::OutputClosed),
        ending => ending,
    }
}

async fn collect_all(
    results: &mut JobStream,
    collector: &mut Collector<'_>,
    until: u64,
    settled: impl Fn(),
) -> anyhow::Result<Ending> {
    let mut cursor = 0;
    while cursor < until {
        match results.next().await.transpose()? {
            Some(JobEvent::Results { first_cursor, block, payload }) => {
                cursor = first_cursor + block.results.len() as u64;
                collector.take(block, payload)?;
                settled();
            }
            Some(JobEvent::Update(status)) => collector.update(&status),
            Some(JobEvent::Ended(status)) => {
                collector.drain()?;
                return Ok(Ending::Ended(Box::new(status)));
            }
            None => return Err(ClientError::Stopped.into()),
        }
    }
    collector.drain()?;
    Ok(Ending::Detached)
}

/// The first inputs, and where the others come from. The first are waited for, so that a job
/// whose first input is wrong is never made.
async fn begin(inputs: Inputs) -> anyhow::Result<(Chunk, Option<Stream>)> {
    let mut stream = match inputs {
        Inputs::Known(chunk) => return Ok((chunk, None)),
        Inputs::Stream(stream) => stream,
    };
    if let Some(chunk) = stream.next().await.transpose()? {
        return Ok((chunk, Some(stream)));
    }
    let block = InputBlock::Packed(Vec::new());
    Ok((Chunk { block, payload: Bytes::new(), origins: Origins::Range }, None))
}

/// The job takes no more: it has ended, as a job does that failed too often.
fn is_conflict(error: &ClientError) -> bool {
    matches!(error, ClientError::Api(error) if error.code == ErrorCode::Conflict)
}
