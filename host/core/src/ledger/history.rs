//! What has been counted against a task, and what follows from it: whether it may be run again, and
//! how long it waits before that.

use wasmgrid_proto::{JobSpec, Millis, RetryCounter};

use crate::config::GridConfig;

/// How often a task was run again, by reason. Only tasks that were have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) app: u32,
    pub(crate) host_losses: u32,
    pub(crate) infra: u32,
}

impl History {
    /// The number of the task's next or current attempt, from 1.
    pub(crate) const fn attempt(self) -> u32 {
        self.app.saturating_add(self.host_losses).saturating_add(self.infra).saturating_add(1)
    }

    pub(crate) const fn count(&mut self, counter: RetryCounter) {
        let slot = match counter {
            RetryCounter::App => &mut self.app,
            RetryCounter::HostLoss => &mut self.host_losses,
            RetryCounter::Infra => &mut self.infra,
        };
        *slot = slot.saturating_add(1);
    }

    /// True where the task must run alone on a worker.
    pub(crate) const fn is_suspect(self, config: &GridConfig) -> bool {
        self.host_losses >= config.suspect_after
    }

    /// True where a worker lost it or could not run it.
    pub(crate) const fn was_lost(self) -> bool {
        self.host_losses > 0 || self.infra > 0
    }

    /// True where one more loss of a host would still leave the task another attempt.
    pub(crate) const fn survives_host_loss(self, config: &GridConfig) -> bool {
        self.host_losses.saturating_add(1) < config.host_loss_limit
    }

    /// True where it may be given back unasked once more.
    pub(crate) const fn survives_infra(self, spec: &JobSpec, config: &GridConfig) -> bool {
        spec.deadline.is_some() || self.infra.saturating_add(1) < config.infra_retry_limit
    }

    /// How long to wait before the next attempt after a failure of the infrastructure, which is
    /// counted already.
    pub(crate) fn infra_pause(self, config: &GridConfig) -> Millis {
        let doublings = self.infra.saturating_sub(1).min(32);
        let pause = config.infra_backoff.0.saturating_mul(1 << doublings);
        Millis(pause.min(config.infra_backoff_max.0))
    }
}
