//! The scheduler: the real core, driven as `host/server` drives it. Its outputs become effects,
//! gated ones once the records before them are durable, the others at once.

mod outputs;
mod watches;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use wasmgrid_core::{
    CompletedBlock, Completion, Grid, Input, LeaseKey, Ledger, RequestId, SegmentToken,
};
use wasmgrid_proto::{
    ByteCount, Digest, Epoch, JobId, JobSpec, Limits, Micros, Millis, ModuleKind, OutcomeClass,
    Record, SnapshotItem, TaskSpec, WorkerCapacity, WorkerId,
    wire::{ErrorCode, Part, Unable},
};

use crate::{
    book::{Book, Violation, hold},
    disk::{Damage, Disk, Item, encode},
    gate::{Gate, Journal},
    message::{Answer, Block, Down, Request, Up, WatchFrom},
    net::LinkId,
    plan::Plan,
    task::Task,
};
use watches::{Visible, Watch};

/// Events taken in one turn.
const TURN_EVENTS: usize = 256;

/// The grid's secret, which no worker has.
const KEY: LeaseKey = LeaseKey([0x5e; 32]);

/// After so long without listening, silence means nothing.
const DEAF_AFTER: Millis = Millis(2_000);

/// How long a worker may wait to be told that it may forget a batch, and how many are told at once.
const COMMITTED_AFTER: Millis = Millis(10);
const COMMITTED_MAX: usize = 64;

/// What each input and each result takes in the store.
const INPUT_BYTES: u64 = 100;
const RESULT_BYTES: u64 = 10;

/// A bug of a driver, planted to be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverBug {
    /// Gated outputs are done before the commit.
    AckBeforeSync,
    /// A watch that goes on begins one result too late.
    CursorOffByOne,
    /// The grid's time is that of the machine's clock, however that was set before the start.
    TrustsTheClock,
}

/// Something that happened to the scheduler.
#[derive(Debug)]
pub enum Heard {
    /// A worker's link.
    Worker(LinkId, String),
    /// A client's link.
    Client(LinkId, usize),
    /// A message.
    Says(LinkId, Up),
    /// A link has ended.
    Unlinked(LinkId),
    /// Batches up to this one are durable.
    Committed(u64),
    /// The disk is full, or not any more.
    Full(bool),
    /// An operator drains a worker.
    Drain(String),
    /// An operator takes a worker away.
    Remove(String),
}

/// Something that the scheduler does.
#[derive(Debug)]
pub enum Effect {
    /// It says something.
    Say(LinkId, Down),
    /// It ends a link.
    Close(LinkId),
}

/// See the module's text.
#[derive(Debug)]
pub struct Scheduler {
    plan: Arc<Plan>,
    bug: Option<DriverBug>,
    grid: Grid,
    /// The grid that knows the journal alone.
    shadow: Grid,
    gate: Gate,
    /// The thread that writes.
    pub journal: Journal,
    inbox: VecDeque<Heard>,
    /// When it started, by real time and by the grid's.
    began: (u64, Micros),
    now: Micros,
    listened_at: Micros,
    full: bool,
    workers: BTreeMap<LinkId, Peer>,
    by_worker: BTreeMap<WorkerId, LinkId>,
    clients: BTreeMap<LinkId, Reading>,
    requests: BTreeMap<RequestId, Pending>,
    next_request: u64,
    held: BTreeMap<SegmentToken, Vec<Block>>,
    next_token: u64,
    visible: BTreeMap<JobId, Visible>,
    unsettled: BTreeMap<JobId, u64>,
    inputs: BTreeMap<JobId, BTreeMap<u64, Vec<u64>>>,
    results: BTreeMap<JobId, BTreeMap<u64, Vec<crate::message::Shown>>>,
    touched: BTreeSet<LinkId>,
    /// Suspects that were given to a worker in this turn, and on which link.
    alone: Vec<(WorkerId, LinkId, JobId, u64)>,
    /// Jobs of which tasks were given out in this turn, and whether a worker joined in it, which is
    /// believed to have what it says.
    given: BTreeSet<JobId>,
    joined: bool,
    /// When workers are told of committed batches at the latest.
    acknowledge_at: Option<Micros>,
    effects: Vec<Effect>,
}

