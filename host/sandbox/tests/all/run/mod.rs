//! What a slot does with tasks: each outcome and limit, determinism, isolation of one task from
//! the next, orders, and the life and death of runners.

mod determinism;
mod life;
mod limits;
mod outcomes;
mod preview1;
mod purity;
mod slots;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use wasmgrid_proto::{
    Digest, InputBlock, JobId, LeaseId, Limit, ModuleKind, Outcome, ResultMeta, TaskRange,
    TaskSpec, Usage, WorkerId,
};
use wasmgrid_sandbox::{
    Isolation, ModuleSource, Sandbox, SandboxConfig, Slot, SlotBatch, SlotEvent,
};

use crate::texts;

/// No event of a test takes so long; a test that waits in vain ends.
const PATIENCE: Duration = Duration::from_secs(120);

/// All ways to run tasks; outcomes are the same in each.
const ISOLATIONS: [Isolation; 3] = [Isolation::Process, Isolation::Task, Isolation::InProcess];

/// How one task ended, with its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    index: u64,
    outcome: Outcome,
    usage: Usage,
    pub(crate) output: Vec<u8>,
    records: Vec<Vec<u8>>,
    log: String,
    log_dropped: u64,
}

/// A sandbox of one slot.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) slot: Slot,
}

impl Bench {
    pub(crate) fn new(isolation: Isolation) -> Self {
        Self::with_program(isolation, env!("CARGO_BIN_EXE_sandbox-children").into())
    }

    fn with_program(isolation: Isolation, program: PathBuf) -> Self {
        Self::with(SandboxConfig { isolation, program, slots: 1, ..SandboxConfig::default() })
    }

    pub(crate) fn with(config: SandboxConfig) -> Self {
        let (sandbox, mut slots) = Sandbox::start(config).unwrap();
        Self { sandbox, slot: slots.remove(0) }
    }

    /// A batch of job and lease 1, with one task an input.
    pub(crate) async fn batch(
        &self,
        module: &[u8],
        spec: &TaskSpec,
        inputs: &[&[u8]],
    ) -> SlotBatch {
        let source = ModuleSource::Bytes(Bytes::copy_from_slice(module));
        SlotBatch {
            prepared: self.sandbox.prepare(spec, source).await.unwrap(),
            job: JobId(1),
            lease: LeaseId(1),
            attempt: 1,
            worker: WorkerId(1),
            spec: Arc::new(spec.clone()),
            first: 0,
            inputs: InputBlock::Packed(inputs.iter().map(|input| input.len() as u32).collect()),
            payload: inputs.concat().into(),
        }
    }

    pub(crate) async fn next(&mut self) -> SlotEvent {
        timeout(PATIENCE, self.slot.events.next()).await.expect("an event").expect("a live slot")
    }

    /// Gathers events until `count` tasks have come back as results.
    pub(crate) async fn results(&mut self, count: usize) -> Vec<Ended> {
        let mut ended = Vec::new();
        while ended.len() < count {
            if let SlotEvent::Results(block, payload) = self.next().await {
                ended.extend(
                    block.entries(&payload).unwrap().map(|(meta, bytes)| read(meta, &bytes)),
                );
            }
        }
        ended
    }

    /// Waits until a task of the slot runs.
    async fn started(&self) -> TaskRange {
        let running = async {
            loop {
                if let Some(running) = self.slot.input.running() {
                    return TaskRange { first: running.task.index, count: 1 };
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, running).await.expect("a task that runs")
    }
}

fn read(meta: &ResultMeta, bytes: &Bytes) -> Ended {
    let (output, records, log) = meta.split(bytes).unwrap();
    Ended {
        index: meta.index,
        outcome: meta.outcome.clone(),
        usage: meta.usage,
        output: output.to_vec(),
        records: records.iter().map(|record| record.to_vec()).collect(),
        log: String::from_utf8(log.to_vec()).unwrap(),
        log_dropped: meta.log_dropped,
    }
}

pub(crate) fn spec(module: &[u8], kind: ModuleKind) -> TaskSpec {
    TaskSpec {
        args: vec!["one".into(), "two".into()],
        tenant: "test".into(),
        ..TaskSpec::new(Digest::of(module), kind)
    }
}

/// Runs the module once for each input, in each isolation, where it must end the same.
async fn run_each(module: &[u8], spec: &TaskSpec, inputs: &[&[u8]]) -> Vec<Ended> {
    let mut first: Option<Vec<Ended>> = None;
    for isolation in ISOLATIONS {
        let ended = run_each_in(isolation, module, spec, inputs).await;
        match &first {
            Some(first) => {
                for (one, other) in first.iter().zip(&ended) {
                    assert_same(one, other, isolation);
                }
            }
            None => first = Some(ended),
        }
    }
    first.unwrap()
}

async fn run_each_in(
    isolation: Isolation,
    module: &[u8],
    spec: &TaskSpec,
    inputs: &[&[u8]],
) -> Vec<Ended> {
    let mut bench = Bench::new(isolation);
    let batch = bench.batch(module, spec, inputs).await;
    bench.slot.input.run(batch).await.unwrap();
    let ended = bench.results(inputs.len()).await;
    bench.sandbox.shutdown().await;
    ended
}

/// Everything but time is the same; and after a deadline, what it was used for.
fn assert_same(one: &Ended, other: &Ended, isolation: Isolation) {
    let timeless = |ended: &Ended| {
        let mut ended = ended.clone();
        ended.usage.wall_us = 0;
        if let Outcome::Limit { limit: Limit::Deadline, used, .. } = &mut ended.outcome
            && ended.usage.fuel != 0
        {
            (*used, ended.usage.fuel) = (0, 0);
        }
        ended
    };
    assert_eq!(timeless(one), timeless(other), "{isolation:?}");
}

async fn run_one(module: &[u8], spec: &TaskSpec, input: &[u8]) -> Ended {
    run_each(module, spec, &[input]).await.remove(0)
}

/// A component of the SDK's world. `body` is of `run`, with `$in` and `$len`; `more` are fields
/// of its core module. `$ok` returns bytes, `$err` a failure of a kind.
fn task(body: &str, more: &str) -> Vec<u8> {
    texts::task(2, texts::ALLOCATOR, body, more)
}

/// Returns its input; where that is empty it runs until it is stopped.
pub(crate) fn echo_or_spin() -> Vec<u8> {
    task(
        r#"(if (i32.eqz (local.get $len)) (then (loop $again (br $again))))
           (call $ok (local.get $in) (local.get $len))"#,
        "",
    )
}

/// A preview 1 command; `body` is of `_start`.
fn command(body: &str, more: &str) -> Vec<u8> {
    texts::command(4, body, more)
}
