//! `wasi:cli`: a command's arguments, streams and exit. The environment has what was granted, and
//! nothing is a terminal.

use wasmgrid_proto::{Arg, Grant, ModuleKind};
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::{
    Caller, HostResult, HostState, charge, drop_resource, push, table::OpenResource, wasi,
};
use crate::stop::Stop;

/// What a command finds as its own name where the job gives it none: some take their arguments to
/// begin behind it, whatever it is.
const PROGRAM_NAME: &str = "task";

/// Stand behind the handles of terminals, of which there are none.
struct TerminalInput;
struct TerminalOutput;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut environment = linker.instance(wasi!("cli/environment"))?;
    environment.func_wrap("get-environment", |mut store: Caller<'_>, (): ()| {
        let bytes = variables(store.data()).map(|(name, value)| name.len() + value.len()).sum();
        charge(&mut store, bytes)?;
        let variables = variables(store.data());
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok((owned.collect::<Vec<_>>(),))
    })?;
    environment.func_wrap("get-arguments", |mut store: Caller<'_>, (): ()| {
        let arguments = arguments(store.data()).map(|argument| str::from_utf8(argument));
        // A job with others for a component is refused before it runs.
        let arguments =
            arguments.map(|text| text.map(str::to_owned)).collect::<Result<Vec<_>, _>>();
        let arguments = arguments.map_err(|_| Stop::Misuse("an argument is no UTF-8"))?;
        charge(&mut store, arguments.iter().map(String::len).sum())?;
        Ok((arguments,))
    })?;
    environment.func_wrap("initial-cwd", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((None::<String>,))
    })?;

    let mut exit = linker.instance(wasi!("cli/exit"))?;
    exit.func_wrap("exit", |store: Caller<'_>, (status,): (Result<(), ()>,)| {
        leave(store.data(), i32::from(status.is_err()))
    })?;
    exit.func_wrap("exit-with-code", |store: Caller<'_>, (code,): (u8,)| {
        leave(store.data(), i32::from(code))
    })?;
    let mut exit = linker.instance("wasmgrid:task/exit@0.1.0")?;
    exit.func_wrap("exit", |store: Caller<'_>, (code,): (u32,)| {
        leave(store.data(), code.cast_signed())
    })?;
    link_streams(linker)?;
    link_terminals(linker)
}

/// Ends the task: a command's success is an exit, a task's is its return.
pub(super) fn leave(state: &HostState, code: i32) -> HostResult {
    if code == 0 && state.spec.kind == ModuleKind::Task {
        return Err(Stop::Misuse("a task left with exit code 0 instead of its output").into());
    }
    Err(Stop::Exit(code).into())
}

pub(super) fn variables(state: &HostState) -> impl Iterator<Item = (&str, &str)> {
    state.spec.grants.iter().filter_map(|grant| match grant {
        Grant::Env { name, value } => Some((name.as_str(), value.as_str())),
        _ => None,
    })
}

/// The program's name, and what is given to it.
pub(super) fn arguments(state: &HostState) -> impl Iterator<Item = &[u8]> {
    let name = match state.spec.program.as_str() {
        "" => PROGRAM_NAME,
        name => name,
    };
    std::iter::once(name.as_bytes()).chain(state.spec.args.iter().map(Arg::as_bytes))
}

fn link_streams(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut stdin = linker.instance(wasi!("cli/stdin"))?;
    stdin.func_wrap("get-stdin", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((push::<DynInputStream>(&mut store, OpenResource::Stdin)?,))
    })?;
    output(linker, wasi!("cli/stdout"), "get-stdout", |kind| match kind {
        // Its result is what it returns, so that what it prints is for people.
        ModuleKind::Task => OpenResource::Log,
        ModuleKind::Command | ModuleKind::Preview1 => OpenResource::Stdout,
    })?;
    output(linker, wasi!("cli/stderr"), "get-stderr", |_| OpenResource::Log)
}

fn output(
    linker: &mut Linker<HostState>,
    interface: &str,
    name: &str,
    entry: fn(ModuleKind) -> OpenResource,
) -> wasmtime::Result<()> {
    linker.instance(interface)?.func_wrap(name, move |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        let entry = entry(store.data().spec.kind);
        Ok((push::<DynOutputStream>(&mut store, entry)?,))
    })
}

fn link_terminals(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut input = linker.instance(wasi!("cli/terminal-input"))?;
    input.resource("terminal-input", ResourceType::host::<TerminalInput>(), drop_resource)?;
    let mut output = linker.instance(wasi!("cli/terminal-output"))?;
    output.resource("terminal-output", ResourceType::host::<TerminalOutput>(), drop_resource)?;

    let mut stdin = linker.instance(wasi!("cli/terminal-stdin"))?;
    stdin.func_wrap("get-terminal-stdin", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((None::<Resource<TerminalInput>>,))
    })?;
    for (interface, name) in [
        (wasi!("cli/terminal-stdout"), "get-terminal-stdout"),
        (wasi!("cli/terminal-stderr"), "get-terminal-stderr"),
    ] {
        linker.instance(interface)?.func_wrap(name, |mut store: Caller<'_>, (): ()| {
            charge(&mut store, 0)?;
            Ok((None::<Resource<TerminalOutput>>,))
        })?;
    }
    Ok(())
}
