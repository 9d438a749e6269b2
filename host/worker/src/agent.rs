//! The agent: the one task that owns what the worker knows. It takes events, changes its state,
//! then gives slots work and says what there is to say. It never waits for a slot or the link.

pub(crate) mod able;
mod link;
mod work;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmgrid_proto::{
    JobId, Micros, TaskSpec, WorkerId,
    frame::Envelope,
    wire::{Compiled, FromWorker, Leaving, ToWorker, Unable},
};
use wasmgrid_sandbox::{Condition, PrepareError, Prepared, Sandbox, SlotEvent};

use crate::{
    config::WorkerConfig, dial::GaveUp, modules::Modules, outgoing::Outgoing, proofs::Proofs,
    queue::Queue, recalled::Recalled, slots::Slots, worker::LinkState,
};
use link::Link;

/// Events taken before slots are fed and results are sent: what has come is the natural batch,
/// this keeps one turn short.
const TURN_EVENTS: usize = 256;

/// The longest the agent sleeps; nothing depends on it.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// All that can happen to a worker.
pub(crate) enum Event {
    /// There is a link; the worker has not joined over it yet.
    Linked { outbox: mpsc::Sender<Envelope<FromWorker>> },
    /// The link has ended, or there was none to be had.
    Unlinked { reason: String },
    /// There will be no other link.
    GaveUp { why: GaveUp },
    /// The scheduler said something.
    Heard { envelope: Envelope<ToWorker> },
    /// A slot said something.
    Slot { number: usize, event: SlotEvent },
    /// A job's module was prepared, or not.
    Prepared {
        job: JobId,
        spec: Arc<TaskSpec>,
        result: Result<Prepared, PrepareError>,
        /// For how long something was compiled for it.
        took: Duration,
    },
    /// Whether tasks can be run here is not as it was.
    Condition(Condition),
    /// Leave the grid in order.
    Leave,
}

/// See the module's text.
pub(crate) struct Agent {
    config: WorkerConfig,
    sandbox: Sandbox,
    events: mpsc::Sender<Event>,
    tasks: TaskTracker,
    status: watch::Sender<LinkState>,
    now: Instant,
    started: Micros,
    link: Link,
    /// As the scheduler last called this worker.
    worker: WorkerId,
    modules: Modules,
    queue: Queue,
    slots: Slots,
    outgoing: Outgoing,
    proofs: Proofs,
    /// The jobs that the scheduler knows to wait here for their module.
    told_waiting: Vec<JobId>,
    /// What was compiled, of which the scheduler was not told.
    compiled: Vec<Compiled>,
    /// When results were sent last.
    sent_results: Instant,
    /// Results wait for no others.
    hurries: bool,
    /// When work of several tenants was last queued.
    shared_at: Option<Instant>,
    /// Jobs whose cancel may overtake an assignment of theirs.
    cancelled: BTreeSet<JobId>,
    /// Tasks whose recall may overtake them.
    recalled: Recalled,
    /// Jobs that were brought along to this link. A cancel of one of them mostly says that it is
    /// not known any more, and another job may get its number: it is not remembered.
    brought: BTreeSet<JobId>,
    leaving: Option<Leave>,
    /// When the log last said that another one has this worker's identity.
    warned_at: Option<Instant>,
    /// Why this machine cannot run tasks, where it cannot.
    unable: Option<Unable>,
    /// It could before.
    was_able: bool,
}

/// How the worker leaves.
#[derive(Clone, Copy, Debug)]
struct Leave {
    /// When it leaves whatever is left.
    until: Instant,
}

impl Agent {
    pub(crate) fn new(
        config: WorkerConfig,
        sandbox: Sandbox,
        slots: Slots,
        events: mpsc::Sender<Event>,
        tasks: TaskTracker,
        status: watch::Sender<LinkState>,
    ) -> Self {
        let (started, now) = (system_time(), Instant::now());
        Self {
            config,
            sandbox,
            events,
            tasks,
            status,
            now,
            started,
            link: Link::Down,
            worker: WorkerId(0),
            modules: Modules::default(),
            queue: Queue::default(),
            slots,
            outgoing: Outgoing::new(started.0),
            proofs: Proofs::default(),
            told_waiting: Vec::new(),
            compiled: Vec::new(),
            sent_results: now,
            hurries: false,
            shared_at: None,
            cancelled: BTreeSet::new(),
            recalled: Recalled::default(),
            brought: BTreeSet::new(),
            leaving: None,
            warned_at: None,
            unable: None,
            was_able: false,
        }
    }

    /// Runs until `stop`, or until the worker has left.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Event>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(TURN_EVENTS);
        loop {
            self.now = Instant::now();
            for event in batch.drain(..) {
                self.handle(event);
            }
            self.tick();
            self.feed();
            self.tell_waiting();
            let blocked = self.send();
            if self.has_left() {
                return self.hang_up(inbox, stop).await;
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = inbox.recv_many(&mut batch, TURN_EVENTS) => {}
                () = link::room(blocked) => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Linked { outbox } => self.linked(outbox),
            Event::Unlinked { reason } => self.unlinked(reason),
            Event::GaveUp { why } => self.gave_up(why),
            Event::Heard { envelope } => self.heard(envelope),
            Event::Slot { number, event } => self.slot(number, event),
            Event::Prepared { job, spec, result, took } => {
                self.compiled(job, took);
                self.prepared(job, &spec, result);
            }
            Event::Condition(condition) => self.condition(condition),
            Event::Leave => {
                self.leaving =
                    Some(Leave { until: self.now + self.config.leave_timeout.duration() });
                self.say_leaving();
                self.give_back_all("the worker leaves");
            }
        }
    }

    /// Does what the time asks for.
    fn tick(&mut self) {
        self.heartbeat();
        self.give_up_modules();
    }

    /// When something is to be done though nothing comes.
    fn deadline(&self) -> Instant {
        [
            self.link.next_heartbeat(),
            self.link.is_joined().then(|| self.modules.next_overdue()).flatten(),
            self.leaving.map(|leave| leave.until),
            self.gathers_until().filter(|until| *until > self.now && self.outgoing.has_loose()),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.now + SLEEP_MAX)
    }

    /// True where the worker is to leave, and has nothing left to do or no more time for it.
    fn has_left(&self) -> bool {
        let Some(leave) = self.leaving else { return false };
        let is_idle = self.slots.tasks() == 0 && self.waiting_tasks() == 0;
        let has_said = match self.link {
            Link::Joined { .. } => self.outgoing.is_empty(),
            // Nobody is there who could be told more than that the link is gone.
            _ => !self.outgoing.has_results(),
        };
        (is_idle && has_said) || self.now >= leave.until
    }

    /// Tasks that no slot has.
    fn waiting_tasks(&self) -> u64 {
        let waiting = self.modules.waiting().map(|piece| piece.tasks().count);
        self.queue.tasks() + waiting.sum::<u64>()
    }

    fn say_leaving(&mut self) {
        let reason = "it was asked to stop".into();
        self.outgoing.say(FromWorker::Leaving(Leaving { reason }));
    }

    /// Lets the link deliver what was said, and waits until it has ended.
    async fn hang_up(mut self, mut inbox: mpsc::Receiver<Event>, stop: CancellationToken) {
        let until = self.now + self.config.leave_timeout.duration();
        if matches!(std::mem::replace(&mut self.link, Link::Down), Link::Down) {
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
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

/// Microseconds since 1970 by the machine's clock.
fn system_time() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
