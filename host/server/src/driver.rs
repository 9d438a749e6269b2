//! The driver: a value that owns the scheduler core and everything about links, watches and the
//! journal that needs no operating system. It has no thread, no clock and no sockets, and waits for
//! nothing; whoever has those drives it (`shell.rs` in a server, `tests/sim` in a simulated
//! world):
//!
//! 1. [`Driver::turn`] is called with the time and with the events that have come. While
//!    [`Driver::listens`] is false, nothing that links say is among them: too much is uncommitted.
//! 2. The effects that the turn has led to are taken ([`Driver::effects`]) and carried out in
//!    their order. Those that have an answer get it by an event of a later turn.
//! 3. The next turn is when there are events, or at [`Driver::poll_timeout`] at the latest. It is
//!    also due from time to time without either, since not all that the driver looks after has a
//!    deadline: each second is enough.
//! 4. Once [`Driver::failure`] says so, or the server is to stop, [`Driver::finish`] hands over
//!    the last batch, and [`Driver::wind_down`] takes what becomes of it until
//!    [`Driver::is_settled`]. [`Driver::last_words`] ends it.
//!
//! The same events at the same times lead to the same effects. All files of the driver name
//! nothing outside their folder but errors and the members' table, and not tokio;
//! `tests/tests/all/house.rs` checks that.

mod activity;
mod audit;
mod batch;
mod blobs;
mod busy;
mod cache;
mod certificates;
mod clients;
mod comparison;
mod content;
mod contests;
mod counted;
mod deferred;
mod divergence;
mod failures;
mod functions;
mod gate;
mod given_inputs;
mod io;
mod lists;
mod log_scan;
mod logs;
mod members;
mod metrics;
mod modules;
mod observer;
mod older;
mod outbox;
mod outputs;
mod overview;
mod payers;
mod planted;
mod producer_leases;
mod requested;
mod retention;
mod rights;
mod series;
mod sizes;
mod space;
mod speaker;
mod stored;
mod summaries;
mod turns;
mod uploads;
mod watches;
mod workers;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    vec,
};

use bytes::Bytes;
use wasmgrid_core::{Grid, Input, RequestId, SegmentToken};
pub use wasmgrid_net::{Identity, Peer};
use wasmgrid_proto::{
    JobId, LogRef, Micros, Millis, ResultBlock, ServerMetrics, TaskSpec, WorkerId, wire::FromWorker,
};

pub(crate) use self::{
    audit::act_on_authority,
    batch::LOG_PREFIX,
    blobs::{BLOB_PREFIX, meta as blob_entry},
    logs::job_of as job_of_log,
    modules::{MODULE_PREFIX, OWNER_PREFIX, STORED_PREFIX},
    sizes::{LIST_BYTES, audit_bytes, fitting, key_bytes},
    speaker::caller,
};
pub use self::{
    audit::{AuditQuery, ENTRIES_MAX as AUDIT_ENTRIES_MAX, Expired, Expiry},
    batch::{Batch, Item},
    blobs::Blobs,
    cache::{Cached, Inputs, Results, decode},
    comparison::{Compared, Pairs},
    content::{Content, NOTHING},
    counted::Counted,
    given_inputs::{GivenInputs, InputReading},
    io::{Ask, Effect, Event, KeyAsk, LinkId, Now},
    log_scan::{LogScan, Search},
    modules::{AdmissionResult, CheckTask, Modules, Put, StoredModule},
    observer::Observer,
    outbox::{
        Closing, Ending, Freed, IdentityLinks, Meter, OUTBOX_MESSAGES, Outbox, Queued, Weight,
        outbox,
    },
    planted::DriverBug,
    retention::Measured,
    space::{Halt, Shortage},
};
use crate::error::ServerError;
pub use crate::members::{Member, MemberKey, Members};
use cache::Cache;
use clients::{Client, Pending};
use deferred::Deferred;
use divergence::LateResults;
use gate::Gate;
use log_scan::LogScans;
use logs::Logs;
use members::Seen;
use producer_leases::ProducerLeases;
use requested::Reading;
use retention::Retention;
use summaries::Summaries;
use watches::Visible;
use workers::Worker;

/// Events that one turn should take: the natural batch is what has come, this keeps a turn short.
pub const TURN_EVENTS: usize = 256;

