//! The agent's side of the link: joining, what the scheduler says, and what is said to it.

use alloc::vec::Vec;

use wasmgrid_proto::{
    LeaseProof, Micros, Millis, RunningTask, WorkerId, WorkerReport,
    frame::Envelope,
    pace::{GATHER, GATHER_SHARED},
    wire::{
        Alive, Contested, FromWorker, Heartbeat, HeldLease, Join, Joined, NeedModule, Proofs,
        ToWorker,
    },
};

use super::{Agent, reasons::UNABLE};
use crate::{
    Effect,
    outgoing::merge,
    times::{HEARTBEAT_MIN, WARN_EVERY, has_passed},
};

/// Running tasks in one heartbeat: at 51 bytes each less than half of a frame's meta.
const RUNNING_MAX: usize = 8_192;

/// The link as it stands.
#[derive(Debug)]
pub(super) enum Link {
    /// There is none.
    Down,
    /// There is one, over which nothing was said.
    New,
    /// The join was sent; nothing else is until it is answered.
    Joining,
    /// In the grid.
    Joined { every: Millis, next_heartbeat: Micros },
}

impl Link {
    pub(super) const fn is_joined(&self) -> bool {
        matches!(self, Self::Joined { .. })
    }

    pub(super) const fn next_heartbeat(&self) -> Option<Micros> {
        match self {
            Self::Joined { next_heartbeat, .. } => Some(*next_heartbeat),
            _ => None,
        }
    }
}

impl<M: Clone> Agent<M> {
    pub(super) fn linked(&mut self) {
        self.outgoing.restart();
        self.rivals.clear();
        self.link = Link::New;
    }

    /// Says who is there and what it still has: a scheduler that does not know of it takes it over.
    fn join(&mut self) {
        let held = self.held();
        self.holdings.relinked(&held);
        let (started, capacity) = (self.started, self.config.capacity.clone());
        let proofs = self.proofs.of(&held);
        let join = Join { started, capacity, held, proofs };
        self.effects.push(Effect::Say(FromWorker::Join(join).into()));
        self.link = Link::Joining;
    }

    /// Another process has this worker's identity, and wants its place.
    fn contested(&mut self, contested: &Contested) {
        if has_passed(self.warned_at, WARN_EVERY, self.now) {
            self.warned_at = Some(self.now);
            tracing::warn!(
                from = contested.address,
                "another machine has this worker's identity, and is refused: its folder or disk \
                 was probably copied; join that machine with a token of its own"
            );
        }
        self.rivals.push(contested.rival);
    }

    pub(super) fn heard(&mut self, envelope: Envelope<ToWorker>) {
        match envelope.message {
            ToWorker::Joined(joined) => self.joined(&joined),
            ToWorker::Assign(assign) => self.assign(assign, envelope.payload),
            ToWorker::Proofs(Proofs { proofs }) => self.keep_proofs(proofs),
            ToWorker::Cancel(cancel) => self.cancel(cancel.job, &cancel.by),
            ToWorker::Revoke(revoke) => self.recall(revoke.job, revoke.lease, &revoke.tasks),
            ToWorker::Overrun(overrun) => self.overrun(&overrun),
            ToWorker::Committed(committed) => self.outgoing.acknowledged(&committed.batches),
            ToWorker::Contested(contested) => self.contested(&contested),
            // The shell has taken it.
            ToWorker::Refused(_)
            | ToWorker::Renewed(_)
            | ToWorker::NotRenewed(_)
            | ToWorker::RenewSoon(_) => {}
            ToWorker::Module(module) => self.module_arrived(module.digest, &envelope.payload),
            ToWorker::Drain(drain) => {
                tracing::info!(leave = drain.leave, "the scheduler drains this worker");
                if drain.leave && self.leaves_at.is_none() {
                    self.leaves_at = Some(self.now.after(self.config.leave_timeout));
                }
            }
        }
    }

