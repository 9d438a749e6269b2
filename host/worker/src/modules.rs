//! The modules that were assigned here, with their jobs' blobs: each is fetched and prepared once, and
//! leases that need it wait for that. How long its tasks take is measured here too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use wasmgrid_proto::{Digest, JobId, TaskRange, TaskSpec};
use wasmgrid_sandbox::Prepared;

use crate::queue::Piece;

/// Jobs whose modules are held prepared; each may hold a file. The one used least recently goes
/// first, and its module is prepared anew from the sandbox's cache when it is needed again.
const JOBS_MAX: usize = 64;

/// Bytes of blobs of the jobs that are held prepared. The one used least recently goes first, too.
const BLOB_BYTES_MAX: u64 = 256 << 20;

/// How long the worker waits for a module or a blob it asked for, while it is linked.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// The most tasks in one batch of a slot: as many as a lease has.
const BATCH_TASKS: u64 = 512;

/// The modules of all jobs the agent knows of. By job: what one job may do with a module, another
/// may not; the sandbox compiles a module once for all.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    jobs: BTreeMap<JobId, Job>,
    /// The modules and blobs that were asked for, and until when they are waited for.
    asked: BTreeMap<Digest, Instant>,
    uses: u64,
    /// Which jobs wait for what is not compiled here may not be as it was said.
    changed: bool,
}

#[derive(Debug)]
struct Job {
    spec: Arc<TaskSpec>,
    state: State,
    /// About how long one task takes; `None` until one has ended.
    task_us: Option<u64>,
    used: u64,
}

#[derive(Debug)]
enum State {
    /// Being prepared, from bytes that have come or without; these wait for it.
    Preparing {
        from_bytes: Option<Digest>,
        waiting: Vec<Piece>,
    },
    /// The bytes of its module or of a blob are not here; these wait for them.
    Wanted {
        digest: Digest,
        waiting: Vec<Piece>,
    },
    Ready(Prepared),
}

/// What is to be done with a lease.
#[derive(Debug)]
pub(crate) enum Next {
    /// Queue it: its module is ready.
    Queue(Piece),
    /// Prepare the module for this job, which is new here. The lease waits.
    Prepare(Arc<TaskSpec>),
    /// Nothing: the module is under way, and the lease waits.
    Wait,
}

impl Modules {
    /// Takes a lease that was assigned.
    pub(crate) fn assigned(&mut self, piece: Piece) -> Next {
        self.uses += 1;
        let (job, spec, used) = (piece.job, piece.spec.clone(), self.uses);
        // A scheduler that died gives the numbers of jobs which were not durable to others.
        let known = self.jobs.get_mut(&job).filter(|known| known.spec == spec);
        let Some(known) = known else {
            let state = State::Preparing { from_bytes: None, waiting: vec![piece] };
            self.jobs.insert(job, Job { spec: spec.clone(), state, task_us: None, used });
            return Next::Prepare(spec);
        };
        known.used = used;
        match &mut known.state {
            State::Ready(_) => Next::Queue(piece),
            State::Wanted { waiting, .. } | State::Preparing { waiting, .. } => {
                waiting.push(piece);
                self.changed = true;
                Next::Wait
            }
        }
    }

    /// The job's module or one of its blobs is not here; its digest, where it is to be asked for. It
    /// is asked for once, however many jobs want it.
    pub(crate) fn wanted(&mut self, job: JobId, digest: Digest, now: Instant) -> Option<Digest> {
        let job = self.jobs.get_mut(&job)?;
        self.changed = true;
        job.state = State::Wanted { digest, waiting: job.state.take_waiting() };
        if self.has_arrived(digest) || self.asked.contains_key(&digest) {
            return None;
        }
        self.asked.insert(digest, now + ARRIVAL_MAX);
        Some(digest)
    }

    /// True where a job is being prepared from these bytes: others can have them then.
    fn has_arrived(&self, digest: Digest) -> bool {
        let of = |job: &Job| matches!(job.state, State::Preparing { from_bytes: Some(from), .. } if from == digest);
        self.jobs.values().any(of)
    }

