//! A worker as `host/worker` is one: leases are cut into batches for slots, results are kept until
//! they are acknowledged and sent again on a new link, and joining tells all that is held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wasmgrid_proto::{
    JobId, LeaseId, LeaseProof, Micros, OutcomeClass, RunningTask, TaskId, TaskRange,
    wire::{Heartbeat, HeldLease},
};

use crate::{
    message::{Block, Down, Lease, Shown, Up},
    net::LinkId,
    plan::{Broken, Falsehood},
    random::Random,
    task::{End, Task},
};

/// Batches a slot has at most.
const BATCHES_MAX: usize = 3;

/// From this task time on a slot has one batch, in microseconds.
const LONG_TASK_US: u64 = 10_000;

/// How long a runner lives that dies at once.
const DEATH_US: u64 = 500;

/// The newest leases from which a worker invents others.
const INVENTED_FROM: usize = 3;

/// So far behind a lease there is none that anybody was given.
const NEVER_GIVEN: u64 = 1_000_000;

/// Unacknowledged results at which no new task is begun.
pub const KEPT_MAX: usize = 64;

/// What a worker does that the world must see.
#[derive(Debug)]
pub enum Act {
    /// It says something on its link.
    Say(Up),
    /// A task of a slot ends after so long, or kills the host.
    Run {
        /// Which slot.
        slot: usize,
        /// Its number of the run.
        run: u64,
        /// How long it takes.
        wall_us: u64,
    },
    /// Its host dies.
    Die,
}

/// One process of a worker.
#[derive(Debug)]
pub struct Worker {
    /// When it started, which names the process.
    pub started: Micros,
    /// Its link.
    pub link: Option<LinkId>,
    joined: bool,
    random: Random,
    falsehood: Option<Falsehood>,
    /// What it was given with each lease of this process, with the lease's job and attempt.
    proofs: BTreeMap<LeaseId, (JobId, u32, LeaseProof)>,
    queue: VecDeque<Piece>,
    /// The tenants of these, and of those before; whose turn is next is first.
    turns: VecDeque<String>,
    slots: Vec<Slot>,
    control: VecDeque<Up>,
    loose: Vec<Block>,
    batches: BTreeMap<u64, Vec<Block>>,
    unsent: u64,
    next_batch: u64,
    runs: u64,
    cancelled: BTreeSet<JobId>,
    brought: BTreeSet<JobId>,
    /// What was asked back on this link, which may still be under way.
    recalled: BTreeMap<LeaseId, Vec<TaskRange>>,
    /// When it leaves whatever is left.
    leaves_at: Option<u64>,
    /// How it cannot run tasks.
    broken: Option<Broken>,
    acts: Vec<Act>,
}

/// A part of a lease that no slot has.
#[derive(Debug)]
struct Piece {
    job: JobId,
    tenant: String,
    lease: LeaseId,
    attempt: u32,
    tasks: VecDeque<(u64, Task)>,
}

#[derive(Debug, Default)]
struct Slot {
    given: VecDeque<Piece>,
    /// The run of the first task of the first batch.
    run: Option<u64>,
    done: Vec<Shown>,
    done_us: u64,
}

impl Piece {
    /// Whether nothing is to wait behind it.
    fn is_long(&self) -> bool {
        self.tasks.front().is_some_and(|(_, task)| task.wall_us() >= LONG_TASK_US)
    }
}

impl Worker {
    /// A process that has just started.
    #[must_use]
    pub fn new(slots: u32, falsehood: Option<Falsehood>, started: Micros, random: Random) -> Self {
        Self {
            falsehood,
            proofs: BTreeMap::new(),
            started,
            link: None,
            joined: false,
            random,
            queue: VecDeque::new(),
            turns: VecDeque::new(),
            slots: (0..slots).map(|_| Slot::default()).collect(),
            control: VecDeque::new(),
            loose: Vec::new(),
            batches: BTreeMap::new(),
            unsent: 0,
            next_batch: 0,
            runs: 0,
            cancelled: BTreeSet::new(),
            brought: BTreeSet::new(),
            recalled: BTreeMap::new(),
            leaves_at: None,
            broken: None,
            acts: Vec::new(),
        }
    }

    /// What it did since the last call.
    pub fn acts(&mut self) -> Vec<Act> {
        self.feed();
        self.send();
        std::mem::take(&mut self.acts)
    }

