//! The driver's time: the system's when the server started, and from then on what has really
//! passed.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use wasmgrid_proto::Micros;

/// Gives the time since 1970. Where the system's clock is set back or forward while the server
/// runs, this one goes on as before: else deadlines would pass at once or hours late.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// The system's time then.
    origin: Micros,
}

impl Clock {
    /// Starts at the system's time.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), origin: system() }
    }

    /// Now, not before any time given earlier.
    pub(crate) fn now(&mut self) -> Micros {
        let passed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Micros(self.origin.0.saturating_add(passed))
    }
}

fn system() -> Micros {
    let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(u64::try_from(system.as_micros()).unwrap_or(u64::MAX))
}
