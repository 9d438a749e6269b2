//! A server under test, and the links of those who talk to it. Waits are for messages; the time
//! limit is only there so that a message that never comes fails the test.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use bytes::Bytes;
use wasmgrid_net::{ActFor, Identity, Link, LinkError, in_process, in_process_for};
use wasmgrid_proto::{
    ByteCount, Digest, Epoch, Extensions, InputBlock, JobId, JobSpec, JobStatus, Micros,
    ModuleInfo, ModuleKind, Outcome, Refusal, ResultBlock, ResultMeta, Seq, TaskSpec, Usage,
    WorkerCapacity, WorkerId,
    frame::Envelope,
    wire::{
        ApiError, Assign, FromClient, FromWorker, Join, Message, Reply, Request, RequestFrame,
        Role, Submit, ToClient, ToWorker, WatchRequest, WorkerResults,
    },
};
use wasmgrid_server::{Admission, Admit, Server, ServerConfig, ServerHandle};
use wasmgrid_store::{
    Commit, EachRecord, Entry, Fault, MemoryStore, Reader, Store, StoreError, memory,
};

/// Only reached where a test fails.
pub const NEVER: Duration = Duration::from_secs(120);

/// Credit that no test uses up.
pub const PLENTY: u64 = 1 << 40;

/// What tests submit as a module; the admission of these tests takes anything but `BAD`.
pub const MODULE: &[u8] = b"a module";

/// A module that the admission refuses.
pub const BAD: &[u8] = b"no module";

pub fn start(store: MemoryStore) -> Server {
    Server::start(ServerConfig::new("test"), Box::new(store), admission()).expect("starts")
}

pub fn start_fresh() -> Server {
    start(memory())
}

pub fn no_task() -> Refusal {
    Refusal::NotATask { found: "a stone".into() }
}

pub fn admission() -> Admission {
    let admit = |bytes: &[u8]| {
        if bytes == BAD {
            return Err(no_task());
        }
        Ok(ModuleInfo {
            digest: Digest::of(bytes),
            size_bytes: bytes.len() as u64,
            kind: ModuleKind::Task,
            imports: Vec::new(),
            exports: Vec::new(),
        })
    };
    let check_task = |_: &ModuleInfo, task: &TaskSpec| {
        if task.grants.is_empty() { Ok(()) } else { Err(no_task()) }
    };
    Admission { admit: Admit::Here(Arc::new(admit)), check_task: Arc::new(check_task) }
}

pub fn spec() -> JobSpec {
    let task = TaskSpec {
        tenant: "somebody else".into(),
        ..TaskSpec::new(Digest::of(MODULE), ModuleKind::Task)
    };
    JobSpec::new("job".into(), task)
}

/// The other end of a link to the server, and what came that nobody has asked for yet.
pub struct Peer<Out: Message, In: Message> {
    pub link: Link<Out, In>,
    stash: VecDeque<Envelope<In>>,
}

impl<Out: Message, In: Message> Peer<Out, In> {
    pub async fn send(&self, envelope: impl Into<Envelope<Out>>) {
        self.link.sender.send(envelope).await.expect("the link is open");
    }

    /// The first message, come or to come, that `wanted` takes.
    pub async fn next<T>(&mut self, wanted: impl Fn(&Envelope<In>) -> Option<T>) -> T {
        if let Some(at) = self.stash.iter().position(|envelope| wanted(envelope).is_some()) {
            let envelope = self.stash.remove(at).expect("it is there");
            return wanted(&envelope).expect("it was wanted");
        }
        loop {
            let envelope = self.receive().await.expect("the link is open");
            match wanted(&envelope) {
                Some(found) => return found,
                None => self.stash.push_back(envelope),
            }
        }
    }

    /// True where a message that `wanted` takes has come by now.
    pub async fn has(&mut self, wanted: impl Fn(&In) -> bool) -> bool {
        while let Ok(Ok(Some(envelope))) =
            tokio::time::timeout(Duration::ZERO, self.link.receiver.recv()).await
        {
            self.stash.push_back(envelope);
        }
        self.stash.iter().any(|envelope| wanted(&envelope.message))
    }