#[derive(Debug)]
struct Peer {
    name: String,
    id: Option<WorkerId>,
    /// It waits until another one of its name has answered.
    contests: bool,
    open: bool,
    leaving: bool,
    /// Batches that it may forget, which it is told with what it is told next, or a little later.
    committed: Vec<u64>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    Message(Down),
    Assign(JobId, Vec<wasmgrid_core::Grant>),
}

#[derive(Debug)]
struct Reading {
    client: usize,
    watches: BTreeMap<u64, Watch>,
}

#[derive(Debug)]
struct Pending {
    link: LinkId,
    id: u64,
    inputs: Vec<Task>,
    watch: Option<WatchFrom>,
    promise: Promise,
}

/// What an answer promises.
#[derive(Debug)]
enum Promise {
    Submitted { key: (String, String), inputs: u64, closed: bool },
    Appended { job: JobId, end: u64 },
    Extended { job: JobId, by: (u64, u64), count: u64 },
    Retried { key: (String, String) },
    Closed(JobId),
    Cancelled(JobId),
    Nothing,
}

/// Why the scheduler cannot go on: an invariant does not hold, or its disk fails it.
#[derive(Debug)]
pub enum Failed {
    /// An invariant.
    Violation(Violation),
    /// The disk.
    Disk(Damage),
}

impl From<Violation> for Failed {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Damage> for Failed {
    fn from(damage: Damage) -> Self {
        Self::Disk(damage)
    }
}

impl Scheduler {
    /// Replays the journal and writes the start of a new term, which is not synced yet.
    ///
    /// # Errors
    /// Where an invariant does not hold.
    pub fn start(
        plan: &Arc<Plan>,
        bug: Option<DriverBug>,
        (real, date): (u64, Micros),
        disk: &mut Disk,
        book: &mut Book,
    ) -> Result<Self, Failed> {
        let taken = disk.take_over()?;
        let found = disk.replay()?;
        book.restart(&found)?;
        let mut grid = Grid::with_ledger(plan.config.clone(), by_snapshot(&found)?);
        let ran_until = Some(grid.ledger().time()).filter(|time| *time > Micros(0));
        let goes_on = bug != Some(DriverBug::TrustsTheClock);
        let now = ran_until.filter(|_| goes_on).unwrap_or(date);
        let mut shadow = Grid::new(plan.config.clone());
        found.iter().for_each(|record| shadow.apply(record));
        if grid.epoch() < taken {
            // Who took that term died before its first commit: the term is over all the same.
            let over = Record::EpochStarted { epoch: taken, at: date };
            grid.apply(&over);
            shadow.apply(&over);
        }
        let mut scheduler = Self {
            plan: Arc::clone(plan),
            bug,
            grid,
            shadow,
            gate: Gate::default(),
            journal: Journal::default(),
            inbox: VecDeque::new(),
            began: (real, now),
            now,
            listened_at: now,
            full: false,
            workers: BTreeMap::new(),
            by_worker: BTreeMap::new(),
            clients: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            held: BTreeMap::new(),
            next_token: 0,
            visible: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            inputs: BTreeMap::new(),
            results: BTreeMap::new(),
            touched: BTreeSet::new(),
            alone: Vec::new(),
            given: BTreeSet::new(),
            joined: false,
            acknowledge_at: None,
            effects: Vec::new(),
        };
        scheduler.begin_term(date, disk, book)?;
        Ok(scheduler)
    }

    fn begin_term(&mut self, date: Micros, disk: &mut Disk, book: &mut Book) -> Result<(), Failed> {
        self.grid.handle(self.now, Input::Start { date, key: KEY, vouched: Vec::new() });
        let mut items = Vec::new();
        while let Some(output) = self.grid.poll_output() {
            if let wasmgrid_core::Output::Persist(record) = output {
                items.push(self.record(&record, book)?);
            }
        }
        disk.write(self.grid.epoch(), items);
        Ok(())
    }

    /// The scheduler's term.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.grid.epoch()
    }

    /// Something happened; it is handled at the next turn.
    pub fn hear(&mut self, heard: Heard) {
        self.inbox.push_back(heard);
    }

