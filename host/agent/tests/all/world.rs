//! One agent whose slots only wait, in virtual time, and the scheduler's side of its link.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use wasmgrid_agent::{Agent, Batch, Effect, Event, Preparation, WorkerConfig};
use wasmgrid_proto::{
    ByteCount, Digest, Epoch, Extensions, InputBlock, JobId, LeaseId, Micros, Millis, ModuleKind,
    Outcome, ResultBlock, ResultMeta, RunningTask, TaskId, TaskSpec, Usage, WorkerCapacity,
    WorkerId,
    pace::FLUSH_US,
    wire::{Assign, Committed, FromWorker, Joined, LeaseGrant, Returned, ToWorker, WorkerResults},
};

/// Messages that the link takes at once.
const ROOM: usize = 8;

/// See the module's text.
pub struct World {
    agent: Agent<()>,
    now: u64,
    slots: Vec<Slot>,
    /// How long a task of each tenant takes, in microseconds.
    times: BTreeMap<&'static str, u64>,
    /// When the task that began last ends, by tenant.
    ends: BTreeMap<String, u64>,
    /// What the agent has said and the test has not heard.
    said: VecDeque<FromWorker>,
    /// What was ordered of slots, which do nothing about it.
    missed: Option<Vec<String>>,
}

#[derive(Default)]
struct Slot {
    given: VecDeque<Batch<()>>,
    /// Tasks of the first batch that have ended.
    ended: u64,
    /// When the next one ends.
    ends_at: Option<u64>,
    results: Vec<ResultMeta>,
    gathered_us: u64,
}

