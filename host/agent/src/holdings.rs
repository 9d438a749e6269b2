//! What the worker has of each lease and has not answered: where it is (it waits for its module or
//! for a slot, or a slot has it), what of it was asked back, and which jobs are cancelled. The one
//! owner of all that: whatever is here is in one place only, and leaves by one of the calls below.
//! Results are not here but with what waits to be said ([`Outgoing`](crate::outgoing::Outgoing)).

mod piece;
mod queue;
mod recalled;
mod slots;

use alloc::{
    borrow::ToOwned as _,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec,
    vec::Vec,
};

use wasmgrid_proto::{JobId, LeaseId, ResultBlock, TaskRange, TaskSpec, wire::HeldLease};

use crate::Effect;
pub(crate) use piece::Piece;
use piece::Which;
use queue::PieceQueue;
use recalled::Recalled;
use slots::{Given, Slots};

/// Cancelled jobs that are remembered; the oldest are forgotten. An assignment is overtaken by
/// milliseconds at most.
const CANCELLED_MAX: usize = 1_024;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Holdings {
    /// What waits for its module, by job.
    waiting: BTreeMap<JobId, Vec<Piece>>,
    /// What waits for a slot.
    queue: PieceQueue,
    /// What slots have.
    slots: Slots,
    /// Jobs whose cancel may overtake an assignment of theirs.
    cancelled: BTreeSet<JobId>,
    /// Tasks whose recall may overtake them.
    recalled: Recalled,
    /// Jobs that were brought along to this link. A cancel of one of them mostly says that it is
    /// not known any more, and another job may get its number: it is not remembered.
    brought: BTreeSet<JobId>,
}

