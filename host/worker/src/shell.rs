//! The shell around the agent: the one task that drives it. It takes what happened, tells the agent
//! of it and the time, and does what that wants done. It never waits for a slot or the link.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmgrid_agent::{self as agent, Agent, Effect, Preparation, WorkerConfig};
use wasmgrid_failpoints::{Place, reach};
use wasmgrid_proto::{
    JobId, Micros, Millis, TaskRange, TaskSpec, WorkerCounts, WorkerReport,
    frame::Envelope,
    text::{REASON_MAX, shortened},
    wire::{FromWorker, Part, ToWorker, Unable},
};
use wasmgrid_sandbox::{Condition, ModuleSource, PrepareError, Prepared, Sandbox, SlotEvent};

use crate::{
    counts::{count_compiled, count_results},
    event::Event,
    link_state::LinkState,
    slots::Slots,
};

/// The first minor version of the protocol that knows [`FromWorker::Report`].
const REPORTS_SINCE: u16 = 3;

/// Events taken before slots are fed and results are sent: what has come is the natural batch,
/// this keeps one turn short.
const TURN_EVENTS: usize = 256;

/// See the module's text.
pub(crate) struct Shell {
    agent: Agent<Prepared>,
    hands: Hands,
    counts: WorkerCounts,
    leave_timeout: Millis,
}

/// What the shell does things with.
struct Hands {
    sandbox: Sandbox,
    events: mpsc::Sender<Event>,
    tasks: TaskTracker,
    status: watch::Sender<LinkState>,
    slots: Slots,
    outbox: Option<mpsc::Sender<Envelope<FromWorker>>>,
    /// The link's scheduler knows what reports are.
    takes_reports: bool,
    /// What the link's scheduler was last told of this worker.
    told: Option<WorkerReport>,
    /// What the agent asked in its last turn that is known at once.
    answers: Vec<agent::Event<Prepared>>,
    /// Where the agent's time begins.
    origin: Instant,
}

impl Shell {
    pub(crate) fn new(
        config: WorkerConfig,
        sandbox: Sandbox,
        slots: Slots,
        events: mpsc::Sender<Event>,
        tasks: TaskTracker,
        status: watch::Sender<LinkState>,
    ) -> Self {
        let (leave_timeout, count) = (config.leave_timeout, slots.count());
        let (outbox, answers, origin) = (None, Vec::new(), Instant::now());
        let (takes_reports, told) = (false, None);
        let hands = Hands {
            sandbox,
            events,
            tasks,
            status,
            slots,
            outbox,
            takes_reports,
            told,
            answers,
            origin,
        };
        let counts =
            WorkerCounts { memory_bytes: config.capacity.memory.0, ..WorkerCounts::default() };
        let agent = Agent::new(config, count, system_time(), hands.now());
        Self { agent, hands, counts, leave_timeout }
    }

