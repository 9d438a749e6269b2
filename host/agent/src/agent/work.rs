//! The agent's work: assignments become pieces, pieces wait for their module, then for a slot;
//! what slots give becomes results.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString as _},
    sync::Arc,
    vec,
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;
use wasmgrid_proto::{
    Digest, Extensions, JobId, LeaseId, Outcome, ResultBlock, ResultMeta, TaskRange, TaskSpec,
    Usage,
    pace::{BATCH_SHARED_US, BATCH_US},
    text::{REASON_MAX, shortened},
    wire::{Assign, Compiled, FromWorker, NeedModule, Overrun, Preparing, Returned},
};

use super::{
    Agent,
    reasons::{CANCELLED, LEAVING, NO_COPY, SANDBOX_ENDED, TAKEN_BACK, UNABLE},
};
use crate::{
    Effect, Preparation,
    holdings::Piece,
    modules::Readiness,
    times::{SHARED, has_passed, micros},
};

/// Tenants that take turns on a slot without a start of a process at each: more of them have the
/// longer turns.
const SHARED_MAX: usize = 4;

/// Compilations that are kept to be told of while there is no link: more than modules are held.
const COMPILED_MAX: usize = 256;

impl<M: Clone> Agent<M> {
    pub(super) fn assign(&mut self, assign: Assign, mut payload: Bytes) {
        let Assign { job, spec, leases } = assign;
        let unknown = spec.check_extensions().err();
        for grant in leases {
            // The frame was checked: its payload is as long as its leases say.
            let length = usize::try_from(grant.inputs.payload_len()).unwrap_or(usize::MAX);
            let bytes = payload.split_to(length.min(payload.len()));
            let malformed = grant.inputs.check().err();
            let piece = Piece::new(job, Arc::clone(&spec), grant, bytes);
            if let Some(error) = malformed {
                self.end(&piece, &Outcome::Refused(format!("the inputs: {error}")));
            } else if let Some(unknown) = &unknown {
                // Another worker may run a release that knows it.
                self.give_back(&[piece], &unknown.to_string());
            } else if self.holdings.is_cancelled(job) {
                self.give_back(&[piece], CANCELLED);
            } else if self.leaves_at.is_some() {
                self.give_back(&[piece], LEAVING);
            } else if self.unable.is_some() {
                self.give_back(&[piece], UNABLE);
            } else {
                self.accept_rest(piece);
            }
        }
    }

    /// Accepts what was not asked back of a piece.
    fn accept_rest(&mut self, piece: Piece) {
        if !self.holdings.was_recalled(piece.lease) {
            return self.accept(piece);
        }
        let (recalled, rest) = self.holdings.part(&piece);
        self.give_back(&recalled, TAKEN_BACK);
        rest.into_iter().for_each(|piece| self.accept(piece));
    }

    fn accept(&mut self, piece: Piece) {
        let job = piece.job;
        match self.modules.assigned(job, &piece.spec) {
            Readiness::Ready => self.holdings.queue(piece),
            Readiness::Pending => self.holdings.wait(piece),
            Readiness::New => {
                // What waited was of another job that had this number.
                self.holdings.stop_waiting(job);
                let holdings = &self.holdings;
                self.modules.trim(|job| holdings.has_queued(job));
                let spec = Arc::clone(&piece.spec);
                self.holdings.wait(piece);
                self.prepare(job, spec, None);
            }
        }
    }

    fn prepare(&mut self, job: JobId, spec: Arc<TaskSpec>, bytes: Option<Bytes>) {
        self.effects.push(Effect::Prepare { job, spec, bytes });
    }

    /// Notes what compiling took, for the scheduler's accounts.
    pub(super) fn compiled(&mut self, job: JobId, took: Duration) {
        let took_us = micros(took);
        if took_us > 0 && self.compiled.len() < COMPILED_MAX {
            self.compiled.push(Compiled { job, took_us });
        }
    }

    /// Tells the scheduler of which jobs tasks wait here for their module, if that changed: they
    /// take nothing from others.
    pub(super) fn report_waiting(&mut self) {
        if !self.link.is_joined() {
            return;
        }
        let holdings = &self.holdings;
        let waiting = self.modules.changed(|job| holdings.has_waiting(job));
        let waiting = waiting.filter(|jobs| *jobs != self.reported_waiting);
        if waiting.is_none() && self.compiled.is_empty() {
            return;
        }
        if let Some(jobs) = waiting {
            self.reported_waiting = jobs;
        }
        let (jobs, compiled) = (self.reported_waiting.clone(), core::mem::take(&mut self.compiled));
        self.outgoing.say(FromWorker::Preparing(Preparing { jobs, compiled }));
    }

    pub(super) fn prepared(&mut self, job: JobId, spec: &TaskSpec, result: Preparation<M>) {
        if !self.modules.is_of(job, spec) {
            return;
        }
        match result {
            Preparation::Ready { module, blob_bytes } => {
                self.modules.ready(job, module, blob_bytes);
                for piece in self.holdings.stop_waiting(job) {
                    self.holdings.queue(piece);
                }
            }
            Preparation::Missing(digest) => {
                if let Some(digest) = self.modules.wanted(job, digest, self.now) {
                    self.outgoing.say(FromWorker::NeedModule(NeedModule { digest }));
                }
            }
            Preparation::Refused(outcome) => self.fail_job(job, &outcome),
            Preparation::Failed(error) => {
                tracing::error!(%job, error, "failed to prepare a module");
                self.put_off(job, &error);
            }
        }
        for (job, spec) in self.modules.unblocked() {
            self.prepare(job, spec, None);
        }
    }

