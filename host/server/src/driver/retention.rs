//! How many bytes of results stay: measured in the store now and then, off the driver. What goes
//! by age the core sees to; it decides here too what of a job goes, and writes it down.

use std::collections::BTreeSet;

use wasmgrid_core::{Input, JobLogs};
use wasmgrid_proto::{DropReason, JobId, Micros, Millis};
use wasmgrid_store::{LogKind, LogSize};

use super::{Driver, Effect, Observer, gate::Gated, modules::Named};
use crate::error::ServerError;

/// How often at most the store is measured: by so much time's results the bounds are passed.
const MEASURE_EVERY: Millis = Millis(1_000);

/// How long it is not measured after it could not be.
const MEASURE_RETRY: Millis = Millis(30_000);

/// How often modules and blobs are looked through for those that no job names.
const SWEEP_EVERY: Millis = Millis(60_000);

/// What may stay, and what is under way.
#[derive(Debug)]
pub(super) struct Retention {
    /// Something was committed since the last measure.
    dirty: bool,
    measuring: bool,
    next: Micros,
    next_sweep: Micros,
}

/// What is in the store.
#[derive(Debug)]
pub struct Measured {
    /// How much each log takes.
    pub sizes: Vec<LogSize>,
    /// Of each result log over the bound of one: where to cut it.
    pub cuts: Vec<(JobId, u64)>,
}

impl Retention {
    pub(super) const fn new() -> Self {
        let (next, next_sweep) = (Micros(0), Micros(0));
        Self { dirty: true, measuring: false, next, next_sweep }
    }

    /// Something is given to be committed.
    pub(super) const fn touch(&mut self) {
        self.dirty = true;
    }
}

impl<O: Observer> Driver<O> {
    /// Begins what is due.
    pub(super) fn retain(&mut self) {
        let now = self.state.now;
        let bounded = self.settings.keep_bytes.is_some() || self.settings.keep_open_bytes.is_some();
        let due = self.retention.dirty && !self.retention.measuring && self.retention.next <= now;
        if bounded && due {
            self.retention.measuring = true;
            self.retention.dirty = false;
            self.retention.next = now.after(MEASURE_EVERY);
            // What was dropped before must be gone when it is measured.
            self.hold(Gated::Measure);
            self.release();
        }
        if self.retention.next_sweep <= now {
            self.retention.next_sweep = now.after(SWEEP_EVERY);
            let (modules, blobs) = (self.grid.modules().collect(), self.grid.blobs().collect());
            let swept = self.modules.sweep(&Named { modules, blobs }, now);
            if !swept.entries.is_empty() {
                self.effects.push(Effect::Keep(swept.entries));
            }
            for owner in swept.owners {
                self.count_modules(owner);
            }
        }
    }

    /// Has the store measured, now that all that was decided before is committed.
    pub(super) fn begin_measure(&mut self) {
        self.effects.push(Effect::Measure { keep_open: self.settings.keep_open_bytes });
    }

    /// Drops what is over the bounds: of jobs that have ended the one that ended first goes first.
    pub(super) fn measured(&mut self, measured: Measured) {
        self.retention.measuring = false;
        self.recount(&measured.sizes);
        let (mut ended, mut total) = (BTreeSet::new(), 0);
        for size in &measured.sizes {
            if let Some(JobLogs { ended: Some(at), .. }) = self.grid.logs(size.job) {
                total += size.bytes;
                ended.insert((at, size.job));
            }
        }
        let keep = self.settings.keep_bytes.unwrap_or(u64::MAX);
        let bytes_of = |job| -> u64 {
            let of_job = measured.sizes.iter().filter(|size| size.job == job);
            of_job.map(|size| size.bytes).sum()
        };
        for (_, job) in ended {
            if total <= keep {
                break;
            }
            total -= bytes_of(job);
            self.drop_results(job, u64::MAX, DropReason::Bytes);
        }
        for (job, before) in measured.cuts {
            let logs = self.grid.logs(job);
            if logs.is_some_and(|logs| !logs.closed && !logs.state.is_terminal()) {
                self.drop_results(job, before, DropReason::JobBytes);
            }
        }
    }

    /// Where some results of a job were dropped, how many bytes are left the store alone knows.
    fn recount(&mut self, sizes: &[LogSize]) {
        for LogSize { job, bytes, .. } in sizes.iter().filter(|size| size.log == LogKind::Result) {
            let logs = self.grid.logs(*job);
            if logs.is_some_and(|logs| logs.dropped.is_some()) {
                let (inputs, results) = (None, Some(*bytes));
                self.grid.handle(self.state.now, Input::Stored { job: *job, inputs, results });
            }
        }
    }

    /// The store could not be measured: what may pass delays what is to be dropped.
    pub(super) fn not_measured(&mut self, error: ServerError) {
        match error {
            ServerError::Load(error) if error.may_pass() => {
                tracing::warn!(%error, "failed to measure the store; nothing is deleted for its \
                     size");
                self.retention.measuring = false;
                self.retention.dirty = true;
                self.retention.next = self.state.now.after(MEASURE_RETRY);
            }
            error => self.fail(error),
        }
    }

    fn drop_results(&mut self, job: JobId, before: u64, why: DropReason) {
        tracing::info!(%job, ?why, "dropping results");
        self.grid.handle(self.state.now, Input::DropResults { job, before, why });
    }
}
