//! A scheduler played by the test, with one worker linked to it in the same process.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};
use wasmgrid_net::{Envelope, Identity, Link, Role, in_process};
use wasmgrid_proto::{
    ByteCount, Digest, Epoch, InputBlock, JobId, LeaseId, Millis, ModuleKind, Outcome, TaskRange,
    TaskSpec, WorkerCapacity, WorkerId,
    wire::{
        Assign, Cancel, Committed, FromWorker, Join, Joined, LeaseGrant, Module, Revoke, ToWorker,
        WorkerResults,
    },
};
use wasmgrid_worker::{
    Dial, Worker, WorkerConfig,
    sandbox::{Isolation, Sandbox, SandboxConfig, Slot, simulated::Model},
};

/// Nothing in a test takes so long; one that waits in vain ends.
const PATIENCE: Duration = Duration::from_secs(120);

/// Links that may wait to be taken.
const LINKS_MAX: usize = 16;

/// The test's side of things.
pub struct Scheduler {
    links: mpsc::Receiver<Link<ToWorker, FromWorker>>,
    link: Link<ToWorker, FromWorker>,
}

impl Scheduler {
    /// A worker of so many slots that has joined.
    pub async fn with_worker(slots: u32) -> (Self, Worker) {
        Self::with_kept(slots, ByteCount(256 << 20)).await
    }

    /// The same for a worker that keeps so much of results that are not acknowledged.
    pub async fn with_kept(slots: u32, kept_results: ByteCount) -> (Self, Worker) {
        let config =
            SandboxConfig { slots, isolation: Isolation::InProcess, ..SandboxConfig::default() };
        let (sandbox, handles) = Sandbox::start(config).unwrap();
        Self::with_sandbox(slots, kept_results, sandbox, handles).await
    }

    /// A worker whose slots do as the model says.
    pub async fn with_simulated(slots: u32, model: Arc<dyn Model>) -> (Self, Worker) {
        let (sandbox, handles) = Sandbox::simulated(slots, model);
        Self::with_sandbox(slots, ByteCount(256 << 20), sandbox, handles).await
    }

    /// A worker with this sandbox.
    pub async fn with_sandbox(
        slots: u32,
        kept_results: ByteCount,
        sandbox: Sandbox,
        handles: Vec<Slot>,
    ) -> (Self, Worker) {
        let (dialled, mut links) = mpsc::channel(LINKS_MAX);
        let dial = Dial::InProcess(Arc::new(move || {
            let (ours, theirs) = in_process(
                Identity::new("test", Role::Scheduler, "one").unwrap(),
                Identity::new("test", Role::Worker, "a").unwrap(),
            );
            // Where nobody takes it the worker sees its end.
            let _ = dialled.try_send(ours);
            theirs
        }));
        let memory = ByteCount(1 << 30);
        let capacity = WorkerCapacity { slots, memory, labels: Vec::new(), engine: "test".into() };
        let config = WorkerConfig { kept_results, ..WorkerConfig::new(capacity) };
        let worker = Worker::start(config, sandbox, handles, dial);
        let link = within(links.recv()).await.unwrap();
        let mut scheduler = Self { links, link };
        assert_eq!(scheduler.let_in().await.held, []);
        (scheduler, worker)
    }

    /// Breaks the link, and lets the worker in on its next one.
    pub async fn relink(&mut self) -> Join {
        self.link.sender.close("a test");
        self.link = within(self.links.recv()).await.unwrap();
        self.let_in().await
    }

    async fn let_in(&mut self) -> Join {
        let join = match self.hear_any().await.message {
            FromWorker::Join(join) => join,
            other => panic!("{other:?} instead of a join"),
        };
        let (worker, epoch) = (WorkerId(1), Epoch(1));
        self.say(ToWorker::Joined(Joined { worker, epoch, heartbeat: Millis(10) })).await;
        join
    }

    pub async fn say(&self, envelope: impl Into<Envelope<ToWorker>>) {
        self.link.sender.send(envelope).await.unwrap();
    }

    /// What the worker says next, beside how it stands.
    pub async fn hear(&mut self) -> Envelope<FromWorker> {
        loop {
            let envelope = self.hear_any().await;
            if !is_of_itself(&envelope.message) {
                return envelope;
            }
        }
    }

    pub async fn hear_any(&mut self) -> Envelope<FromWorker> {
        within(self.link.receiver.recv()).await.unwrap().expect("a link that goes on")
    }

