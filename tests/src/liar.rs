//! A worker and a client that say over the real wire what a test has them say: whatever is right or
//! wrong about it is the test's. What no link carries at all they cannot say either.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use wasmgrid_net::{Endpoint, Envelope, JoinToken, Link, LinkError, Message, enroll};
use wasmgrid_proto::{
    ByteCount, Digest, InputBlock, JobId, JobSpec, Limits, Micros, ModuleKind, TaskSpec,
    WorkerCapacity,
    wire::{
        ApiError, Assign, FromClient, FromWorker, Heartbeat, HeldLease, Join, PROTOCOL_MINOR,
        Reply, Request, RequestFrame, Submit, ToClient, ToWorker,
    },
};

use crate::PATIENCE;

/// How often a worker that waits says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// One end of a link, and the certificate that it was made with.
struct End<Out: Message, In: Message> {
    link: Link<Out, In>,
    /// Its links live as long as it.
    endpoint: Endpoint,
    addresses: Vec<String>,
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
    JobSpec {
        name: "a liar's".into(),
        task: TaskSpec {
            module,
            kind: ModuleKind::Task,
            args: Vec::new(),
            limits: Limits::default(),
            seed: 1,
            grants: Vec::new(),
            tenant: String::new(),
        },
        priority: 0,
        retries: 0,
        max_failures: None,
        deadline: None,
        requires: Vec::new(),
        attached: false,
    }
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

    /// What comes within `wait`; `None` where nothing does.
    fn hear(&mut self, wait: Duration) -> Option<Result<Option<Envelope<In>>, LinkError>> {
        self.runtime.block_on(async { timeout(wait, self.link.receiver.recv()).await.ok() })
    }
}

impl LyingWorker {
    /// Joins with a token's certificate, as a worker of so many slots that offers this.
    pub fn join(token: &str, name: &str, capacity: WorkerCapacity) -> Self {
        let (runtime, endpoint, addresses) = enrolled(token, name);
        let link = runtime.block_on(endpoint.connect_worker(&addresses)).expect("a scheduler");
        let worker = Self(End { link, endpoint, addresses, runtime });
        worker.say_join(capacity, Vec::new());
        worker
    }

    /// What a machine of so many slots offers.
    pub fn capacity(slots: u32) -> WorkerCapacity {
        let memory = ByteCount(u64::from(slots) << 30);
        WorkerCapacity { slots, memory, labels: Vec::new(), engine: "of a liar".into() }
    }

    /// Joins again on a new link, with what it says it holds.
    pub fn join_again(&mut self, capacity: WorkerCapacity, held: Vec<HeldLease>) {
        let End { endpoint, addresses, runtime, .. } = &self.0;
        let link = runtime.block_on(endpoint.connect_worker(addresses)).expect("a scheduler");
        self.0.link = link;
        self.say_join(capacity, held);
    }

    fn say_join(&self, capacity: WorkerCapacity, held: Vec<HeldLease>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970");
        let started = Micros(u64::try_from(since.as_micros()).expect("before the year 500,000"));
        self.say(FromWorker::Join(Join { minor: PROTOCOL_MINOR, started, capacity, held }));
    }

    /// Says this.
    pub fn say(&self, envelope: impl Into<Envelope<FromWorker>>) {
        self.0.say(envelope.into());
    }

    /// The next message from which `find` makes something; says meanwhile that it lives.
    ///
    /// # Panics
    /// Where the link ends, or it does not come.
    pub fn hear<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(Envelope<ToWorker>) -> Option<T>,
    ) -> T {
        crate::wait_for(what, || match self.0.hear(HEARTBEAT) {
            None => {
                self.say(FromWorker::Heartbeat(Heartbeat::default()));
                None
            }
            Some(Ok(Some(envelope))) => find(envelope),
            Some(ended) => panic!("the link ended before {what}: {ended:?}"),
        })
    }

    /// The next tasks that it is given, with their inputs.
    pub fn assigned(&mut self) -> (Assign, Bytes) {
        self.hear("tasks", |envelope| match envelope.message {
            ToWorker::Assign(assign) => Some((assign, envelope.payload)),
            _ => None,
        })
    }

    /// Waits until the scheduler has dealt with the results that it sent under this number.
    pub fn acknowledged(&mut self, batch: u64) {
        self.hear("the results to be acknowledged", |envelope| match envelope.message {
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
        Self { end: End { link, endpoint, addresses, runtime }, asked: 0 }
    }

    /// Links anew.
    pub fn link_again(&mut self) {
        let End { endpoint, addresses, runtime, .. } = &self.end;
        let link = runtime.block_on(endpoint.connect_client(addresses)).expect("a scheduler");
        self.end.link = link;
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

    /// The next message from which `find` makes something.
    ///
    /// # Panics
    /// Where the link ends, or it does not come.
    pub fn hear<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(Envelope<ToClient>) -> Option<T>,
    ) -> T {
        crate::wait_for(what, || match self.end.hear(HEARTBEAT) {
            None => None,
            Some(Ok(Some(envelope))) => find(envelope),
            Some(ended) => panic!("the link ended before {what}: {ended:?}"),
        })
    }

    /// Asks this with these bytes, and waits for the answer.
    pub fn answer(
        &mut self,
        request: Request,
        payload: impl Into<Bytes>,
    ) -> Result<Reply, ApiError> {
        let id = self.ask(request, payload);
        self.hear("an answer", |envelope| match envelope.message {
            ToClient::Reply(frame) if frame.id == id => Some(frame.reply),
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
