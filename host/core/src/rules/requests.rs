//! What clients ask for: submit, append, close, cancel, retry, drain.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use wasmgrid_proto::{
    Digest, JobId, JobSpec, JobState, Limits, OutcomeClass, Reason, Record, Resource, TaskRange,
    reason::{KeyUse, NotOpen},
    wire::{ApiError, Reply},
};

use super::{
    bounds::{check_demand, check_key, check_spec},
    functions::Call,
    grid::Grid,
};
use crate::{
    io::{Input, InputBytes, Output, RequestId},
    ledger::{
        Job, Last, PRODUCERS_MAX, Producers, RANGE_BYTES, REMEMBERED, SEGMENT_BYTES, job_bytes,
    },
    placement::Worker,
    planted::Planted,
};

/// Tasks of one job at most. Far above any real job, and far below where sums of indices and
/// counts would leave 64 bits.
const TASKS_MAX: u64 = 1 << 40;

/// Runs of tasks in one record of a retry: so many records of a bounded size, not one without.
const RUNS_PER_RECORD: usize = 4_096;

/// Sets of a retry that have its tasks: those that it took, and those that are open, or did not end
/// ok after that.
const RETRY_SETS: u64 = 2;

/// Stands behind the name of a job that retries another, before the other's id.
const RETRY_OF: &str = " (retry of ";

impl Grid {
    /// Takes what a client or an operator asks for; nothing else is given to it.
    pub(super) fn take_request(&mut self, input: Input) {
        self.begin_act(&input);
        match input {
            Input::Submit { request, spec, idempotency_key, inputs, bytes, closed, digest } => {
                self.submit(request.id, spec, idempotency_key, (inputs, bytes, digest), closed);
            }
            Input::AppendAt { request, job, first, count, bytes, digest } => {
                self.append_at(request.id, job, (TaskRange { first, count }, bytes), digest);
            }
            Input::Skip { request, job, first, count, digest } => {
                self.skip(request.id, job, TaskRange { first, count }, digest);
            }
            Input::Append { request, job, producer, number, count, bytes } => {
                self.append(request.id, job, (producer, number), (count, bytes));
            }
            Input::DeployFunction { request, name, spec } => {
                self.deploy(request.id, &name, spec);
            }
            Input::DeleteFunction { request, tenant, name } => {
                self.delete_function(request.id, &tenant, &name);
            }
            Input::Call { request, tenant, name, module, producer, number, count, bytes } => {
                let producer = (producer, number);
                let call = Call { tenant: &tenant, name: &name, module, producer };
                self.call(request.id, call, (count, bytes));
            }
            Input::Retry { request, job, limits, idempotency_key } => {
                self.retry_failed(request.id, job, limits, idempotency_key);
            }
            Input::Close { request, job } => self.close(request.id, job),
            Input::Cancel { request, job } => {
                let by = request.by.name.to_string();
                self.cancel(request.id, job, by);
            }
            Input::DrainWorker { request, name } => self.drain_worker(request.id, &name),
            Input::CordonWorker { request, name, cordoned } => {
                self.cordon_worker(request.id, &name, cordoned);
            }
            Input::RemoveWorker { request, name } => self.remove_worker(request.id, &name),
            Input::SetQuota { request, tenant, resource, allowed } => {
                self.set_quota(request.id, tenant, resource, allowed);
            }
            _ => {}
        }
    }

