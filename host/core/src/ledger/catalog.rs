//! The jobs that are known by tenant and state: a list finds and counts the jobs of one tenant
//! without looking at those of others.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::iter;

use wasmgrid_proto::{JobId, JobState};

/// Jobs by state.
type States = BTreeMap<JobState, BTreeSet<JobId>>;

/// All jobs by state, and those of each tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    all: States,
    tenants: BTreeMap<String, States>,
}

/// Which jobs of the catalog are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Those of this tenant; of all tenants without one.
    pub(crate) tenant: Option<&'a str>,
    /// Those in one of these states; in any where there is none.
    pub(crate) states: &'a [JobState],
}

impl Catalog {
    pub(super) fn add(&mut self, tenant: &str, state: JobState, job: JobId) {
        self.all.entry(state).or_default().insert(job);
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.into(), States::new());
        }
        if let Some(states) = self.tenants.get_mut(tenant) {
            states.entry(state).or_default().insert(job);
        }
    }

    pub(super) fn remove(&mut self, tenant: &str, state: JobState, job: JobId) {
        take_out(&mut self.all, state, job);
        let Some(states) = self.tenants.get_mut(tenant) else { return };
        take_out(states, state, job);
        if states.is_empty() {
            self.tenants.remove(tenant);
        }
    }

    /// The wanted jobs with lower numbers than this one, the highest first.
    pub(crate) fn before(
        &self,
        wanted: Wanted<'_>,
        mut end: JobId,
    ) -> impl Iterator<Item = JobId> + use<'_> {
        let sets = self.sets(wanted);
        iter::from_fn(move || {
            let highest = sets.iter().filter_map(|jobs| jobs.range(..end).next_back());
            end = *highest.max()?;
            Some(end)
        })
    }

    /// How many of the wanted jobs have lower numbers than this one; `None` if there may be more than
    /// `most` in one of their states.
    pub(crate) fn count_before(&self, wanted: Wanted<'_>, end: JobId, most: u64) -> Option<u64> {
        self.sets(wanted).into_iter().map(|jobs| count_below(jobs, end, most)).sum()
    }

    /// How many jobs are in a state.
    pub(crate) fn count(&self, state: JobState) -> u64 {
        self.all.get(&state).map_or(0, BTreeSet::len) as u64
    }

    /// How many jobs of a tenant are in a state.
    pub(crate) fn count_of(&self, tenant: &str, state: JobState) -> u64 {
        let states = self.tenants.get(tenant);
        states.and_then(|states| states.get(&state)).map_or(0, BTreeSet::len) as u64
    }

    fn sets(&self, wanted: Wanted<'_>) -> Vec<&BTreeSet<JobId>> {
        let Wanted { tenant, states } = wanted;
        let by_state = tenant.map_or(Some(&self.all), |tenant| self.tenants.get(tenant));
        let is_wanted = |state: &JobState| states.is_empty() || states.contains(state);
        let sets = by_state.into_iter().flatten().filter(|(state, _)| is_wanted(state));
        sets.map(|(_, jobs)| jobs).collect()
    }
}

fn take_out(states: &mut States, state: JobState, job: JobId) {
    if let Some(jobs) = states.get_mut(&state) {
        jobs.remove(&job);
        if jobs.is_empty() {
            states.remove(&state);
        }
    }
}

/// Counts from both ends at once, as far as `most`, so that the first pages of a list and the last
/// know how many there are.
fn count_below(jobs: &BTreeSet<JobId>, end: JobId, most: u64) -> Option<u64> {
    let (mut below, mut above) = (jobs.range(..end), jobs.range(end..));
    for counted in 0..=most {
        if below.next().is_none() {
            return Some(counted);
        }
        if above.next().is_none() {
            return Some(jobs.len() as u64 - counted);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_is_found_and_counted_under_its_tenant_and_state() {
        let mut catalog = Catalog::default();
        let states = [JobState::Active, JobState::Ok, JobState::Failed];
        for job in 1..=30 {
            let tenant = if job % 5 == 0 { "ann" } else { "bob" };
            catalog.add(tenant, states[job as usize % 3], JobId(job));
        }
        catalog.remove("bob", states[1], JobId(1));
        for tenant in [None, Some("ann"), Some("bob"), Some("eve")] {
            for states in [&states[..], &[], &states[1..], &[JobState::Expired]] {
                let wanted = Wanted { tenant, states };
                for end in [0, 1, 2, 15, 16, 30, 31, u64::MAX] {
                    let found: Vec<JobId> = catalog.before(wanted, JobId(end)).collect();
                    assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
                    assert!(found.iter().all(|job| job.0 < end));
                    let count = found.len() as u64;
                    assert_eq!(catalog.count_before(wanted, JobId(end), 30), Some(count));
                }
            }
        }
        let in_state = |state| {
            (
                catalog.count(state),
                catalog.before(Wanted { tenant: None, states: &[state] }, JobId(u64::MAX)).count()
                    as u64,
            )
        };
        for state in states.into_iter().chain([JobState::Expired]) {
            let (counted, found) = in_state(state);
            assert_eq!(counted, found, "{state:?}");
        }
        let all = |tenant, end, most| {
            catalog.count_before(Wanted { tenant, states: &[] }, JobId(end), most)
        };
        let of = |tenant| all(tenant, u64::MAX, 30);
        assert_eq!([of(None), of(Some("ann")), of(Some("bob"))], [29, 6, 23].map(Some));
        assert_eq!(all(None, 15, 2), None, "the middle is too far from both ends");
        assert_eq!(all(None, 4, 2), Some(2), "the last are counted from there");
    }
}