    /// When, by real time, there is something to do though nothing happens.
    #[must_use]
    pub fn next_turn(&self) -> Option<u64> {
        let next = [self.grid.poll_timeout(), self.acknowledge_at].into_iter().flatten().min();
        let (real, then) = self.began;
        next.map(|at| real.saturating_add(at.0.saturating_sub(then.0)))
    }

    /// True where nothing waits to be handled.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() || self.listens_to() == 0
    }

    /// Events that the next turn takes.
    fn listens_to(&self) -> usize {
        let full = self.gate.items() >= self.plan.gate_items;
        let takes = |heard: &&Heard| !full || matches!(heard, Heard::Committed(_) | Heard::Full(_));
        self.inbox.iter().filter(takes).count().min(TURN_EVENTS)
    }

    /// Handles what has come, then everything that follows from it.
    ///
    /// # Errors
    /// Where an invariant does not hold.
    pub fn turn(
        &mut self,
        real: u64,
        disk: &mut Disk,
        book: &mut Book,
    ) -> Result<Vec<Effect>, Failed> {
        let (began, then) = self.began;
        self.now = Micros(then.0.saturating_add(real.saturating_sub(began)));
        book.turn();
        if self.listened_at.after(DEAF_AFTER) < self.now {
            self.grid.handle(self.now, Input::Deaf);
            self.take_outputs(book)?;
        }
        let full = self.gate.items() >= self.plan.gate_items;
        let (mut taken, mut rest) = (Vec::new(), VecDeque::new());
        for heard in std::mem::take(&mut self.inbox) {
            let urgent = matches!(heard, Heard::Committed(_) | Heard::Full(_));
            if taken.len() < TURN_EVENTS && (urgent || !full) {
                taken.push(heard);
            } else {
                rest.push_back(heard);
            }
        }
        self.inbox = rest;
        // As the workers are now they were when the core gave them tasks.
        for heard in taken {
            self.handle(heard, book)?;
            self.take_outputs(book)?;
        }
        if self.grid.poll_timeout().is_some_and(|at| at <= self.now) {
            self.grid.handle(self.now, Input::Tick);
        }
        self.take_outputs(book)?;
        self.release(book)?;
        if self.acknowledge_at.is_some_and(|at| at <= self.now) {
            self.acknowledge_all();
        }
        self.pump(disk, book)?;
        self.gate.hand_over(&mut self.journal);
        if self.gate.items() < self.plan.gate_items {
            self.listened_at = self.now;
        }
        self.check(book)?;
        Ok(std::mem::take(&mut self.effects))
    }

    fn handle(&mut self, heard: Heard, book: &mut Book) -> Result<(), Failed> {
        match heard {
            Heard::Worker(link, name) => {
                let (id, committed, waiting) = (None, Vec::new(), VecDeque::new());
                let (contests, open, leaving) = (false, false, false);
                let peer = Peer { name, id, contests, open, leaving, committed, waiting };
                self.workers.insert(link, peer);
            }
            Heard::Client(link, client) => {
                self.clients.insert(link, Reading { client, watches: BTreeMap::new() });
            }
            Heard::Says(link, message) => self.says(link, message, book)?,
            Heard::Unlinked(link) => self.end_link(link, false),
            Heard::Committed(number) => self.gate.committed(number),
            Heard::Full(full) => self.full = full,
            Heard::Drain(name) => {
                let request = self.pending(0, 0, Vec::new(), None, Promise::Nothing);
                self.grid.handle(self.now, Input::DrainWorker { request, name });
            }
            Heard::Remove(name) => {
                let links = self.workers.iter().filter(|(_, peer)| peer.name == name);
                for link in links.map(|(link, _)| *link).collect::<Vec<_>>() {
                    self.end_link(link, true);
                }
                let request = self.pending(0, 0, Vec::new(), None, Promise::Nothing);
                self.grid.handle(self.now, Input::RemoveWorker { request, name });
            }
        }
        Ok(())
    }

    fn says(&mut self, link: LinkId, message: Up, book: &mut Book) -> Result<(), Failed> {
        if self.clients.contains_key(&link) {
            match message {
                Up::Request { id, request } => self.request(link, id, request),
                Up::Credit { watch, results } => self.credit(link, watch, results),
                _ => {}
            }
            return Ok(());
        }
        let Some(peer) = self.workers.get_mut(&link) else { return Ok(()) };
        let (now, id) = (self.now, peer.id);
        match (message, id) {
            (Up::Join { started, slots, held, proofs }, None) => {
                let (name, address) = (peer.name.clone(), String::from("simulated"));
                let capacity = capacity(slots);
                let vouched = Vec::new();
                let joined = Input::WorkerJoined {
                    link,
                    name,
                    address,
                    started,
                    capacity,
                    vouched,
                    held,
                    proofs,
                };
                self.grid.handle(now, joined);
                // What the worker says next needs the number that the core gives it.
                self.take_outputs(book)?;
                let is_known = |peer: &Peer| peer.id.is_some() || peer.contests;
                if self.workers.get(&link).is_some_and(|peer| !is_known(peer)) {
                    self.end_link(link, true);
                }
            }
            (Up::Heartbeat(heartbeat), Some(worker)) => {
                self.grid.handle(now, Input::Heartbeat { worker, heartbeat });
            }
            (Up::Results { batch, blocks }, Some(worker)) => self.completed(worker, batch, blocks),
            (Up::Returned { job, lease, tasks }, Some(worker)) => {
                let reason = "given back".into();
                self.grid.handle(now, Input::Returned { worker, job, lease, tasks, reason });
            }
            (Up::Health { able }, Some(worker)) => {
                let (part, reason, again) = (Part::Runner, "as planned".into(), Millis(1_000));
                let unable = (!able).then_some(Unable { part, reason, again });
                self.grid.handle(now, Input::Health { worker, unable });
            }
            (Up::Alive { rival }, Some(worker)) => {
                self.grid.handle(now, Input::Alive { worker, rival });
            }
            (Up::Leaving, Some(worker)) => {
                peer.leaving = true;
                self.grid.handle(now, Input::WorkerLeaving { worker });
            }
            _ => {}
        }
        Ok(())
    }

    fn completed(&mut self, worker: WorkerId, batch: u64, blocks: Vec<Block>) {
        self.next_token += 1;
        let token = SegmentToken(self.next_token);
        let completed = blocks.iter().map(completed_block).collect();
        self.held.insert(token, blocks);
        self.grid.handle(self.now, Input::Completed { worker, batch, blocks: completed, token });
    }

    fn request(&mut self, link: LinkId, id: u64, request: Request) {
        let Some(client) = self.clients.get(&link).map(|reading| reading.client) else { return };
        let takes = !matches!(
            request,
            Request::Close { .. } | Request::Cancel { .. } | Request::Watch { .. }
        );
        if takes && self.full {
            return self.say(link, Down::Reply { id, reply: Err(ErrorCode::Unavailable) });
        }
        let now = self.now;
        match request {
            Request::Submit { run, closed, watch } => {
                self.submit(link, id, (client, run), closed, watch);
            }
            Request::Append { run, job, chunk } => {
                let Some((first, inputs)) = chunk_of(&self.plan, client, run, chunk) else {
                    return;
                };
                let count = inputs.len() as u64;
                let promise = Promise::Appended { job, end: first + count };
                let digest = content(&inputs);
                let bytes = INPUT_BYTES * count;
                let request = self.pending(link, id, inputs, None, promise);
                self.grid.handle(now, Input::Append { request, job, first, count, bytes, digest });
            }
            Request::Extend { run, job, chunk } => {
                let Some((_, inputs)) = chunk_of(&self.plan, client, run, chunk) else { return };
                let count = inputs.len() as u64;
                let (producer, number) = producer_of(client, run, chunk);
                let bytes = INPUT_BYTES * count;
                let promise = Promise::Extended { job, by: (producer, number), count };
                let request = self.pending(link, id, inputs, None, promise);
                self.grid
                    .handle(now, Input::Extend { request, job, producer, number, count, bytes });
            }
            Request::Retry { run, of } => {
                let Some(spec) = spec_of(&self.plan, client, run) else { return };
                let key = (spec.task.tenant, spec.name.clone());
                let promise = Promise::Retried { key };
                let request = self.pending(link, id, Vec::new(), None, promise);
                let (job, limits, idempotency_key) = (of, None, Some(spec.name));
                self.grid.handle(now, Input::Retry { request, job, limits, idempotency_key });
            }
            Request::Close { job } => {
                let request = self.pending(link, id, Vec::new(), None, Promise::Closed(job));
                self.grid.handle(now, Input::Close { request, job });
            }
            Request::Cancel { job } => {
                let request = self.pending(link, id, Vec::new(), None, Promise::Cancelled(job));
                let by = format!("client {client}");
                self.grid.handle(now, Input::Cancel { request, job, by });
            }
            Request::Watch { job, from } => {
                let status = self.summary(job);
                let reply = match status {
                    Some(status) => {
                        self.watch(link, job, from);
                        Ok(Answer::Job(status))
                    }
                    None => Err(ErrorCode::NotFound),
                };
                self.say(link, Down::Reply { id, reply });
            }
        }
    }

    fn submit(
        &mut self,
        link: LinkId,
        id: u64,
        (client, run): (usize, usize),
        closed: bool,
        watch: Option<WatchFrom>,
    ) {
        let Some(spec) = spec_of(&self.plan, client, run) else { return };
        let (_, inputs) = chunk_of(&self.plan, client, run, 0).unwrap_or_default();
        let count = inputs.len() as u64;
        let key = (spec.task.tenant.clone(), spec.name.clone());
        let idempotency_key = Some(spec.name.clone());
        let promise = Promise::Submitted { key, inputs: count, closed };
        let digest = content(&inputs);
        let request = self.pending(link, id, inputs, watch, promise);
        let (inputs, bytes) = (count, INPUT_BYTES * count);
        let spec = Box::new(spec);
        let input = Input::Submit { request, spec, idempotency_key, inputs, bytes, closed, digest };
        self.grid.handle(self.now, input);
    }

    fn pending(
        &mut self,
        link: LinkId,
        id: u64,
        inputs: Vec<Task>,
        watch: Option<WatchFrom>,
        promise: Promise,
    ) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.requests.insert(request, Pending { link, id, inputs, watch, promise });
        request
    }

    fn end_link(&mut self, link: LinkId, close: bool) {
        if let Some(peer) = self.workers.remove(&link) {
            if let Some(worker) = peer.id {
                if self.by_worker.get(&worker) == Some(&link) {
                    self.by_worker.remove(&worker);
                }
                let left = Input::WorkerLeft { worker, link, graceful: peer.leaving };
                self.grid.handle(self.now, left);
            } else {
                self.grid.handle(self.now, Input::JoinerLeft { link });
            }
        } else if self.clients.remove(&link).is_none() {
            return;
        }
        if close {
            self.effects.push(Effect::Close(link));
        }
    }

    fn say(&mut self, link: LinkId, message: Down) {
        self.effects.push(Effect::Say(link, message));
    }

    /// The invariants that can be seen after every turn.
    fn check(&mut self, book: &Book) -> Result<(), Violation> {
        let none = BTreeSet::new();
        hold(self.grid.ledger() == self.shadow.ledger(), "replay equals live", || {
            format!("live {:?}, replayed {:?}", self.grid.ledger(), self.shadow.ledger())
        })?;
        let jobs = self.grid.jobs(usize::MAX);
        book.check_status(&jobs)?;
        let (given, joined) = (std::mem::take(&mut self.given), std::mem::take(&mut self.joined));
        let tenants = self.grid.tenants();
        book.check_tenants(&jobs, &tenants, if joined { &none } else { &given })?;
        let workers = self.grid.workers();
        let running: u64 = jobs.iter().map(|job| job.counts.running).sum();
        let assigned: u64 = workers.iter().map(|worker| worker.assigned).sum();
        hold(running == assigned, "parts sum to the whole", || {
            format!("{running} tasks run, workers have {assigned}")
        })?;
        for (id, link, job, index) in std::mem::take(&mut self.alone) {
            // Later in the turn its job may have ended, or its worker have gone.
            if !book.is_open(job, index) || self.by_worker.get(&id) != Some(&link) {
                continue;
            }
            let has = workers.iter().find(|worker| worker.worker == id).map(|has| has.assigned);
            hold(has <= Some(1), "a suspect runs alone", || format!("worker {id} has {has:?}"))?;
        }
        let most = self.plan.config.credit_tasks;
        let bound = |slots: u32| 2 * most.max(2 * u64::from(slots)) * (jobs.len() as u64).max(1);
        let over = workers.iter().find(|worker| worker.assigned > bound(worker.capacity.slots));
        hold(over.is_none(), "resources in use are within capacity", || format!("{over:?}"))
    }

    /// A record for the journal: decoded again, the shadow gets what a replay would read.
    fn record(&mut self, record: &Record, book: &mut Book) -> Result<Item, Failed> {
        book.record(record)?;
        let bytes = encode(record)?;
        match postcard::from_bytes::<Record>(&bytes) {
            Ok(read) => self.shadow.apply(&read),
            Err(error) => return Err(Failed::Disk(Damage(error.to_string()))),
        }
        Ok(Item::Record(bytes))
    }
}

