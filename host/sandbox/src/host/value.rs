//! `wasmgrid:task/value`: the one value that all tasks of a job take beside their inputs.

use wasmgrid_proto::WITH;
use wasmtime::component::Linker;

use super::{Caller, HostResult, HostState, charge};
use crate::stop::Stop;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut value = linker.instance("wasmgrid:task/value@0.1.0")?;
    value.func_wrap("read", |mut store: Caller<'_>, (): ()| read(&mut store))
}

fn read(store: &mut Caller<'_>) -> HostResult<(&'static [u8],)> {
    let value = store.data().blobs.as_ref().and_then(|blobs| blobs.get(WITH));
    // A job without one is refused where it is submitted.
    let value = value.ok_or(Stop::Misuse("the job gives its tasks no value"))?;
    // SAFETY: the bytes are mapped as long as the state has them, which gives its blobs away to
    // nobody and lives as long as the store. The engine copies them into the guest's memory before it
    // returns from this call, and keeps no reference.
    let value = unsafe { &*std::ptr::from_ref(value) };
    charge(store, value.len())?;
    Ok((value,))
}
