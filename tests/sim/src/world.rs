//! The world: virtual time, the machines of a plan, and what happens to them. Everything that
//! happens is an event with its time; between two events nothing changes.

mod faults;
mod nodes;

use std::{collections::BTreeMap, sync::Arc};

use wasmgrid_proto::Micros;

use crate::{
    book::{Book, Violation, hold},
    client::Client,
    disk::Disk,
    judge,
    message::{Down, Up},
    net::{LinkId, Net, Way},
    plan::{ClientPlan, Fault, Plan, SECOND},
    random::Random,
    run::{Options, Report},
    scheduler::{Effect, Failed, Heard, Scheduler},
    worker::Worker,
};

/// After so long with nothing heard a link has ended.
const IDLE_US: u64 = 20 * SECOND;

/// How long after the last fault everything must have ended: every pause and every patience of
/// the scheduler and the machines many times over.
const PATIENCE: u64 = 1_800 * SECOND;

/// The longest that the scheduler sleeps.
const SLEEP_MAX: u64 = SECOND;

/// Virtual time begins here, far enough from 0 for a clock to be set back.
const BEGIN: u64 = 100_000 * SECOND;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Up(LinkId, Up),
    Down(LinkId, usize, Down),
    /// The scheduler, or a node, sees that a link has ended.
    SchedulerLost(LinkId),
    NodeLost(LinkId, usize),
    SchedulerStarts,
    Turn {
        life: u64,
    },
    Synced {
        life: u64,
    },
    NodeStarts(usize),
    Dial {
        node: usize,
        life: u64,
    },
    Ran {
        worker: usize,
        life: u64,
        slot: usize,
        run: u64,
    },
    Prepared {
        worker: usize,
        life: u64,
        number: u64,
    },
    /// A worker wanted to be woken up now.
    Woken {
        worker: usize,
        life: u64,
    },
    Wake {
        client: usize,
        life: u64,
    },
    /// A worker can run tasks again.
    Mends {
        worker: usize,
        life: u64,
    },
    Fault(Fault),
    DiskHasRoom,
    Calm,
}

/// A machine's process, or that it has none.
#[derive(Debug)]
struct Machine<T> {
    process: Option<T>,
    /// Counts processes: what was to happen to an earlier one does not.
    life: u64,
    /// It never comes back.
    dead: bool,
    dials: u32,
    /// For how long it is away once it has left.
    away_us: u64,
}

