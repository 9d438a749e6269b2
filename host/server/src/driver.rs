//! The driver: the one task that owns the scheduler core. It takes events, gives them to the
//! core as inputs, and turns the core's outputs into effects. It never waits for anything but the
//! next event.

pub(crate) mod blobs;
pub(crate) mod cache;
mod certificates;
mod clients;
mod comparison;
mod contests;
mod divergence;
mod feeders;
pub(crate) mod gate;
mod lists;
mod logs;
mod members;
pub(crate) mod modules;
pub(crate) mod outbox;
mod outputs;
pub(crate) mod retention;
mod sizes;
pub(crate) mod turns;
mod walks;
mod watches;
mod workers;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmgrid_core::{Grid, Input, RequestId, SegmentToken};
use wasmgrid_net::Peer;
use wasmgrid_proto::{
    Digest, JobId, Micros, Millis, ResultBlock, TaskStatus, WorkerId,
    frame::Envelope,
    wire::{ApiError, ErrorCode, FromClient, FromWorker, Renewed, Reply, ToClient, ToWorker},
};

use crate::{
    clock::Clock,
    driver::cache::{Cache, Place},
    driver::gate::Gate,
    driver::modules::{Looked, Modules},
    driver::outbox::{Freed, Kin, Outbox},
    driver::retention::{Measured, Retention},
    enroll::Enroller,
    error::ServerError,
    journal::Write,
    links::{HeardRoom, LinkId},
    members::MemberKey,
    readers::{Found, Readers},
};
use clients::{Client, Pending};
use comparison::Compared;
use divergence::Audit;
use feeders::Feeders;
use logs::Logs;
use members::Seen;
use walks::{FoundResult, Walks};
use watches::Visible;
use workers::Worker;

/// Events taken before the core's outputs are polled: the natural batch is what has come, this
/// keeps one turn short.
const TURN_EVENTS: usize = 256;

/// How long nothing was to be committed before the store is asked to tidy up: that delays a commit
/// that comes right then.
const IDLE_AFTER: Millis = Millis(1_000);

/// The longest the driver sleeps: a clock that was set back must not hold a deadline for longer.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Events with results that wait while the disk is full: more than honest workers have under way.
const DEFERRED_MAX: usize = 4_096;

/// After so long without listening to links, because too much was uncommitted or the machine
/// slept, the silence of workers means nothing. Over [`SLEEP_MAX`]; well under the time after
/// which a silent worker is given up.
const DEAF_AFTER: Millis = Millis(2_000);

/// Bytes of an error's text: it may quote what a client or a module says.
pub(crate) const ERROR_BYTES: usize = 8 << 10;

/// All that can happen to a server.
pub(crate) enum Event {
    /// A worker's link was given to the server.
    WorkerLinked { link: LinkId, peer: Peer, outbox: Outbox<ToWorker> },
    /// A worker said something.
    FromWorker { link: LinkId, envelope: Envelope<FromWorker>, room: HeardRoom },
    /// A client's link was given to the server.
    ClientLinked { link: LinkId, peer: Peer, outbox: Outbox<ToClient> },
    /// A client said something.
    FromClient { link: LinkId, envelope: Envelope<FromClient>, room: HeardRoom },
    /// A link has ended.
    Unlinked { link: LinkId, reason: String, kin: Arc<Kin> },
    /// A link's outbox has room again, which the driver had asked for, or that of its identity's.
    Room { link: LinkId, freed: Freed },
    /// All batches up to this one are durable.
    Committed { number: u64 },
    /// The disk is full, or no longer.
    StoreFull(bool),
    /// A commit failed or its thread is gone; none will succeed.
    JournalFailed(ServerError),
    /// The store was measured.
    Measured(Result<Measured, ServerError>),
    /// A segment was read.
    Loaded { place: Place, found: Found },
    /// Late results were compared with those that count.
    Compared { job: JobId, compared: Vec<Compared> },
    /// A task's result was looked for.
    TaskFound { link: LinkId, id: u64, status: Box<TaskStatus>, found: Option<FoundResult> },
    /// A module was read for a worker.
    ModuleRead { link: LinkId, digest: Digest, found: Result<Option<Bytes>, ServerError> },
    /// A module or a blob of the tenant's was looked at.
    ModuleLooked { tenant: String, digest: Digest, looked: Looked },
    /// A request that was worked on beside the driver is done.
    Answer { link: LinkId, id: u64, reply: Result<Reply, ApiError> },
    /// The next certificate of a worker is made, or is not.
    Renewed { link: LinkId, answer: Result<Renewed, ApiError> },
    /// Workers of these names, or all, should renew their certificates soon.
    RenewSoon { names: Option<BTreeSet<String>> },
    /// A member was taken away, as the asker of this request wanted.
    MemberRemoved { link: LinkId, id: u64, key: MemberKey },
    /// Which names do workers have?
    WorkerNames(oneshot::Sender<BTreeSet<String>>),
    /// A token vouches for labels of these keys; whoever makes it waits until that counts.
    KeysVouched(Vec<String>, oneshot::Sender<()>),
}

