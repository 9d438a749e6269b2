//! A task's clocks, which are virtual unless real ones were granted.
//!
//! **Virtual time** begins at 2000-01-01T00:00:00Z, and the monotonic clock at 0. Each reading
//! moves both on by 1 µs, so that programs that wait for a clock to move do end. A sleep takes no
//! real time: the clock is moved to the earliest timer that is waited for, and to no later one;
//! where something else is ready the clock stays. When virtual time passes the task's deadline
//! the task ends with `limit(deadline)`, as it would have by a real clock; that it took none of
//! that time is told ([`Limit::VirtualDeadline`]).
//!
//! **Real time** really sleeps, and wakes at the task's deadline and after a cancellation.

use std::time::{SystemTime, UNIX_EPOCH};

use wasmgrid_proto::{Limit, Millis};
use wasmtime::component::{ComponentType, Lower};

use crate::{stop::Stop, time::now_us};

/// 2000-01-01T00:00:00Z in seconds since the Unix epoch.
const VIRTUAL_EPOCH_SECONDS: u64 = 946_684_800;

/// What each reading moves a virtual clock by.
const TICK_NS: u64 = 1_000;

const NS_PER_SECOND: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// See the module.
#[derive(Debug)]
pub(super) enum Clock {
    Virtual { now_ns: u64, deadline: Millis },
    Real,
}

impl Clock {
    pub(super) fn new(real: bool, deadline: Millis) -> Self {
        if real { Self::Real } else { Self::Virtual { now_ns: 0, deadline } }
    }

    /// The monotonic clock in nanoseconds, without moving it.
    pub(super) fn peek_ns(&self) -> u64 {
        match self {
            Self::Virtual { now_ns, .. } => *now_ns,
            Self::Real => now_us().saturating_mul(1_000),
        }
    }

    /// Moves a virtual clock to `to_ns`; it never goes back.
    pub(super) fn advance(&mut self, to_ns: u64) -> Result<(), Stop> {
        let Self::Virtual { now_ns, deadline } = self else { return Ok(()) };
        *now_ns = to_ns.max(*now_ns);
        let (used, allowed) = (*now_ns / NS_PER_MS, deadline.0);
        if used > allowed {
            return Err(Stop::Limit { limit: Limit::VirtualDeadline, used, allowed });
        }
        Ok(())
    }

    /// A reading of the monotonic clock.
    pub(super) fn read_ns(&mut self) -> Result<u64, Stop> {
        let now_ns = self.peek_ns();
        self.advance(now_ns.saturating_add(TICK_NS))?;
        Ok(now_ns)
    }

    /// A reading of the wall clock.
    pub(super) fn read_wall(&mut self) -> Result<Datetime, Stop> {
        if matches!(self, Self::Real) {
            return Ok(Datetime::now());
        }
        Ok(Datetime::of_virtual(self.read_ns()?))
    }

    /// What the monotonic clock shows once the wall clock shows `wall_ns`, in nanoseconds since the
    /// Unix epoch.
    pub(super) fn when_wall_shows(&self, wall_ns: u64) -> u64 {
        match self {
            Self::Virtual { .. } => wall_ns.saturating_sub(VIRTUAL_EPOCH_SECONDS * NS_PER_SECOND),
            Self::Real => {
                let left_ns = wall_ns.saturating_sub(Datetime::now().ns());
                self.peek_ns().saturating_add(left_ns)
            }
        }
    }

    pub(super) fn resolution_ns(&self) -> u64 {
        match self {
            Self::Virtual { .. } => TICK_NS,
            Self::Real => 1_000,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub(super) struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Datetime {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() }
    }

    /// Nanoseconds since the Unix epoch.
    pub(super) fn ns(self) -> u64 {
        self.seconds.saturating_mul(NS_PER_SECOND).saturating_add(self.nanoseconds.into())
    }

    fn of_virtual(monotonic_ns: u64) -> Self {
        Self {
            seconds: VIRTUAL_EPOCH_SECONDS.saturating_add(monotonic_ns / NS_PER_SECOND),
            nanoseconds: u32::try_from(monotonic_ns % NS_PER_SECOND).unwrap_or_default(),
        }
    }

    pub(super) fn of_span(ns: u64) -> Self {
        Self { seconds: 0, nanoseconds: u32::try_from(ns).unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_moves_by_each_reading_and_never_back() {
        let mut clock = Clock::new(false, Millis(10));
        assert_eq!(clock.read_ns(), Ok(0));
        assert_eq!(clock.read_ns(), Ok(1_000));
        clock.advance(5_000_000).expect("before the deadline");
        clock.advance(1).expect("no way back");
        assert_eq!(clock.read_ns(), Ok(5_000_000));
        let wall = clock.read_wall().expect("before the deadline");
        assert_eq!(wall, Datetime { seconds: 946_684_800, nanoseconds: 5_001_000 });
    }

    #[test]
    fn virtual_time_ends_at_the_deadline() {
        let mut clock = Clock::new(false, Millis(10));
        assert_eq!(clock.advance(10_999_999), Ok(()));
        let end = Stop::Limit { limit: Limit::VirtualDeadline, used: 11, allowed: 10 };
        assert_eq!(clock.advance(11_000_000), Err(end));
    }

    #[test]
    fn the_monotonic_clock_knows_when_the_wall_clock_shows_a_time() {
        let clock = Clock::new(false, Millis(10));
        assert_eq!(clock.when_wall_shows(VIRTUAL_EPOCH_SECONDS * NS_PER_SECOND + 7), 7);
        assert_eq!(clock.when_wall_shows(0), 0, "long ago");
        let real = Clock::new(true, Millis(10));
        let in_a_day = Datetime::now().ns() + 24 * 60 * 60 * NS_PER_SECOND;
        let apart_ns = real.when_wall_shows(in_a_day) - real.peek_ns();
        assert!(apart_ns.div_ceil(NS_PER_SECOND).abs_diff(24 * 60 * 60) < 60 * 60, "{apart_ns}");
    }
}
