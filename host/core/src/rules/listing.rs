//! What lists show: which jobs are wanted, and which workers. No rule rests on any of this.

use alloc::{string::String, vec::Vec};

use wasmgrid_proto::{
    JobFilter, JobId, JobStatus, Micros, Millis, WorkerCapacity, WorkerId, WorkerState,
    WorkerStatus,
};

use super::grid::Grid;
use crate::{ledger::Wanted, placement::Worker};

/// A worker that is gone for longer leaves the list, unless all are asked for.
const GONE_AFTER: Millis = Millis(3_600_000);

/// Stands for any text in the name of a job that is looked for.
const ANY: char = '*';

/// Jobs whose names one page of a list is compared with, as soon as one of them is wanted: where
/// few of many are, a page has fewer jobs than were asked for, and the next one goes on from there.
const LOOKED_AT_MAX: usize = 1_000;

impl Grid {
    /// How jobs stand, the newest first, at most `limit`.
    #[must_use]
    pub fn jobs(&self, limit: usize) -> Vec<JobStatus> {
        self.jobs_before(None, &JobFilter::default()).take(limit).collect()
    }

    /// How those jobs stand that were submitted before this one and are wanted, the newest first;
    /// from the newest on without one. With a name, not all of them: it ends after
    /// `LOOKED_AT_MAX` jobs if one of those is wanted, and [`Self::count_before`] says whether
    /// there are more.
    pub fn jobs_before(
        &self,
        before: Option<JobId>,
        filter: &JobFilter,
    ) -> impl Iterator<Item = JobStatus> {
        let (mut looked_at, mut found) = (0, false);
        let seen = self.seen_before(before, filter).take_while(move |(_, is_named)| {
            looked_at += 1;
            let goes_on = looked_at <= LOOKED_AT_MAX || !found;
            found |= is_named;
            goes_on
        });
        let wanted = seen.filter(|(_, is_named)| *is_named);
        wanted.filter_map(|(job, _)| self.job(job))
    }

    /// How many jobs are wanted of those before this one. With a name, of more than
    /// `LOOKED_AT_MAX` jobs it is how many there are at most; 0 only if there is none.
    #[must_use]
    pub fn count_before(&self, before: Option<JobId>, filter: &JobFilter) -> u64 {
        let catalog = self.ledger.catalog();
        if filter.name.is_none() {
            return catalog.count_before(wanted(filter), end(before));
        }
        let mut found = 0;
        for (looked_at, (job, is_named)) in self.seen_before(before, filter).enumerate() {
            found += u64::from(is_named);
            if looked_at + 1 >= LOOKED_AT_MAX && found > 0 {
                return found + catalog.count_before(wanted(filter), job);
            }
        }
        found
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
