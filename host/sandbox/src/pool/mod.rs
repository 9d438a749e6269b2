//! Slots: one place each that runs one task at a time, behind one interface, whether the runner
//! is a process of its own or a thread of this one.
//!
//! A slot has two halves: [`SlotInput`] queues batches and orders, [`SlotEvents`] gives results
//! back. Whoever holds them must go on reading events while it waits to queue a batch: room for
//! a batch comes only as results leave.

mod batch;
mod channel;
mod condition;
mod config;
mod driver;
mod ends;
mod launch;
mod overdue;
mod results;
mod session;
mod shared;
#[cfg(feature = "simulated")]
pub(crate) mod simulated;
mod spare;
mod trial;

use std::sync::Arc;

use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use wasmgrid_proto::{JobId, LeaseId, RunningTask, TaskRange};

pub use self::{
    batch::{SlotBatch, SlotError, SlotEvent},
    condition::Condition,
};
use self::{condition::Doubts, driver::Driver, shared::Shared, spare::Spares};
pub(crate) use self::{config::PoolConfig, ends::Ends};
use crate::compile::Compiler;

/// Events of a slot that nobody has taken yet; beyond, its runner waits.
const EVENTS_MAX: usize = 16;

/// One slot: its two halves, to be used from one task or two.
#[derive(Debug)]
pub struct Slot {
    /// Takes batches and orders.
    pub input: SlotInput,
    /// Gives results.
    pub events: SlotEvents,
}

/// The half of a slot that takes batches and orders; clones stand for the same slot.
#[derive(Clone, Debug)]
pub struct SlotInput {
    shared: Arc<Shared>,
}

impl SlotInput {
    /// Queues a batch, and waits while two are queued already. Cancel safe: a batch is queued
    /// whole or not at all.
    ///
    /// # Errors
    /// [`SlotError`], where the sandbox is shut down or the inputs are malformed.
    pub async fn run(&self, batch: SlotBatch) -> Result<(), SlotError> {
        self.shared.queue(batch).await
    }

    /// Cancels the job's tasks here: the one that runs sees the flag at once and is stopped after
    /// the grace period; those queued come back as cancelled without having run.
    pub fn cancel(&self, job: JobId, by: &str) {
        self.shared.cancel(job, by);
    }

    /// Takes tasks back; those that have not begun come back as [`SlotEvent::Returned`].
    pub fn revoke(&self, job: JobId, lease: LeaseId, tasks: &[TaskRange]) {
        self.shared.revoke(job, lease, tasks);
    }

    /// The process of the runner that serves the slot: `None` while there is none, and where
    /// runners are threads.
    #[must_use]
    pub fn runner_pid(&self) -> Option<u32> {
        self.shared.runner_pid()
    }

    /// What runs at this moment.
    #[must_use]
    pub fn running(&self) -> Option<RunningTask> {
        self.shared.running()
    }
}

/// The half of a slot that gives results.
#[derive(Debug)]
pub struct SlotEvents {
    events: mpsc::Receiver<SlotEvent>,
}

impl SlotEvents {
    /// The next event; `None` once the sandbox is shut down. Cancel safe.
    pub async fn next(&mut self) -> Option<SlotEvent> {
        self.events.recv().await
    }
}

/// The drivers of all slots. Dropped, it ends the runners without waiting for them.
#[derive(Debug)]
pub(crate) struct Pool {
    drivers: Mutex<JoinSet<()>>,
    condition: watch::Receiver<Condition>,
    doubts: Arc<Doubts>,
    stop: CancellationToken,
}

impl Pool {
    /// Starts the slots and, ahead of their first batch, their runners. To be called inside a
    /// tokio runtime.
    pub(crate) fn start(config: PoolConfig, compiler: &Arc<Compiler>) -> (Self, Vec<Slot>) {
        let config = Arc::new(config);
        let stop = CancellationToken::new();
        let mut drivers = JoinSet::new();
        let (spares, keeper) = spare::spares(&config, compiler, &stop);
        let (condition, doubts) = (spares.condition().clone(), Arc::clone(spares.doubts()));
        if config.slots > 0 {
            drivers.spawn(keeper.run());
        } else {
            keeper.idle();
        }
        let slots = (0..config.slots)
            .map(|_| Slot::start(&config, &stop, spares.clone(), &mut drivers))
            .collect();
        (Self { drivers: Mutex::new(drivers), condition, doubts, stop }, slots)
    }

    /// Whether tasks can be run, now and whenever that changes.
    pub(crate) fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.clone()
    }

    /// A compiler failed that had no reason to.
    pub(crate) fn doubt_compilers(&self) {
        self.doubts.raise_of_compilers();
    }

    /// Ends all runners, and what they run, and waits for their end.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        while let Some(ended) = self.drivers.lock().await.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a slot's driver failed");
            }
        }
    }
}

impl Slot {
    fn start(
        config: &Arc<PoolConfig>,
        stop: &CancellationToken,
        spares: Spares,
        drivers: &mut JoinSet<()>,
    ) -> Self {
        let shared = Arc::new(Shared::new());
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let driver = Driver {
            config: Arc::clone(config),
            shared: Arc::clone(&shared),
            events: sender,
            stop: stop.clone(),
            spares,
        };
        drivers.spawn(driver.run());
        Self { input: SlotInput { shared }, events: SlotEvents { events } }
    }
}
