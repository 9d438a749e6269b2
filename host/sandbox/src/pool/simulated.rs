//! Slots that run no WebAssembly: a model says how long a task takes and how it ends, and the slot
//! says so in the time of the tokio runtime. What is queued, cancelled and taken back goes the way
//! it goes in a real slot. Only with the feature `simulated`, for simulations of a whole grid.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    select,
    sync::{Mutex as AsyncMutex, mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use wasmgrid_proto::{
    Digest, Extensions, InputBlock, JobId, Outcome, ResultBlock, ResultMeta, TaskRange, TaskSpec,
    Usage, pace::FLUSH_US,
};

use super::{
    Condition, EVENTS_MAX, Pool, Slot, SlotBatch, SlotEvent, SlotEvents, SlotInput, shared::Shared,
};
use crate::{ModuleSource, PrepareError, Prepared, SandboxError, sealed::Sealed};

/// Says how tasks go.
pub trait Model: fmt::Debug + Send + Sync {
    /// How long it takes to make a module ready to run.
    fn prepares(&self, module: Digest) -> Duration;

    /// How one attempt of a task goes. [`Outcome::Lost`] is the death of the slot's runner.
    fn runs(&self, task: &Task<'_>) -> Run;
}

/// One attempt of a task.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The job.
    pub job: JobId,
    /// The task's index.
    pub index: u64,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// What the task needs.
    pub spec: &'a TaskSpec,
    /// Its input.
    pub input: &'a [u8],
}

/// How it goes.
#[derive(Clone, Debug)]
pub struct Run {
    /// How long it takes.
    pub time: Duration,
    /// How it ends.
    pub outcome: Outcome,
    /// What it returns.
    pub output: Bytes,
}

/// What a simulated sandbox has in common.
#[derive(Debug)]
pub(crate) struct Simulation {
    model: Arc<dyn Model>,
    pool: Pool,
    ready: Mutex<BTreeMap<Digest, Prepared>>,
    closed: CancellationToken,
}

impl Simulation {
    /// Starts so many slots. To be called inside a tokio runtime.
    pub(crate) fn start(slots: u32, model: Arc<dyn Model>) -> (Self, Vec<Slot>) {
        let stop = CancellationToken::new();
        let mut drivers = JoinSet::new();
        let slots = (0..slots)
            .map(|_| {
                let shared = Arc::new(Shared::new());
                let (sender, events) = mpsc::channel(EVENTS_MAX);
                let (model, stop) = (Arc::clone(&model), stop.clone());
                let driver = Driver { shared: Arc::clone(&shared), events: sender, model, stop };
                drivers.spawn(driver.run());
                Slot { input: SlotInput { shared }, events: SlotEvents { events } }
            })
            .collect();
        // It stays so.
        let (_, condition) = watch::channel(Condition::Able);
        let (drivers, doubts) = (AsyncMutex::new(drivers), Arc::default());
        let pool = Pool { drivers, condition, doubts, stop };
        (Self { model, pool, ready: Mutex::default(), closed: CancellationToken::new() }, slots)
    }

    pub(crate) fn has(&self, module: Digest) -> bool {
        self.ready().contains_key(&module)
    }

    pub(crate) async fn prepare(
        &self,
        spec: &TaskSpec,
        source: ModuleSource,
    ) -> Result<Prepared, PrepareError> {
        let digest = spec.module;
        if let Some(prepared) = self.ready().get(&digest) {
            return Ok(prepared.clone());
        }
        let ModuleSource::Bytes(module) = source else {
            return Err(PrepareError::NeedsModule { digest });
        };
        let found = Digest::of(&module);
        if found != digest {
            return Err(PrepareError::WrongModule { expected: digest, found });
        }
        select! {
            biased;
            () = self.closed.cancelled() => return Err(SandboxError::Stopped.into()),
            () = sleep(self.model.prepares(digest)) => {}
        }
        // Nobody looks at the code.
        let prepared = Prepared::new(digest, spec.kind, Arc::new(Sealed::from_bytes(&[])?));
        self.ready().insert(digest, prepared.clone());
        Ok(prepared)
    }

    pub(crate) fn condition(&self) -> watch::Receiver<Condition> {
        self.pool.condition()
    }

    pub(crate) async fn shutdown(&self) {
        self.closed.cancel();
        self.pool.shutdown().await;
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Prepared>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One slot's driver.
struct Driver {
    shared: Arc<Shared>,
    events: mpsc::Sender<SlotEvent>,
    model: Arc<dyn Model>,
    stop: CancellationToken,
}

/// Results that wait for others of their batch.
struct Gathered {
    block: ResultBlock,
    payload: BytesMut,
    time: Duration,
}

/// Nobody takes the slot's events any more, or it is shut down.
struct Closed;

impl Driver {
    async fn run(self) {
        let stop = self.stop.clone();
        // Either way it is over.
        let _ = stop.run_until_cancelled(self.serve()).await;
        self.shared.close();
    }

    async fn serve(&self) -> Closed {
        for number in 1.. {
            let batch = loop {
                if self.give(self.shared.take_back_unsent()).await.is_err() {
                    return Closed;
                }
                if let Some(batch) = self.begin(number) {
                    break batch;
                }
                self.shared.changed.notified().await;
            };
            if self.run_batch(number, &batch).await.is_err() {
                return Closed;
            }
        }
        Closed
    }

    fn begin(&self, number: u64) -> Option<SlotBatch> {
        let mut state = self.shared.lock();
        let unsent = state.unsent()?;
        unsent.number = Some(number);
        Some(unsent.batch.clone())
    }

    async fn run_batch(&self, number: u64, batch: &SlotBatch) -> Result<(), Closed> {
        let mut gathered = Gathered::new(batch);
        // The runtime's timers count milliseconds.
        let mut owed = Duration::ZERO;
        loop {
            let (events, next) = self.orders(number, None);
            self.give(events).await?;
            let Some(index) = next else { break };
            let input = input(batch, index);
            let (job, attempt, spec) = (batch.job, batch.attempt, batch.spec.as_ref());
            let run = self.model.runs(&Task { job, index, attempt, spec, input: &input });
            if gathered.time + run.time > Duration::from_micros(FLUSH_US) {
                self.give(gathered.take()).await?;
            }
            owed += run.time;
            let now = Duration::from_millis(u64::try_from(owed.as_millis()).unwrap_or(u64::MAX));
            owed -= now;
            if !self.passes(number, index, now).await? {
                continue;
            }
            if let Outcome::Lost(reason) = &run.outcome {
                self.give([SlotEvent::Died { reason: reason.clone() }]).await?;
            }
            gathered.add(index, run);
        }
        self.give(gathered.take()).await
    }

    /// Lets the time of a task pass, which then is not left any more; false where it was cancelled
    /// meanwhile.
    async fn passes(&self, number: u64, index: u64, time: Duration) -> Result<bool, Closed> {
        let mut over = std::pin::pin!(sleep(time));
        loop {
            select! {
                biased;
                () = &mut over => break,
                () = self.shared.changed.notified() => {}
            }
            let (events, _) = self.orders(number, Some(index));
            self.give(events).await?;
            if !self.shared.lock().sent(number).is_some_and(|sent| sent.tasks.left().has(index)) {
                return Ok(false);
            }
        }
        let mut state = self.shared.lock();
        let sent = state.sent(number);
        let passed = sent.is_some_and(|sent| sent.take(TaskRange::one(index)));
        state.settle();
        Ok(passed)
    }

    /// What was taken back or cancelled of a batch, but for the taking back of the task that runs;
    /// and the first task that is left.
    fn orders(&self, number: u64, running: Option<u64>) -> (Vec<SlotEvent>, Option<u64>) {
        let mut events = Vec::new();
        let mut state = self.shared.lock();
        let Some(sent) = state.sent(number) else { return (events, None) };
        events.extend(sent.give_back(running));
        events.extend(sent.end_cancelled());
        let next = sent.tasks.left().first().map(|range| range.first);
        state.settle();
        (events, next)
    }

    async fn give(&self, events: impl IntoIterator<Item = SlotEvent>) -> Result<(), Closed> {
        for event in events {
            self.events.send(event).await.map_err(|_| Closed)?;
        }
        Ok(())
    }
}

impl Gathered {
    fn new(batch: &SlotBatch) -> Self {
        let SlotBatch { job, lease, worker, attempt, .. } = *batch;
        let (results, extensions) = (Vec::new(), Extensions::NONE);
        let block = ResultBlock { job, lease, worker, attempt, results, extensions };
        Self { block, payload: BytesMut::new(), time: Duration::ZERO }
    }

    fn add(&mut self, index: u64, run: Run) {
        let Run { time, outcome, output } = run;
        let wall_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.block.results.push(ResultMeta {
            index,
            outcome,
            usage: Usage { wall_us, ..Usage::default() },
            output_len: u32::try_from(output.len()).unwrap_or(u32::MAX),
            record_lens: Vec::new(),
            log_len: 0,
            log_dropped: 0,
        });
        self.payload.extend_from_slice(&output);
        self.time += time;
    }

    fn take(&mut self) -> Option<SlotEvent> {
        self.time = Duration::ZERO;
        let (results, payload) = (std::mem::take(&mut self.block.results), self.payload.split());
        let block = ResultBlock { results, extensions: Extensions::NONE, ..self.block };
        (!block.results.is_empty()).then(|| SlotEvent::Results(block, payload.freeze()))
    }
}

/// The input of one task of a batch.
fn input(batch: &SlotBatch, index: u64) -> Bytes {
    // Lengths and payload were checked when the batch was queued.
    match batch.inputs.slice(&batch.payload, index.saturating_sub(batch.first), 1) {
        Ok((InputBlock::Numbers { start, .. }, _)) => start.to_string().into(),
        Ok((InputBlock::Packed(_), payload)) => payload,
        Err(_) => Bytes::new(),
    }
}
