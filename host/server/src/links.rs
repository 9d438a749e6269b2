//! The tasks of one link: what comes goes to the driver, what the driver says goes out. A link
//! waits for the driver, the driver never for a link.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmgrid_net::{Account, Link, Peer, Receiver, Reservation, Sender};
use wasmgrid_proto::{
    frame::Envelope,
    wire::{Message, ToClient, ToWorker},
};

use crate::{
    blocking::Blocking,
    driver::{
        Closing, Content, Ending, Event, IdentityLinks, LinkId, Meter, OUTBOX_MESSAGES, Outbox,
        Queued, outbox,
    },
    inbox::{Entrance, LaneSender, Party, cost},
    staging::Staging,
};

/// Payload bytes of all links of one kind inside this process that the driver has not taken: the
/// largest message and some. Beyond it links wait, so that a slow disk does not fill the memory.
/// Links from elsewhere have the budgets of their identities for that.
pub(crate) const HEARD_BYTES: usize = 96 << 20;

/// Which links share [`HEARD_BYTES`]: results that wait for room on the disk must not keep
/// clients from being told so.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Room {
    Worker,
    Client,
}

/// What comes of links.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A worker's link begins; what is said on it goes into this.
    Worker(Event, Line<ToWorker>),
    /// The same of a client's.
    Client(Event, Line<ToClient>),
    /// Anything else.
    Event(Event),
}

/// The shell's end of a link.
#[derive(Debug)]
pub(crate) struct Line<M> {
    queue: mpsc::Sender<Queued<M>>,
    close: oneshot::Sender<Closing>,
}

impl<M> Line<M> {
    /// Queues a message to be sent. There is room: the driver counts what is queued.
    pub(crate) fn say(&self, queued: Queued<M>) {
        // A closed queue is a link that ends; its end is an event of its own.
        let _ = self.queue.try_send(queued);
    }

    /// Ends the link; what is queued is not sent.
    pub(crate) fn close(self, closing: Closing) {
        // As above.
        let _ = self.close.send(closing);
    }
}

/// A payload of so many bytes is hashed on a thread beside the runtime: it takes longer than the way
/// there and back.
const HASHED_BESIDE: usize = 256 << 10;

/// What the links of each account share: of an identity, or of a gateway for one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities(Arc<Mutex<BTreeMap<Account, Weak<IdentityLinks>>>>);

impl Identities {
    fn of(&self, account: Account) -> Arc<IdentityLinks> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kin) = known.get(&account).and_then(Weak::upgrade) {
            return kin;
        }
        // Those whose links have all ended are forgotten here.
        known.retain(|_, kin| kin.strong_count() > 0);
        let kin = Arc::new(IdentityLinks::default());
        known.insert(account, Arc::downgrade(&kin));
        kin
    }
}

/// How often the driver hears that a link waits for its own data to be written: it is not silent.
const STAGING_SIGN: Duration = Duration::from_secs(1);

/// Why links end with the server.
const STOPPING: &str = "the scheduler is stopping";

/// What is made of what comes on a link.
pub(crate) struct Ears<In, F> {
    /// What is hashed of a message before the driver hears of it; empty if nothing is.
    pub hashed: fn(&Envelope<In>) -> &Bytes,
    /// The large data of a message, which is written before the driver hears of it.
    pub large: fn(&Envelope<In>) -> Vec<Bytes>,
    /// What a message is with that digest, and what it costs.
    pub heard: F,
}

/// Where payloads are hashed before the driver hears of them.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    pub tasks: TaskTracker,
    pub blocking: Blocking,
}

/// Where the tasks of links tell what happens.
#[derive(Clone, Debug)]
pub(crate) struct LinkContext {
    /// What links say: bounded for each party, and not taken while the driver has too much to
    /// commit.
    pub heard: Entrance<Heard>,
    /// [`HEARD_BYTES`] of workers' links, as far as they are free.
    pub worker_room: Arc<Semaphore>,
    /// The same of clients' links.
    pub client_room: Arc<Semaphore>,
    pub identities: Identities,
    pub hasher: Hasher,
    /// What the driver waits for: always taken.
    pub done: mpsc::Sender<Event>,
    /// Where large data goes before the driver has it.
    pub staging: Option<Staging>,
    /// No link is served from now on; those that are end when the driver has said its last.
    pub stop: CancellationToken,
    /// Ends all links at once.
    pub cut: CancellationToken,
}