    /// Runs until `stop`, or until the worker has left.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Event>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(TURN_EVENTS);
        loop {
            let now = self.hands.now();
            for answer in self.hands.answers.drain(..) {
                self.agent.handle(now, answer);
            }
            for event in batch.drain(..) {
                self.handle(now, event);
            }
            let room = self.hands.room();
            let mut has_left = false;
            for effect in self.agent.turn(now, room) {
                has_left |= matches!(effect, Effect::Leave);
                self.hands.perform(effect);
            }
            if has_left {
                return self.hang_up(inbox, stop).await;
            }
            if !self.hands.answers.is_empty() {
                continue;
            }
            let deadline = self.agent.deadline();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = inbox.recv_many(&mut batch, TURN_EVENTS) => {}
                () = self.hands.has_room(), if self.agent.is_blocked() => {}
                () = self.hands.reached(deadline) => {}
            }
        }
    }

    fn handle(&mut self, now: Micros, event: Event) {
        let Self { agent, hands, counts, leave_timeout } = self;
        let event = match event {
            Event::Linked { outbox, minor } => {
                hands.outbox = Some(outbox);
                (hands.takes_reports, hands.told) = (minor >= REPORTS_SINCE, None);
                agent::Event::Linked
            }
            Event::Unlinked { reason } => {
                hands.unlinked(LinkState::Linking { reason: Some(reason) });
                agent::Event::Unlinked
            }
            Event::GaveUp { why } => {
                hands.unlinked(LinkState::GaveUp { why });
                agent::Event::Unlinked
            }
            Event::Heard { envelope } => {
                if matches!(envelope.message, ToWorker::Committed(_)) {
                    reach(Place::WorkerBeforeForget);
                    agent.handle(now, agent::Event::Heard(envelope));
                    reach(Place::WorkerAfterForget);
                    return;
                }
                agent::Event::Heard(envelope)
            }
            Event::Slot { number: slot, event } => match event {
                SlotEvent::Results(block, payload) => {
                    reach(Place::WorkerBeforeResults);
                    count_results(counts, &block);
                    agent::Event::Results { slot, block, payload }
                }
                SlotEvent::Returned { job, lease, tasks } => {
                    agent::Event::Returned { slot, job, lease, tasks }
                }
                SlotEvent::Died { reason } => {
                    tracing::warn!(slot, reason, "a runner died; the slot starts a new one");
                    return;
                }
            },
            Event::Taken { number: slot } => agent::Event::Taken { slot },
            Event::Prepared { job, spec, result, took } => {
                count_compiled(counts, took);
                agent::Event::Prepared { job, spec, result: preparation(result), took }
            }
            Event::Condition(Condition::Trying) => return,
            Event::Condition(Condition::Able) => agent::Event::Able,
            Event::Condition(Condition::Unable { why, again }) => {
                let part = if why.is_of_compilers() { Part::Compiler } else { Part::Runner };
                let again = Millis(u64::try_from(again.as_millis()).unwrap_or(u64::MAX));
                let reason = shortened(why.to_string(), REASON_MAX);
                agent::Event::Unable(Unable { part, reason, again })
            }
            Event::Count(asked) => {
                // Whoever asked may be gone.
                let _ = asked.send(hands.completed(counts));
                return;
            }
            Event::Leave => agent::Event::Leave { within: *leave_timeout },
        };
        agent.handle(now, event);
    }

    /// Lets the link deliver what was said, and waits until it has ended.
    async fn hang_up(mut self, mut inbox: mpsc::Receiver<Event>, stop: CancellationToken) {
        if self.hands.outbox.take().is_none() {
            return;
        }
        let ended = async {
            while let Some(event) = inbox.recv().await {
                if matches!(event, Event::Unlinked { .. }) {
                    return;
                }
            }
        };
        tokio::select! {
            () = ended => {}
            () = stop.cancelled() => {}
            () = tokio::time::sleep(self.leave_timeout.duration()) => {}
        }
    }
}

