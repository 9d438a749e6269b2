//! What carries effects out: each goes to a link, to the journal or to a service, whose answer
//! comes back as an event.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use wasmgrid_proto::{
    Act, AuditAction, Caller,
    wire::{ApiError, Reply, ToClient, ToWorker},
};

use crate::{
    admit::Admitter,
    driver::{Ask, Effect, Event, KeyAsk, LinkId, LogScan, Put, act_on_authority},
    enroll::{Enroller, unreadable},
    journal::Write,
    links::{Heard, Line},
    readers::Readers,
};

/// Writes beyond the journal's own queue that wait for it. The driver hands over only so many
/// batches; of what need not be kept, what is over this is not.
const WRITES_MAX: usize = 1_024;

/// See the module's text.
pub(crate) struct Hands {
    workers: BTreeMap<LinkId, Line<ToWorker>>,
    clients: BTreeMap<LinkId, Line<ToClient>>,
    writes: mpsc::Sender<Write>,
    /// What waits for room in the journal's queue.
    waiting: VecDeque<Write>,
    services: Services,
}

/// What works off the driver.
pub(crate) struct Services {
    pub(crate) readers: Readers,
    pub(crate) admitter: Admitter,
    pub(crate) enroller: Arc<Enroller>,
    pub(crate) tasks: TaskTracker,
    /// Where its answers go.
    pub(crate) done: mpsc::Sender<Event>,
}

impl Hands {
    pub(crate) fn new(writes: mpsc::Sender<Write>, services: Services) -> Self {
        let (workers, clients) = (BTreeMap::new(), BTreeMap::new());
        Self { workers, clients, writes, waiting: VecDeque::new(), services }
    }

    /// Keeps the queues of links that begin, and forgets those of links that have ended.
    pub(crate) fn link(&mut self, heard: Heard) -> Event {
        match heard {
            Heard::Worker(event, line) => {
                if let Event::WorkerLinked { link, .. } = &event {
                    self.workers.insert(*link, line);
                }
                event
            }
            Heard::Client(event, line) => {
                if let Event::ClientLinked { link, .. } = &event {
                    self.clients.insert(*link, line);
                }
                event
            }
            Heard::Event(event) => {
                if let Event::Unlinked { link, .. } = &event {
                    self.hang_up(*link);
                }
                event
            }
        }
    }

    fn hang_up(&mut self, link: LinkId) {
        self.workers.remove(&link);
        self.clients.remove(&link);
    }

    pub(crate) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::ToWorker(link, queued) => {
                if let Some(line) = self.workers.get(&link) {
                    line.say(queued);
                }
            }
            Effect::ToClient(link, queued) => {
                if let Some(line) = self.clients.get(&link) {
                    line.say(queued);
                }
            }
            Effect::Close { link, closing } => {
                if let Some(line) = self.workers.remove(&link) {
                    line.close(closing);
                } else if let Some(line) = self.clients.remove(&link) {
                    line.close(closing);
                }
            }
            Effect::HangUp { link } => self.hang_up(link),
            Effect::Commit(batch) => self.waiting.push_back(Write::Batch(batch)),
            Effect::Keep(entries) if self.waiting.len() < WRITES_MAX => {
                // Nobody waits for it.
                let (done, _) = oneshot::channel();
                self.waiting.push_back(Write::Keep { by: None, entries, done });
            }
            Effect::Keep(_) => {}
            Effect::Tidy => self.waiting.push_back(Write::Tidy),
            effect => self.services.carry_out(effect),
        }
    }

    /// Gives the journal what it has room for.
    pub(crate) fn write(&mut self) {
        while !self.waiting.is_empty()
            && let Ok(permit) = self.writes.try_reserve()
            && let Some(write) = self.waiting.pop_front()
        {
            permit.send(write);
        }
    }

    /// Waits until the journal has room for what waits; for ever if nothing does.
    pub(crate) async fn wait_for_journal(&mut self) {
        if self.waiting.is_empty() || self.writes.reserve().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.write();
    }

    /// Gives the journal all that waits.
    pub(crate) async fn write_all(&mut self) {
        for write in self.waiting.drain(..) {
            // If the thread is gone, it has said why.
            let _ = self.writes.send(write).await;
        }
    }
}

