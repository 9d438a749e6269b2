//! What a slot has taken and not given back: its batches, and what was ordered of them. The
//! slot's inputs put in, its driver takes out; nobody holds the lock while waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use wasmgrid_proto::{JobId, LeaseId, Outcome, RangeList, RunningTask, TaskId, TaskRange, Usage};

use super::{SlotBatch, SlotError, SlotEvent, launch::Runner};
use crate::{run::board::Board, time::now_us};

/// Batches a slot takes at once: one that runs and one behind it, so that the runner never idles.
const BATCHES_MAX: usize = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Tells the driver that there is something new.
    pub(super) changed: Notify,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) batches: Vec<Outstanding>,
    pub(super) board: Option<Arc<Board>>,
    runner_pid: Option<u32>,
}

/// A batch that is not finished.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) batch: SlotBatch,
    /// The number it was sent to the runner with; `None` until it is.
    pub(super) number: Option<u64>,
    /// The tasks that have not come back, in order.
    pub(super) left: RangeList,
    pub(super) cancelled_by: Option<String>,
    /// When it was.
    pub(super) cancelled_us: Option<u64>,
    /// The runner knows of the cancellation.
    pub(super) cancel_sent: bool,
    /// What was revoked and is not yet told to the runner.
    pub(super) revoking: RangeList,
    /// Makes room when all parts of the batch are finished.
    room: Arc<OwnedSemaphorePermit>,
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
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
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
        let left = RangeList::from(TaskRange { first: batch.first, count });
        self.lock().batches.push(Outstanding {
            batch,
            number: None,
            left,
            cancelled_by: None,
            cancelled_us: None,
            cancel_sent: false,
            revoking: RangeList::default(),
            room: Arc::new(room),
        });
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn cancel(&self, job: JobId, by: &str) {
        let mut state = self.lock();
        for outstanding in state.batches.iter_mut().filter(|at| at.batch.job == job) {
            outstanding.cancelled_by.get_or_insert_with(|| by.to_owned());
            outstanding.cancelled_us.get_or_insert_with(now_us);
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn revoke(&self, job: JobId, lease: LeaseId, tasks: &[TaskRange]) {
        let mut state = self.lock();
        let of_lease = |at: &&mut Outstanding| at.batch.job == job && at.batch.lease == lease;
        for outstanding in state.batches.iter_mut().filter(of_lease) {
            for range in tasks {
                outstanding.revoking.extend(outstanding.left.within(*range));
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Takes out what was cancelled or revoked before any runner had it, to be told.
    pub(super) fn take_back_unsent(&self) -> Vec<SlotEvent> {
        let mut events = Vec::new();
        let mut state = self.lock();
        for unsent in state.batches.iter_mut().filter(|at| at.number.is_none()) {
            let revoked = std::mem::take(&mut unsent.revoking);
            let revoked: Vec<_> = revoked.into_iter().filter(|range| unsent.take(*range)).collect();
            if !revoked.is_empty() {
                events.push(unsent.batch.returned(revoked));
            }
            if let Some(by) = unsent.cancelled_by.clone() {
                let left = std::mem::take(&mut unsent.left);
                let outcome = Outcome::Cancelled(by);
                let ended = |range| unsent.batch.unrun(range, &outcome, Usage::default());
                events.extend(left.into_iter().map(ended));
            }
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
        let outstanding = state.batches.iter().find(|at| at.number == Some(shown.batch))?;
        Some(RunningTask {
            task: TaskId { job: outstanding.batch.job, index: shown.index },
            elapsed_ms: now_us().saturating_sub(shown.started_us) / 1_000,
            progress: shown.progress,
        })
    }
}

impl State {
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
    pub(super) fn sent(&mut self, number: u64) -> Option<&mut Outstanding> {
        self.batches.iter_mut().find(|at| at.number == Some(number))
    }

    pub(super) fn any_sent(&self) -> bool {
        self.batches.iter().any(|at| at.number.is_some())
    }

    /// The first batch that no runner has; cut so that it is one run of neighbouring tasks.
    pub(super) fn unsent(&mut self) -> Option<&mut Outstanding> {
        let place = self.batches.iter().position(|at| at.number.is_none())?;
        if let Some(rest) = self.batches.get_mut(place).and_then(Outstanding::split) {
            self.batches.insert(place + 1, rest);
        }
        self.batches.get_mut(place)
    }

    /// Makes all batches unsent, after the runner that had them has died.
    pub(super) fn unsend(&mut self) {
        for outstanding in &mut self.batches {
            outstanding.number = None;
            outstanding.cancel_sent = false;
        }
    }

    /// Forgets the batches that are finished.
    pub(super) fn settle(&mut self) {
        self.batches.retain(|at| !at.left.is_empty());
    }
}

impl Outstanding {
    /// Cuts off what lies behind the first run of neighbours.
    fn split(&mut self) -> Option<Self> {
        if self.left.len() < 2 {
            return None;
        }
        let rest = self.left.split_off(1);
        Some(Self {
            batch: self.batch.clone(),
            number: None,
            left: rest,
            cancelled_by: self.cancelled_by.clone(),
            cancelled_us: self.cancelled_us,
            cancel_sent: false,
            revoking: RangeList::default(),
            room: Arc::clone(&self.room),
        })
    }

    /// Whether the task has not come back.
    pub(super) fn has(&self, index: u64) -> bool {
        self.left.has(index)
    }

    /// Takes `range` out of what is left; false where some of it is not left.
    pub(super) fn take(&mut self, range: TaskRange) -> bool {
        self.left.remove(range) == range.count
    }
}
