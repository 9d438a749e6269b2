//! A worker: the real agent (`host/agent`), in a simulated shell. The shell says it what happens,
//! in virtual time, and does what it wants done: its slots run a model of a task, its modules are
//! ready after a while, and what it says is put into the messages of this world. How a machine is
//! broken, and how a worker lies, is here too: the agent itself is honest.

mod liar;
mod slot;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use wasmgrid_agent::{Agent, Effect, Event, Preparation, WorkerConfig};
use wasmgrid_proto::{
    ByteCount, Digest, Epoch, InputBlock, JobId, Micros, Millis, ModuleKind, ResultMeta, TaskSpec,
    WorkerCapacity, WorkerId,
    frame::Envelope,
    wire::{
        Assign, Cancel, Committed, Contested, Drain, FromWorker, Health, Joined, LeaseGrant,
        Overrun, Part, Proofs, Revoke, ToWorker, Unable, WorkerResults,
    },
};

use crate::{
    message::{Block, Down, Lease, Shown, Up},
    net::LinkId,
    plan::{Broken, Falsehood},
    random::Random,
};
use liar::Liar;
use slot::{Ended, Slot};

/// Messages that the link takes at once.
const ROOM: usize = 8;

/// How often a worker says that it lives.
const HEARTBEAT: Millis = Millis(1_000);

/// The longest that a module takes to be ready, in microseconds.
const PREPARE_US: u64 = 50_000;

/// Unacknowledged results at which no new task is begun.
pub const KEPT_MAX: usize = 64;

/// What the agent counts for one of them.
const RESULT_BYTES: usize = size_of::<ResultMeta>() + OUTPUT_BYTES;

/// An input, and an output.
const OUTPUT_BYTES: usize = size_of::<u64>();

/// What a worker does that the world must see.
#[derive(Debug)]
pub enum Act {
    /// It says something on its link.
    Say(Up),
    /// It ends its link.
    HangUp,
    /// A task of a slot ends after so long, or kills the host.
    Run {
        /// Which slot.
        slot: usize,
        /// Its number of the run.
        run: u64,
        /// How long it takes.
        wall_us: u64,
    },
    /// A module is ready after so long.
    Prepare {
        /// The worker's number of it.
        number: u64,
        /// How long it takes.
        wall_us: u64,
    },
    /// It wants to be woken up then.
    Wake {
        /// When.
        at: u64,
    },
    /// Its host dies.
    Die,
    /// It has left.
    Leave,
}

/// One process of a worker.
#[derive(Debug)]
pub struct Worker {
    /// Its link.
    pub link: Option<LinkId>,
    agent: Agent<()>,
    random: Random,
    slots: Vec<Slot>,
    /// The modules that are made ready.
    preparing: BTreeMap<u64, (JobId, Arc<TaskSpec>)>,
    /// Counts runs of slots and modules.
    count: u64,
    /// When the world wakes it up.
    wakes_at: u64,
    /// It takes what it is given, and ends nothing.
    hoards: bool,
    liar: Option<Liar>,
    /// How it cannot run tasks.
    broken: Option<Broken>,
    /// It says nothing of that.
    silent: bool,
    acts: Vec<Act>,
    /// Reused from turn to turn.
    effects: Vec<Effect<()>>,
}

