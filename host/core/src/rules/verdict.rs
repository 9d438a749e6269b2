//! Whether a result is its task's end.

use wasmgrid_proto::{JobSpec, OutcomeClass, RetryCounter};

use crate::{config::GridConfig, ledger::History};

/// What a result means for its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the task's end.
    Commit,
    /// The task runs again.
    Again(RetryCounter),
}

/// Judges a result of a task of a job that goes on.
pub(super) fn judge(
    class: OutcomeClass,
    history: History,
    spec: &JobSpec,
    config: &GridConfig,
) -> Verdict {
    match class {
        OutcomeClass::Retry if history.app < spec.retries => Verdict::Again(RetryCounter::App),
        OutcomeClass::Lost if history.survives_host_loss(config) => {
            Verdict::Again(RetryCounter::HostLoss)
        }
        // The job was not cancelled, so the worker stopped the task for reasons of its own.
        OutcomeClass::Cancelled | OutcomeClass::Expired | OutcomeClass::Skipped
            if history.survives_infra(spec, config) =>
        {
            Verdict::Again(RetryCounter::Infra)
        }
        _ => Verdict::Commit,
    }
}
