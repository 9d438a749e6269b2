//! What a worker is told when it starts.

use wasmgrid_proto::{ByteCount, Millis, WorkerCapacity};

/// How a worker behaves. Its name is in the certificate it dials with.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// What it offers; `slots` should be the number of slots it is started with.
    pub capacity: WorkerCapacity,
    /// Memory for results that are not acknowledged; at it no new task is started, so that a
    /// worker without a scheduler does not grow without end. Default 256 MiB.
    pub kept_results: ByteCount,
    /// How long a stop in order waits for running tasks and for their results to be committed.
    /// Default 30 s.
    pub leave_timeout: Millis,
}

impl WorkerConfig {
    /// The defaults for a machine that offers this.
    #[must_use]
    pub fn new(capacity: WorkerCapacity) -> Self {
        Self { capacity, kept_results: ByteCount(256 << 20), leave_timeout: Millis(30_000) }
    }
}
