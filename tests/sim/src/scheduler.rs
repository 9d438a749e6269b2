//! The scheduler's process: the real driver with the real core, and around it what `host/server`
//! has threads and sockets for. Its effects go to the simulated disk and the simulated links; what
//! becomes of them comes back as events.

mod probe;
mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use wasmgrid_core::{Grid, Input, LeaseKey, Ledger, Output};
use wasmgrid_proto::{
    Digest, Epoch, JobId, LeaseId, LeaseProof, LogRef, Micros, Millis, ModuleInfo, ModuleKind,
    Record, SnapshotItem,
    frame::Envelope,
    wire::{
        FromClient, Hello, PROTOCOL_MINOR, Request as Asked, RequestFrame, Role, ToClient, ToWorker,
    },
};
use wasmgrid_server::{
    ServerError,
    driver::{
        self, Ask, Batch, Blobs, Content, Driver, Event, Identity, IdentityLinks, LogScan, Member,
        MemberKey, Members, Meter, Modules, Now, Outbox, Peer, Settings, Start, StoredModule,
        TURN_EVENTS, outbox,
    },
};
use wasmgrid_store::{Entry, LogKind};

use crate::{
    book::{Book, Violation},
    disk::{Damage, Disk, Item, decode, encode},
    journal::Journal,
    message::{Down, Up},
    net::LinkId,
    plan::Plan,
};
use probe::Probe;
use wire::Promise;
pub(crate) use wire::{BYTES, block_of};

/// The grid's secret, which no worker has.
const KEY: LeaseKey = LeaseKey([0x5e; 32]);

/// The link of the operator who drains and removes workers; links of the net have higher numbers.
const OPERATOR: LinkId = 0;

/// How the only module is known.
const MODULE: Digest = Digest([7; 32]);

/// Memory for recent segments: of most worlds all fit, so that they are read after a restart alone.
const SEGMENT_CACHE: usize = 128 << 10;

/// A bug of a driver, planted to be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverBug {
    /// Gated outputs are done before the commit.
    AckBeforeSync,
    /// A watch that goes on begins one result too late.
    CursorOffByOne,
    /// Entries of the audit log are written beside the journal.
    AuditApart,
    /// The grid's time is that of the machine's clock, however that was set before the start.
    TrustsTheClock,
}

impl DriverBug {
    const fn in_driver(self) -> Option<driver::DriverBug> {
        match self {
            Self::AckBeforeSync => Some(driver::DriverBug::AckBeforeSync),
            Self::CursorOffByOne => Some(driver::DriverBug::CursorOffByOne),
            Self::AuditApart => Some(driver::DriverBug::AuditApart),
            Self::TrustsTheClock => None,
        }
    }
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
    driver: Driver<Probe>,
    /// The thread that writes.
    pub journal: Journal,
    members: Members,
    /// What the next turns take, by its order.
    inbox: VecDeque<Event>,
    /// When it started, by real time and by the grid's.
    began: (u64, Micros),
    lines: BTreeMap<LinkId, Line>,
    /// What clients have asked and were not answered, by link and request.
    asked: BTreeMap<(LinkId, u64), Promise>,
    /// Requests of the operator.
    requests: u64,
    /// Workers whose removal is handled in the next turn; they may come back after that.
    removed: Vec<MemberKey>,
    effects: Vec<Effect>,
    /// The driver's effects; empty between turns.
    wanted: Vec<driver::Effect>,
}

/// A link as the scheduler's process has it.
#[derive(Debug)]
struct Line {
    meter: Meter,
    kin: Arc<IdentityLinks>,
    peer: Who,
}