/// Serves a link until it, the driver or the server ends it. What comes of it takes its turn among
/// what comes of others of the same `party`.
pub(crate) async fn serve<Out: Message, In: Message>(
    context: LinkContext,
    id: LinkId,
    link: Link<Out, In>,
    (party, room): (Party, Room),
    announce: impl FnOnce(Outbox, Peer, Line<Out>) -> Heard,
    ears: Ears<In, impl Fn(Envelope<In>, Content, Option<Reservation>) -> (u32, Event)>,
) {
    let Link { sender, receiver, peer } = link;
    let lane = context.heard.sender(party.clone());
    let kin = context.identities.of(peer.account());
    let room = match room {
        Room::Worker => &context.worker_room,
        Room::Client => &context.client_room,
    };
    let staging = context.staging.as_ref();
    let stager = Stager { staging, large: ears.large, lane: &lane, party: &party, link: id };
    let (outbox, meter) = outbox(kin.clone());
    let (queue, queued) = mpsc::channel(OUTBOX_MESSAGES);
    let (close, closed) = oneshot::channel();
    let line = Line { queue, close };
    if lane.send(cost::BEGIN, announce(outbox, peer, line)).await.is_err() {
        return sender.close(STOPPING);
    }
    let reason = tokio::select! {
        biased;
        // First: the queue goes with it, which the writer would take for an end in order.
        reason = closing(closed, &sender) => reason,
        reason = read(receiver, room, (&stager, &context.hasher), ears) => reason,
        reason = write(&sender, (queued, meter), &context.done, id) => reason,
        () = context.cut.cancelled() => STOPPING.into(),
    };
    sender.close(&reason);
    // After all that was heard of the link. The driver is gone only when the server ends.
    let _ = lane.send(cost::LIGHT, Heard::Event(Event::Unlinked { link: id, reason, kin })).await;
}

/// Has the large data of a link's messages written before the driver hears of them.
struct Stager<'a, In> {
    staging: Option<&'a Staging>,
    /// Says which data that is.
    large: fn(&Envelope<In>) -> Vec<Bytes>,
    lane: &'a LaneSender<Heard>,
    /// With whom it takes turns.
    party: &'a Party,
    link: LinkId,
}

impl<In> Stager<'_, In> {
    async fn stage(&self, envelope: &Envelope<In>) {
        let Some(staging) = self.staging else { return };
        if !staging.may_stage(envelope.payload.len()) {
            return;
        }
        for data in (self.large)(envelope) {
            let mut staged = std::pin::pin!(staging.stage(self.party, data));
            while tokio::time::timeout(STAGING_SIGN, &mut staged).await.is_err() {
                let event = Heard::Event(Event::Staging { link: self.link });
                let _ = self.lane.send(cost::LIGHT, event).await;
            }
        }
    }
}

async fn read<In: Message>(
    mut receiver: Receiver<In>,
    room: &Arc<Semaphore>,
    (stager, hasher): (&Stager<'_, In>, &Hasher),
    ears: Ears<In, impl Fn(Envelope<In>, Content, Option<Reservation>) -> (u32, Event)>,
) -> String {
    loop {
        match receiver.recv_reserved().await {
            Ok(Some((envelope, held))) => {
                let room = match held {
                    Some(held) => Some(held),
                    None => reserve(room, envelope.payload.len()).await,
                };
                stager.stage(&envelope).await;
                let content = hasher.content((ears.hashed)(&envelope)).await;
                let (cost, event) = (ears.heard)(envelope, content, room);
                if stager.lane.send(cost, Heard::Event(event)).await.is_err() {
                    // The driver has gone; the writer ends when its last words are sent.
                    return std::future::pending().await;
                }
            }
            Ok(None) => return "closed by the peer".into(),
            Err(error) => return error.to_string(),
        }
    }
}

/// Waits for room for so many bytes; more than there are in all count as all.
async fn reserve(room: &Arc<Semaphore>, bytes: usize) -> Option<Reservation> {
    let permits = u32::try_from(bytes.min(HEARD_BYTES)).unwrap_or(u32::MAX);
    if permits == 0 {
        return None;
    }
    // The semaphore is never closed.
    room.clone().acquire_many_owned(permits).await.ok().map(Reservation::from)
}

impl Hasher {
    /// Hashes a payload, a large one beside the runtime.
    async fn content(&self, payload: &Bytes) -> Content {
        if payload.len() < HASHED_BESIDE {
            return Content::of(payload);
        }
        let shared = payload.clone();
        let hashed = self.blocking.run(&self.tasks, move || Content::of(&shared)).await;
        // There is none only if the runtime ends.
        hashed.unwrap_or_else(|| Content::of(payload))
    }
}

async fn write<Out: Message>(
    sender: &Sender<Out>,
    (mut queue, meter): (mpsc::Receiver<Queued<Out>>, Meter),
    done: &mpsc::Sender<Event>,
    link: LinkId,
) -> String {
    while let Some(queued) = queue.recv().await {
        let weight = queued.weight();
        if let Err(error) = sender.send_weighing(queued.envelope, queued.meta_bytes).await {
            return error.to_string();
        }
        if let Some(freed) = meter.sent(weight)
            && done.send(Event::Room { link, freed }).await.is_err()
        {
            break;
        }
    }
    "closed by the scheduler".into()
}

async fn closing<Out: Message>(closed: oneshot::Receiver<Closing>, sender: &Sender<Out>) -> String {
    match closed.await {
        Ok(Closing { reason, how }) => {
            // Before the receiver goes, with which the link would end in order.
            match how {
                Ending::InOrder => {}
                Ending::Misunderstood => sender.refuse(&reason),
                Ending::Removed => sender.expel(&reason),
            }
            reason
        }
        // The line was dropped: the writer ends when all that was queued is sent.
        Err(_) => std::future::pending().await,
    }
}
