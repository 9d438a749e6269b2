//! What other threads may tell the one that runs tasks: that time passes, that its task is
//! cancelled, that it shall stop. A running guest sees it at its next epoch check, which comes a
//! tick later at most; a sleeping host call at once.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use wasmgrid_proto::Limit;
use wasmtime::Engine;

use super::board::{Board, Shown};
use crate::{stop::Stop, time::now_us};

/// How often a running guest is interrupted to look at its deadline. Each time wakes a thread on a
/// core that computes: at 2 ms tasks of 1 ms took 1.5 % longer.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// The ticker goes on for so many ticks after a task, so that a stream of short batches does not
/// wake it each time.
const IDLE_TICKS: u32 = 20;

/// Between the cancellation of a running task and its end by force.
pub(crate) const CANCEL_GRACE_US: u64 = 2_000_000;

/// See the module.
pub(crate) struct Control {
    board: Board,
    /// Other processes share the board, and cancel by it alone.
    shared: bool,
    /// When the running task began, and when it must have ended.
    started_us: AtomicU64,
    deadline_us: AtomicU64,
    stopped: AtomicBool,
    busy: AtomicBool,
    ticking: AtomicBool,
    ticker: Mutex<Option<Thread>>,
    sleep: Mutex<()>,
    wake: Condvar,
}

impl Control {
    pub(crate) fn new(board: Board) -> Self {
        Self {
            board,
            shared: false,
            started_us: AtomicU64::new(0),
            deadline_us: AtomicU64::new(u64::MAX),
            stopped: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            ticking: AtomicBool::new(false),
            ticker: Mutex::new(None),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// For tasks in a process that is forked from this one, which cancels them.
    pub(crate) fn shared(board: Board) -> Self {
        Self { shared: true, ..Self::new(board) }
    }

    /// A task begins.
    pub(crate) fn begin(&self, batch: u64, index: u64, now_us: u64, deadline_us: u64) {
        self.started_us.store(now_us, Ordering::Relaxed);
        self.deadline_us.store(now_us.saturating_add(deadline_us), Ordering::Relaxed);
        self.board.begin(batch, index, now_us);
        self.busy.store(true, Ordering::SeqCst);
        if !self.ticking.load(Ordering::SeqCst) {
            self.wake_ticker();
        }
    }

    /// The task has ended.
    pub(crate) fn end(&self) {
        self.busy.store(false, Ordering::Relaxed);
        self.board.end();
    }

    /// Cancels the running task; to be called only while it is known to run.
    pub(crate) fn cancel(&self) {
        self.board.cancel(now_us().max(1));
        self.wake_sleeper();
    }

    /// Forgets a cancellation, before the next task begins.
    pub(crate) fn clear_cancel(&self) {
        self.board.cancel(0);
    }

    /// Ends the running task and whatever waits, for good.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake_sleeper();
        self.wake_ticker();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled_us() != 0
    }

    /// When the running task was cancelled; 0 while it is not.
    pub(crate) fn cancelled_us(&self) -> u64 {
        self.board.cancelled_us()
    }

    /// What is known of the running task.
    pub(crate) fn shown(&self) -> Option<Shown> {
        self.board.shown()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The task's own word on how far it is.
    pub(crate) fn progress(&self, done: u64, total: u64) {
        self.board.progress(done, total);
    }

    /// So much fuel the task has used, as far as it is counted.
    pub(crate) fn fuel(&self, used: u64) {
        self.board.fuel(used);
    }

    /// So much memory the task has had.
    pub(crate) fn memory(&self, peak_bytes: u64) {
        self.board.memory(peak_bytes);
    }

    /// When the running task must have ended, as things stand.
    fn end_us(&self) -> u64 {
        let deadline_us = self.deadline_us.load(Ordering::Relaxed);
        match self.cancelled_us() {
            0 => deadline_us,
            cancelled_us => deadline_us.min(cancelled_us.saturating_add(CANCEL_GRACE_US)),
        }
    }

    /// Fails where the running task must end now.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        let now_us = now_us();
        if self.is_stopped() {
            return Err(Stop::Host("the runner was stopped".into()));
        }
        if now_us < self.end_us() {
            return Ok(());
        }
        if now_us < self.deadline_us.load(Ordering::Relaxed) {
            return Err(Stop::Cancelled);
        }
        let started_us = self.started_us.load(Ordering::Relaxed);
        let allowed_us = self.deadline_us.load(Ordering::Relaxed).saturating_sub(started_us);
        Err(Stop::Limit {
            limit: Limit::Deadline,
            used: now_us.saturating_sub(started_us) / 1_000,
            allowed: allowed_us / 1_000,
        })
    }

    /// Sleeps until the time has come, or the task must end.
    pub(crate) fn sleep_until(&self, until_us: u64) -> Result<(), Stop> {
        let mut asleep = lock(&self.sleep);
        loop {
            self.check()?;
            let now_us = now_us();
            let wake_us = until_us.min(self.end_us());
            if now_us >= until_us {
                return Ok(());
            }
            let mut span = Duration::from_micros(wake_us.saturating_sub(now_us));
            if self.shared {
                // Another process can cancel a sleeper, but not wake it.
                span = span.min(TICK);
            }
            asleep = self.wake.wait_timeout(asleep, span).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Moves the engine's epoch on while tasks run; to be run on a thread of its own. `each_tick`
    /// is for what else must happen while a task takes long; it must not wait.
    pub(crate) fn tick(&self, engine: &Engine, mut each_tick: impl FnMut()) {
        *lock(&self.ticker) = Some(std::thread::current());
        let mut idle = 0;
        while !self.is_stopped() {
            if self.busy.load(Ordering::SeqCst) {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE_TICKS {
                self.ticking.store(false, Ordering::SeqCst);
                // Looked at again: a task that began in between saw a ticker that still ticks.
                if !self.busy.load(Ordering::SeqCst) {
                    std::thread::park();
                }
            }
            self.ticking.store(true, Ordering::SeqCst);
            std::thread::sleep(TICK);
            engine.increment_epoch();
            each_tick();
        }
    }

    fn wake_ticker(&self) {
        if let Some(ticker) = &*lock(&self.ticker) {
            ticker.unpark();
        }
    }

    fn wake_sleeper(&self) {
        // The lock makes sure that a sleeper sees the change or is woken by it.
        drop(lock(&self.sleep));
        self.wake.notify_all();
    }
}

/// The state behind these locks is valid after a panic: each change of it is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
