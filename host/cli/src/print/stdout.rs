//! Standard output as a writer of bytes, without a buffer.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    io::{Errno, fcntl_getfd},
    stdio,
};

/// Whether standard output was closed when the process started. Rust's runtime then opens /dev/null
/// in its place before `main`, in which all data would be lost without an error.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// The C library calls what stands in this section before Rust's runtime begins.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = note_whether_closed;

extern "C" fn note_whether_closed() {
    let is_closed = fcntl_getfd(stdio::stdout()) == Err(Errno::BADF);
    WAS_CLOSED.store(is_closed, Ordering::Relaxed);
}

/// See the module.
#[derive(Debug)]
pub struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if WAS_CLOSED.load(Ordering::Relaxed) {
            return Err(Errno::BADF.into());
        }
        super::write_some(stdio::stdout(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
