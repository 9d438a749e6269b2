//! What a worker counts of what happens to it. The shell owns the numbers and counts in its turn, so that
//! nothing is locked; whoever wants to know them asks it ([`Counter`]).

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use wasmgrid_proto::{ResultBlock, WorkerCounts};

use crate::event::Event;

/// Asks a worker what it has counted; cheap to clone. It keeps no worker alive.
#[derive(Clone, Debug)]
pub struct Counter(mpsc::Sender<Event>);

impl Counter {
    pub(crate) const fn new(events: mpsc::Sender<Event>) -> Self {
        Self(events)
    }

    /// What it has; `None` once it has ended.
    pub async fn counts(&self) -> Option<WorkerCounts> {
        let (answer, counts) = oneshot::channel();
        self.0.send(Event::Count(answer)).await.ok()?;
        counts.await.ok()
    }
}

/// Counts the attempts of which these are the results.
pub(crate) fn count_results(counts: &mut WorkerCounts, block: &ResultBlock) {
    for meta in &block.results {
        counts.ended.count(meta.outcome.class(), 1);
        counts.task_us.count(meta.usage.wall_us);
        counts.fuel = counts.fuel.saturating_add(meta.usage.fuel);
    }
}

/// Counts for how long something was compiled, if it was.
pub(crate) fn count_compiled(counts: &mut WorkerCounts, took: Duration) {
    if !took.is_zero() {
        counts.compile_us.count(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}
