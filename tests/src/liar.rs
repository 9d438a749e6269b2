//! A worker and a client that say over the real wire what a test has them say: whatever is right or
//! wrong about it is the test's. What no link carries at all they cannot say either.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use wasmgrid_net::{Endpoint, Envelope, JoinToken, Link, Message, enroll};
use wasmgrid_proto::{
    ByteCount, Digest, InputBlock, JobId, JobSpec, Micros, ModuleKind, TaskSpec, WorkerCapacity,
    wire::{
        ApiError, Assign, FromClient, FromWorker, Heartbeat, HeldLease, Join, Reply, Request,
        RequestFrame, Submit, ToClient, ToWorker,
    },
};

use crate::PATIENCE;

/// How often a worker says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long a look for a message takes where none comes.
const LOOK: Duration = Duration::from_secs(1);

/// One end of a link, and the certificate that it was made with.
struct End<Out: Message, In: Message> {
    link: Link<Out, In>,
    /// Its links live as long as it.
    endpoint: Endpoint,
    addresses: Vec<String>,
    /// What came that nobody has asked for yet.
    stash: VecDeque<Envelope<In>>,
    runtime: Runtime,
}

/// A worker that says what it is told to say.
pub struct LyingWorker(End<FromWorker, ToWorker>);

/// A client that says what it is told to say.
pub struct LyingClient {
    end: End<FromClient, ToClient>,
    /// The number of its last request.
    asked: u64,
}

/// A job of a task of the SDK, that asks for nothing in particular.
pub fn job_of(module: Digest) -> JobSpec {
    let task = TaskSpec { seed: 1, ..TaskSpec::new(module, ModuleKind::Task) };
    JobSpec::new("a liar's".into(), task)
}

/// The certificate that a token gives, by which links are made.
fn enrolled(token: &str, name: &str) -> (Runtime, Endpoint, Vec<String>) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let token: JoinToken = token.parse().expect("a token");
    let (endpoint, addresses) = runtime.block_on(async {
        let credentials = enroll(&token, name).await.expect("the token is good");
        (Endpoint::new(&credentials), token.addresses)
    });
    (runtime, endpoint, addresses)
}

impl<Out: Message, In: Message> End<Out, In> {
    fn say(&self, envelope: Envelope<Out>) {
        let sent = async { timeout(PATIENCE, self.link.sender.send(envelope)).await };
        let said = self.runtime.block_on(sent);
        said.expect("the scheduler reads what it is sent").expect("the link is open");
    }

    /// The first message, come or to come, from which `find` makes something.
    fn hear<T>(&mut self, what: &str, find: impl Fn(&Envelope<In>) -> Option<T>) -> T {
        if let Some((at, found)) =
            self.stash.iter().enumerate().find_map(|(at, come)| Some((at, find(come)?)))
        {
            self.stash.remove(at);
            return found;
        }
        crate::wait_for(what, || {
            let receiver = &mut self.link.receiver;
            let came = self.runtime.block_on(async { timeout(LOOK, receiver.recv()).await });
            match came {
                Err(_) => None,
                Ok(Ok(Some(envelope))) => {
                    let found = find(&envelope);
                    if found.is_none() {
                        self.stash.push_back(envelope);
                    }
                    found
                }
                Ok(ended) => panic!("the link ended before {what}: {ended:?}"),
            }
        })
    }
}

impl LyingWorker {
    /// Links with a token's certificate, and says nothing yet.
    pub fn link(token: &str, name: &str) -> Self {
        let (runtime, endpoint, addresses) = enrolled(token, name);
        let link = runtime.block_on(endpoint.connect_worker(&addresses)).expect("a scheduler");
        let stash = VecDeque::new();
        Self(End { link, endpoint, addresses, stash, runtime })
    }

    /// Joins with a token's certificate, as a worker of so many slots that offers this.
    pub fn join(token: &str, name: &str, capacity: WorkerCapacity) -> Self {
        let worker = Self::link(token, name);
        worker.say_join(capacity, Vec::new());
        worker
    }

    /// What a machine of so many slots offers.
    pub fn capacity(slots: u32) -> WorkerCapacity {
        let memory = ByteCount(u64::from(slots) << 30);
        WorkerCapacity { slots, memory, labels: Vec::new(), engine: "of a liar".into() }
    }

    /// Joins on a new link, with what it says it holds.
    pub fn join_again(&mut self, capacity: WorkerCapacity, held: Vec<HeldLease>) {
        let End { endpoint, addresses, runtime, link, .. } = &self.0;
        link.sender.close("it joins again");
        let link = runtime.block_on(endpoint.connect_worker(addresses)).expect("a scheduler");
        self.0.link = link;
        self.0.stash.clear();
        self.say_join(capacity, held);
    }