impl Holdings {
    /// Nothing yet, in so many slots.
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            queue: PieceQueue::default(),
            slots: Slots::new(slots),
            cancelled: BTreeSet::new(),
            recalled: Recalled::default(),
            brought: BTreeSet::new(),
        }
    }

    /// There is a new link, to which these leases are brought along. Nothing overtakes what was said
    /// on another link.
    pub(crate) fn relinked(&mut self, held: &[HeldLease]) {
        self.cancelled.clear();
        self.recalled.clear();
        self.brought = held.iter().map(|lease| lease.job).collect();
    }

    /// Whether an assignment of the job comes too late.
    pub(crate) fn is_cancelled(&self, job: JobId) -> bool {
        self.cancelled.contains(&job)
    }

    /// True if tasks of the lease were asked back on this link.
    pub(crate) fn was_recalled(&self, lease: LeaseId) -> bool {
        self.recalled.of(lease).is_some()
    }

    /// Parts a piece that has come: what was asked back of it, and what is to be run.
    pub(crate) fn part(&self, piece: &Piece) -> (Vec<Piece>, Vec<Piece>) {
        let (mut taken, mut keep) = (Vec::new(), Vec::new());
        let asked = self.recalled.of(piece.lease).unwrap_or_default();
        piece.split(asked, &mut taken, |part| keep.push(part));
        (taken, keep)
    }

    /// The piece waits for its job's module.
    pub(crate) fn wait(&mut self, piece: Piece) {
        self.waiting.entry(piece.job).or_default().push(piece);
    }

    /// Takes what waits for the job's module.
    pub(crate) fn stop_waiting(&mut self, job: JobId) -> Vec<Piece> {
        self.waiting.remove(&job).unwrap_or_default()
    }

    /// True if something waits for the job's module.
    pub(crate) fn has_waiting(&self, job: JobId) -> bool {
        self.waiting.get(&job).is_some_and(|pieces| !pieces.is_empty())
    }

    /// The piece waits for a slot.
    pub(crate) fn queue(&mut self, piece: Piece) {
        self.queue.push(piece);
    }

    /// True if something of the job waits for a slot.
    pub(crate) fn has_queued(&self, job: JobId) -> bool {
        self.queue.pieces().any(|piece| piece.job == job)
    }

    /// True if something of the tenant waits for a slot.
    pub(crate) fn has_queued_of(&self, tenant: &str) -> bool {
        self.queue.has_of(tenant)
    }

    /// The piece from which the next batch is cut.
    pub(crate) fn front(&self) -> Option<&Piece> {
        self.queue.front()
    }

    /// How many tenants wait for a slot.
    pub(crate) fn tenants(&self) -> usize {
        self.queue.tenants()
    }

    /// The slot that is to have the next batch, of tasks that take about `task_us` each.
    pub(crate) fn hungry(&self, task_us: Option<u64>) -> Option<usize> {
        self.slots.hungry(task_us)
    }

    /// A slot's part of what waits: each gets it twice over, so that all end together.
    pub(crate) fn share(&self) -> u64 {
        let parts = (self.slots.count() as u64).saturating_mul(2).max(1);
        self.queue.tasks().div_ceil(parts)
    }

    /// Takes the piece whose turn it is off the queue, whole.
    pub(crate) fn unqueue(&mut self) -> Option<Piece> {
        self.queue.pop(u64::MAX)
    }

    /// Gives a slot the next `count` tasks, of about `task_us` each, or fewer if their inputs are
    /// large or the piece ends.
    pub(crate) fn give(&mut self, slot: usize, count: u64, task_us: Option<u64>) -> Option<Piece> {
        let piece = self.queue.pop(count)?;
        self.slots.give(slot, task_us, &piece);
        Some(piece)
    }

    /// A slot has ended tasks; gives whose they were, if no slot has more of that tenant.
    pub(crate) fn ended(&mut self, slot: usize, block: &ResultBlock) -> Option<Arc<TaskSpec>> {
        let given = self.slots.of_lease(slot, block.lease);
        let spec = given.map(|given| Arc::clone(&given.spec));
        self.slots.settle(slot, block.lease, block.runs());
        spec.filter(|spec| !self.slots.given().any(|given| given.spec.tenant == spec.tenant))
    }

    /// A slot has given tasks back.
    pub(crate) fn returned(&mut self, slot: usize, lease: LeaseId, tasks: &[TaskRange]) {
        self.slots.settle(slot, lease, tasks.iter().copied());
    }

    /// True if each slot has enough to do; see [`Slots::are_busy`].
    pub(crate) fn slots_are_busy(&self) -> bool {
        self.slots.are_busy()
    }

    /// True if a slot has something of another tenant than this.
    pub(crate) fn slots_serve_others(&self, tenant: &str) -> bool {
        self.slots.given().any(|given| given.spec.tenant != tenant)
    }

    /// A job is cancelled: what no slot has is taken out, and the slots are named that have some of
    /// it.
    pub(crate) fn cancel(
        &mut self,
        job: JobId,
        by: &str,
    ) -> (Vec<Piece>, impl Iterator<Item = usize>) {
        if !self.brought.remove(&job) {
            self.cancelled.insert(job);
        }
        if self.cancelled.len() > CANCELLED_MAX {
            self.cancelled.pop_first();
        }
        let taken = self.take(Which::OfJob(job));
        for given in self.slots.given_mut().filter(|given| given.job == job) {
            given.tasks.cancel(by);
        }
        (taken, self.slots.having(move |given| given.job == job))
    }

    /// Tasks of a lease are asked back: what no slot has is taken out; what slots have of them comes
    /// with the slot.
    pub(crate) fn recall(
        &mut self,
        lease: LeaseId,
        tasks: &[TaskRange],
    ) -> (Vec<Piece>, impl Iterator<Item = (usize, &[TaskRange])>) {
        self.recalled.note(lease, tasks);
        let taken = self.take(Which::OfLease(lease, tasks));
        for given in self.slots.given_mut().filter(|given| given.lease == lease) {
            given.tasks.recall(tasks);
        }
        let given = self.slots.by_slot().filter(move |(_, given)| given.lease == lease);
        let recalled = given.map(|(slot, given)| (slot, &**given.tasks.recalled()));
        (taken, recalled.filter(|(_, tasks)| !tasks.is_empty()))
    }

    /// All is to go back: what no slot has is taken out; what slots have comes with the slot, job,
    /// lease and tasks.
    pub(crate) fn recall_all(
        &mut self,
    ) -> (Vec<Piece>, impl Iterator<Item = (usize, JobId, LeaseId, &[TaskRange])>) {
        let taken = self.take(Which::All);
        for given in self.slots.given_mut() {
            given.tasks.recall(&[TaskRange::ALL]);
        }
        let given = self.slots.by_slot();
        (taken, given.map(|(slot, at)| (slot, at.job, at.lease, &**at.tasks.left())))
    }

    /// All that was ordered of what a slot has.
    pub(crate) fn orders<M>(&self, slot: usize) -> impl Iterator<Item = Effect<M>> {
        let given = self.slots.by_slot().filter(move |(of, _)| *of == slot);
        given.flat_map(move |(_, given)| {
            let (job, lease) = (given.job, given.lease);
            let by = given.tasks.cancelled_by();
            let cancel = by.map(|by| Effect::Cancel { slot, job, by: by.to_owned() });
            let tasks = Some(given.tasks.recalled().to_vec()).filter(|tasks| !tasks.is_empty());
            let recall = tasks.map(|tasks| Effect::Recall { slot, job, lease, tasks });
            recall.into_iter().chain(cancel)
        })
    }

    /// Takes out what no slot has. What waits for a slot comes first.
    fn take(&mut self, which: Which<'_>) -> Vec<Piece> {
        let mut taken = Vec::new();
        self.queue.take(&which, &mut taken);
        for waiting in self.waiting.values_mut() {
            for piece in core::mem::take(waiting) {
                which.take(piece, &mut taken, |rest| waiting.push(rest));
            }
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        taken
    }

    /// Tasks that no slot has.
    pub(crate) fn waiting_tasks(&self) -> u64 {
        let waiting = self.waiting.values().flatten().map(|piece| piece.tasks().count);
        self.queue.tasks() + waiting.sum::<u64>()
    }

    /// True if nothing is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.tasks() == 0 && self.waiting_tasks() == 0
    }

    /// All that is here, by lease, in several parts.
    pub(crate) fn held(&self) -> impl Iterator<Item = HeldLease> {
        let waiting = |piece: &Piece| HeldLease {
            job: piece.job,
            lease: piece.lease,
            attempt: piece.attempt,
            tasks: vec![piece.tasks()],
        };
        let given = |given: &Given| HeldLease {
            job: given.job,
            lease: given.lease,
            attempt: given.attempt,
            tasks: given.tasks.left().to_vec(),
        };
        let pieces = self.queue.pieces().chain(self.waiting.values().flatten());
        pieces.map(waiting).chain(self.slots.given().map(given))
    }
}
