//! A sandbox of one slot, and modules that go through it as a worker would have them.

use std::{future::Future, iter, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{runtime::Runtime, time::timeout};
use wasmgrid_proto::{
    Digest, Grant, InputBlock, JobId, LeaseId, Limits, ModuleKind, Outcome, TaskSpec, Usage,
    WorkerId,
};
use wasmgrid_sandbox::{
    Caps, Isolation, ModuleSource, PrepareError, Sandbox, SandboxConfig, Slot, SlotBatch,
    SlotEvent, admit,
};
use wasmgrid_tests::{PATIENCE, binary, children_as};

/// See the module.
pub(super) struct Cage {
    runtime: Runtime,
    sandbox: Sandbox,
    slot: Slot,
    jobs: u64,
}

/// How a task ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) output: Vec<u8>,
    pub(super) log_kept: u64,
    pub(super) log_dropped: u64,
    pub(super) usage: Usage,
}

impl Cage {
    pub(super) fn new(isolation: Isolation) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let program = binary().to_owned();
        let config = SandboxConfig { isolation, program, slots: 1, ..SandboxConfig::default() };
        let (sandbox, mut slots) =
            runtime.block_on(async { Sandbox::start(config) }).expect("a sandbox");
        Self { runtime, sandbox, slot: slots.remove(0), jobs: 0 }
    }

    /// Runs a module as a job of its own: admitted, prepared, run once. What is refused is so with
    /// the reason as its outcome.
    pub(super) fn run(
        &mut self,
        module: Vec<u8>,
        input: &[u8],
        limits: Limits,
        grants: &[Grant],
    ) -> Ended {
        let info = admit::admit(&module, &Caps::default());
        let admitted = info.and_then(|info| admit::check_grants(&info, grants).map(|()| info));
        match admitted {
            Ok(info) => {
                let spec = spec(&module, info.kind, limits, grants);
                self.run_admitted(module.into(), spec, input)
            }
            Err(refusal) => Ended::without_running(refusal.outcome()),
        }
    }

    /// How a module is refused by a worker whose scheduler let it pass; `None` where it is not.
    pub(super) fn prepare_unseen(&self, module: Vec<u8>) -> Option<Outcome> {
        let spec = spec(&module, ModuleKind::Preview1, Limits::default(), &[]);
        let source = ModuleSource::Bytes(module.into());
        match self.wait(self.sandbox.prepare(&spec, source)) {
            Ok(_) => None,
            Err(PrepareError::Refused(refusal)) => Some(refusal.outcome()),
            Err(other) => panic!("the compiler failed: {other}"),
        }
    }

    fn run_admitted(&mut self, module: Bytes, spec: TaskSpec, input: &[u8]) -> Ended {
        let source = ModuleSource::Bytes(module);
        let prepared = match self.wait(self.sandbox.prepare(&spec, source)) {
            Ok(prepared) => prepared,
            Err(PrepareError::Refused(refusal)) => {
                return Ended::without_running(refusal.outcome());
            }
            Err(other) => panic!("the compiler failed: {other}"),
        };
        self.jobs += 1;
        let length = u32::try_from(input.len()).expect("a short input");
        let batch = SlotBatch {
            prepared,
            job: JobId(self.jobs),
            lease: LeaseId(self.jobs),
            attempt: 1,
            worker: WorkerId(1),
            spec: Arc::new(spec),
            first: 0,
            inputs: InputBlock::Packed(vec![length]),
            payload: Bytes::copy_from_slice(input),
        };
        self.wait(self.slot.input.run(batch)).expect("an open slot");
        loop {
            let event = self.runtime.block_on(async {
                timeout(PATIENCE, self.slot.events.next()).await.expect("an event in time")
            });
            if let SlotEvent::Results(block, payload) = event.expect("an open slot") {
                let (meta, bytes) =
                    block.entries(&payload).expect("whole results").next().expect("one result");
                let (output, _, log) = meta.split(&bytes).expect("a whole result");
                return Ended {
                    outcome: meta.outcome.clone(),
                    output: output.to_vec(),
                    log_kept: log.len() as u64,
                    log_dropped: meta.log_dropped,
                    usage: meta.usage,
                };
            }
        }
    }

    /// The process of its runner and those of what it runs; none while it has no runner, and where
    /// that is a thread.
    pub(super) fn processes(&self) -> Vec<u32> {
        let runner = self.slot.input.runner_pid();
        runner
            .into_iter()
            .flat_map(|pid| iter::once(pid).chain(children_as(pid, "runner")))
            .collect()
    }

    pub(super) fn shutdown(self) {
        self.wait(self.sandbox.shutdown());
        self.runtime.shutdown_timeout(Duration::from_secs(10));
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(PATIENCE, future).await.expect("an end in time") })
    }
}

impl Ended {
    const fn without_running(outcome: Outcome) -> Self {
        let usage = Usage { fuel: 0, memory_bytes: 0, wall_us: 0 };
        Self { outcome, output: Vec::new(), log_kept: 0, log_dropped: 0, usage }
    }
}

fn spec(module: &[u8], kind: ModuleKind, limits: Limits, grants: &[Grant]) -> TaskSpec {
    TaskSpec {
        limits,
        grants: grants.to_vec(),
        tenant: "zoo".into(),
        ..TaskSpec::new(Digest::of(module), kind)
    }
}
