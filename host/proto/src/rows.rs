//! Lists of jobs and workers with what a scheduler counts of each. The scheduler filters them, and a
//! page costs about what it shows.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    ByteCount, Extensions, FILTER_BYTES, JobStatus, Pace, Reason, WorkerStatus,
    reason::Length,
    wire::{ApiError, bounded},
};

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// How it stands. Its `counts.running` are the tasks that workers have.
    pub status: JobStatus,
    /// Those of them that a slot runs, as workers last told.
    pub running: u64,
    /// How fast its tasks ended of late.
    pub pace: Pace,
    /// What later releases add.
    pub extensions: Extensions,
}

/// A worker in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// How it stands.
    pub status: WorkerStatus,
    /// How fast its results came of late.
    pub pace: Pace,
    /// The memory that its tasks may take together, by their limits.
    pub memory_taken: ByteCount,
    /// What it says of itself; `None` if its release says nothing.
    pub report: Option<WorkerReport>,
    /// What later releases add.
    pub extensions: Extensions,
}

/// What a worker says of itself beside what it offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// The boundary around its tasks: `process`, `task` or `in-process`.
    pub isolation: String,
    /// The layers of the jail that its processes lack; none as long as it has started none.
    #[serde(deserialize_with = "bounded")]
    pub jail_lacks: Vec<String>,
    /// What later releases add.
    pub extensions: Extensions,
}

impl WorkerReport {
    /// Bytes of its texts at most: lists of workers must fit a frame.
    pub const TEXTS_MAX: usize = 1 << 10;

    /// How many bytes its texts take, with what stands around them.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let layers = self.jail_lacks.iter().map(|layer| layer.len() + 4);
        self.isolation.len() + layers.sum::<usize>() + self.extensions.bytes()
    }
}

/// Which workers of a list are wanted: those that meet all of this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerFilter {
    /// In one of these states, by name (`ready`, `gone` and the like); in any where there is none.
    #[serde(deserialize_with = "bounded")]
    pub states: Vec<String>,
    /// Of this name, in which `*` stands for any text.
    pub name: Option<String>,
    /// With this label, key and value.
    pub label: Option<(String, String)>,
}

impl WorkerFilter {
    /// Refuses a filter whose texts are longer than what they are compared with.
    ///
    /// # Errors
    /// [`Reason::TooLong`].
    pub fn check(&self) -> Result<(), ApiError> {
        let found = self.name.as_ref().map_or(0, String::len);
        if found > FILTER_BYTES {
            let (found, allowed) = (found as u64, FILTER_BYTES as u64);
            return Err(Reason::TooLong { what: Length::NameFilter, found, allowed }.into());
        }
        Ok(())
    }
}
