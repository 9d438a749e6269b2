//! The program's end, and what else a process would have.

use super::{
    errno::{Answer, Errno, Fault},
    guest::Guest,
};
use crate::host::{HostResult, HostState, cli};

/// Ends the program with all 32 bits of its code.
pub(super) fn exit(state: &HostState, code: u32) -> HostResult {
    cli::leave(state, code.cast_signed())
}

/// There is nobody to signal.
pub(super) const fn raise(_: &Guest<'_>) -> Answer {
    Err(Fault::Errno(Errno::NOTSUP))
}

/// Nobody else runs in a task.
pub(super) const fn give_way(_: &Guest<'_>) -> Answer {
    Ok(())
}