impl<T> Machine<T> {
    const fn new(process: Option<T>) -> Self {
        Self { process, life: 0, dead: false, dials: 0, away_us: 0 }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct World {
    plan: Arc<Plan>,
    options: Options,
    random: Random,
    now: u64,
    seq: u64,
    events: BTreeMap<(u64, u64), Event>,
    net: Net,
    disk: Disk,
    book: Book,
    scheduler: Option<Scheduler>,
    /// True once the start of its term is durable.
    ready: bool,
    life: u64,
    turn_at: Option<u64>,
    clock_us: i64,
    workers: Vec<Machine<Worker>>,
    clients: Vec<Machine<Client>>,
    frozen: BTreeMap<usize, u64>,
    scheduler_frozen: u64,
    slow: (u64, u64),
    full_until: u64,
    /// After how many more effects the scheduler dies, for how long, and what is kept.
    dies: Option<(u64, u64, u64)>,
    /// The scheduler dies once it has given tasks, for how long, and when it does so again.
    relapse: Option<(u64, u64)>,
    drained: Vec<usize>,
    calm: bool,
    /// What happened, for people.
    pub trace: Vec<String>,
    report: Report,
}

impl World {
    /// The world of a plan before anything happens.
    #[must_use]
    pub fn new(plan: Plan, options: &Options) -> Self {
        let mut random = Random::new(plan.seed ^ 0x0057_07ed);
        let net = Net::new(&plan, random.fork());
        let client = |(number, client): (u64, &ClientPlan)| {
            let random = Random::new(plan.seed ^ 0x00c1_1e07 ^ number << 32);
            Machine::new(Some(Client::new(client, number, random)))
        };
        let clients = (0..).zip(&plan.clients).map(client).collect();
        let workers = plan.workers.iter().map(|_| Machine::new(None)).collect();
        let mut world = Self {
            options: options.clone(),
            random,
            now: BEGIN,
            seq: 0,
            events: BTreeMap::new(),
            net,
            disk: Disk::new(plan.disk.store),
            book: Book::new(plan.config.clone()),
            scheduler: None,
            ready: false,
            life: 0,
            turn_at: None,
            clock_us: 0,
            workers,
            clients,
            frozen: BTreeMap::new(),
            scheduler_frozen: 0,
            slow: (0, 0),
            full_until: 0,
            dies: None,
            relapse: None,
            drained: Vec::new(),
            calm: false,
            trace: Vec::new(),
            report: Report::default(),
            plan: Arc::new(plan),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let plan = Arc::clone(&self.plan);
        self.at(BEGIN, Event::SchedulerStarts);
        for (number, worker) in plan.workers.iter().enumerate() {
            self.at(BEGIN + worker.starts_at, Event::NodeStarts(number));
        }
        for client in 0..plan.clients.len() {
            let node = plan.workers.len() + client;
            self.at(BEGIN + 1, Event::Dial { node, life: 0 });
        }
        for (number, (at, fault)) in plan.faults.iter().enumerate() {
            let keeps = self.options.faults.as_ref().is_none_or(|kept| kept.contains(&number));
            if keeps {
                self.at(BEGIN + at, Event::Fault(*fault));
            }
        }
        self.at(BEGIN + plan.calm_at, Event::Calm);
    }

    /// Lets everything happen until nothing is left to be done.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(&mut self) -> Result<Report, Violation> {
        let ends = BEGIN + self.plan.calm_at + PATIENCE;
        while !self.is_done() {
            let Some(((at, seq), event)) = self.events.pop_first() else { break };
            if at > ends {
                break;
            }
            self.now = self.now.max(at);
            if let Some(thaws) = self.frozen_until(&event) {
                self.events.insert((thaws, seq), event);
                continue;
            }
            self.report.steps += 1;
            if self.options.trace {
                self.note(&format!("{event:?}"));
            }
            if let Err(failed) = self.happen(event) {
                return Err(self.failed(failed));
            }
        }
        judge::stuck(
            self.is_done(),
            &self.plan,
            self.clients.iter().map(|client| &client.process),
        )?;
        self.settle()
    }

    /// Everything is done: what clients have must be what a scheduler would find now.
    fn settle(&mut self) -> Result<Report, Violation> {
        let found = self.disk.crash(0).and_then(|()| self.disk.replay());
        let found = found.map_err(|damage| self.failed(Failed::Disk(damage)))?;
        self.book.restart(&found)?;
        let entries = self.disk.audits().map_err(|damage| self.failed(Failed::Disk(damage)))?;
        judge::audit(&found, &entries)?;
        let clients = self.clients.iter().filter_map(|client| client.process.as_ref());
        for (number, client) in clients.enumerate() {
            judge::client(&self.plan, number, client, &self.disk, &self.book)?;
        }
        self.report.records = found.len() as u64;
        self.report.virtual_us = self.now - BEGIN;
        Ok(self.report)
    }

    /// The time of slots that each tenant's tasks had, of the first half of the commits.
    #[must_use]
    pub fn shares(&self) -> BTreeMap<String, u64> {
        let committed = self.book.committed();
        let half = committed.len() / 2;
        let mut shares = BTreeMap::new();
        for (key, index) in committed.into_iter().take(half) {
            let of = self.plan.clients.iter().find_map(|client| {
                let job = client.jobs.iter().find(|job| job.key == key)?;
                let at = usize::try_from(index).ok()?;
                let task = job.chunks.iter().flatten().nth(at)?;
                Some((client.tenant.clone(), task.wall_us()))
            });
            if let Some((tenant, wall_us)) = of {
                *shares.entry(tenant).or_default() += wall_us;
            }
        }
        shares
    }

    fn is_done(&self) -> bool {
        self.calm
            && self
                .clients
                .iter()
                .all(|client| client.process.as_ref().is_some_and(Client::is_done))
    }

    #[expect(clippy::unused_self, reason = "reads like what it does")]
    fn failed(&self, failed: Failed) -> Violation {
        match failed {
            Failed::Violation(violation) => violation,
            Failed::Disk(damage) => {
                Violation { invariant: "the store gives what was written", detail: damage.0 }
            }
        }
    }

    fn note(&mut self, text: &str) {
        let (seconds, micros) = ((self.now - BEGIN) / SECOND, (self.now - BEGIN) % SECOND);
        self.trace.push(format!("{seconds:>4}.{micros:06} {text}"));
    }

    fn at(&mut self, at: u64, event: Event) {
        self.seq += 1;
        self.events.insert((at.max(self.now), self.seq), event);
    }

    fn after(&mut self, span: u64, event: Event) {
        self.at(self.now + span, event);
    }

    /// Until when whom this happens to stands still.
    fn frozen_until(&self, event: &Event) -> Option<u64> {
        let clients_from = self.plan.workers.len();
        let node = match event {
            Event::Up(..) | Event::SchedulerLost(_) | Event::Turn { .. } | Event::Synced { .. } => {
                return Some(self.scheduler_frozen).filter(|until| *until > self.now);
            }
            Event::Down(_, node, _) | Event::NodeLost(_, node) | Event::Dial { node, .. } => *node,
            Event::Ran { worker, .. }
            | Event::Prepared { worker, .. }
            | Event::Woken { worker, .. } => *worker,
            Event::Wake { client, .. } => clients_from + client,
            _ => return None,
        };
        self.frozen.get(&node).copied().filter(|until| *until > self.now)
    }

    fn happen(&mut self, event: Event) -> Result<(), Failed> {
        match event {
            Event::Up(link, message) => {
                if self.ready && self.net.arrives(self.now, link, Way::Up) {
                    self.tell_scheduler(Heard::Says(link, message));
                }
            }
            Event::Down(link, node, message) => {
                if self.net.arrives(self.now, link, Way::Down) {
                    self.node_hears(node, message)?;
                }
            }
            Event::SchedulerLost(link) => {
                let node = self.net.node(link);
                if self.net.leave(self.now, link, Way::Up) {
                    self.tell_scheduler(Heard::Unlinked(link));
                    if let Some(node) = node {
                        let notice = self.random.below(IDLE_US);
                        self.after(notice, Event::NodeLost(link, node));
                    }
                }
            }
            Event::NodeLost(link, node) => {
                if self.net.leave(self.now, link, Way::Down) {
                    self.node_unlinked(node, link);
                    let notice = self.random.below(IDLE_US);
                    self.after(notice, Event::SchedulerLost(link));
                }
            }
            Event::SchedulerStarts => self.start_scheduler()?,
            Event::Turn { life } => {
                if life == self.life && self.turn_at == Some(self.now) {
                    self.turn()?;
                }
            }
            Event::Synced { life } => {
                if life == self.life {
                    self.synced()?;
                }
            }
            Event::NodeStarts(node) => self.start_node(node),
            Event::Dial { node, life } => self.dial(node, life),
            Event::Ran { worker, life, slot, run } => {
                self.worker_does(worker, life, |process, now| process.ran(now, slot, run));
            }
            Event::Prepared { worker, life, number } => {
                self.worker_does(worker, life, |process, now| process.prepared(now, number));
            }
            Event::Woken { worker, life } => self.worker_does(worker, life, |_, _| {}),
            Event::Wake { client, life } => self.wake(client, life),
            Event::Mends { worker, life } => self.worker_does(worker, life, Worker::mends),
            Event::Fault(fault) => self.fault(fault)?,
            Event::DiskHasRoom => {
                if self.now >= self.full_until {
                    self.tell_scheduler(Heard::Full(false));
                }
            }
            Event::Calm => self.calm_down(),
        }
        Ok(())
    }

    /// The date by the clock of the scheduler's machine.
    fn date(&self) -> Micros {
        Micros(self.now.saturating_add_signed(self.clock_us))
    }

    fn start_scheduler(&mut self) -> Result<(), Failed> {
        if self.scheduler.is_some() {
            return Ok(());
        }
        let (bug, times) = (self.options.bug, (self.now, self.date()));
        self.book.times.starts(self.now);
        let started = Scheduler::start(&self.plan, bug, times, &mut self.disk, &mut self.book)?;
        self.scheduler = Some(started);
        self.ready = false;
        self.sync_later();
        Ok(())
    }

    fn sync_later(&mut self) {
        let (low, high) = self.plan.disk.sync_us;
        let slow = if self.now < self.slow.1 { self.slow.0 } else { 0 };
        let took = self.random.between(low, high) + slow;
        let at = (self.now + took).max(self.full_until);
        self.at(at, Event::Synced { life: self.life });
    }

    fn synced(&mut self) -> Result<(), Failed> {
        if self.now < self.full_until {
            // The disk became full while this was being written.
            self.at(self.full_until, Event::Synced { life: self.life });
            return Ok(());
        }
        self.disk.sync()?;
        let Some(scheduler) = &mut self.scheduler else { return Ok(()) };
        match scheduler.journal.end() {
            Some(number) => self.tell_scheduler(Heard::Committed(number)),
            None => self.ready = true,
        }
        self.begin_write();
        self.turn_soon();
        Ok(())
    }

    fn begin_write(&mut self) {
        let Some(scheduler) = self.scheduler.as_mut().filter(|_| self.ready) else { return };
        if let Some(items) = scheduler.journal.begin() {
            self.disk.write(scheduler.epoch(), items);
            self.sync_later();
        }
    }

    fn tell_scheduler(&mut self, heard: Heard) {
        if let Some(scheduler) = self.scheduler.as_mut().filter(|_| self.ready) {
            scheduler.hear(heard);
            self.turn_soon();
        }
    }

    /// What comes until then is handled together.
    fn turn_soon(&mut self) {
        let at = self.now + self.random.below(300);
        self.turn_at(at);
    }

    fn turn_at(&mut self, at: u64) {
        if self.turn_at.is_none_or(|before| before > at || before < self.now) {
            self.turn_at = Some(at);
            self.at(at, Event::Turn { life: self.life });
        }
    }

    fn turn(&mut self) -> Result<(), Failed> {
        self.turn_at = None;
        let now = self.now;
        let Some(scheduler) = self.scheduler.as_mut().filter(|_| self.ready) else {
            return Ok(());
        };
        self.book.times.passes(now);
        let effects = scheduler.turn(now, &mut self.disk, &mut self.book)?;
        self.begin_write();
        for effect in effects {
            if let Some((after, down_us, kept)) = self.dies {
                if after == 0 {
                    return self.crash_scheduler(down_us, kept);
                }
                self.dies = Some((after - 1, down_us, kept));
            }
            let gives = self.relapse.and_then(|_| self.gives_unsynced(&effect));
            self.effect(effect);
            if let Some(worker) = gives {
                return self.relapses(worker);
            }
        }
        let Some(scheduler) = &self.scheduler else { return Ok(()) };
        let idle = scheduler.is_idle();
        let next = scheduler.next_turn();
        if idle {
            let at = next.unwrap_or(u64::MAX).max(self.now + 1);
            self.turn_at(at.min(self.now + SLEEP_MAX));
        } else {
            self.turn_soon();
        }
        Ok(())
    }

    fn effect(&mut self, effect: Effect) {
        if self.options.trace {
            self.note(&format!("  {effect:?}"));
        }
        match effect {
            Effect::Say(link, message) => {
                let has_payload = matches!(message, Down::Assign { .. } | Down::Results { .. });
                let node = self.net.node(link);
                let arrives = self.net.send(self.now, link, Way::Down, has_payload);
                if let (Some(at), Some(node)) = (arrives, node) {
                    self.at(at, Event::Down(link, node, message));
                }
            }
            Effect::Close(link) => {
                if let Some(node) = self.net.node(link) {
                    self.net.leave(self.now, link, Way::Up);
                    let notice = self.random.between(1, 20_000);
                    self.after(notice, Event::NodeLost(link, node));
                }
            }
        }
    }
}

/// Holds where nothing is left.
pub(crate) fn within(bound: usize, has: usize, what: &'static str) -> Result<(), Violation> {
    hold(has <= bound, "every queue is within its bound", || {
        format!("{what}: {has}, {bound} allowed")
    })
}