#[derive(Debug)]
enum Who {
    /// With what proves the leases that it is being given.
    Worker(BTreeMap<LeaseId, LeaseProof>),
    Client(usize),
    Operator,
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
        let time = ran_until.filter(|_| goes_on).unwrap_or(date);
        let mut probe = Probe::new(plan);
        found.iter().for_each(|record| probe.replay(record));
        if grid.epoch() < taken {
            // Who took that term died before its first commit: the term is over all the same.
            let over = Record::EpochStarted { epoch: taken, at: date };
            grid.apply(&over);
            probe.replay(&over);
        }
        begin_term(&mut grid, (time, date), disk, &mut probe, book)?;
        let (now, members) = (Now { time, date }, Members::default());
        let known =
            BTreeMap::from([(MODULE, StoredModule { info: module(), owner: None, stored: None })]);
        let modules = Modules::new(known, Blobs::default(), Arc::new(|_, _| Ok(())), time);
        let settings = Settings {
            heartbeat: Millis(1_000),
            producer_grace: Millis(180_000),
            segment_cache: SEGMENT_CACHE,
            keep_bytes: None,
            keep_open_bytes: None,
            audit_retention: Millis(90 * 24 * 3_600_000),
            uncommitted_items: plan.gate_items,
            planted: bug.and_then(DriverBug::in_driver),
        };
        let start = Start { settings, grid, modules, members: members.clone(), now };
        let mut scheduler = Self {
            plan: Arc::clone(plan),
            driver: Driver::new(start, probe),
            journal: Journal::default(),
            members,
            inbox: VecDeque::new(),
            began: (real, time),
            lines: BTreeMap::new(),
            asked: BTreeMap::new(),
            requests: 0,
            removed: Vec::new(),
            effects: Vec::new(),
            wanted: Vec::new(),
        };
        scheduler.link_client(OPERATOR, Who::Operator, Role::Operator, "operator");
        Ok(scheduler)
    }

    /// The scheduler's term.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.driver.grid().epoch()
    }

    /// Something happened; it is handled at the next turn.
    pub fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Worker(link, name) => self.link_worker(link, &name),
            Heard::Client(link, client) => {
                let plan = Arc::clone(&self.plan);
                let tenant = plan.clients.get(client).map_or("nobody", |plan| &plan.tenant);
                self.link_client(link, Who::Client(client), Role::Client, tenant);
            }
            Heard::Says(link, up) => self.says(link, up),
            Heard::Unlinked(link) => {
                if let Some(Line { kin, .. }) = self.lines.remove(&link) {
                    let (link, reason) = (driver::LinkId(link), String::from("it ended"));
                    self.inbox.push_back(Event::Unlinked { link, reason, kin });
                }
            }
            Heard::Committed(number) => self.inbox.push_back(Event::Committed { number }),
            Heard::Full(full) => {
                let halt = full.then_some(driver::Halt::Full);
                self.inbox.push_back(Event::StoreHalted(halt));
            }
            Heard::Drain(name) => self.operate(Asked::Drain { name }),
            Heard::Remove(name) => {
                self.operate(Asked::RemoveMember { role: Role::Worker, name });
            }
        }
    }

    /// When, by real time, there is something to do though nothing happens.
    #[must_use]
    pub fn next_turn(&self) -> Option<u64> {
        let (real, then) = self.began;
        let next = self.driver.poll_timeout();
        next.map(|at| real.saturating_add(at.0.saturating_sub(then.0)))
    }

    /// True where nothing waits to be handled.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let listens = self.driver.listens();
        !self.inbox.iter().any(|event| listens || !is_of_link(event))
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
        let time = Micros(then.0.saturating_add(real.saturating_sub(began)));
        book.turn();
        let rest = self.sort_inbox();
        self.driver.observed().1.watch(book);
        self.driver.turn(Now { time, date: time }, self.inbox.drain(..));
        self.inbox.extend(rest);
        let watched = self.driver.observed().1.ends(book);
        for key in mem::take(&mut self.removed) {
            self.members.set(key, Member::seen_at(time));
        }
        watched?;
        if let Some(error) = self.driver.failure() {
            return Err(Damage(error.to_string()).into());
        }
        let mut wanted = mem::take(&mut self.wanted);
        wanted.extend(self.driver.effects());
        for effect in wanted.drain(..) {
            self.carry_out(effect, disk, book)?;
        }
        self.wanted = wanted;
        let lines = &self.lines;
        let (grid, probe) = self.driver.observed();
        probe.check(grid, book, |link| lines.contains_key(&link))?;
        Ok(mem::take(&mut self.effects))
    }

    /// Leaves in the inbox what the next turn takes; what has to wait is returned.
    fn sort_inbox(&mut self) -> VecDeque<Event> {
        let listens = self.driver.listens();
        if listens {
            return self.inbox.split_off(self.inbox.len().min(TURN_EVENTS));
        }
        let inbox = mem::take(&mut self.inbox);
        let (waits, taken) = inbox.into_iter().partition(is_of_link);
        self.inbox = taken;
        waits
    }

    fn link_worker(&mut self, link: LinkId, name: &str) {
        // A certificate's key: without one it would be a worker in the scheduler's own process,
        // which cannot be removed.
        let Some(peer) = peer(Role::Worker, name) else { return };
        let peer = Peer { key: Some(Digest::of(name.as_bytes())), ..peer };
        let outbox = self.line(link, Who::Worker(BTreeMap::new()));
        let link = driver::LinkId(link);
        self.inbox.push_back(Event::WorkerLinked { link, peer, outbox });
    }

    fn link_client(&mut self, link: LinkId, who: Who, role: Role, name: &str) {
        let Some(peer) = peer(role, name) else { return };
        let outbox = self.line(link, who);
        let link = driver::LinkId(link);
        self.inbox.push_back(Event::ClientLinked { link, peer, outbox });
    }

    fn line(&mut self, link: LinkId, peer: Who) -> Outbox {
        let kin = Arc::<IdentityLinks>::default();
        let (outbox, meter) = outbox(Arc::clone(&kin));
        self.lines.insert(link, Line { meter, kin, peer });
        outbox
    }

    /// The operator asks something.
    fn operate(&mut self, request: Asked) {
        self.requests += 1;
        let message = FromClient::Request(RequestFrame { id: self.requests, request });
        self.inbox.push_back(from_client(driver::LinkId(OPERATOR), message.into()));
    }

    fn carry_out(
        &mut self,
        effect: driver::Effect,
        disk: &Disk,
        book: &mut Book,
    ) -> Result<(), Failed> {
        use driver::Effect as Wanted;
        match effect {
            Wanted::ToWorker(link, queued) => {
                let weight = queued.weight();
                self.tell_worker(link.0, queued.envelope);
                self.sent(link, weight);
            }
            Wanted::ToClient(link, queued) => {
                let weight = queued.weight();
                self.tell_client(link.0, queued.envelope, book)?;
                self.sent(link, weight);
            }
            Wanted::Close { link, .. } | Wanted::HangUp { link } => {
                if self.lines.remove(&link.0).is_some() {
                    self.effects.push(Effect::Close(link.0));
                }
            }
            Wanted::Commit(batch) => self.journal.push(batch.number, items(&batch)?),
            Wanted::Read(place) => {
                let found = read(disk, place);
                self.inbox.push_back(Event::Loaded { place, found });
            }
            Wanted::ReadInputs { link, reading } => {
                let found = reading.read(|place| read(disk, place));
                self.inbox.push_back(Event::InputsRead { link, reading, found });
            }
            Wanted::LogScan(scan) => self.inbox.push_back(walked(disk, scan)?),
            Wanted::Compare(pairs) => self.inbox.push_back(pairs.compare()),
            Wanted::Count { link, id, counted } => {
                let reply = Ok(counted.complete(0, (0, 0)));
                self.inbox.push_back(Event::Answer { link, id, reply });
            }
            Wanted::Enroll(Ask::Remove { link, id, key, .. }) => {
                let removed_at = Some(Micros(1));
                self.members.set(key.clone(), Member { removed_at, ..Member::seen_at(Micros(0)) });
                self.removed.push(key.clone());
                self.inbox.push_back(Event::MemberRemoved { link, id, key });
            }
            // Nothing here bounds the store, nobody sends modules, and workers ask for none.
            Wanted::Keep(_)
            | Wanted::Tidy
            | Wanted::ReadModule { .. }
            | Wanted::Measure { .. }
            | Wanted::AgeAudit(_)
            | Wanted::ReadAudit { .. }
            | Wanted::Admit(_)
            | Wanted::Enroll(_) => {}
        }
        Ok(())
    }

    /// What was said is on its way at once.
    fn sent(&mut self, link: driver::LinkId, weight: driver::Weight) {
        let freed = self.lines.get(&link.0).and_then(|line| line.meter.sent(weight));
        self.inbox.extend(freed.map(|freed| Event::Room { link, freed }));
    }

    fn tell_worker(&mut self, link: LinkId, envelope: Envelope<ToWorker>) {
        let Some(Line { peer: Who::Worker(proofs), .. }) = self.lines.get_mut(&link) else {
            return;
        };
        let down = wire::to_worker(envelope, proofs);
        self.effects.extend(down.map(|down| Effect::Say(link, down)));
    }

    fn tell_client(
        &mut self,
        link: LinkId,
        envelope: Envelope<ToClient>,
        book: &mut Book,
    ) -> Result<(), Failed> {
        if matches!(self.lines.get(&link), Some(Line { peer: Who::Client(_), .. })) {
            let down = wire::to_client(link, envelope, &mut self.asked, book)?;
            self.effects.extend(down.map(|down| Effect::Say(link, down)));
        }
        Ok(())
    }

    fn says(&mut self, link: LinkId, up: Up) {
        let id = driver::LinkId(link);
        let event = match self.lines.get(&link).map(|line| &line.peer) {
            Some(Who::Worker(_)) => {
                let envelope = wire::from_worker(up);
                envelope.map(|envelope| Event::FromWorker { link: id, envelope, room: None })
            }
            Some(Who::Client(client)) => {
                let (asked, plan) = (&mut self.asked, &self.plan);
                let envelope = wire::from_client((link, *client), up, plan, asked);
                envelope.map(|envelope| from_client(id, envelope))
            }
            _ => None,
        };
        self.inbox.extend(event);
    }
}

