//! The host functions: everything a task can call. Each file has the functions of one concern;
//! what they share is the [state](HostState) of a task, and how a [call](call) is paid for.
//!
//! No host function waits, except for a real sleep that was granted ([`clock`]), which ends at
//! the deadline or a cancellation. So tasks run without fibers, and a blocked call needs no timer
//! of its own. No host function copies more than it has looked at the length of: lists and
//! strings come as views into the guest's memory.
//!
//! What a component is given ([`link`]) and what a preview 1 program is given ([`preview1`]) are two
//! faces of one thing: the rules on files, clocks, randomness, streams and limits stand here once.

mod call;
mod cli;
mod clock;
mod denied;
mod files;
mod log;
pub(crate) mod open;
pub(crate) mod preview1;
mod random;
mod state;
mod streams;
mod table;
mod task;
mod text;
mod value;
mod wasi_clocks;
mod wasi_random;
#[cfg(test)]
mod wit;

use wasmtime::component::Linker;

use self::call::{CALL_FUEL, charge, drop_resource, lend, push, take_fuel, wasi};
pub(crate) use self::{
    call::{Caller, HostResult, spent},
    state::HostState,
    table::Table,
};

/// Everything a component can import. A core module is given [`preview1`] instead.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    task::link(linker)?;
    value::link(linker)?;
    streams::link(linker)?;
    wasi_clocks::link(linker)?;
    wasi_random::link(linker)?;
    cli::link(linker)?;
    files::link(linker)?;
    denied::link(linker)
}
