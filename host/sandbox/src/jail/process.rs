//! What the kernel keeps about the process itself: it cannot be traced or dumped, gets no
//! privileges by running a program, and is killed when its agent is gone.

use std::io;

use rustix::process::{
    DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal,
};

pub(super) fn set_attributes() -> io::Result<()> {
    // SAFETY: this call takes numbers alone.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Where the agent went before this, the socket is closed already, which ends the child too.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}
