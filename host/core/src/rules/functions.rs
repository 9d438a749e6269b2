//! Functions: a name for an open job to which calls are appended. A deployment, and every so many calls or
//! minutes, gives a function another job, so that the results of calls are kept for minutes: the job before
//! takes no more, ends with its last call, and is deleted soon after.

use alloc::{boxed::Box, string::String};

use wasmgrid_proto::{
    Digest, FUNCTIONS_MAX, FunctionStatus, JobId, JobSpec, Millis, Reason, Record,
    is_function_name,
    text::Detail,
    wire::{ApiError, Reply},
};

use super::{bounds::check_spec, grid::Grid};
use crate::{
    io::{InputBytes, RequestId},
    ledger::{Function, Job, Last},
    placement::Queue,
    planted::Planted,
};

/// Calls after which a function gets another job.
const CALLS_OF_A_JOB: u64 = 1_000_000;

/// For how long a job takes the calls of a function.
const JOB_LIFE: Millis = Millis(10 * 60 * 1_000);

/// For how long results of calls, and their job, are kept after that ended.
pub(super) const CALLS_KEPT: Millis = Millis(5 * 60 * 1_000);

/// Who calls what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) tenant: &'a str,
    pub(super) name: &'a str,
    /// Only this version.
    pub(super) module: Option<Digest>,
    /// The producer, and its number of the request.
    pub(super) producer: (u64, u64),
}

/// What becomes of a call.
enum Taken {
    /// It was taken before, by this job, from this index on.
    Before(JobId, u64),
    /// It is for the job that is there.
    Now(JobId),
    /// It is for a new job of this spec.
    Anew(Box<JobSpec>),
}

impl Grid {
    /// Makes a function, or gives it a job of another spec.
    pub(super) fn deploy(&mut self, request: RequestId, name: &str, spec: Box<JobSpec>) {
        let tenant = String::from(spec.task.tenant.as_str());
        let deployed = self.check_function(&tenant, name, &spec).and_then(|()| {
            let before = self.ledger.functions().get(&tenant, name);
            // A repeated request finds what the first one made.
            if let Some(function) = before
                && self.takes_calls(function).is_some_and(|entry| *entry.spec() == *spec)
            {
                return Ok(());
            }
            self.give_job((&tenant, name), spec, true)
        });
        let reply = deployed.and_then(|()| {
            let status = self.function(&tenant, name);
            status.map(Reply::Function).ok_or_else(|| no_function(name))
        });
        self.answer(request, reply);
    }

    fn check_function(&self, tenant: &str, name: &str, spec: &JobSpec) -> Result<(), ApiError> {
        if !is_function_name(name) {
            return Err(Reason::FunctionName { name: Detail::from(name) }.into());
        }
        check_spec(spec)?;
        if spec.function().is_none() {
            return Err(Reason::NoFunctionJob.into());
        }
        let functions = self.ledger.functions();
        if functions.get(tenant, name).is_none() && functions.count(tenant) >= FUNCTIONS_MAX {
            return Err(Reason::TooManyFunctions { allowed: FUNCTIONS_MAX as u64 }.into());
        }
        Ok(())
    }

    /// Has another job take the calls of a function; that before takes no more.
    fn give_job(
        &mut self,
        (tenant, name): (&str, &str),
        mut spec: Box<JobSpec>,
        is_deployed: bool,
    ) -> Result<(), ApiError> {
        spec.requires.sort_unstable();
        spec.requires.dedup();
        self.check_new_job(&spec, None, (0, 0, 0))?;
        let before = self.ledger.functions().get(tenant, name);
        let calls = |function: Function| {
            let own = self.ledger.job(function.job).map_or(0, Job::next_index);
            function.called.saturating_add(own)
        };
        let called = before.map_or(0, calls);
        let at = self.date();
        let deployed = before.filter(|_| !is_deployed).map_or(at, |function| function.deployed);
        let job = self.ledger.next_job();
        let digest = Digest([0; 32]);
        self.persist(Record::JobSubmitted { job, spec, idempotency_key: None, digest, at });
        self.activate(job);
        let (tenant, name) = (tenant.into(), name.into());
        self.persist(Record::FunctionSet { tenant, name, job: Some(job), called, deployed });
        if let Some(function) = before {
            self.end_calls(function.job);
        }
        Ok(())
    }

    /// A job takes no more calls.
    fn end_calls(&mut self, job: JobId) {
        if self.ledger.job(job).is_some_and(|entry| entry.is_active() && !entry.is_closed()) {
            self.persist(Record::InputsClosed { job });
        }
        self.settle_job(job);
        // It was kept as long as it was the function's.
        self.retain(job);
    }

    pub(super) fn delete_function(&mut self, request: RequestId, tenant: &str, name: &str) {
        let found = self.ledger.functions().get(tenant, name);
        if let Some(function) = found {
            let (tenant, name) = (tenant.into(), name.into());
            let (called, deployed) = (function.called, function.deployed);
            self.persist(Record::FunctionSet { tenant, name, job: None, called, deployed });
            self.end_calls(function.job);
        }
        let found = found.ok_or_else(|| no_function(name));
        self.reply(request, found.map(|_| ()));
    }

