//! The tasks of one link: what comes goes to the driver, what the driver says goes out. A link
//! waits for the driver, the driver never for a link.

use std::{fmt, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wasmgrid_net::{Link, Receiver, Sender};
use wasmgrid_proto::{frame::Envelope, wire::Message};

use crate::{
    driver::Event,
    outbox::{Closing, Outbox, Outgoing, outbox},
};

/// The driver's number of a link; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Payload bytes of all links of one kind together that the driver has not taken: the largest
/// message and some. Beyond it links wait, so that a slow disk does not fill the memory.
pub(crate) const HEARD_BYTES: usize = 96 << 20;

/// Which links share [`HEARD_BYTES`]: results that wait for room on the disk must not keep
/// clients from being told so.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Room {
    Worker,
    Client,
}

/// A message's part of [`HEARD_BYTES`], free again when dropped; none for one without payload.
pub(crate) type HeardRoom = Option<OwnedSemaphorePermit>;

/// Why links end with the server.
const STOPPING: &str = "the scheduler is stopping";

/// Where the tasks of links tell what happens.
#[derive(Clone, Debug)]
pub(crate) struct LinkContext {
    /// What links say: bounded, and not taken while the driver has too much to commit.
    pub heard: mpsc::Sender<Event>,
    /// [`HEARD_BYTES`] of workers' links, as far as they are free.
    pub worker_room: Arc<Semaphore>,
    /// The same of clients' links.
    pub client_room: Arc<Semaphore>,
    /// What the driver waits for: always taken.
    pub done: mpsc::Sender<Event>,
    /// No link is served from now on; those that are end when the driver has said its last.
    pub stop: CancellationToken,
    /// Ends all links at once.
    pub cut: CancellationToken,
}

/// Serves a link until it, the driver or the server ends it.
pub(crate) async fn serve<Out: Message, In: Message>(
    context: LinkContext,
    id: LinkId,
    link: Link<Out, In>,
    room: Room,
    announce: impl FnOnce(Outbox<Out>, wasmgrid_net::Peer) -> Event,
    heard: impl Fn(Envelope<In>, HeardRoom) -> Event,
) {
    let Link { sender, receiver, peer } = link;
    let (outbox, outgoing, closed) = outbox();
    if context.heard.send(announce(outbox, peer)).await.is_err() {
        return sender.close(STOPPING);
    }
    let reason = tokio::select! {
        biased;
        // First: the outbox goes with it, which the writer would take for an end in order.
        reason = closing(closed, &sender) => reason,
        reason = read(receiver, &context, room, heard) => reason,
        reason = write(&sender, outgoing, &context.done, id) => reason,
        () = context.cut.cancelled() => STOPPING.into(),
    };
    sender.close(&reason);
    // Behind all that was heard of the link. The driver is gone only when the server ends.
    let _ = context.heard.send(Event::Unlinked { link: id, reason }).await;
}

async fn read<In: Message>(
    mut receiver: Receiver<In>,
    context: &LinkContext,
    room: Room,
    heard: impl Fn(Envelope<In>, HeardRoom) -> Event,
) -> String {
    let room = match room {
        Room::Worker => &context.worker_room,
        Room::Client => &context.client_room,
    };
    loop {
        match receiver.recv().await {
            Ok(Some(envelope)) => {
                let room = reserve(room, envelope.payload.len()).await;
                if context.heard.send(heard(envelope, room)).await.is_err() {
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
async fn reserve(room: &Arc<Semaphore>, bytes: usize) -> HeardRoom {
    let permits = u32::try_from(bytes.min(HEARD_BYTES)).unwrap_or(u32::MAX);
    if permits == 0 {
        return None;
    }
    // The semaphore is never closed.
    room.clone().acquire_many_owned(permits).await.ok()
}

async fn write<Out: Message>(
    sender: &Sender<Out>,
    mut outgoing: Outgoing<Out>,
    done: &mpsc::Sender<Event>,
    link: LinkId,
) -> String {
    while let Some(envelope) = outgoing.next().await {
        let bytes = envelope.payload.len();
        if let Err(error) = sender.send(envelope).await {
            return error.to_string();
        }
        if outgoing.sent(bytes) && done.send(Event::Room { link }).await.is_err() {
            break;
        }
    }
    "closed by the scheduler".into()
}

async fn closing<Out: Message>(closed: oneshot::Receiver<Closing>, sender: &Sender<Out>) -> String {
    match closed.await {
        Ok(Closing { reason, refuses }) => {
            if refuses {
                // Before the receiver goes, with which the link would end in order.
                sender.refuse(&reason);
            }
            reason
        }
        // The outbox was dropped: the writer ends when all of it is sent.
        Err(_) => std::future::pending().await,
    }
}
