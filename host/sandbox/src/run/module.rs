//! A module that is ready to run, and how a task calls it: a component by the interface of its kind,
//! a preview 1 command by `_start`.

use bytes::{Bytes, BytesMut};
use wasmgrid_proto::{ModuleKind, Outcome};
use wasmtime::{
    Engine, Extern, ModuleExport, Store,
    component::{
        self, Component, ComponentExportIndex, ComponentType, Instance, InstancePre, Lift,
    },
};

use super::outcome;
use crate::{
    admit::START,
    compile::{Loaded, Program, Unloadable},
    host::{self, HostState},
    stop::Stop,
};

/// An output of so many bytes is not copied.
const TAKEN_BYTES: usize = 64 << 10;

/// What modules may import.
pub(super) struct Linkers {
    component: component::Linker<HostState>,
    core: wasmtime::Linker<HostState>,
}

/// See the module.
pub(crate) struct Module {
    // Dropped in this order.
    entry: EntryPoint,
    _loaded: Loaded,
}

/// What is instantiated, and what of it is called.
enum EntryPoint {
    /// `run` of an interface.
    Component(InstancePre<HostState>, ComponentExportIndex, Interface),
    /// `_start`.
    Core(wasmtime::InstancePre<HostState>, ModuleExport),
}

/// Which interface a component is called by.
#[derive(Clone, Copy)]
enum Interface {
    /// `wasmgrid:task/guest`.
    Task,
    /// `wasi:cli/run`.
    Command,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
enum Failure {
    #[component(name = "rejected")]
    Rejected(String),
    #[component(name = "retry")]
    Retry(String),
}

impl Linkers {
    pub(super) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let mut linkers =
            Self { component: component::Linker::new(engine), core: wasmtime::Linker::new(engine) };
        host::link(&mut linkers.component)?;
        host::preview1::link(&mut linkers.core)?;
        Ok(linkers)
    }
}

impl Module {
    /// # Errors
    /// The outcome of all its tasks, where it needs what there is not.
    pub(super) fn new(
        engine: &Engine,
        linkers: &Linkers,
        loaded: Loaded,
        kind: ModuleKind,
    ) -> Result<Self, Outcome> {
        // Now, where it is made once also for all processes that are forked from this one.
        match loaded.program() {
            Program::Component(component) => component.initialize_copy_on_write_image(),
            Program::Core(module) => module.initialize_copy_on_write_image(),
        }
        .map_err(|error| outcome::of_unloadable(Unloadable::of(&error)))?;
        let entry = EntryPoint::find(engine, linkers, loaded.program(), kind)
            .map_err(|error| Outcome::Refused(outcome::bounded(format!("{error:#}"))))?
            .ok_or_else(|| Outcome::Refused(format!("the module is not a {kind}")))?;
        Ok(Self { entry, _loaded: loaded })
    }

    /// Whether a task's input is its standard input; it is an argument otherwise.
    pub(super) const fn reads_stdin(&self) -> bool {
        !matches!(self.entry, EntryPoint::Component(_, _, Interface::Task))
    }

    /// Instantiates and calls. A task's output is in `payload`, a command's in the state.
    pub(super) fn call(
        &self,
        store: &mut Store<HostState>,
        argument: &[u8],
        payload: &mut BytesMut,
    ) -> wasmtime::Result<Outcome> {
        match &self.entry {
            EntryPoint::Component(module, run, interface) => {
                match (start(store, |store| module.instantiate(store))?, interface) {
                    (Ok(instance), Interface::Task) => {
                        call_task(store, instance, run, argument, payload)
                    }
                    (Ok(instance), Interface::Command) => call_command(store, instance, run),
                    (Err(outcome), _) => Ok(outcome),
                }
            }
            EntryPoint::Core(module, run) => match start(store, |store| module.instantiate(store))?
            {
                Ok(instance) => call_start(store, instance, run),
                Err(outcome) => Ok(outcome),
            },
        }
    }
}