    /// Bytes have come; the jobs that wait for them, to be prepared.
    pub(crate) fn arrived(&mut self, digest: Digest) -> Vec<(JobId, Arc<TaskSpec>)> {
        self.asked.remove(&digest);
        self.prepare_wanted(Some(digest), |wanted| wanted == digest)
    }

    /// The job's module is prepared; gives the leases that waited.
    pub(crate) fn ready(&mut self, job: JobId, prepared: Prepared) -> Vec<Piece> {
        let Some(job) = self.jobs.get_mut(&job) else { return Vec::new() };
        self.changed = true;
        let waiting = job.state.take_waiting();
        job.state = State::Ready(prepared);
        waiting
    }

    /// The job's module cannot be run; gives the leases that waited. The next one asks anew: for how
    /// long a refusal holds is for the sandbox to say, which remembers what it depends on.
    pub(crate) fn failed(&mut self, job: JobId) -> Vec<Piece> {
        self.changed = true;
        let known = self.jobs.remove(&job);
        known.map(|mut known| known.state.take_waiting()).unwrap_or_default()
    }

    /// The jobs that waited while another was prepared from what they want, and may try now.
    pub(crate) fn unblocked(&mut self) -> Vec<(JobId, Arc<TaskSpec>)> {
        let wanted = self.jobs.values().filter_map(|job| job.state.wants());
        let is_free =
            |digest: &Digest| !self.asked.contains_key(digest) && !self.has_arrived(*digest);
        let free: BTreeSet<Digest> = wanted.filter(is_free).collect();
        if free.is_empty() {
            return Vec::new();
        }
        self.prepare_wanted(None, |wanted| free.contains(&wanted))
    }

    fn prepare_wanted(
        &mut self,
        from_bytes: Option<Digest>,
        which: impl Fn(Digest) -> bool,
    ) -> Vec<(JobId, Arc<TaskSpec>)> {
        let mut jobs = Vec::new();
        for (job, known) in &mut self.jobs {
            if known.state.wants().is_some_and(&which) {
                known.state = State::Preparing { from_bytes, waiting: known.state.take_waiting() };
                jobs.push((*job, known.spec.clone()));
            }
        }
        jobs
    }

    /// True where the job is known, and by what it is asked for here.
    pub(crate) fn is_of(&self, job: JobId, spec: &TaskSpec) -> bool {
        self.jobs.get(&job).is_some_and(|known| *known.spec == *spec)
    }

    /// The module or blob cannot be had; the jobs that wait for it.
    pub(crate) fn missing(&mut self, digest: Digest) -> Vec<JobId> {
        self.asked.remove(&digest);
        let wants = |job: &Job| job.state.wants() == Some(digest);
        self.jobs.iter().filter(|(_, known)| wants(known)).map(|(job, _)| *job).collect()
    }

    /// Takes the waiting leases out that `of` names, or the parts of them within the tasks it
    /// gives.
    pub(crate) fn take_waiting(
        &mut self,
        of: impl Fn(&Piece) -> Option<Vec<TaskRange>>,
    ) -> Vec<Piece> {
        let mut taken = Vec::new();
        for job in self.jobs.values_mut() {
            if let State::Wanted { waiting, .. } | State::Preparing { waiting, .. } = &mut job.state
            {
                for piece in std::mem::take(waiting) {
                    match of(&piece) {
                        Some(wanted) => piece.split(wanted, &mut taken, |rest| waiting.push(rest)),
                        None => waiting.push(piece),
                    }
                }
            }
        }
        taken
    }

