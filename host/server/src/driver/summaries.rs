//! What is counted of results as they are stored: of each job, of each tenant, of each worker and of
//! all. The core says which results count, since only those are stored; their outcomes and what they
//! used are known here alone. It is counted from the start on, in a bounded size, and no rule rests on
//! any of it.

use std::collections::{BTreeMap, BinaryHeap};

use wasmgrid_core::Grid;
use wasmgrid_proto::{
    Histogram, JobId, Limit, Micros, Outcome, Pace, Peak, Peaks, RateBucket, ResultMeta, WorkerId,
};

use super::{
    activity::{Activity, Failed},
    busy::Busy,
    cache::Results,
    failures::Failures,
    series::{Recent, Series},
};

/// Jobs of which something is counted. Each takes 3 KiB, and at most 20 KiB with the messages of its
/// failures.
pub(super) const JOBS_MAX: usize = 2_048;

/// Jobs that are forgotten at once when there are too many: see [`to_forget`].
const FORGOTTEN: usize = JOBS_MAX / 8;

/// Tenants of which something is counted apart. Each takes 8 KiB.
const TENANTS_MAX: usize = 256;

/// All that is counted.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    /// When counting began.
    pub(super) since: Micros,
    jobs: BTreeMap<JobId, Summary>,
    tenants: BTreeMap<String, Activity>,
    all: Activity,
    workers: BTreeMap<WorkerId, Recent>,
    pub(super) busy: Busy,
    /// Room for the text of a failure.
    room: String,
}

/// What is counted of one job.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) since: Micros,
    recent: Recent,
    pub(super) rates: Series,
    pub(super) wall_us: Histogram,
    pub(super) peaks: Peaks,
    pub(super) failures: Failures,
}

impl Summaries {
    pub(super) fn new(since: Micros) -> Self {
        Self { since, ..Self::default() }
    }

    /// Counts results that are about to be stored.
    pub(super) fn count(&mut self, grid: &Grid, job: JobId, results: &Results, now: Micros) {
        if !self.jobs.contains_key(&job) {
            self.make_room(grid);
            self.jobs.insert(job, Summary::new(now));
        }
        let Some(summary) = self.jobs.get_mut(&job) else { return };
        let worker = results.block.worker;
        let (some, failed) = summary.count(&results.block.results, worker, now, &mut self.room);
        let ended = some.ok + some.failed;
        self.workers.entry(worker).or_insert_with(|| Recent::new(now)).add(now, ended);
        let example = || Some((job, summary.failures.newest()?.to_owned()));
        self.all.count(now, some, &failed, example);
        let tenant = grid.tenant(job).unwrap_or_default();
        if let Some(activity) = of_tenant(&mut self.tenants, tenant, now) {
            activity.count(now, some, &failed, example);
        }
    }

    /// Has room for one more job.
    fn make_room(&mut self, grid: &Grid) {
        if self.jobs.len() < JOBS_MAX {
            return;
        }
        let is_active = |job: JobId| grid.state(job).is_some_and(|state| !state.is_terminal());
        let known = self.jobs.keys().map(|job| Known {
            tenant: grid.tenant(*job).unwrap_or_default(),
            is_active: is_active(*job),
            job: *job,
        });
        for job in to_forget(known) {
            self.jobs.remove(&job);
        }
    }

    /// A job is deleted.
    pub(super) fn forget(&mut self, job: JobId) {
        self.jobs.remove(&job);
    }

    /// A worker's link has ended.
    pub(super) fn worker_left(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
    }

    pub(super) fn of_job(&self, job: JobId) -> Option<&Summary> {
        self.jobs.get(&job)
    }

    pub(super) fn pace_of_job(&self, job: JobId, now: Micros) -> Pace {
        self.jobs.get(&job).map(|summary| summary.pace(now)).unwrap_or_default()
    }

    pub(super) fn pace_of_worker(&self, worker: WorkerId, now: Micros) -> Pace {
        self.workers.get(&worker).map(|recent| recent.pace(now)).unwrap_or_default()
    }

    /// What is counted of a tenant if it is counted apart, or of all.
    pub(super) fn activity(&self, tenant: Option<&str>) -> Option<&Activity> {
        tenant.map_or(Some(&self.all), |tenant| self.tenants.get(tenant))
    }
}

/// A job of which something is counted.
struct Known<'a> {
    tenant: &'a str,
    is_active: bool,
    job: JobId,
}

/// The jobs that make room: each time one of the tenant that then has the most, so that nobody pushes out
/// the jobs of others; of a tenant's jobs those that have ended first, the oldest first.
fn to_forget<'a>(known: impl Iterator<Item = Known<'a>>) -> Vec<JobId> {
    let mut tenants: BTreeMap<&str, Vec<(bool, JobId)>> = BTreeMap::new();
    for Known { tenant, is_active, job } in known {
        tenants.entry(tenant).or_default().push((is_active, job));
    }
    let of_tenant = |mut jobs: Vec<(bool, JobId)>| {
        jobs.sort_unstable_by(|one, other| other.cmp(one));
        (jobs.len(), jobs)
    };
    let mut most: BinaryHeap<_> = tenants.into_values().map(of_tenant).collect();
    let mut forgotten = Vec::with_capacity(FORGOTTEN);
    while forgotten.len() < FORGOTTEN
        && let Some((_, mut jobs)) = most.pop()
    {
        forgotten.extend(jobs.pop().map(|(_, job)| job));
        if !jobs.is_empty() {
            most.push((jobs.len(), jobs));
        }
    }
    forgotten
}

