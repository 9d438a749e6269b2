//! The agent's side of the link: joining, what the scheduler says, and what is said to it.

use std::time::Duration;

use tokio::{sync::mpsc, time::Instant};
use wasmgrid_failpoints::{Place, reach};
use wasmgrid_proto::{
    LeaseProof, WorkerId,
    frame::Envelope,
    wire::{
        Alive, Contested, FromWorker, Heartbeat, HeldLease, Join, JoinProved, Joined, NeedModule,
        PROTOCOL_MINOR, Proofs, ToWorker,
    },
};

use super::{Agent, Leave, able::NOT_BEGUN};
use crate::{dial::GaveUp, outgoing::merge, queue::Piece, worker::LinkState};

/// Another one of this worker's identity is warned of once in this time, however often it comes.
const WARN_EVERY: Duration = Duration::from_secs(600);

/// The shortest time between two heartbeats, whatever the scheduler says.
const HEARTBEAT_MIN: Duration = Duration::from_millis(10);

/// Running tasks in one heartbeat: at 51 bytes each less than half of a frame's meta.
const RUNNING_MAX: usize = 8_192;

/// Between two messages of results of slots that are busy: what follows from one costs the worker,
/// its scheduler and the client more than tens of tiny tasks.
const GATHER: Duration = Duration::from_millis(20);

/// The same while several tenants have work here: who comes next waits for room.
const GATHER_SHARED: Duration = Duration::from_millis(2);

/// The link as it stands.
pub(super) enum Link {
    /// There is none.
    Down,
    /// The join was sent; nothing else is until it is answered.
    Joining { outbox: mpsc::Sender<Envelope<FromWorker>> },
    /// In the grid.
    Joined { outbox: mpsc::Sender<Envelope<FromWorker>>, every: Duration, next_heartbeat: Instant },
}

impl Link {
    pub(super) fn is_joined(&self) -> bool {
        matches!(self, Self::Joined { .. })
    }

    pub(super) fn next_heartbeat(&self) -> Option<Instant> {
        match self {
            Self::Joined { next_heartbeat, .. } => Some(*next_heartbeat),
            _ => None,
        }
    }
}

/// Waits for room in an outbox that had none; for ever where there is no such.
pub(super) async fn room(blocked: Option<mpsc::Sender<Envelope<FromWorker>>>) {
    match blocked {
        Some(outbox) if outbox.reserve().await.is_ok() => {}
        // Where it is closed the end of the link is an event of its own.
        _ => std::future::pending().await,
    }
}

impl Agent {
    pub(super) fn linked(&mut self, outbox: mpsc::Sender<Envelope<FromWorker>>) {
        self.outgoing.restart();
        // Nothing overtakes what was said on another link.
        self.cancelled.clear();
        self.recalled.clear();
        let held = self.held();
        self.brought = held.iter().map(|lease| lease.job).collect();
        let (started, capacity) = (self.started, self.config.capacity.clone());
        let proofs = self.proofs.of(&held);
        let join = Join { minor: PROTOCOL_MINOR, started, capacity, held };
        let message = match join.held.is_empty() {
            true => FromWorker::Join(join),
            false => FromWorker::JoinProved(JoinProved { join, proofs }),
        };
        // The outbox is new, so there is room; where it is closed already an event will say so.
        let _ = outbox.try_send(message.into());
        self.link = Link::Joining { outbox };
    }

    pub(super) fn unlinked(&mut self, reason: String) {
        self.link = Link::Down;
        self.status.send_replace(LinkState::Linking { reason: Some(reason) });
    }

    pub(super) fn gave_up(&mut self, why: GaveUp) {
        self.link = Link::Down;
        self.status.send_replace(LinkState::GaveUp { why });
    }

    /// Another process has this worker's identity, and wants its place.
    fn contested(&mut self, contested: &Contested) {
        let now = self.now;
        if self.warned_at.is_none_or(|at| at + WARN_EVERY <= now) {
            self.warned_at = Some(now);
            tracing::warn!(
                from = contested.address,
                "another machine has this worker's identity, and is refused: its folder or disk \
                 was probably copied; join that machine with a token of its own"
            );
        }
        let alive = FromWorker::Alive(Alive { rival: contested.rival });
        let (Link::Joining { outbox } | Link::Joined { outbox, .. }) = &self.link else { return };
        if outbox.try_send(alive.clone().into()).is_err() {
            self.outgoing.say(alive);
        }
    }

