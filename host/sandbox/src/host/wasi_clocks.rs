//! `wasi:clocks`: a task's [clocks](super::clock), as components call them.

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::DynPollable;

use super::{
    Caller, HostResult, HostState, charge, clock::Datetime, push, table::OpenResource, wasi,
};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut monotonic = linker.instance(wasi!("clocks/monotonic-clock"))?;
    monotonic.func_wrap("now", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((store.data_mut().clock.read_ns()?,))
    })?;
    monotonic.func_wrap("resolution", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((store.data().clock.resolution_ns(),))
    })?;
    monotonic.func_wrap("subscribe-instant", |mut store: Caller<'_>, (when,): (u64,)| {
        charge(&mut store, 0)?;
        timer(&mut store, when)
    })?;
    monotonic.func_wrap("subscribe-duration", |mut store: Caller<'_>, (span,): (u64,)| {
        charge(&mut store, 0)?;
        let when = store.data().now_ns().saturating_add(span);
        timer(&mut store, when)
    })?;

    let mut wall = linker.instance(wasi!("clocks/wall-clock"))?;
    wall.func_wrap("now", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((store.data_mut().clock.read_wall()?,))
    })?;
    wall.func_wrap("resolution", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((Datetime::of_span(store.data().clock.resolution_ns()),))
    })
}

fn timer(store: &mut Caller<'_>, when_ns: u64) -> HostResult<(Resource<DynPollable>,)> {
    Ok((push(store, OpenResource::Timer(when_ns))?,))
}
