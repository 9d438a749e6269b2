//! What a caller can ask. Each question is one message to the actor that owns the link.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use wasmgrid_net::{Link, NetError};
use wasmgrid_proto::{
    ByteCount, Contest, Digest, Divergences, Explanation, InputBlock, JobFilter, JobId, JobSpec,
    JobStatus, Limits, Millis, TaskRange, TaskStatus, TenantStatus, VouchedLabels, WorkerId,
    WorkerStatus,
    wire::{
        ApiError, AuthorityRequest, AuthorityStatus, FromClient, MemberCertificate, More, Renew,
        Renewed, Reply, Request, Submit, ToClient, WatchRequest,
    },
};

use crate::{
    ClientError, JobStream, Room, StoredInputs, Uploads,
    actor::{Actor, Answered, Command},
    numbers::{Idle, Numbers, random},
    sendable::sendable,
    stream::{self, Sink},
};

/// A link as a client holds it.
pub type ClientLink = Link<FromClient, ToClient>;

/// Questions that wait for the actor; who asks more waits.
const COMMANDS_MAX: usize = 64;

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// How many bytes of results of one stream may be under way or unread. Default 8 MiB: with
    /// less, a fast grid waits for the reader's answers; more costs as much memory.
    pub window: ByteCount,
    /// For how long a lost link is dialled again before everything fails. Default 2 minutes,
    /// enough for a scheduler to be restarted.
    pub patience: Millis,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { window: ByteCount(8 << 20), patience: Millis(120_000) }
    }
}

/// What to submit; see [`Client::submit`].
#[derive(Clone, Debug)]
pub struct SubmitRequest {
    /// The job.
    pub spec: JobSpec,
    /// A submit that repeats a key gets the first one's job. Made up where there is none, so
    /// that a lost link cannot double the job.
    pub key: Option<String>,
    /// The first inputs.
    pub inputs: InputBlock,
    /// Their bytes.
    pub payload: Bytes,
    /// True where no more inputs come.
    pub closed: bool,
    /// True to get its results from the start.
    pub watch: bool,
}

/// A grid, as one of its clients sees it. Clones share one link.
///
/// It keeps the link while it, a clone or a stream of it lives.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    commands: mpsc::Sender<Command>,
    config: ClientConfig,
    wake: stream::Wake,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Why nothing is asked any more.
    ended: Arc<OnceLock<ClientError>>,
    /// Who appended beside others and does not at the moment.
    idle: Idle,
    _stop_on_drop: DropGuard,
}

impl Client {
    /// Dials a grid, which must be there now, with the default configuration.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], where the first dial fails.
    pub async fn connect<D, F>(dial: D) -> Result<Self, ClientError>
    where
        D: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<ClientLink, NetError>> + Send + 'static,
    {
        Self::connect_with(ClientConfig::default(), dial).await
    }

    /// As [`Client::connect`], with a configuration. `dial` is called for each new link.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with<D, F>(config: ClientConfig, mut dial: D) -> Result<Self, ClientError>
    where
        D: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<ClientLink, NetError>> + Send + 'static,
    {
        let link = dial().await.map_err(ClientError::Unreachable)?;
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let (wake, stop, tasks) =
            (stream::Wake::default(), CancellationToken::new(), TaskTracker::new());
        let actor = Actor::new(config, dial, asked, wake.clone(), stop.clone());
        let ended = Arc::new(OnceLock::new());
        tasks.spawn(actor.run(link, Arc::clone(&ended)));
        tasks.close();
        let guard = stop.clone().drop_guard();
        let idle = Idle::default();
        let _stop_on_drop = guard;
        let shared = Shared { commands, config, wake, tasks, stop, ended, idle, _stop_on_drop };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Closes the link and waits until nothing of the client runs. What is unanswered and every
    /// stream ends with [`ClientError::Stopped`].
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.shared.tasks.wait().await;
    }

