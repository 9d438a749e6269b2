//! The modules that were assigned here, with their jobs' blobs: each is fetched and prepared once.
//! How long its tasks take is measured here too. What waits for them is in the
//! [`Holdings`](crate::holdings::Holdings).

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use wasmgrid_proto::{Digest, JobId, Micros, TaskSpec};

use crate::times::ARRIVAL_MAX;

/// Jobs whose modules are held prepared; each may hold a file. The one used least recently goes
/// first, and its module is prepared anew from the sandbox's cache when it is needed again.
const JOBS_MAX: usize = 64;

/// Bytes of blobs of the jobs that are held prepared. The one used least recently goes first, too.
const BLOB_BYTES_MAX: u64 = 256 << 20;

/// The most tasks in one batch of a slot: as many as a lease has.
const BATCH_TASKS: u64 = 512;

/// The modules of all jobs the agent knows of. By job: what one job may do with a module, another
/// may not; the sandbox compiles a module once for all.
#[derive(Debug)]
pub(crate) struct Modules<M> {
    jobs: BTreeMap<JobId, Job<M>>,
    /// The modules and blobs that were asked for, and until when they are waited for.
    asked: BTreeMap<Digest, Micros>,
    uses: u64,
    /// Which jobs wait for what is not compiled here may not be as it was said.
    changed: bool,
}

#[derive(Debug)]
struct Job<M> {
    spec: Arc<TaskSpec>,
    state: ModuleState<M>,
    /// About how long one task takes; `None` until one has ended.
    task_us: Option<u64>,
    used: u64,
}

#[derive(Debug)]
enum ModuleState<M> {
    /// Being prepared, from bytes that have come or without.
    Preparing {
        from_bytes: Option<Digest>,
    },
    /// The bytes of its module or of a blob are not here.
    Wanted {
        digest: Digest,
    },
    Ready {
        module: M,
        blob_bytes: u64,
    },
}

/// How a job's module stands for a piece of work that has come.
#[derive(Debug)]
pub(crate) enum Readiness {
    /// It is ready.
    Ready,
    /// It is to be prepared: the job is new here, and nothing waits for it.
    New,
    /// It is under way.
    Pending,
}

impl<M> Default for Modules<M> {
    fn default() -> Self {
        Self { jobs: BTreeMap::new(), asked: BTreeMap::new(), uses: 0, changed: false }
    }
}

impl<M: Clone> Modules<M> {
    /// Work of a job has come.
    pub(crate) fn assigned(&mut self, job: JobId, spec: &Arc<TaskSpec>) -> Readiness {
        self.uses += 1;
        let used = self.uses;
        // A scheduler that died gives the numbers of jobs which were not durable to others.
        let known = self.jobs.get_mut(&job).filter(|known| known.spec == *spec);
        let Some(known) = known else {
            let state = ModuleState::Preparing { from_bytes: None };
            self.jobs.insert(job, Job { spec: Arc::clone(spec), state, task_us: None, used });
            return Readiness::New;
        };
        known.used = used;
        if matches!(known.state, ModuleState::Ready { .. }) {
            return Readiness::Ready;
        }
        self.changed = true;
        Readiness::Pending
    }

    /// The job's module or one of its blobs is not here; its digest, if it is to be asked for. It
    /// is asked for once, however many jobs want it.
    pub(crate) fn wanted(&mut self, job: JobId, digest: Digest, now: Micros) -> Option<Digest> {
        let job = self.jobs.get_mut(&job)?;
        self.changed = true;
        job.state = ModuleState::Wanted { digest };
        if self.has_arrived(digest) || self.asked.contains_key(&digest) {
            return None;
        }
        self.asked.insert(digest, now.after(ARRIVAL_MAX));
        Some(digest)
    }

    /// True if a job is being prepared from these bytes: others can have them then.
    fn has_arrived(&self, digest: Digest) -> bool {
        let of = |job: &Job<M>| matches!(job.state, ModuleState::Preparing { from_bytes: Some(from) } if from == digest);
        self.jobs.values().any(of)
    }

    /// Bytes have come; the jobs that wait for them, to be prepared.
    pub(crate) fn arrived(&mut self, digest: Digest) -> Vec<(JobId, Arc<TaskSpec>)> {
        self.asked.remove(&digest);
        self.prepare_wanted(Some(digest), |wanted| wanted == digest)
    }

    /// The job's module is prepared.
    pub(crate) fn ready(&mut self, job: JobId, module: M, blob_bytes: u64) {
        if let Some(job) = self.jobs.get_mut(&job) {
            self.changed = true;
            job.state = ModuleState::Ready { module, blob_bytes };
        }
    }

