//! The times of a worker that lean on each other. A batch is long enough that its way to the
//! runner and back does not show, and short enough that no tenant waits long for its turn; results
//! wait for others no longer than a few batches last.

use core::time::Duration;

use wasmgrid_proto::{Micros, Millis};

/// The task time of one batch of a slot: its way to the runner and back then no longer shows.
pub(crate) const BATCH_US: u64 = 5_000;

/// The same while several tenants have work here, of whom none can overtake what a slot has.
pub(crate) const BATCH_SHARED_US: u64 = 1_000;

/// From this task time on a slot gets no batch ahead, and none after it: the way to it is nothing
/// compared with the task, and what waits here can still be given elsewhere.
pub(crate) const LONG_TASK_US: u64 = 10_000;

/// Between two messages of results of slots that are busy: what follows from one costs the worker,
/// its scheduler and the client more than tens of tiny tasks.
pub(crate) const GATHER: Millis = Millis(20);

/// The same while several tenants have work here: whoever comes next waits for room.
pub(crate) const GATHER_SHARED: Millis = Millis(2);

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
    use super::*;

    const fn us(span: Millis) -> u64 {
        span.0 * 1_000
    }

    #[test]
    fn times_keep_their_relations() {
        const {
            // A slot is fed before it has run out, and no batch is one long task by plan.
            assert!(BATCH_SHARED_US < BATCH_US && BATCH_US < LONG_TASK_US);
            // Results wait for those of several batches, and not for many: otherwise gathering would
            // save nothing, or a client would see its results come in bursts.
            assert!(us(GATHER) >= 2 * BATCH_US && us(GATHER) <= 8 * BATCH_US);
            assert!(us(GATHER_SHARED) >= 2 * BATCH_SHARED_US && us(GATHER_SHARED) < us(GATHER));
            // Work counts as shared for longer than turns take, or it would not last from one to
            // the next.
            assert!(us(SHARED) >= 20 * us(GATHER));
            // Between two heartbeats a slot ends a batch.
            assert!(us(HEARTBEAT_MIN) >= BATCH_US);
        }
    }
}