/// What a client says, with its payload hashed as its link does it.
fn from_client(link: driver::LinkId, envelope: Envelope<FromClient>) -> Event {
    let content = Content::of(Content::payload_of(&envelope));
    Event::FromClient { link, envelope, content, room: None }
}

/// What links say waits while too much is uncommitted.
const fn is_of_link(event: &Event) -> bool {
    matches!(
        event,
        Event::WorkerLinked { .. }
            | Event::FromWorker { .. }
            | Event::ClientLinked { .. }
            | Event::FromClient { .. }
            | Event::Unlinked { .. }
    )
}

fn begin_term(
    grid: &mut Grid,
    (now, date): (Micros, Micros),
    disk: &mut Disk,
    probe: &mut Probe,
    book: &mut Book,
) -> Result<(), Failed> {
    grid.handle(now, Input::Start { date, key: KEY, vouched: Vec::new() });
    let mut items = Vec::new();
    probe.watch(book);
    while let Some(output) = grid.poll_output() {
        if let Output::Persist(record) = output {
            items.push(Item::Record(encode(&record)?));
            driver::Observer::persisted(probe, &driver::Item::Record(record));
        }
    }
    probe.ends(book)?;
    disk.write(grid.epoch(), items);
    Ok(())
}

/// Somebody of this name, which the plan's names all are.
fn peer(role: Role, name: &str) -> Option<Peer> {
    let identity = Identity::new("sim", role, name).ok()?;
    let (labels, certificate, key) = (Vec::new(), None, None);
    let (address, hello) = (String::from("simulated"), Hello::new("simulated"));
    Some(Peer { identity, labels, certificate, key, address, hello, minor: PROTOCOL_MINOR })
}