    /// True once nothing is asked any more: the client was shut down, or has given up on the grid.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shared.commands.is_closed()
    }

    /// Whether the grid has a module.
    ///
    /// # Errors
    /// [`ClientError`], as for every question.
    pub async fn have_module(&self, digest: Digest) -> Result<bool, ClientError> {
        match self.ask(Request::HaveModule { digest }).await? {
            Reply::Module { present } => Ok(present),
            _ => Err(unexpected()),
        }
    }

    /// Gives the grid a module, unless it has it.
    ///
    /// # Errors
    /// [`ClientError::Api`], where the module is no task.
    pub async fn put_module(&self, bytes: Bytes) -> Result<Digest, ClientError> {
        let digest = Digest::of(&bytes);
        if !self.have_module(digest).await? {
            self.send_module(digest, bytes).await?;
        }
        Ok(digest)
    }

    pub(crate) async fn send_module(
        &self,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<(), ClientError> {
        let request = Request::PutModule { digest, size_bytes: bytes.len() as u64 };
        done(self.call(request, bytes, None).await?)
    }

    /// Gives the grid a blob that jobs of this client may name, unless it has given it.
    ///
    /// # Errors
    /// [`ClientError::Api`], where it is empty or too large, or the client has too much there.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, ClientError> {
        let digest = Digest::of(&bytes);
        let Reply::Module { present } = self.ask(Request::HaveBlob { digest }).await? else {
            return Err(unexpected());
        };
        if !present {
            self.send_blob(digest, bytes).await?;
        }
        Ok(digest)
    }

    pub(crate) async fn send_blob(&self, digest: Digest, bytes: Bytes) -> Result<(), ClientError> {
        let request = Request::PutBlob { digest, size_bytes: bytes.len() as u64 };
        done(self.call(request, bytes, None).await?)
    }

    /// Makes a job. It is durable when this returns; with `watch` its results come along.
    ///
    /// # Errors
    /// [`ClientError::Api`], where the grid refuses it.
    pub async fn submit(
        &self,
        submit: SubmitRequest,
    ) -> Result<(JobStatus, Option<JobStream>), ClientError> {
        let SubmitRequest { spec, key, inputs, payload, closed, watch } = submit;
        let idempotency_key = Some(key_of(key)?);
        let (stream, sink) = watch.then(|| self.stream(0)).unzip();
        let request =
            Request::Submit(Submit { spec, idempotency_key, inputs, closed, watch: None });
        let status = job(self.call(request, payload, sink).await?)?;
        Ok((status, stream))
    }

    /// Appends to an open job that are sent ahead of the answers to those before them; nobody else
    /// may append to it meanwhile.
    #[must_use]
    pub fn uploads(&self, job: JobId) -> Uploads {
        Uploads::new(self.clone(), job)
    }

    /// Says that this client feeds a job that is [attached](JobSpec::attached) to it; returns once
    /// the job takes no more inputs. To be awaited beside the appends: a job is closed some
    /// minutes after the last one who says so has gone.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such job.
    pub async fn attend(&self, job: JobId) -> Result<(), ClientError> {
        done(self.ask(Request::Attend { job }).await?)
    }

    /// Someone who appends to an open job beside others.
    ///
    /// # Errors
    /// [`ClientError::Random`].
    pub fn producer(&self, job: JobId) -> Result<Producer, ClientError> {
        let idle = self.shared.idle.take(job);
        let numbers = idle.map_or_else(Numbers::new, Ok)?;
        Ok(Producer { client: self.clone(), job, numbers })
    }

    /// Makes a job of the tasks of an ended one that did not end ok: with their inputs, under
    /// their indices, with its spec, but for other `limits` where they are given.
    ///
    /// # Errors
    /// [`ClientError::Api`], where the job has not ended, or all of it ended ok.
    pub async fn retry(&self, id: JobId, limits: Option<Limits>) -> Result<JobStatus, ClientError> {
        self.retry_once(id, limits, None).await
    }

    /// As [`Client::retry`]: one that repeats a key gets the first one's job.
    ///
    /// # Errors
    /// As [`Client::retry`].
    pub async fn retry_once(
        &self,
        id: JobId,
        limits: Option<Limits>,
        key: Option<String>,
    ) -> Result<JobStatus, ClientError> {
        let idempotency_key = Some(key_of(key)?);
        job(self.ask(Request::Retry { job: id, limits, idempotency_key }).await?)
    }

    /// Says that no more inputs come.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such job.
    pub async fn close(&self, job: JobId) -> Result<(), ClientError> {
        done(self.ask(Request::Close { job }).await?)
    }

    /// Stops a job; nothing of it commits after this returns.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such job.
    pub async fn cancel(&self, job: JobId) -> Result<(), ClientError> {
        done(self.ask(Request::Cancel { job }).await?)
    }

    /// One job.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such job.
    pub async fn job(&self, id: JobId) -> Result<JobStatus, ClientError> {
        job(self.ask(Request::Job { job: id }).await?)
    }

    /// The newest of the jobs that meet the filter, at most `limit`, the newest first; and how many
    /// there are after the last of them. A page may be empty: the scheduler looks at a bounded number
    /// of jobs for each, and this goes on until there are enough or no more.
    ///
    /// # Errors
    /// [`ClientError::Api`], where another tenant's are asked for and the role does not allow it,
    /// or a text of the filter is too long.
    pub async fn jobs(
        &self,
        limit: u32,
        filter: &JobFilter,
    ) -> Result<(Vec<JobStatus>, More), ClientError> {
        filter.check().map_err(ClientError::Api)?;
        let (mut jobs, mut before) = (Vec::<JobStatus>::new(), None);
        let page = |before, limit| Request::JobPage { before, limit, filter: filter.clone() };
        loop {
            let left = limit.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
            match self.ask(page(before, left)).await? {
                Reply::JobPage { jobs: page, next, more } => {
                    let is_full = page.len() as u64 >= u64::from(left);
                    jobs.extend(page);
                    if next.is_none() || is_full {
                        return Ok((jobs, more));
                    }
                    if before.is_some_and(|before| next >= Some(before)) {
                        return Err(ClientError::Protocol("a list of jobs does not go on"));
                    }
                    before = next;
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// The results of a job from position `cursor` of its result log on, and how it stands.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such job.
    pub async fn watch(
        &self,
        id: JobId,
        cursor: u64,
    ) -> Result<(JobStatus, JobStream), ClientError> {
        self.watch_through(id, self.stream(cursor)).await
    }

    /// The same, with room for what has come and was not used. The stream ends with
    /// [`ClientError::NoRoom`] before results for which there is none; once there is, another one goes
    /// on from there.
    ///
    /// # Errors
    /// As [`watch`](Self::watch).
    pub async fn watch_in(
        &self,
        id: JobId,
        cursor: u64,
        room: Arc<dyn Room>,
    ) -> Result<(JobStatus, JobStream), ClientError> {
        let (stream, mut sink) = self.stream(cursor);
        sink.room = Some(room);
        self.watch_through(id, (stream, sink)).await
    }

    async fn watch_through(
        &self,
        id: JobId,
        (stream, sink): (JobStream, Sink),
    ) -> Result<(JobStatus, JobStream), ClientError> {
        let cursor = sink.cursor;
        // The actor fills in what it knows of the stream, again for each link.
        let watch = WatchRequest { watch: 0, cursor, credit_bytes: 0 };
        let reply = self.call(Request::Watch { job: id, watch }, Bytes::new(), Some(sink)).await?;
        Ok((job(reply)?, stream))
    }

    /// One task of a job.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such job or task.
    pub async fn task(&self, job: JobId, index: u64) -> Result<TaskStatus, ClientError> {
        match self.ask(Request::Task { job, index }).await? {
            Reply::Task(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }

    /// The inputs of a job's tasks that are stored: of these tasks the first whose input is, and as
    /// many after it as follow it directly and fit one answer, about 1 MiB.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such job; [`ClientError::Unsupported`], if the
    /// scheduler is too old to be asked.
    pub async fn inputs(&self, job: JobId, tasks: TaskRange) -> Result<StoredInputs, ClientError> {
        let answer = self.begin(Request::Inputs { job, tasks }, Bytes::new(), None).await?;
        match answer.with_payload().await? {
            (Reply::Inputs { first, inputs }, payload) => {
                StoredInputs::new(first, inputs, payload, tasks)
            }
            _ => Err(unexpected()),
        }
    }

    /// Results of a job's tasks that differ and should not.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such job.
    pub async fn divergences(&self, job: JobId) -> Result<Divergences, ClientError> {
        match self.ask(Request::Divergences { job }).await? {
            Reply::Divergences(found) => Ok(found),
            _ => Err(unexpected()),
        }
    }

    /// The workers, but for those that are gone for long.
    ///
    /// # Errors
    /// [`ClientError`], as for every question.
    pub async fn workers(&self) -> Result<Vec<WorkerStatus>, ClientError> {
        Ok(self.list_workers(false).await?.0)
    }

    /// The workers, with `all` also those that are gone for long or did not come back to this
    /// scheduler; and how many these are that are left out.
    ///
    /// # Errors
    /// [`ClientError`], as for every question.
    pub async fn list_workers(&self, all: bool) -> Result<(Vec<WorkerStatus>, u64), ClientError> {
        let mut workers = Vec::<WorkerStatus>::new();
        loop {
            let after = workers.last().map(|status| status.worker);
            match self.ask(Request::WorkerPage { after, all }).await? {
                Reply::WorkerPage { workers: page, more, hidden } => {
                    let ends = page.is_empty() || more == 0;
                    workers.extend(page);
                    if ends {
                        return Ok((workers, hidden));
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// One worker, gone or not.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such worker.
    pub async fn worker(&self, name: &str) -> Result<WorkerStatus, ClientError> {
        match self.ask(Request::Worker { name: name.into() }).await? {
            Reply::Worker(worker) => Ok(worker),
            _ => Err(unexpected()),
        }
    }

    /// The names of these workers, as far as they are known, also where they were taken away.
    ///
    /// # Errors
    /// [`ClientError`], as for every question.
    pub async fn worker_names(
        &self,
        workers: Vec<WorkerId>,
    ) -> Result<Vec<(WorkerId, String)>, ClientError> {
        match self.ask(Request::WorkerNames { workers }).await? {
            Reply::WorkerNames(names) => Ok(names),
            _ => Err(unexpected()),
        }
    }

    /// Why the scheduler takes no new work for now, from anybody: its store refuses it. `None` if it
    /// does.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`], if the scheduler is too old to be asked.
    pub async fn refuses_work(&self) -> Result<Option<ApiError>, ClientError> {
        match self.ask(Request::Intake).await? {
            Reply::Intake { refusal } => Ok(refusal),
            _ => Err(unexpected()),
        }
    }

    /// Processes that were refused since the scheduler started, because a worker that is linked has
    /// their identity; the last for each worker.
    ///
    /// # Errors
    /// [`ClientError`], as for every question.
    pub async fn contests(&self) -> Result<Vec<Contest>, ClientError> {
        match self.ask(Request::Contests).await? {
            Reply::Contests(contests) => Ok(contests),
            _ => Err(unexpected()),
        }
    }

    /// The next certificate of this client, for the key of a signing request.
    ///
    /// # Errors
    /// [`ClientError::Api`], where the grid gives none.
    pub async fn renew(&self, renew: Renew) -> Result<Renewed, ClientError> {
        match self.ask(Request::Renew(renew)).await? {
            Reply::Renewed(renewed) => Ok(renewed),
            _ => Err(unexpected()),
        }
    }

    /// The grid's authority, and the last certificates of its members: all of them for an operator,
    /// those of workers and its own for a client.
    ///
    /// # Errors
    /// [`ClientError::Api`], where the grid has no authority.
    pub async fn authority(&self) -> Result<AuthorityStatus, ClientError> {
        let mut certificates = Vec::<MemberCertificate>::new();
        loop {
            let after = certificates.last().map(|last| (last.role, last.name.clone()));
            let asked = AuthorityRequest::Certificates { after };
            match self.ask(Request::Authority(asked)).await? {
                Reply::Authority(mut status) => {
                    let ends = status.certificates.is_empty() || status.more == 0;
                    certificates.append(&mut status.certificates);
                    if ends {
                        return Ok(AuthorityStatus { certificates, ..status });
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// Tenants, and what they have and may have; for a client it is its own. All of them, also
    /// where one answer does not hold them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tenants(&self) -> Result<Vec<TenantStatus>, ClientError> {
        let mut all: Vec<TenantStatus> = Vec::new();
        loop {
            let after = all.last().map(|last| last.name.clone());
            match self.ask(Request::Tenants { after }).await? {
                Reply::Tenants { tenants, more } => {
                    let is_last = more == 0 || tenants.is_empty();
                    all.extend(tenants);
                    if is_last {
                        return Ok(all);
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// Why a job's tasks wait, and what would help.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such job.
    pub async fn explain(&self, job: JobId) -> Result<Explanation, ClientError> {
        match self.ask(Request::Explain { job }).await? {
            Reply::Explanation(explanation) => Ok(explanation),
            _ => Err(unexpected()),
        }
    }

    /// The keys of which only labels of certificates count, and the workers that have some.
    ///
    /// # Errors
    /// [`ClientError`], as for every question.
    pub async fn vouched(&self) -> Result<(Vec<String>, Vec<VouchedLabels>), ClientError> {
        let mut vouched = Vec::<VouchedLabels>::new();
        loop {
            let after = vouched.last().map(|one| one.worker);
            match self.ask(Request::VouchedPage { after }).await? {
                Reply::VouchedPage { keys, workers, more } => {
                    let ends = workers.is_empty() || more == 0;
                    vouched.extend(workers);
                    if ends {
                        return Ok((keys, vouched));
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    fn stream(&self, cursor: u64) -> (JobStream, Sink) {
        let keep = self.clone();
        stream::pair(cursor, self.shared.config.window, self.shared.wake.clone(), keep)
    }

    pub(crate) async fn ask(&self, request: Request) -> Result<Reply, ClientError> {
        self.call(request, Bytes::new(), None).await
    }

    async fn call(
        &self,
        request: Request,
        payload: Bytes,
        sink: Option<Sink>,
    ) -> Result<Reply, ClientError> {
        self.begin(request, payload, sink).await?.await
    }

    /// Hands a question over; those that come later are asked later.
    pub(crate) async fn begin(
        &self,
        request: Request,
        payload: Bytes,
        sink: Option<Sink>,
    ) -> Result<Answer, ClientError> {
        let request = sendable(request, &payload)?;
        let (answer, answered) = oneshot::channel();
        let command = Command { request, payload, sink, answer };
        if self.shared.commands.send(command).await.is_err() {
            return Err(self.shared.ended.get().cloned().unwrap_or(ClientError::Stopped));
        }
        Ok(Answer(answered))
    }
}

/// The answer to a question that was handed over.
#[derive(Debug)]
pub struct Answer(oneshot::Receiver<Result<Answered, ClientError>>);

impl Answer {
    /// The answer with the bytes that came beside it.
    pub(crate) async fn with_payload(self) -> Result<Answered, ClientError> {
        self.0.await.unwrap_or(Err(ClientError::Stopped))
    }
}

impl Future for Answer {
    type Output = Result<Reply, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(answered.unwrap_or(Err(ClientError::Stopped)).map(|(reply, _)| reply))
    }
}

/// Appends inputs to an open job, behind whatever it has: several may do so at once. What it
/// asks is done once, also where the link is lost in between.
#[derive(Debug)]
pub struct Producer {
    client: Client,
    job: JobId,
    numbers: Numbers,
}

impl Producer {
    /// Appends inputs; gives the index that the first of them got. Where this is dropped before
    /// its end, they may be appended or not; those of the next call are in any case.
    ///
    /// # Errors
    /// [`ClientError::Api`], where the job takes no more, or the scheduler keeps no more. Where the
    /// link was lost meanwhile the inputs may be appended all the same.
    pub async fn append(&mut self, inputs: InputBlock, payload: Bytes) -> Result<u64, ClientError> {
        let (job, (producer, number)) = (self.job, self.numbers.next()?);
        let request = Request::Append { job, producer, number, inputs };
        match self.client.begin(request, payload, None).await?.await? {
            Reply::Appended { first } => {
                self.numbers.taken();
                Ok(first)
            }
            _ => Err(unexpected()),
        }
    }
}

impl Drop for Producer {
    /// Whoever appends to the job next goes on with the same numbers: so the scheduler has fewer to remember.
    fn drop(&mut self) {
        self.client.shared.idle.put(self.job, self.numbers);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// That what was asked is done.
pub fn done(reply: Reply) -> Result<(), ClientError> {
    if reply == Reply::Done { Ok(()) } else { Err(unexpected()) }
}

fn job(reply: Reply) -> Result<JobStatus, ClientError> {
    match reply {
        Reply::Job(status) => Ok(status),
        _ => Err(unexpected()),
    }
}

pub fn unexpected() -> ClientError {
    ClientError::Protocol("the answer does not match the request")
}

/// The key of a submit, made up if there is none.
pub(crate) fn key_of(key: Option<String>) -> Result<String, ClientError> {
    key.map_or_else(made_up_key, Ok)
}

/// A key that nobody else will ever make.
fn made_up_key() -> Result<String, ClientError> {
    Ok(format!("auto-{:032x}", u128::from_le_bytes(random()?)))
}