    /// Why the server ended the link, where that was not in order.
    pub async fn ended(&mut self) -> Option<LinkError> {
        loop {
            let received = tokio::time::timeout(NEVER, self.link.receiver.recv()).await;
            match received.expect("an end in time") {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    }

    /// Waits until the server has closed the link.
    pub async fn closed(&mut self) {
        while self.receive().await.is_some() {}
    }

    async fn receive(&mut self) -> Option<Envelope<In>> {
        let received = tokio::time::timeout(NEVER, self.link.receiver.recv()).await;
        received.expect("a message in time").unwrap_or(None)
    }
}

pub type Worker = Peer<FromWorker, ToWorker>;
pub type Client = Peer<FromClient, ToClient>;

pub fn identity(role: Role, name: &str) -> Identity {
    Identity::new("test", role, name).expect("a name")
}

pub fn worker_link(server: &ServerHandle, role: Role, name: &str) -> Worker {
    let (link, theirs) = in_process(identity(role, name), identity(Role::Scheduler, "s"));
    server.worker(theirs);
    Peer { link, stash: VecDeque::new() }
}

/// A link over QUIC.
pub fn over<Out: Message, In: Message>(link: Link<Out, In>) -> Peer<Out, In> {
    Peer { link, stash: VecDeque::new() }
}

pub fn client_link(server: &ServerHandle, role: Role, name: &str) -> Client {
    let (link, theirs) = in_process(identity(role, name), identity(Role::Scheduler, "s"));
    server.client(theirs);
    Peer { link, stash: VecDeque::new() }
}

/// The link of a gateway, on which it acts for somebody, if it does.
pub fn gateway_link(server: &ServerHandle, name: &str, act_for: Option<&ActFor>) -> Client {
    acting_link(server, identity(Role::Gateway, name), act_for)
}

/// A client's link of somebody who says that it acts for somebody, if it does.
pub fn acting_link(server: &ServerHandle, who: Identity, act_for: Option<&ActFor>) -> Client {
    let (link, theirs) = in_process_for(who, identity(Role::Scheduler, "s"), act_for.cloned());
    server.client(theirs);
    Peer { link, stash: VecDeque::new() }
}

/// A worker of two slots that has joined.
pub async fn join(server: &ServerHandle, name: &str) -> Worker {
    let mut worker = worker_link(server, Role::Worker, name);
    let capacity = WorkerCapacity {
        slots: 2,
        memory: ByteCount(1 << 30),
        labels: Vec::new(),
        engine: "none".into(),
    };
    worker
        .send(FromWorker::Join(Join {
            started: Micros(1),
            capacity,
            held: Vec::new(),
            proofs: Vec::new(),
        }))
        .await;
    worker.next(|envelope| matches!(envelope.message, ToWorker::Joined(_)).then_some(())).await;
    worker
}

impl Worker {
    pub async fn assigned(&mut self) -> (Assign, Bytes) {
        self.next(|envelope| match &envelope.message {
            ToWorker::Assign(assign) => Some((assign.clone(), envelope.payload.clone())),
            _ => None,
        })
        .await
    }

    /// Ends all tasks of an assignment well, each after `wall_us`.
    pub async fn finish_after(&self, batch: u64, assign: &Assign, wall_us: u64) {
        let usage = Usage { wall_us, ..Usage::default() };
        self.finish_with(batch, assign, b"", usage).await;
    }

    /// Ends all tasks of an assignment well, each with `output`.
    pub async fn finish(&self, batch: u64, assign: &Assign, output: &[u8]) {
        self.finish_with(batch, assign, output, Usage::default()).await;
    }

    /// Ends all tasks of an assignment well, each with `output` and after it used this.
    pub async fn finish_with(&self, batch: u64, assign: &Assign, output: &[u8], usage: Usage) {
        let blocks = blocks_of(assign, output, usage);
        let count: usize = blocks.iter().map(|block| block.results.len()).sum();
        let blocks = blocks.into_iter().map(Arc::new).collect();
        let message = FromWorker::Results(WorkerResults { batch, blocks });
        self.send(Envelope { message, payload: output.repeat(count).into() }).await;
    }

    pub async fn committed(&mut self) -> Vec<u64> {
        self.next(|envelope| match &envelope.message {
            ToWorker::Committed(committed) => Some(committed.batches.clone()),
            _ => None,
        })
        .await
    }

    /// Runs all that is assigned until `tasks` tasks are done.
    pub async fn work(&mut self, mut tasks: u64, output: &[u8]) {
        let mut batch = 1_000;
        while tasks > 0 {
            let (assign, _) = self.assigned().await;
            batch += 1;
            self.finish(batch, &assign, output).await;
            tasks -= assign.leases.iter().map(|grant| grant.inputs.count()).sum::<u64>();
        }
    }
}

/// Good results of all tasks of an assignment.
pub fn blocks_of(assign: &Assign, output: &[u8], usage: Usage) -> Vec<ResultBlock> {
    let block = |grant: &wasmgrid_proto::wire::LeaseGrant| ResultBlock {
        job: assign.job,
        lease: grant.lease,
        worker: WorkerId(99),
        attempt: grant.attempt,
        results: (grant.first..grant.first + grant.inputs.count())
            .map(|index| result(index, output, usage))
            .collect(),
        extensions: Extensions::NONE,
    };
    assign.leases.iter().map(block).collect()
}

fn result(index: u64, output: &[u8], usage: Usage) -> ResultMeta {
    ResultMeta {
        index,
        outcome: Outcome::Ok,
        usage,
        output_len: u32::try_from(output.len()).expect("small"),
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    }
}

impl Client {
    pub async fn ask(&mut self, id: u64, request: Request, payload: &[u8]) {
        let message = FromClient::Request(RequestFrame { id, request });
        self.send(Envelope { message, payload: Bytes::copy_from_slice(payload) }).await;
    }

    /// Whether an answer to it has come, and was passed over.
    pub fn was_answered(&self, id: u64) -> bool {
        self.stash
            .iter()
            .any(|envelope| matches!(&envelope.message, ToClient::Reply(frame) if frame.id == id))
    }

    pub async fn answer(&mut self, id: u64) -> Result<Reply, ApiError> {
        self.next(|envelope| match &envelope.message {
            ToClient::Reply(frame) if frame.id == id => Some(frame.reply.clone()),
            _ => None,
        })
        .await
    }

    pub async fn request(&mut self, request: Request, payload: &[u8]) -> Result<Reply, ApiError> {
        self.ask(0, request, payload).await;
        self.answer(0).await
    }

    pub async fn put(&mut self, module: &[u8]) -> Result<Reply, ApiError> {
        let (digest, size_bytes) = (Digest::of(module), module.len() as u64);
        self.request(Request::PutModule { digest, size_bytes }, module).await
    }

    pub async fn job(&mut self, job: JobId) -> JobStatus {
        status(self.request(Request::Job { job }, &[]).await)
    }

    /// Results until the watch's last update: each one's cursor, index and output, and the update.
    pub async fn watched(&mut self, watch: u64) -> (Vec<(u64, u64, Bytes)>, JobStatus) {
        let mut results = Vec::new();
        loop {
            let next = |envelope: &Envelope<ToClient>| match &envelope.message {
                ToClient::Results(frame) if frame.watch == watch => Some(Err(envelope.clone())),
                ToClient::Update(update) if update.watch == watch => {
                    Some(Ok(update.status.clone()))
                }
                _ => None,
            };
            match self.next(next).await {
                Ok(status) if status.state.is_terminal() => return (results, status),
                Ok(_) => {}
                Err(frame) => results.extend(entries(&frame)),
            }
        }
    }
}

pub fn entries(envelope: &Envelope<ToClient>) -> Vec<(u64, u64, Bytes)> {
    let ToClient::Results(frame) = &envelope.message else { return Vec::new() };
    let (mut cursor, mut payload, mut entries) =
        (frame.first_cursor, envelope.payload.clone(), Vec::new());
    for block in &frame.blocks {
        let bytes = payload.split_to(usize::try_from(block.payload_len()).expect("small"));
        for (meta, output) in block.entries(&bytes).expect("fits") {
            entries.push((cursor, meta.index, output));
            cursor += 1;
        }
    }
    entries
}

pub fn status(reply: Result<Reply, ApiError>) -> JobStatus {
    match reply {
        Ok(Reply::Job(status)) => status,
        other => panic!("no job: {other:?}"),
    }
}

pub fn numbers(count: u64) -> InputBlock {
    InputBlock::Numbers { start: 0, step: 1, count }
}

pub fn submit(inputs: InputBlock, watch: Option<WatchRequest>) -> Request {
    let (spec, closed) = (spec(), true);
    Request::Submit(Submit { spec, idempotency_key: None, inputs, closed, watch })
}

pub fn watch(watch: u64, credit_bytes: u64) -> WatchRequest {
    WatchRequest { watch, cursor: 0, credit_bytes }
}

/// A store whose commits can be held up, made to fail, and counted.
pub struct Held {
    pub store: MemoryStore,
    pub valve: Arc<Valve>,
    /// Data of so many bytes is staged.
    pub stage_from: Option<usize>,
}

#[derive(Default)]
pub struct Valve {
    state: Mutex<ValveState>,
    opened: Condvar,
}

#[derive(Default)]
struct ValveState {
    closed: bool,
    breaks: bool,
    full: bool,
    away: bool,
    refused: usize,
    segments: usize,
    written: Vec<Entry>,
    longest: usize,
}

impl Valve {
    pub fn close(&self) {
        self.state.lock().expect("lock").closed = true;
    }

    pub fn open(&self) {
        self.state.lock().expect("lock").closed = false;
        self.opened.notify_all();
    }

    /// From now on commits fail.
    pub fn break_store(&self) {
        self.state.lock().expect("lock").breaks = true;
    }

    /// From now on there is no room.
    pub fn fill(&self) {
        self.state.lock().expect("lock").full = true;
    }

    /// There is room again.
    pub fn make_room(&self) {
        self.state.lock().expect("lock").full = false;
    }

    /// From now on the store gives no answer, so that a commit is in doubt.
    pub fn cut(&self) {
        self.state.lock().expect("lock").away = true;
    }

    /// The store answers again.
    pub fn connect(&self) {
        self.state.lock().expect("lock").away = false;
    }

    /// Waits until a commit was refused for want of room.
    pub async fn refused(&self) {
        while self.state.lock().expect("lock").refused == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// What was committed since the last time, and how much data one commit had at most.
    pub fn take_written(&self) -> (Vec<Entry>, usize) {
        let mut state = self.state.lock().expect("lock");
        let longest = std::mem::take(&mut state.longest);
        (std::mem::take(&mut state.written), longest)
    }

    /// Segments committed so far.
    pub fn segments(&self) -> usize {
        self.state.lock().expect("lock").segments
    }
}

impl Store for Held {
    fn fence(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        self.store.fence(epoch)
    }

    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        let mut state = self.valve.state.lock().expect("lock");
        while state.closed {
            state = self.valve.opened.wait(state).expect("lock");
        }
        if state.breaks {
            return Err(StoreError::Io { doing: "committing", source: "it is broken".into() });
        }
        if state.full {
            state.refused += 1;
            return Err(StoreError::Full("no room".into()));
        }
        if state.away {
            self.store.faults().plan(Fault::Failed);
        }
        let is_segment =
            |entry: &&Entry| matches!(entry, Entry::Segment(_) | Entry::StagedSegment { .. });
        state.segments += commit.entries.iter().filter(is_segment).count();
        let data = commit.entries.iter().map(|entry| match entry {
            Entry::Segment(segment) => segment.bytes(),
            Entry::StagedSegment { segment, .. } => segment.head.len(),
            Entry::Module { bytes, .. } | Entry::Stage { bytes, .. } => bytes.len(),
            _ => 0,
        });
        state.longest = state.longest.max(data.sum());
        // Without what is staged: to hold on to it is to mean to name it.
        let bare = |entry: &Entry| match entry {
            Entry::Stage { staged, piece, .. } => {
                Entry::Stage { staged: *staged, piece: *piece, bytes: Bytes::new() }
            }
            entry => entry.clone(),
        };
        state.written.extend(commit.entries.iter().map(bare));
        drop(state);
        self.store.commit(epoch, commit)
    }

    fn resolve(&mut self) -> Result<Seq, StoreError> {
        if self.valve.state.lock().expect("lock").away {
            self.store.faults().plan(Fault::Failed);
        }
        self.store.resolve()
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        self.store.replay(each)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.store.reader()
    }

    fn stage_from(&self) -> Option<usize> {
        self.stage_from
    }
}

/// A server on a store that can be held up.
pub fn start_held() -> (Server, Arc<Valve>) {
    start_held_with(ServerConfig::new("test"))
}

pub fn start_held_with(config: ServerConfig) -> (Server, Arc<Valve>) {
    start_held_staging(config, None)
}

/// The same, whose store has data of so many bytes staged.
pub fn start_held_staging(config: ServerConfig, stage_from: Option<usize>) -> (Server, Arc<Valve>) {
    let valve = Arc::new(Valve::default());
    let store = Held { store: memory(), valve: valve.clone(), stage_from };
    (Server::start(config, Box::new(store), admission()).expect("starts"), valve)
}
