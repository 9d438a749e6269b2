//! What a process keeps of memory that it has freed.
//!
//! Left alone, the C library takes a large allocation that was freed as a sign of more to come: from
//! then on it keeps up to 64 MiB, in each thread's heap. A worker would stay as large as its largest
//! results have ever made it.

/// What is larger is a mapping of its own, and goes back to the system as it is freed. Most messages
/// are smaller, and cost no mapping.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES: libc::c_int = 512 << 10;

/// What may lie free at the end of a heap.
#[cfg(target_env = "gnu")]
const FREE_BYTES: libc::c_int = 1 << 20;

/// Has this process give back what it has freed. To be called at its start; it does nothing where
/// the C library is not GNU's.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes numbers alone, and locks what it changes.
    unsafe {
        // A library that knows no such parameter leaves everything as it was.
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREE_BYTES);
    }
}

/// Has this process put what it frees together with its neighbours at once. Left alone, the C
/// library puts that off to a larger allocation; where that is in a forked child, each child does it
/// again, for all that its parent has freed, and copies every page of that.
pub(crate) fn tidy_at_once() {
    #[cfg(target_env = "gnu")]
    // SAFETY: as above.
    unsafe {
        libc::mallopt(libc::M_MXFAST, 0);
    }
}