    /// Appends calls to the job of a function: once for each number that a producer gives.
    pub(super) fn call(
        &mut self,
        request: RequestId,
        call: Call<'_>,
        (count, bytes): (u64, InputBytes),
    ) {
        let taken = self.check_call(call, count);
        let appended = taken.and_then(|taken| match taken {
            Taken::Before(job, first) => Ok((job, first)),
            Taken::Now(job) => self.append_calls(request, job, call, (count, bytes)),
            Taken::Anew(spec) => {
                self.give_job((call.tenant, call.name), spec, false)?;
                let function = self.ledger.functions().get(call.tenant, call.name);
                let job = function.ok_or_else(|| no_function(call.name))?.job;
                self.append_calls(request, job, call, (count, bytes))
            }
        });
        let reply = appended.map(|(job, first)| Reply::Called {
            job,
            first,
            cursor: self.results_before(job, first),
        });
        self.answer(request, reply);
    }

    fn check_call(&self, call: Call<'_>, count: u64) -> Result<Taken, ApiError> {
        let functions = self.ledger.functions();
        // Whatever has become of the function since: what was taken is not taken again.
        let callers = functions.callers(call.tenant, call.name);
        let known = callers.and_then(|callers| callers.last(call.producer.0));
        let function = functions.get(call.tenant, call.name);
        let is_forgotten = |known: &Last| {
            self.config.breaks(Planted::RepeatedCall)
                && function.is_some_and(|function| function.job != known.job)
        };
        if let Some(known) = known.filter(|known| known.number == call.producer.1)
            && !is_forgotten(&known)
        {
            return Ok(Taken::Before(known.job, known.first));
        }
        let function = function.ok_or_else(|| no_function(call.name))?;
        let entry = self.find(function.job)?;
        let found = entry.spec().task.module;
        if let Some(wanted) = call.module.filter(|wanted| *wanted != found) {
            let name = call.name.into();
            return Err(Reason::FunctionVersion { name, wanted, found }.into());
        }
        self.repeated(function.job, callers, call.producer)?;
        let allowed = u64::from(entry.function().unwrap_or_default().calls);
        if entry.open().len().saturating_add(count) > allowed {
            return Err(Reason::FunctionBusy { name: call.name.into(), allowed }.into());
        }
        let is_old = entry.submitted().after(JOB_LIFE) <= self.now && entry.next_index() > 0;
        let takes = self.takes_calls(function).is_some() && !is_old;
        if takes && entry.next_index().saturating_add(count) <= CALLS_OF_A_JOB {
            return Ok(Taken::Now(function.job));
        }
        Ok(Taken::Anew(Box::new(entry.spec().clone())))
    }

    /// A position in a job's result log before the results of a call, also of one that is repeated: of the
    /// calls before it no more had not ended than may be open at a time.
    fn results_before(&self, job: JobId, first: u64) -> u64 {
        let Some(entry) = self.ledger.job(job) else { return 0 };
        let calls = entry.function().unwrap_or_default().calls;
        entry.results().min(first.saturating_sub(calls.into()))
    }

    fn append_calls(
        &mut self,
        request: RequestId,
        job: JobId,
        call: Call<'_>,
        (count, bytes): (u64, InputBytes),
    ) -> Result<(JobId, u64), ApiError> {
        let first = self.append_behind(request, job, (count, bytes))?;
        let (producer, number) = call.producer;
        self.persist(Record::ProducerNoted { job, producer, number, first });
        Ok((job, first))
    }

    /// The job of a function, as long as it takes calls.
    fn takes_calls(&self, function: Function) -> Option<&Job> {
        let entry = self.ledger.job(function.job)?;
        (entry.is_active() && !entry.is_closed()).then_some(entry)
    }

    /// How a function of a tenant stands.
    #[must_use]
    pub fn function(&self, tenant: &str, name: &str) -> Option<FunctionStatus> {
        let function = self.ledger.functions().get(tenant, name)?;
        self.function_status((tenant, name), function)
    }

    /// The functions of a tenant behind `after`, by name.
    pub fn functions(
        &self,
        tenant: &str,
        after: Option<&str>,
    ) -> impl Iterator<Item = FunctionStatus> {
        let behind = self.ledger.functions().after(tenant, after);
        behind.filter_map(move |(name, function)| self.function_status((tenant, name), function))
    }

    fn function_status(
        &self,
        (tenant, name): (&str, &str),
        function: Function,
    ) -> Option<FunctionStatus> {
        let Function { job, before, called, deployed } = function;
        let entry = self.ledger.job(job)?;
        let open = |job| self.ledger.job(job).map_or(0, |entry| entry.open().len());
        Some(FunctionStatus {
            name: name.into(),
            tenant: tenant.into(),
            module: entry.spec().task.module,
            job,
            terms: entry.function().unwrap_or_default(),
            deployed,
            called: called.saturating_add(entry.next_index()),
            open: open(job) + before.map_or(0, open),
        })
    }

    /// True if a job takes the calls of a function: it is kept, whatever became of it.
    pub(super) fn is_function(&self, job: JobId) -> bool {
        self.ledger.functions().of_job(job).is_some()
    }

    /// How many more of a job's tasks may be on workers, if it takes calls of a function that bounds them.
    pub(super) fn call_room(&self, job: JobId) -> u64 {
        let terms = self.ledger.job(job).and_then(Job::function);
        let Some(most) = terms.and_then(|terms| terms.concurrency) else { return u64::MAX };
        let leased = self.placement.queue(job).map_or(0, Queue::leased);
        u64::from(most).saturating_sub(leased)
    }
}

fn no_function(name: &str) -> ApiError {
    Reason::NoFunction { name: name.into() }.into()
}
