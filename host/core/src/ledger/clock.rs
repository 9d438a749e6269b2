//! The grid's own time, and the dates that belong to it.
//!
//! The scheduler goes by a time that passes only while a scheduler runs. A machine's clock that
//! is wrong, or is set while no scheduler runs, so ends no job and makes none forgotten before its
//! time. People are shown dates: each term notes which date its beginning was, by the machine's
//! clock.

use wasmgrid_proto::{Failing, Micros};

/// A time, and which date that was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) time: Micros,
    pub(crate) date: Micros,
}

impl Clock {
    /// The date of a time of the same term.
    pub(crate) const fn date_of(self, time: Micros) -> Micros {
        shift(time, self.time, self.date)
    }

    /// With the date until which a worker rests.
    pub(crate) fn dated(self, failing: Failing) -> Failing {
        let until = failing.until.map(|until| self.date_of(until));
        Failing { until, ..failing }
    }

    /// The time of a date of the same term.
    pub(crate) const fn time_of(self, date: Micros) -> Micros {
        shift(date, self.date, self.time)
    }
}

/// What is as far from `to` as `value` is from `from`.
const fn shift(value: Micros, from: Micros, to: Micros) -> Micros {
    if value.0 >= from.0 {
        Micros(to.0.saturating_add(value.0 - from.0))
    } else {
        Micros(to.0.saturating_sub(from.0 - value.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_and_its_date_are_told_from_each_other() {
        for (time, date) in [(5, 1_000), (1_000, 5), (7, 7)] {
            let clock = Clock { time: Micros(time), date: Micros(date) };
            for passed in [0, 1, 1 << 40] {
                let now = Micros(time + passed);
                assert_eq!(clock.date_of(now), Micros(date + passed));
                assert_eq!(clock.time_of(Micros(date + passed)), now);
            }
        }
        let early = Clock { time: Micros(10), date: Micros(3) };
        assert_eq!(early.date_of(Micros(4)), Micros(0), "dates before 1970 are 1970");
    }
}
