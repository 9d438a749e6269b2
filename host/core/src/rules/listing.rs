//! What lists show: which jobs are wanted, and which workers. No rule rests on any of this.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use wasmgrid_proto::{
    JobFilter, JobId, JobStatus, Micros, Millis, WorkerCapacity, WorkerFilter, WorkerId,
    WorkerState, WorkerStatus, wire::More,
};

use super::grid::Grid;
use crate::{ledger::Wanted, placement::Worker};

/// A worker that is gone for longer leaves the list, unless all are asked for.
const GONE_AFTER: Millis = Millis(3_600_000);

/// Stands for any text in the name of a job that is looked for.
const ANY: char = '*';

/// Jobs that one request for a page of a list looks at: where few of many are wanted, a page has
/// fewer jobs than were asked for, or none, and the next one goes on from there.
const LOOKED_AT_MAX: usize = 1_000;

/// Jobs after a page that one request counts.
const COUNTED_MAX: u64 = 4_096;

impl Grid {
    /// How jobs stand, the newest first, at most `limit`.
    #[must_use]
    pub fn jobs(&self, limit: usize) -> Vec<JobStatus> {
        let all = JobFilter::default();
        let seen = self.seen_before(None, &all);
        seen.filter_map(|(job, _)| self.job(job)).take(limit).collect()
    }

    /// Offers how those jobs stand that were submitted before this one and are wanted, the newest
    /// first, until one is not taken; from the newest on without one. It looks at a bounded number of
    /// jobs, and says where to go on and how many may be left; `None` if it came to the end.
    pub fn list_jobs(
        &self,
        before: Option<JobId>,
        filter: &JobFilter,
        mut takes: impl FnMut(JobStatus) -> bool,
    ) -> (Option<JobId>, More) {
        let (mut seen, mut next) = (self.seen_before(before, filter), end(before));
        for _ in 0..LOOKED_AT_MAX {
            let Some((job, is_named)) = seen.next() else { return (None, More::Exactly(0)) };
            let is_left = is_named && self.job(job).is_some_and(|status| !takes(status));
            if is_left {
                break;
            }
            next = job;
        }
        (Some(next), self.more_before(next, filter))
    }

    /// How many jobs before this one are wanted, as far as one request counts.
    fn more_before(&self, next: JobId, filter: &JobFilter) -> More {
        match self.ledger.catalog().count_before(wanted(filter), next, COUNTED_MAX) {
            Some(count) if filter.name.is_none() => More::Exactly(count),
            Some(count) => More::AtMost(count),
            None => More::Many,
        }
    }

    /// The jobs before this one that are wanted but for their name, the newest first, and whether
    /// they are of the wanted name. None if the filter is one that is refused.
    fn seen_before(
        &self,
        before: Option<JobId>,
        filter: &JobFilter,
    ) -> impl Iterator<Item = (JobId, bool)> {
        let jobs = filter
            .check()
            .is_ok()
            .then(|| self.ledger.catalog().before(wanted(filter), end(before)));
        jobs.into_iter().flatten().map(|job| {
            let is_named = filter.name.as_ref().is_none_or(|pattern| {
                self.ledger.job(job).is_some_and(|entry| matches(pattern, &entry.spec().name))
            });
            (job, is_named)
        })
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

    /// Offers how those workers stand that have higher numbers than this one and are wanted, by number,
    /// until one is not taken; also those that did not come back in this epoch. Says where to go on;
    /// `None` if it came to the end.
    pub fn list_workers(
        &self,
        after: Option<WorkerId>,
        filter: &WorkerFilter,
        mut takes: impl FnMut(WorkerStatus) -> bool,
    ) -> Option<WorkerId> {
        let is_named = |name: &str| filter.name.as_ref().is_none_or(|one| matches(one, name));
        let known = self.ledger.workers().map(|(name, id)| (id, name));
        let behind = known.filter(|(id, name)| after < Some(*id) && is_named(name));
        let by_number: BTreeMap<WorkerId, &String> = behind.collect();
        let mut last = after;
        for (id, name) in by_number {
            let joined = self.placement.worker(id);
            let status = match joined {
                Some(worker) => self.worker_status(id, worker),
                None => gone(id, name.clone()),
            };
            if is_wanted(&status, filter) && !takes(status) {
                return Some(last.unwrap_or(WorkerId(0)));
            }
            last = Some(id);
        }
        None
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

fn is_wanted(status: &WorkerStatus, filter: &WorkerFilter) -> bool {
    let name = status.state.name();
    let in_state = filter.states.is_empty() || filter.states.iter().any(|state| state == name);
    in_state && filter.label.as_ref().is_none_or(|label| status.capacity.labels.contains(label))
}

fn wanted(filter: &JobFilter) -> Wanted<'_> {
    Wanted { tenant: filter.tenant.as_deref(), states: &filter.states }
}

fn end(before: Option<JobId>) -> JobId {
    before.unwrap_or(JobId(u64::MAX))
}

/// Whether a text is of this form. Each part between two [`ANY`] is looked for where it comes first
/// after the one before it, so that this takes time in proportion to how long the two texts are
/// together.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once(ANY) else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once(ANY).unwrap_or(("", rest));
    for part in middle.split(ANY).filter(|part| !part.is_empty()) {
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
