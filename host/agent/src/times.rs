//! A worker's times beside those of batching, which others share (proto `pace`).

use core::time::Duration;

use wasmgrid_proto::{Micros, Millis};

/// For so long the work here is taken to be that of several tenants: one that does one thing after
/// the other mostly has nothing here.
pub(crate) const SHARED: Millis = Millis(1_000);

/// The shortest time between two heartbeats, whatever the scheduler says.
pub(crate) const HEARTBEAT_MIN: Millis = Millis(10);

/// How long the worker waits for a module or a blob it asked for, while it is linked.
pub(crate) const ARRIVAL_MAX: Millis = Millis(60_000);

/// Another one of this worker's identity is warned of once in this time, however often it comes.
pub(crate) const WARN_EVERY: Millis = Millis(600_000);

/// A span in whole microseconds.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Whether `span` has passed since a moment; it has if there was none.
pub(crate) fn has_passed(since: Option<Micros>, span: Millis, now: Micros) -> bool {
    since.is_none_or(|since| since.after(span) <= now)
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::pace::{BATCH_US, GATHER};

    use super::*;

    const fn us(span: Millis) -> u64 {
        span.0 * 1_000
    }

    #[test]
    fn times_keep_their_relations() {
        const {
            // Work counts as shared for longer than turns take, or it would not last from one to
            // the next.
            assert!(us(SHARED) >= 20 * us(GATHER));
            // Between two heartbeats a slot ends a batch.
            assert!(us(HEARTBEAT_MIN) >= BATCH_US);
        }
    }
}
