//! What must be true: the journal as it is written, what was promised to whom, and the invariants
//! that hold between them. It knows the scheduler by what it says alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wasmgrid_core::{GridConfig, NewLease};
use wasmgrid_proto::{
    Cost, Epoch, JobId, JobSpec, JobState, JobStatus, LeaseId, OutcomeClass, Record, Resource,
    RetryCounter, TaskRange, TenantStatus, TenantUsage, UsageTotal, Use, WorkerId, WorkerState,
    WorkerStatus,
};

use crate::{
    judge::fits,
    message::{Block, Shown, Summary},
    scheduler::BYTES,
    task::Task,
    times::Times,
};

/// Attempts of a task whose workers are remembered.
const REMEMBERED: usize = 16;

/// Bits of a lease's number below its epoch.
const LEASE_COUNT_BITS: u32 = 40;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// What was seen instead.
    pub detail: String,
}

/// Says that an invariant holds, or how it does not.
///
/// # Errors
/// Where it does not.
pub fn hold(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

/// See the module's text.
#[derive(Debug)]
pub struct Book {
    config: GridConfig,
    /// The journal, with what is not durable yet.
    pub journal: Vec<Record>,
    /// How much of it is promised to be durable.
    promised: usize,
    epoch: Epoch,
    /// The newest lease that was given before the last turn, and those of that.
    newest: LeaseId,
    fresh: BTreeSet<LeaseId>,
    jobs: BTreeMap<JobId, Job>,
    /// Those that were forgotten, with what was promised of them.
    forgotten: BTreeSet<JobId>,
    /// The inputs in the journal, each append with its place there.
    appends: Vec<(usize, JobId, u64, Vec<u64>)>,
    /// What the results took that were stored, by the first one's place in the log.
    took: BTreeMap<(JobId, u64), Cost>,
    /// What each tenant has used, as the journal and those say.
    used: BTreeMap<String, UsageTotal>,
    keys: BTreeMap<(String, String), JobId>,
    workers: BTreeMap<String, WorkerId>,
    /// Those that were taken away.
    removed: BTreeSet<WorkerId>,
    /// The requests of callers that are in the journal: each caller is of one function.
    called: BTreeSet<(u64, u64)>,
    /// Acknowledged facts, which outlive every scheduler.
    promises: Promises,
    /// When things happened.
    pub times: Times,
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Promises {
    /// Of a job: how many inputs it has at least.
    inputs: BTreeMap<JobId, u64>,
    keys: BTreeMap<(String, String), JobId>,
    /// Of a producer's request of a job: where its inputs begin.
    extends: BTreeMap<(JobId, (u64, u64)), u64>,
    /// Of a caller's request: its job, and where its inputs begin.
    calls: BTreeMap<(u64, u64), (JobId, u64)>,
    closed: BTreeSet<JobId>,
    cancelled: BTreeSet<JobId>,
    ends: BTreeMap<JobId, (JobState, u64)>,
    shown: BTreeMap<(JobId, u64), Shown>,
}

/// One job, as the journal has it.
#[derive(Debug)]
struct Job {
    tenant: String,
    retries: u32,
    max_failures: Option<u64>,
    has_deadline: bool,
    /// It takes the calls of a function.
    is_function: bool,
    total: u64,
    /// Of a retry: whose inputs it has, and which tasks.
    retry: Option<Retry>,
    /// The last request of each producer.
    producers: BTreeMap<u64, u64>,
    /// The index of what was appended last.
    appended_at: u64,
    closed: bool,
    cancelled: bool,
    ended: Option<JobState>,
    /// The tasks with a result, in the result log's order.
    log: Vec<u64>,
    done: BTreeMap<u64, OutcomeClass>,
    tries: BTreeMap<u64, Tries>,
    /// The workers that lost a task's last attempts, or gave them back.
    lost_by: BTreeMap<u64, VecDeque<WorkerId>>,
    retried: u64,
    /// Every attempt that was given to a worker, by any scheduler.
    given: BTreeMap<(u64, u32), BTreeSet<LeaseId>>,
    /// The newest lease of each task that this scheduler gave.
    current: BTreeMap<u64, LeaseId>,
}

/// What of a job is run again.
#[derive(Clone, Debug)]
struct Retry {
    source: JobId,
    tasks: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    app: u32,
    host: u32,
    infra: u32,
}

impl Tries {
    const fn attempt(self) -> u32 {
        self.app + self.host + self.infra + 1
    }
}

impl Book {
    /// An empty journal.
    #[must_use]
    pub fn new(config: GridConfig) -> Self {
        Self {
            config,
            journal: Vec::new(),
            promised: 0,
            epoch: Epoch(0),
            newest: LeaseId(0),
            fresh: BTreeSet::new(),
            jobs: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            appends: Vec::new(),
            took: BTreeMap::new(),
            used: BTreeMap::new(),
            keys: BTreeMap::new(),
            workers: BTreeMap::new(),
            removed: BTreeSet::new(),
            called: BTreeSet::new(),
            promises: Promises::default(),
            times: Times::default(),
        }
    }

    /// A scheduler starts with these records.
    ///
    /// # Errors
    /// Where they are not what was written, or something acknowledged is missing.
    pub fn restart(&mut self, found: &[Record]) -> Result<(), Violation> {
        let written = self.journal.get(..found.len()).is_some_and(|written| written == found);
        hold(written, "the journal is what was written", || {
            format!("{} records of {} were found, and differ", found.len(), self.journal.len())
        })?;
        let before = std::mem::take(&mut self.jobs);
        self.journal.clear();
        self.forgotten.clear();
        self.appends.retain(|(place, ..)| *place < found.len());
        self.epoch = Epoch(0);
        self.keys.clear();
        self.used.clear();
        self.workers.clear();
        self.removed.clear();
        self.called.clear();
        self.times.replay();
        for record in found {
            self.record(record)?;
        }
        let jobs = &self.jobs;
        self.times.replayed(|job| jobs.get(&job).map(|job| job.ended.is_some()));
        for (id, old) in before {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.given = old.given;
            }
        }
        self.check_promises()?;
        let (promised, there) = (self.promised, found.len());
        hold(promised <= there, "what was acknowledged is durable", || {
            format!("{promised} records were promised, {there} are there")
        })
    }

    /// These are the inputs of the next record, which appends them.
    pub fn inputs(&mut self, job: JobId, first: u64, inputs: &[u64]) {
        self.appends.push((self.journal.len(), job, first, inputs.to_vec()));
    }

    /// These results are stored with the next record, and took this.
    pub fn results(&mut self, job: JobId, first: u64, cost: Cost) {
        self.took.insert((job, first), cost);
    }

    /// The input of a task, which is in the journal of the job that it was appended to.
    #[must_use]
    pub fn input(&self, job: JobId, index: u64) -> Option<Task> {
        let retry = self.jobs.get(&job).and_then(|job| job.retry.as_ref());
        let source = retry.map_or(job, |retry| retry.source);
        let appends = self.appends.iter().rev().filter(|(_, of, ..)| *of == source);
        appends.filter(|(_, _, first, _)| *first <= index).find_map(|(_, _, first, inputs)| {
            let at = usize::try_from(index - first).ok()?;
            inputs.get(at).copied().map(Task)
        })
    }

    fn check_promises(&self) -> Result<(), Violation> {
        let is_kept = |id: &&JobId| !self.forgotten.contains(id);
        let lost = "no acknowledged submit or append is lost";
        for (key, id) in &self.promises.keys {
            hold(self.keys.get(key) == Some(id), lost, || format!("job {id} of {key:?} is gone"))?;
        }
        for (id, inputs) in self.promises.inputs.iter().filter(|(id, _)| is_kept(id)) {
            let there = self.jobs.get(id).map(|job| job.total);
            hold(there >= Some(*inputs), lost, || {
                format!("job {id} has {there:?} of {inputs} inputs")
            })?;
        }
        for by in self.promises.calls.keys() {
            hold(self.called.contains(by), lost, || format!("the calls of {by:?} are gone"))?;
        }
        for id in self.promises.closed.iter().filter(is_kept) {
            let closed = self.jobs.get(id).is_some_and(|job| job.closed);
            hold(closed, lost, || format!("job {id} was closed and is open"))?;
        }
        for id in self.promises.cancelled.iter().filter(is_kept) {
            let cancelled = self.jobs.get(id).is_some_and(|job| job.cancelled);
            hold(cancelled, "an acknowledged cancel is durable", || {
                format!("job {id} was cancelled and is not")
            })?;
        }
        for ((id, cursor), shown) in self.promises.shown.iter().filter(|((id, _), _)| is_kept(&id))
        {
            let job = self.jobs.get(id);
            let at = usize::try_from(*cursor).ok().and_then(|at| job?.log.get(at));
            hold(at == Some(&shown.index), "a committed result never changes", || {
                format!("result {cursor} of job {id} was of {shown:?} and is of {at:?}")
            })?;
        }
        for (id, (state, _)) in self.promises.ends.iter().filter(|(id, _)| is_kept(id)) {
            let ended = self.jobs.get(id).and_then(|job| job.ended);
            hold(ended == Some(*state), "a job's end never changes", || {
                format!("job {id} was {state} and is {ended:?}")
            })?;
        }
        Ok(())
    }

    /// A new term begins.
    ///
    /// # Errors
    /// Where it is not a new one.
    pub fn record(&mut self, record: &Record) -> Result<(), Violation> {
        self.journal.push(record.clone());
        self.times.record(record, &self.config)?;
        let id = match record {
            Record::EpochStarted { epoch, .. } => {
                let (new, old) = (*epoch, self.epoch);
                self.epoch = new;
                self.jobs.values_mut().for_each(|job| job.current.clear());
                return hold(new > old, "epochs only grow", || format!("{new} follows {old}"));
            }
            Record::WorkerKnown { worker, name } => {
                let new = !self.workers.values().any(|known| known == worker)
                    && !self.removed.contains(worker)
                    && self.workers.insert(name.clone(), *worker).is_none();
                return hold(new, "a worker keeps its number", || format!("{name} is {worker}"));
            }
            Record::WorkerRemoved { worker } => {
                self.workers.retain(|_, known| known != worker);
                let new = self.removed.insert(*worker);
                return hold(new, "a worker is taken away once", || format!("{worker} again"));
            }
            Record::JobSubmitted { job, spec, idempotency_key, .. } => {
                if let Some(key) = idempotency_key {
                    let key = (spec.task.tenant.clone(), key.clone());
                    let twice = self.keys.insert(key.clone(), *job).is_some();
                    hold(!twice, "a key makes one job", || format!("{key:?} made another"))?;
                }
                let state = Job::submitted(spec);
                let twice = self.jobs.insert(*job, state).is_some();
                hold(!twice, "a job's number is its own", || format!("job {job} again"))?;
                return self.retries(*job, &spec.name);
            }
            Record::JobForgotten { job } => {
                let ended = self.jobs.remove(job).is_some_and(|job| job.ended.is_some());
                self.forgotten.insert(*job);
                return hold(ended, "only what has ended is forgotten", || format!("job {job}"));
            }
            Record::InputsAppended { job, .. }
            | Record::InputsClosed { job }
            | Record::CancelRequested { job, .. }
            | Record::Committed { job, .. }
            | Record::Ended { job, .. }
            | Record::AttemptsFailed { job, .. }
            | Record::ProducerNoted { job, .. }
            | Record::InputsTaken { job, .. }
            | Record::JobEnded { job, .. } => *job,
            _ => return Ok(()),
        };
        let config = &self.config;
        let known = self.jobs.get_mut(&id);
        let Some(job) = known else {
            return hold(false, "a record names a job that is there", || format!("{record:?}"));
        };
        if let Record::ProducerNoted { producer, number, .. } = record
            && job.is_function
        {
            let once = self.called.insert((*producer, *number));
            return hold(once, "each call counts once", || format!("{record:?}, again"));
        }
        self.used.entry(job.tenant.clone()).or_default().add(used(record, &self.took));
        job.record(record, config).map_err(|violation| Violation {
            detail: format!("{} ({record:?})", violation.detail),
            ..violation
        })
    }

    /// Where a job that was submitted is named as the retry of another, it is that.
    fn retries(&mut self, job: JobId, name: &str) -> Result<(), Violation> {
        let of = name.strip_suffix(')').and_then(|name| name.rsplit_once("(retry of "));
        let Some(of) = of.and_then(|(_, of)| of.parse().ok()).map(JobId) else { return Ok(()) };
        let known = self.jobs.get(&of);
        let source = known.map(|old| old.retry.as_ref().map_or(of, |retry| retry.source));
        let ended = known.is_some_and(|old| old.ended.is_some());
        let failed = known.into_iter().flat_map(|old| &old.done);
        let failed = failed.filter(|(_, class)| **class != OutcomeClass::Ok);
        let tasks = failed.map(|(index, _)| *index).collect();
        let retry = source.map(|source| Retry { source, tasks });
        if let Some(new) = self.jobs.get_mut(&job) {
            new.retry = retry;
        }
        hold(ended, "only what has ended is retried", || format!("{name:?}"))
    }

    /// What the scheduler says from here on is of another turn, in which leases are higher.
    pub fn turn(&mut self) {
        self.newest = std::mem::take(&mut self.fresh).last().copied().unwrap_or(self.newest);
    }

    /// The scheduler gives a worker tasks.
    ///
    /// # Errors
    /// Where it may not.
    pub fn granted(
        &mut self,
        job: JobId,
        worker: WorkerId,
        grants: &[NewLease],
        workers: &[WorkerStatus],
    ) -> Result<(), Violation> {
        let is_there = !self.removed.contains(&worker);
        hold(is_there, "a worker that was taken away is given nothing", || format!("{worker}"))?;
        self.check_worker(job, worker, grants, workers)?;
        for grant in grants {
            let (lease, newest) = (grant.lease, self.newest);
            let is_new = lease > newest && self.fresh.insert(lease);
            hold(is_new, "leases only grow", || format!("{lease} follows {newest}"))?;
            let Some(job) = self.jobs.get_mut(&job) else {
                return hold(false, "a lease is of a job", || format!("{grant:?}"));
            };
            for index in grant.tasks.first..grant.tasks.end() {
                let attempt = job.tries.get(&index).copied().unwrap_or_default().attempt();
                let open = job.has(index) && !job.done.contains_key(&index);
                hold(open && attempt == grant.attempt, "attempts count up by one", || {
                    format!("{grant:?}: task {index}, open: {open}, is at attempt {attempt}")
                })?;
                job.given.entry((index, grant.attempt)).or_default().insert(lease);
                job.current.insert(index, lease);
            }
        }
        Ok(())
    }

    /// Whom tasks may be given to, as the workers stand.
    fn check_worker(
        &self,
        job: JobId,
        worker: WorkerId,
        grants: &[NewLease],
        workers: &[WorkerStatus],
    ) -> Result<(), Violation> {
        let cannot = |status: &&WorkerStatus| match &status.state {
            WorkerState::Failing(failing) => status.worker == worker && failing.until.is_none(),
            _ => false,
        };
        let unable = workers.iter().find(cannot);
        hold(unable.is_none(), "a worker that cannot run tasks is given none", || {
            format!("{grants:?} of job {job} for {unable:?}")
        })?;
        let known = self.jobs.get(&job);
        for index in grants.iter().flat_map(|grant| grant.tasks.first..grant.tasks.end()) {
            let Some(lost_by) = known.and_then(|job| job.lost_by.get(&index)) else { continue };
            let is_other = |status: &&WorkerStatus| {
                status.state == WorkerState::Ready && !lost_by.contains(&status.worker)
            };
            let other = workers.iter().find(is_other);
            let back = lost_by.contains(&worker);
            let rule = "a lost attempt goes to another worker, if there is one";
            hold(!back || other.is_none(), rule, || {
                format!("task {job}/{index} of {lost_by:?} goes to {worker}, not to {other:?}")
            })?;
        }
        Ok(())
    }

    /// Results of a block are committed.
    ///
    /// # Errors
    /// Where its lease may not commit them.
    pub fn committing(&self, block: &Block, record: &Record) -> Result<(), Violation> {
        let Record::Committed { job, runs, .. } = record else { return Ok(()) };
        let newest = "the committing lease is the newest";
        let Some(state) = self.jobs.get(job) else { return Ok(()) };
        hold(*job == block.job, newest, || format!("{block:?} commits to job {job}"))?;
        for index in runs.iter().flat_map(|run| run.tasks.first..run.tasks.end()) {
            let attempt = state.tries.get(&index).copied().unwrap_or_default().attempt();
            let given = state.given.get(&(index, block.attempt));
            let was_given = given.is_some_and(|leases| leases.contains(&block.lease));
            let is_newest = match state.current.get(&index) {
                Some(lease) => *lease == block.lease,
                None => block.lease.0 >> LEASE_COUNT_BITS < self.epoch.0,
            };
            let input = self.input(*job, index);
            let shown = block.results.iter().find(|shown| shown.index == index);
            let is_of_input = input.zip(shown).is_some_and(|(task, shown)| fits(task, *shown));
            hold(is_of_input, "a result is of the input that is under its index", || {
                format!("task {job}/{index} of {input:?} takes {shown:?} of lease {}", block.lease)
            })?;
            hold(was_given && is_newest && attempt == block.attempt, newest, || {
                format!(
                    "task {job}/{index} at attempt {attempt}, lease {:?}, takes a result of \
                     attempt {} under lease {}, which was given: {was_given}",
                    state.current.get(&index),
                    block.attempt,
                    block.lease
                )
            })?;
        }
        Ok(())
    }

    /// What was output before now is promised.
    pub fn promise(&mut self, records: usize) {
        self.promised = self.promised.max(records);
    }

    /// A submit is acknowledged.
    ///
    /// # Errors
    /// Where its key had another job.
    pub fn submitted(
        &mut self,
        key: (String, String),
        job: JobId,
        inputs: u64,
        closed: bool,
    ) -> Result<(), Violation> {
        let before = self.promises.keys.insert(key.clone(), job);
        hold(before.is_none_or(|before| before == job), "a key makes one job", || {
            format!("{key:?} was job {before:?} and is {job}")
        })?;
        self.appended(job, inputs);
        if closed {
            self.closed(job);
        }
        Ok(())
    }

    /// Inputs up to `end` are acknowledged.
    pub fn appended(&mut self, job: JobId, end: u64) {
        let inputs = self.promises.inputs.entry(job).or_default();
        *inputs = end.max(*inputs);
    }

    /// A producer's request is acknowledged.
    ///
    /// # Errors
    /// Where its inputs were somewhere else before, or it is not in the journal.
    pub fn extended(&mut self, job: JobId, by: (u64, u64), first: u64) -> Result<(), Violation> {
        let before = self.promises.extends.insert((job, by), first);
        let noted = self.jobs.get(&job).and_then(|job| job.producers.get(&by.0));
        let once = before.is_none_or(|before| before == first) && noted >= Some(&by.1);
        hold(once, "each extend counts once", || {
            format!("{by:?} of job {job} is at {first}, was at {before:?}; noted: {noted:?}")
        })
    }

    /// A caller's request is acknowledged.
    ///
    /// # Errors
    /// If its calls were somewhere else before, or it is not in the journal.
    pub fn called(&mut self, by: (u64, u64), at: (JobId, u64)) -> Result<(), Violation> {
        let before = self.promises.calls.insert(by, at);
        let once = before.is_none_or(|before| before == at) && self.called.contains(&by);
        hold(once, "each call counts once", || format!("{by:?} is at {at:?}, was at {before:?}"))
    }

    /// A close is acknowledged.
    pub fn closed(&mut self, job: JobId) {
        self.promises.closed.insert(job);
    }

    /// A cancel is acknowledged.
    pub fn cancelled(&mut self, job: JobId) {
        self.promises.cancelled.insert(job);
    }

    /// A client is shown results.
    ///
    /// # Errors
    /// Where another was shown at the same position before.
    pub fn shown(&mut self, job: JobId, first: u64, results: &[Shown]) -> Result<(), Violation> {
        for (cursor, shown) in (first..).zip(results) {
            let before = self.promises.shown.insert((job, cursor), *shown);
            hold(
                before.is_none_or(|before| before == *shown),
                "a committed result never changes",
                || format!("result {cursor} of job {job} was {before:?} and is {shown:?}"),
            )?;
        }
        Ok(())
    }

    /// A client is told how a job ended.
    ///
    /// # Errors
    /// Where it was told otherwise before.
    pub fn told_end(&mut self, end: Summary) -> Result<(), Violation> {
        let told = (end.state, end.results);
        let before = self.promises.ends.insert(end.job, told);
        hold(before.is_none_or(|before| before == told), "a job's end never changes", || {
            format!("job {} was {before:?} and is {told:?}", end.job)
        })
    }

    /// Compares how the scheduler says that jobs stand with the journal.
    ///
    /// # Errors
    /// Where it says otherwise.
    pub fn check_status(&self, jobs: &[JobStatus]) -> Result<(), Violation> {
        self.times.check()?;
        let sums = "parts sum to the whole";
        hold(jobs.len() == self.jobs.len(), sums, || format!("{} jobs", jobs.len()))?;
        for status in jobs {
            let Some(job) = self.jobs.get(&status.job) else {
                return hold(false, sums, || format!("{status:?}"));
            };
            let counts = status.counts;
            let ended = job.done.len() as u64;
            let same = counts.queued + counts.running + counts.ended() == counts.total
                && counts.total == job.total
                && counts.ended() == ended
                && counts.retried == job.retried
                && status.results == job.log.len() as u64
                && status.state == job.ended.unwrap_or(JobState::Active)
                && status.closed == job.closed;
            hold(same, sums, || format!("{status:?} but {job:?}"))?;
        }
        Ok(())
    }

    /// What tenants have used is what their committed results took, and what they appended.
    ///
    /// # Errors
    /// Where it is not.
    pub fn check_usage(&self, usage: &[TenantUsage]) -> Result<(), Violation> {
        let told: BTreeMap<&String, UsageTotal> =
            usage.iter().map(|tenant| (&tenant.name, tenant.usage)).collect();
        let used = self.used.iter().filter(|(_, used)| **used != UsageTotal::default());
        let used: BTreeMap<&String, UsageTotal> = used.map(|(name, used)| (name, *used)).collect();
        hold(told == used, "usage is what committed results took", || {
            format!("it is said to be {told:?}, and is {used:?}")
        })
    }

    /// What tenants have is what their jobs are, and no more than they may have. What a worker that
    /// comes back has already nobody gave it: tasks on workers are judged where some of these jobs
    /// were given out.
    ///
    /// # Errors
    /// Where it is not.
    pub fn check_tenants(
        &self,
        jobs: &[JobStatus],
        tenants: &[TenantStatus],
        given: &BTreeSet<JobId>,
    ) -> Result<(), Violation> {
        for tenant in tenants {
            let own = jobs.iter().filter(|job| job.spec.task.tenant == tenant.name);
            let (mut all, mut open, mut waiting, mut running) = (0, 0, 0, 0);
            let mut was_given = false;
            for job in own {
                all += 1;
                was_given |= given.contains(&job.job);
                open += u64::from(!job.state.is_terminal());
                waiting += job.counts.total - job.counts.ended();
                running += job.counts.running;
            }
            for Use { resource, used, allowed, .. } in &tenant.uses {
                let told = match resource {
                    Resource::Jobs => all,
                    Resource::OpenJobs => open,
                    Resource::WaitingTasks => waiting,
                    Resource::RunningTasks => running,
                    _ => continue,
                };
                let name = &tenant.name;
                hold(*used == told, "what a tenant has is what its jobs are", || {
                    format!("{name} has {used} {resource}, its jobs say {told}")
                })?;
                let is_judged = *resource != Resource::RunningTasks || was_given;
                let is_within = !is_judged || allowed.is_none_or(|most| told <= most);
                hold(is_within, "no tenant exceeds its quota", || {
                    format!("{name} has {told} {resource}, {allowed:?} allowed")
                })?;
            }
        }
        Ok(())
    }

    /// The key of a job's submit, which names it in the plan.
    #[must_use]
    pub fn key_of(&self, job: JobId) -> Option<&str> {
        let known = self.keys.iter().find(|(_, of)| **of == job);
        known.map(|((_, key), _)| key.as_str())
    }

    /// Whether a task runs alone because its hosts died.
    #[must_use]
    pub fn is_suspect(&self, job: JobId, index: u64) -> bool {
        let tries = self.jobs.get(&job).and_then(|job| job.tries.get(&index));
        tries.is_some_and(|tries| tries.host >= self.config.suspect_after)
    }

    /// Whether a task has not ended.
    #[must_use]
    pub fn is_open(&self, job: JobId, index: u64) -> bool {
        let job = self.jobs.get(&job);
        job.is_some_and(|job| job.has(index) && !job.done.contains_key(&index))
    }

    /// All committed results in the order of the journal, by the key of their job.
    #[must_use]
    pub fn committed(&self) -> Vec<(String, u64)> {
        let mut names = BTreeMap::new();
        let mut committed = Vec::new();
        for record in &self.journal {
            if let Record::JobSubmitted { job, spec, .. } = record {
                names.insert(*job, spec.name.clone());
            }
            if let Record::Committed { job, runs, .. } = record {
                let name = names.get(job).cloned().unwrap_or_default();
                let indices = runs.iter().flat_map(|run| run.tasks.first..run.tasks.end());
                committed.extend(indices.map(|index| (name.clone(), index)));
            }
        }
        committed
    }

    /// How many inputs a job has, and how many of its tasks have ended.
    #[must_use]
    pub fn progress(&self, job: JobId) -> (u64, u64) {
        self.jobs.get(&job).map_or((0, 0), |job| (job.total, job.done.len() as u64))
    }
}

impl Job {
    fn submitted(spec: &JobSpec) -> Self {
        Self {
            tenant: spec.task.tenant.clone(),
            retries: spec.retries,
            max_failures: spec.max_failures,
            has_deadline: spec.deadline.is_some(),
            is_function: spec.function().is_some(),
            total: 0,
            retry: None,
            producers: BTreeMap::new(),
            appended_at: 0,
            closed: false,
            cancelled: false,
            ended: None,
            log: Vec::new(),
            done: BTreeMap::new(),
            tries: BTreeMap::new(),
            lost_by: BTreeMap::new(),
            retried: 0,
            given: BTreeMap::new(),
            current: BTreeMap::new(),
        }
    }

    /// Whether it has such a task.
    fn has(&self, index: u64) -> bool {
        self.retry.as_ref().map_or(index < self.total, |retry| retry.tasks.contains(&index))
    }

    fn record(&mut self, record: &Record, config: &GridConfig) -> Result<(), Violation> {
        match record {
            Record::InputsAppended { tasks, .. } => {
                hold(
                    self.ended.is_none() && !self.closed && tasks.first == self.total,
                    "inputs are appended in order, and none behind the end",
                    || format!("at {} of {}", tasks.first, self.total),
                )?;
                self.total = tasks.end();
                self.appended_at = tasks.first;
            }
            Record::InputsTaken { of, tasks, .. } => self.taken(*of, tasks)?,
            Record::ProducerNoted { producer, number, first, .. } => {
                let last = self.producers.insert(*producer, *number).unwrap_or_default();
                let there = *first == self.appended_at || *first == self.total;
                hold(last + 1 == *number && there, "each extend counts once", || {
                    format!("request {number} follows {last}, at {first} of {}", self.total)
                })?;
            }
            Record::InputsClosed { .. } => self.closed = true,
            Record::CancelRequested { .. } => {
                hold(self.ended.is_none(), "a job's end never changes", String::new)?;
                self.cancelled = true;
            }
            Record::Committed { first_cursor, runs, .. } => {
                let stopped = self.cancelled || self.ended.is_some();
                hold(!stopped, "nothing commits after a cancel or the job's end", String::new)?;
                hold(
                    *first_cursor == self.log.len() as u64,
                    "the result log has no gap and no repeat",
                    || format!("{first_cursor} follows {}", self.log.len()),
                )?;
                for run in runs {
                    for index in run.tasks.first..run.tasks.end() {
                        self.end(index, run.class)?;
                        self.log.push(index);
                    }
                }
            }
            Record::Ended { tasks, class, .. } => {
                for index in tasks.iter().flat_map(|part| part.first..part.end()) {
                    self.check_early_end(index, *class, config)?;
                    self.end(index, *class)?;
                }
            }
            Record::AttemptsFailed { tasks, counter, attempt, last, worker, .. } => {
                for index in tasks.iter().flat_map(|part| part.first..part.end()) {
                    self.failed(index, *counter, (*attempt, *last), config)?;
                    let app = *counter == RetryCounter::App;
                    let lost_by = self.lost_by.entry(index).or_default();
                    lost_by.push_back(if app { WorkerId(0) } else { *worker });
                    lost_by.drain(..lost_by.len().saturating_sub(REMEMBERED));
                }
            }
            Record::JobEnded { state, .. } => {
                let all = self.done.len() as u64 == self.total;
                hold(all && self.ended.is_none(), "a job ends with its last task, once", || {
                    format!("{} of {} tasks ended", self.done.len(), self.total)
                })?;
                self.ended = Some(*state);
            }
            _ => {}
        }
        Ok(())
    }

    fn taken(&mut self, of: JobId, tasks: &[TaskRange]) -> Result<(), Violation> {
        let retry = self.retry.as_ref();
        let taken = tasks.iter().flat_map(|part| part.first..part.end());
        self.total += tasks.iter().map(|part| part.count).sum::<u64>();
        let fits = retry.is_some_and(|retry| {
            retry.source == of && taken.clone().eq(retry.tasks.iter().copied())
        });
        hold(fits, "a retry runs what did not end ok, and nothing else", || {
            format!("{:?} of job {of}, not {retry:?}", taken.clone().collect::<Vec<_>>())
        })
    }

    fn end(&mut self, index: u64, class: OutcomeClass) -> Result<(), Violation> {
        let twice = self.done.insert(index, class);
        self.tries.remove(&index);
        self.lost_by.remove(&index);
        hold(
            twice.is_none() && self.has(index),
            "at most one result of a task is committed",
            || format!("task {index} ended as {class:?}, before as {twice:?}"),
        )
    }

    fn check_early_end(
        &self,
        index: u64,
        class: OutcomeClass,
        config: &GridConfig,
    ) -> Result<(), Violation> {
        let tries = self.tries.get(&index).copied().unwrap_or_default();
        let failed = self.done.values().filter(|class| is_failure(**class)).count() as u64;
        let fits = match class {
            OutcomeClass::Cancelled => self.cancelled,
            OutcomeClass::Expired => self.has_deadline,
            OutcomeClass::Skipped => self.max_failures.is_some_and(|most| failed >= most),
            OutcomeClass::Lost => {
                tries.host + 1 >= config.host_loss_limit
                    || tries.infra + 1 >= config.infra_retry_limit
            }
            _ => false,
        };
        hold(fits, "a task ends without a result for its reason only", || {
            format!("task {index} as {class:?} after {tries:?}")
        })
    }

    /// An attempt of a task did not do: it is run again, or ends with the record behind this one.
    fn failed(
        &mut self,
        index: u64,
        counter: RetryCounter,
        (attempt, last): (u32, bool),
        config: &GridConfig,
    ) -> Result<(), Violation> {
        let open = self.has(index) && !self.done.contains_key(&index);
        let tries = self.tries.entry(index).or_default();
        let at = tries.attempt();
        let given = self.given.is_empty() || self.given.contains_key(&(index, attempt));
        hold(open && at == attempt && given, "each attempt counts once", || {
            format!("attempt {attempt} of task {index}, open: {open}, at {at}, given: {given}")
        })?;
        if last {
            return Ok(());
        }
        self.retried += 1;
        let (count, most) = match counter {
            RetryCounter::App => (&mut tries.app, self.retries),
            RetryCounter::HostLoss => (&mut tries.host, config.host_loss_limit - 1),
            RetryCounter::Infra if self.has_deadline => (&mut tries.infra, u32::MAX),
            RetryCounter::Infra => (&mut tries.infra, config.infra_retry_limit - 1),
        };
        *count += 1;
        hold(*count <= most, "attempts are within their limits", || {
            format!("{count} retries of task {index} by {counter:?}, {most} allowed")
        })
    }
}

/// What a record says that was used; results themselves say what they took.
fn used(record: &Record, took: &BTreeMap<(JobId, u64), Cost>) -> UsageTotal {
    let mut used = UsageTotal::default();
    match record {
        Record::InputsAppended { tasks, .. } => used.input_bytes = tasks.count * u64::from(BYTES),
        Record::Committed { job, first_cursor, runs, .. } => {
            used.cost = took.get(&(*job, *first_cursor)).copied().unwrap_or_default();
            runs.iter().for_each(|run| used.ended.count(run.class, run.tasks.count));
        }
        Record::Ended { tasks, class, .. } => {
            tasks.iter().for_each(|part| used.ended.count(*class, part.count));
        }
        _ => {}
    }
    used
}

const fn is_failure(class: OutcomeClass) -> bool {
    matches!(class, OutcomeClass::Failed | OutcomeClass::Retry | OutcomeClass::Lost)
}
