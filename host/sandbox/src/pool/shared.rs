//! What a slot has taken and not given back: its batches, and what was ordered of them. The
//! slot's inputs put in, its driver takes out; nobody holds the lock while waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use wasmgrid_proto::{JobId, LeaseId, Outcome, Outstanding, RunningTask, TaskId, TaskRange, Usage};

use super::{SlotBatch, SlotError, SlotEvent, launch::Runner};
use crate::{run::board::Board, time::now_us};

/// Batches a slot takes at once: one that runs and one behind it, so that the runner never idles.
const BATCHES_MAX: usize = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<SlotState>,
    /// Tells the driver that there is something new.
    pub(super) changed: Notify,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
pub(super) struct SlotState {
    pub(super) batches: Vec<TakenBatch>,
    pub(super) board: Option<Arc<Board>>,
    runner_pid: Option<u32>,
}

/// A batch that is not finished.
#[derive(Debug)]
pub(super) struct TakenBatch {
    pub(super) batch: SlotBatch,
    /// The number it was sent to the runner with; `None` until it is.
    pub(super) number: Option<u64>,
    /// Its tasks that have not come back, in order.
    pub(super) tasks: Outstanding,
    /// When it was cancelled.
    pub(super) cancelled_us: Option<u64>,
    /// What the runner does not know of that was ordered.
    pub(super) unsent: Orders,
    /// Makes room when all parts of the batch are finished.
    room: Arc<OwnedSemaphorePermit>,
}

/// Orders about a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Orders {
    pub(super) cancel: bool,
    pub(super) recall: bool,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            room: Arc::new(Semaphore::new(BATCHES_MAX)),
        }
    }

    /// The state is valid after a panic: each change of it is one step.
    pub(super) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more batches are taken.
    pub(super) fn close(&self) {
        self.room.close();
    }

    pub(super) async fn queue(&self, batch: SlotBatch) -> Result<(), SlotError> {
        batch.inputs.check()?;
        // Cutting it into one piece checks that lengths and payload belong together.
        batch.inputs.slice(&batch.payload, 0, batch.inputs.count())?;
        let count = batch.inputs.count();
        if count == 0 {
            return Ok(());
        }
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| SlotError::Closed)?;
        let tasks = batch.tasks().into();
        self.lock().batches.push(TakenBatch {
            batch,
            number: None,
            tasks,
            cancelled_us: None,
            unsent: Orders::default(),
            room: Arc::new(room),
        });
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn cancel(&self, job: JobId, by: &str) {
        let mut state = self.lock();
        for taken in state.batches.iter_mut().filter(|at| at.batch.job == job) {
            taken.tasks.cancel(by);
            // What it was told once need not be told again.
            taken.unsent.cancel |= taken.cancelled_us.is_none();
            taken.cancelled_us.get_or_insert_with(now_us);
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn revoke(&self, job: JobId, lease: LeaseId, tasks: &[TaskRange]) {
        let mut state = self.lock();
        let of_lease = |at: &&mut TakenBatch| at.batch.job == job && at.batch.lease == lease;
        for taken in state.batches.iter_mut().filter(of_lease) {
            taken.tasks.recall(tasks);
            taken.unsent.recall = true;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Takes out what was cancelled or revoked and no runner has, to be told.
    pub(super) fn take_back_unsent(&self) -> Vec<SlotEvent> {
        let mut events = Vec::new();
        let mut state = self.lock();
        for unsent in state.batches.iter_mut().filter(|at| at.number.is_none()) {
            events.extend(unsent.give_back(None));
            events.extend(unsent.end_cancelled());
        }
        state.settle();
        events
    }

    pub(super) fn runner_pid(&self) -> Option<u32> {
        self.lock().runner_pid
    }

    pub(super) fn running(&self) -> Option<RunningTask> {
        let state = self.lock();
        let shown = state.board.as_ref()?.shown()?;
        let taken = state.batches.iter().find(|at| at.number == Some(shown.batch))?;
        Some(RunningTask {
            task: TaskId { job: taken.batch.job, index: shown.index },
            elapsed_ms: now_us().saturating_sub(shown.started_us) / 1_000,
            progress: shown.progress,
        })
    }
}

impl SlotState {
    /// This runner serves the slot from now on.
    pub(super) fn serve(&mut self, runner: &Runner) {
        self.board = Some(Arc::clone(&runner.board));
        self.runner_pid = runner.pid();
    }

    /// No runner serves the slot; the page of the one that did.
    pub(super) fn unserve(&mut self) -> Option<Arc<Board>> {
        self.runner_pid = None;
        self.board.take()
    }

    /// The batch that was sent with this number.
    pub(super) fn sent(&mut self, number: u64) -> Option<&mut TakenBatch> {
        self.batches.iter_mut().find(|at| at.number == Some(number))
    }

    pub(super) fn any_sent(&self) -> bool {
        self.batches.iter().any(|at| at.number.is_some())
    }

    /// The first batch that no runner has; cut so that it is one run of neighbouring tasks.
    pub(super) fn unsent(&mut self) -> Option<&mut TakenBatch> {
        let place = self.batches.iter().position(|at| at.number.is_none())?;
        if let Some(rest) = self.batches.get_mut(place).and_then(TakenBatch::split) {
            self.batches.insert(place + 1, rest);
        }
        self.batches.get_mut(place)
    }

    /// Makes all batches unsent, after the runner that had them has died. What was ordered of them
    /// and not done is done by [`Shared::take_back_unsent`].
    pub(super) fn unsend(&mut self) {
        for taken in &mut self.batches {
            taken.number = None;
        }
    }

    /// Forgets the batches that are finished.
    pub(super) fn settle(&mut self) {
        self.batches.retain(|at| !at.tasks.is_empty());
    }
}

impl TakenBatch {
    /// Cuts off what lies behind the first run of neighbours.
    fn split(&mut self) -> Option<Self> {
        Some(Self {
            tasks: self.tasks.split_off(1)?,
            batch: self.batch.clone(),
            number: None,
            cancelled_us: self.cancelled_us,
            unsent: self.unsent,
            room: Arc::clone(&self.room),
        })
    }

    /// Takes `range` out of what is left; false where some of it is not left.
    pub(super) fn take(&mut self, range: TaskRange) -> bool {
        self.tasks.take(range) == range.count
    }

    /// Takes out what was asked back and has not begun.
    pub(super) fn give_back(&mut self, begun: Option<u64>) -> Option<SlotEvent> {
        let back = self.tasks.take_recalled(begun);
        (!back.is_empty()).then(|| self.batch.returned(back))
    }

    /// Ends what is left of a cancelled batch.
    pub(super) fn end_cancelled(&mut self) -> Vec<SlotEvent> {
        let by = self.tasks.cancelled_by().map(str::to_owned);
        by.map_or_else(Vec::new, |by| self.end_all(&Outcome::Cancelled(by)))
    }

    /// Ends all that is left in the same way.
    pub(super) fn end_all(&mut self, outcome: &Outcome) -> Vec<SlotEvent> {
        let left = self.tasks.take_all();
        left.into_iter().map(|range| self.batch.unrun(range, outcome, Usage::default())).collect()
    }
}