/// What is counted of a tenant. Once there are many, those that had nothing for an hour make room.
fn of_tenant<'a>(
    tenants: &'a mut BTreeMap<String, Activity>,
    tenant: &str,
    now: Micros,
) -> Option<&'a mut Activity> {
    if !tenants.contains_key(tenant) {
        if tenants.len() >= TENANTS_MAX {
            let idle = tenants.iter().find(|(_, activity)| activity.is_idle(now));
            let idle = idle.map(|(name, _)| name.clone())?;
            tenants.remove(&idle);
        }
        tenants.insert(tenant.into(), Activity::default());
    }
    tenants.get_mut(tenant)
}

impl Summary {
    fn new(now: Micros) -> Self {
        Self {
            since: now,
            recent: Recent::new(now),
            rates: Series::new(now),
            wall_us: Histogram::default(),
            peaks: Peaks::default(),
            failures: Failures::default(),
        }
    }

    pub(super) fn pace(&self, now: Micros) -> Pace {
        self.recent.pace(now)
    }

    /// Counts the results of one block, and says what they are together.
    fn count(
        &mut self,
        results: &[ResultMeta],
        worker: WorkerId,
        now: Micros,
        room: &mut String,
    ) -> (RateBucket, Failed) {
        let (mut some, mut failed) = (RateBucket::default(), Failed::default());
        for meta in results {
            let wall_us = meta.usage.wall_us;
            some.wall_us = some.wall_us.saturating_add(wall_us);
            some.longest_us = some.longest_us.max(wall_us);
            if meta.outcome == Outcome::Ok {
                some.ok += 1;
            } else {
                some.failed += 1;
                let is_new = self.failures.count(meta, worker, now, room);
                failed.count(&meta.outcome, is_new);
            }
            // What a lost attempt took says nothing of what a task takes.
            if !matches!(meta.outcome, Outcome::Lost(_)) {
                self.wall_us.count(wall_us);
            }
            count_peaks(&mut self.peaks, meta);
        }
        self.recent.add(now, some.ok + some.failed);
        self.rates.add(now, some);
        (some, failed)
    }
}