    pub(super) fn heard(&mut self, envelope: Envelope<ToWorker>) {
        match envelope.message {
            ToWorker::Joined(joined) => self.joined(&joined),
            ToWorker::Assign(assign) => self.assign(assign, envelope.payload),
            ToWorker::Proofs(Proofs { proofs }) => self.keep_proofs(proofs),
            ToWorker::Cancel(cancel) => self.cancel(cancel.job, &cancel.by),
            ToWorker::Revoke(revoke) => self.revoke(revoke.job, revoke.lease, &revoke.tasks),
            ToWorker::Overrun(overrun) => self.overrun(&overrun),
            ToWorker::Committed(committed) => {
                reach(Place::WorkerBeforeForget);
                self.outgoing.acknowledged(&committed.batches);
                reach(Place::WorkerAfterForget);
            }
            ToWorker::Contested(contested) => self.contested(&contested),
            // The link's reader has taken it.
            ToWorker::Refused(_)
            | ToWorker::Renewed(_)
            | ToWorker::NotRenewed(_)
            | ToWorker::RenewSoon(_) => {}
            ToWorker::Module(module) => self.module_arrived(module.digest, &envelope.payload),
            ToWorker::Drain(drain) => {
                tracing::info!(leave = drain.leave, "the scheduler drains this worker");
                if drain.leave && self.leaving.is_none() {
                    let until = self.now + self.config.leave_timeout.duration();
                    self.leaving = Some(Leave { until });
                }
            }
        }
    }

    fn joined(&mut self, joined: &Joined) {
        let Link::Joining { outbox } = std::mem::replace(&mut self.link, Link::Down) else {
            return;
        };
        let WorkerId(number) = joined.worker;
        tracing::info!(worker = number, epoch = %joined.epoch, "joined the grid");
        self.worker = joined.worker;
        let every = joined.heartbeat.duration().max(HEARTBEAT_MIN);
        self.link = Link::Joined { outbox, every, next_heartbeat: self.now };
        self.status.send_replace(LinkState::Joined { worker: joined.worker });
        self.told_waiting.clear();
        self.modules.tell_anew();
        for digest in self.modules.ask_again(self.now) {
            self.outgoing.say(FromWorker::NeedModule(NeedModule { digest }));
        }
        if self.leaving.is_some() {
            self.say_leaving();
        }
        if self.unable.is_some() {
            self.say_health();
            self.give_back_all(NOT_BEGUN);
        }
    }

    /// What the worker has of each lease: a scheduler that does not know of it takes it over.
    fn held(&self) -> Vec<HeldLease> {
        let waiting = |piece: &Piece| HeldLease {
            job: piece.job,
            lease: piece.lease,
            attempt: piece.attempt,
            tasks: vec![piece.tasks()],
        };
        let mut held: Vec<_> =
            self.queue.pieces().chain(self.modules.waiting()).map(waiting).collect();
        held.extend(self.slots.leases().map(|(job, lease, attempt, left)| HeldLease {
            job,
            lease,
            attempt,
            tasks: left.to_vec(),
        }));
        held.extend(self.outgoing.held());
        merge(held)
    }

    fn keep_proofs(&mut self, proofs: Vec<LeaseProof>) {
        let mut kept = std::mem::take(&mut self.proofs);
        kept.keep(proofs, || self.held());
        self.proofs = kept;
    }

    /// Says that the worker lives, where it is time to.
    pub(super) fn heartbeat(&mut self) {
        let now = self.now;
        match &mut self.link {
            Link::Joined { every, next_heartbeat, .. } if *next_heartbeat <= now => {
                *next_heartbeat = now + *every;
            }
            _ => return,
        }
        let mut running = self.slots.running();
        running.truncate(RUNNING_MAX);
        let heartbeat = Heartbeat { queued: self.waiting_tasks(), running };
        self.outgoing.say(FromWorker::Heartbeat(heartbeat));
    }

    /// Until when results may wait for others: only while each slot has enough to do. A task alone
    /// never waits, nor do results after which a slot would have nothing.
    pub(super) fn gathers_until(&self) -> Option<Instant> {
        let gathers = self.leaving.is_none() && self.slots.are_busy();
        let longest = if self.is_shared() { GATHER_SHARED } else { GATHER };
        gathers.then(|| self.sent_results + longest)
    }

    /// Says what there is to say, as far as the link has room; the outbox that has none. A link so
    /// slow that messages were dropped is given up: joining anew tells what they would have told.
    pub(super) fn send(&mut self) -> Option<mpsc::Sender<Envelope<FromWorker>>> {
        if self.outgoing.has_dropped() {
            self.link = Link::Down;
        }
        let hurries = std::mem::take(&mut self.hurries);
        let gather = !hurries && self.gathers_until().is_some_and(|until| self.now < until);
        let Link::Joined { outbox, .. } = &self.link else { return None };
        while self.outgoing.has_next(gather) {
            match outbox.try_reserve() {
                Ok(permit) => match self.outgoing.next(gather) {
                    Some(envelope) => {
                        if matches!(envelope.message, FromWorker::Results(_)) {
                            self.sent_results = self.now;
                        }
                        permit.send(envelope);
                    }
                    None => return None,
                },
                Err(_) => {
                    self.hurries = hurries;
                    return Some(outbox.clone());
                }
            }
        }
        None
    }
}