    /// The jobs with tasks that wait for a module which is not compiled here, where that may have
    /// changed since this was last asked. What is loaded from the cache is ready at once.
    pub(crate) fn changed(&mut self) -> Option<Vec<JobId>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let is_made = |job: &&Job| {
            matches!(job.state, State::Wanted { .. } | State::Preparing { from_bytes: Some(_), .. })
        };
        let made: BTreeSet<Digest> =
            self.jobs.values().filter(is_made).map(|job| job.spec.module).collect();
        let waits = |job: &Job| match &job.state {
            State::Wanted { waiting, .. } | State::Preparing { waiting, .. } => {
                !waiting.is_empty() && made.contains(&job.spec.module)
            }
            State::Ready(_) => false,
        };
        Some(self.jobs.iter().filter(|(_, job)| waits(job)).map(|(job, _)| *job).collect())
    }

    /// The scheduler of a new link has been told nothing.
    pub(crate) fn tell_anew(&mut self) {
        self.changed = true;
    }

    /// The leases that wait for their module.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Piece> {
        self.jobs.values().flat_map(|job| match &job.state {
            State::Wanted { waiting, .. } | State::Preparing { waiting, .. } => waiting.as_slice(),
            State::Ready(_) => &[],
        })
    }

    /// The modules and blobs that were asked for and have not come; the wait for them starts anew.
    pub(crate) fn ask_again(&mut self, now: Instant) -> Vec<Digest> {
        self.asked.values_mut().for_each(|until| *until = now + ARRIVAL_MAX);
        self.asked.keys().copied().collect()
    }

    /// When a module or a blob is waited for no longer.
    pub(crate) fn next_overdue(&self) -> Option<Instant> {
        self.asked.values().min().copied()
    }

    /// The modules and blobs that did not come in time.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<Digest> {
        let late = self.asked.iter().filter(|(_, until)| **until <= now);
        late.map(|(digest, _)| *digest).collect()
    }

    /// The job's module, where it is ready.
    pub(crate) fn prepared(&mut self, job: JobId) -> Option<Prepared> {
        self.uses += 1;
        let job = self.jobs.get_mut(&job)?;
        job.used = self.uses;
        match &job.state {
            State::Ready(prepared) => Some(prepared.clone()),
            _ => None,
        }
    }

    /// About how long a task of the job takes, in microseconds, where one has ended.
    pub(crate) fn task_us(&self, job: JobId) -> Option<u64> {
        self.jobs.get(&job)?.task_us
    }

    /// How many tasks one batch of a slot should have that is worth so much work.
    pub(crate) fn batch_tasks(&self, job: JobId, batch_us: u64) -> u64 {
        let task_us = self.task_us(job).unwrap_or(batch_us);
        (batch_us / task_us.max(1)).clamp(1, BATCH_TASKS)
    }

    /// Notes that `tasks` tasks took `wall_us` together: recent ones count most, so that the
    /// measure follows a change within a few batches.
    pub(crate) fn measured(&mut self, job: JobId, tasks: u64, wall_us: u64) {
        let Some(mean) = wall_us.checked_div(tasks) else { return };
        if let Some(job) = self.jobs.get_mut(&job) {
            let old = job.task_us.unwrap_or(mean);
            job.task_us = Some(old.saturating_mul(3).saturating_add(mean) / 4);
        }
    }

    fn blob_bytes(&self) -> u64 {
        let bytes = |job: &Job| match &job.state {
            State::Ready(prepared) => prepared.blob_bytes(),
            State::Wanted { .. } | State::Preparing { .. } => 0,
        };
        self.jobs.values().map(bytes).sum()
    }

    /// Drops what was not used for longest, where too much is held and `needed` does not say
    /// that it is queued.
    pub(crate) fn trim(&mut self, needed: impl Fn(JobId) -> bool) {
        while self.jobs.len() > JOBS_MAX || self.blob_bytes() > BLOB_BYTES_MAX {
            let idle = self
                .jobs
                .iter()
                .filter(|(job, known)| matches!(known.state, State::Ready(_)) && !needed(**job));
            let Some(oldest) = idle.min_by_key(|(_, known)| known.used).map(|(job, _)| *job) else {
                return;
            };
            self.jobs.remove(&oldest);
        }
    }
}

impl State {
    /// What is waited for.
    const fn wants(&self) -> Option<Digest> {
        match self {
            Self::Wanted { digest, .. } => Some(*digest),
            Self::Preparing { .. } | Self::Ready(_) => None,
        }
    }

    fn take_waiting(&mut self) -> Vec<Piece> {
        match self {
            Self::Wanted { waiting, .. } | Self::Preparing { waiting, .. } => {
                std::mem::take(waiting)
            }
            Self::Ready(_) => Vec::new(),
        }
    }
}
