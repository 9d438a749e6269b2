//! A library that stands before the C library in processes that are started with it
//! (`LD_PRELOAD`): their time of day is as many seconds ahead of the system's as the file says that
//! `CLOCK_STEP` names, at each reading of it. What only goes forward, they have as it is.
//!
//! Tests set the clock of a scheduler so, which runs as it is: to set the system's would need
//! rights, and reach everything on it.

use std::{env, ffi::c_int, fs};

use libc::{CLOCK_REALTIME, CLOCK_REALTIME_COARSE, SYS_clock_gettime, clockid_t, timespec};

/// See `man 2 clock_gettime`.
///
/// # Safety
/// `time` must be good for a `timespec`.
// SAFETY: it has the signature and does what the function of this name is documented to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: the arguments are passed on as they came.
    let done = unsafe { libc::syscall(SYS_clock_gettime, clock, time) };
    if done == 0 && matches!(clock, CLOCK_REALTIME | CLOCK_REALTIME_COARSE) {
        // SAFETY: the kernel has just written to it.
        unsafe { (*time).tv_sec += step_seconds() };
    }
    if done == 0 { 0 } else { -1 }
}

fn step_seconds() -> i64 {
    let file = env::var_os("CLOCK_STEP").and_then(|path| fs::read_to_string(path).ok());
    file.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