    pub(super) fn submit(
        &mut self,
        request: RequestId,
        mut spec: Box<JobSpec>,
        key: Option<String>,
        (inputs, bytes, digest): (u64, InputBytes, Digest),
        closed: bool,
    ) {
        if let Err(error) = check_key(key.as_deref()).and_then(|()| check_spec(&spec)) {
            return self.reply(request, Err(error));
        }
        if spec.function().is_some() {
            return self.reply(request, Err(Reason::NoFunctionJob.into()));
        }
        // Jobs that require the same are of one class, however they say it.
        spec.requires.sort_unstable();
        spec.requires.dedup();
        let known = key.as_ref().and_then(|key| self.ledger.by_key(&spec.task.tenant, key));
        if let Some(job) = known {
            let reply = self.resubmitted(job, &spec, digest);
            return self.answer(request, reply);
        }
        if inputs > TASKS_MAX {
            return self.reply(request, Err(too_many(inputs)));
        }
        let room = bytes.stored.saturating_add(job_bytes(&spec, key.as_deref()));
        self.make_room(&spec.task.tenant, room);
        if let Err(error) = self.check_new_job(&spec, key.as_deref(), (inputs, bytes.stored, 0)) {
            return self.reply(request, Err(error));
        }
        let (job, at) = (self.ledger.next_job(), self.date());
        self.persist(Record::JobSubmitted { job, spec, idempotency_key: key, digest, at });
        self.activate(job);
        if inputs > 0 {
            self.append_inputs(request, job, (TaskRange { first: 0, count: inputs }, bytes));
        }
        if closed {
            self.persist(Record::InputsClosed { job });
        }
        let reply = self.settled(job);
        self.answer(request, reply);
    }

    /// Refuses a job that its tenant may not have beside those that it has.
    pub(super) fn check_new_job(
        &self,
        spec: &JobSpec,
        key: Option<&str>,
        (tasks, bytes, ranges): (u64, u64, u64),
    ) -> Result<(), ApiError> {
        self.takes_work()?;
        if let Some(used) = self.placement.new_demand(spec) {
            check_demand(&spec.task.tenant, used)?;
        }
        let record = job_bytes(spec, key).saturating_add(ranges);
        let more = [
            (Resource::Jobs, 1),
            (Resource::OpenJobs, 1),
            (Resource::RecordBytes, record),
            (Resource::WaitingTasks, tasks),
            (Resource::Bytes, bytes.saturating_add(record)),
        ];
        self.check_quota(&spec.task.tenant, &more)
    }

    /// Refuses new work while the store takes none.
    fn takes_work(&self) -> Result<(), ApiError> {
        self.refuses.clone().map_or(Ok(()), |why| Err(why.into()))
    }

    /// Refuses an append that its job's tenant may not have beside what it has: its inputs, and what
    /// it takes itself, however few they are.
    fn check_inputs(&self, job: JobId, tasks: u64, bytes: u64) -> Result<(), ApiError> {
        self.takes_work()?;

        let more = [
            (Resource::WaitingTasks, tasks),
            (Resource::RecordBytes, SEGMENT_BYTES),
            (Resource::Bytes, bytes.saturating_add(SEGMENT_BYTES)),
        ];
        self.check_quota(self.find(job)?.tenant(), &more)
    }

    /// Answers a repeated submit, unless it cannot be the one that made the job: then what came
    /// with it would be lost while it looks accepted.
    fn resubmitted(&self, job: JobId, spec: &JobSpec, digest: Digest) -> Result<Reply, ApiError> {
        let status = self.job(job).ok_or_else(|| no_job(job))?;
        if status.spec == *spec && self.find(job)?.digest() == digest {
            return Ok(Reply::Job(status));
        }
        let with = if status.spec == *spec { KeyUse::OtherInputs } else { KeyUse::OtherJob };
        Err(Reason::KeyInUse { job, with }.into())
    }

    pub(super) fn append_at(
        &mut self,
        request: RequestId,
        job: JobId,
        (tasks, bytes): (TaskRange, InputBytes),
        digest: Digest,
    ) {
        self.make_room_for_inputs(job, bytes.stored);
        let fresh = self.find(job).and_then(|entry| check_append(job, entry, tasks, digest));
        let fresh = fresh.and_then(|fresh| {
            // What was done before is no more than it was.
            if fresh {
                self.check_inputs(job, tasks.count, bytes.stored).map(|()| true)
            } else {
                Ok(false)
            }
        });
        match fresh {
            Ok(true) => {
                self.append_inputs(request, job, (tasks, bytes));
                self.persist(Record::InputsDigest { job, tasks, digest });
                self.reply(request, Ok(()));
            }
            Ok(false) => self.reply(request, Ok(())),
            Err(error) => self.reply(request, Err(error)),
        }
    }

