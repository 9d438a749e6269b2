//! When the grid's own time is written down; see [`Clock`](crate::ledger::Clock).

use wasmgrid_proto::{Micros, Millis, Record};

use super::grid::Grid;
use crate::timers::Timer;

/// How far the noted time may be behind a record, at most: so much of a job's deadline is counted
/// twice where the scheduler dies right then.
const NOTED_WITHIN: Millis = Millis(10_000);

/// How often the time is noted where nothing else is written down.
const NOTED_EVERY: Millis = Millis(60_000);

impl Grid {
    /// The date of a time of this term, as people are told it.
    #[must_use]
    pub const fn date_of(&self, time: Micros) -> Micros {
        self.ledger.clock().date_of(time)
    }

    /// Which date it is now.
    pub(super) const fn date(&self) -> Micros {
        self.ledger.clock().date_of(self.now)
    }

    /// A term begins: now, and on this date.
    pub(super) fn set_date(&mut self, date: Micros) {
        self.write(Record::TimePassed { time: self.now, date });
        self.timers.set(self.now.after(NOTED_EVERY), Timer::Time);
    }

    /// Before a record is written: the time is not left far behind.
    pub(super) fn bring_time(&mut self) {
        if self.ledger.clock().time.after(NOTED_WITHIN) < self.now {
            self.note_time();
        }
    }

    /// The time was not noted for a while, or was with something else.
    pub(super) fn keep_time(&mut self) {
        let due = self.ledger.clock().time.after(NOTED_EVERY);
        if due <= self.now {
            self.note_time();
        }
        self.note_fuel();
        let next = self.ledger.clock().time.after(NOTED_EVERY);
        self.timers.set(next, Timer::Time);
    }

    fn note_time(&mut self) {
        let (time, date) = (self.now, self.date());
        self.write(Record::TimePassed { time, date });
    }
}
