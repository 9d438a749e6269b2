//! The scheduler's value: inputs in, outputs out.

use alloc::{collections::VecDeque, vec::Vec};

use wasmgrid_proto::{Epoch, JobId, JobStatus, Micros, Record, WorkerStatus};

use crate::{GridConfig, Input, Output};

/// The scheduler.
pub struct Grid {
    config: GridConfig,
    outputs: VecDeque<Output>,
    epoch: Epoch,
}

impl Grid {
    /// A grid with nothing in it.
    #[must_use]
    pub fn new(config: GridConfig) -> Self {
        Self { config, outputs: VecDeque::new(), epoch: Epoch(0) }
    }

    /// Replays one record of the journal; before [`Input::Start`] only.
    pub fn apply(&mut self, record: &Record) {
        if let Record::EpochStarted { epoch, .. } = record {
            self.epoch = *epoch;
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, _now: Micros, _input: Input) {
        let _ = &self.config;
    }

    /// The next thing to do; drained after each [`handle`](Self::handle).
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`], unless something comes first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Micros> {
        None
    }

    /// How a job stands.
    #[must_use]
    pub fn job(&self, _job: JobId) -> Option<JobStatus> {
        None
    }

    /// How jobs stand, the newest first, at most `limit`.
    #[must_use]
    pub fn jobs(&self, _limit: usize) -> Vec<JobStatus> {
        Vec::new()
    }

    /// How the workers stand that joined in this epoch.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        Vec::new()
    }

    /// The scheduler's term; 0 before the first start.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
}
