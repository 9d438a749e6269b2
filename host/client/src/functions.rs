//! Functions: deployed by name, and called input by input. Calls that are made while an earlier request is
//! under way go into the next one together, so that many of them cost little more than one.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    pin::Pin,
    task::Poll,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};
use wasmgrid_proto::{
    Digest, FunctionStatus, InputBlock, JobId, JobSpec, Reason, ResultMeta,
    wire::{Reply, Request},
};

use crate::{
    Client, ClientError, JobEvent, JobStream,
    client::{done, unexpected},
    numbers::Numbers,
};

/// Calls that wait to be sent before others wait to be made.
const WAITING: usize = 4_096;

/// Calls in one request at most, and bytes of their inputs if there are several.
const CALLS_AT_ONCE: usize = 1_024;
const BYTES_AT_ONCE: usize = 4 << 20;

/// Bytes of results that are kept while it is not known whose they are; further ones are not read until it
/// is.
const UNCLAIMED_BYTES: usize = 16 << 20;

impl Client {
    /// Makes a function, or has its new calls go to a job of another spec. Calls that it has still run as
    /// they were made. [`JobSpec::of_function`] makes such a spec; the module must be
    /// [put](Self::put_module) before.
    ///
    /// # Errors
    /// [`ClientError::Api`], if the scheduler refuses it.
    pub async fn deploy(&self, name: &str, spec: JobSpec) -> Result<FunctionStatus, ClientError> {
        match self.ask(Request::DeployFunction { name: name.into(), spec }).await? {
            Reply::Function(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }

    /// The functions of the client's tenant, by name. All of them, also if one answer does not hold them.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`], if the scheduler is too old to be asked.
    pub async fn functions(&self) -> Result<Vec<FunctionStatus>, ClientError> {
        let mut all: Vec<FunctionStatus> = Vec::new();
        loop {
            let after = all.last().map(|last| last.name.clone());
            match self.ask(Request::Functions { after }).await? {
                Reply::Functions { functions, more } => {
                    let is_last = more == 0 || functions.is_empty();
                    all.extend(functions);
                    if is_last {
                        return Ok(all);
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// Takes a function away. Calls that it has still run.
    ///
    /// # Errors
    /// [`ClientError::Api`], if there is none of this name.
    pub async fn delete_function(&self, name: &str) -> Result<(), ClientError> {
        done(self.ask(Request::DeleteFunction { name: name.into() }).await?)
    }

    /// Calls a function, many times if wanted; with a digest, only as long as it runs that module.
    ///
    /// # Errors
    /// [`ClientError::Random`], if there is no number that nobody else makes up.
    pub fn caller(&self, name: &str, module: Option<Digest>) -> Result<Caller, ClientError> {
        let (calls, waiting) = mpsc::channel(WAITING);
        let actor = Actor {
            client: self.clone(),
            name: name.into(),
            module,
            numbers: Numbers::new()?,
            job: None,
            ready: VecDeque::new(),
            at_once: CALLS_AT_ONCE,
            jobs: BTreeMap::new(),
        };
        tokio::spawn(actor.run(waiting));
        Ok(Caller { calls })
    }
}

/// Calls one function; clones share its requests.
#[derive(Clone, Debug)]
pub struct Caller {
    calls: mpsc::Sender<Call>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResult {
    /// The job that had the call.
    pub job: JobId,
    /// Its outcome and what it took; [`ResultMeta::index`] names its task.
    pub meta: ResultMeta,
    /// Its output, records and log, in this order, as long as the meta says.
    pub bytes: Bytes,
}

impl CallResult {
    /// The call's output.
    #[must_use]
    pub fn output(&self) -> Bytes {
        let length = usize::try_from(self.meta.output_len).unwrap_or(usize::MAX);
        self.bytes.slice(..length.min(self.bytes.len()))
    }
}

impl Caller {
    /// Calls the function with an input. If this is dropped before its end, the call may run or not.
    ///
    /// # Errors
    /// [`ClientError::Api`], if the scheduler does not take the call. If the link was lost for longer than the
    /// client waits, the call may have run all the same.
    pub async fn call(&self, input: Bytes) -> Result<CallResult, ClientError> {
        let (result, called) = oneshot::channel();
        let call = Call { input, result };
        self.calls.send(call).await.map_err(|_| ClientError::Stopped)?;
        called.await.unwrap_or(Err(ClientError::Stopped))
    }
}

type Answer = oneshot::Sender<Result<CallResult, ClientError>>;

struct Call {
    input: Bytes,
    result: Answer,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("bytes", &self.input.len()).finish_non_exhaustive()
    }
}

/// Sends calls and hands their results to whoever made them.
struct Actor {
    client: Client,
    name: String,
    module: Option<Digest>,
    numbers: Numbers,
    /// Which one takes calls.
    job: Option<JobId>,
    /// Calls that go into the next request.
    ready: VecDeque<Call>,
    /// Calls in the next request at most: fewer after one was refused.
    at_once: usize,
    jobs: BTreeMap<JobId, Results>,
}

/// The results of one job of the function, also of others' calls.
struct Results {
    stream: JobStream,
    /// Calls that have not ended, by index.
    open: BTreeMap<u64, Answer>,
    /// Results that came before it was known whose they are.
    unclaimed: BTreeMap<u64, CallResult>,
    unclaimed_bytes: usize,
}

/// What a request had, until it is answered.
struct Asked {
    calls: Vec<Call>,
}

impl Actor {
    async fn run(mut self, mut waiting: mpsc::Receiver<Call>) {
        let mut asking: Option<(Asked, Asking)> = None;
        let mut is_open = true;
        loop {
            if asking.is_none() && !self.ready.is_empty() {
                asking = self.begin();
            }
            let is_idle = asking.is_none() && self.jobs.values().all(|job| job.open.is_empty());
            if !is_open && is_idle && self.ready.is_empty() {
                return;
            }
            tokio::select! {
                call = waiting.recv(), if is_open && self.ready.len() < CALLS_AT_ONCE => match call {
                    Some(call) => {
                        self.ready.push_back(call);
                        while self.ready.len() < CALLS_AT_ONCE && let Ok(call) = waiting.try_recv() {
                            self.ready.push_back(call);
                        }
                    }
                    None => is_open = false,
                },
                reported = async {
                    match &mut asking {
                        Some((_, answer)) => answer.await,
                        None => std::future::pending().await,
                    }
                } => {
                    if let Some((asked, _)) = asking.take() {
                        self.answered(asked, reported);
                    }
                }
                (job, event) = next(&mut self.jobs) => self.came(job, event, asking.is_some()),
            }
        }
    }

    /// Asks for calls that wait, in one request.
    fn begin(&mut self) -> Option<(Asked, Asking)> {
        let calls = self.some();
        let (producer, number) = match self.numbers.next() {
            Ok(next) => next,
            Err(error) => {
                refuse(calls, &error);
                return None;
            }
        };
        let request = Request::Call {
            name: self.name.clone(),
            module: self.module,
            producer,
            number,
            // What is refused is refused by its length, which the scheduler knows.
            inputs: InputBlock::Packed(
                calls
                    .iter()
                    .map(|call| u32::try_from(call.input.len()).unwrap_or(u32::MAX))
                    .collect(),
            ),
        };
        let payload = joined(&calls);
        let (client, known) = (self.client.clone(), self.job);
        let answer = async move {
            let answer = client.begin(request, payload, None).await?.await?;
            let Reply::Called { job, first, cursor } = answer else { return Err(unexpected()) };
            let stream = match known == Some(job) {
                true => None,
                false => Some(client.watch(job, cursor).await?.1),
            };
            Ok((job, first, stream))
        };
        Some((Asked { calls }, Box::pin(answer)))
    }

    /// Takes calls that wait, as many as one request has.
    fn some(&mut self) -> Vec<Call> {
        let (mut calls, mut bytes) = (Vec::new(), 0_usize);
        while calls.len() < self.at_once
            && let Some(call) = self.ready.front()
        {
            bytes = bytes.saturating_add(call.input.len());
            if bytes > BYTES_AT_ONCE && !calls.is_empty() {
                break;
            }
            calls.extend(self.ready.pop_front());
        }
        calls
    }

    /// A request was answered.
    fn answered(&mut self, asked: Asked, reported: Reported) {
        match reported {
            Ok((job, first, stream)) => {
                self.numbers.taken();
                self.job = Some(job);
                if let Some(stream) = stream {
                    let results = Results {
                        stream,
                        open: BTreeMap::new(),
                        unclaimed: BTreeMap::new(),
                        unclaimed_bytes: 0,
                    };
                    self.jobs.entry(job).or_insert(results);
                }
                if let Some(results) = self.jobs.get_mut(&job) {
                    results.claim(first, asked.calls.into_iter().map(|call| call.result));
                }
                self.at_once = (2 * self.at_once).min(CALLS_AT_ONCE);
                self.forget_others();
            }
            Err(error) => {
                if matches!(error, ClientError::Api(_)) && asked.calls.len() > 1 {
                    // None of them was taken, perhaps because of one: each half is asked for by itself.
                    self.at_once = asked.calls.len().div_ceil(2);
                    asked.calls.into_iter().rev().for_each(|call| self.ready.push_front(call));
                } else {
                    refuse(asked.calls, &error);
                }
                for results in self.jobs.values_mut() {
                    results.let_go();
                }
            }
        }
    }

    /// Something came of a job.
    fn came(&mut self, job: JobId, event: Option<Result<JobEvent, ClientError>>, is_asking: bool) {
        let Some(results) = self.jobs.get_mut(&job) else { return };
        let end = match event {
            Some(Ok(JobEvent::Results { block, payload, .. })) => {
                results.take_in(job, &block.results, &payload, is_asking);
                return;
            }
            Some(Ok(JobEvent::Update(_))) => return,
            // Calls without a result were cancelled with their job.
            Some(Ok(JobEvent::Ended(status))) => {
                let (state, job) = (status.state, status.job);
                ClientError::Api(Reason::JobEnded { job, state }.into())
            }
            Some(Err(error)) => error,
            None => ClientError::Stopped,
        };
        if let Some(results) = self.jobs.remove(&job) {
            for call in results.open.into_values() {
                let _ = call.send(Err(end.clone()));
            }
        }
        // The next request watches it again, if it has calls still.
        if self.job == Some(job) {
            self.job = None;
        }
    }

    /// Jobs that take no calls any more are watched until the calls here have ended.
    fn forget_others(&mut self) {
        let current = self.job;
        self.jobs.retain(|job, results| Some(*job) == current || !results.open.is_empty());
    }
}

/// Ends calls with an error.
fn refuse(calls: Vec<Call>, error: &ClientError) {
    for call in calls {
        // Whoever made it may not wait any more.
        let _ = call.result.send(Err(error.clone()));
    }
}

/// The inputs of calls one behind the other; that of one is not copied.
fn joined(calls: &[Call]) -> Bytes {
    if let [call] = calls {
        return call.input.clone();
    }
    let mut all = BytesMut::with_capacity(calls.iter().map(|call| call.input.len()).sum());
    calls.iter().for_each(|call| all.extend_from_slice(&call.input));
    all.freeze()
}

/// A request that is under way.
type Asking = Pin<Box<dyn Future<Output = Reported> + Send>>;

/// The job of some calls, the first's index, and its results if they were not watched before.
type Reported = Result<(JobId, u64, Option<JobStream>), ClientError>;

/// The next event of any job; never, if there is none.
async fn next(
    jobs: &mut BTreeMap<JobId, Results>,
) -> (JobId, Option<Result<JobEvent, ClientError>>) {
    let reads = jobs.iter_mut().filter(|(_, results)| !results.is_full());
    let mut waiting: Vec<_> =
        reads.map(|(job, results)| (*job, Box::pin(results.stream.next()))).collect();
    std::future::poll_fn(|context| {
        for (job, event) in &mut waiting {
            if let Poll::Ready(event) = event.as_mut().poll(context) {
                return Poll::Ready((*job, event));
            }
        }
        Poll::Pending
    })
    .await
}

impl Results {
    /// Calls have these indices, from the first on.
    fn claim(&mut self, first: u64, calls: impl Iterator<Item = Answer>) {
        for (index, call) in (first..).zip(calls) {
            match self.unclaimed.remove(&index) {
                Some(result) => drop(call.send(Ok(result))),
                None => drop(self.open.insert(index, call)),
            }
        }
        self.let_go();
    }

    /// Nobody asks: what nobody has claimed is others'.
    fn let_go(&mut self) {
        self.unclaimed.clear();
        self.unclaimed_bytes = 0;
    }

    fn take_in(&mut self, job: JobId, metas: &[ResultMeta], payload: &Bytes, is_asking: bool) {
        let mut rest = payload.clone();
        for meta in metas {
            let length = usize::try_from(meta.payload_len()).unwrap_or(usize::MAX);
            let bytes = rest.split_to(length.min(rest.len()));
            let call = self.open.remove(&meta.index);
            if call.is_none() && !is_asking {
                continue;
            }
            let result = CallResult { job, meta: meta.clone(), bytes };
            match call {
                Some(call) => drop(call.send(Ok(result))),
                None => self.keep(result),
            }
        }
    }

    fn keep(&mut self, result: CallResult) {
        self.unclaimed_bytes += result.bytes.len();
        self.unclaimed.insert(result.meta.index, result);
    }

    /// True while no further result is read: first it must be known whose the others are.
    const fn is_full(&self) -> bool {
        self.unclaimed_bytes > UNCLAIMED_BYTES
    }
}