/// Uncommitted items at which a driver stops to listen to links, unless it is told otherwise.
pub const UNCOMMITTED_ITEMS: usize = 65_536;

/// How long nothing was to be committed before the store is asked to tidy up: that delays a commit
/// that comes right then.
const IDLE_AFTER: Millis = Millis(1_000);

/// Events with results that wait while nothing can be committed: more than honest workers have under
/// way.
const DEFERRED_MAX: usize = 4_096;

/// After so long without listening to links, because too much was uncommitted or the machine
/// slept, the silence of workers means nothing. Over the second after which there is a turn in any
/// case; well under the time after which a silent worker is given up.
const STALLED_AFTER: Millis = Millis(2_000);

/// How a driver behaves; see `ServerConfig` for what each is about.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often workers are asked for a heartbeat.
    pub heartbeat: Millis,
    /// How long a job whose submitter feeds it waits for one that is gone.
    pub producer_grace: Millis,
    /// Memory for recent inputs and results, in bytes.
    pub segment_cache: usize,
    /// Bytes that are kept of the results of all jobs that have ended.
    pub keep_bytes: Option<u64>,
    /// Bytes that are kept of the results of a running job whose inputs are not closed.
    pub keep_open_bytes: Option<u64>,
    /// How long entries of the audit log are kept.
    pub audit_retention: Millis,
    /// Uncommitted items at which it stops to listen to links: [`UNCOMMITTED_ITEMS`].
    pub uncommitted_items: usize,
    /// A bug to be caught; without the feature `planted-bugs` it is not there.
    pub planted: Option<DriverBug>,
}

/// What a driver begins with.
#[derive(Debug)]
pub struct Start {
    /// How it behaves.
    pub settings: Settings,
    /// The core, whose term has begun durably and whose outputs are all taken.
    pub grid: Grid,
    /// The modules and blobs that the store has.
    pub modules: Modules,
    /// The members that the store has. The enroller changes them.
    pub members: Members,
    /// When it begins.
    pub now: Now,
}

/// See the module's text.
pub struct Driver<O = ()> {
    settings: Settings,
    grid: Grid,
    gate: Gate,
    cache: Cache,
    modules: Modules,
    members: Members,
    retention: Retention,
    state: State,
    effects: Vec<Effect>,
    observer: O,
}

/// What the driver keeps beside its parts; empty at the start.
#[derive(Default)]
struct State {
    /// When the store may tidy up, unless there is more to commit by then.
    tidy_at: Option<Micros>,
    /// The time and the date of this turn.
    now: Micros,
    date: Micros,
    /// Results that came while nothing was committed and too much waited for that already.
    deferred: Deferred<Event>,
    /// The end of the last turn after which links were listened to.
    listened_at: Micros,
    /// Why nothing is committed, if so.
    halt: Option<Halt>,
    /// The disk has less left than is reserved.
    shortage: Option<Shortage>,
    failure: Option<ServerError>,
    /// What was counted from the start on; the gauges in it are 0.
    counted: ServerMetrics,
    /// What is counted of results, from the start on.
    summaries: Summaries,
    workers: BTreeMap<LinkId, Worker>,
    by_worker: BTreeMap<WorkerId, LinkId>,
    clients: BTreeMap<LinkId, Client>,
    /// When clients were last linked.
    seen: Seen,
    requests: BTreeMap<RequestId, Pending>,
    next_request: u64,
    /// The specs of jobs that were assigned lately.
    specs: BTreeMap<JobId, Arc<TaskSpec>>,
    /// Results that the core has not decided about.
    held: BTreeMap<SegmentToken, Vec<(ResultBlock, Bytes)>>,
    next_token: u64,
    /// Late results that are compared.
    late: LateResults,
    scans: LogScans,
    producer_leases: ProducerLeases,
    /// Kept of tasks that a cancel stopped.
    logs: Logs,
    /// Who waits for a segment that is being read.
    loading: BTreeMap<LogRef, BTreeSet<Waiter>>,
    /// Modules that workers wait for.
    reading: Reading,
    /// Links to which something may be said once the core's outputs are all taken.
    touched: BTreeSet<LinkId>,
    /// The watches of each job.
    watchers: BTreeMap<JobId, BTreeSet<(LinkId, u64)>>,
    /// When the audit log is looked through next.
    next_audit_age: Option<Micros>,
    /// When workers are to be told what they may forget.
    acknowledge_at: Option<Micros>,
    /// When a watch is to be told next how its job stands.
    due: BTreeSet<(Micros, LinkId, u64)>,
    /// Up to where the results of a job are durable, where that is not all the core has.
    visible: BTreeMap<JobId, Visible>,
    /// How many changes of a job are not durable.
    unsettled: BTreeMap<JobId, u64>,
}