impl Services {
    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Read(place) => {
                let readers = self.readers.clone();
                self.spawn(async move {
                    let found = readers.segment(place).await;
                    Some(Event::Loaded { place, found })
                });
            }
            Effect::ReadInputs { link, reading } => {
                let readers = self.readers.clone();
                self.spawn(async move {
                    let found = readers.inputs(reading).await;
                    Some(Event::InputsRead { link, reading, found })
                });
            }
            Effect::ReadModule { digest } => {
                let readers = self.readers.clone();
                self.spawn(async move {
                    let found = readers.module(digest).await;
                    Some(Event::ModuleRead { digest, found })
                });
            }
            Effect::Measure { keep_open } => {
                let readers = self.readers.clone();
                self.spawn(async move { Some(Event::Measured(readers.measure(keep_open).await)) });
            }
            Effect::ReadAudit { link, id, query } => {
                let readers = self.readers.clone();
                self.spawn(async move {
                    let reply = readers.audit_page(query).await;
                    let reply = reply.map_err(|error| unreadable(&error));
                    Some(Event::Answer { link, id, reply })
                });
            }
            Effect::AgeAudit(expiry) => {
                let readers = self.readers.clone();
                self.spawn(async move {
                    let expired = readers.expired_audits(expiry).await;
                    // It is looked through again in a minute.
                    let expired = expired.inspect_err(|error| {
                        tracing::warn!(%error, "failed to look through the audit log");
                    });
                    Some(Event::AuditAged(expired.unwrap_or_default()))
                });
            }
            Effect::LogScan(scan) => self.spawn(walked(self.readers.clone(), scan)),
            Effect::Compare(pairs) => {
                let readers = self.readers.clone();
                self.spawn(async move { readers.beside(move || pairs.compare()).await });
            }
            Effect::Admit(put) => {
                let admitter = self.admitter.clone();
                self.spawn(async move {
                    let Put { digest, link, id, .. } = put;
                    let tenant = put.tenant.clone();
                    let looked = admitter.look(put).await?;
                    Some(Event::ModuleLooked { tenant, digest, link, id, looked })
                });
            }
            Effect::Enroll(ask) => self.spawn(asked(self.enroller.clone(), ask)),
            Effect::ToWorker(..)
            | Effect::ToClient(..)
            | Effect::Close { .. }
            | Effect::HangUp { .. }
            | Effect::Commit(_)
            | Effect::Keep(_)
            | Effect::Count { .. }
            | Effect::Tidy => {}
        }
    }

    fn spawn(&self, work: impl Future<Output = Option<Event>> + Send + 'static) {
        let done = self.done.clone();
        self.tasks.spawn(async move {
            if let Some(event) = work.await {
                // The shell is gone only when the server ends.
                let _ = done.send(event).await;
            }
        });
    }
}

async fn walked(readers: Readers, scan: LogScan) -> Option<Event> {
    let LogScan { job, end, search, log_key } = scan;
    let search = readers.walk_back(job, end, search).await.ok();
    let log = match log_key {
        Some(key) => readers.meta(key).await.ok().flatten(),
        None => None,
    };
    Some(Event::Walked { search, log })
}

async fn asked(enroller: Arc<Enroller>, ask: Ask) -> Option<Event> {
    let (link, id, reply) = match ask {
        Ask::Note { key } => {
            if let Err(error) = enroller.note(key).await {
                tracing::debug!(%error, "a member that is linked was not written down");
            }
            return None;
        }
        Ask::RenewWorker { link, peer, renew } => {
            let answer = enroller.renew(&peer, &renew).await;
            return Some(Event::Renewed { link, answer });
        }
        Ask::Tokens { link, id, after } => {
            let found = enroller.tokens(after).await;
            return Some(Event::TokensRead { link, id, found });
        }
        Ask::Remove { link, id, by, key, is_known } => {
            let act = Act::removal(key.0, &key.1);
            let removed = enroller.remove((&*by, act.clone()), key.clone(), is_known).await;
            return Some(match removed {
                Ok(()) => Event::MemberRemoved { link, id, key },
                Err(error) => refused((link, id), by, act, error),
            });
        }
        Ask::RenewClient { link, id, peer, renew } => {
            (link, id, enroller.renew(&peer, &renew).await.map(Reply::Renewed))
        }
        Ask::Authority { link, id, peer, by, asked } => {
            let act = act_on_authority(&asked);
            let reply = enroller.authority((&peer, &*by), asked).await;
            return Some(done((link, id), by, act, reply));
        }
        Ask::CreateToken { link, id, by, token, gives } => {
            let act = Act::new_token(&token, &gives);
            let reply = enroller.create((&*by, act.clone()), token, gives).await.map(Reply::Token);
            return Some(done((link, id), by, Some(act), reply));
        }
        Ask::Key { link, id, by, asked } => {
            let act = act_on_keys(&asked);
            let reply = enroller.key(&by, asked).await;
            return Some(done((link, id), by, act, reply));
        }
        Ask::RevokeToken { link, id, by, token } => {
            let act = Act::on_token(AuditAction::RevokeToken, token);
            let reply = enroller.revoke((&*by, act.clone()), token).await.map(|()| Reply::Done);
            return Some(done((link, id), by, Some(act), reply));
        }
    };
    Some(Event::Answer { link, id, reply })
}

/// What is asked of keys, if it belongs in the audit log also if it is refused. A gateway checks keys of
/// anybody: that is in its own log.
fn act_on_keys(asked: &KeyAsk) -> Option<Act> {
    match asked {
        KeyAsk::Create { tenant, role, name, ttl } => {
            Some(Act::new_key(tenant, *role, name.as_deref(), *ttl))
        }
        KeyAsk::Revoke { key } => Some(Act::on_key(AuditAction::RevokeKey, *key)),
        KeyAsk::List { .. } | KeyAsk::Check { .. } | KeyAsk::CreateLogin | KeyAsk::Login { .. } => {
            None
        }
    }
}

/// What became of a request, which is in the audit log if it was done.
fn done(
    (link, id): (LinkId, u64),
    by: Arc<Caller>,
    act: Option<Act>,
    reply: Result<Reply, ApiError>,
) -> Event {
    match (reply, act) {
        (Err(error), Some(act)) => refused((link, id), by, act, error),
        (reply, _) => Event::Answer { link, id, reply },
    }
}

fn refused((link, id): (LinkId, u64), by: Arc<Caller>, act: Act, error: ApiError) -> Event {
    Event::Refused { link, id, by, act: Box::new(act), error }
}
