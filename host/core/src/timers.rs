//! What is due when. A timer that has lost its meaning by then is ignored by who handles it.

use alloc::collections::BTreeSet;

use wasmgrid_proto::{JobId, Micros, WorkerId};

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A job's deadline passes.
    Deadline(JobId),
    /// A task waited long enough after a failure of the infrastructure.
    Retry(JobId, u64),
    /// A worker that was asked whether it lives had its time to answer.
    Contest(WorkerId),
    /// A linked worker may have been silent for too long.
    Silence(WorkerId),
    /// A worker that was asked for tasks may have had its time to answer.
    Answer(WorkerId),
    /// A worker may hold a lease for longer than its tasks can take.
    Overdue(WorkerId),
    /// A worker whose link was lost had its time to come back.
    Rejoin(WorkerId),
    /// A worker that only failed is tried again.
    Rest(WorkerId),
    /// After a start, the workers had their time to come back.
    Recovery,
    /// The time is to be noted.
    Time,
}

/// The timers, the soonest first.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Micros, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Micros, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, at: Micros, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    /// When the first task of a job that waits out a pause is tried again.
    pub(crate) fn next_retry(&self, job: JobId) -> Option<Micros> {
        let of_job = |timer: &Timer| matches!(timer, Timer::Retry(of, _) if *of == job);
        self.0.iter().find(|(_, timer)| of_job(timer)).map(|(at, _)| *at)
    }

    /// When a timer is due that is set.
    pub(crate) fn at(&self, wanted: Timer) -> Option<Micros> {
        self.0.iter().find(|(_, timer)| *timer == wanted).map(|(at, _)| *at)
    }

    pub(crate) fn next(&self) -> Option<Micros> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the next timer that is due.
    pub(crate) fn due(&mut self, now: Micros) -> Option<Timer> {
        self.next().filter(|at| *at <= now)?;
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
