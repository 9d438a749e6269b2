//! The clock of a task's process: a signal moves the engine's epoch on, so that the process needs
//! no second thread, which would cost it as much as a small task.

use std::{io, mem, ptr, sync::OnceLock};

use wasmtime::Engine;

use crate::run::TICK;

/// What a signal can reach.
static ENGINE: OnceLock<Engine> = OnceLock::new();

/// Makes this process, and those forked from it, ready to be ticked.
pub(super) fn prepare(engine: &Engine) -> io::Result<()> {
    ENGINE.get_or_init(|| engine.clone());
    // SAFETY: all zeroes are a value of this struct: the default action, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = tick as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // A guest's stack may have no room for it; and no call that waits is to fail for it.
    action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the handler does nothing but what a handler may do: see there.
    check(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) })
}

/// Ticks for as long as this process lives, and no process forked from it.
pub(super) fn start() -> io::Result<()> {
    let tv_usec = libc::suseconds_t::from(TICK.subsec_micros().cast_signed());
    let each = libc::timeval { tv_sec: 0, tv_usec };
    let timer = libc::itimerval { it_interval: each, it_value: each };
    // SAFETY: the timer lives through the call, which writes nothing.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) })
}

/// May interrupt anything: both are atomic reads and writes, and neither allocates nor locks.
extern "C" fn tick(_signal: libc::c_int) {
    if let Some(engine) = ENGINE.get() {
        engine.increment_epoch();
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
