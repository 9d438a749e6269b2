//! The threads of a compiler: the functions of a module are compiled side by side.

use std::io;

use rayon_core::ThreadPoolBuilder;
use wasmgrid_proto::ByteCount;

/// As large as that of the first thread, so that what a function may ask of the compiler does not
/// depend on who compiles it.
const STACK_BYTES: usize = 8 << 20;

/// The address space of their stacks; the first thread has its own.
pub(super) fn stacks(threads: u32) -> ByteCount {
    ByteCount(u64::from(threads.saturating_sub(1)) * STACK_BYTES as u64)
}

/// Has all threads allocate from one place: the allocator would reserve 64 MiB for each, of the
/// address space that compiling may take. To be called while there is one thread.
pub(super) fn share_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it is called before there are other threads, and only sets a number.
    unsafe {
        // Where it is not taken the limit is reached a little earlier.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Starts them, of whom the calling one is the first.
pub(super) fn start(threads: u32) -> io::Result<()> {
    let threads = usize::try_from(threads).unwrap_or(1).max(1);
    // The engine takes the global pool.
    let pool = ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES);
    pool.use_current_thread().build_global().map_err(io::Error::other)
}
