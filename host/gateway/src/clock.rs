//! The date of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

use wasmgrid_proto::Micros;

/// The date of this machine: the scheduler has its own.
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