    /// Leaves indices behind what the job has without a task.
    pub(super) fn skip(
        &mut self,
        request: RequestId,
        job: JobId,
        tasks: TaskRange,
        digest: Digest,
    ) {
        let fresh = self.find(job).and_then(|entry| {
            let fresh = check_append(job, entry, tasks, digest)?;
            if fresh {
                self.check_inputs(job, 0, 0)?;
            }
            Ok(fresh)
        });
        if fresh == Ok(true) {
            self.persist(Record::IndicesSkipped { job, tasks });
            self.persist(Record::InputsDigest { job, tasks, digest });
        }
        self.reply(request, fresh.map(|_| ()));
    }

    /// Appends at the job's end: once for each number that a producer gives.
    pub(super) fn append(
        &mut self,
        request: RequestId,
        job: JobId,
        (producer, number): (u64, u64),
        (count, bytes): (u64, InputBytes),
    ) {
        let first = self.find(job).and_then(|_| {
            let known = self.repeated(job, self.ledger.producers(job), (producer, number))?;
            if let Some(known) = known
                && !self.config.breaks(Planted::RepeatedExtend)
            {
                return Ok((known.first, true));
            }
            Ok((0, false))
        });
        let first = match first {
            Ok((_, false)) => {
                let first = self.append_behind(request, job, (count, bytes));
                if let Ok(first) = first {
                    self.persist(Record::ProducerNoted { job, producer, number, first });
                }
                first
            }
            repeated => repeated.map(|(first, _)| first),
        };
        self.answer(request, first.map(|first| Reply::Appended { first }));
    }

    /// What a producer's request got before; `None` where it is the next one.
    pub(super) fn repeated(
        &self,
        job: JobId,
        producers: Option<&Producers>,
        (producer, number): (u64, u64),
    ) -> Result<Option<Last>, ApiError> {
        let known = producers.and_then(|producers| producers.last(producer));
        let last = known.map_or(0, |known| known.number);
        match known {
            Some(known) if known.number == number => Ok(Some(known)),
            _ if last.checked_add(1) != Some(number) => {
                Err(Reason::OutOfOrder { job, number, last }.into())
            }
            None if producers.is_some_and(|producers| producers.is_full(self.now)) => {
                let (allowed, within) = (PRODUCERS_MAX as u64, REMEMBERED);
                Err(Reason::TooManyProducers { job, allowed, within }.into())
            }
            _ => Ok(None),
        }
    }

    /// Appends inputs at the end of a job that takes some; the index of the first of them.
    pub(super) fn append_behind(
        &mut self,
        request: RequestId,
        job: JobId,
        (count, bytes): (u64, InputBytes),
    ) -> Result<u64, ApiError> {
        self.make_room_for_inputs(job, bytes.stored);
        let entry = self.find(job)?;
        check_open(job, entry)?;
        let first = entry.next_index();
        let fits = count <= TASKS_MAX && first + count <= TASKS_MAX;
        if !fits {
            return Err(too_many(first.saturating_add(count)));
        }
        self.check_inputs(job, count, bytes.stored)?;
        if count > 0 {
            self.append_inputs(request, job, (TaskRange { first, count }, bytes));
        }
        Ok(first)
    }

    /// Inputs that are kept for readers alone give way to new ones of the same tenant.
    fn make_room_for_inputs(&mut self, job: JobId, bytes: u64) {
        if let Some(entry) = self.ledger.job(job) {
            let tenant = String::from(entry.tenant());
            self.make_room(&tenant, bytes.saturating_add(SEGMENT_BYTES));
        }
    }

    fn append_inputs(
        &mut self,
        request: RequestId,
        job: JobId,
        (tasks, bytes): (TaskRange, InputBytes),
    ) {
        let record = Record::InputsAppended { job, tasks, bytes: bytes.own };
        self.persist_as(record, |record| Output::PersistInputs { request, record });
        let Some(entry) = self.ledger.job(job) else { return };
        self.placement.change_queue(job, |queue| queue.put(tasks, entry, &self.config));
        self.stored.append(entry.tenant(), job, tasks.first, bytes.stored);
    }

