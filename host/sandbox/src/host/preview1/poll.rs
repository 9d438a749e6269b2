//! Waiting for clocks and descriptors, by the rules of [`clock`](crate::host::clock): what is open
//! is always ready, so that a poll is decided by its timers alone.

use wasmtime_wasi::p2::bindings::sync::filesystem::types::DescriptorType;

use super::{
    clock::Id,
    descriptors::Descriptor,
    errno::{Answer, Errno},
    guest::{Guest, number, slice, wide_number},
    record,
};
use crate::{
    host::{HostState, streams::POLL_MAX},
    stop::Stop,
};

const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;

/// The kinds of subscriptions and their events.
const CLOCK: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// What is waited for.
struct Subscription {
    userdata: u64,
    kind: u8,
    /// On the monotonic clock; 0 for what is always ready.
    ready_ns: u64,
    /// What can be read at once.
    bytes: u64,
}

pub(super) fn wait(
    guest: &mut Guest<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Answer {
    if count == 0 {
        return Err(Errno::INVAL.into());
    }
    if count as usize > POLL_MAX {
        return Err(Stop::resources(count.into(), POLL_MAX as u64).into());
    }
    let moved = count.saturating_mul(SUBSCRIPTION_BYTES + EVENT_BYTES);
    guest.charge(moved.into())?;
    let (memory, state) = guest.parts();
    let list = slice(memory, (subscriptions, count.saturating_mul(SUBSCRIPTION_BYTES)))?;
    slice(memory, (events, count.saturating_mul(EVENT_BYTES)))?;
    let records = list.chunks_exact(SUBSCRIPTION_BYTES as usize);
    let all = records.map(|record| subscription(state, record)).collect::<Answer<Vec<_>>>()?;
    let earliest_ns = all.iter().map(|one| one.ready_ns).min().unwrap_or(0);
    guest.state().wait_until(earliest_ns)?;
    let now_ns = guest.state().now_ns();
    let mut at = events;
    let mut ready = 0;
    for one in all.iter().filter(|one| one.ready_ns <= now_ns) {
        let has_ended = one.kind == READ && one.bytes == 0;
        guest.write(at, record::event(one.userdata, one.kind, one.bytes, has_ended).bytes())?;
        at = at.saturating_add(EVENT_BYTES);
        ready += 1;
    }
    guest.write_u32(out, ready)
}

fn subscription(state: &mut HostState, record: &[u8]) -> Answer<Subscription> {
    let kind = record.get(8).copied().unwrap_or_default();
    let (ready_ns, bytes) = match kind {
        CLOCK => (ready_at(state, record)?, 0),
        READ => (0, readable(state, number(record, 16))?),
        WRITE => (0, writable(state, number(record, 16))?),
        _ => return Err(Errno::INVAL.into()),
    };
    Ok(Subscription { userdata: wide_number(record, 0), kind, ready_ns, bytes })
}

/// When a timer is ready, on the monotonic clock.
fn ready_at(state: &HostState, record: &[u8]) -> Answer<u64> {
    const ABSOLUTE: u32 = 1;
    let (id, timeout_ns) = (Id::of(number(record, 16))?, wide_number(record, 24));
    let flags = number(record, 40) & u32::from(u16::MAX);
    match (id, flags) {
        (Id::Wall | Id::Monotonic, 0) => Ok(state.now_ns().saturating_add(timeout_ns)),
        (Id::Monotonic, ABSOLUTE) => Ok(timeout_ns),
        (Id::Wall, ABSOLUTE) => Ok(state.clock.when_wall_shows(timeout_ns)),
        _ => Err(Errno::INVAL.into()),
    }
}

/// How many bytes a descriptor has to be read.
fn readable(state: &mut HostState, fd: u32) -> Answer<u64> {
    match state.descriptors()?.get(fd)? {
        Descriptor::Stdin => Ok(state.stdin.len() as u64),
        Descriptor::File(file) if file.open.kind == DescriptorType::RegularFile => {
            let size = u64::try_from(file.open.stat()?.st_size).unwrap_or_default();
            Ok(size.saturating_sub(file.position))
        }
        _ => Err(Errno::BADF.into()),
    }
}

/// That a descriptor takes bytes: how many is known once they are written.
fn writable(state: &mut HostState, fd: u32) -> Answer<u64> {
    match state.descriptors()?.get(fd)? {
        Descriptor::Stdout | Descriptor::Stderr => Ok(1),
        Descriptor::File(_) => Err(Errno::ROFS.into()),
        _ => Err(Errno::BADF.into()),
    }
}
