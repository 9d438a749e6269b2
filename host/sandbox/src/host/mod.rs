//! The host functions: everything a task can call. Each file has the functions of one concern;
//! here is what they share: the state of a task, what a call costs, and how a call ends a task.
//!
//! No host function waits, except for a real sleep that was granted ([`clock`]), which ends at
//! the deadline or a cancellation. So tasks run without fibers, and a blocked call needs no timer
//! of its own. No host function copies more than it has looked at the length of: lists and
//! strings come as views into the guest's memory.
//!
//! What a component is given ([`link`]) and what a preview 1 program is given ([`preview1`]) are two
//! faces of one thing: the rules on files, clocks, randomness, streams and limits stand here once.

mod cli;
mod clock;
mod denied;
mod files;
mod log;
pub(crate) mod open;
pub(crate) mod preview1;
mod random;
mod streams;
mod table;
mod task;
mod text;
mod value;
#[cfg(test)]
mod wit;

use std::sync::Arc;

use bytes::Bytes;
use wasmgrid_proto::{Grant, Limit, Limits, TaskSpec};
use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi::{ResourceTable, WasiCtx};

use self::{clock::Clock, preview1::Preview1, random::Random};
pub(crate) use self::{log::Log, table::Table};
use crate::{
    run::{Blobs, Control, Meter, spent},
    stop::Stop,
};

/// The version our WASI interfaces carry; the engine links every 0.2 version to it.
macro_rules! wasi {
    ($name:literal) => {
        concat!("wasi:", $name, "@0.2.12")
    };
}
pub(crate) use wasi;

/// Fuel of every host call, beside one for each byte that it moves. A call takes about 85 ns, in
/// which plain code uses about 200.
const CALL_FUEL: u64 = 200;

/// The most that a task may emit and output together, whatever its limit says: results travel
/// in one frame each.
const OUTPUT_CEILING: u64 = 64 << 20;

/// The most records of one task: their lengths travel in one list.
const RECORDS_MAX: usize = wasmgrid_proto::wire::LIST_MAX;

/// The most of a task's log that is kept, whatever its limit says.
const LOG_CEILING: u64 = 4 << 20;

/// The store of the engine, as a host function sees it.
pub(crate) type Caller<'a> = StoreContextMut<'a, State>;

/// What a host function returns; an error ends the task.
pub(crate) type HostResult<T = ()> = wasmtime::Result<T>;

/// All that belongs to one run of one task, and is dropped with it.
pub(crate) struct State {
    pub(crate) index: u64,
    pub(crate) spec: Arc<TaskSpec>,
    pub(crate) control: Arc<Control>,
    pub(crate) meter: Meter,
    pub(crate) log: Log,
    blobs: Option<Arc<Blobs>>,
    pub(crate) stdin: Bytes,
    pub(crate) stdout: Vec<u8>,
    pub(crate) records: Vec<u8>,
    pub(crate) record_lens: Vec<u32>,
    clock: Clock,
    random: Option<Box<Random>>,
    table: Table,
    preview1: Preview1,
    denied: Option<Box<(WasiCtx, ResourceTable)>>,
    /// Fuel of calls that could not reach the store; taken with the next that can.
    pub(crate) owed_fuel: u64,
}

impl State {
    pub(crate) fn new(
        index: u64,
        spec: Arc<TaskSpec>,
        blobs: Option<Arc<Blobs>>,
        stdin: Bytes,
        control: Arc<Control>,
    ) -> Self {
        let limits = spec.limits;
        Self {
            index,
            meter: Meter::new(limits.memory.0, limits.table_elements, Arc::clone(&control)),
            log: Log::new(limits.log.0.min(LOG_CEILING)),
            blobs,
            stdin,
            stdout: Vec::new(),
            records: Vec::new(),
            record_lens: Vec::new(),
            clock: Clock::new(spec.grants.contains(&Grant::Clock), limits.deadline),
            random: None,
            table: Table::default(),
            preview1: Preview1::default(),
            denied: None,
            owed_fuel: 0,
            spec,
            control,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.spec.limits
    }

    /// Fails where output and records together would pass the limit with `more` bytes.
    pub(crate) fn check_output(&self, more: usize) -> Result<(), Stop> {
        let used = (self.stdout.len() + self.records.len()).saturating_add(more) as u64;
        let allowed = self.limits().output.0.min(OUTPUT_CEILING);
        if used > allowed {
            return Err(Stop::Limit { limit: Limit::Output, used, allowed });
        }
        Ok(())
    }

    /// What a task may have the host hold of directories' entries, of what it `held` before: as much
    /// as it may have of memory.
    fn listing_room(&self, held: u64) -> u64 {
        self.limits().memory.0.saturating_sub(held)
    }

    /// The end of a task that would have more held.
    fn listing_over(&self, held: u64, more: u64) -> Stop {
        let (used, allowed) = (held.saturating_add(more), self.limits().memory.0);
        Stop::Limit { limit: Limit::Memory, used, allowed }
    }

    /// Fails where a record of `length` bytes would pass a limit.
    fn check_record(&self, length: usize) -> Result<(), Stop> {
        let (used, allowed) = (length as u64, self.limits().record.0);
        if used > allowed {
            return Err(Stop::Limit { limit: Limit::Record, used, allowed });
        }
        if self.record_lens.len() >= RECORDS_MAX {
            return Err(Stop::resources(RECORDS_MAX as u64 + 1, RECORDS_MAX as u64));
        }
        self.check_output(length)
    }

    fn random(&mut self) -> &mut Random {
        let Self { random, spec, index, .. } = self;
        random.get_or_insert_with(|| {
            Box::new(Random::new(spec.seed, *index, spec.grants.contains(&Grant::Random)))
        })
    }
}

/// Everything a component can import. A core module is given [`preview1`] instead.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    task::link(linker)?;
    value::link(linker)?;
    streams::link(linker)?;
    clock::link(linker)?;
    random::link(linker)?;
    cli::link(linker)?;
    files::link(linker)?;
    denied::link(linker)
}

/// Takes the fuel of a call that moves `bytes`.
///
/// # Errors
/// `limit(fuel)`, where there is less.
fn charge(store: &mut Caller<'_>, bytes: usize) -> HostResult {
    take_fuel(store, CALL_FUEL.saturating_add(bytes as u64))
}

fn take_fuel(store: &mut Caller<'_>, cost: u64) -> HostResult {
    let owed = std::mem::take(&mut store.data_mut().owed_fuel);
    let cost = owed.saturating_add(cost);
    let left = store.get_fuel()?;
    store.set_fuel(left.saturating_sub(cost))?;
    store.data().control.fuel(spent(&*store));
    if left < cost {
        return Err(wasmtime::Trap::OutOfFuel.into());
    }
    Ok(())
}

/// Lends `field` out of the state, so that it can be filled from the guest's memory, which is
/// borrowed together with the state.
fn lend<T: Default>(
    store: &mut Caller<'_>,
    field: fn(&mut State) -> &mut T,
    fill: impl FnOnce(&mut T, &Caller<'_>),
) {
    let mut lent = std::mem::take(field(store.data_mut()));
    fill(&mut lent, store);
    *field(store.data_mut()) = lent;
}

/// Names a new resource of the guest's.
fn push<R: 'static>(store: &mut Caller<'_>, entry: table::Entry) -> HostResult<Resource<R>> {
    let rep = store.data_mut().table.push(entry)?;
    Ok(Resource::new_own(rep))
}

/// The destructor of all resources.
fn drop_resource(mut store: Caller<'_>, rep: u32) -> HostResult {
    store.data_mut().table.remove(rep);
    Ok(())
}
