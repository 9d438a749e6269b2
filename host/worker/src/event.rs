//! What the tasks around the shell tell it.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use wasmgrid_proto::{
    JobId, TaskSpec, WorkerCounts,
    frame::Envelope,
    wire::{FromWorker, ToWorker},
};
use wasmgrid_sandbox::{Condition, PrepareError, Prepared, SlotEvent};

use crate::link_state::GaveUp;

/// All that can happen to a worker.
pub(crate) enum Event {
    /// There is a link; the worker has not joined over it yet.
    Linked {
        outbox: mpsc::Sender<Envelope<FromWorker>>,
        /// The minor version of the protocol that it speaks.
        minor: u16,
    },
    /// The link has ended, or there was none to be had.
    Unlinked { reason: String },
    /// There will be no other link.
    GaveUp { why: GaveUp },
    /// The scheduler said something.
    Heard { envelope: Envelope<ToWorker> },
    /// A slot said something.
    Slot { number: usize, event: SlotEvent },
    /// A slot has taken a batch which missed what was ordered meanwhile.
    Taken { number: usize },
    /// A job's module was prepared, or not.
    Prepared {
        job: JobId,
        spec: Arc<TaskSpec>,
        result: Result<Prepared, PrepareError>,
        /// For how long something was compiled for it.
        took: Duration,
    },
    /// Whether tasks can be run here is not as it was.
    Condition(Condition),
    /// Somebody wants to know what was counted.
    Count(oneshot::Sender<WorkerCounts>),
    /// Leave the grid in order.
    Leave,
}
