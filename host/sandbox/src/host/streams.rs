//! `wasi:io`: streams and polling. There are a command's input, its output, its log, and granted
//! files, none of which ever waits: the input is there whole, the outputs are buffers with limits.
//! So a poll is decided by timers alone, see [`clock`](super::clock).

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{
    ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmList,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError};

use super::{
    Caller, HostResult, HostState, charge, drop_resource, lend, open::Open, push,
    table::OpenResource, wasi,
};
use crate::stop::Stop;

/// What an output stream takes at once, so that guests split what they write.
const WRITE_MAX: u64 = 64 << 10;

/// What a read gives at most: the buffer is the host's own until the guest has taken it.
const READ_MAX: u64 = 1 << 20;

/// The most of the `blocking-write-*` functions, by their definition.
const BLOCKING_WRITE_MAX: usize = 4_096;

/// The most pollables of one poll: more than a task can hold, since one may stand there twice.
pub(super) const POLL_MAX: usize = 1_024;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type StreamResult<T> = Result<T, StreamError>;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut error = linker.instance(wasi!("io/error"))?;
    error.resource("error", ResourceType::host::<IoError>(), drop_resource)?;
    error.func_wrap(
        "[method]error.to-debug-string",
        |mut store: Caller<'_>, (error,): (Resource<IoError>,)| {
            charge(&mut store, 0)?;
            Ok((match store.data().table.entry(error.rep())? {
                OpenResource::Failed(errno) => errno.to_string(),
                _ => String::new(),
            },))
        },
    )?;
    link_poll(linker)?;

    let mut streams = linker.instance(wasi!("io/streams"))?;
    streams.resource("input-stream", ResourceType::host::<DynInputStream>(), drop_resource)?;
    streams.resource("output-stream", ResourceType::host::<DynOutputStream>(), drop_resource)?;
    link_input(&mut streams)?;
    link_output(&mut streams)?;
    link_splice(&mut streams)
}

fn link_poll(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut poll = linker.instance(wasi!("io/poll"))?;
    poll.resource("pollable", ResourceType::host::<DynPollable>(), drop_resource)?;
    poll.func_wrap(
        "[method]pollable.ready",
        |mut store: Caller<'_>, (pollable,): (Resource<DynPollable>,)| {
            charge(&mut store, 0)?;
            let ready_ns = ready_at(&store, pollable.rep())?;
            Ok((ready_ns <= store.data().now_ns(),))
        },
    )?;
    poll.func_wrap(
        "[method]pollable.block",
        |mut store: Caller<'_>, (pollable,): (Resource<DynPollable>,)| {
            charge(&mut store, 0)?;
            let ready_ns = ready_at(&store, pollable.rep())?;
            Ok(store.data_mut().wait_until(ready_ns)?)
        },
    )?;
    poll.func_wrap("poll", |mut store: Caller<'_>, (list,): (WasmList<Resource<DynPollable>>,)| {
        charge(&mut store, list.len().saturating_mul(8))?;
        Ok((poll_list(&mut store, &list)?,))
    })
}

/// When a pollable is ready, on the monotonic clock in nanoseconds; 0 for one that always is.
fn ready_at(store: &Caller<'_>, rep: u32) -> Result<u64, Stop> {
    match store.data().table.entry(rep)? {
        OpenResource::Timer(when_ns) => Ok(*when_ns),
        _ => Ok(0),
    }
}

/// The places of the pollables that are ready, after waiting for the earliest where none is.
fn poll_list(
    store: &mut Caller<'_>,
    list: &WasmList<Resource<DynPollable>>,
) -> HostResult<Vec<u32>> {
    if list.len() == 0 {
        return Err(Stop::Misuse("a poll of nothing").into());
    }
    if list.len() > POLL_MAX {
        return Err(Stop::resources(list.len() as u64, POLL_MAX as u64).into());
    }
    let mut times = Vec::with_capacity(list.len());
    for place in 0..list.len() {
        let Some(pollable) = list.get(&mut *store, place) else { break };
        times.push(ready_at(store, pollable?.rep())?);
    }
    let earliest = times.iter().copied().min().unwrap_or(0);
    store.data_mut().wait_until(earliest)?;
    let now_ns = store.data().now_ns();
    let ready = (0u32..).zip(&times).filter(|(_, when)| **when <= now_ns);
    Ok(ready.map(|(place, _)| place).collect())
}

fn link_input(streams: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    for name in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        streams.func_wrap(
            name,
            |mut store: Caller<'_>, (stream, length): (Resource<DynInputStream>, u64)| {
                let taken = take(&mut store, stream.rep(), length)?;
                Ok((taken.map(|bytes| bytes.to_vec()),))
            },
        )?;
    }
    for name in ["[method]input-stream.skip", "[method]input-stream.blocking-skip"] {
        streams.func_wrap(
            name,
            |mut store: Caller<'_>, (stream, length): (Resource<DynInputStream>, u64)| {
                let taken = take(&mut store, stream.rep(), length)?;
                Ok((taken.map(|bytes| bytes.len() as u64),))
            },
        )?;
    }
    streams.func_wrap(
        "[method]input-stream.subscribe",
        |store: Caller<'_>, (_,): (Resource<DynInputStream>,)| subscribe(store),
    )
}

