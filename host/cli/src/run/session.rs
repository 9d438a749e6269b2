//! One job from its first input to its last result: feeds inputs, collects results, and heeds
//! Ctrl-C, all at once.

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    pin::pin,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wasmgrid_client::{Client, ClientError, JobEvent, JobStream, Named, SubmitRequest, Uploads};
use wasmgrid_proto::{JobId, JobSpec, JobStatus, Reason, TaskRange};

use super::{
    collect::Collector,
    inputs::{Chunk, Inputs, Piece, Stream, Unread},
    ledger::Ledger,
    output::Closed,
};
use crate::interrupt::Interrupt;

/// A job that was submitted, and its inputs.
pub struct Session<'a> {
    client: Client,
    /// The job.
    pub job: JobId,
    /// Inputs whose results have not come.
    pub ledger: RefCell<Ledger>,
    /// A result came, so that there may be room for inputs.
    settled: Notify,
    /// Cancelled where no more inputs are to be read.
    enough: CancellationToken,
    /// The inputs were read to their end.
    all_read: Cell<bool>,
    how: Use,
    /// Told of what is needed no more.
    settled_before: Box<dyn Fn(Settled) + 'a>,
}

/// What of a job was read to its end.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// The job.
    pub job: JobId,
    /// The first input without a result.
    pub input: u64,
    /// Where the results go on.
    pub cursor: u64,
    /// Bytes of the inputs and results before these.
    pub bytes: u64,
}

/// What becomes of a job that was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Its results are collected.
    Watch,
    /// It gets its inputs and is left there.
    Leave,
    /// The same, and others will give it more.
    LeaveOpen,
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

impl<'a> Session<'a> {
    /// Submits the job with its first inputs, and what it names if the grid lacks it; with [`Use::Watch`] its results can be collected.
    ///
    /// # Errors
    /// Where the first inputs are wrong, or the grid does not take the job.
    pub async fn open(
        client: Client,
        mut spec: JobSpec,
        (named, inputs): (Named, Inputs),
        how: Use,
    ) -> anyhow::Result<(Self, Rest)> {
        let (first, rest) = begin(inputs).await?;
        spec.attached = rest.is_some() && how != Use::LeaveOpen;
        let (inputs, payload) = (first.block.clone(), first.payload.clone());
        let all_read = rest.is_none();
        let (closed, watch) = (all_read && how != Use::LeaveOpen, how == Use::Watch);
        let request = SubmitRequest { spec, key: None, inputs, payload, closed, watch };
        let (status, results) = client.submit_with(request, &named).await?;
        // What was sent is of no more use here.
        drop(named);
        let mut ledger = Ledger::default();
        ledger.add(Piece::Inputs(first));
        let (ledger, settled) = (RefCell::new(ledger), Notify::new());
        let enough = CancellationToken::new();
        let settled_before = Box::new(|_| ());
        let (job, all_read) = (status.job, Cell::new(all_read));
        Ok((
            Self { client, job, ledger, settled, enough, all_read, how, settled_before },
            Rest { inputs: rest, results },
        ))
    }

    /// The same session, which tells `told` of what is needed no more.
    pub fn forgetting(self, told: impl Fn(Settled) + 'a) -> Self {
        Self { settled_before: Box::new(told), ..self }
    }

    /// Appends the inputs that are left, without waiting for results, and closes the job unless it
    /// is to be left open. Those that cannot be read are left out, and put into `unread`.
    ///
    /// # Errors
    /// Where an input is wrong or the grid is lost; the job then has the inputs before it.
    pub async fn upload(&self, rest: Rest, unread: &mut Vec<Unread>) -> anyhow::Result<()> {
        let Some(mut inputs) = rest.inputs else { return Ok(()) };
        let mut next = self.ledger.borrow().total();
        let mut uploads = self.client.uploads(self.job);
        let all = async {
            let appended = async {
                while let Some(piece) = self.next_input(&mut inputs, &mut uploads).await? {
                    let (first, count) = (next, piece.count());
                    next += count;
                    match piece {
                        Piece::Inputs(chunk) => {
                            uploads.push(first, chunk.block, chunk.payload).await?;
                        }
                        Piece::Gap(_) => uploads.skip(first, count).await?,
                        Piece::Unread(more) => {
                            unread.extend(more);
                            uploads.skip(first, count).await?;
                        }
                    }
                }
                Ok::<(), Unfed>(())
            };
            let appended = appended.await;
            // Those before an input that is wrong are the job's.
            let appended = appended.map_err(anyhow::Error::from);
            uploads.finish().await.map_err(Into::into).and(appended)
        };
        if self.how == Use::LeaveOpen {
            return all.await;
        }
        let appended = tokio::select! {
            appended = all => appended,
            closed = self.attend() => match closed {
                Ok(()) => Err(self.ended_early().await?),
                closed => closed,
            },
        };
        self.close().await?;
        appended
    }

