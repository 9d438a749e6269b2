//! Nothing of the agent's is open here: what was inherited is closed, and standard output and
//! error, which may be a terminal or a log, become nowhere.

use std::{fs::File, io, os::fd::OwnedFd};

use super::inmate::Inmate;

/// The first descriptor that is not a standard stream.
const FIRST: libc::c_uint = 3;

/// Closes all descriptors but the standard streams. To be called first of all, while there are
/// none of ours.
///
/// # Errors
/// Where the kernel is older than 5.9. All of the agent's own are closed on exec anyway.
pub(super) fn close_inherited() -> io::Result<()> {
    // SAFETY: the call reads no memory; nothing in this process owns one of these descriptors
    // yet, as the contract of this function says.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The socket that is standard input, above the standard streams.
pub(crate) fn keep_socket() -> io::Result<OwnedFd> {
    let first = FIRST.cast_signed();
    Ok(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), first)?)
}

/// Leads the standard streams nowhere. What was there is closed, but for a compiler's last words,
/// which go to a pipe of the agent's: they say what it died of.
pub(super) fn mute(inmate: Inmate) -> io::Result<()> {
    let nowhere = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    if matches!(inmate, Inmate::Runner { .. }) {
        rustix::stdio::dup2_stderr(&nowhere)?;
    }
    Ok(())
}
