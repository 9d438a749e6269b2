//! Namespaces of its own: no network device but a loopback that is down, no message queue, no
//! mount or name that others see.
//!
//! Not among them is one for processes: it would hold for children alone, and there are none.
//! What it would hide, seccomp, landlock and the change of user keep out of reach.

use std::io;

use rustix::process::geteuid;

const OWN: libc::c_int = libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

pub(super) fn unshare() -> io::Result<()> {
    // Who is not root may do it in a user namespace of its own, where it has every capability
    // until it drops them.
    let user = if geteuid().is_root() { 0 } else { libc::CLONE_NEWUSER };
    // SAFETY: the call touches no memory, and this process has one thread, so that none is left
    // behind in what is unshared; descriptors stay shared.
    let unshared = unsafe { libc::unshare(OWN | user) };
    if unshared == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