    /// True if the inputs were read to their end, also those that the job did not take any more.
    pub fn all_read(&self) -> bool {
        self.all_read.get()
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
        let mut attend = pin!(self.attend());
        let mut collect = Box::pin(self.collect(rest.results, collector));
        loop {
            tokio::select! {
                ended = &mut collect => {
                    let ended = ended?;
                    if feeding && let Ending::Ended(status) = &ended {
                        wrong_input = closed_elsewhere(status);
                    }
                    return Ok((ended, wrong_input));
                }
                fed = &mut feed, if feeding => {
                    feeding = false;
                    wrong_input = fed.err();
                    self.close().await?;
                }
                closed = &mut attend, if feeding => {
                    feeding = false;
                    wrong_input = closed.err();
                }
                () = interrupt.asked(), if !asked => {
                    asked = true;
                    if on_interrupt == OnInterrupt::Cancel {
                        feeding = false;
                        self.cancel().await?;
                        continue;
                    }
                    if feeding {
                        self.enough.cancel();
                        wrong_input = feed.as_mut().await.err();
                        self.close().await?;
                    }
                    break;
                }
            }
        }
        drop(collect);
        // All that came is printed, so that where the results go on is one place of their log.
        collector.drain()?;
        Ok((Ending::Detached, wrong_input))
    }

    /// Reads inputs and appends them, as far ahead of the results as the ledger lets it; all that
    /// were read are part of the job when this is done.
    async fn feed(&self, inputs: Option<Stream>) -> anyhow::Result<()> {
        let Some(inputs) = inputs else { return Ok(()) };
        let mut uploads = self.client.uploads(self.job);
        let wrong_input = match self.feed_all(inputs, &mut uploads).await {
            Ok(()) => None,
            Err(Unfed::Input(error)) => Some(error),
            Err(Unfed::Grid(error)) => return self.taken(Err(error)).await,
        };
        // Those before an input that is wrong are the job's.
        self.taken(uploads.finish().await).await?;
        wrong_input.map_or(Ok(()), Err)
    }

    /// A job that has ended, or will without more, needs no more inputs.
    async fn taken(&self, appended: Result<(), ClientError>) -> anyhow::Result<()> {
        let Err(error) = appended else { return Ok(()) };
        if !is_over(&error) {
            return Err(error.into());
        }
        let status = self.client.job(self.job).await?;
        let gave_up = status.spec.gives_up_after(status.counts.failed);
        match closed_elsewhere(&status) {
            Some(closed) => Err(closed),
            None if status.state.is_terminal() || gave_up => Ok(()),
            None => Err(error.into()),
        }
    }

    /// The next inputs; appends that are on their way are seen to meanwhile.
    async fn next_input(
        &self,
        inputs: &mut Stream,
        uploads: &mut Uploads,
    ) -> Result<Option<Piece>, Unfed> {
        loop {
            tokio::select! {
                () = self.enough.cancelled() => return Ok(None),
                next = inputs.next() => {
                    self.all_read.set(next.is_none());
                    return next.transpose().map_err(Unfed::Input);
                }
                settled = uploads.settle(), if !uploads.is_empty() => settled?,
            }
        }
    }

