//! What a slot does with tasks: each outcome and limit, determinism, isolation of one task from
//! the next, orders, and the life and death of runners.

mod determinism;
mod life;
mod limits;
mod outcomes;
mod purity;
mod slots;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use wasmgrid_proto::{
    Digest, InputBlock, JobId, LeaseId, Limit, Limits, ModuleKind, Outcome, ResultMeta, TaskRange,
    TaskSpec, Usage, WorkerId,
};
use wasmgrid_sandbox::{
    Isolation, ModuleSource, Sandbox, SandboxConfig, Slot, SlotBatch, SlotEvent,
};

use crate::modules::wat;

/// No event of a test takes so long; a test that waits in vain ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// All ways to run tasks; outcomes are the same in each.
const ISOLATIONS: [Isolation; 3] = [Isolation::Process, Isolation::Task, Isolation::InProcess];

/// How one task ended, with its bytes.
#[derive(Clone, Debug, PartialEq)]
struct Ended {
    index: u64,
    outcome: Outcome,
    usage: Usage,
    output: Vec<u8>,
    records: Vec<Vec<u8>>,
    log: String,
    log_dropped: u64,
}

/// A sandbox of one slot.
struct Bench {
    sandbox: Sandbox,
    slot: Slot,
}

impl Bench {
    fn new(isolation: Isolation) -> Self {
        Self::with_program(isolation, env!("CARGO_BIN_EXE_sandbox-children").into())
    }

    fn with_program(isolation: Isolation, program: PathBuf) -> Self {
        Self::with(SandboxConfig { isolation, program, slots: 1, ..SandboxConfig::default() })
    }

    fn with(config: SandboxConfig) -> Self {
        let (sandbox, mut slots) = Sandbox::start(config).unwrap();
        Self { sandbox, slot: slots.remove(0) }
    }

    /// A batch of job and lease 1, with one task an input.
    async fn batch(&self, module: &[u8], spec: &TaskSpec, inputs: &[&[u8]]) -> SlotBatch {
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

    async fn next(&mut self) -> SlotEvent {
        timeout(PATIENCE, self.slot.events.next()).await.expect("an event").expect("a live slot")
    }

    /// Gathers events until `count` tasks have come back as results.
    async fn results(&mut self, count: usize) -> Vec<Ended> {
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

fn spec(module: &[u8], kind: ModuleKind) -> TaskSpec {
    TaskSpec {
        module: Digest::of(module),
        kind,
        args: vec!["one".into(), "two".into()],
        limits: Limits::default(),
        seed: 0,
        grants: Vec::new(),
        tenant: "test".into(),
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
    crate::modules::task_component(&wat(&format!(
        r#"(module
            (import "wasmgrid:task/io@0.1.0" "emit" (func $emit (param i32 i32)))
            (import "wasmgrid:task/io@0.1.0" "progress" (func $progress (param i64 i64)))
            (import "wasmgrid:task/io@0.1.0" "cancelled" (func $cancelled (result i32)))
            (import "wasmgrid:task/context@0.1.0" "info" (func $info (param i32)))
            (import "wasmgrid:task/context@0.1.0" "fuel-left" (func $fuel_left (result i64)))
            (import "wasi:logging/logging@0.1.0-draft" "log"
                (func $log (param i32 i32 i32 i32 i32)))
            (memory (export "memory") 2)
            (global $next (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func $ok (param $at i32) (param $len i32) (result i32)
                (i32.store8 (i32.const 16) (i32.const 0))
                (i32.store (i32.const 20) (local.get $at))
                (i32.store (i32.const 24) (local.get $len))
                (i32.const 16))
            (func $err (param $kind i32) (param $at i32) (param $len i32) (result i32)
                (i32.store8 (i32.const 16) (i32.const 1))
                (i32.store8 (i32.const 20) (local.get $kind))
                (i32.store (i32.const 24) (local.get $at))
                (i32.store (i32.const 28) (local.get $len))
                (i32.const 16))
            {more}
            (func (export "wasmgrid:task/guest@0.1.0#run") (param $in i32) (param $len i32)
                (result i32)
                {body}))"#
    )))
}

/// Returns its input; where that is empty it runs until it is stopped.
fn echo_or_spin() -> Vec<u8> {
    task(
        r#"(if (i32.eqz (local.get $len)) (then (loop $again (br $again))))
           (call $ok (local.get $in) (local.get $len))"#,
        "",
    )
}

/// A preview 1 command; `body` is of `_start`.
fn command(body: &str, more: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read"
                (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get"
                (func $clock (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff"
                (func $poll (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get"
                (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get"
                (func $environ (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_sizes_get"
                (func $args_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_get"
                (func $args (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 4)
            (func $write (param $fd i32) (param $at i32) (param $len i32) (result i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $len))
                (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            ;; Sleeps so many nanoseconds by the monotonic clock.
            (func $sleep (param $ns i64) (result i32)
                (memory.fill (i32.const 64) (i32.const 0) (i32.const 48))
                (i32.store (i32.const 80) (i32.const 1))
                (i64.store (i32.const 88) (local.get $ns))
                (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))
            {more}
            (func (export "_start") {body}))"#
    ))
}
