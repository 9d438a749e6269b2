//! The slots' ends in the shell: the tasks that carry batches to each slot and its events back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use wasmgrid_agent::Batch;
use wasmgrid_proto::{JobId, LeaseId, RunningTask, TaskRange};
use wasmgrid_sandbox::{Prepared, Slot, SlotBatch, SlotError, SlotEvents, SlotInput};

use crate::event::Event;

/// Batches on their way to a slot. The agent gives it no more than three, of which it has one or two.
const BATCHES_MAX: usize = 3;

/// All slots of the worker.
pub(crate) struct Slots(Vec<Input>);

struct Input {
    slot: SlotInput,
    batches: mpsc::Sender<SlotBatch>,
    /// Something was ordered of the slot, which a batch on its way there missed.
    ordered: Arc<AtomicBool>,
}

impl Slots {
    /// Starts the tasks of each slot.
    pub(crate) fn start(
        slots: Vec<Slot>,
        events: &mpsc::Sender<Event>,
        tasks: &TaskTracker,
    ) -> Self {
        let start = |(number, slot): (usize, Slot)| {
            let (batches, on_their_way) = mpsc::channel(BATCHES_MAX);
            let ordered = Arc::new(AtomicBool::new(false));
            let missed = Missed { number, ordered: Arc::clone(&ordered), events: events.clone() };
            tasks.spawn(feed(slot.input.clone(), on_their_way, missed));
            tasks.spawn(listen(number, slot.events, events.clone()));
            Input { slot: slot.input, batches, ordered }
        };
        Self(slots.into_iter().enumerate().map(start).collect())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Sends a slot a batch; false if the slot has ended.
    pub(crate) fn run(&self, slot: usize, batch: Batch<Prepared>) -> bool {
        let Batch { module: prepared, job, lease, attempt, worker, spec, first, inputs, payload } =
            batch;
        let batch =
            SlotBatch { prepared, job, lease, attempt, worker, spec, first, inputs, payload };
        self.0.get(slot).is_some_and(|input| input.batches.try_send(batch).is_ok())
    }

    /// Stops a job's tasks in a slot.
    pub(crate) fn cancel(&self, slot: usize, job: JobId, by: &str) {
        if let Some(input) = self.0.get(slot) {
            input.slot.cancel(job, by);
            input.order();
        }
    }

    /// Asks a slot for tasks that have not begun.
    pub(crate) fn recall(&self, slot: usize, job: JobId, lease: LeaseId, tasks: &[TaskRange]) {
        if let Some(input) = self.0.get(slot) {
            input.slot.revoke(job, lease, tasks);
            input.order();
        }
    }

    /// What runs.
    pub(crate) fn running(&self) -> Vec<RunningTask> {
        self.0.iter().filter_map(|input| input.slot.running()).collect()
    }
}

impl Input {
    /// Notes that something was ordered: a slot knows nothing of a batch that waits for room there.
    fn order(&self) {
        self.ordered.store(true, Ordering::SeqCst);
    }
}

/// Says that a batch has missed what was ordered of its slot while it waited for room there.
struct Missed {
    number: usize,
    ordered: Arc<AtomicBool>,
    events: mpsc::Sender<Event>,
}

impl Missed {
    async fn say(&self) {
        if self.ordered.swap(false, Ordering::SeqCst) {
            // If the shell has ended nobody orders anything.
            let _ = self.events.send(Event::Taken { number: self.number }).await;
        }
    }
}

/// Carries batches to a slot, which takes them as it has room.
async fn feed(input: SlotInput, mut batches: mpsc::Receiver<SlotBatch>, missed: Missed) {
    while let Some(batch) = batches.recv().await {
        let (job, lease) = (batch.job, batch.lease);
        match input.run(batch).await {
            Ok(()) => missed.say().await,
            // The worker ends; what it was given is known to the scheduler.
            Err(SlotError::Closed) => return,
            Err(error) => {
                tracing::error!(%job, %lease, %error, "a slot did not accept its batch");
                return;
            }
        }
    }
}

async fn listen(number: usize, mut slot: SlotEvents, events: mpsc::Sender<Event>) {
    while let Some(event) = slot.next().await {
        if events.send(Event::Slot { number, event }).await.is_err() {
            // The shell has ended, and with it whoever would want the rest.
            return;
        }
    }
}
