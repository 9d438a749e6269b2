//! Drives one slot: keeps a runner alive, sends it what the slot has taken, gives back what comes.
//!
//! What a dead runner had is sorted out here: the task that ran comes back as lost, what had come
//! stays, and the rest is sent to the next runner, under the same lease.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use wasmgrid_proto::{Outcome, ResultBlock, ResultMeta, TaskRange, Usage, frame::Envelope};

use super::{
    PoolConfig, SlotBatch, SlotEvent,
    launch::Runner,
    shared::{Outstanding, Shared, State},
};
use crate::{
    run::now_us,
    runner::message::{Cancel, FromRunner, Revoke, Run, ToRunner},
};

/// How often a busy runner is looked at.
const WATCH: Duration = Duration::from_millis(500);

/// A task that still runs so long after its deadline has taken its runner with it.
const OVERDUE_US: u64 = 2_000_000;

/// A runner that was sent something and neither runs nor says anything for so long is stuck.
const SILENT_US: u64 = 30_000_000;

/// Runners that died in a row without a word, before what they were to run comes back as lost:
/// then it is the machine, or the module kills what loads it.
const DEATHS_MAX: u32 = 3;

/// Before a runner is started in place of one that never said a word.
const RESTART_WAIT: Duration = Duration::from_millis(200);

/// One slot's driver.
pub(super) struct Driver {
    pub(super) config: Arc<PoolConfig>,
    pub(super) shared: Arc<Shared>,
    pub(super) events: mpsc::Sender<SlotEvent>,
    pub(super) stop: CancellationToken,
}

/// What there is of one runner.
struct Session {
    runner: Runner,
    tenant: Option<String>,
    /// Numbers batches; the runner's page names them by it.
    next_number: u64,
    heard_us: u64,
    /// It has said a word.
    spoke: bool,
}

/// Why a session is over.
enum Over {
    /// The slot is shut down, or nobody takes its events.
    Stopped,
    /// The tenant changes: the next one gets a runner of its own.
    Retired,
    Died,
}

impl Driver {
    /// Drives until the slot is stopped.
    pub(super) async fn run(self) {
        let mut deaths = 0;
        loop {
            let over = match Runner::start(&self.config).await {
                Ok(runner) => self.session(runner, &mut deaths).await,
                Err(error) => self.died(&error.to_string(), &mut deaths, false).await,
            };
            if matches!(over, Over::Stopped) {
                break;
            }
        }
        self.shared.close();
    }

    async fn session(&self, runner: Runner, deaths: &mut u32) -> Over {
        let board = Arc::clone(&runner.board);
        self.shared.lock().board = Some(Arc::clone(&board));
        let mut session =
            Session { runner, tenant: None, next_number: 1, heard_us: now_us(), spoke: false };
        let over = select! {
            over = self.converse(&mut session) => over,
            () = self.stop.cancelled() => Over::Stopped,
        };
        let spoke = session.spoke;
        let reason = session.runner.end().await;
        match over {
            Over::Died => self.died(&reason, deaths, spoke).await,
            over => over,
        }
    }

