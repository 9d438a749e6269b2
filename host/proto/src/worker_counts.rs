//! What a worker counts of its own work, as plain numbers for the process that runs it. It crosses no
//! link: a scheduler counts for itself.

use alloc::{string::String, vec::Vec};

use crate::{EndedTasks, Histogram};

/// All that a worker counts. Counters begin at 0 with its process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Slots; a gauge.
    pub slots: u64,
    /// Slots in which a task runs; a gauge.
    pub busy_slots: u64,
    /// Memory for all tasks together, in bytes; a gauge.
    pub memory_bytes: u64,
    /// The worker is in its grid now; a gauge.
    pub is_linked: bool,
    /// The layers of the jail that were found missing.
    pub jail_lacks: Vec<String>,
    /// Attempts that ended here, by how they did; counters.
    pub ended: EndedTasks,
    /// Wall times of the attempts that ended here.
    pub task_us: Histogram,
    /// Fuel that attempts used which ended here; a counter.
    pub fuel: u64,
    /// Times that modules took to compile; those that were compiled already are not counted.
    pub compile_us: Histogram,
    /// Runners after which another one is started.
    pub runner_ends: RunnerEnds,
}

/// Runners that ended while their slots went on, by why; counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunnerEnds {
    /// It ended by itself.
    pub died: u64,
    /// It was killed, as its task was over its time or was cancelled and did not stop.
    pub overdue: u64,
    /// It was killed, as it did not respond.
    pub stuck: u64,
    /// It could not begin.
    pub unready: u64,
    /// It had run for its time, or as many tasks as a runner may.
    pub served: u64,
}
