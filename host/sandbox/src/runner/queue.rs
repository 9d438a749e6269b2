//! The batches of a runner: what waits, what runs, and what of it was cancelled or revoked. The
//! reader of the socket puts in and takes away, the thread that runs tasks takes out.

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use wasmgrid_proto::{JobId, LeaseId, Outstanding, TaskRange};

use super::message::{Returned, Revoke, RunBatch};
use crate::run::Control;

/// A batch as it came.
pub(super) struct ReceivedBatch {
    pub(super) run: Box<RunBatch>,
    pub(super) payload: Bytes,
    pub(super) code: OwnedFd,
    /// Of each blob of its spec.
    pub(super) blobs: Vec<OwnedFd>,
}

/// What to do with the next task of the batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Run it; it is marked as running.
    Run,
    /// It was cancelled before it began, by whom.
    Cancelled(String),
    /// It was revoked: it is no longer ours.
    Skip,
}

/// See the module.
#[derive(Default)]
pub(super) struct BatchQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// With their tasks that have not begun.
    waiting: VecDeque<(ReceivedBatch, Outstanding)>,
    current: Option<Current>,
    closed: bool,
}

/// The batch that is being run.
struct Current {
    batch: u64,
    job: JobId,
    lease: LeaseId,
    /// Its tasks that have not begun.
    unbegun: Outstanding,
    /// One of those that have begun runs.
    running: bool,
}

impl BatchQueue {
    /// Puts a batch behind the others. The agent holds to its bound of two.
    pub(super) fn push(&self, batch: ReceivedBatch) {
        let tasks = TaskRange { first: batch.run.first, count: batch.run.inputs.count() };
        self.lock().waiting.push_back((batch, tasks.into()));
        self.changed.notify_one();
    }

    /// No more batches come, and those that wait are not run.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next batch; `None` once closed.
    pub(super) fn next_batch(&self) -> Option<ReceivedBatch> {
        let mut state = self.lock();
        state.current = None;
        loop {
            if state.closed {
                return None;
            }
            if let Some(batch) = state.open() {
                return Some(batch);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next batch, where there is one.
    pub(super) fn try_next_batch(&self) -> Option<ReceivedBatch> {
        let mut state = self.lock();
        state.current = None;
        state.open()
    }

    /// What to do with task `index` of the current batch.
    pub(super) fn begin(&self, index: u64, control: &Control) -> Step {
        let mut state = self.lock();
        let Some(current) = &mut state.current else { return Step::Skip };
        if current.unbegun.take(TaskRange::one(index)) == 0 {
            return Step::Skip;
        }
        if let Some(by) = current.unbegun.cancelled_by() {
            return Step::Cancelled(by.to_owned());
        }
        control.clear_cancel();
        current.running = true;
        Step::Run
    }

    /// The running task has ended; who cancelled it meanwhile, if anybody did.
    pub(super) fn end(&self) -> Option<String> {
        let mut state = self.lock();
        let current = state.current.as_mut()?;
        current.running = false;
        current.unbegun.cancelled_by().map(str::to_owned)
    }

    /// Cancels all that is here of the job.
    pub(super) fn cancel(&self, job: JobId, by: &str, control: &Control) {
        let mut state = self.lock();
        if let Some(current) = state.current.as_mut().filter(|current| current.job == job) {
            current.unbegun.cancel(by);
            if current.running {
                control.cancel();
            }
        }
        for (batch, unbegun) in &mut state.waiting {
            if batch.run.job == job {
                unbegun.cancel(by);
            }
        }
    }

    /// Takes away what has not begun; says what that was, batch by batch.
    pub(super) fn revoke(&self, revoke: &Revoke) -> Vec<Returned> {
        let mut state = self.lock();
        let mut returned = Vec::new();
        let State { current, waiting, .. } = &mut *state;
        if let Some(current) =
            current.as_mut().filter(|at| at.job == revoke.job && at.lease == revoke.lease)
        {
            returned.extend(take_back(current.batch, &mut current.unbegun, &revoke.tasks));
        }
        for (batch, unbegun) in waiting {
            let run = &batch.run;
            if run.job == revoke.job && run.lease == revoke.lease {
                returned.extend(take_back(run.batch, unbegun, &revoke.tasks));
            }
        }
        returned
    }

    /// The state is valid after a panic: each change of it is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&mut self) -> Option<ReceivedBatch> {
        let (batch, unbegun) = self.waiting.pop_front()?;
        self.current = Some(Current {
            batch: batch.run.batch,
            job: batch.run.job,
            lease: batch.run.lease,
            unbegun,
            running: false,
        });
        Some(batch)
    }
}

/// Takes out what is asked for of a batch's tasks that have not begun.
fn take_back(batch: u64, unbegun: &mut Outstanding, asked: &[TaskRange]) -> Option<Returned> {
    unbegun.recall(asked);
    let tasks = unbegun.take_recalled(None);
    (!tasks.is_empty()).then_some(Returned { batch, tasks })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, count: u64) -> TaskRange {
        TaskRange { first, count }
    }

    #[test]
    fn a_task_is_revoked_once() {
        let mut unbegun = Outstanding::from(range(4, 10));
        let asked = [range(3, 4), range(5, 4)];
        let returned = take_back(1, &mut unbegun, &asked[..1]).expect("some");
        assert_eq!(returned.tasks, [range(4, 3)]);
        let returned = take_back(1, &mut unbegun, &asked).expect("some");
        assert_eq!(returned.tasks, [range(7, 2)]);
        assert_eq!(take_back(1, &mut unbegun, &asked), None);
        assert_eq!(**unbegun.left(), [range(9, 5)]);
    }
}
