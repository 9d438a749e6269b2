//! The slots: what each has been given and not answered.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

use wasmgrid_proto::{JobId, LeaseId, Outstanding, TaskRange, TaskSpec, pace::LONG_TASK_US};

use super::piece::Piece;

/// Batches a slot has at most: one that runs and two after it, so that it never waits for the
/// agent.
const BATCHES_MAX: usize = 3;

/// All slots of the worker.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<VecDeque<Given>>,
}

/// A batch a slot has.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) spec: Arc<TaskSpec>,
    pub(super) job: JobId,
    pub(super) lease: LeaseId,
    pub(super) attempt: u32,
    /// Its tasks that were not answered. Of what was asked back the slot keeps what has begun.
    pub(super) tasks: Outstanding,
    /// Nothing is to wait after it.
    is_long: bool,
}

impl Slots {
    /// So many that have nothing.
    pub(super) fn new(count: usize) -> Self {
        Self { slots: (0..count).map(|_| VecDeque::with_capacity(BATCHES_MAX)).collect() }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// All that was given.
    pub(super) fn given(&self) -> impl Iterator<Item = &Given> {
        self.slots.iter().flatten()
    }

    /// The same, to note what is ordered of it.
    pub(super) fn given_mut(&mut self) -> impl Iterator<Item = &mut Given> {
        self.slots.iter_mut().flatten()
    }

    /// Tasks that were given to slots and not answered, the running ones included.
    pub(super) fn tasks(&self) -> u64 {
        self.given().map(|given| given.tasks.left().tasks()).sum()
    }

    /// The slot with the fewest batches that may have one more, of tasks that take about
    /// `task_us` each; if that is not known a slot gets one at a time.
    pub(super) fn hungry(&self, task_us: Option<u64>) -> Option<usize> {
        let ahead = if is_long(task_us) { 1 } else { BATCHES_MAX };
        let most =
            |slot: &VecDeque<Given>| if slot.iter().any(|one| one.is_long) { 1 } else { ahead };
        let hungry = self.slots.iter().enumerate().filter(|(_, slot)| slot.len() < most(slot));
        hungry.min_by_key(|(_, slot)| slot.len()).map(|(number, _)| number)
    }

    /// True if a slot has a batch after the one that it runs, and so has every other, or runs
    /// something long.
    pub(super) fn are_busy(&self) -> bool {
        let has_next = |slot: &VecDeque<Given>| slot.len() > 1;
        let is_busy = |slot: &VecDeque<Given>| has_next(slot) || slot.iter().any(|one| one.is_long);
        self.slots.iter().any(has_next) && self.slots.iter().all(is_busy)
    }

    /// Notes that a slot is given a piece of work, of tasks that take about `task_us` each.
    pub(super) fn give(&mut self, slot: usize, task_us: Option<u64>, piece: &Piece) {
        let given = Given {
            spec: Arc::clone(&piece.spec),
            job: piece.job,
            lease: piece.lease,
            attempt: piece.attempt,
            tasks: piece.tasks().into(),
            is_long: is_long(task_us),
        };
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.push_back(given);
        }
    }

    /// What the slot has of the lease, the oldest of it.
    pub(super) fn of_lease(&self, slot: usize, lease: LeaseId) -> Option<&Given> {
        self.slots.get(slot)?.iter().find(|given| given.lease == lease)
    }

    /// Notes that a slot has answered tasks of a lease.
    pub(super) fn settle(
        &mut self,
        slot: usize,
        lease: LeaseId,
        tasks: impl Iterator<Item = TaskRange>,
    ) {
        let Some(slot) = self.slots.get_mut(slot) else { return };
        for range in tasks {
            for given in slot.iter_mut().filter(|given| given.lease == lease) {
                given.tasks.take(range);
            }
        }
        slot.retain(|given| !given.tasks.is_empty());
    }

    /// The numbers of the slots that have something that `of` names.
    pub(super) fn having(&self, of: impl Fn(&Given) -> bool) -> impl Iterator<Item = usize> {
        let slots = self.slots.iter().enumerate();
        slots.filter(move |(_, slot)| slot.iter().any(&of)).map(|(number, _)| number)
    }

    /// All that was given, with the slot that has it.
    pub(super) fn by_slot(&self) -> impl Iterator<Item = (usize, &Given)> {
        let slots = self.slots.iter().enumerate();
        slots.flat_map(|(number, slot)| slot.iter().map(move |given| (number, given)))
    }
}

/// Whether tasks that take about this, if it is known, are long.
fn is_long(task_us: Option<u64>) -> bool {
    task_us.is_none_or(|us| us >= LONG_TASK_US)
}