    /// Waits until so many tasks run; other things that are said meanwhile are failures.
    pub async fn running(&mut self, count: usize) -> Vec<u64> {
        loop {
            match self.hear_any().await.message {
                FromWorker::Heartbeat(heartbeat) if heartbeat.running.len() == count => {
                    return heartbeat.running.iter().map(|running| running.task.index).collect();
                }
                message if is_of_itself(&message) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Assigns tasks of a module from the first index on, under a lease.
    pub async fn assign(&self, job: u64, lease: u64, spec: &TaskSpec, first: u64, count: u64) {
        let inputs = InputBlock::Numbers { start: 0, step: 1, count };
        let grant = LeaseGrant { lease: LeaseId(lease), attempt: 1, first, inputs };
        let (job, spec) = (JobId(job), spec.clone().into());
        self.say(ToWorker::Assign(Assign { job, spec, leases: vec![grant] })).await;
    }

    /// Waits until the worker asks for this module, and sends it.
    pub async fn serve_module(&mut self, module: &[u8]) {
        let digest = Digest::of(module);
        match self.hear().await.message {
            FromWorker::NeedModule(need) => assert_eq!(need.digest, digest),
            other => panic!("{other:?}"),
        }
        self.send_module(module).await;
    }

    pub async fn send_module(&self, module: &[u8]) {
        let (digest, size_bytes) = (Digest::of(module), module.len() as u64);
        let message = ToWorker::Module(Module { digest, size_bytes });
        self.say(Envelope { message, payload: Bytes::copy_from_slice(module) }).await;
    }

    /// Sends other bytes than those that have this digest.
    pub async fn send_damaged(&self, digest: Digest) {
        let payload = Bytes::from_static(b"damaged");
        let message = ToWorker::Module(Module { digest, size_bytes: payload.len() as u64 });
        self.say(Envelope { message, payload }).await;
    }

    pub async fn cancel(&self, job: u64) {
        self.say(ToWorker::Cancel(Cancel { job: JobId(job), by: "alice".into() })).await;
    }

    pub async fn revoke(&self, job: u64, lease: u64, tasks: TaskRange) {
        let (job, lease, tasks) = (JobId(job), LeaseId(lease), vec![tasks]);
        self.say(ToWorker::Revoke(Revoke { job, lease, tasks })).await;
    }

    pub async fn commit(&self, batches: &[u64]) {
        self.say(ToWorker::Committed(Committed { batches: batches.to_vec() })).await;
    }

    /// Waits until all of so many tasks have come back in some way.
    pub async fn gather(&mut self, count: usize) -> Gathered {
        let mut gathered = Gathered::default();
        while gathered.outcomes.len() + gathered.returned.len() < count {
            gathered.add(self.hear().await.message);
        }
        gathered
    }
}

/// What came back of tasks, by index.
#[derive(Debug, Default)]
pub struct Gathered {
    pub outcomes: BTreeMap<u64, Outcome>,
    pub returned: Vec<u64>,
    pub batches: Vec<u64>,
    pub modules_asked: usize,
}

impl Gathered {
    fn add(&mut self, message: FromWorker) {
        match message {
            FromWorker::Results(results) => self.add_results(results),
            FromWorker::Returned(returned) => {
                let indices = returned.tasks.iter().flat_map(|range| range.first..range.end());
                self.returned.extend(indices);
                self.returned.sort_unstable();
            }
            FromWorker::NeedModule(_) => self.modules_asked += 1,
            FromWorker::Leaving(_) | FromWorker::Health(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn add_results(&mut self, results: WorkerResults) {
        self.batches.push(results.batch);
        for meta in results.blocks.iter().flat_map(|block| &block.results) {
            let again = self.outcomes.insert(meta.index, meta.outcome.clone());
            assert_eq!(again, None, "task {} ended twice", meta.index);
        }
    }
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it comes in time")
}

/// A preview 1 command that ends at once.
pub fn quick() -> Vec<u8> {
    command("")
}

/// A preview 1 command that never ends.
pub fn endless() -> Vec<u8> {
    command("(loop (br 0))")
}

fn command(body: &str) -> Vec<u8> {
    let text = format!(r#"(module (memory (export "memory") 1) (func (export "_start") {body}))"#);
    wat::parse_str(text).unwrap()
}

pub fn spec(module: &[u8]) -> TaskSpec {
    TaskSpec { tenant: "test".into(), ..TaskSpec::new(Digest::of(module), ModuleKind::Preview1) }
}

/// Whether a worker says only how it stands and what it is.
const fn is_of_itself(message: &FromWorker) -> bool {
    matches!(message, FromWorker::Heartbeat(_) | FromWorker::Preparing(_) | FromWorker::Report(_))
}