fn completed_block(block: &Block) -> CompletedBlock {
    let completion = |shown: &crate::message::Shown| {
        let says_why = matches!(shown.class, OutcomeClass::Retry | OutcomeClass::Lost);
        let reason = says_why.then(|| String::from("as planned"));
        Completion { index: shown.index, class: shown.class, reason }
    };
    let Block { job, lease, attempt, wall_us, .. } = *block;
    let results = block.results.iter().map(completion).collect();
    let (fuel, bytes) = (0, RESULT_BYTES * block.results.len() as u64);
    CompletedBlock { job, lease, attempt, wall_us, fuel, bytes, results }
}

/// The inputs of a chunk, and the first one's index.
fn chunk_of(plan: &Plan, client: usize, run: usize, chunk: usize) -> Option<(u64, Vec<Task>)> {
    let job = plan.clients.get(client)?.jobs.get(run)?;
    let first = job.chunks.iter().take(chunk).map(Vec::len).sum::<usize>() as u64;
    Some((first, job.chunks.get(chunk)?.clone()))
}

/// Who appends a chunk of a job that two producers append to, and its how manyth request that is.
fn producer_of(client: usize, run: usize, chunk: usize) -> (u64, u64) {
    let producer = (client * 1_000 + run * 2 + chunk % 2) as u64;
    (producer, chunk.div_ceil(2) as u64)
}

