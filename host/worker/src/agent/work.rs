//! The agent's work: assignments become pieces, pieces wait for their module, then for a slot;
//! what slots give becomes results.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use wasmgrid_failpoints::{Place, reach};
use wasmgrid_proto::{
    Digest, JobId, LeaseId, Outcome, ResultBlock, ResultMeta, TaskRange, TaskSpec, Usage,
    text::{REASON_MAX, shortened},
    wire::{Assign, Compiled, FromWorker, NeedModule, Overrun, Preparing, Returned},
};
use wasmgrid_sandbox::{ModuleSource, PrepareError, Prepared, SlotEvent};

use super::{Agent, Event, able::NOT_BEGUN};
use crate::{modules::Next, queue::Piece};

/// Cancelled jobs that are remembered; the oldest are forgotten. An assignment is overtaken by
/// milliseconds at most.
const CANCELLED_MAX: usize = 1_024;

/// The task time of one batch of a slot: its way to the runner and back then no longer shows.
const BATCH_US: u64 = 5_000;

/// The same where several tenants have work here, of whom none can overtake what a slot has.
const BATCH_US_SHARED: u64 = 1_000;

/// Tenants that take turns on a slot without a start of a process at each: more of them have the
/// longer turns.
const SHARED_MAX: usize = 4;

/// For so long the work here is taken to be that of several tenants: one that does one thing after
/// the other mostly has nothing here.
const SHARED: Duration = Duration::from_secs(1);

/// Why tasks go back that the scheduler asked for.
const TAKEN_BACK: &str = "taken back";

/// Compilations that are kept to be told of while there is no link: more than modules are held.
const COMPILED_MAX: usize = 256;

/// What tasks are told whose module cannot be had.
const NO_COPY: &str =
    "the scheduler has no copy of the module, or of a value it is given; submit the job again";

impl Agent {
    pub(super) fn assign(&mut self, assign: Assign, mut payload: Bytes) {
        let Assign { job, spec, leases } = assign;
        let spec = Arc::new(spec);
        for grant in leases {
            // The frame was checked: its payload is as long as its leases say.
            let length = usize::try_from(grant.inputs.payload_len()).unwrap_or(usize::MAX);
            let bytes = payload.split_to(length.min(payload.len()));
            if let Err(error) = grant.inputs.check() {
                let piece = Piece::new(job, spec.clone(), grant, bytes);
                self.end(&piece, &Outcome::Refused(format!("the inputs: {error}")));
                continue;
            }
            let piece = Piece::new(job, spec.clone(), grant, bytes);
            if self.cancelled.contains(&job) {
                self.give_back(&[piece], "the job was cancelled");
            } else if self.leaving.is_some() {
                self.give_back(&[piece], "the worker leaves");
            } else if self.unable.is_some() {
                self.give_back(&[piece], NOT_BEGUN);
            } else {
                let (recalled, rest) = self.recalled.part(piece);
                self.give_back(&recalled, TAKEN_BACK);
                rest.into_iter().for_each(|piece| self.accept(piece));
            }
        }
    }

    fn accept(&mut self, piece: Piece) {
        let job = piece.job;
        match self.modules.assigned(piece) {
            Next::Queue(piece) => self.queue.push(piece),
            Next::Wait => {}
            Next::Prepare(spec) => {
                let queue = &self.queue;
                self.modules.trim(|job| queue.pieces().any(|piece| piece.job == job));
                self.prepare(job, spec, ModuleSource::Cached);
            }
        }
    }