impl Worker {
    /// A process that has just started.
    #[must_use]
    pub fn new(slots: u32, falsehood: Option<Falsehood>, started: Micros, random: Random) -> Self {
        let (memory, engine) = (ByteCount(1 << 30), String::from("simulated"));
        let capacity = WorkerCapacity { slots, memory, labels: Vec::new(), engine };
        let kept_results = ByteCount((KEPT_MAX * RESULT_BYTES) as u64);
        let config = WorkerConfig { kept_results, ..WorkerConfig::new(capacity) };
        let slots: Vec<_> = (0..slots).map(|_| Slot::default()).collect();
        Self {
            link: None,
            agent: Agent::new(config, slots.len(), started, started),
            random,
            slots,
            preparing: BTreeMap::new(),
            count: 0,
            wakes_at: 0,
            hoards: falsehood == Some(Falsehood::Hoards),
            liar: (falsehood == Some(Falsehood::Claims)).then(Liar::default),
            broken: None,
            silent: false,
            acts: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Lets the agent do what is due; what it did since the last call.
    pub fn acts(&mut self, now: u64) -> Vec<Act> {
        loop {
            let mut effects = std::mem::take(&mut self.effects);
            effects.extend(self.agent.turn(Micros(now), ROOM));
            // What is said first need not be all; what slots answer at once is a turn of its own.
            let goes_on = !effects.is_empty();
            for effect in effects.drain(..) {
                self.perform(now, effect);
            }
            self.effects = effects;
            if !goes_on {
                break;
            }
        }
        self.begin();
        let deadline = self.agent.deadline().map(|Micros(at)| at.max(now + 1));
        if let Some(at) = deadline.filter(|at| *at < self.wakes_at || self.wakes_at <= now) {
            self.wakes_at = at;
            self.acts.push(Act::Wake { at });
        }
        std::mem::take(&mut self.acts)
    }

    /// About how many results are not acknowledged.
    #[must_use]
    pub fn kept(&self) -> usize {
        let bytes = usize::try_from(self.agent.kept_results().0).unwrap_or(usize::MAX);
        bytes.div_ceil(RESULT_BYTES)
    }

    /// Tasks at a time.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// There is a link.
    pub fn linked(&mut self, now: u64, link: LinkId) {
        self.link = Some(link);
        self.agent.handle(Micros(now), Event::Linked);
    }

    /// The link has ended.
    pub fn unlinked(&mut self, now: u64) {
        self.link = None;
        self.agent.handle(Micros(now), Event::Unlinked);
    }

    /// The scheduler said something.
    pub fn heard(&mut self, now: u64, message: Down) {
        let message = match message {
            Down::Joined => ToWorker::Joined(Joined {
                worker: WorkerId(1),
                epoch: Epoch(1),
                heartbeat: HEARTBEAT,
            }),
            Down::Assign { job, tenant, leases } => return self.assigned(now, job, tenant, leases),
            Down::Contested { rival } => {
                ToWorker::Contested(Contested { rival, address: String::new() })
            }
            Down::Cancel { job } => ToWorker::Cancel(Cancel { job, by: String::new() }),
            Down::Revoke { job, lease, .. } | Down::Overrun { job, lease } if self.hoards => {
                let tasks = Vec::new();
                return self.acts.push(Act::Say(Up::Returned { job, lease, tasks }));
            }
            Down::Revoke { job, lease, tasks } => ToWorker::Revoke(Revoke { job, lease, tasks }),
            Down::Overrun { job, lease } => {
                ToWorker::Overrun(Overrun { job, lease, reason: String::new() })
            }
            Down::Committed { batches } => {
                if let Some(liar) = &mut self.liar {
                    liar.committed(&batches);
                }
                ToWorker::Committed(Committed { batches })
            }
            Down::Drain => ToWorker::Drain(Drain { leave: false }),
            Down::Reply { .. } | Down::Results { .. } | Down::Ended { .. } => return,
        };
        self.agent.handle(Micros(now), Event::Heard(message.into()));
    }

    fn assigned(&mut self, now: u64, job: JobId, tenant: String, leases: Vec<Lease>) {
        let module = TaskSpec::new(Digest([7; 32]), ModuleKind::Task);
        let mut payload = BytesMut::new();
        let (mut grants, mut proofs) = (Vec::new(), Vec::new());
        for Lease { lease, attempt, first, inputs, proof } in leases {
            if let Some(liar) = &mut self.liar {
                liar.given(job, attempt, proof);
            }
            proofs.push(proof);
            inputs.iter().for_each(|input| payload.put_u64_le(*input));
            let inputs = InputBlock::Packed(vec![OUTPUT_BYTES as u32; inputs.len()]);
            grants.push(LeaseGrant { lease, attempt, first, inputs });
        }
        let proofs = ToWorker::Proofs(Proofs { proofs });
        self.agent.handle(Micros(now), Event::Heard(proofs.into()));
        let spec = Arc::new(TaskSpec { tenant, ..module });
        let message = ToWorker::Assign(Assign { job, spec, leases: grants });
        let envelope = Envelope { message, payload: payload.freeze() };
        self.agent.handle(Micros(now), Event::Heard(envelope));
    }

    /// It leaves in order, within so much time.
    pub fn leave(&mut self, now: u64, within_us: u64) {
        self.agent.handle(Micros(now), Event::Leave { within: Millis(within_us / 1_000) });
    }

    /// It cannot run tasks from now on, in some way.
    pub fn breaks(&mut self, now: u64, how: Broken) {
        self.mends(now);
        self.broken = Some(how);
        if how != Broken::Loses {
            self.silent = how == Broken::Returns;
            let (part, reason, again) = (Part::Runner, "as planned".into(), Millis(1_000));
            self.agent.handle(Micros(now), Event::Unable(Unable { part, reason, again }));
        }
    }

    /// It can run tasks again.
    pub fn mends(&mut self, now: u64) {
        if self.broken.take().is_some_and(|how| how != Broken::Loses) {
            self.agent.handle(Micros(now), Event::Able);
        }
    }

    /// A module is ready.
    pub fn prepared(&mut self, now: u64, number: u64) {
        let Some((job, spec)) = self.preparing.remove(&number) else { return };
        let result = Preparation::Ready { module: (), blob_bytes: 0 };
        let event = Event::Prepared { job, spec, result, took: Duration::ZERO };
        self.agent.handle(Micros(now), event);
    }

    /// A run of a slot has come to its end.
    pub fn ran(&mut self, now: u64, number: usize, run: u64) {
        let loses = self.broken == Some(Broken::Loses);
        let Some(slot) = self.slots.get_mut(number) else { return };
        match slot.ran(run, loses, &mut self.random) {
            Ended::Nothing => {}
            Ended::HostDies => self.acts.push(Act::Die),
            Ended::Results(block, payload) => {
                let event = Event::Results { slot: number, block, payload };
                self.agent.handle(Micros(now), event);
            }
        }
    }

    fn perform(&mut self, now: u64, effect: Effect<()>) {
        let now = Micros(now);
        match effect {
            Effect::Say(envelope) => self.say(envelope),
            Effect::HangUp => self.acts.push(Act::HangUp),
            Effect::Joined { .. } => {
                let forged = self.liar.iter().flat_map(Liar::forged);
                self.acts.extend(forged.map(Act::Say));
            }
            Effect::Prepare { job, spec, .. } => {
                self.count += 1;
                let (number, wall_us) = (self.count, self.random.below(PREPARE_US));
                self.preparing.insert(number, (job, spec));
                self.acts.push(Act::Prepare { number, wall_us });
            }
            Effect::Run { slot, batch } => {
                if let Some(slot) = self.slots.get_mut(slot) {
                    slot.push(batch);
                }
            }
            Effect::Cancel { slot: number, job, .. } => {
                let Some(slot) = self.slots.get_mut(number) else { return };
                for (block, payload) in slot.cancel(job, &mut self.random) {
                    self.agent.handle(now, Event::Results { slot: number, block, payload });
                }
            }
            Effect::Recall { slot: number, job, lease, tasks } => {
                let Some(slot) = self.slots.get_mut(number).filter(|_| !self.hoards) else {
                    return;
                };
                let (taken, ended) = slot.recall(lease, &tasks);
                if !taken.is_empty() {
                    let event = Event::Returned { slot: number, job, lease, tasks: taken };
                    self.agent.handle(now, event);
                }
                if let Some((block, payload)) = ended {
                    self.agent.handle(now, Event::Results { slot: number, block, payload });
                }
            }
            Effect::ListRunning => {
                let running = self.slots.iter().filter_map(Slot::running).collect();
                self.agent.handle(now, Event::Running(running));
            }
            Effect::Leave => self.acts.push(Act::Leave),
        }
    }

    /// Begins what waits in slots.
    fn begin(&mut self) {
        if self.hoards {
            return;
        }
        let loses = self.broken == Some(Broken::Loses);
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if let Some(wall_us) = slot.begin(self.count + 1, loses) {
                self.count += 1;
                self.acts.push(Act::Run { slot: number, run: self.count, wall_us });
            }
        }
    }

    fn say(&mut self, envelope: Envelope<FromWorker>) {
        let said = match envelope.message {
            FromWorker::Join(join) => self.join(join.started, join.held, join.proofs),
            FromWorker::Heartbeat(heartbeat) => Up::Heartbeat(heartbeat),
            FromWorker::Results(results) => shown(results, envelope.payload),
            FromWorker::Returned(returned) => {
                let (job, lease, tasks) = (returned.job, returned.lease, returned.tasks);
                Up::Returned { job, lease, tasks }
            }
            FromWorker::Leaving(_) => Up::Leaving,
            // It was told to be silent of what it cannot, and not of that being over.
            FromWorker::Health(Health { unable: Some(_) }) if self.silent => return,
            FromWorker::Health(health) => Up::Health { able: health.unable.is_none() },
            FromWorker::Alive(alive) => Up::Alive { rival: alive.rival },
            // Modules are here, and no scheduler of this world counts what waits for them.
            FromWorker::NeedModule(_)
            | FromWorker::Preparing(_)
            | FromWorker::Report(_)
            | FromWorker::Renew(_) => return,
        };
        self.acts.push(Act::Say(said));
    }

    fn join(
        &mut self,
        started: Micros,
        mut held: Vec<wasmgrid_proto::wire::HeldLease>,
        mut proofs: Vec<wasmgrid_proto::LeaseProof>,
    ) -> Up {
        if let Some(liar) = &mut self.liar {
            liar.invent(&mut held, &mut proofs, &mut self.random);
        }
        let slots = u32::try_from(self.slots.len()).unwrap_or_default();
        Up::Join { started, slots, held, proofs }
    }
}

/// Results as the messages of this world have them.
fn shown(results: WorkerResults, mut payload: Bytes) -> Up {
    let mut output = |length: u32| {
        let bytes = payload.split_to((length as usize).min(payload.len()));
        bytes.first_chunk().copied().map_or(0, u64::from_le_bytes)
    };
    let mut block = |block: Arc<wasmgrid_proto::ResultBlock>| {
        let wasmgrid_proto::ResultBlock { job, lease, attempt, results, .. } = &*block;
        let (job, lease, attempt) = (*job, *lease, *attempt);
        let wall_us = results.iter().map(|meta| meta.usage.wall_us).sum();
        let shown = |meta: &ResultMeta| {
            let (index, class) = (meta.index, meta.outcome.class());
            Shown { index, class, output: output(meta.output_len) }
        };
        Block { job, lease, attempt, wall_us, results: results.iter().map(shown).collect() }
    };
    let blocks = results.blocks.into_iter().map(&mut block).collect();
    Up::Results { batch: results.batch, blocks }
}
