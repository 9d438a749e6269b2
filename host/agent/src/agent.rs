//! The agent itself; see [`Agent`].

mod able;
mod link;
mod reasons;
mod work;

use alloc::vec::{self, Vec};

use wasmgrid_proto::{
    ByteCount, JobId, Micros, WorkerId,
    wire::{Compiled, FromWorker, Leaving, Unable},
};

use crate::{
    Effect, Event, WorkerConfig, holdings::Holdings, modules::Modules, outgoing::Outgoing,
    proofs::Proofs,
};
use link::Link;

/// What one worker knows, and the rules by which it acts: which tasks wait for their module or a
/// slot, what each slot has, which results are not acknowledged.
///
/// It is driven by a shell that owns the link, the slots, the modules and the clock. The shell
///
/// 1. waits until something happens, [`deadline`](Self::deadline) passes, or, while
///    [`is_blocked`](Self::is_blocked), the link has room;
/// 2. hands in what has happened with [`handle`](Self::handle), in order: what has come meanwhile is
///    the natural batch, of which results and assignments are handled together;
/// 3. calls [`turn`](Self::turn), and does all effects that this gives, in order.
///
/// Effects that are answered ([`Effect::Prepare`], [`Effect::ListRunning`]) need not be answered in
/// that turn. Of time the agent knows what it is told: microseconds since whatever moment the shell
/// chose, which must never go back. The same events at the same times give the same effects.
///
/// `M` is a module that is ready to run, as the slots take it.
#[derive(Debug)]
pub struct Agent<M> {
    config: WorkerConfig,
    now: Micros,
    /// When the worker's process started, by the machine's clock: it names the process.
    started: Micros,
    link: Link,
    /// As the scheduler last called this worker.
    worker: WorkerId,
    modules: Modules<M>,
    holdings: Holdings,
    outgoing: Outgoing,
    proofs: Proofs,
    /// The rivals whose existence the scheduler asked about in this turn.
    rivals: Vec<u64>,
    /// The jobs that the scheduler knows to wait here for their module.
    reported_waiting: Vec<JobId>,
    /// What was compiled, of which the scheduler was not told.
    compiled: Vec<Compiled>,
    /// When results were sent last.
    sent_results: Micros,
    /// Results wait for no others.
    flush_now: bool,
    /// Something waits for room in the link.
    blocked: bool,
    /// When work of several tenants was last queued.
    shared_at: Option<Micros>,
    /// When the worker leaves whatever is left, if it is to leave.
    leaves_at: Option<Micros>,
    /// It has left: nothing is to be done any more.
    left: bool,
    /// When the log last said that another one has this worker's identity.
    warned_at: Option<Micros>,
    /// Why this machine cannot run tasks, if it cannot.
    unable: Option<Unable>,
    /// It could before.
    was_able: bool,
    /// Reused from turn to turn.
    effects: Vec<Effect<M>>,
}

impl<M: Clone> Agent<M> {
    /// A worker of so many slots whose process started at a time of the machine's clock that no
    /// other process of this worker has.
    #[must_use]
    pub fn new(config: WorkerConfig, slots: usize, started: Micros, now: Micros) -> Self {
        Self {
            config,
            now,
            started,
            link: Link::Down,
            worker: WorkerId(0),
            modules: Modules::default(),
            holdings: Holdings::new(slots),
            outgoing: Outgoing::new(started.0),
            proofs: Proofs::default(),
            rivals: Vec::new(),
            reported_waiting: Vec::new(),
            compiled: Vec::new(),
            sent_results: now,
            flush_now: false,
            blocked: false,
            shared_at: None,
            leaves_at: None,
            left: false,
            warned_at: None,
            unable: None,
            was_able: false,
            effects: Vec::new(),
        }
    }

    /// Takes note of something that happened. What follows from it is done by the next
    /// [`turn`](Self::turn).
    pub fn handle(&mut self, now: Micros, event: Event<M>) {
        self.now = now;
        match event {
            Event::Linked => self.linked(),
            Event::Unlinked => self.link = Link::Down,
            Event::Heard(envelope) => self.heard(envelope),
            Event::Results { slot, block, payload } => self.ended(slot, block, payload),
            Event::Returned { slot, job, lease, tasks } => self.returned(slot, job, lease, tasks),
            Event::Taken { slot } => self.effects.extend(self.holdings.orders(slot)),
            Event::NotTaken { slot, job, lease, tasks } => {
                self.not_taken(slot, job, lease, tasks);
            }
            Event::Prepared { job, spec, result, took } => {
                self.compiled(job, took);
                self.prepared(job, &spec, result);
            }
            Event::Running(running) => self.say_heartbeat(running),
            Event::Report(report) => self.say_report(report),
            Event::Able => self.able(),
            Event::Unable(unable) => self.unable(unable),
            Event::Leave { within } => {
                self.leaves_at = Some(now.after(within));
                self.say_leaving();
                self.give_back_all(reasons::LEAVING);
            }
        }
    }

    /// Does what follows from all that was handled and from the time: feeds slots, and says what
    /// there is to say, as far as the link takes so many messages at once; `room` does not count
    /// while there is no link.
    pub fn turn(&mut self, now: Micros, room: usize) -> vec::Drain<'_, Effect<M>> {
        self.now = now;
        if !self.left {
            self.heartbeat();
            self.give_up_modules();
            self.feed();
            self.report_waiting();
            self.say(room);
            self.left = self.is_done();
            if self.left {
                self.effects.push(Effect::Leave);
            }
        }
        self.effects.drain(..)
    }

    /// When there is something to do though nothing happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Micros> {
        [
            self.link.next_heartbeat(),
            self.link.is_joined().then(|| self.modules.next_overdue()).flatten(),
            self.leaves_at,
            self.gathers_until().filter(|until| *until > self.now && self.outgoing.has_unbatched()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// True if something waits to be said for which the link had no room.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// About how much memory results take that are not acknowledged.
    #[must_use]
    pub fn kept_results(&self) -> ByteCount {
        ByteCount(self.outgoing.bytes() as u64)
    }

    /// True if the worker is to leave, and has nothing left to do or no more time for it.
    fn is_done(&self) -> bool {
        let Some(leaves_at) = self.leaves_at else { return false };
        let has_said = match self.link {
            Link::Joined { .. } => self.outgoing.is_empty(),
            // Nobody is there who could be told more than that the link is gone.
            _ => !self.outgoing.has_results(),
        };
        (self.holdings.is_empty() && has_said) || self.now >= leaves_at
    }

    fn say_leaving(&mut self) {
        let reason = "it was asked to stop".into();
        self.outgoing.say(FromWorker::Leaving(Leaving { reason }));
    }
}