    fn prepare(&self, job: JobId, spec: Arc<TaskSpec>, source: ModuleSource) {
        let (sandbox, events) = (self.sandbox.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let (result, took) = sandbox.prepare_timed(&spec, source).await;
            // The agent is gone only when the worker ends.
            let _ = events.send(Event::Prepared { job, spec, result, took }).await;
        });
    }

    /// Notes what compiling took, for the scheduler's accounts.
    pub(super) fn compiled(&mut self, job: JobId, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if took_us > 0 && self.compiled.len() < COMPILED_MAX {
            self.compiled.push(Compiled { job, took_us });
        }
    }

    /// Tells the scheduler of which jobs tasks wait here for their module, where that changed: they
    /// take nothing from others.
    pub(super) fn tell_waiting(&mut self) {
        if !self.link.is_joined() {
            return;
        }
        let waiting = self.modules.changed().filter(|jobs| *jobs != self.told_waiting);
        if waiting.is_none() && self.compiled.is_empty() {
            return;
        }
        if let Some(jobs) = waiting {
            self.told_waiting = jobs;
        }
        let (jobs, compiled) = (self.told_waiting.clone(), std::mem::take(&mut self.compiled));
        self.outgoing.say(FromWorker::Preparing(Preparing { jobs, compiled }));
    }

    pub(super) fn prepared(
        &mut self,
        job: JobId,
        spec: &TaskSpec,
        result: Result<Prepared, PrepareError>,
    ) {
        if !self.modules.is_of(job, spec) {
            return;
        }
        match result {
            Ok(prepared) => {
                for piece in self.modules.ready(job, prepared) {
                    self.queue.push(piece);
                }
            }
            Err(PrepareError::NeedsModule { digest }) => {
                if let Some(digest) = self.modules.wanted(job, digest, self.now) {
                    self.outgoing.say(FromWorker::NeedModule(NeedModule { digest }));
                }
            }
            Err(PrepareError::Refused(refusal)) => self.fail_job(job, &refusal.outcome()),
            Err(error @ (PrepareError::WrongModule { .. } | PrepareError::Sandbox(_))) => {
                tracing::error!(%job, %error, "a module could not be prepared");
                self.put_off(job, &error.to_string());
            }
        }
        for (job, spec) in self.modules.unblocked() {
            self.prepare(job, spec, ModuleSource::Cached);
        }
    }

    pub(super) fn module_arrived(&mut self, digest: Digest, bytes: &Bytes) {
        if bytes.is_empty() {
            return self.fail_module(digest, &Outcome::Lost(NO_COPY.into()));
        }
        for (job, spec) in self.modules.arrived(digest) {
            self.prepare(job, spec, ModuleSource::Bytes(bytes.clone()));
        }
    }

    /// Gives up waiting for modules and blobs that did not come in time.
    pub(super) fn give_up_modules(&mut self) {
        if !self.link.is_joined() {
            return;
        }
        for digest in self.modules.overdue(self.now) {
            let why = format!("{digest:.12}, a module or a blob, did not arrive");
            for job in self.modules.missing(digest) {
                self.put_off(job, &why);
            }
        }
    }

    /// Gives back what waits for a module that this worker cannot make ready, for reasons that
    /// are not the module's: another may, or this one later.
    fn put_off(&mut self, job: JobId, why: &str) {
        let waiting = self.modules.failed(job);
        self.give_back(&waiting, why);
    }

    fn fail_module(&mut self, digest: Digest, outcome: &Outcome) {
        for job in self.modules.missing(digest) {
            self.fail_job(job, outcome);
        }
    }

    fn fail_job(&mut self, job: JobId, outcome: &Outcome) {
        for piece in self.modules.failed(job) {
            self.end(&piece, outcome);
        }
    }

    /// Gives slots work until each has enough.
    pub(super) fn feed(&mut self) {
        let kept = usize::try_from(self.config.kept_results.0).unwrap_or(usize::MAX);
        while self.outgoing.bytes() < kept {
            let Some(front) = self.queue.front() else { return };
            let job = front.job;
            if self.slots.serve_others(&front.spec.tenant) {
                self.shared_at = Some(self.now);
            }
            let task_us = self.modules.task_us(job);
            let Some(slot) = self.slots.hungry(task_us) else { return };
            // Each slot gets its part of what waits twice over, so that all end together.
            let parts = (self.slots.count() as u64).saturating_mul(2).max(1);
            let share = self.queue.tasks().div_ceil(parts);
            let count = self.modules.batch_tasks(job, self.batch_us()).min(share);
            let Some(prepared) = self.modules.prepared(job) else {
                // It was dropped in the meantime: it is prepared anew.
                match self.queue.pop(u64::MAX) {
                    Some(piece) => self.accept(piece),
                    None => return,
                }
                continue;
            };
            let Some(piece) = self.queue.pop(count) else { return };
            if let Err(piece) = self.slots.give(slot, self.worker, prepared, task_us, piece) {
                // The sandbox has ended under the worker.
                self.give_back(&[piece], "the worker's sandbox has ended");
            }
        }
    }

    /// The task time of the next batch.
    fn batch_us(&self) -> u64 {
        let is_short = self.is_shared() && self.queue.tenants() <= SHARED_MAX;
        if is_short { BATCH_US_SHARED } else { BATCH_US }
    }

    /// True where several tenants have work here, or had a moment ago.
    pub(super) fn is_shared(&self) -> bool {
        self.shared_at.is_some_and(|at| self.now < at + SHARED)
    }

    pub(super) fn slot(&mut self, number: usize, event: SlotEvent) {
        match event {
            SlotEvent::Results(block, payload) => {
                let wall_us = block.results.iter().map(|meta| meta.usage.wall_us).sum();
                let last = self.slots.answered(number, &block);
                // Who has nothing else here waits for this.
                self.hurries |= last.is_some_and(|spec| !self.queue.has_of(&spec.tenant));
                let neighbours = |a: &ResultMeta, b: &ResultMeta| a.index + 1 == b.index;
                if tracing::enabled!(tracing::Level::DEBUG) {
                    for run in block.results.chunk_by(neighbours) {
                        let (first, count) = (run.first().map(|result| result.index), run.len());
                        tracing::debug!(job = %block.job, first, count, "slot answered");
                    }
                }
                self.modules.measured(block.job, block.results.len() as u64, wall_us);
                reach(Place::WorkerBeforeResults);
                self.outgoing.add(block, payload);
            }
            SlotEvent::Returned { job, lease, tasks } => {
                self.slots.returned(number, lease, &tasks);
                if !tasks.is_empty() {
                    self.say_returned(job, lease, tasks, TAKEN_BACK);
                }
            }
            SlotEvent::Died { reason } => {
                tracing::warn!(slot = number, reason, "a runner died; the slot starts a new one");
            }
        }
    }

    pub(super) fn cancel(&mut self, job: JobId, by: &str) {
        if !self.brought.remove(&job) {
            self.cancelled.insert(job);
        }
        if self.cancelled.len() > CANCELLED_MAX {
            self.cancelled.pop_first();
        }
        self.slots.cancel(job, by);
        let mut pieces = self.queue.take(|piece| (piece.job == job).then(|| vec![piece.tasks()]));
        pieces.extend(
            self.modules.take_waiting(|piece| (piece.job == job).then(|| vec![piece.tasks()])),
        );
        self.give_back(&pieces, "the job was cancelled");
    }

    /// Every revoke is answered at once with what had no slot yet; what slots give back follows,
    /// which nobody waits for: a slot whose tasks have all begun says nothing.
    pub(super) fn revoke(&mut self, job: JobId, lease: LeaseId, tasks: &[TaskRange]) {
        self.recalled.note(lease, tasks);
        let of_lease = |piece: &Piece| (piece.lease == lease).then(|| tasks.to_vec());
        let mut pieces = self.queue.take(of_lease);
        pieces.extend(self.modules.take_waiting(of_lease));
        let taken = pieces.iter().map(Piece::tasks).collect();
        self.say_returned(job, lease, taken, TAKEN_BACK);
        self.slots.revoke(job, lease, tasks);
    }

    /// The scheduler gave up on a lease: nothing more of it is begun, and what runs ends for nothing.
    pub(super) fn overrun(&mut self, overrun: &Overrun) {
        let Overrun { job, lease, reason } = overrun;
        tracing::warn!(%job, %lease, reason, "the scheduler took tasks away from this worker");
        self.revoke(*job, *lease, &[TaskRange { first: 0, count: u64::MAX }]);
    }

    /// Gives everything back that has not begun.
    pub(super) fn give_back_all(&mut self, why: &str) {
        let mut pieces = self.queue.take(|piece| Some(vec![piece.tasks()]));
        pieces.extend(self.modules.take_waiting(|piece| Some(vec![piece.tasks()])));
        self.give_back(&pieces, why);
        self.slots.revoke_all();
    }

    fn give_back(&mut self, pieces: &[Piece], why: &str) {
        for of_lease in pieces.chunk_by(|a, b| a.lease == b.lease) {
            if let Some(Piece { job, lease, .. }) = of_lease.first() {
                let tasks = of_lease.iter().map(Piece::tasks).collect();
                self.say_returned(*job, *lease, tasks, why);
            }
        }
    }

    fn say_returned(&mut self, job: JobId, lease: LeaseId, tasks: Vec<TaskRange>, why: &str) {
        let reason = shortened(why.to_owned(), REASON_MAX);
        self.outgoing.say_returned(Returned { job, lease, tasks, reason });
    }

    /// Ends all tasks of a piece the same way, none of which has run.
    fn end(&mut self, piece: &Piece, outcome: &Outcome) {
        let ended = |index| ResultMeta {
            index,
            outcome: outcome.clone(),
            usage: Usage::default(),
            output_len: 0,
            record_lens: Vec::new(),
            log_len: 0,
            log_dropped: 0,
        };
        let (tasks, worker) = (piece.tasks(), self.worker);
        let Piece { job, lease, attempt, .. } = *piece;
        let results = (tasks.first..tasks.end()).map(ended).collect();
        self.outgoing.add(ResultBlock { job, lease, worker, attempt, results }, Bytes::new());
    }
}