    /// Talks with one runner until it, its tenant or the slot is over.
    async fn converse(&self, session: &mut Session) -> Over {
        let mut watch = interval(WATCH);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.give_back_unsent().await.is_err() {
                return Over::Stopped;
            }
            match self.send(session).await {
                Ok(()) => {}
                Err(over) => return over,
            }
            select! {
                received = session.runner.receive() => match received {
                    Ok(Some(envelope)) => {
                        session.spoke = true;
                        session.heard_us = now_us();
                        if self.receive(envelope).await.is_err() {
                            return Over::Stopped;
                        }
                    }
                    Ok(None) | Err(_) => {
                        session.runner.kill();
                        return Over::Died;
                    }
                },
                () = self.shared.changed.notified() => {}
                _ = watch.tick() => self.watch(session),
            }
        }
    }

    /// Gives back what was cancelled or revoked before any runner had it.
    async fn give_back_unsent(&self) -> Result<(), Closed> {
        let mut events = Vec::new();
        {
            let mut state = self.shared.lock();
            for unsent in state.batches.iter_mut().filter(|at| at.number.is_none()) {
                let revoked = std::mem::take(&mut unsent.revoking);
                let revoked: Vec<_> =
                    revoked.into_iter().filter(|range| unsent.take(*range)).collect();
                if !revoked.is_empty() {
                    events.push(returned(&unsent.batch, revoked));
                }
                if let Some(by) = unsent.cancelled_by.clone() {
                    let left = std::mem::take(&mut unsent.left);
                    let outcome = Outcome::Cancelled(by);
                    events.extend(left.iter().map(|range| unrun(&unsent.batch, *range, &outcome)));
                }
            }
            state.settle();
        }
        self.give(events).await
    }

    /// Sends the runner all that is new, in order.
    async fn send(&self, session: &mut Session) -> Result<(), Over> {
        while let Some((envelope, batch)) = self.next_run(session)? {
            let sent = session.runner.send_with(envelope, batch.prepared.code()).await;
            sent.map_err(|_| Over::Died)?;
        }
        for order in self.next_orders() {
            session.runner.send(order.into()).await.map_err(|_| Over::Died)?;
        }
        Ok(())
    }

    /// The next batch that no runner has; none while the runner still serves another tenant.
    fn next_run(
        &self,
        session: &mut Session,
    ) -> Result<Option<(Envelope<ToRunner>, SlotBatch)>, Over> {
        let mut state = self.shared.lock();
        let any_sent = state.any_sent();
        let Some(unsent) = state.unsent() else {
            return Ok(None);
        };
        let tenant = &unsent.batch.spec.tenant;
        if session.tenant.as_ref().is_some_and(|served| served != tenant) {
            return if any_sent { Ok(None) } else { Err(Over::Retired) };
        }
        session.tenant.get_or_insert_with(|| tenant.clone());
        let number = session.next_number;
        session.next_number += 1;
        session.heard_us = now_us();
        unsent.number = Some(number);
        Ok(run(unsent, number).map(|envelope| (envelope, unsent.batch.clone())))
    }

    /// Cancellations and revocations of what the runner has.
    fn next_orders(&self) -> Vec<ToRunner> {
        let mut orders = Vec::new();
        let mut state = self.shared.lock();
        for sent in state.batches.iter_mut().filter(|at| at.number.is_some()) {
            let (job, lease) = (sent.batch.job, sent.batch.lease);
            if !sent.revoking.is_empty() {
                let tasks = std::mem::take(&mut sent.revoking);
                orders.push(ToRunner::Revoke(Revoke { job, lease, tasks }));
            }
            if let Some(by) = sent.cancelled_by.clone().filter(|_| !sent.cancel_sent) {
                sent.cancel_sent = true;
                orders.push(ToRunner::Cancel(Cancel { job, by }));
            }
        }
        orders
    }

    /// Gives back what came, as far as it was asked for: a runner is not believed more than that.
    async fn receive(&self, envelope: Envelope<FromRunner>) -> Result<(), Closed> {
        let event = {
            let mut state = self.shared.lock();
            let event = match envelope.message {
                FromRunner::Results(results) => state.sent(results.batch).and_then(|sent| {
                    accept(sent, &results.block)
                        .then_some(SlotEvent::Results(results.block, envelope.payload))
                }),
                FromRunner::Returned(told) => state.sent(told.batch).and_then(|sent| {
                    let tasks: Vec<_> =
                        told.tasks.into_iter().filter(|range| sent.take(*range)).collect();
                    (!tasks.is_empty()).then(|| returned(&sent.batch, tasks))
                }),
            };
            state.settle();
            event
        };
        self.give(event).await
    }

    /// Kills a runner that has let its task run far over the deadline, or is stuck.
    fn watch(&self, session: &mut Session) {
        let mut state = self.shared.lock();
        let now_us = now_us();
        let overdue = match session.runner.board.shown() {
            None => state.any_sent() && now_us.saturating_sub(session.heard_us) > SILENT_US,
            Some(shown) => state.sent(shown.batch).is_some_and(|sent| {
                let deadline_us = sent.batch.spec.limits.deadline.0.saturating_mul(1_000);
                now_us.saturating_sub(shown.started_us) > deadline_us.saturating_add(OVERDUE_US)
            }),
        };
        if overdue {
            session.runner.kill();
        }
    }

    /// Sorts out what a dead runner had.
    async fn died(&self, reason: &str, deaths: &mut u32, spoke: bool) -> Over {
        *deaths = if spoke { 0 } else { *deaths + 1 };
        tracing::warn!(reason, "a runner died");
        let mut events = vec![SlotEvent::Died { reason: reason.to_owned() }];
        {
            let mut state = self.shared.lock();
            events.extend(blame(&mut state, reason));
            if *deaths >= DEATHS_MAX {
                let lost = Outcome::Lost(reason.to_owned());
                for outstanding in &mut state.batches {
                    let left = std::mem::take(&mut outstanding.left);
                    events
                        .extend(left.iter().map(|range| unrun(&outstanding.batch, *range, &lost)));
                }
            }
            state.settle();
            state.unsend();
        }
        if self.give(events).await.is_err() {
            return Over::Stopped;
        }
        if !spoke {
            select! {
                () = sleep(RESTART_WAIT) => {}
                () = self.stop.cancelled() => return Over::Stopped,
            }
        }
        Over::Died
    }

    async fn give(&self, events: impl IntoIterator<Item = SlotEvent>) -> Result<(), Closed> {
        for event in events {
            select! {
                sent = self.events.send(event) => sent.map_err(|_| Closed)?,
                () = self.stop.cancelled() => return Err(Closed),
            }
        }
        Ok(())
    }
}

