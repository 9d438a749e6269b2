//! How many bytes of results stay: measured in the store now and then, off the driver. What goes
//! by age the core sees to; it decides here too what of a job goes, and writes it down.

use std::collections::VecDeque;

use wasmgrid_core::{Input, RETAINED_AT_ONCE};
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
    /// What is over the bounds: of which job the results before which position are to be deleted,
    /// and why.
    over: VecDeque<(JobId, u64, DropReason)>,
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
        Self { dirty: true, measuring: false, over: VecDeque::new(), next, next_sweep }
    }

    /// True if more is to be deleted than the last turn has deleted.
    pub(super) fn is_over(&self) -> bool {
        !self.over.is_empty()
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
        self.drop_some();
        let bounded = self.settings.keep_bytes.is_some() || self.settings.keep_open_bytes.is_some();
        let measures = self.retention.measuring || self.retention.is_over();
        let due = self.retention.dirty && !measures && self.retention.next <= now;
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

    /// Finds what is over the bounds: of jobs that have ended, the one that ended first is deleted
    /// first.
    pub(super) fn measured(&mut self, measured: Measured) {
        self.retention.measuring = false;
        self.recount(&measured.sizes);
        let keep = self.settings.keep_bytes.unwrap_or(u64::MAX);
        let ended = |job| self.grid.logs(job).and_then(|logs| logs.ended);
        for job in over(&measured.sizes, keep, ended) {
            self.retention.over.push_back((job, u64::MAX, DropReason::Bytes));
        }
        let cuts = measured.cuts.into_iter();
        self.retention.over.extend(cuts.map(|(job, before)| (job, before, DropReason::JobBytes)));
    }

    /// Deletes what was found to be over the bounds, of as many jobs as one turn has time for.
    fn drop_some(&mut self) {
        for _ in 0..RETAINED_AT_ONCE {
            // Records that are not committed take memory.
            if self.gate.is_full() {
                break;
            }
            let Some((job, before, why)) = self.retention.over.pop_front() else { break };
            let logs = self.grid.logs(job);
            let is_open = logs.is_some_and(|logs| !logs.closed && !logs.state.is_terminal());
            // If an open job has ended since the store was measured, its results are bounded
            // together with those of all ended jobs.
            if why == DropReason::Bytes || is_open {
                self.drop_results(job, before, why);
            }
        }
    }

    /// When the next turn is due, if this one has not deleted everything that is over the bounds.
    pub(super) fn next_drop(&self) -> Option<Micros> {
        (self.retention.is_over() && !self.gate.is_full()).then_some(self.state.now)
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
            ServerError::Load(error) if error.is_transient() => {
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

/// The ended jobs whose logs are to be deleted so that no more than `keep` bytes are left of all
/// ended jobs: those that ended first. `sizes` are in the order of jobs; `ended` says when a job
/// ended, if it did.
fn over(
    sizes: &[LogSize],
    keep: u64,
    ended: impl Fn(JobId) -> Option<Micros>,
) -> impl Iterator<Item = JobId> {
    let logs_of_jobs = sizes.chunk_by(|one, next| one.job == next.job);
    let mut jobs: Vec<(Micros, JobId, u64)> = logs_of_jobs
        .filter_map(|logs| {
            let job = logs.first()?.job;
            Some((ended(job)?, job, logs.iter().map(|log| log.bytes).sum()))
        })
        .collect();
    jobs.sort_unstable();
    let mut total: u64 = jobs.iter().map(|(.., bytes)| bytes).sum();
    jobs.into_iter()
        .take_while(move |(.., bytes)| {
            let is_over = total > keep;
            total = total.saturating_sub(*bytes);
            is_over
        })
        .map(|(_, job, _)| job)
}
