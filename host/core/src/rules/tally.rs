//! What the grid counts as it happens; the gauges beside it are read from the books.

use wasmgrid_proto::{AttemptMetrics, LeaseMetrics, RetryCounter, TaskRange};

/// What is counted as it happens, from the start on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) attempts: AttemptMetrics,
    pub(super) leases: LeaseMetrics,
}

impl Tally {
    /// A lease of so many tasks was granted.
    pub(super) const fn grant(&mut self, tasks: u64) {
        self.leases.granted += 1;
        self.attempts.given += tasks;
    }

    /// Tasks are run again after a failed attempt.
    pub(super) fn retry(&mut self, tasks: &[TaskRange], counter: RetryCounter) {
        let retries = match counter {
            RetryCounter::App => &mut self.attempts.app_retries,
            RetryCounter::HostLoss => &mut self.attempts.host_loss_retries,
            RetryCounter::Infra => &mut self.attempts.infra_retries,
        };
        *retries += tasks.iter().map(|part| part.count).sum::<u64>();
    }
}
