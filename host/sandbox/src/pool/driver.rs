//! Drives one slot: keeps a runner alive, sends it what the slot has taken, gives back what comes.
//!
//! What a runner leaves that dies or is killed is sorted out here: the task that ran comes back as
//! lost, or as over its deadline where that is why the runner was killed; what had come stays, and
//! the rest is sent to the next runner, under the same lease.

use std::{future, io, pin::pin, sync::Arc, time::Duration};

use tokio::{
    select,
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use wasmgrid_proto::{
    Outcome,
    frame::{Envelope, FrameError},
};

use super::{
    PoolConfig, SlotBatch, SlotEvent,
    ends::Why,
    overdue::{Check, Overdue, check},
    results::{accept, blame, run},
    session::{Parked, Session},
    shared::Shared,
    spare::Spares,
};
use crate::{
    Isolation,
    run::board::Board,
    runner::message::{Cancel, FromRunner, Revoke, ToRunner},
    time::now_us,
};

/// For what a killed runner had sent before: it is in the socket already.
const LAST_WORDS: Duration = Duration::from_millis(10);

/// Runners that died in a row without a word, before what they were to run comes back as lost:
/// then it is the machine, or the module kills what loads it.
const DEATHS_MAX: u32 = 3;

/// Before a runner is started in place of one that never said a word.
const RESTART_WAIT: Duration = Duration::from_millis(200);

/// The death of a runner that did not answer.
const STUCK: &str = "the runner did not respond and was killed";

/// One slot's driver.
pub(super) struct Driver {
    pub(super) config: Arc<PoolConfig>,
    pub(super) shared: Arc<Shared>,
    pub(super) events: mpsc::Sender<SlotEvent>,
    pub(super) stop: CancellationToken,
    pub(super) spares: Spares,
}

/// Why a session is over.
enum SessionEnd {
    /// The slot is shut down, or nobody takes its events.
    Stopped,
    /// The tenant changes, or the runner has served its time: the next batch gets another one.
    Retired,
    Died,
    /// The runner has to be killed.
    Killed(Overdue),
}

impl Driver {
    /// Drives until the slot is stopped.
    pub(super) async fn run(self) {
        let (mut deaths, mut parked) = (0, Parked::default());
        while let Some(session) = self.next_session(&mut parked).await {
            if matches!(self.session(session, &mut parked, &mut deaths).await, SessionEnd::Stopped)
            {
                break;
            }
        }
        self.shared.close();
        parked.end().await;
    }

    /// The runner for what comes next; `None` where the slot is stopped.
    async fn next_session(&self, parked: &mut Parked) -> Option<Session> {
        let tenant = self.shared.lock().unsent().map(|next| next.batch.spec.tenant.clone());
        let found = tenant.and_then(|tenant| parked.take(&tenant));
        parked.trim();
        if found.is_some() {
            return found;
        }
        let mut started = pin!(self.spares.take());
        let mut run_out = false;
        loop {
            select! {
                started = &mut started => return started.map(Session::new),
                never = parked.tidy() => match never {},
                // Where none can be started it may take long.
                () = self.shared.changed.notified() => self.give_back_unsent().await.ok()?,
                () = self.spares.run_out(), if !run_out => {
                    run_out = true;
                    parked.leave_all();
                }
                () = self.stop.cancelled() => return None,
            }
        }
    }

    async fn session(
        &self,
        mut session: Session,
        parked: &mut Parked,
        deaths: &mut u32,
    ) -> SessionEnd {
        self.shared.lock().serve(&session.runner);
        let over = select! {
            over = self.converse(&mut session) => over,
            never = parked.tidy() => match never {},
            () = self.stop.cancelled() => SessionEnd::Stopped,
        };
        match over {
            SessionEnd::Died => {
                // Also whether it was ready may be in the socket still.
                let heard = timeout(LAST_WORDS, self.hear_out(&mut session)).await;
                if matches!(heard, Ok(Err(Closed))) {
                    parked.leave(session);
                    return SessionEnd::Stopped;
                }
                let was_ready = session.runner.is_ready();
                let reason = session.runner.end().await;
                if !was_ready {
                    tracing::debug!(reason, "a runner ended before it was ready");
                    return self.never_ready();
                }
                self.config.ends.count(Why::Died);
                self.died(&reason, deaths, session.spoke).await
            }
            SessionEnd::Killed(overdue) => {
                session.runner.kill();
                let heard = timeout(LAST_WORDS, self.hear_out(&mut session)).await;
                let was_ready = session.runner.is_ready();
                parked.leave(session);
                if matches!(heard, Ok(Err(Closed))) {
                    return SessionEnd::Stopped;
                }
                if !was_ready {
                    return self.never_ready();
                }
                self.killed(overdue, deaths).await
            }
            SessionEnd::Retired => {
                parked.park(session, &self.config);
                over
            }
            SessionEnd::Stopped => {
                parked.leave(session);
                over
            }
        }
    }

    /// Talks with one runner until it, its tenant or the slot is over.
    async fn converse(&self, session: &mut Session) -> SessionEnd {
        let board = Arc::clone(&session.runner.board);
        loop {
            if self.give_back_unsent().await.is_err() {
                return SessionEnd::Stopped;
            }
            let heard_us = now_us();
            select! {
                // Also writing to a runner may wait for it.
                sent = self.send(session) => if let Err(over) = sent {
                    return over;
                },
                overdue = self.overdue(&board, heard_us) => return SessionEnd::Killed(overdue),
            }
            select! {
                received = session.runner.receive() => match received {
                    Ok(Some(envelope)) => {
                        session.spoke = true;
                        if self.receive(envelope).await.is_err() {
                            return SessionEnd::Stopped;
                        }
                    }
                    Ok(None) | Err(_) => {
                        session.runner.kill();
                        return SessionEnd::Died;
                    }
                },
                () = self.shared.changed.notified() => {}
                overdue = self.overdue(&board, heard_us) => return SessionEnd::Killed(overdue),
            }
        }
    }

    /// Ends once the runner has to be killed: its task is over its time, or it is stuck.
    async fn overdue(&self, board: &Board, heard_us: u64) -> Overdue {
        if self.config.isolation == Isolation::InProcess {
            // A thread cannot be killed.
            return future::pending().await;
        }
        loop {
            let seen = check(&mut self.shared.lock(), board, heard_us, now_us());
            match seen {
                Check::Overdue(overdue) => return overdue,
                Check::Again { in_us } => sleep(Duration::from_micros(in_us)).await,
                // What changes that wakes the driver.
                Check::Idle => return future::pending().await,
            }
        }
    }

    /// Takes what the runner had sent before it was killed.
    async fn hear_out(&self, session: &mut Session) -> Result<(), Closed> {
        while let Ok(Some(envelope)) = session.runner.receive().await {
            session.spoke = true;
            self.receive(envelope).await?;
        }
        Ok(())
    }

    /// Gives back what was cancelled or revoked before any runner had it.
    async fn give_back_unsent(&self) -> Result<(), Closed> {
        self.give(self.shared.take_back_unsent()).await
    }

    /// Sends the runner all that is new, in order.
    async fn send(&self, session: &mut Session) -> Result<(), SessionEnd> {
        while let Some((envelope, batch)) = self.next_run(session)? {
            match session.runner.send_with(envelope, &batch.prepared.files()).await {
                Ok(()) => {}
                Err(error) if is_unsendable(&error) => {
                    let number = session.next_number - 1;
                    self.refuse(number, &error).await.map_err(|Closed| SessionEnd::Stopped)?;
                }
                Err(_) => return Err(SessionEnd::Died),
            }
        }
        for order in self.next_orders() {
            session.runner.send(order.into()).await.map_err(|_| SessionEnd::Died)?;
        }
        Ok(())
    }

    /// Ends what is left of a batch that no frame can carry to a runner: no other could be sent it
    /// either, and this one is as good as it was.
    async fn refuse(&self, number: u64, why: &io::Error) -> Result<(), Closed> {
        let outcome = Outcome::Refused(format!("it cannot be sent to a runner: {why}"));
        let events: Vec<_> = {
            let mut state = self.shared.lock();
            let events = state.sent(number).map(|sent| sent.end_all(&outcome));
            state.settle();
            events.unwrap_or_default()
        };
        self.give(events).await
    }

    /// The next batch that no runner has; none while this runner shall get no more, and still has
    /// something.
    fn next_run(
        &self,
        session: &mut Session,
    ) -> Result<Option<(Envelope<ToRunner>, SlotBatch)>, SessionEnd> {
        let mut state = self.shared.lock();
        let any_sent = state.any_sent();
        let Some(unsent) = state.unsent() else {
            return Ok(None);
        };
        let tenant = &unsent.batch.spec.tenant;
        if session.is_over_for(tenant, &self.config) {
            return if any_sent { Ok(None) } else { Err(SessionEnd::Retired) };
        }
        session.tenant.get_or_insert_with(|| tenant.clone());
        let number = session.next_number;
        session.next_number += 1;
        session.used += 1;
        session.tasks += unsent.tasks.left().first().map_or(0, |left| left.count);
        unsent.number = Some(number);
        Ok(run(unsent, number).map(|envelope| (envelope, unsent.batch.clone())))
    }

    /// Cancellations and revocations of what the runner has.
    fn next_orders(&self) -> Vec<ToRunner> {
        let mut orders = Vec::new();
        let mut state = self.shared.lock();
        for sent in state.batches.iter_mut().filter(|at| at.number.is_some()) {
            let (job, lease) = (sent.batch.job, sent.batch.lease);
            let unsent = std::mem::take(&mut sent.unsent);
            if unsent.recall && !sent.tasks.recalled().is_empty() {
                let tasks = sent.tasks.recalled().to_vec();
                orders.push(ToRunner::Revoke(Revoke { job, lease, tasks }));
            }
            if let Some(by) = sent.tasks.cancelled_by().filter(|_| unsent.cancel) {
                orders.push(ToRunner::Cancel(Cancel { job, by: by.to_owned() }));
            }
        }
        orders
    }

    /// Gives back what came, as far as it was asked for: a runner is not believed more than that.
    async fn receive(&self, envelope: Envelope<FromRunner>) -> Result<(), Closed> {
        let event = {
            let mut state = self.shared.lock();
            let event = match envelope.message {
                FromRunner::Ready(_) | FromRunner::Unfit(_) => None,
                FromRunner::Results(results) => state.sent(results.batch).and_then(|sent| {
                    accept(sent, &results.block)
                        .then_some(SlotEvent::Results(results.block, envelope.payload))
                }),
                FromRunner::Returned(told) => state.sent(told.batch).and_then(|sent| {
                    let tasks: Vec<_> =
                        told.tasks.into_iter().filter(|range| sent.take(*range)).collect();
                    (!tasks.is_empty()).then(|| sent.batch.returned(tasks))
                }),
            };
            state.settle();
            event
        };
        self.give(event).await
    }

    /// Takes back what a runner was sent that could not begin: neither is to blame, and the next one
    /// comes once it is known that runners start.
    fn never_ready(&self) -> SessionEnd {
        self.config.ends.count(Why::Unready);
        let mut state = self.shared.lock();
        state.unserve();
        state.unsend();
        drop(state);
        self.spares.doubt();
        SessionEnd::Died
    }

    /// Sorts out what a dead runner had.
    async fn died(&self, reason: &str, deaths: &mut u32, spoke: bool) -> SessionEnd {
        *deaths = if spoke { 0 } else { *deaths + 1 };
        tracing::warn!(reason, "a runner died");
        let mut events = vec![SlotEvent::Died { reason: reason.to_owned() }];
        {
            let mut state = self.shared.lock();
            events.extend(blame(&mut state, reason));
            if *deaths >= DEATHS_MAX {
                let lost = Outcome::Lost(reason.to_owned());
                events.extend(state.batches.iter_mut().flat_map(|taken| taken.end_all(&lost)));
            }
            state.settle();
            state.unsend();
        }
        if self.give(events).await.is_err() {
            return SessionEnd::Stopped;
        }
        if !spoke {
            self.spares.doubt();
            select! {
                () = sleep(RESTART_WAIT) => {}
                () = self.stop.cancelled() => return SessionEnd::Stopped,
            }
        }
        SessionEnd::Died
    }

    /// Sorts out what a runner had that was killed.
    async fn killed(&self, overdue: Overdue, deaths: &mut u32) -> SessionEnd {
        let Overdue::Task { batch, task, usage, outcome } = overdue else {
            self.config.ends.count(Why::Stuck);
            return self.died(STUCK, deaths, false).await;
        };
        self.config.ends.count(Why::Overdue);
        *deaths = 0;
        tracing::debug!(%outcome, "a runner was killed to end its task");
        let event = {
            let mut state = self.shared.lock();
            state.unserve();
            let event = state
                .sent(batch)
                .and_then(|sent| sent.take(task).then(|| sent.batch.unrun(task, &outcome, usage)));
            state.settle();
            state.unsend();
            event
        };
        match self.give(event).await {
            Ok(()) => SessionEnd::Retired,
            Err(Closed) => SessionEnd::Stopped,
        }
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

/// Whether a message was not written since no frame can carry it.
fn is_unsendable(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<FrameError>())
}

/// Nobody takes the slot's events any more.
struct Closed;
