//! The slots: what each has been given and not answered, and the tasks that carry batches to it
//! and its events back.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use wasmgrid_proto::{JobId, LeaseId, ResultBlock, RunningTask, TaskRange, TaskSpec, WorkerId};
use wasmgrid_sandbox::{Prepared, Slot, SlotBatch, SlotError, SlotEvents, SlotInput};

use crate::{agent::Event, queue::Piece, ranges};

/// Batches a slot has at most: one that runs and two behind it, so that it never waits for the
/// agent.
const BATCHES_MAX: usize = 3;

/// From this task time on a slot gets no batch ahead, and none behind: the way to it is nothing
/// beside the task, and what waits here can still be given elsewhere.
const LONG_TASK_US: u64 = 10_000;

/// All slots of the worker.
pub(crate) struct Slots {
    slots: Vec<Held>,
}

struct Held {
    input: SlotInput,
    batches: mpsc::Sender<SlotBatch>,
    given: VecDeque<Given>,
}

/// A batch a slot has.
struct Given {
    spec: Arc<TaskSpec>,
    job: JobId,
    lease: LeaseId,
    attempt: u32,
    /// Its tasks that were not answered.
    left: Vec<TaskRange>,
    /// Nothing is to wait behind it.
    is_long: bool,
}

impl Slots {
    /// Starts the tasks of each slot.
    pub(crate) fn start(
        slots: Vec<Slot>,
        events: &mpsc::Sender<Event>,
        tasks: &TaskTracker,
    ) -> Self {
        let start = |(number, slot): (usize, Slot)| {
            let (sender, batches) = mpsc::channel(BATCHES_MAX);
            tasks.spawn(feed(slot.input.clone(), batches));
            tasks.spawn(listen(number, slot.events, events.clone()));
            Held { input: slot.input, batches: sender, given: VecDeque::new() }
        };
        Self { slots: slots.into_iter().enumerate().map(start).collect() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Tasks that were given to slots and not answered, the running ones included.
    pub(crate) fn tasks(&self) -> u64 {
        self.leases().flat_map(|(.., left)| left).map(|range| range.count).sum()
    }

    /// The slot with the fewest batches that may have one more, of tasks that take about
    /// `task_us` each; where that is not known a slot gets one at a time.
    pub(crate) fn hungry(&self, task_us: Option<u64>) -> Option<usize> {
        let ahead = if is_long(task_us) { 1 } else { BATCHES_MAX };
        let most = |slot: &Held| if slot.given.iter().any(|one| one.is_long) { 1 } else { ahead };
        let hungry = |(_, slot): &(usize, &Held)| slot.given.len() < most(slot);
        let hungry = self.slots.iter().enumerate().filter(hungry);
        hungry.min_by_key(|(_, slot)| slot.given.len()).map(|(number, _)| number)
    }

    /// True where a slot has a batch behind the one that it runs, and so has every other, or runs
    /// something long.
    pub(crate) fn are_busy(&self) -> bool {
        let has_next = |slot: &Held| slot.given.len() > 1;
        let is_busy = |slot: &Held| has_next(slot) || slot.given.iter().any(|one| one.is_long);
        self.slots.iter().any(has_next) && self.slots.iter().all(is_busy)
    }

    /// True where a slot has something of another tenant than this.
    pub(crate) fn serve_others(&self, tenant: &str) -> bool {
        self.having(|given| given.spec.tenant != tenant).next().is_some()
    }

    /// Gives a slot a piece of work, of tasks that take about `task_us` each; gives it back where
    /// the slot has ended.
    pub(crate) fn give(
        &mut self,
        number: usize,
        worker: WorkerId,
        prepared: Prepared,
        task_us: Option<u64>,
        piece: Piece,
    ) -> Result<(), Piece> {
        let Some(slot) = self.slots.get_mut(number) else { return Err(piece) };
        let given = Given {
            spec: piece.spec.clone(),
            job: piece.job,
            lease: piece.lease,
            attempt: piece.attempt,
            left: vec![piece.tasks()],
            is_long: is_long(task_us),
        };
        let Ok(permit) = slot.batches.try_reserve() else { return Err(piece) };
        let Piece { job, lease, attempt, spec, first, inputs, payload } = piece;
        permit.send(SlotBatch {
            prepared,
            job,
            lease,
            attempt,
            worker,
            spec,
            first,
            inputs,
            payload,
        });
        slot.given.push_back(given);
        Ok(())
    }

    /// Notes which tasks a slot has answered; gives whose they were, where no slot has more of
    /// that tenant.
    pub(crate) fn answered(&mut self, number: usize, block: &ResultBlock) -> Option<Arc<TaskSpec>> {
        let of_lease = |given: &&Given| given.lease == block.lease;
        let given = self.slots.get(number)?.given.iter().find(of_lease);
        let spec = given.map(|given| given.spec.clone());
        let indices = block.results.iter().map(|meta| meta.index);
        self.settle(number, block.lease, indices);
        let has_more = |spec: &Arc<TaskSpec>| {
            self.having(|given| given.spec.tenant == spec.tenant).next().is_some()
        };
        spec.filter(|spec| !has_more(spec))
    }

    /// Notes which tasks a slot gave back.
    pub(crate) fn returned(&mut self, number: usize, lease: LeaseId, tasks: &[TaskRange]) {
        let indices = tasks.iter().flat_map(|range| range.first..range.end());
        self.settle(number, lease, indices);
    }

    fn settle(&mut self, number: usize, lease: LeaseId, indices: impl Iterator<Item = u64>) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        for index in indices {
            let mut of_lease = slot.given.iter_mut().filter(|given| given.lease == lease);
            of_lease.any(|given| ranges::take(&mut given.left, index));
        }
        slot.given.retain(|given| !given.left.is_empty());
    }

    /// Stops a job's tasks on all slots.
    pub(crate) fn cancel(&self, job: JobId, by: &str) {
        for slot in self.having(|given| given.job == job) {
            slot.input.cancel(job, by);
        }
    }

    /// Asks for tasks back; those that have not begun come as an event.
    pub(crate) fn revoke(&self, job: JobId, lease: LeaseId, tasks: &[TaskRange]) {
        for slot in self.having(|given| given.lease == lease) {
            slot.input.revoke(job, lease, tasks);
        }
    }

    /// Asks for all tasks back that have not begun.
    pub(crate) fn revoke_all(&self) {
        for slot in &self.slots {
            for given in &slot.given {
                slot.input.revoke(given.job, given.lease, &given.left);
            }
        }
    }

    /// What runs.
    pub(crate) fn running(&self) -> Vec<RunningTask> {
        self.slots.iter().filter_map(|slot| slot.input.running()).collect()
    }

    /// The leases that slots have tasks of: job, lease, attempt, tasks.
    pub(crate) fn leases(&self) -> impl Iterator<Item = (JobId, LeaseId, u32, &[TaskRange])> {
        let given = self.slots.iter().flat_map(|slot| &slot.given);
        given.map(|given| (given.job, given.lease, given.attempt, given.left.as_slice()))
    }

    fn having(&self, of: impl Fn(&Given) -> bool) -> impl Iterator<Item = &Held> {
        self.slots.iter().filter(move |slot| slot.given.iter().any(&of))
    }
}

/// Whether tasks that take about this, where it is known, are long.
fn is_long(task_us: Option<u64>) -> bool {
    task_us.is_none_or(|us| us >= LONG_TASK_US)
}

/// Carries batches to a slot, which takes them as it has room.
async fn feed(input: SlotInput, mut batches: mpsc::Receiver<SlotBatch>) {
    while let Some(batch) = batches.recv().await {
        let (job, lease) = (batch.job, batch.lease);
        match input.run(batch).await {
            Ok(()) => {}
            // The worker ends; what it was given is known to the scheduler.
            Err(SlotError::Closed) => return,
            Err(error) => {
                tracing::error!(%job, %lease, %error, "a slot did not take its batch");
                return;
            }
        }
    }
}

async fn listen(number: usize, mut slot: SlotEvents, events: mpsc::Sender<Event>) {
    while let Some(event) = slot.next().await {
        if events.send(Event::Slot { number, event }).await.is_err() {
            // The agent has ended, and with it whoever would want the rest.
            return;
        }
    }
}