    fn joined(&mut self, joined: &Joined) {
        if !matches!(self.link, Link::Joining) {
            return;
        }
        let WorkerId(number) = joined.worker;
        tracing::info!(worker = number, epoch = %joined.epoch, "joined the grid");
        self.worker = joined.worker;
        let every = joined.heartbeat.max(HEARTBEAT_MIN);
        self.link = Link::Joined { every, next_heartbeat: self.now };
        self.effects.push(Effect::Joined { worker: joined.worker });
        self.reported_waiting.clear();
        self.modules.report_anew();
        for digest in self.modules.ask_again(self.now) {
            self.outgoing.say(FromWorker::NeedModule(NeedModule { digest }));
        }
        if self.leaves_at.is_some() {
            self.say_leaving();
        }
        if self.unable.is_some() {
            self.say_health();
            self.give_back_all(UNABLE);
        }
    }

    /// What the worker has of each lease.
    fn held(&self) -> Vec<HeldLease> {
        merge(self.holdings.held().chain(self.outgoing.held()))
    }

    fn keep_proofs(&mut self, proofs: Vec<LeaseProof>) {
        let mut kept = core::mem::take(&mut self.proofs);
        kept.keep(proofs, || self.held());
        self.proofs = kept;
    }

    /// Asks what runs, if it is time to say that the worker lives.
    pub(super) fn heartbeat(&mut self) {
        let now = self.now;
        if let Link::Joined { every, next_heartbeat } = &mut self.link
            && *next_heartbeat <= now
        {
            *next_heartbeat = now.after(*every);
            self.effects.push(Effect::ListRunning);
        }
    }

    pub(super) fn say_heartbeat(&mut self, mut running: Vec<RunningTask>) {
        if self.link.is_joined() {
            running.truncate(RUNNING_MAX);
            let heartbeat = Heartbeat { queued: self.holdings.waiting_tasks(), running };
            self.outgoing.say(FromWorker::Heartbeat(heartbeat));
        }
    }

    /// Says what it is, on a link that has joined.
    pub(super) fn say_report(&mut self, report: WorkerReport) {
        if self.link.is_joined() {
            self.outgoing.say(FromWorker::Report(report));
        }
    }

    /// Until when results may wait for others: only while each slot has enough to do. A task alone
    /// never waits, nor do results after which a slot would have nothing.
    pub(super) fn gathers_until(&self) -> Option<Micros> {
        let gathers = self.leaves_at.is_none() && self.holdings.slots_are_busy();
        let longest = if self.is_shared() { GATHER_SHARED } else { GATHER };
        gathers.then(|| self.sent_results.after(longest))
    }

    /// Says what there is to say, as far as the link has room. A link so slow that messages were
    /// dropped is given up: joining anew tells what they would have told.
    pub(super) fn say(&mut self, mut room: usize) {
        self.blocked = false;
        let flush_now = core::mem::take(&mut self.flush_now);
        if self.outgoing.has_dropped() {
            if !matches!(self.link, Link::Down) {
                self.effects.push(Effect::HangUp);
            }
            self.link = Link::Down;
        }
        if matches!(self.link, Link::New) {
            // A new link has room for one message.
            self.join();
            room = room.saturating_sub(1);
        }
        self.answer_contests(&mut room);
        if !self.link.is_joined() {
            return;
        }
        let gather = !flush_now && self.gathers_until().is_some_and(|until| self.now < until);
        while self.outgoing.has_next(gather) {
            if room == 0 {
                (self.flush_now, self.blocked) = (flush_now, true);
                return;
            }
            let Some(envelope) = self.outgoing.next(gather) else { return };
            if matches!(envelope.message, FromWorker::Results(_)) {
                self.sent_results = self.now;
            }
            self.effects.push(Effect::Say(envelope));
            room -= 1;
        }
    }

    /// Answers first, also before the worker has joined: the place of one that is silent is given to
    /// its rival.
    fn answer_contests(&mut self, room: &mut usize) {
        for rival in self.rivals.drain(..) {
            let alive = FromWorker::Alive(Alive { rival });
            if matches!(self.link, Link::Down) || *room == 0 {
                self.outgoing.say(alive);
            } else {
                self.effects.push(Effect::Say(alive.into()));
                *room -= 1;
            }
        }
    }
}