    pub(super) fn close(&mut self, request: RequestId, job: JobId) {
        let done = self.find(job).map(Job::is_closed);
        if done == Ok(false) {
            self.persist(Record::InputsClosed { job });
        }
        self.reply(request, done.map(|_| ()));
    }

    pub(super) fn cancel(&mut self, request: RequestId, job: JobId, by: String) {
        let state = self.find(job).map(Job::state);
        let result = match state {
            Err(error) => Err(error),
            Ok(JobState::Cancelled) => Ok(()),
            Ok(JobState::Active) => {
                let record = Record::CancelRequested { job, by: by.clone(), at: self.date() };
                self.persist(record);
                self.end_early(job, OutcomeClass::Cancelled, JobState::Cancelled, &by);
                Ok(())
            }
            Ok(state) => Err(Reason::JobEnded { job, state }.into()),
        };
        self.reply(request, result);
    }

    /// Makes a job of the tasks of an ended one that did not end ok: their results stay, and the
    /// new job's are under the same indices, so that seeds are the same too.
    pub(super) fn retry_failed(
        &mut self,
        request: RequestId,
        of: JobId,
        limits: Option<Limits>,
        key: Option<String>,
    ) {
        let spec = check_key(key.as_deref()).and_then(|()| self.find(of));
        let reply = match spec.map(|entry| retry_spec(of, entry, limits)) {
            Err(error) => Err(error),
            Ok(spec) => match key.as_ref().and_then(|k| self.ledger.by_key(&spec.task.tenant, k)) {
                Some(job) => self.retried_before(job, of, &spec),
                None => self.make_retry(of, spec, key),
            },
        };
        self.answer(request, reply);
    }

    fn retried_before(&self, job: JobId, of: JobId, spec: &JobSpec) -> Result<Reply, ApiError> {
        let status = self.job(job).ok_or_else(|| no_job(job))?;
        let fits = status.spec == *spec && self.input_of(job, 0) == self.input_of(of, 0);
        if fits {
            Ok(Reply::Job(status))
        } else {
            Err(Reason::KeyInUse { job, with: KeyUse::OtherJob }.into())
        }
    }

    fn make_retry(
        &mut self,
        of: JobId,
        spec: JobSpec,
        key: Option<String>,
    ) -> Result<Reply, ApiError> {
        let entry = self.find(of)?;
        check_retry(of, entry)?;
        // What the retry keeps of its tasks is as much as they are in pieces: before any is copied.
        let ranges = RETRY_SETS * RANGE_BYTES * entry.failed_runs() as u64;
        self.check_new_job(&spec, key.as_deref(), (1, 0, ranges))?;
        let mut tasks = failed_tasks(of, entry)?;
        let (job, source) = (self.ledger.next_job(), self.input_of(of, 0).job);
        if !self.find(source).is_ok_and(|entry| entry.inputs().has_ended(&tasks)) {
            return Err(Reason::InputsDeleted { job: of }.into());
        }
        if self.config.breaks(Planted::RetryOfAll) {
            let count = self.find(of)?.next_index();
            tasks = Vec::from([TaskRange { first: 0, count }]);
        }
        let count = tasks.iter().map(|part| part.count).sum();
        self.check_new_job(&spec, key.as_deref(), (count, 0, ranges))?;
        let (spec, digest, at) = (Box::new(spec), retry_digest(source), self.date());
        self.persist(Record::JobSubmitted { job, spec, idempotency_key: key, digest, at });
        for tasks in tasks.chunks(RUNS_PER_RECORD) {
            self.persist(Record::InputsTaken { job, of: source, tasks: tasks.to_vec() });
        }
        self.persist(Record::InputsClosed { job });
        self.activate(job);
        self.settled(job)
    }

    /// How a new job stands once it is settled: it may have ended with its submit.
    fn settled(&mut self, job: JobId) -> Result<Reply, ApiError> {
        self.settle();
        self.job(job).map(Reply::Job).ok_or_else(|| no_job(job))
    }