    pub(super) fn module_arrived(&mut self, digest: Digest, bytes: &Bytes) {
        if bytes.is_empty() {
            return self.fail_module(digest, &Outcome::Lost(NO_COPY.into()));
        }
        for (job, spec) in self.modules.arrived(digest) {
            self.prepare(job, spec, Some(bytes.clone()));
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
        self.modules.failed(job);
        let waiting = self.holdings.stop_waiting(job);
        self.give_back(&waiting, why);
    }

    fn fail_module(&mut self, digest: Digest, outcome: &Outcome) {
        for job in self.modules.missing(digest) {
            self.fail_job(job, outcome);
        }
    }

    fn fail_job(&mut self, job: JobId, outcome: &Outcome) {
        self.modules.failed(job);
        for piece in self.holdings.stop_waiting(job) {
            self.end(&piece, outcome);
        }
    }

    /// Gives slots work until each has enough.
    pub(super) fn feed(&mut self) {
        let kept = usize::try_from(self.config.kept_results.0).unwrap_or(usize::MAX);
        while self.outgoing.bytes() < kept {
            let Some(front) = self.holdings.front() else { return };
            let job = front.job;
            if self.holdings.slots_serve_others(&front.spec.tenant) {
                self.shared_at = Some(self.now);
            }
            let task_us = self.modules.task_us(job);
            let Some(slot) = self.holdings.hungry(task_us) else { return };
            let count = self.modules.batch_tasks(job, self.batch_us()).min(self.holdings.share());
            let Some(module) = self.modules.prepared(job) else {
                // It was dropped in the meantime: it is prepared anew.
                match self.holdings.unqueue() {
                    Some(piece) => self.accept(piece),
                    None => return,
                }
                continue;
            };
            let Some(piece) = self.holdings.give(slot, count, task_us) else { return };
            let batch = piece.into_batch(module, self.worker);
            self.effects.push(Effect::Run { slot, batch });
        }
    }

    /// The task time of the next batch.
    fn batch_us(&self) -> u64 {
        let is_short = self.is_shared() && self.holdings.tenants() <= SHARED_MAX;
        if is_short { BATCH_SHARED_US } else { BATCH_US }
    }

    /// True if several tenants have work here, or had a moment ago.
    pub(super) fn is_shared(&self) -> bool {
        self.shared_at.is_some() && !has_passed(self.shared_at, SHARED, self.now)
    }

    pub(super) fn ended(&mut self, slot: usize, block: ResultBlock, payload: Bytes) {
        let wall_us = block.results.iter().map(|meta| meta.usage.wall_us).sum();
        let last = self.holdings.ended(slot, &block);
        // Whoever has nothing else here waits for this.
        self.flush_now |= last.is_some_and(|spec| !self.holdings.has_queued_of(&spec.tenant));
        if tracing::enabled!(tracing::Level::DEBUG) {
            for TaskRange { first, count } in block.runs() {
                tracing::debug!(job = %block.job, first, count, "slot answered");
            }
        }
        self.modules.measured(block.job, block.results.len() as u64, wall_us);
        self.outgoing.add(block, payload);
    }

    pub(super) fn returned(
        &mut self,
        slot: usize,
        job: JobId,
        lease: LeaseId,
        tasks: Vec<TaskRange>,
    ) {
        self.holdings.returned(slot, lease, &tasks);
        if !tasks.is_empty() {
            self.say_returned(job, lease, tasks, TAKEN_BACK);
        }
    }

    /// The sandbox has ended under the worker.
    pub(super) fn not_taken(&mut self, slot: usize, job: JobId, lease: LeaseId, tasks: TaskRange) {
        let tasks = vec![tasks];
        self.holdings.returned(slot, lease, &tasks);
        self.say_returned(job, lease, tasks, SANDBOX_ENDED);
    }

    pub(super) fn cancel(&mut self, job: JobId, by: &str) {
        let (pieces, slots) = self.holdings.cancel(job, by);
        let cancel = |slot| Effect::Cancel { slot, job, by: String::from(by) };
        self.effects.extend(slots.map(cancel));
        self.give_back(&pieces, CANCELLED);
    }

    /// Every recall is answered at once with what had no slot yet; what slots give back follows,
    /// which nobody waits for: a slot whose tasks have all begun says nothing.
    pub(super) fn recall(&mut self, job: JobId, lease: LeaseId, tasks: &[TaskRange]) {
        let (pieces, slots) = self.holdings.recall(lease, tasks);
        let recall =
            |(slot, tasks): (_, &[_])| Effect::Recall { slot, job, lease, tasks: tasks.to_vec() };
        self.effects.extend(slots.map(recall));
        let taken = pieces.iter().map(Piece::tasks).collect();
        self.say_returned(job, lease, taken, TAKEN_BACK);
    }

    /// The scheduler gave up on a lease: nothing more of it is begun, and what runs ends for nothing.
    pub(super) fn overrun(&mut self, overrun: &Overrun) {
        let Overrun { job, lease, reason } = overrun;
        tracing::warn!(%job, %lease, reason, "the scheduler took tasks away from this worker");
        self.recall(*job, *lease, &[TaskRange { first: 0, count: u64::MAX }]);
    }

    /// Gives everything back that has not begun.
    pub(super) fn give_back_all(&mut self, why: &str) {
        let (pieces, given) = self.holdings.recall_all();
        self.effects.extend(given.map(|(slot, job, lease, left)| Effect::Recall {
            slot,
            job,
            lease,
            tasks: left.to_vec(),
        }));
        self.give_back(&pieces, why);
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
        let extensions = Extensions::NONE;
        let block = ResultBlock { job, lease, worker, attempt, results, extensions };
        self.outgoing.add(block, Bytes::new());
    }
}