    /// True once it leaves and has nothing left to do, or no more time for it.
    #[must_use]
    pub fn has_left(&self, now: u64) -> bool {
        let Some(leaves_at) = self.leaves_at else { return false };
        let idle = self.queue.is_empty() && self.slots.iter().all(|slot| slot.given.is_empty());
        let results = !self.loose.is_empty() || !self.batches.is_empty();
        let said = !results && (self.control.is_empty() || !self.joined);
        (idle && said) || now >= leaves_at
    }

    /// Results that are not acknowledged.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.batches.values().flatten().chain(&self.loose).map(|block| block.results.len()).sum()
    }

    /// Tasks at a time.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// There is a link.
    pub fn linked(&mut self, link: LinkId) {
        self.link = Some(link);
        self.joined = false;
        self.unsent = self.batches.keys().next().copied().unwrap_or(self.next_batch);
        self.control.clear();
        self.cancelled.clear();
        self.recalled.clear();
        let mut held = self.held();
        let proof = |lease: &HeldLease| Some(self.proofs.get(&lease.lease)?.2);
        let mut proofs: Vec<LeaseProof> = held.iter().filter_map(proof).collect();
        if self.falsehood == Some(Falsehood::Claims) {
            self.invent(&mut held, &mut proofs);
        }
        self.brought = held.iter().map(|lease| lease.job).collect();
        let slots = u32::try_from(self.slots.len()).unwrap_or_default();
        self.acts.push(Act::Say(Up::Join { started: self.started, slots, held, proofs }));
    }

    /// Says that it holds more than it was given: more of its own leases, and leases that nobody was
    /// given, with what would prove its own; and has results of that.
    fn invent(&mut self, held: &mut Vec<HeldLease>, proofs: &mut Vec<LeaseProof>) {
        let own: Vec<_> = self.proofs.values().rev().take(INVENTED_FROM).copied().collect();
        for (job, attempt, proof) in own {
            let beside = if self.random.chance(50) { 0 } else { NEVER_GIVEN };
            let tasks = TaskRange {
                first: (proof.tasks.first + self.random.below(4)).saturating_sub(2),
                count: self.random.between(1, 4),
            };
            let lease = LeaseId(proof.lease.0 + beside);
            match held.iter_mut().find(|known| known.lease == lease) {
                Some(known) => known.tasks.push(tasks),
                None => held.push(HeldLease { job, lease, attempt, tasks: vec![tasks] }),
            }
            proofs.push(LeaseProof { lease, ..proof });
            let forged = |index| Shown { index, class: OutcomeClass::Ok, output: u64::MAX };
            // What it was given it may end as it likes.
            let own =
                |index: &u64| beside == 0 && (proof.tasks.first..proof.tasks.end()).contains(index);
            let indices = (tasks.first..tasks.end()).filter(|index| !own(index));
            let results: Vec<_> = indices.map(forged).collect();
            if results.is_empty() {
                continue;
            }
            self.loose.push(Block { job, lease, attempt, wall_us: 1, results });
        }
    }

    /// The link has ended.
    pub fn unlinked(&mut self) {
        self.link = None;
        self.joined = false;
    }

    /// The scheduler said something.
    pub fn heard(&mut self, message: Down) {
        match message {
            Down::Joined => {
                self.joined = true;
                self.heartbeat();
                if self.leaves_at.is_some() {
                    self.control.push_back(Up::Leaving);
                }
                if self.broken == Some(Broken::Says) {
                    self.control.push_back(Up::Health { able: false });
                }
            }
            Down::Assign { job, tenant, leases } => {
                leases.into_iter().for_each(|lease| self.assign(job, &tenant, lease));
            }
            Down::Contested { rival } => self.acts.push(Act::Say(Up::Alive { rival })),
            Down::Cancel { job } => self.cancel(job),
            Down::Revoke { job, lease, tasks } => self.revoke(job, lease, &tasks),
            Down::Overrun { job, lease } => {
                self.revoke(job, lease, &[TaskRange { first: 0, count: u64::MAX }]);
            }
            Down::Committed { batches } => {
                for batch in batches {
                    self.batches.remove(&batch);
                }
            }
            Down::Drain | Down::Reply { .. } | Down::Results { .. } | Down::Ended { .. } => {}
        }
    }

    /// It is time to say that it lives.
    pub fn heartbeat(&mut self) {
        if !self.joined {
            return;
        }
        self.control.retain(|waiting| !matches!(waiting, Up::Heartbeat(_)));
        let queued = self.queue.iter().map(|piece| piece.tasks.len() as u64).sum();
        let running = |slot: &Slot| {
            let piece = slot.given.front()?;
            let (index, _) = piece.tasks.front()?;
            let task = TaskId { job: piece.job, index: *index };
            Some(RunningTask { task, elapsed_ms: 0, progress: None })
        };
        let running = self.slots.iter().filter_map(running).collect();
        self.control.push_back(Up::Heartbeat(Heartbeat { queued, running }));
    }

    /// It leaves in order, or at `leaves_at` without.
    pub fn leave(&mut self, leaves_at: u64) {
        self.leaves_at = Some(leaves_at);
        self.control.push_back(Up::Leaving);
        self.give_back_all();
    }

    /// It cannot run tasks from now on, in some way.
    pub fn breaks(&mut self, how: Broken) {
        self.mends();
        self.broken = Some(how);
        if how == Broken::Says && self.joined {
            self.control.push_back(Up::Health { able: false });
        }
        if how != Broken::Loses {
            self.give_back_all();
        }
    }

    /// It can run tasks again.
    pub fn mends(&mut self) {
        if self.broken.take() == Some(Broken::Says) && self.joined {
            self.control.push_back(Up::Health { able: true });
        }
    }

    fn give_back_all(&mut self) {
        for piece in std::mem::take(&mut self.queue) {
            self.give_back(piece.job, piece.lease, &piece.tasks);
        }
        for number in 0..self.slots.len() {
            self.take_from_slot(number, |_, _| true);
        }
    }

    /// A run of a slot has come to its end.
    pub fn ran(&mut self, number: usize, run: u64) {
        let Some(slot) = self.slots.get_mut(number).filter(|slot| slot.run == Some(run)) else {
            return;
        };
        slot.run = None;
        let Some(piece) = slot.given.front_mut() else { return };
        let Some((index, task)) = piece.tasks.pop_front() else { return };
        let end = match self.broken {
            Some(Broken::Loses) => End::Result(OutcomeClass::Lost),
            _ => task.end(piece.attempt),
        };
        match end {
            End::HostDies => self.acts.push(Act::Die),
            End::Result(class) => {
                slot.done.push(Shown { index, class, output: task.output() });
                slot.done_us += task.wall_us();
                let ends = piece.tasks.is_empty() || class == OutcomeClass::Lost;
                if ends || self.random.chance(30) {
                    self.flush(number);
                }
            }
        }
    }

    /// A slot's results so far become a block.
    fn flush(&mut self, number: usize) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let Some(piece) = slot.given.front() else { return };
        let (job, lease, attempt) = (piece.job, piece.lease, piece.attempt);
        let results = std::mem::take(&mut slot.done);
        let wall_us = std::mem::take(&mut slot.done_us);
        if piece.tasks.is_empty() {
            slot.given.pop_front();
        }
        if !results.is_empty() {
            self.loose.push(Block { job, lease, attempt, wall_us, results });
        }
    }

    fn assign(&mut self, job: JobId, tenant: &str, lease: Lease) {
        let Lease { lease, attempt, first, inputs, proof } = lease;
        self.proofs.insert(lease, (job, attempt, proof));
        let tasks: VecDeque<_> = (first..).zip(inputs.into_iter().map(Task)).collect();
        let returns = matches!(self.broken, Some(Broken::Returns | Broken::Says));
        if self.cancelled.contains(&job) || self.leaves_at.is_some() || returns {
            return self.give_back(job, lease, &tasks);
        }
        let recalled = self.recalled.get(&lease).map(Vec::as_slice).unwrap_or_default();
        let is_recalled =
            |index: u64| recalled.iter().any(|part| (part.first..part.end()).contains(&index));
        let (back, tasks): (VecDeque<_>, VecDeque<_>) =
            tasks.into_iter().partition(|(index, _)| is_recalled(*index));
        if !back.is_empty() {
            self.give_back(job, lease, &back);
        }
        if tasks.is_empty() {
            return;
        }
        if !self.turns.iter().any(|known| known == tenant) {
            self.turns.push_front(tenant.to_owned());
        }
        self.queue.push_back(Piece { job, tenant: tenant.to_owned(), lease, attempt, tasks });
    }

    fn give_back(&mut self, job: JobId, lease: LeaseId, tasks: &VecDeque<(u64, Task)>) {
        let tasks = ranges(tasks.iter().map(|(index, _)| *index));
        self.control.push_back(Up::Returned { job, lease, tasks });
    }

    /// What runs of the job ends at once or runs to its end; what has not begun is ended so.
    fn cancel(&mut self, job: JobId) {
        if !self.brought.remove(&job) {
            self.cancelled.insert(job);
        }
        let (of_job, rest): (VecDeque<Piece>, VecDeque<Piece>) =
            std::mem::take(&mut self.queue).into_iter().partition(|piece| piece.job == job);
        self.queue = rest;
        for piece in of_job {
            self.give_back(piece.job, piece.lease, &piece.tasks);
        }
        for number in 0..self.slots.len() {
            self.cancel_slot(number, job);
        }
    }

    fn cancel_slot(&mut self, number: usize, job: JobId) {
        let stops = self.random.chance(50);
        let Some(slot) = self.slots.get_mut(number) else { return };
        if slot.given.front().is_some_and(|piece| piece.job == job) && !stops {
            return;
        }
        let mut blocks = Vec::new();
        for piece in slot.given.iter_mut().filter(|piece| piece.job == job) {
            let cancelled = |(index, _): (u64, Task)| {
                let class = OutcomeClass::Cancelled;
                Shown { index, class, output: 0 }
            };
            let results = std::mem::take(&mut piece.tasks).into_iter().map(cancelled).collect();
            let (lease, attempt) = (piece.lease, piece.attempt);
            blocks.push(Block { job, lease, attempt, wall_us: 1, results });
        }
        if slot.given.front().is_some_and(|piece| piece.job == job) {
            slot.run = None;
            self.flush(number);
        }
        if let Some(slot) = self.slots.get_mut(number) {
            slot.given.retain(|piece| !piece.tasks.is_empty());
        }
        self.loose.extend(blocks.into_iter().filter(|block| !block.results.is_empty()));
    }

    /// Answers at once with what has no slot; what slots have not begun follows.
    fn revoke(&mut self, job: JobId, lease: LeaseId, tasks: &[TaskRange]) {
        if self.falsehood == Some(Falsehood::Hoards) {
            let tasks = Vec::new();
            return self.control.push_back(Up::Returned { job, lease, tasks });
        }
        self.recalled.entry(lease).or_default().extend_from_slice(tasks);
        let asked = |index: u64| tasks.iter().any(|part| (part.first..part.end()).contains(&index));
        let mut taken = Vec::new();
        for piece in self.queue.iter_mut().filter(|piece| piece.lease == lease) {
            piece.tasks.retain(|(index, _)| {
                if asked(*index) {
                    taken.push(*index);
                }
                !asked(*index)
            });
        }
        self.queue.retain(|piece| !piece.tasks.is_empty());
        self.control.push_back(Up::Returned { job, lease, tasks: ranges(taken) });
        for number in 0..self.slots.len() {
            self.take_from_slot(number, |of, index| of == lease && asked(index));
        }
    }

    /// Gives back what a slot has not begun.
    fn take_from_slot(&mut self, number: usize, which: impl Fn(LeaseId, u64) -> bool) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let mut running = slot.run.is_some();
        let mut returned = Vec::new();
        for piece in &mut slot.given {
            let (job, lease) = (piece.job, piece.lease);
            let mut taken = Vec::new();
            piece.tasks.retain(|(index, _)| {
                let begun = std::mem::take(&mut running);
                let take = !begun && which(lease, *index);
                if take {
                    taken.push(*index);
                }
                !take
            });
            if !taken.is_empty() {
                returned.push(Up::Returned { job, lease, tasks: ranges(taken) });
            }
        }
        if slot.given.front().is_some_and(|piece| piece.tasks.is_empty()) && !slot.done.is_empty() {
            self.flush(number);
        }
        if let Some(slot) = self.slots.get_mut(number) {
            slot.given.retain(|piece| !piece.tasks.is_empty());
        }
        self.control.extend(returned);
    }

    /// Gives slots work until each has enough, and begins what waits in them.
    fn feed(&mut self) {
        if self.falsehood == Some(Falsehood::Hoards) {
            return;
        }
        while self.kept() < KEPT_MAX {
            let Some(next) = self.next().and_then(|place| self.queue.get(place)) else { break };
            let long = next.is_long();
            let ahead = if long { 1 } else { BATCHES_MAX };
            let most = |slot: &Slot| if slot.given.iter().any(Piece::is_long) { 1 } else { ahead };
            let hungry = self.slots.iter().enumerate();
            let hungry = hungry.filter(|(_, slot)| slot.given.len() < most(slot));
            let hungry = hungry.min_by_key(|(_, slot)| slot.given.len());
            let Some(number) = hungry.map(|(number, _)| number) else { break };
            let parts = self.slots.len() * 2;
            let waiting: usize = self.queue.iter().map(|piece| piece.tasks.len()).sum();
            let Some(piece) = self.pop(if long { 1 } else { waiting.div_ceil(parts) }) else {
                break;
            };
            if let Some(slot) = self.slots.get_mut(number) {
                slot.given.push_back(piece);
            }
        }
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if slot.run.is_some() {
                continue;
            }
            if let Some((_, task)) = slot.given.front().and_then(|piece| piece.tasks.front()) {
                self.runs += 1;
                slot.run = Some(self.runs);
                let dies = self.broken == Some(Broken::Loses);
                let wall_us = if dies { DEATH_US } else { task.wall_us() };
                let (slot, run) = (number, self.runs);
                self.acts.push(Act::Run { slot, run, wall_us });
            }
        }
    }

    /// Where in the queue the piece is whose turn it is.
    fn next(&self) -> Option<usize> {
        let first = |tenant: &String| self.queue.iter().position(|piece| piece.tenant == *tenant);
        self.turns.iter().find_map(first)
    }

    /// Cuts a part off the piece whose turn it is; then it is the next tenant's.
    fn pop(&mut self, count: usize) -> Option<Piece> {
        let place = self.next()?;
        let piece = self.queue.get_mut(place)?;
        let turn = self.turns.iter().position(|tenant| *tenant == piece.tenant)?;
        let tenant = piece.tenant.clone();
        self.turns.drain(..=turn);
        self.turns.push_back(tenant.clone());
        if count >= piece.tasks.len() {
            return self.queue.remove(place);
        }
        let rest = piece.tasks.split_off(count.max(1));
        let tasks = std::mem::replace(&mut piece.tasks, rest);
        Some(Piece { tasks, tenant, ..*piece })
    }

    fn send(&mut self) {
        if !self.joined {
            return;
        }
        self.acts.extend(self.control.drain(..).map(Act::Say));
        if !self.loose.is_empty() {
            self.batches.insert(self.next_batch, std::mem::take(&mut self.loose));
            self.next_batch += 1;
        }
        for (batch, blocks) in self.batches.range(self.unsent..) {
            let (batch, blocks) = (*batch, blocks.clone());
            self.acts.push(Act::Say(Up::Results { batch, blocks }));
        }
        self.unsent = self.next_batch;
    }

    /// What it has of each lease.
    fn held(&self) -> Vec<HeldLease> {
        let mut held: BTreeMap<(JobId, LeaseId, u32), Vec<u64>> = BTreeMap::new();
        let mut add = |job, lease, attempt, indices: Vec<u64>| {
            held.entry((job, lease, attempt)).or_default().extend(indices);
        };
        let given = self.slots.iter().flat_map(|slot| &slot.given);
        for piece in self.queue.iter().chain(given) {
            let indices = piece.tasks.iter().map(|(index, _)| *index).collect();
            add(piece.job, piece.lease, piece.attempt, indices);
        }
        for slot in &self.slots {
            if let Some(piece) = slot.given.front() {
                let indices = slot.done.iter().map(|shown| shown.index).collect();
                add(piece.job, piece.lease, piece.attempt, indices);
            }
        }
        for block in self.batches.values().flatten().chain(&self.loose) {
            let indices = block.results.iter().map(|shown| shown.index).collect();
            add(block.job, block.lease, block.attempt, indices);
        }
        let lease = |((job, lease, attempt), mut indices): (_, Vec<u64>)| {
            indices.sort_unstable();
            HeldLease { job, lease, attempt, tasks: ranges(indices) }
        };
        held.into_iter().map(lease).collect()
    }
}

/// Indices as ranges.
pub fn ranges(indices: impl IntoIterator<Item = u64>) -> Vec<TaskRange> {
    let mut ranges: Vec<TaskRange> = Vec::new();
    for index in indices {
        match ranges.last_mut() {
            Some(last) if last.end() == index => last.count += 1,
            _ => ranges.push(TaskRange { first: index, count: 1 }),
        }
    }
    ranges
}
