//! What the process of one task does, which is forked from its runner.

use std::{io, mem, os::fd::RawFd, sync::Arc};

use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, Signal};
use wasmgrid_proto::ResultMeta;

use super::timer;
use crate::{
    jail,
    run::{Control, Machine, Module, Task},
};

/// Makes a process that ends with its runner, starts no other, and has none of these descriptors.
pub(super) fn enter(runner: Pid, descriptors: &[RawFd]) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(runner) {
        return Err(io::Error::other("the runner has ended"));
    }
    jail::threads_started()?;
    for descriptor in descriptors {
        // SAFETY: this process uses none of them any more, and never drops their owners, since it
        // leaves by `_exit`.
        unsafe { rustix::io::close(*descriptor) };
    }
    timer::start()
}

/// Runs the task, the only one of this process.
pub(super) fn run(
    machine: &Machine,
    module: &Module,
    task: Task<'_>,
    control: &Arc<Control>,
) -> (ResultMeta, Bytes) {
    let mut payload = BytesMut::new();
    let (result, kept) = machine.run_and_keep(module, task, control, &mut payload);
    mem::forget(kept);
    (result, payload.freeze())
}