/// Where the driver's events come from.
pub(crate) struct Inboxes {
    /// What links say; not taken while too much is uncommitted.
    pub heard: mpsc::Receiver<Event>,
    /// What the driver waits for.
    pub done: mpsc::Receiver<Event>,
}

/// See the module's text.
pub(crate) struct Driver {
    pub heartbeat: Millis,
    pub producer_grace: Millis,
    pub grid: Grid,
    pub clock: Clock,
    pub gate: Gate,
    pub cache: Cache,
    pub modules: Modules,
    pub readers: Readers,
    pub retention: Retention,
    /// Cancelled where the journal's thread broke off.
    pub journal_broken: CancellationToken,
    pub enroller: Arc<Enroller>,
    pub tasks: TaskTracker,
    pub done: mpsc::Sender<Event>,
    pub state: State,
}

/// What the driver itself keeps; empty at the start.
#[derive(Default)]
pub(crate) struct State {
    writes: Option<mpsc::Sender<Write>>,
    /// When the store may tidy up, unless there is more to commit by then.
    tidy_at: Option<Micros>,
    pub now: Micros,
    /// Results that came while the disk was full and too much was uncommitted already.
    deferred: VecDeque<Event>,
    /// The end of the last turn after which links were listened to.
    listened_at: Micros,
    store_full: bool,
    failure: Option<ServerError>,
    workers: BTreeMap<LinkId, Worker>,
    by_worker: BTreeMap<WorkerId, LinkId>,
    clients: BTreeMap<LinkId, Client>,
    /// When clients were last linked.
    seen: Seen,
    requests: BTreeMap<RequestId, Pending>,
    next_request: u64,
    /// Results that the core has not decided about.
    held: BTreeMap<SegmentToken, Vec<(ResultBlock, Bytes)>>,
    next_token: u64,
    /// Late results that are compared.
    audit: Audit,
    walks: Walks,
    feeders: Feeders,
    /// Kept of tasks that a cancel stopped.
    logs: Logs,
    /// Who waits for a segment that is being read.
    loading: BTreeMap<Place, BTreeSet<Waiter>>,
    /// Links to which something may be said once the core's outputs are all taken.
    touched: BTreeSet<LinkId>,
    /// The watches of each job.
    watchers: BTreeMap<JobId, BTreeSet<(LinkId, u64)>>,
    /// When workers are to be told what they may forget.
    acknowledge_at: Option<Micros>,
    /// When a watch is to be told next how its job stands.
    due: BTreeSet<(Micros, LinkId, u64)>,
    /// Up to where the results of a job are durable, where that is not all the core has.
    visible: BTreeMap<JobId, Visible>,
    /// How many changes of a job are not durable.
    unsettled: BTreeMap<JobId, u64>,
}

/// What goes on when a segment is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Waiter {
    Worker(LinkId),
    Watch(LinkId, u64),
}

impl State {
    /// With the journal's inbox.
    pub(crate) fn new(writes: mpsc::Sender<Write>) -> Self {
        Self { writes: Some(writes), ..Self::default() }
    }
}

