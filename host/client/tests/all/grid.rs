//! A scheduler whose every answer is the test's.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::mpsc;
use wasmgrid_client::{Client, ClientConfig, ClientLink, SubmitRequest};
use wasmgrid_net::{Identity, Link, NetError, Role, in_process};
use wasmgrid_proto::{
    Digest, Extensions, InputBlock, JobCounts, JobId, JobSpec, JobState, JobStatus, LeaseId,
    Micros, ModuleKind, Outcome, ResultBlock, ResultMeta, TaskSpec, Usage, WorkerId,
    frame::Envelope,
    wire::{FromClient, Reply, ReplyFrame, Request, ResultsFrame, ToClient, Update, WatchRequest},
};

/// Only reached where a test fails.
pub const NEVER: Duration = Duration::from_secs(120);

/// The scheduler's end of one link. Dropping it loses the link.
pub struct Server(pub Link<ToClient, FromClient>);

/// Where the links arrive that a client dials.
pub struct Grid {
    links: mpsc::Receiver<Server>,
}

impl Grid {
    /// A client that dials this grid, which can always be reached.
    pub async fn connect(config: ClientConfig) -> (Client, Self) {
        let (dialled, links) = mpsc::channel(64);
        let dial = move || -> Ready<Result<ClientLink, NetError>> {
            let (near, far) = in_process_link();
            dialled.try_send(Server(far)).expect("few links are dialled");
            ready(Ok(near))
        };
        let client = Client::connect_with(config, dial).await.expect("reachable");
        (client, Self { links })
    }

    /// The next link the client dials; `None` once it dials no more.
    pub async fn next(&mut self) -> Option<Server> {
        self.links.recv().await
    }

    /// The next link the client dials.
    pub async fn accept(&mut self) -> Server {
        self.links.recv().await.expect("the client dials")
    }
}

/// Both ends of a link: the client's and the scheduler's.
pub fn in_process_link() -> (ClientLink, Link<ToClient, FromClient>) {
    let name = |role| Identity::new("test", role, "one").expect("a name");
    in_process(name(Role::Client), name(Role::Scheduler))
}

impl Server {
    pub async fn next(&mut self) -> FromClient {
        self.0.receiver.recv().await.expect("a link").expect("the client lives").message
    }

    /// The next message, which is a request.
    pub async fn request(&mut self) -> (u64, Request) {
        match self.next().await {
            FromClient::Request(frame) => (frame.id, frame.request),
            other => panic!("no request: {other:?}"),
        }
    }

    /// The next message, which asks for results.
    pub async fn watched(&mut self) -> (u64, WatchRequest) {
        match self.request().await {
            (id, Request::Watch { watch, .. }) => (id, watch),
            (id, Request::Submit(submit)) => (id, submit.watch.expect("with a watch")),
            other => panic!("no watch: {other:?}"),
        }
    }

    pub async fn say(&self, message: impl Into<Envelope<ToClient>>) {
        self.0.sender.send(message).await.expect("a link");
    }

    pub async fn answer(&self, id: u64, reply: Reply) {
        self.say(ToClient::Reply(ReplyFrame { id, reply: Ok(reply) })).await;
    }

    pub async fn update(&self, watch: u64, status: JobStatus) {
        self.say(ToClient::Update(Update { watch, status })).await;
    }

    /// Sends results `first..first + count`; returns what they use of the credit.
    pub async fn results(&self, watch: u64, first: u64, count: u64, bytes: usize) -> u64 {
        let frame =
            ResultsFrame { watch, first_cursor: first, blocks: blocks(first, count, bytes) };
        let cost = frame.credit_bytes();
        let payload = (first..first + count).flat_map(|k| vec![k as u8; bytes]).collect();
        self.say(Envelope { message: ToClient::Results(frame), payload }).await;
        cost
    }
}

/// Results in blocks of at most three; each has its index in every byte of its output.
fn blocks(first: u64, count: u64, bytes: usize) -> Vec<Arc<ResultBlock>> {
    let indices: Vec<u64> = (first..first + count).collect();
    let result = |index: &u64| ResultMeta {
        index: *index,
        outcome: Outcome::Ok,
        usage: Usage::default(),
        output_len: bytes as u32,
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    };
    let block = |part: &[u64]| ResultBlock {
        job: JobId(1),
        lease: LeaseId(1),
        worker: WorkerId(1),
        attempt: 1,
        results: part.iter().map(result).collect(),
        extensions: Extensions::NONE,
    };
    indices.chunks(3).map(block).map(Arc::new).collect()
}

pub fn spec() -> JobSpec {
    let task =
        TaskSpec { tenant: "one".into(), ..TaskSpec::new(Digest::of(b"module"), ModuleKind::Task) };
    JobSpec::new("test".into(), task)
}

/// How job 1 stands with so many results in its log.
pub fn status(state: JobState, results: u64) -> JobStatus {
    JobStatus {
        job: JobId(1),
        spec: spec(),
        state,
        closed: true,
        counts: JobCounts::default(),
        results,
        submitted_at: Micros(0),
        ended_at: None,
    }
}

pub fn submit(watch: bool) -> SubmitRequest {
    SubmitRequest {
        spec: spec(),
        key: None,
        inputs: InputBlock::Packed(vec![2]),
        payload: Bytes::from_static(b"in"),
        closed: true,
        watch,
    }
}
