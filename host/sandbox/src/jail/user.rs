//! The user and group `nobody`: owner of nothing, with no other groups.

use std::{io, ptr};

use rustix::process::geteuid;

/// The kernel's overflow user and group, to which no file is given.
const NOBODY: u32 = 65_534;

pub(super) fn become_nobody() -> io::Result<()> {
    if !geteuid().is_root() {
        return Err(io::Error::other("not root, so that it keeps the worker's own user"));
    }
    // SAFETY: a list of no groups is read from nowhere.
    check(unsafe { libc::setgroups(0, ptr::null()) })?;
    // SAFETY: these take numbers alone. The process has one thread, which is the one that matters.
    check(unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) })?;
    // SAFETY: as above.
    check(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
