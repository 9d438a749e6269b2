//! Runs one task: a fresh instance, its limits, its call, its outcome. Knows nothing of batches,
//! processes or sockets.
//!
//! What does not depend on the task is made once a module and kept ([`Machine::module`]); what a
//! task costs is measured by `examples/floor.rs`.

mod blobs;
pub(crate) mod board;
mod control;
mod frames;
mod meter;
mod module;
mod outcome;

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use wasmgrid_proto::{Digest, ModuleKind, Outcome, ResultMeta, TaskSpec, Usage};
use wasmtime::{Engine, Store, UpdateDeadline};

use self::module::Linkers;
pub(crate) use self::{
    blobs::Blobs,
    control::{CANCEL_GRACE_US, Control, TICK},
    meter::Meter,
    module::Module,
};
use crate::{
    EngineSettings, SandboxError, compile, engine,
    host::{HostState, spent},
};

/// Handles of all the components in a task.
const COMPONENT_HANDLES_MAX: usize = 1_024;

/// Modules kept ready to run; the engine's pool has warm places for as many.
const MODULES_MAX: usize = 64;

/// One engine, and the modules that are ready to run in it. Belongs to one thread.
pub(crate) struct Machine {
    engine: Engine,
    linkers: Linkers,
    /// Those used last stand last; of one that cannot run, how its tasks end.
    modules: Vec<(Digest, Result<Arc<Module>, Outcome>)>,
    blobs: blobs::MappedBlobs,
}

/// One task to be run.
pub(crate) struct Task<'a> {
    pub(crate) index: u64,
    pub(crate) spec: &'a Arc<TaskSpec>,
    /// Those of the spec, where it has some.
    pub(crate) blobs: Option<Arc<Blobs>>,
    pub(crate) input: Bytes,
}

impl Machine {
    /// # Errors
    /// Where the engine cannot be made on this machine.
    pub(crate) fn new(settings: &EngineSettings) -> Result<Self, SandboxError> {
        let failed = |error: wasmtime::Error| SandboxError::Engine { reason: format!("{error:#}") };
        let engine = Engine::new(&engine::config(settings)?).map_err(failed)?;
        let linkers = Linkers::new(&engine).map_err(failed)?;
        Ok(Self { engine, linkers, modules: Vec::new(), blobs: blobs::MappedBlobs::default() })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The spec's module and blobs, ready to run: those that are kept, or new ones from their files.
    ///
    /// # Errors
    /// The outcome of all its tasks, if the code was built for another engine or needs memory that
    /// the machine does not have.
    pub(crate) fn ready(
        &mut self,
        spec: &TaskSpec,
        code: BorrowedFd<'_>,
        blobs: &[OwnedFd],
    ) -> Result<(Arc<Module>, Option<Arc<Blobs>>), Outcome> {
        let module = self.module(spec.module, spec.kind, code)?;
        Ok((module, self.blobs.ready(spec, blobs)?))
    }

    fn module(
        &mut self,
        digest: Digest,
        kind: ModuleKind,
        code: BorrowedFd<'_>,
    ) -> Result<Arc<Module>, Outcome> {
        if let Some(place) = self.modules.iter().position(|(kept, _)| *kept == digest) {
            let kept = self.modules.remove(place);
            let module = kept.1.clone();
            self.modules.push(kept);
            return module;
        }
        let mut made = self.make(kind, code);
        if matches!(made, Err(Outcome::Lost(_))) && !self.modules.is_empty() {
            // What the system does not give may be what the others keep.
            self.modules.clear();
            made = self.make(kind, code);
        }
        if matches!(made, Err(Outcome::Lost(_))) {
            return made;
        }
        if self.modules.len() >= MODULES_MAX {
            drop(self.modules.remove(0));
        }
        self.modules.push((digest, made.clone()));
        made
    }

    fn make(&self, kind: ModuleKind, code: BorrowedFd<'_>) -> Result<Arc<Module>, Outcome> {
        let loaded = compile::load(&self.engine, kind, code).map_err(outcome::of_unloadable)?;
        Module::new(&self.engine, &self.linkers, loaded, kind).map(Arc::new)
    }

    /// Runs the task, and appends its output, records and log to `payload`. The caller has told
    /// `control` that it begins.
    pub(crate) fn run(
        &self,
        module: &Module,
        task: Task<'_>,
        control: &Arc<Control>,
        payload: &mut BytesMut,
    ) -> ResultMeta {
        self.run_and_keep(module, task, control, payload).0
    }

    /// The same, and what is left of the task: a process that ends with it need not take it apart,
    /// which clears its memory for the next.
    pub(crate) fn run_and_keep(
        &self,
        module: &Module,
        task: Task<'_>,
        control: &Arc<Control>,
        payload: &mut BytesMut,
    ) -> (ResultMeta, impl Sized + use<>) {
        let limits = &task.spec.limits;
        let index = task.index;
        let (stdin, argument) = if module.reads_stdin() {
            (task.input, Bytes::new())
        } else {
            (Bytes::new(), task.input)
        };
        let spec = Arc::clone(task.spec);
        let state = HostState::new(index, spec, task.blobs, stdin, Arc::clone(control));
        let mut store = self.store(state);
        let before = payload.len();
        let ended = module.call(&mut store, &argument, payload);
        let outcome = match ended {
            Ok(outcome) => outcome,
            Err(error) => outcome::of_error(&error, limits),
        };
        let outcome = outcome::judged(outcome, task.spec);
        let usage = Usage {
            fuel: spent(&store),
            memory_bytes: store.data().meter.peak_memory_bytes(),
            wall_us: 0,
        };
        let result = collect(store.data(), index, outcome, usage, payload, before);
        (result, store)
    }

    fn store(&self, state: HostState) -> Store<HostState> {
        let passed = usize::try_from(outcome::passed_max(state.limits())).unwrap_or(usize::MAX);
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(passed);
        store.set_max_component_handles(COMPONENT_HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            let control = &store.data().control;
            control.fuel(spent(&store));
            control.check()?;
            Ok(UpdateDeadline::Continue(1))
        });
        store
    }
}

/// Appends what is left to append, and describes it. After a cancellation nothing but the log is
/// kept; nor where the host failed, since the task runs again.
fn collect(
    state: &HostState,
    index: u64,
    outcome: Outcome,
    usage: Usage,
    payload: &mut BytesMut,
    before: usize,
) -> ResultMeta {
    let keep = !matches!(outcome, Outcome::Cancelled(_) | Outcome::Lost(_));
    let mut record_lens = Vec::new();
    let mut output_len = 0;
    if keep {
        payload.extend_from_slice(&state.stdout);
        output_len = payload.len() - before;
        payload.extend_from_slice(&state.records);
        record_lens.clone_from(&state.record_lens);
    } else {
        payload.truncate(before);
    }
    payload.extend_from_slice(state.log.kept());
    // Output and log have ceilings far below 4 GiB.
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    ResultMeta {
        index,
        outcome,
        usage,
        output_len: length(output_len),
        record_lens,
        log_len: length(state.log.kept().len()),
        log_dropped: state.log.dropped(),
    }
}
