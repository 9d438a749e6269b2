//! A root directory with nothing in it that could be opened: what holds where landlock is missing.

use std::io;

use rustix::process::{chdir, chroot};

/// The process's own list of descriptors: a directory that is there without being made, where
/// nothing can be created, and which goes with the process.
const EMPTY: &str = "/proc/self/fdinfo";

pub(super) fn change() -> io::Result<()> {
    chroot(EMPTY)?;
    // Otherwise the old one is still the current directory, and the way back.
    chdir("/")?;
    Ok(())
}
