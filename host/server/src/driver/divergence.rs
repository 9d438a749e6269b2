//! Late results: a copy of what a pure task did is compared with the one that counts, which must
//! not differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use wasmgrid_core::{Input, SegmentToken};
use wasmgrid_proto::{JobId, JobState, Outcome, Reason, Witness, wire::Reply};

use super::{
    Driver, Effect, LinkId, Observer,
    cache::Results,
    comparison::{Compared, Late, Pairs, is_comparable},
    log_scan::{Walking, Want},
};

/// Late results that wait to be compared. Beyond it they are discarded unseen: to compare them is
/// a help, and no promise of one.
const LATE_MAX: usize = 4_096;

/// Their bytes.
const LATE_BYTES: usize = 64 << 20;

/// What waits to be compared.
#[derive(Default)]
pub(super) struct LateResults {
    /// By job and task.
    late: BTreeMap<JobId, BTreeMap<u64, Arc<Late>>>,
    count: usize,
    bytes: usize,
}

impl<O: Observer> Driver<O> {
    /// Results came late: those that can be are compared, logs of stopped tasks are kept.
    pub(super) fn late(&mut self, token: SegmentToken, block: usize, positions: &[u32]) {
        let Some((block, payload)) =
            self.state.held.get(&token).and_then(|blocks| blocks.get(block)).cloned()
        else {
            return;
        };
        let job = block.job;
        let Some(status) = self.grid.job(job) else { return };
        let (worker, attempt) = (block.worker, block.attempt);
        let Ok(entries) = block.entries(&payload) else { return };
        let wanted: BTreeSet<usize> = positions.iter().map(|at| *at as usize).collect();
        let mut added = Vec::new();
        for (_, (meta, payload)) in entries.enumerate().filter(|(at, _)| wanted.contains(at)) {
            let late = Late { worker, attempt, meta: meta.clone(), payload };
            if matches!(meta.outcome, Outcome::Cancelled(_)) && status.state == JobState::Cancelled
            {
                self.keep_log(job, &late);
            }
            if status.spec.task.grants.is_empty() && is_comparable(&meta.outcome) {
                added.extend(self.state.late.add(job, late));
            }
        }
        if !added.is_empty() {
            self.scan(Walking { job, end: status.results, want: Want::Compare(added) });
        }
    }

    /// Compares results that are about to be stored with late ones of the same tasks.
    pub(super) fn compare_committed(&mut self, job: JobId, results: &Results) {
        if !self.state.late.late.contains_key(&job) {
            return;
        }
        let Ok(entries) = results.block.entries(&results.payload) else { return };
        let mut pairs = Vec::new();
        for (meta, payload) in entries {
            let Some(late) = self.state.late.take(job, meta.index) else { continue };
            let (worker, attempt) = (results.block.worker, results.block.attempt);
            let meta = meta.clone();
            pairs.push((late, Late { worker, attempt, meta, payload }));
        }
        if !pairs.is_empty() {
            self.effects.push(Effect::Compare(Pairs::new(job, pairs)));
        }
    }

    /// Comparisons are done.
    pub(super) fn compared(&mut self, job: JobId, compared: Vec<Compared>) {
        for Compared { index, found, differs } in compared {
            // One of a task that goes on waits for the result that will count.
            if found || !self.grid.is_open(job, index) {
                self.state.late.drop_late(job, index);
            }
            if let Some((committed, late)) = differs {
                self.diverged(job, index, committed, late);
            }
        }
    }

    /// A job changed: where it has ended, no other result of it will come.
    pub(super) fn forget_late(&mut self, job: JobId) {
        if self.state.late.late.contains_key(&job)
            && self.grid.job(job).is_none_or(|status| status.state.is_terminal())
        {
            self.state.late.forget(job);
        }
    }

    fn diverged(&mut self, job: JobId, index: u64, committed: Witness, late: Witness) {
        let count = |driver: &Self| driver.grid.divergences(job).map_or(0, |found| found.count);
        let before = count(self);
        self.grid.handle(self.state.now, Input::Diverged { job, index, committed, late });
        if count(self) == before {
            return;
        }
        let name = |witness: &Witness| self.grid.worker_name(witness.worker).unwrap_or("unknown");
        tracing::warn!(
            %job,
            task = index,
            committed_by = name(&committed),
            committed_attempt = committed.attempt,
            committed_digest = %committed.digest,
            late_by = name(&late),
            late_attempt = late.attempt,
            late_digest = %late.digest,
            "divergence: two results of a task without grants differ; one of the workers is not \
             to be trusted"
        );
    }

    /// Answers which results of a job differ.
    pub(super) fn divergences_request(&mut self, link: LinkId, id: u64, job: JobId) {
        let found = self.grid.divergences(job).ok_or_else(|| Reason::NoJob { job }.into());
        self.answer(link, id, found.map(Reply::Divergences));
    }
}

impl LateResults {
    /// Remembers a late result until it is compared; nothing where one of the task waits already
    /// or there is no room.
    fn add(&mut self, job: JobId, late: Late) -> Option<Arc<Late>> {
        let (bytes, index) = (late.bytes(), late.meta.index);
        if self.count >= LATE_MAX || self.bytes + bytes > LATE_BYTES {
            return None;
        }
        let of_job = self.late.entry(job).or_default();
        if of_job.contains_key(&index) {
            return None;
        }
        let late = Arc::new(late);
        of_job.insert(index, late.clone());
        self.count += 1;
        self.bytes += bytes;
        Some(late)
    }

    fn take(&mut self, job: JobId, index: u64) -> Option<Arc<Late>> {
        let of_job = self.late.get_mut(&job)?;
        let late = of_job.remove(&index);
        if of_job.is_empty() {
            self.late.remove(&job);
        }
        let late = late?;
        self.count -= 1;
        self.bytes -= late.bytes();
        Some(late)
    }

    /// Forgets one, which needs no comparison any more.
    pub(super) fn drop_late(&mut self, job: JobId, index: u64) {
        self.take(job, index);
    }

    /// Nothing of this job waits any more for a result that will count.
    fn forget(&mut self, job: JobId) {
        for late in self.late.remove(&job).into_iter().flat_map(BTreeMap::into_values) {
            self.count -= 1;
            self.bytes -= late.bytes();
        }
    }
}