impl World {
    /// An agent that has joined, of so many slots; tasks take so long, by tenant.
    pub fn new(slots: usize, times: &[(&'static str, u64)]) -> Self {
        let (memory, engine) = (ByteCount(1 << 30), String::from("test"));
        let capacity = WorkerCapacity { slots: slots as u32, memory, labels: Vec::new(), engine };
        let agent = Agent::new(WorkerConfig::new(capacity), slots, Micros(7), Micros(0));
        let slots = (0..slots).map(|_| Slot::default()).collect();
        let (times, ends) = (times.iter().copied().collect(), BTreeMap::new());
        let mut world =
            Self { agent, now: 0, slots, times, ends, said: VecDeque::new(), missed: None };
        world.tell(Event::Linked);
        let join = world.hear();
        assert!(matches!(join, FromWorker::Join(_)), "{join:?}");
        let (worker, epoch) = (WorkerId(1), Epoch(1));
        world.say(ToWorker::Joined(Joined { worker, epoch, heartbeat: Millis(10) }));
        world
    }

    /// Slots miss what is ordered from now on.
    pub fn miss_orders(&mut self) {
        self.missed = Some(Vec::new());
    }

    /// What they missed since the last call.
    pub fn missed(&mut self) -> Vec<String> {
        self.missed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A slot has taken a batch that had to wait.
    pub fn taken(&mut self, slot: usize) {
        self.tell(Event::Taken { slot });
    }

    /// The time, in microseconds.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// When the task of a tenant that began last ends.
    pub fn end(&self, tenant: &str) -> Option<u64> {
        self.ends.get(tenant).copied()
    }

    /// The scheduler says something.
    pub fn say(&mut self, message: ToWorker) {
        self.tell(Event::Heard(message.into()));
    }

    /// The scheduler assigns tasks of a job, which has the tenant's number and name.
    pub fn assign(&mut self, job: u64, lease: u64, tenant: &str, first: u64, count: u64) {
        let inputs = InputBlock::Numbers { start: 0, step: 1, count };
        let leases = vec![LeaseGrant { lease: LeaseId(lease), attempt: 1, first, inputs }];
        let spec = TaskSpec::new(Digest([1; 32]), ModuleKind::Task);
        let spec = Arc::new(TaskSpec { tenant: tenant.into(), ..spec });
        self.say(ToWorker::Assign(Assign { job: JobId(job), spec, leases }));
    }

    /// The scheduler assigns tasks whose spec has an extension.
    pub fn assign_extended(&mut self, count: u64, extensions: Extensions) {
        let inputs = InputBlock::Numbers { start: 0, step: 1, count };
        let leases = vec![LeaseGrant { lease: LeaseId(1), attempt: 1, first: 0, inputs }];
        let spec = TaskSpec::new(Digest([1; 32]), ModuleKind::Task);
        let spec = Arc::new(TaskSpec { tenant: "a".into(), extensions, ..spec });
        self.say(ToWorker::Assign(Assign { job: JobId(1), spec, leases }));
    }

    /// What the agent gives back next.
    pub fn returned(&mut self) -> Returned {
        loop {
            if let FromWorker::Returned(returned) = self.hear() {
                return returned;
            }
        }
    }

    /// The jobs of the next results, a number a task; they are committed.
    pub fn ended(&mut self) -> Vec<u64> {
        loop {
            if let FromWorker::Results(WorkerResults { batch, blocks }) = self.hear() {
                self.say(ToWorker::Committed(Committed { batches: vec![batch] }));
                let jobs = blocks.into_iter();
                return jobs.flat_map(|at| vec![at.job.0; at.results.len()]).collect();
            }
        }
    }

    /// Lets time pass until something happens.
    pub fn step(&mut self) {
        let deadline = self.agent.deadline().map(|Micros(at)| at);
        let ends = self.slots.iter().filter_map(|slot| slot.ends_at);
        let next = ends.chain(deadline).min().expect("something goes on");
        self.now = self.now.max(next);
        for number in 0..self.slots.len() {
            if self.slots[number].ends_at == Some(self.now) {
                self.task_ends(number);
            }
        }
        self.turn();
    }

    fn hear(&mut self) -> FromWorker {
        loop {
            if let Some(said) = self.said.pop_front() {
                return said;
            }
            self.step();
        }
    }

    fn tell(&mut self, event: Event<()>) {
        self.agent.handle(Micros(self.now), event);
        self.turn();
    }

    fn turn(&mut self) {
        loop {
            let effects: Vec<_> = self.agent.turn(Micros(self.now), ROOM).collect();
            if effects.is_empty() {
                break;
            }
            effects.into_iter().for_each(|effect| self.perform(effect));
        }
        for slot in 0..self.slots.len() {
            self.begin(slot);
        }
    }

    fn perform(&mut self, effect: Effect<()>) {
        let now = Micros(self.now);
        match effect {
            Effect::Say(envelope) => self.said.push_back(envelope.message),
            Effect::Prepare { job, spec, .. } => {
                let result = Preparation::Ready { module: (), blob_bytes: 0 };
                let event = Event::Prepared { job, spec, result, took: Duration::ZERO };
                self.agent.handle(now, event);
            }
            Effect::Run { slot, batch } => self.slots[slot].given.push_back(batch),
            Effect::ListRunning => {
                let running = self.slots.iter().filter_map(Slot::running).collect();
                self.agent.handle(now, Event::Running(running));
            }
            Effect::Joined { .. } => {}
            Effect::Cancel { .. } | Effect::Recall { .. } if self.missed.is_some() => {
                self.missed.iter_mut().for_each(|missed| missed.push(format!("{effect:?}")));
            }
            other => panic!("{other:?}"),
        }
    }

    fn begin(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        let Some(batch) = slot.given.front().filter(|_| slot.ends_at.is_none()) else { return };
        let tenant = &batch.spec.tenant;
        let ends_at = self.now + self.times[tenant.as_str()];
        self.ends.insert(tenant.clone(), ends_at);
        slot.ends_at = Some(ends_at);
    }

    fn task_ends(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        slot.ends_at = None;
        let batch = &slot.given[0];
        let wall_us = self.times[batch.spec.tenant.as_str()];
        slot.results.push(ResultMeta {
            index: batch.first + slot.ended,
            outcome: Outcome::Ok,
            usage: Usage { wall_us, ..Usage::default() },
            output_len: 0,
            record_lens: Vec::new(),
            log_len: 0,
            log_dropped: 0,
        });
        slot.ended += 1;
        slot.gathered_us += wall_us;
        let is_over = slot.ended == batch.inputs.count();
        if is_over || slot.gathered_us > FLUSH_US {
            let Batch { job, lease, worker, attempt, .. } = *batch;
            let results = std::mem::take(&mut slot.results);
            slot.gathered_us = 0;
            if is_over {
                slot.ended = 0;
                slot.given.pop_front();
            }
            let extensions = Extensions::NONE;
            let block = ResultBlock { job, lease, worker, attempt, results, extensions };
            let event = Event::Results { slot: number, block, payload: Default::default() };
            self.agent.handle(Micros(self.now), event);
        }
    }
}

impl Slot {
    fn running(&self) -> Option<RunningTask> {
        let batch = self.given.front().filter(|_| self.ends_at.is_some())?;
        let task = TaskId { job: batch.job, index: batch.first + self.ended };
        Some(RunningTask { task, elapsed_ms: 0, progress: None })
    }
}