fn count_peaks(peaks: &mut Peaks, meta: &ResultMeta) {
    let rise = |peak: &mut Peak, used: u64| peak.most = peak.most.max(used);
    rise(&mut peaks.fuel, meta.usage.fuel);
    rise(&mut peaks.wall_us, meta.usage.wall_us);
    rise(&mut peaks.memory, meta.usage.memory_bytes);
    let log = u64::from(meta.log_len);
    rise(&mut peaks.output, meta.payload_len() - log);
    rise(&mut peaks.log, log);
    peaks.log.reached += u64::from(meta.log_dropped > 0);
    for record in &meta.record_lens {
        rise(&mut peaks.record, (*record).into());
    }
    if let Outcome::Limit { limit, .. } = &meta.outcome {
        let peak = match limit {
            Limit::Fuel => &mut peaks.fuel,
            Limit::Deadline | Limit::VirtualDeadline => &mut peaks.wall_us,
            Limit::Memory => &mut peaks.memory,
            Limit::Output => &mut peaks.output,
            Limit::Record => &mut peaks.record,
            Limit::TableElements
            | Limit::Resources
            | Limit::Compile
            | Limit::CompileMemory
            | Limit::Quota => return,
        };
        peak.reached += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use bytes::Bytes;
    use wasmgrid_core::GridConfig;
    use wasmgrid_proto::{Extensions, LeaseId, ResultBlock, Usage};

    use super::{super::series::BUCKETS, *};

    const SECOND: u64 = 1_000_000;

    fn results(job: u64, worker: u64, outcomes: &[Outcome]) -> Results {
        let meta = |(index, outcome): (u64, &Outcome)| ResultMeta {
            index,
            outcome: outcome.clone(),
            usage: Usage { fuel: 100 + index, memory_bytes: 1 << 16, wall_us: 1_000 * index },
            output_len: 4,
            record_lens: vec![2, 3],
            log_len: 5,
            log_dropped: index % 2,
        };
        let results = (0..).zip(outcomes).map(meta).collect();
        let (lease, extensions) = (LeaseId(1), Extensions::NONE);
        let worker = WorkerId(worker);
        let block = ResultBlock { job: JobId(job), lease, worker, attempt: 1, results, extensions };
        let payload = Bytes::from(vec![0; 14 * outcomes.len()]);
        Results::new(0, block, payload)
    }

    fn grid() -> Grid {
        Grid::new(GridConfig::default())
    }

    #[test]
    fn a_jobs_results_are_counted_by_time_length_peak_and_failure() {
        let (mut summaries, grid) = (Summaries::default(), grid());
        let limit = Outcome::Limit { limit: Limit::Fuel, used: 9, allowed: 9 };
        let lost = Outcome::Lost("its host was lost 3 times".into());
        let some = results(7, 1, &[Outcome::Ok, Outcome::Ok, limit, lost]);
        summaries.count(&grid, JobId(7), &some, Micros(5 * SECOND));
        summaries.count(&grid, JobId(7), &results(7, 2, &[Outcome::Ok]), Micros(6 * SECOND));
        let summary = summaries.of_job(JobId(7)).expect("counted");
        let buckets = summary.rates.buckets();
        assert_eq!(
            buckets.iter().map(|one| (one.ok, one.failed)).collect::<Vec<_>>(),
            [(2, 2), (1, 0)]
        );
        assert_eq!((buckets[0].wall_us, buckets[0].longest_us), (6_000, 3_000));
        assert_eq!(summary.wall_us.total(), 4, "without the lost one");
        let Peaks { fuel, wall_us, memory, output, record, log } = summary.peaks;
        assert_eq!(fuel, Peak { most: 103, reached: 1 });
        assert_eq!(wall_us, Peak { most: 3_000, reached: 0 });
        assert_eq!(memory, Peak { most: 1 << 16, reached: 0 });
        assert_eq!([output.most, record.most], [9, 3]);
        assert_eq!(log, Peak { most: 5, reached: 2 });
        let groups = summary.failures.groups(|worker| worker.to_string());
        assert_eq!(groups.len(), 2);
        assert_eq!(summaries.pace_of_job(JobId(7), Micros(7 * SECOND)).ended, 5);
        assert_eq!(summaries.pace_of_worker(WorkerId(1), Micros(7 * SECOND)).ended, 4);
    }

    #[test]
    fn ten_million_tasks_take_no_more_room_than_ten() {
        let (mut summaries, grid) = (Summaries::default(), grid());
        let message = |k: u64| Outcome::Refused("x".repeat(k as usize % 100) + &"y".repeat(9_999));
        for k in 0..10_000_u64 {
            let some = results(1, k, &[Outcome::Ok, message(k)]);
            summaries.count(&grid, JobId(1), &some, Micros(k * 60 * SECOND));
        }
        let summary = summaries.of_job(JobId(1)).expect("counted");
        assert!(summary.rates.buckets().len() <= BUCKETS);
        let fixed = mem::size_of::<Summary>() + BUCKETS * 2 * mem::size_of::<RateBucket>();
        assert!(fixed <= 5 << 10, "{fixed} bytes of each job");
        let groups = summary.failures.groups(|worker| worker.to_string());
        let texts: usize = groups.iter().map(|one| one.message.len() + one.kind.len()).sum();
        let all = fixed + texts + groups.len() * (160 + 8 * 16);
        assert!(all <= 24 << 10, "{all} bytes at most");
    }

    #[test]
    fn a_tenant_with_many_jobs_pushes_out_its_own() {
        let many = (0..JOBS_MAX as u64 - 10).map(|job| ("ada", false, job));
        let few = (JOBS_MAX as u64 - 10..JOBS_MAX as u64).map(|job| ("ben", false, job));
        let known = |(tenant, is_active, job)| Known { tenant, is_active, job: JobId(job) };
        // Ben's jobs have the lowest numbers of all in the second case.
        let swap = |(tenant, is_active, job)| (tenant, is_active, JOBS_MAX as u64 - job);
        for jobs in [
            many.clone().chain(few.clone()).map(known).collect::<Vec<_>>(),
            many.chain(few).map(swap).map(known).collect(),
        ] {
            let ben: Vec<JobId> =
                jobs.iter().filter(|one| one.tenant == "ben").map(|one| one.job).collect();
            let forgotten = to_forget(jobs.into_iter());
            assert_eq!(forgotten.len(), FORGOTTEN);
            assert!(forgotten.is_sorted(), "the oldest first");
            assert!(ben.iter().all(|job| !forgotten.contains(job)));
        }
        let running =
            [("ada", true, 1), ("ada", false, 2), ("ada", true, 3)].into_iter().map(known);
        assert_eq!(to_forget(running), [2, 1, 3].map(JobId), "those that have ended first");
    }

    #[test]
    fn jobs_beyond_the_bound_are_forgotten_the_oldest_first() {
        let (mut summaries, grid) = (Summaries::default(), grid());
        let jobs = JOBS_MAX as u64 + 10;
        for job in 1..=jobs {
            summaries.count(&grid, JobId(job), &results(job, 1, &[Outcome::Ok]), Micros(job));
            assert!(summaries.jobs.len() <= JOBS_MAX);
        }
        assert!(summaries.of_job(JobId(1)).is_none());
        assert!(summaries.of_job(JobId(jobs)).is_some());
        summaries.forget(JobId(jobs));
        assert!(summaries.of_job(JobId(jobs)).is_none());
        let ended = summaries.activity(None).map(|all| all.last_hour(Micros(jobs)).ended);
        assert_eq!(ended, Some(jobs), "what is counted of all stays");
    }
}