/// Who waits for a segment that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Waiter {
    Worker(LinkId),
    Watch(LinkId, u64),
}

impl<O: Observer> Driver<O> {
    /// A driver that has done nothing yet.
    #[must_use]
    pub fn new(start: Start, observer: O) -> Self {
        let Start { settings, grid, modules, members, now } = start;
        let mut state = State { now: now.time, date: now.date, ..State::default() };
        state.summaries = Summaries::new(now.time);
        // What the last term left is tidied too, also if nothing comes now.
        state.tidy_at = Some(now.time.after(IDLE_AFTER));
        let mut driver = Self {
            gate: Gate::new(settings.uncommitted_items),
            cache: Cache::new(settings.segment_cache),
            retention: Retention::new(),
            effects: Vec::new(),
            settings,
            grid,
            modules,
            members,
            state,
            observer,
        };
        driver.modules.named(driver.grid.modules(), now.time);
        for owner in driver.modules.owners() {
            driver.count_modules(owner);
        }
        driver.await_producers();
        driver
    }

    /// Handles what has come, then everything that follows from it.
    pub fn turn(&mut self, now: Now, events: impl Iterator<Item = Event>) {
        self.begin_turn(now);
        for event in events {
            let waits = self.gate.is_full() || !self.state.deferred.is_empty();
            match results_of(&event).filter(|_| waits) {
                Some(job) => {
                    let tenant = job.and_then(|job| self.grid.tenant(job));
                    self.state.deferred.push(tenant.unwrap_or_default(), event);
                }
                None => {
                    self.handle(event);
                    self.take_outputs();
                }
            }
        }
        self.end_turn();
    }

    /// What is to be done now, in order. The room for it is used again.
    pub fn effects(&mut self) -> vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// Whether what links say is taken now. While nothing can be committed it is, although results
    /// must wait, so that reading goes on and clients are told.
    #[must_use]
    pub fn listens(&self) -> bool {
        let defers = self.state.halt.is_some() && self.state.deferred.len() < DEFERRED_MAX;
        !self.gate.is_full() || defers
    }