    async fn feed_all(&self, mut inputs: Stream, uploads: &mut Uploads) -> Result<(), Unfed> {
        loop {
            while !self.ledger.borrow().has_room() {
                tokio::select! {
                    () = self.enough.cancelled() => return Ok(()),
                    () = self.settled.notified() => {}
                    settled = uploads.settle(), if !uploads.is_empty() => settled?,
                }
            }
            let Some(piece) = self.next_input(&mut inputs, uploads).await? else { return Ok(()) };
            let count = piece.count();
            let inputs = match &piece {
                Piece::Inputs(chunk) => Some((chunk.block.clone(), chunk.payload.clone())),
                Piece::Gap(_) | Piece::Unread(_) => None,
            };
            let first = self.ledger.borrow_mut().add(piece);
            match inputs {
                Some((block, payload)) => uploads.push(first, block, payload).await?,
                None => uploads.skip(first, count).await?,
            }
        }
    }

    /// Has the job wait for inputs, until it takes no more.
    async fn attend(&self) -> anyhow::Result<()> {
        self.client.attend(self.job).await?;
        self.takes_no_more().await
    }

    /// What is wrong with a job that ended while it was given its inputs.
    async fn ended_early(&self) -> anyhow::Result<anyhow::Error> {
        let status = self.client.job(self.job).await?;
        let (job, state, total) = (self.job, status.state, status.counts.total);
        Ok(anyhow::anyhow!(
            "job {job} ended ({state}) with the {total} inputs that it had received; the others \
             are not run"
        ))
    }

    /// The job takes no more inputs, though it was not closed here: an error, unless it has ended.
    async fn takes_no_more(&self) -> anyhow::Result<()> {
        closed_elsewhere(&self.client.job(self.job).await?).map_or(Ok(()), Err)
    }

    async fn collect(
        &self,
        results: Option<JobStream>,
        collector: &mut Collector<'_>,
    ) -> anyhow::Result<Ending> {
        let Some(mut results) = results else { return Ok(Ending::Detached) };
        let all = 0..u64::MAX;
        let read = Cell::new(0);
        let settled = |cursor, bytes| {
            read.set(read.get() + bytes);
            let ledger = self.ledger.borrow();
            let (input, bytes) = (ledger.released(), read.get() + ledger.settled_bytes());
            drop(ledger);
            (self.settled_before)(Settled { job: self.job, input, cursor, bytes });
            self.settled.notify_one();
        };
        let ending = collect(&mut results, collector, all, settled).await;
        if matches!(ending, Ok(Ending::OutputClosed)) {
            self.cancel().await?;
        }
        ending
    }

    /// Ends the job; one that has ended needs no ending.
    async fn cancel(&self) -> anyhow::Result<()> {
        match self.client.cancel(self.job).await {
            Err(error) if is_over(&error) => Ok(()),
            cancelled => Ok(cancelled?),
        }
    }

    /// Says that no more inputs come; a job that has ended needs no telling.
    async fn close(&self) -> anyhow::Result<()> {
        match self.client.close(self.job).await {
            Err(error) if is_over(&error) => Ok(()),
            closed => Ok(closed?),
        }
    }
}

/// Collects a job's results of these positions of its result log, or until its end, and tells
/// `settled` behind each block where the next one begins, and how many bytes it had.
///
/// # Errors
/// Where the grid is lost, or the output cannot be written.
pub async fn collect(
    results: &mut JobStream,
    collector: &mut Collector<'_>,
    positions: Range<u64>,
    settled: impl Fn(u64, u64),
) -> anyhow::Result<Ending> {
    match collect_all(results, collector, positions, settled).await {
        Err(error) if error.is::<Closed>() => Ok(Ending::OutputClosed),
        ending => ending,
    }
}