    fn say_join(&self, capacity: WorkerCapacity, held: Vec<HeldLease>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970");
        let started = Micros(u64::try_from(since.as_micros()).expect("before the year 500,000"));
        self.say(FromWorker::Join(Join { started, capacity, held, proofs: Vec::new() }));
        let sender = self.0.link.sender.clone();
        // It ends with its link, and with the runtime.
        self.0.runtime.spawn(async move {
            while sender.send(FromWorker::Heartbeat(Heartbeat::default())).await.is_ok() {
                tokio::time::sleep(HEARTBEAT).await;
            }
        });
    }

    /// Says this.
    pub fn say(&self, envelope: impl Into<Envelope<FromWorker>>) {
        self.0.say(envelope.into());
    }

    /// The first message, come or to come, from which `find` makes something.
    ///
    /// # Panics
    /// Where the link ends, or it does not come.
    pub fn hear<T>(&mut self, what: &str, find: impl Fn(&Envelope<ToWorker>) -> Option<T>) -> T {
        self.0.hear(what, find)
    }

    /// The next tasks that it is given, with their inputs.
    pub fn assigned(&mut self) -> (Assign, Bytes) {
        self.hear("tasks", |envelope| match &envelope.message {
            ToWorker::Assign(assign) => Some((assign.clone(), envelope.payload.clone())),
            _ => None,
        })
    }

    /// Waits until the scheduler has dealt with the results that it sent under this number.
    pub fn acknowledged(&mut self, batch: u64) {
        self.hear("the results to be acknowledged", |envelope| match &envelope.message {
            ToWorker::Committed(committed) => committed.batches.contains(&batch).then_some(()),
            _ => None,
        });
    }
}

impl LyingClient {
    /// A client with a token's certificate.
    pub fn link(token: &str, name: &str) -> Self {
        let (runtime, endpoint, addresses) = enrolled(token, name);
        let link = runtime.block_on(endpoint.connect_client(&addresses)).expect("a scheduler");
        let stash = VecDeque::new();
        Self { end: End { link, endpoint, addresses, stash, runtime }, asked: 0 }
    }

    /// Links anew.
    pub fn link_again(&mut self) {
        let End { endpoint, addresses, runtime, .. } = &self.end;
        let link = runtime.block_on(endpoint.connect_client(addresses)).expect("a scheduler");
        self.end.link = link;
        self.end.stash.clear();
    }

    /// Says this.
    pub fn say(&self, envelope: impl Into<Envelope<FromClient>>) {
        self.end.say(envelope.into());
    }

    /// Asks this with these bytes, and does not wait for the answer; its number.
    pub fn ask(&mut self, request: Request, payload: impl Into<Bytes>) -> u64 {
        self.asked += 1;
        let message = FromClient::Request(RequestFrame { id: self.asked, request });
        self.say(Envelope { message, payload: payload.into() });
        self.asked
    }

    /// The first message, come or to come, from which `find` makes something.
    ///
    /// # Panics
    /// Where the link ends, or it does not come.
    pub fn hear<T>(&mut self, what: &str, find: impl Fn(&Envelope<ToClient>) -> Option<T>) -> T {
        self.end.hear(what, find)
    }

    /// Asks this with these bytes, and waits for the answer.
    pub fn answer(
        &mut self,
        request: Request,
        payload: impl Into<Bytes>,
    ) -> Result<Reply, ApiError> {
        let id = self.ask(request, payload);
        self.hear("an answer", |envelope| match &envelope.message {
            ToClient::Reply(frame) if frame.id == id => Some(frame.reply.clone()),
            _ => None,
        })
    }

    /// Has the scheduler keep a module, and submits a job of it with the numbers from 0 to `count`.
    pub fn submit(
        &mut self,
        module: &[u8],
        count: u64,
        change: impl FnOnce(&mut JobSpec),
    ) -> JobId {
        let (digest, size_bytes) = (Digest::of(module), module.len() as u64);
        let put = Request::PutModule { digest, size_bytes };
        self.answer(put, module.to_vec()).expect("it is a task");
        let mut spec = job_of(digest);
        change(&mut spec);
        let inputs = InputBlock::Numbers { start: 0, step: 1, count };
        let submit = Submit { spec, idempotency_key: None, inputs, closed: true, watch: None };
        match self.answer(Request::Submit(submit), Vec::new()) {
            Ok(Reply::Job(status)) => status.job,
            other => panic!("the job is not taken: {other:?}"),
        }
    }
}