/// Nobody takes the slot's events any more.
struct Closed;

/// The message that runs what is left of a batch, which is one run of neighbours.
fn run(outstanding: &Outstanding, number: u64) -> Option<Envelope<ToRunner>> {
    let batch = &outstanding.batch;
    let left = outstanding.left.first()?;
    let skip = left.first - batch.first;
    // Lengths and payload were checked when the batch was queued.
    let (inputs, payload) = batch.inputs.slice(&batch.payload, skip, left.count).ok()?;
    let message = ToRunner::Run(Box::new(Run {
        batch: number,
        job: batch.job,
        lease: batch.lease,
        attempt: batch.attempt,
        worker: batch.worker,
        spec: (*batch.spec).clone(),
        first: left.first,
        inputs,
    }));
    Some(Envelope { message, payload })
}

/// Takes the results out of what is left; false where one of them was not asked for.
fn accept(sent: &mut Outstanding, block: &ResultBlock) -> bool {
    let batch = &sent.batch;
    let expected = (batch.job, batch.lease, batch.worker, batch.attempt);
    (block.job, block.lease, block.worker, block.attempt) == expected
        && runs(block).into_iter().all(|range| sent.take(range))
}

/// The runs of neighbours in a block.
fn runs(block: &ResultBlock) -> Vec<TaskRange> {
    let mut runs: Vec<TaskRange> = Vec::new();
    for result in &block.results {
        match runs.last_mut() {
            Some(last) if last.end() == result.index => last.count += 1,
            _ => runs.push(TaskRange { first: result.index, count: 1 }),
        }
    }
    runs
}

/// The task that ran when the runner died, as lost.
fn blame(state: &mut State, reason: &str) -> Option<SlotEvent> {
    let shown = state.board.take()?.shown()?;
    let sent = state.sent(shown.batch)?;
    let range = TaskRange { first: shown.index, count: 1 };
    let lost = Outcome::Lost(reason.to_owned());
    sent.take(range).then(|| unrun(&sent.batch, range, &lost))
}

fn returned(batch: &SlotBatch, tasks: Vec<TaskRange>) -> SlotEvent {
    SlotEvent::Returned { job: batch.job, lease: batch.lease, tasks }
}

/// Results of tasks that were not run to their end.
fn unrun(batch: &SlotBatch, range: TaskRange, outcome: &Outcome) -> SlotEvent {
    let result = |index| ResultMeta {
        index,
        outcome: outcome.clone(),
        usage: Usage::default(),
        output_len: 0,
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    };
    let block = ResultBlock {
        job: batch.job,
        lease: batch.lease,
        worker: batch.worker,
        attempt: batch.attempt,
        results: (range.first..range.end()).map(result).collect(),
    };
    SlotEvent::Results(block, bytes::Bytes::new())
}