fn spec_of(plan: &Plan, client: usize, run: usize) -> Option<JobSpec> {
    let client = plan.clients.get(client)?;
    let job = client.jobs.get(run)?;
    Some(JobSpec {
        name: job.key.clone(),
        task: TaskSpec {
            limits: limits(),
            tenant: client.tenant.clone(),
            ..TaskSpec::new(Digest([7; 32]), ModuleKind::Task)
        },
        priority: job.priority,
        retries: job.retries,
        max_failures: job.max_failures,
        deadline: job.deadline,
        requires: Vec::new(),
        attached: false,
    })
}

/// No task takes longer, nor returns as much.
fn limits() -> Limits {
    let (deadline, output) = (Millis(3_000), ByteCount(1 << 20));
    Limits { deadline, output, ..Limits::default() }
}

fn capacity(slots: u32) -> WorkerCapacity {
    let memory = ByteCount(1 << 30);
    WorkerCapacity { slots, memory, labels: Vec::new(), engine: String::from("simulated") }
}

/// What a submit or an append is told by when it is repeated.
fn content(inputs: &[Task]) -> Digest {
    Digest::of(format!("{inputs:?}").as_bytes())
}

/// What a journal amounts to, by a snapshot of its first half and the records behind that.
fn by_snapshot(journal: &[Record]) -> Result<Ledger, Damage> {
    let (covered, tail) = journal.split_at(journal.len() / 2);
    let (mut before, mut ledger) = (Ledger::default(), Ledger::default());
    covered.iter().for_each(|record| before.apply(record));
    let mut items = Vec::new();
    before.snapshot(&mut |item| items.push(encode(&item)));
    for bytes in items {
        match postcard::from_bytes::<SnapshotItem>(&bytes?) {
            Ok(item) => ledger.restore(item),
            Err(error) => return Err(Damage(error.to_string())),
        }
    }
    tail.iter().for_each(|record| ledger.apply(record));
    Ok(ledger)
}
