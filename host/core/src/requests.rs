//! What clients ask for: submit, append, close, cancel, drain.

use alloc::{format, string::String};

use wasmgrid_proto::{
    JobId, JobSpec, JobState, OutcomeClass, Record, TaskRange,
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
        inputs: u64,
        closed: bool,
    ) {
        let known = key.as_ref().and_then(|key| self.ledger.by_key(&spec.task.tenant, key));
        if let Some(job) = known {
            let reply = self.resubmitted(job, &spec, inputs, closed);
            return self.output(Output::Reply { request, reply });
        }
        if inputs > TASKS_MAX {
            return self.reply(request, Err(too_many(inputs)));
        }
        let job = self.ledger.next_job();
        self.persist(Record::JobSubmitted { job, spec, idempotency_key: key, at: self.now });
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
        inputs: u64,
        closed: bool,
    ) -> Result<Reply, ApiError> {
        let status = self.job(job).ok_or_else(|| no_job(job))?;
        let total = status.counts.total;
        // Where the first one left the job open, more may have been appended since.
        let fits = if closed { status.closed && inputs == total } else { inputs <= total };
        if status.spec != *spec || !fits {
            let message =
                format!("the idempotency key is that of job {job}, which asks for something else");
            return Err(ApiError { code: ErrorCode::Conflict, message });
        }
        Ok(Reply::Job(status))
    }

    pub(crate) fn append(&mut self, request: RequestId, job: JobId, first: u64, count: u64) {
        let tasks = TaskRange { first, count };
        let fresh = self.find(job).and_then(|entry| check_append(job, entry, tasks));
        match fresh {
            Ok(true) => {
                self.append_inputs(request, job, tasks);
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
        self.revoke_all(id);
        self.reply(request, Ok(()));
    }

    fn find(&self, job: JobId) -> Result<&Job, ApiError> {
        self.ledger.jobs.get(&job).ok_or_else(|| no_job(job))
    }

    pub(crate) fn reply(&mut self, request: RequestId, result: Result<(), ApiError>) {
        self.output(Output::Reply { request, reply: result.map(|()| Reply::Done) });
    }
}

/// Whether an append is new; false where it repeats one that was done.
fn check_append(job: JobId, entry: &Job, tasks: TaskRange) -> Result<bool, ApiError> {
    let (total, first) = (entry.total(), tasks.first);
    if tasks.count > TASKS_MAX || tasks.end() > TASKS_MAX {
        return Err(too_many(tasks.end()));
    }
    if tasks.end() <= total {
        return Ok(false);
    }
    if !entry.is_active() || entry.has_given_up() {
        return Err(conflict(format!("job {job} takes no more inputs: it has ended or failed")));
    }
    if entry.closed {
        return Err(conflict(format!("job {job} takes no more inputs: it was closed at {total}")));
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