    pub(super) fn drain_worker(&mut self, request: RequestId, name: &str) {
        let known = self.ledger.worker(name);
        let linked = known.filter(|id| self.placement.worker(*id).is_some_and(Worker::is_linked));
        let Some(id) = linked else {
            return self.reply(request, Err(Reason::WorkerAway { name: name.into() }.into()));
        };
        let process = self.placement.worker(id).map(Worker::started);
        if self.ledger.drained(id) != process {
            self.persist(Record::WorkerDrained { worker: id, process });
        }
        self.placement.change_worker(id, Worker::drain);
        self.output(Output::Drain { worker: id });
        self.revoke_all(id);
        self.reply(request, Ok(()));
    }

    pub(super) fn find(&self, job: JobId) -> Result<&Job, ApiError> {
        self.ledger.job(job).ok_or_else(|| no_job(job))
    }

    pub(super) fn reply(&mut self, request: RequestId, result: Result<(), ApiError>) {
        self.answer(request, result.map(|()| Reply::Done));
    }

    /// Answers a request. What it leads to is before the answer.
    pub(super) fn answer(&mut self, request: RequestId, reply: Result<Reply, ApiError>) {
        self.settle();
        self.end_act(reply.as_ref().err());
        self.output(Output::Reply { request, reply: Box::new(reply) });
    }
}

/// Whether an append is new; false where it repeats one that was done.
fn check_append(
    job: JobId,
    entry: &Job,
    tasks: TaskRange,
    digest: Digest,
) -> Result<bool, ApiError> {
    let (next, first) = (entry.next_index(), tasks.first);
    if tasks.count > TASKS_MAX || tasks.end() > TASKS_MAX {
        return Err(too_many(tasks.end()));
    }
    if entry.appends().knows(tasks, digest) || (tasks.count == 0 && first <= next) {
        return Ok(false);
    }
    // So are those of calls, whose producers are the function's.
    let is_shared = !entry.producers().is_empty() || entry.function().is_some();
    if is_shared || entry.source().is_some() {
        // What is there at these indices may be somebody else's.
        return Err(Reason::Shared { job, first }.into());
    }
    check_open(job, entry)?;
    if first < next {
        return Err(Reason::Overlap { job, first, next }.into());
    }
    if first != next {
        return Err(Reason::Gap { job, first, next }.into());
    }
    Ok(true)
}

/// Fails where a job takes no more inputs.
fn check_open(job: JobId, entry: &Job) -> Result<(), ApiError> {
    let why = match entry.state() {
        state if state.is_terminal() => NotOpen::Ended(state),
        _ if entry.has_given_up() => NotOpen::GaveUp,
        _ if entry.is_closed() => NotOpen::Closed { at: entry.next_index() },
        _ => return Ok(()),
    };
    Err(Reason::JobClosed { job, why }.into())
}

/// Fails where a job cannot be retried yet.
fn check_retry(job: JobId, entry: &Job) -> Result<(), ApiError> {
    if entry.is_active() {
        return Err(Reason::JobActive { job }.into());
    }
    Ok(())
}

/// The tasks that a retry of a job runs.
fn failed_tasks(job: JobId, entry: &Job) -> Result<Vec<TaskRange>, ApiError> {
    let tasks = entry.failed_tasks().ok_or(Reason::TooScattered { job })?;
    if tasks.is_empty() {
        return Err(Reason::NothingFailed { job }.into());
    }
    Ok(tasks)
}

/// The spec of the job that retries another.
fn retry_spec(of: JobId, entry: &Job, limits: Option<Limits>) -> JobSpec {
    let mut spec = entry.spec().clone();
    let plain = spec.name.rfind(RETRY_OF).and_then(|at| spec.name.get(..at)).unwrap_or(&spec.name);
    spec.name = format!("{plain}{RETRY_OF}{of})");
    spec.task.limits = limits.unwrap_or(spec.task.limits);
    spec
}

fn no_job(job: JobId) -> ApiError {
    Reason::NoJob { job }.into()
}

fn too_many(inputs: u64) -> ApiError {
    Reason::TooManyInputs { inputs, allowed: TASKS_MAX }.into()
}

/// What a retry asks for, by content; unlike what any submit asks for.
fn retry_digest(source: JobId) -> Digest {
    Digest::of_parts(&[b"retry", &source.0.to_le_bytes()])
}