impl EntryPoint {
    /// `None` where the program is of another kind.
    fn find(
        engine: &Engine,
        linkers: &Linkers,
        program: &Program,
        kind: ModuleKind,
    ) -> wasmtime::Result<Option<Self>> {
        let (interface, prefix) = match (program, kind) {
            (Program::Core(module), ModuleKind::Preview1) => {
                let start = module.get_export_index(START);
                let link = |start| Ok(Self::Core(linkers.core.instantiate_pre(module)?, start));
                return start.map(link).transpose();
            }
            (_, ModuleKind::Task) => (Interface::Task, "wasmgrid:task/guest@0.1."),
            (_, _) => (Interface::Command, "wasi:cli/run@0.2."),
        };
        let Program::Component(component) = program else { return Ok(None) };
        let Some(run) = run_of(engine, component, prefix) else { return Ok(None) };
        let instance = linkers.component.instantiate_pre(component)?;
        Ok(Some(Self::Component(instance, run, interface)))
    }
}

/// `run` of the interface whose name begins so.
fn run_of(engine: &Engine, component: &Component, prefix: &str) -> Option<ComponentExportIndex> {
    let component_type = component.component_type();
    let (interface, _) =
        component_type.exports(engine).find(|(name, _)| name.starts_with(prefix))?;
    let interface = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&interface), "run")
}

/// Instantiates, with the task's fuel: a start function's work is the task's. The outcome says that
/// the module does not fit here.
fn start<I>(
    store: &mut Store<HostState>,
    instantiate: impl FnOnce(&mut Store<HostState>) -> wasmtime::Result<I>,
) -> wasmtime::Result<Result<I, Outcome>> {
    let fuel = store.data().limits().fuel.0;
    store.set_fuel(fuel)?;
    let instance = match instantiate(&mut *store) {
        Ok(instance) => instance,
        // What neither a host function nor the guest has said.
        Err(error)
            if !error.is::<Stop>()
                && !error.is::<wasmtime::Trap>()
                && !outcome::passed_too_much(&error) =>
        {
            let reason = outcome::bounded(format!("it cannot be started: {error:#}"));
            return Ok(Err(Outcome::Refused(reason)));
        }
        Err(error) => return Err(error),
    };
    store.data_mut().meter.started();
    Ok(Ok(instance))
}

fn call_start(
    store: &mut Store<HostState>,
    instance: wasmtime::Instance,
    start: &ModuleExport,
) -> wasmtime::Result<Outcome> {
    let start = instance
        .get_module_export(&mut *store, start)
        .and_then(Extern::into_func)
        .ok_or(Stop::Misuse("its _start is no function"))?;
    start.typed::<(), ()>(&*store)?.call(store, ())?;
    Ok(Outcome::Ok)
}

fn call_task(
    store: &mut Store<HostState>,
    instance: Instance,
    run: &ComponentExportIndex,
    argument: &[u8],
    payload: &mut BytesMut,
) -> wasmtime::Result<Outcome> {
    // Owned, although that copies: the call ends with the guest's post-return, which frees what it
    // returned, so that a view of it would show memory that is free already.
    let run = instance.get_typed_func::<(&[u8],), (Result<Vec<u8>, Failure>,)>(&mut *store, run)?;
    let (result,) = run.call(&mut *store, (argument,))?;
    Ok(match result {
        Ok(output) => {
            store.data().check_output(output.len())?;
            append(payload, output);
            Outcome::Ok
        }
        Err(Failure::Rejected(message)) => Outcome::Rejected(outcome::bounded(message)),
        Err(Failure::Retry(message)) => Outcome::Retry(outcome::bounded(message)),
    })
}

/// Appends a task's output; a large one that comes first is taken as it is.
fn append(payload: &mut BytesMut, output: Vec<u8>) {
    if payload.is_empty() && output.len() >= TAKEN_BYTES {
        *payload = Bytes::from(output).into();
    } else {
        payload.extend_from_slice(&output);
    }
}

fn call_command(
    store: &mut Store<HostState>,
    instance: Instance,
    run: &ComponentExportIndex,
) -> wasmtime::Result<Outcome> {
    let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, run)?;
    let (result,) = run.call(&mut *store, ())?;
    Ok(if result.is_ok() { Outcome::Ok } else { Outcome::Exit(1) })
}