fn module() -> ModuleInfo {
    let (imports, exports) = (Vec::new(), Vec::new());
    ModuleInfo { digest: MODULE, size_bytes: 1, kind: ModuleKind::Task, imports, exports }
}

/// A batch as the disk takes it. What is dropped stays there: clients may still read it in the end,
/// to be compared with what they have.
fn items(batch: &Batch) -> Result<Vec<Item>, Damage> {
    let mut entries = Vec::with_capacity(batch.items.len());
    for item in &batch.items {
        item.add_entries(&mut entries, |_| None).map_err(|error| Damage(error.to_string()))?;
    }
    let item = |entry| match entry {
        Entry::Record(bytes) => Some(Item::Record(bytes)),
        Entry::Segment(segment) => Some(Item::Segment(segment)),
        Entry::Audit(bytes) => Some(Item::Audit(bytes)),
        _ => None,
    };
    Ok(entries.into_iter().filter_map(item).collect())
}

fn read(disk: &Disk, place: LogRef) -> Result<driver::Cached, ServerError> {
    let missing = || ServerError::Missing { what: place.to_string() };
    let found = disk.segment(place.job, place.log, place.position).map_err(|_| missing())?;
    let segment = found.ok_or_else(missing)?;
    driver::decode(&segment).map_err(|_| missing())
}

fn walked(disk: &Disk, scan: LogScan) -> Result<Event, Damage> {
    let LogScan { job, mut end, mut search, .. } = scan;
    while let Some(results) = before(disk, job, end)? {
        end = results.first;
        if !search.look(&results) {
            break;
        }
    }
    Ok(Event::Walked { search: Some(search), log: None })
}

fn before(disk: &Disk, job: JobId, end: u64) -> Result<Option<Arc<driver::Results>>, Damage> {
    let Some(position) = end.checked_sub(1) else { return Ok(None) };
    let Some(segment) = disk.segment(job, LogKind::Result, position)? else { return Ok(None) };
    match driver::decode(&segment) {
        Ok(driver::Cached::Results(results)) => Ok(Some(results)),
        other => Err(Damage(format!("result {position} of job {job} is {other:?}"))),
    }
}

/// What a journal amounts to, by a snapshot of its first half and the records behind that.
fn by_snapshot(journal: &[Record]) -> Result<Ledger, Damage> {
    let (covered, tail) = journal.split_at(journal.len() / 2);
    let (mut before, mut ledger) = (Ledger::default(), Ledger::default());
    covered.iter().for_each(|record| before.apply(record));
    let mut items = Vec::new();
    before.snapshot(&mut |item| items.push(encode(&item)));
    for bytes in items {
        ledger.restore(decode::<SnapshotItem>(&bytes?)?);
    }
    tail.iter().for_each(|record| ledger.apply(record));
    Ok(ledger)
}