    /// The job's module cannot be run. The next work of it asks anew: for how long a refusal holds is
    /// for the sandbox to say, which remembers what it depends on.
    pub(crate) fn failed(&mut self, job: JobId) {
        self.changed = true;
        self.jobs.remove(&job);
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
                known.state = ModuleState::Preparing { from_bytes };
                jobs.push((*job, Arc::clone(&known.spec)));
            }
        }
        jobs
    }

    /// True if the job is known, and by what it is asked for here.
    pub(crate) fn is_of(&self, job: JobId, spec: &TaskSpec) -> bool {
        self.jobs.get(&job).is_some_and(|known| *known.spec == *spec)
    }

    /// The module or blob cannot be had; the jobs that wait for it.
    pub(crate) fn missing(&mut self, digest: Digest) -> Vec<JobId> {
        self.asked.remove(&digest);
        let wants = |job: &Job<M>| job.state.wants() == Some(digest);
        self.jobs.iter().filter(|(_, known)| wants(known)).map(|(job, _)| *job).collect()
    }

    /// The jobs with tasks that wait for a module which is not compiled here, if that may have
    /// changed since this was last asked; `waits` says whether a job has some. What is loaded from
    /// the cache is ready at once.
    pub(crate) fn changed(&mut self, waits: impl Fn(JobId) -> bool) -> Option<Vec<JobId>> {
        if !core::mem::take(&mut self.changed) {
            return None;
        }
        let is_made = |job: &&Job<M>| {
            matches!(
                job.state,
                ModuleState::Wanted { .. } | ModuleState::Preparing { from_bytes: Some(_) }
            )
        };
        let made: BTreeSet<Digest> =
            self.jobs.values().filter(is_made).map(|job| job.spec.module).collect();
        let is_named = |(job, known): &(&JobId, &Job<M>)| {
            let is_ready = matches!(known.state, ModuleState::Ready { .. });
            !is_ready && made.contains(&known.spec.module) && waits(**job)
        };
        Some(self.jobs.iter().filter(is_named).map(|(job, _)| *job).collect())
    }

    /// The scheduler of a new link has been told nothing.
    pub(crate) fn report_anew(&mut self) {
        self.changed = true;
    }

    /// The modules and blobs that were asked for and have not come; the wait for them starts anew.
    pub(crate) fn ask_again(&mut self, now: Micros) -> impl Iterator<Item = Digest> {
        self.asked.values_mut().for_each(|until| *until = now.after(ARRIVAL_MAX));
        self.asked.keys().copied()
    }

    /// When a module or a blob is waited for no longer.
    pub(crate) fn next_overdue(&self) -> Option<Micros> {
        self.asked.values().min().copied()
    }

    /// The modules and blobs that did not come in time.
    pub(crate) fn overdue(&self, now: Micros) -> Vec<Digest> {
        let late = self.asked.iter().filter(|(_, until)| **until <= now);
        late.map(|(digest, _)| *digest).collect()
    }

    /// The job's module, if it is ready.
    pub(crate) fn prepared(&mut self, job: JobId) -> Option<M> {
        self.uses += 1;
        let job = self.jobs.get_mut(&job)?;
        job.used = self.uses;
        match &job.state {
            ModuleState::Ready { module, .. } => Some(module.clone()),
            _ => None,
        }
    }

    /// About how long a task of the job takes, in microseconds, if one has ended.
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
        let bytes = |job: &Job<M>| match &job.state {
            ModuleState::Ready { blob_bytes, .. } => *blob_bytes,
            ModuleState::Wanted { .. } | ModuleState::Preparing { .. } => 0,
        };
        self.jobs.values().map(bytes).sum()
    }

    /// Drops what was not used for longest, if too much is held and `needed` does not say
    /// that it is queued.
    pub(crate) fn trim(&mut self, needed: impl Fn(JobId) -> bool) {
        while self.jobs.len() > JOBS_MAX || self.blob_bytes() > BLOB_BYTES_MAX {
            let idle = self.jobs.iter().filter(|(job, known)| {
                matches!(known.state, ModuleState::Ready { .. }) && !needed(**job)
            });
            let Some(oldest) = idle.min_by_key(|(_, known)| known.used).map(|(job, _)| *job) else {
                return;
            };
            self.jobs.remove(&oldest);
        }
    }
}

impl<M> ModuleState<M> {
    /// What is waited for.
    const fn wants(&self) -> Option<Digest> {
        match self {
            Self::Wanted { digest } => Some(*digest),
            Self::Preparing { .. } | Self::Ready { .. } => None,
        }
    }
}