impl Hands {
    /// The agent's time.
    fn now(&self) -> Micros {
        Micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Ends at a moment of the agent's time; never if there is none.
    async fn reached(&self, moment: Option<Micros>) {
        match moment {
            Some(Micros(us)) => sleep_until(self.origin + Duration::from_micros(us)).await,
            None => std::future::pending().await,
        }
    }

    /// How many messages the link takes at once.
    fn room(&self) -> usize {
        let open = self.outbox.as_ref().filter(|outbox| !outbox.is_closed());
        open.map_or(0, mpsc::Sender::capacity)
    }

    /// Ends once the link has room.
    async fn has_room(&self) {
        match &self.outbox {
            Some(outbox) if outbox.reserve().await.is_ok() => {}
            // If it is closed the end of the link is an event of its own.
            _ => std::future::pending().await,
        }
    }

    fn unlinked(&mut self, state: LinkState) {
        self.outbox = None;
        self.status.send_replace(state);
    }

    fn perform(&mut self, effect: Effect<Prepared>) {
        match effect {
            Effect::Say(envelope) => {
                // There is room. If the link has ended meanwhile an event says so, and all that
                // matters is said again on the next one.
                if let Some(outbox) = &self.outbox {
                    let _ = outbox.try_send(envelope);
                }
            }
            Effect::HangUp => self.outbox = None,
            Effect::Joined { worker } => {
                self.status.send_replace(LinkState::Joined { worker });
            }
            Effect::Prepare { job, spec, bytes } => self.prepare(job, spec, bytes),
            Effect::Run { slot, batch } => {
                let (job, lease) = (batch.job, batch.lease);
                let tasks = TaskRange { first: batch.first, count: batch.inputs.count() };
                if !self.slots.run(slot, batch) {
                    self.answers.push(agent::Event::NotTaken { slot, job, lease, tasks });
                }
            }
            Effect::Cancel { slot, job, by } => self.slots.cancel(slot, job, &by),
            Effect::Recall { slot, job, lease, tasks } => {
                self.slots.recall(slot, job, lease, &tasks);
            }
            Effect::ListRunning => {
                self.report();
                self.answers.push(agent::Event::Running(self.slots.running()));
            }
            // The loop does it.
            Effect::Leave => {}
        }
    }

    /// What was counted, with how things are now.
    fn completed(&self, counts: &WorkerCounts) -> WorkerCounts {
        let (_, missing) = self.sandbox.confinement();
        WorkerCounts {
            slots: self.slots.count() as u64,
            busy_slots: self.slots.running().len() as u64,
            is_linked: matches!(*self.status.borrow(), LinkState::Joined { .. }),
            jail_lacks: missing.into_iter().map(String::from).collect(),
            runner_ends: self.sandbox.runner_ends(),
            ..counts.clone()
        }
    }

    /// Has the scheduler told of this worker, if there is news.
    fn report(&mut self) {
        let (isolation, missing) = self.sandbox.confinement();
        let jail_lacks = missing.into_iter().map(String::from).collect();
        let isolation = isolation.into();
        let report = WorkerReport { isolation, jail_lacks, ..WorkerReport::default() };
        if self.takes_reports && self.told.as_ref() != Some(&report) {
            self.told = Some(report.clone());
            self.answers.push(agent::Event::Report(report));
        }
    }

    fn prepare(&self, job: JobId, spec: Arc<TaskSpec>, bytes: Option<bytes::Bytes>) {
        let (sandbox, events) = (self.sandbox.clone(), self.events.clone());
        let source = bytes.map_or(ModuleSource::Cached, ModuleSource::Bytes);
        self.tasks.spawn(async move {
            let (result, took) = sandbox.prepare_timed(&spec, source).await;
            // The shell is gone only when the worker ends.
            let _ = events.send(Event::Prepared { job, spec, result, took }).await;
        });
    }
}

fn preparation(result: Result<Prepared, PrepareError>) -> Preparation<Prepared> {
    match result {
        Ok(module) => {
            let blob_bytes = module.blob_bytes();
            Preparation::Ready { module, blob_bytes }
        }
        Err(PrepareError::NeedsModule { digest }) => Preparation::Missing(digest),
        Err(PrepareError::Refused(refusal)) => Preparation::Refused(refusal.outcome()),
        Err(error @ (PrepareError::WrongModule { .. } | PrepareError::Sandbox(_))) => {
            Preparation::Failed(error.to_string())
        }
    }
}

/// Tells the shell of each change of the sandbox's condition, until `stop` or the sandbox's end.
pub(crate) async fn watch_condition(
    mut condition: watch::Receiver<Condition>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    loop {
        let now = condition.borrow_and_update().clone();
        let told = async {
            events.send(Event::Condition(now)).await.is_ok() && condition.changed().await.is_ok()
        };
        if stop.run_until_cancelled(told).await != Some(true) {
            return;
        }
    }
}

/// Microseconds since 1970 by the machine's clock.
fn system_time() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
