//! What clients ask for: submit, append, close, cancel, drain.

use alloc::{format, string::String};

use wasmgrid_proto::{
    Digest, JobId, JobSpec, JobState, OutcomeClass, Record, TaskRange,
    wire::{ApiError, ErrorCode, Reply},
};

use crate::{Grid, Output, RequestId, job::Job};

/// Tasks of one job at most. Far above any real job, and far below where sums of indices and
/// counts would leave 64 bits.
const TASKS_MAX: u64 = 1 << 40;

impl Grid {
    pub(crate) fn submit(
        &mut self,
        request: RequestId,
        spec: JobSpec,
        key: Option<String>,
        (inputs, digest): (u64, Digest),
        closed: bool,
    ) {
        let known = key.as_ref().and_then(|key| self.ledger.by_key(&spec.task.tenant, key));
        if let Some(job) = known {
            let reply = self.resubmitted(job, &spec, (inputs, digest), closed);
            return self.output(Output::Reply { request, reply });
        }
        if inputs > TASKS_MAX {
            return self.reply(request, Err(too_many(inputs)));
        }
        let job = self.ledger.next_job();
        self.persist(Record::JobSubmitted { job, spec, idempotency_key: key, at: self.now });
        self.persist(Record::SubmitDigest { job, digest });
        self.activate(job);
        if inputs > 0 {
            self.append_inputs(request, job, TaskRange { first: 0, count: inputs });
        }
        if closed {
            self.persist(Record::InputsClosed { job });
        }
        self.settle_job(job);
        let reply = self.job(job).map(Reply::Job).ok_or_else(|| no_job(job));
        self.output(Output::Reply { request, reply });
    }

    /// Answers a repeated submit, unless it cannot be the one that made the job: then what came
    /// with it would be lost while it looks accepted.
    fn resubmitted(
        &self,
        job: JobId,
        spec: &JobSpec,
        (inputs, digest): (u64, Digest),
        closed: bool,
    ) -> Result<Reply, ApiError> {
        let status = self.job(job).ok_or_else(|| no_job(job))?;
        let total = status.counts.total;
        let known = self.ledger.jobs.get(&job).and_then(|entry| entry.digest);
        // A job of an older version has no digest. Where its submit left it open, more may have
        // been appended since.
        let by_count = if closed { status.closed && inputs == total } else { inputs <= total };
        let same_inputs = known.map_or(by_count, |known| known == digest);
        if status.spec == *spec && same_inputs {
            return Ok(Reply::Job(status));
        }
        let what =
            if status.spec == *spec { "has other inputs" } else { "asks for something else" };
        Err(conflict(format!(
            "the idempotency key is that of job {job}, which {what}; use another key for another \
             job"
        )))
    }

    pub(crate) fn append(
        &mut self,
        request: RequestId,
        job: JobId,
        tasks: TaskRange,
        digest: Digest,
    ) {
        let fresh = self.find(job).and_then(|entry| check_append(job, entry, tasks, digest));
        match fresh {
            Ok(true) => {
                self.append_inputs(request, job, tasks);
                self.persist(Record::InputsDigest { job, tasks, digest });
                self.refresh_job(job);
                self.reply(request, Ok(()));
            }
            Ok(false) => self.reply(request, Ok(())),
            Err(error) => self.reply(request, Err(error)),
        }
    }

    fn append_inputs(&mut self, request: RequestId, job: JobId, tasks: TaskRange) {
        let record = Record::InputsAppended { job, tasks };
        self.persist_as(record, |record| Output::PersistInputs { request, record });
        if let Some(entry) = self.ledger.jobs.get(&job)
            && let Some(queue) = self.queues.get_mut(&job)
        {
            queue.put(tasks, entry, &self.config);
        }
        self.changed.insert(job);
    }

    pub(crate) fn close(&mut self, request: RequestId, job: JobId) {
        let done = self.find(job).map(|entry| entry.closed);
        if done == Ok(false) {
            self.persist(Record::InputsClosed { job });
            self.changed.insert(job);
            self.settle_job(job);
        }
        self.reply(request, done.map(|_| ()));
    }

    pub(crate) fn cancel(&mut self, request: RequestId, job: JobId, by: String) {
        let state = self.find(job).map(|entry| entry.state);
        let result = match state {
            Err(error) => Err(error),
            Ok(JobState::Cancelled) => Ok(()),
            Ok(JobState::Active) => {
                let record = Record::CancelRequested { job, by: by.clone(), at: self.now };
                self.persist(record);
                self.end_early(job, OutcomeClass::Cancelled, JobState::Cancelled, &by);
                Ok(())
            }
            Ok(state) => Err(conflict(format!("job {job} has ended already: {state}"))),
        };
        self.reply(request, result);
    }

    pub(crate) fn drain_worker(&mut self, request: RequestId, name: &str) {
        let known = self.ledger.workers.get(name).copied();
        let linked = known.filter(|id| self.fleet.get(*id).is_some_and(|worker| worker.linked));
        let Some(id) = linked else {
            let message = format!(
                "no worker called {name:?} is linked; `wasmgrid worker list` shows those that are"
            );
            return self.reply(request, Err(ApiError { code: ErrorCode::NotFound, message }));
        };
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.draining = true;
        }
        self.refresh_worker(id);
        self.output(Output::Drain { worker: id });
        self.reply(request, Ok(()));
    }

    fn find(&self, job: JobId) -> Result<&Job, ApiError> {
        self.ledger.jobs.get(&job).ok_or_else(|| no_job(job))
    }

    fn reply(&mut self, request: RequestId, result: Result<(), ApiError>) {
        self.output(Output::Reply { request, reply: result.map(|()| Reply::Done) });
    }
}

/// Whether an append is new; false where it repeats one that was done.
fn check_append(
    job: JobId,
    entry: &Job,
    tasks: TaskRange,
    digest: Digest,
) -> Result<bool, ApiError> {
    let (total, first) = (entry.total(), tasks.first);
    if tasks.count > TASKS_MAX || tasks.end() > TASKS_MAX {
        return Err(too_many(tasks.end()));
    }
    if entry.appends.knows(tasks, digest) || (tasks.count == 0 && first <= total) {
        return Ok(false);
    }
    if !entry.is_active() || entry.has_given_up() {
        return Err(conflict(format!("job {job} takes no more inputs: it has ended or failed")));
    }
    if entry.closed {
        return Err(conflict(format!("job {job} takes no more inputs: it was closed at {total}")));
    }
    if first < total {
        return Err(conflict(format!(
            "job {job} has {total} inputs, and those from {first} on are others than these, or \
             were appended too long ago to tell; append at {total} what is not there"
        )));
    }
    if first != total {
        let message =
            format!("inputs from {first} do not fit job {job}, which has {total}; append there");
        return Err(ApiError { code: ErrorCode::Invalid, message });
    }
    Ok(true)
}

fn no_job(job: JobId) -> ApiError {
    let message = format!("there is no job {job}; `wasmgrid job list` shows those that are");
    ApiError { code: ErrorCode::NotFound, message }
}

fn too_many(inputs: u64) -> ApiError {
    let message = format!("a job has at most {TASKS_MAX} inputs, not {inputs}; split it");
    ApiError { code: ErrorCode::Invalid, message }
}

fn conflict(message: String) -> ApiError {
    ApiError { code: ErrorCode::Conflict, message }
}
