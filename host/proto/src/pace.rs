//! The times of batching, from a task's turn on a slot to the scheduler's acknowledgement. Each part
//! of the way waits a little, so that what follows is done once for many tasks. They are in one place
//! because each bounds another: a test holds their relations, and the simulated worlds use the same.
//!
//! None of them delays a single task: who has nothing to gather with sends at once.

use crate::Millis;

/// The task time of one batch of a slot, in microseconds: its way to the runner and back, about 50,
/// then no longer shows. It bounds how long another tenant waits for a slot. Less than [`FLUSH_US`],
/// so that the results of a batch mostly leave together at its end.
pub const BATCH_US: u64 = 5_000;

/// The same while several tenants have work on the worker, of whom none can overtake what a slot
/// has: the shortest of all times here.
pub const BATCH_SHARED_US: u64 = 1_000;

/// From this task time on, in microseconds, a slot gets no batch ahead, and none after it: the way to
/// it is nothing compared with the task, and what waits on the worker can still be given elsewhere.
/// More than [`BATCH_US`], since a batch of one task that is a little longer is no long task.
pub const LONG_TASK_US: u64 = 10_000;

/// So long, in microseconds, results wait in a runner for others of their batch. It is for batches
/// whose tasks took longer than was expected: more than [`BATCH_US`], and less than [`GATHER`], so that
/// each message of a worker finds some of every slot.
pub const FLUSH_US: u64 = 10_000;

/// Between two messages of results of a worker whose slots are busy: what follows from one costs the
/// worker, its scheduler and the client more than tens of tiny tasks. Several batches of each slot
/// ([`BATCH_US`]); less than [`TARGET_QUEUE`], or slots would run out before the scheduler hears.
pub const GATHER: Millis = Millis(20);

/// The same while several tenants have work on the worker, of whom whoever comes next waits for room:
/// two batches of [`BATCH_SHARED_US`], and a tenth of [`GATHER`].
pub const GATHER_SHARED: Millis = Millis(2);

/// So long acknowledgements wait in the scheduler for something else to be said to the worker. Less
/// than [`GATHER`]: a worker is told what it may forget before it sends more, so that what it keeps
/// does not grow.
pub const COMMITTED_AFTER: Millis = Millis(10);

/// How much work a worker has at most, running and queued, in time. It covers what the scheduler does
/// not know of yet (results that a runner keeps and those that the worker gathers, [`FLUSH_US`] and
/// [`GATHER`]), one more batch, and the way to the scheduler and back.
pub const TARGET_QUEUE: Millis = Millis(40);

/// Work that ends within this time, in microseconds, is not worth asking back from a worker: the
/// question takes about as long. Less than [`BATCH_US`]: of a worker whose slots all have one batch
/// ahead, some can be asked back.
pub const STEAL_MIN_US: u64 = 2_000;

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
            // A batch leaves as a whole, and each message of a worker has some of it.
            assert!(BATCH_US < FLUSH_US && FLUSH_US < us(GATHER));
            // Results wait for those of several batches, and not for many: otherwise gathering would
            // save nothing, or a client would see its results come in bursts.
            assert!(us(GATHER) >= 2 * BATCH_US && us(GATHER) <= 8 * BATCH_US);
            assert!(us(GATHER_SHARED) >= 2 * BATCH_SHARED_US && us(GATHER_SHARED) < us(GATHER));
            // What a worker may forget, it is told before its next results.
            assert!(us(COMMITTED_AFTER) < us(GATHER));
            // A worker has work while nobody knows yet what it has done.
            assert!(us(TARGET_QUEUE) > FLUSH_US + us(GATHER) + BATCH_US);
            // A batch that waits for its slot can be asked back.
            assert!(STEAL_MIN_US < BATCH_US);
        }
    }
}
