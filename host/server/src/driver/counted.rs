//! Answers with what is counted, on their way through the shell, which alone knows some of it.

use wasmgrid_proto::{DiskUse, Metrics, Overview, wire::Reply};

/// What is on its way to whoever asked, without what the shell alone knows.
#[derive(Debug)]
pub enum Counted {
    /// What the scheduler counts.
    Metrics(Box<Metrics>),
    /// How the grid is.
    Overview(Box<Overview>),
}

impl Counted {
    /// The answer, with how many messages wait for the driver, and the bytes of the journal's snapshot
    /// and of the records after it.
    #[must_use]
    pub fn complete(self, inbox_messages: u64, (snapshot, tail): (u64, u64)) -> Reply {
        let complete = |metrics: &mut Metrics| {
            metrics.server.inbox_messages = inbox_messages;
            (metrics.store.snapshot_bytes, metrics.store.journal_bytes) = (snapshot, tail);
        };
        match self {
            Self::Metrics(mut metrics) => {
                complete(&mut metrics);
                Reply::Metrics(metrics)
            }
            Self::Overview(mut overview) => {
                overview.metrics.as_mut().into_iter().for_each(complete);
                let journal = snapshot.saturating_add(tail);
                overview.disk = overview.disk.map(|disk| DiskUse { journal, ..disk });
                Reply::Overview(overview)
            }
        }
    }
}