impl Driver {
    /// Runs until `stop`, or until the store fails. What was taken by then is committed and
    /// answered.
    ///
    /// # Errors
    /// [`ServerError`], where the store failed.
    pub(crate) async fn run(
        mut self,
        mut inboxes: Inboxes,
        stop: CancellationToken,
    ) -> Result<(), ServerError> {
        let (mut done, mut heard) = (Vec::new(), Vec::with_capacity(TURN_EVENTS));
        let broken = self.journal_broken.clone();
        // What the last term left is tidied too, also where nothing comes now.
        self.state.tidy_at = Some(self.clock.now().after(IDLE_AFTER));
        self.state.now = self.clock.now();
        self.await_feeders();
        while self.state.failure.is_none() && !stop.is_cancelled() {
            self.turn(done.drain(..).chain(heard.drain(..)));
            let sleep = self.sleep();
            let takes = self.takes();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                _ = inboxes.done.recv_many(&mut done, TURN_EVENTS) => {}
                _ = inboxes.heard.recv_many(&mut heard, TURN_EVENTS), if takes => {}
                () = broken.cancelled() => self.fail(ServerError::Writer),
                () = tokio::time::sleep(sleep) => {}
            }
            while takes && heard.len() < TURN_EVENTS {
                let Ok(event) = inboxes.heard.try_recv() else { break };
                heard.push(event);
            }
        }
        self.turn(done.into_iter().chain(heard));
        self.finish(inboxes.done).await
    }

    /// Whether what links say is taken now. While the disk is full it is, although results must
    /// wait, so that reading goes on and clients are told.
    fn takes(&self) -> bool {
        let defers = self.state.store_full && self.state.deferred.len() < DEFERRED_MAX;
        !self.gate.is_full() || defers
    }

    /// Handles what was deferred, as far as there is room for it.
    fn take_deferred(&mut self) {
        while !self.gate.is_full()
            && let Some(event) = self.state.deferred.pop_front()
        {
            self.handle(event);
            self.take_outputs();
        }
    }

    /// Handles what has come, then everything that follows from it.
    fn turn(&mut self, events: impl Iterator<Item = Event>) {
        self.state.now = self.clock.now();
        if self.state.listened_at.after(DEAF_AFTER) < self.state.now {
            self.grid.handle(self.state.now, Input::Deaf);
            self.await_feeders_anew();
        }
        self.take_deferred();
        for event in events {
            let waits = self.gate.is_full() || !self.state.deferred.is_empty();
            if waits && is_results(&event) {
                self.state.deferred.push_back(event);
            } else {
                self.handle(event);
            }
        }
        if self.grid.poll_timeout().is_some_and(|at| at <= self.state.now) {
            self.grid.handle(self.state.now, Input::Tick);
        }
        self.retain();
        self.close_unfed();
        self.take_outputs();
        self.release();
        self.tell_due();
        if self.state.acknowledge_at.is_some_and(|at| at <= self.state.now) {
            self.acknowledge_all();
        }
        self.pump();
        self.hand_over();
        // Results that wait for room are not heard either.
        if self.takes() && self.state.deferred.is_empty() {
            self.state.listened_at = self.state.now;
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::WorkerLinked { link, peer, outbox } => self.worker_linked(link, peer, outbox),
            Event::FromWorker { link, envelope, room } => {
                self.worker_says(link, envelope);
                // From here on the gate counts what was in it.
                drop(room);
            }
            Event::ClientLinked { link, peer, outbox } => self.client_linked(link, peer, outbox),
            Event::FromClient { link, envelope, room } => self.client_says(link, envelope, room),
            Event::Unlinked { link, reason, kin } => {
                self.unlinked(link, &reason);
                if kin.has_waited() {
                    self.touch_kin(&kin);
                }
            }
            Event::Room { link, freed } => self.has_room(link, freed),
            Event::Committed { number } => self.gate.committed(number),
            Event::StoreFull(full) => self.store_full(full),
            Event::JournalFailed(error) => self.fail(error),
            Event::Measured(Ok(measured)) => self.measured(measured),
            Event::Measured(Err(error)) => self.not_measured(error),
            Event::Loaded { place, found } => self.loaded(place, found),
            Event::Compared { job, compared } => self.compared(job, compared),
            Event::TaskFound { link, id, status, found } => {
                self.task_found((link, id), *status, found);
            }
            Event::ModuleRead { link, digest, found } => self.module_read(link, digest, found),
            Event::ModuleLooked { tenant, digest, looked } => {
                let is_kept = matches!(looked, Looked::Kept(_) | Looked::KeptBlob(_));
                self.modules.looked(&tenant, digest, looked, self.state.now);
                if is_kept {
                    self.count_modules(tenant);
                }
            }
            Event::Answer { link, id, reply } => self.answer(link, id, reply),
            Event::Renewed { link, answer } => self.renewed(link, answer),
            Event::RenewSoon { names } => self.renew_soon(names.as_ref()),
            Event::MemberRemoved { link, id, key } => self.member_removed(link, id, key),
            Event::WorkerNames(asker) => {
                let names = self.grid.worker_names().cloned().collect();
                // The asker may have gone.
                let _ = asker.send(names);
            }
            Event::KeysVouched(keys, asker) => {
                self.grid.handle(self.state.now, Input::KeysVouched { keys });
                // As above.
                let _ = asker.send(());
            }
        }
    }

    /// How long nothing is to be done unless something comes.
    fn sleep(&self) -> Duration {
        let due = self.state.due.first().map(|(at, ..)| *at);
        let timers = [self.grid.poll_timeout(), due, self.state.acknowledge_at, self.next_unfed()];
        let next = timers.into_iter().flatten().min();
        let wait = next.map(|at| at.0.saturating_sub(self.state.now.0));
        wait.map_or(SLEEP_MAX, Duration::from_micros).min(SLEEP_MAX)
    }

    /// Gives the journal what was built; keeps it where the journal has enough to do.
    fn hand_over(&mut self) {
        let Some(writes) = &self.state.writes else { return };
        let Ok(permit) = writes.try_reserve() else { return };
        if let Some(batch) = self.gate.take() {
            permit.send(Write::Batch(batch));
            self.retention.touch();
            self.state.tidy_at = Some(self.state.now.after(IDLE_AFTER));
        } else if self.state.tidy_at.is_some_and(|at| at <= self.state.now) {
            permit.send(Write::Tidy);
            self.state.tidy_at = None;
        }
    }

    /// Tells the core what the modules and blobs of all tenants take.
    pub(crate) fn count_all_modules(&mut self) {
        for owner in self.modules.owners() {
            self.count_modules(owner);
        }
    }

    /// Tells the core what the modules and blobs of a tenant take.
    pub(crate) fn count_modules(&mut self, tenant: String) {
        // Nobody knows whose those are that an older version took.
        if tenant.is_empty() {
            return;
        }
        let bytes = self.modules.bytes_of(&tenant);
        self.grid.handle(self.state.now, Input::Modules { tenant, bytes });
    }

    fn store_full(&mut self, full: bool) {
        self.state.store_full = full;
        if full {
            tracing::error!(
                "the disk is full: nothing new is taken from clients; make room and it goes on"
            );
        } else {
            tracing::info!("the disk has room again");
        }
    }

    pub(crate) fn fail(&mut self, error: ServerError) {
        self.state.failure.get_or_insert(error);
    }

    /// Commits what was taken and answers it; the store's thread ends behind it.
    async fn finish(mut self, mut done: mpsc::Receiver<Event>) -> Result<(), ServerError> {
        if let Some(writes) = self.state.writes.take()
            && let Some(batch) = self.gate.take()
        {
            // Where the thread is gone it has said why.
            let _ = writes.send(Write::Batch(batch)).await;
        }
        while self.state.failure.is_none() && !self.gate.is_settled() {
            let event = tokio::select! {
                biased;
                event = done.recv() => event,
                () = self.journal_broken.cancelled() => {
                    self.fail(ServerError::Writer);
                    break;
                }
            };
            let Some(event) = event else { break };
            match event {
                Event::Committed { number } => self.gate.committed(number),
                Event::JournalFailed(error) => self.fail(error),
                _ => {}
            }
            self.release();
            self.pump();
        }
        self.acknowledge_all();
        self.pump();
        self.state.failure.map_or(Ok(()), Err)
    }
}

fn is_results(event: &Event) -> bool {
    let Event::FromWorker { envelope, .. } = event else { return false };
    matches!(envelope.message, FromWorker::Results(_))
}

/// An answer that something was not done.
pub(crate) fn api_error(code: ErrorCode, message: String) -> ApiError {
    ApiError { code, message }
}
