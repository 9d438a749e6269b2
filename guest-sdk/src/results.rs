//! Where results go without a grid: standard output, which they have for themselves. What the task
//! prints there meanwhile goes to standard error, as it goes to the task's log on a grid.

use std::io::{self, Write};

/// Takes standard output for the results. Of what is printed before, nothing may still be in its
/// buffer.
pub(crate) fn take() -> io::Result<impl Write> {
    apart::take()
}

#[cfg(unix)]
mod apart {
    use std::ffi::c_int;
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};

    unsafe extern "C" {
        /// Has `to` name what `from` names.
        fn dup2(from: c_int, to: c_int) -> c_int;
    }

    pub(super) fn take() -> io::Result<File> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let results = stdout.as_fd().try_clone_to_owned()?;
        // SAFETY: both are open, and nobody owns standard output, so that nobody's file changes.
        if unsafe { dup2(stderr.as_raw_fd(), stdout.as_raw_fd()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(results.into())
    }
}

#[cfg(windows)]
mod apart {
    use std::ffi::c_void;
    use std::fs::File;
    use std::io::{self, IsTerminal, Write};
    use std::os::windows::io::{AsHandle, AsRawHandle};

    const STD_OUTPUT_HANDLE: u32 = -11_i32 as u32;

    unsafe extern "system" {
        /// The standard library asks for the handle at each write.
        fn SetStdHandle(which: u32, handle: *mut c_void) -> i32;
    }

    pub(super) fn take() -> io::Result<Box<dyn Write>> {
        let stdout = io::stdout();
        // A console shows both, and wants its text from the standard library.
        if stdout.is_terminal() {
            return Ok(Box::new(stdout.lock()));
        }
        let results = stdout.as_handle().try_clone_to_owned()?;
        // SAFETY: the handle of standard error stays open as long as the process lives.
        if unsafe { SetStdHandle(STD_OUTPUT_HANDLE, io::stderr().as_raw_handle()) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Box::new(File::from(results)))
    }
}

/// As a WASI command, and wherever there is no way to tell them apart.
#[cfg(not(any(unix, windows)))]
mod apart {
    use std::io::{self, StdoutLock};

    pub(super) fn take() -> io::Result<StdoutLock<'static>> {
        Ok(io::stdout().lock())
    }
}
