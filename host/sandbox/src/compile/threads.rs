//! The threads of a compiler: the functions of a module are compiled side by side.

use std::{io, num::NonZeroUsize, thread};

use rayon_core::ThreadPoolBuilder;
use wasmgrid_proto::ByteCount;

use crate::jail;

/// The functions of a small module keep no more of them busy, and each takes memory of its own.
const MOST: usize = 4;

/// As large as that of the first thread, so that what a function may ask of the compiler does not
/// depend on who compiles it.
const STACK_BYTES: usize = 8 << 20;

/// How many threads there should be on this machine. To be asked outside the jail.
pub(super) fn wanted() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST)
}

/// The address space of their stacks; the first thread has its own.
pub(super) fn stacks(threads: usize) -> ByteCount {
    ByteCount((threads.saturating_sub(1) * STACK_BYTES) as u64)
}

/// Starts them, this one among them, and no others after them.
pub(super) fn start(threads: usize) -> io::Result<()> {
    // The engine takes the global pool.
    let pool = ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES);
    pool.use_current_thread().build_global().map_err(io::Error::other)?;
    jail::threads_started()
}
