//! The shell around the driver: the one task that feeds it events and carries its effects out. It
//! has the links' queues, the clock and the services, and waits for nothing but the next event.

mod hands;

use std::{collections::BTreeSet, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{self, Clock},
    driver::{Driver, Effect, Event, Now, TURN_EVENTS},
    enroll::Notice,
    error::ServerError,
    inbox::{Inbox, Most},
    journal::{Extent, Progress},
    links::Heard,
};
pub(crate) use hands::{Hands, Services};

/// The longest that the shell sleeps: a clock that was set back must not hold a deadline for
/// longer.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What one turn takes of what links say. The cost is about 10 ms of work: whoever comes during a
/// turn waits for the rest of it, and then for its own turn.
const HEARD: Most = Most { messages: TURN_EVENTS, cost: 1_024 };

/// Where events come from.
pub(crate) struct Inboxes {
    /// What links say, in turns of their parties; not taken while too much is uncommitted.
    pub heard: Inbox<Heard>,
    /// What services have done: always taken, as what follows.
    pub done: mpsc::Receiver<Event>,
    /// What the journal has done.
    pub progress: mpsc::Receiver<Progress>,
    /// What the enroller needs.
    pub notices: mpsc::Receiver<Notice>,
}

/// See the module's text.
pub(crate) struct Shell {
    driver: Driver,
    clock: Clock,
    hands: Hands,
    inboxes: Inboxes,
    /// Room for what is taken from links.
    heard: Vec<Heard>,
    /// What the next turn takes.
    events: Vec<Event>,
    /// How large the journal is, as its thread last reported.
    extent: Extent,
    /// Who waits until the core knows the keys of labels that a token vouches for.
    vouching: Vec<oneshot::Sender<()>>,
}

impl Shell {
    pub(crate) fn new(
        driver: Driver,
        clock: Clock,
        hands: Hands,
        inboxes: Inboxes,
        extent: Extent,
    ) -> Self {
        let events = Vec::with_capacity(2 * TURN_EVENTS);
        let (heard, vouching) = (Vec::with_capacity(TURN_EVENTS), Vec::new());
        Self { driver, clock, hands, inboxes, heard, events, extent, vouching }
    }

    /// Runs until `stop`, or until the store fails. What was taken by then is committed and
    /// answered.
    ///
    /// # Errors
    /// [`ServerError`], if the store failed.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), ServerError> {
        while self.driver.failure().is_none() && !stop.is_cancelled() {
            self.turn();
            let (sleep, listens) = (self.sleep(), self.driver.listens());
            let inboxes = &mut self.inboxes;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                progress = inboxes.progress.recv() => self.progress(progress),
                Some(event) = inboxes.done.recv() => self.events.push(event),
                Some(notice) = inboxes.notices.recv() => self.notice(notice),
                () = inboxes.heard.filled(), if listens => {}
                () = self.hands.wait_for_journal() => {}
                () = tokio::time::sleep(sleep) => {}
            }
            self.gather(listens);
        }
        self.turn();
        self.finish().await
    }

    /// Takes what else has come.
    fn gather(&mut self, listens: bool) {
        while let Ok(progress) = self.inboxes.progress.try_recv() {
            self.progress(Some(progress));
        }
        while self.events.len() < TURN_EVENTS
            && let Ok(event) = self.inboxes.done.try_recv()
        {
            self.events.push(event);
        }
        if listens {
            self.inboxes.heard.take(HEARD, &mut self.heard);
            let (hands, heard) = (&mut self.hands, self.heard.drain(..));
            self.events.extend(heard.map(|heard| hands.link(heard)));
        }
    }

    /// The journal's thread has done something, or is gone.
    fn progress(&mut self, progress: Option<Progress>) {
        if let Some(Progress::Committed { extent, .. } | Progress::Compacted { extent }) = progress
        {
            self.extent = extent;
        }
        self.events.extend(event_of(progress));
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::WorkerNames(asker) => {
                let names: BTreeSet<String> = self.driver.worker_names().cloned().collect();
                // The asker may have gone.
                let _ = asker.send(names);
            }
            Notice::KeysVouched(keys, asker) => {
                self.events.push(Event::KeysVouched(keys));
                self.vouching.push(asker);
            }
            Notice::RenewSoon { names } => self.events.push(Event::RenewSoon { names }),
        }
    }

    fn turn(&mut self) {
        let now = Now { time: self.clock.now(), date: clock::date() };
        self.driver.turn(now, self.events.drain(..));
        self.carry_out();
        for asker in self.vouching.drain(..) {
            // As above.
            let _ = asker.send(());
        }
    }

    fn carry_out(&mut self) {
        for effect in self.driver.effects() {
            match effect {
                Effect::Count { link, id, counted } => {
                    let waiting = self.inboxes.heard.waiting() as u64;
                    let journal =
                        (self.extent.snapshot_bytes as u64, self.extent.tail_bytes as u64);
                    let reply = Ok(counted.complete(waiting, journal));
                    self.events.push(Event::Answer { link, id, reply });
                }
                effect => self.hands.carry_out(effect),
            }
        }
        self.hands.write();
    }

    /// How long nothing is to be done unless something comes.
    fn sleep(&self) -> Duration {
        if !self.events.is_empty() {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let wait = self.driver.poll_timeout().map(|at| at.0.saturating_sub(now.0));
        wait.map_or(SLEEP_MAX, Duration::from_micros).min(SLEEP_MAX)
    }

    /// Commits what was taken and answers it; the store's thread ends after that.
    async fn finish(mut self) -> Result<(), ServerError> {
        self.driver.finish();
        self.carry_out();
        self.hands.write_all().await;
        while self.driver.failure().is_none() && !self.driver.is_settled() {
            if let Some(event) = event_of(self.inboxes.progress.recv().await) {
                self.driver.wind_down(event);
            }
            self.carry_out();
        }
        self.driver.last_words();
        self.carry_out();
        self.driver.failure().cloned().map_or(Ok(()), Err)
    }
}

/// What the journal's thread has done, or that it is gone, as far as the driver needs to know.
fn event_of(progress: Option<Progress>) -> Option<Event> {
    Some(match progress {
        Some(Progress::Committed { number, .. }) => Event::Committed { number },
        Some(Progress::Compacted { .. }) => return None,
        Some(Progress::Halted(halt)) => Event::StoreHalted(halt),
        Some(Progress::Failed(error)) => Event::JournalFailed(error),
        None => Event::JournalFailed(ServerError::Writer),
    })
}
