//! What the end-to-end tests and the benchmarks share: the real binary, real guests, real
//! daemons, and waiting for a condition instead of a time. Everything here panics with what went
//! wrong, as a test does.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod browser;
mod clock;
mod daemon;
mod grid;
mod guests;
mod hostile_client;
pub mod known;
pub mod liar;
pub mod network;
mod process;
mod relay;
mod run;
pub mod wasi_suite;
pub mod zoo;

pub use browser::{Browser, ENTER, Scheme, Site, TAB};
pub use clock::Clock;
pub use daemon::Daemon;
pub use grid::{Grid, Worker, free_address};
pub use guests::{example, guest, repository};
pub use hostile_client::{HostileClient, grown_mib};
pub use process::{children_as, is_alive, kill, memory_bytes, signal, ticks_of_ended_children};
pub use relay::Relay;
pub use run::{Finished, Home, binary, let_others_read};

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up on it; far above what it takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `condition` gives something.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was waited for.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "gave up waiting for {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// As [`wait_for`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
