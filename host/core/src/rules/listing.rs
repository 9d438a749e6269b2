//! What lists show: which jobs are wanted, and which workers. No rule rests on any of this.

use alloc::{string::String, vec::Vec};

use wasmgrid_proto::{
    JobFilter, JobId, JobStatus, Micros, Millis, WorkerCapacity, WorkerId, WorkerState,
    WorkerStatus,
};

use super::grid::Grid;
use crate::{ledger::Job, placement::Worker};

/// A worker that is gone for longer leaves the list, unless all are asked for.
const GONE_AFTER: Millis = Millis(3_600_000);

/// Stands for any text in the name of a job that is looked for.
const ANY: char = '*';

impl Grid {
    /// How jobs stand, the newest first, at most `limit`.
    #[must_use]
    pub fn jobs(&self, limit: usize) -> Vec<JobStatus> {
        self.jobs_before(None, &JobFilter::default()).take(limit).collect()
    }

    /// How those jobs stand that were submitted before this one and are wanted, the newest first;
    /// from the newest on without one.
    pub fn jobs_before(
        &self,
        before: Option<JobId>,
        filter: &JobFilter,
    ) -> impl Iterator<Item = JobStatus> {
        self.numbers_before(before, filter).filter_map(|job| self.job(job))
    }

    /// How many jobs [`Self::jobs_before`] has.
    #[must_use]
    pub fn count_before(&self, before: Option<JobId>, filter: &JobFilter) -> u64 {
        self.numbers_before(before, filter).count() as u64
    }

    fn numbers_before(
        &self,
        before: Option<JobId>,
        filter: &JobFilter,
    ) -> impl Iterator<Item = JobId> {
        let jobs = self.ledger.jobs_before(before.unwrap_or(JobId(u64::MAX))).rev();
        jobs.filter(move |(_, entry)| is_wanted(entry, filter)).map(|(job, _)| job)
    }

    /// How the workers stand that joined in this epoch, by number.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.placement.fleet().iter().map(|(id, worker)| self.worker_status(id, worker)).collect()
    }

    /// How the workers stand that a list shows, by number, and how many it does not show: those that
    /// are gone for long, or did not come back in this epoch. With `all` it shows them too.
    #[must_use]
    pub fn listed_workers(&self, all: bool) -> (Vec<WorkerStatus>, u64) {
        let now = self.now;
        let is_shown =
            |worker: &Worker| all || worker.is_linked() || now < worker.lost_at().after(GONE_AFTER);
        let shown = self.placement.fleet().iter().filter(|(_, worker)| is_shown(worker));
        let mut shown: Vec<_> = shown.map(|(id, worker)| self.worker_status(id, worker)).collect();
        if all {
            let known = self.ledger.workers().map(|(name, id)| (id, name));
            let away = known.filter(|(id, _)| self.placement.worker(*id).is_none());
            shown.extend(away.map(|(id, name)| gone(id, name.clone())));
            shown.sort_unstable_by_key(|worker| worker.worker);
        }
        let hidden = (self.ledger.workers().len() as u64).saturating_sub(shown.len() as u64);
        (shown, hidden)
    }

    /// How a worker stands that is known.
    #[must_use]
    pub fn worker(&self, name: &str) -> Option<WorkerStatus> {
        let id = self.ledger.worker(name)?;
        let joined = self.placement.worker(id).map(|worker| self.worker_status(id, worker));
        Some(joined.unwrap_or_else(|| gone(id, name.into())))
    }

    fn worker_status(&self, id: WorkerId, worker: &Worker) -> WorkerStatus {
        worker.status(id, self.distrust.of_worker(id, self.now), self.ledger.clock())
    }
}

/// A worker that did not come back in this epoch; it was never heard.
fn gone(worker: WorkerId, name: String) -> WorkerStatus {
    WorkerStatus {
        worker,
        name,
        address: String::new(),
        state: WorkerState::Gone,
        capacity: WorkerCapacity::default(),
        assigned: 0,
        committed: 0,
        heard_at: Micros(0),
        running: Vec::new(),
    }
}

fn is_wanted(entry: &Job, filter: &JobFilter) -> bool {
    let JobFilter { states, name, tenant } = filter;
    let spec = entry.spec();
    (states.is_empty() || states.contains(&entry.state()))
        && tenant.as_ref().is_none_or(|tenant| *tenant == spec.task.tenant)
        && name.as_ref().is_none_or(|pattern| matches(pattern, &spec.name))
}

/// Whether a text is of this form. Each part between two [`ANY`] is looked for where it comes first,
/// so that this costs no more than the two are long together, for each part.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once(ANY) else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once(ANY).unwrap_or(("", rest));
    for part in middle.split(ANY) {
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("train", "train", true),
            ("train", "training", false),
            ("train*", "training", true),
            ("*ing", "training", true),
            ("t*n*g", "training", true),
            ("*ain*", "training", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*b", "ab", false),
            ("**a**", "bab", true),
            ("ü*ß", "über Spaß", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
        }
    }
}