async fn collect_all(
    results: &mut JobStream,
    collector: &mut Collector<'_>,
    positions: Range<u64>,
    settled: impl Fn(u64, u64),
) -> anyhow::Result<Ending> {
    let (mut cursor, absence) = (positions.start, collector.absence());
    while cursor < positions.end {
        let event = tokio::select! {
            event = results.next() => event.transpose()?,
            () = absence.notified() => {
                collector.take_absent()?;
                settled(cursor, 0);
                continue;
            }
        };
        match event {
            Some(JobEvent::Results { first_cursor, block, payload }) => {
                cursor = first_cursor + block.results.len() as u64;
                let bytes = payload.len() as u64;
                if let Some(worker) = collector.unnamed(&block) {
                    // Where it cannot be had, its number stands for it.
                    let names = results.client().worker_names(vec![worker]).await;
                    collector.name(names.unwrap_or_default());
                }
                for task in collector.unknown_inputs(&block) {
                    // Where it cannot be had, the task is explained without it.
                    let one = TaskRange::one(task.index);
                    let found = results.client().inputs(task.job, one).await.ok();
                    let input = found.and_then(|found| found.input(task.index));
                    input.into_iter().for_each(|input| collector.know(task, input));
                }
                collector.take(first_cursor, block, payload)?;
                show_due(results.client(), collector).await?;
                settled(cursor, bytes);
            }
            Some(JobEvent::Update(status)) => collector.update(&status)?,
            Some(JobEvent::Ended(status)) => {
                drain(results.client(), collector).await?;
                return Ok(Ending::Ended(Box::new(status)));
            }
            None => return Err(ClientError::Stopped.into()),
        }
    }
    drain(results.client(), collector).await?;
    Ok(Ending::Detached)
}

/// Prints all results that came, also behind tasks without one.
///
/// # Errors
/// As [`collect`].
pub async fn drain(client: &Client, collector: &mut Collector<'_>) -> anyhow::Result<()> {
    show_due(client, collector).await?;
    while collector.pass_gap()? {
        show_due(client, collector).await?;
    }
    collector.drain()
}

/// Prints results that wait for their inputs, which the grid has. Cancel safe.
async fn show_due(client: &Client, collector: &mut Collector<'_>) -> anyhow::Result<()> {
    while let Some((job, tasks)) = collector.wanted()? {
        match client.inputs(job, tasks).await {
            Ok(found) => collector.give(tasks, Some(found)),
            // Whoever asks for JSON gets all that there is.
            Err(ClientError::Unsupported { .. }) if !collector.needs_inputs() => {
                collector.give(tasks, None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The first inputs, and where the others come from. The first are waited for, so that a job
/// whose first input is wrong is never made.
async fn begin(inputs: Inputs) -> anyhow::Result<(Chunk, Option<Stream>)> {
    let mut stream = match inputs {
        Inputs::Known(chunk) => return Ok((chunk, None)),
        Inputs::Stream(stream) => stream,
    };
    match stream.next().await.transpose()? {
        None => Ok((Chunk::empty(), None)),
        Some(Piece::Inputs(chunk)) => Ok((chunk, Some(stream))),
        Some(other) => {
            stream.give_back(other);
            Ok((Chunk::empty(), Some(stream)))
        }
    }
}

/// What is wrong with a job that was closed though it was still fed here.
fn closed_elsewhere(status: &JobStatus) -> Option<anyhow::Error> {
    let (job, total) = (status.job, status.counts.total);
    status.closed.then(|| {
        anyhow::anyhow!(
            "job {job} was closed elsewhere with {total} inputs, by `wasmgrid job close {job}` or \
             because this command was disconnected for too long; later inputs are not run"
        )
    })
}

/// Why not all inputs were appended.
enum Unfed {
    /// One is wrong.
    Input(anyhow::Error),
    /// The grid did not take one.
    Grid(ClientError),
}

impl From<Unfed> for anyhow::Error {
    fn from(unfed: Unfed) -> Self {
        match unfed {
            Unfed::Input(error) => error,
            Unfed::Grid(error) => error.into(),
        }
    }
}

impl From<ClientError> for Unfed {
    fn from(error: ClientError) -> Self {
        Self::Grid(error)
    }
}

/// The job takes no more: it has ended, as a job does that failed too often, or was closed.
fn is_over(error: &ClientError) -> bool {
    let is_over =
        |reason: &Reason| matches!(reason, Reason::JobClosed { .. } | Reason::JobEnded { .. });
    matches!(error, ClientError::Api(error) if is_over(&error.reason))
}