/// The next bytes of an input stream, at most `length`.
fn take(store: &mut Caller<'_>, rep: u32, length: u64) -> HostResult<StreamResult<Bytes>> {
    if let OpenResource::Reading { file, offset } = store.data().table.entry(rep)? {
        let (file, offset) = (Arc::clone(file), *offset);
        return take_of_file(store, rep, length, (&file, offset));
    }
    let left = store.data().stdin.len();
    let length = usize::try_from(length.min(READ_MAX))?.min(left);
    charge(store, length)?;
    if left == 0 {
        return Ok(Err(StreamError::Closed));
    }
    Ok(Ok(store.data_mut().stdin.split_to(length)))
}

fn take_of_file(
    store: &mut Caller<'_>,
    rep: u32,
    length: u64,
    (file, offset): (&Open, u64),
) -> HostResult<StreamResult<Bytes>> {
    let bytes = match file.read(length, offset) {
        Ok(bytes) => bytes,
        Err(errno) => {
            let error = push(store, OpenResource::Failed(errno))?;
            return Ok(Err(StreamError::LastOperationFailed(error)));
        }
    };
    charge(store, bytes.len())?;
    if bytes.is_empty() && length > 0 {
        return Ok(Err(StreamError::Closed));
    }
    if let OpenResource::Reading { offset, .. } = store.data_mut().table.entry_mut(rep)? {
        *offset = offset.saturating_add(bytes.len() as u64);
    }
    Ok(Ok(bytes.into()))
}

fn subscribe(mut store: Caller<'_>) -> HostResult<(Resource<DynPollable>,)> {
    charge(&mut store, 0)?;
    Ok((push(&mut store, OpenResource::Ready)?,))
}

type Output = Resource<DynOutputStream>;

fn link_output(streams: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    streams.func_wrap(
        "[method]output-stream.check-write",
        |mut store: Caller<'_>, (_,): (Output,)| {
            charge(&mut store, 0)?;
            Ok((StreamResult::Ok(WRITE_MAX),))
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.write",
        |mut store: Caller<'_>, (stream, bytes): (Output, WasmList<u8>)| {
            write(&mut store, &stream, &bytes, usize::MAX)
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.blocking-write-and-flush",
        |mut store: Caller<'_>, (stream, bytes): (Output, WasmList<u8>)| {
            write(&mut store, &stream, &bytes, BLOCKING_WRITE_MAX)
        },
    )?;
    for (name, most) in [
        ("[method]output-stream.write-zeroes", WRITE_MAX),
        ("[method]output-stream.blocking-write-zeroes-and-flush", BLOCKING_WRITE_MAX as u64),
    ] {
        streams.func_wrap(
            name,
            move |mut store: Caller<'_>, (stream, length): (Output, u64)| {
                if length > most {
                    return Err(Stop::Misuse("more zeroes than were permitted").into());
                }
                let zeroes = vec![0; usize::try_from(length)?];
                charge(&mut store, zeroes.len())?;
                append(store.data_mut(), stream.rep(), &zeroes)?;
                Ok((StreamResult::Ok(()),))
            },
        )?;
    }
    for name in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        streams.func_wrap(name, |mut store: Caller<'_>, (_,): (Output,)| {
            charge(&mut store, 0)?;
            Ok((StreamResult::Ok(()),))
        })?;
    }
    streams.func_wrap("[method]output-stream.subscribe", |store: Caller<'_>, (_,): (Output,)| {
        subscribe(store)
    })
}

/// Writes what the guest shows, at once: streams are buffers, so that a write of more than
/// `check-write` permits is no misuse here as long as the stream's limit allows it.
fn write(
    store: &mut Caller<'_>,
    stream: &Output,
    bytes: &WasmList<u8>,
    most: usize,
) -> HostResult<(StreamResult<()>,)> {
    if bytes.len() > most {
        return Err(Stop::Misuse("a blocking write of more than 4096 bytes").into());
    }
    charge(store, bytes.len())?;
    if matches!(store.data().table.entry(stream.rep())?, OpenResource::Stdout) {
        store.data().check_output(bytes.len())?;
        lend(
            store,
            |state| &mut state.stdout,
            |stdout, store| {
                stdout.extend_from_slice(bytes.as_le_slice(store));
            },
        );
    } else {
        lend(store, |state| &mut state.log, |log, store| log.write(bytes.as_le_slice(store)));
    }
    Ok((Ok(()),))
}

/// Writes what the host has.
fn append(state: &mut HostState, rep: u32, bytes: &[u8]) -> Result<(), Stop> {
    match state.table.entry(rep)? {
        OpenResource::Stdout => {
            state.check_output(bytes.len())?;
            state.stdout.extend_from_slice(bytes);
        }
        _ => state.log.write(bytes),
    }
    Ok(())
}

fn link_splice(streams: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    for name in ["[method]output-stream.splice", "[method]output-stream.blocking-splice"] {
        streams.func_wrap(
            name,
            |mut store: Caller<'_>, (to, from, length): (Output, Resource<DynInputStream>, u64)| {
                let moved = match take(&mut store, from.rep(), length.min(WRITE_MAX))? {
                    Ok(bytes) => {
                        append(store.data_mut(), to.rep(), &bytes)?;
                        Ok(bytes.len() as u64)
                    }
                    Err(error) => Err(error),
                };
                Ok((moved,))
            },
        )?;
    }
    Ok(())
}
