//! The grid's own interfaces, `wasmgrid:task/context` and `io`, and `wasi:logging`, as
//! `guest-sdk/wit` declares them. Written by hand, since generated ones copy a guest's lists before
//! their length is seen; the engine checks the types when a module is made ready, so the tests that
//! run tasks of the SDK fail where the two differ.

use wasmtime::component::{ComponentType, Lift, Linker, Lower, WasmList};

use super::{Caller, HostResult, HostState, charge, lend, random, state::LOG_CEILING, text::Text};

#[derive(ComponentType, Lower)]
#[component(record)]
struct Info {
    index: u64,
    seed: u64,
    #[component(name = "fuel-limit")]
    fuel_limit: u64,
    #[component(name = "memory-limit")]
    memory_limit: u64,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "guests make them: the engine lifts them by number")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    link_context(linker)?;
    link_io(linker)?;
    let mut logging = linker.instance("wasi:logging/logging@0.1.0-draft")?;
    logging.func_wrap(
        "log",
        |mut store: Caller<'_>, (level, context, message): (Level, Text, Text)| {
            write_log(&mut store, level, &context, &message)
        },
    )
}

fn link_context(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut context = linker.instance("wasmgrid:task/context@0.1.0")?;
    context.func_wrap("info", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        let state = store.data();
        Ok((Info {
            index: state.index,
            seed: random::task_seed(state.spec.seed, state.index),
            fuel_limit: state.limits().fuel.0,
            memory_limit: state.limits().memory.0,
        },))
    })?;
    context.func_wrap("fuel-left", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((store.get_fuel()?,))
    })
}

fn link_io(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut io = linker.instance("wasmgrid:task/io@0.1.0")?;
    io.func_wrap("emit", |mut store: Caller<'_>, (record,): (WasmList<u8>,)| {
        emit(&mut store, &record)
    })?;
    io.func_wrap("progress", |mut store: Caller<'_>, (done, total): (u64, u64)| {
        charge(&mut store, 0)?;
        store.data().control.progress(done, total);
        Ok(())
    })?;
    io.func_wrap("cancelled", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((store.data().control.is_cancelled(),))
    })
}

fn emit(store: &mut Caller<'_>, record: &WasmList<u8>) -> HostResult {
    store.data().check_record(record.len())?;
    charge(store, record.len())?;
    let length = u32::try_from(record.len())?;
    lend(
        store,
        |state| &mut state.records,
        |records, store| {
            records.extend_from_slice(record.as_le_slice(store));
        },
    );
    store.data_mut().record_lens.push(length);
    Ok(())
}

/// One line: the level, the context where there is one, the message. What no log can hold is not
/// read, and is dropped whole.
fn write_log(store: &mut Caller<'_>, level: Level, context: &Text, message: &Text) -> HostResult {
    let length = |store: &Caller<'_>, text: &Text| -> HostResult<usize> {
        if u64::from(text.units()) > LOG_CEILING {
            return Ok(usize::try_from(text.units())?);
        }
        Ok(text.read(store)?.len())
    };
    let lengths = (length(store, context)?, length(store, message)?);
    charge(store, lengths.0 + lengths.1)?;
    lend(
        store,
        |state| &mut state.log,
        |log, store| {
            let colon = if lengths.0 == 0 { "" } else { ": " };
            log.write(level.name().as_bytes());
            log.write(b" ");
            for (text, length, end) in [(context, lengths.0, colon), (message, lengths.1, "\n")] {
                if u64::from(text.units()) > LOG_CEILING {
                    log.drop_bytes(length);
                } else {
                    // It was readable just now.
                    log.write(text.read(store).unwrap_or_default().as_bytes());
                }
                log.write(end.as_bytes());
            }
        },
    );
    Ok(())
}
