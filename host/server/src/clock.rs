//! The driver's time: the system's, made to never go back.

use std::time::{SystemTime, UNIX_EPOCH};

use wasmgrid_proto::Micros;

/// Gives the time since 1970; a step back of the system's clock holds it until real time catches
/// up, since the core's deadlines may not be undone.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: Micros,
}

impl Clock {
    /// Now, not before any time given earlier.
    pub(crate) fn now(&mut self) -> Micros {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Micros(u64::try_from(system.as_micros()).unwrap_or(u64::MAX));
        let step = wasmgrid_failpoints::clock_step_seconds().saturating_mul(1_000_000);
        let now = Micros(now.0.saturating_add_signed(step));
        self.last = self.last.max(now);
        self.last
    }
}
