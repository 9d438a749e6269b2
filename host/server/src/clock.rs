//! The driver's time: it goes on where the store's ends, and from then on is what has really
//! passed. And which date it is, by the machine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use wasmgrid_core::Ledger;
use wasmgrid_proto::Micros;

/// Gives the grid's own time. However the machine's clock is set, while the server runs or before
/// it starts, this one goes on as before: else deadlines would pass at once or hours late, and
/// jobs be forgotten before their time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// The grid's time then.
    origin: Micros,
}

impl Clock {
    /// Goes on where the ledger ends; begins with the date in a grid that is new.
    pub(crate) fn start(ledger: &Ledger) -> Self {
        let ran_until = Some(ledger.time()).filter(|time| *time > Micros(0));
        Self { started: Instant::now(), origin: ran_until.unwrap_or_else(date) }
    }

    /// Now, not before any time given earlier.
    pub(crate) fn now(&self) -> Micros {
        let passed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Micros(self.origin.0.saturating_add(passed))
    }
}

/// Microseconds since 1970 by the machine's clock.
pub(crate) fn date() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{Millis, Record};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_goes_on_where_the_ledger_ends_and_a_new_grid_begins_with_the_date() {
        let mut ledger = Ledger::default();
        assert!(date().since(Clock::start(&ledger).now()) < Millis(60_000));
        let far = Micros(1 << 60);
        for time in [Micros(5_000_000), far] {
            ledger.apply(&Record::TimePassed { time, date: Micros(7) });
            let clock = Clock::start(&ledger);
            assert_eq!(clock.now(), time);
            tokio::time::advance(std::time::Duration::from_millis(1_500)).await;
            assert_eq!(clock.now(), time.after(Millis(1_500)));
        }
    }
}