    /// When the next turn is due without any event.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Micros> {
        let due = self.state.due.first().map(|(at, ..)| *at);
        let own = [due, self.state.acknowledge_at, self.next_unfed(), self.next_drop()];
        own.into_iter().chain([self.grid.poll_timeout()]).flatten().min()
    }

    /// Why nothing more is to be done with it, if so.
    #[must_use]
    pub const fn failure(&self) -> Option<&ServerError> {
        self.state.failure.as_ref()
    }

    /// Nothing more is taken: hands over what is not handed over yet.
    pub fn finish(&mut self) {
        self.effects.extend(self.gate.take_last(self.state.now).map(Effect::Commit));
    }

    /// After [`Driver::finish`]: takes what became of the last batches, and answers by it.
    pub fn wind_down(&mut self, event: Event) {
        match event {
            Event::Committed { number } => self.committed(number),
            Event::JournalFailed(error) => self.fail(error),
            _ => {}
        }
        self.release();
        self.pump();
    }

    /// After the last [`Driver::wind_down`]: says what it still has to say.
    pub fn last_words(&mut self) {
        self.acknowledge_all();
        self.pump();
    }

    /// Whether all that was handed over is durable.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.gate.is_settled()
    }

    /// The names of all workers that the grid knows.
    pub fn worker_names(&self) -> impl Iterator<Item = &String> {
        self.grid.worker_names()
    }

    /// The core, for whoever checks it.
    #[must_use]
    pub const fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The core and who watches the driver.
    pub const fn observed(&mut self) -> (&Grid, &mut O) {
        (&self.grid, &mut self.observer)
    }

    fn begin_turn(&mut self, now: Now) {
        self.state.now = now.time;
        self.state.date = now.date;
        if self.state.listened_at.after(STALLED_AFTER) < self.state.now {
            self.grid.handle(self.state.now, Input::InboxStalled);
            self.await_producers_anew();
        }
        // Handles what was deferred, as far as there is room for it.
        while !self.gate.is_full()
            && let Some(event) = self.state.deferred.pop()
        {
            self.handle(event);
            self.take_outputs();
        }
    }

    fn end_turn(&mut self) {
        if self.grid.poll_timeout().is_some_and(|at| at <= self.state.now) {
            self.grid.handle(self.state.now, Input::Tick);
        }
        self.retain();
        self.age_audit();
        self.close_unfed();
        self.take_outputs();
        self.sample_slots();
        self.release();
        self.send_due_updates();
        if self.state.acknowledge_at.is_some_and(|at| at <= self.state.now) {
            self.acknowledge_all();
        }
        self.pump();
        self.hand_over();
        // Results that wait for room are not heard either.
        if self.listens() && self.state.deferred.is_empty() {
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
            Event::Staging { link } => self.staging(link),
            Event::ClientLinked { link, peer, outbox } => self.client_linked(link, peer, outbox),
            Event::FromClient { link, envelope, content, room } => {
                self.client_says(link, envelope, (content, room));
            }
            Event::Unlinked { link, reason, kin } => {
                self.unlinked(link, &reason);
                if kin.has_waited() {
                    self.touch_kin(&kin);
                }
            }
            Event::Room { link, freed } => self.has_room(link, freed),
            Event::Committed { number } => self.committed(number),
            Event::StoreHalted(halt) => self.store_halted(halt),
            Event::SpaceShort(shortage) => self.short_of_space(shortage),
            Event::JournalFailed(error) => self.fail(error),
            Event::Measured(Ok(measured)) => self.measured(measured),
            Event::Measured(Err(error)) => self.not_measured(error),
            Event::Loaded { place, found } => self.loaded(place, found),
            Event::Compared { job, compared } => self.compared(job, compared),
            Event::InputsRead { link, reading, found } => self.inputs_read(link, reading, found),
            Event::Walked { search, log } => self.walked(search, log),
            Event::ModuleRead { digest, found } => self.module_read(digest, found),
            Event::ModuleLooked { tenant, digest, link, id, looked } => {
                let reply = looked.reply();
                self.modules.looked(&tenant, digest, looked, self.state.now);
                self.count_modules(tenant);
                self.admit_next();
                self.answer(link, id, reply);
            }
            Event::Answer { link, id, reply } => self.answer(link, id, reply),
            Event::Refused { link, id, by, act, error } => {
                self.refuse_act(link, id, (by, *act), error);
            }
            Event::AuditAged(expired) => self.audit_aged(expired),
            Event::TokensRead { link, id, found } => self.tokens_read(link, id, found),
            Event::Renewed { link, answer } => self.renewed(link, answer),
            Event::RenewSoon { names } => self.renew_soon(names.as_ref()),
            Event::MemberRemoved { link, id, key } => self.member_removed(link, id, key),
            Event::Impostor { peer } => self.impostor(&peer),
            Event::KeysVouched(keys) => {
                self.grid.handle(self.state.now, Input::KeysVouched { keys });
            }
        }
    }

    /// Hands over what was built, if the journal has not enough to do.
    fn hand_over(&mut self) {
        if let Some(batch) = self.gate.take(self.state.now) {
            self.effects.push(Effect::Commit(batch));
            self.retention.touch();
            self.state.tidy_at = Some(self.state.now.after(IDLE_AFTER));
        } else if self.state.tidy_at.is_some_and(|at| at <= self.state.now) {
            self.effects.push(Effect::Tidy);
            self.state.tidy_at = None;
        }
    }

    /// Tells the core what the modules and blobs of a tenant take, also those that wait to be kept.
    fn count_modules(&mut self, tenant: String) {
        let bytes = self.modules.bytes_of(&tenant);
        self.grid.handle(self.state.now, Input::Modules { tenant, bytes });
    }

    fn fail(&mut self, error: ServerError) {
        self.state.failure.get_or_insert(error);
    }
}

impl<O> fmt::Debug for Driver<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// The job of the first results that an event has, if it has results: most workers send those of one
/// job at a time.
fn results_of(event: &Event) -> Option<Option<JobId>> {
    let Event::FromWorker { envelope, .. } = event else { return None };
    let FromWorker::Results(results) = &envelope.message else { return None };
    Some(results.blocks.first().map(|block| block.job))
}
