//! What carries one link over one connection, from its first message to its end.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use quinn::{Connection, RecvStream, SendStream};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time,
};
use tokio_util::task::TaskTracker;
use wasmgrid_proto::wire::Message;

use super::{
    bulk,
    close::{CloseCode, link_end},
    control::{self, write_end},
    signal::Signal,
};
use crate::{
    budget::Budget,
    identity::Peer,
    lane::{Arrivals, Item, Lane, MESSAGE_COST},
    link::{CONTROL_ROOM, Link, LinkError, LinkState, Receiver, Refusal, Sender},
};

/// How long an orderly end may take: what is queued is sent, and the peer has read it. Then the
/// connection is cut.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(5);

/// Messages that have come and nobody has received yet; their bytes are in the peer's budget.
const ARRIVED_MAX: usize = CONTROL_ROOM / MESSAGE_COST;

/// How long the end of a connection may come after the end of its streams.
pub(super) const REASON_TIME: Duration = Duration::from_secs(1);

/// An open connection with its control stream.
pub(super) struct Wire {
    pub(super) connection: Connection,
    pub(super) send: SendStream,
    pub(super) receive: RecvStream,
    pub(super) peer: Peer,
    /// What the peer may make this side hold.
    pub(super) budget: Arc<Budget>,
    /// The link is cut after this, however busy it is.
    pub(super) lifetime: Option<Duration>,
}

/// Makes a link of a connection. `held` is dropped when the link is over.
pub(super) fn start<Out: Message, In: Message>(
    wire: Wire,
    tasks: &TaskTracker,
    held: impl Send + 'static,
) -> Link<Out, In> {
    let shared = wire.budget.leaving.as_ref();
    let of_small = shared.map(|leaving| leaving.small.clone());
    let (control, control_items) = Lane::sharing(CONTROL_ROOM, of_small);
    let of_large = shared.map(|leaving| leaving.data.clone());
    let (bulk, bulk_items) = Lane::sharing(bulk::SEND_ROOM, of_large);
    let (arrived, queue) = mpsc::channel(ARRIVED_MAX);
    let rooms = vec![control.room().clone(), bulk.room().clone()];
    let state = LinkState::new(rooms, wire.peer.minor, true);
    let peer = wire.peer.clone();
    let driver = Driver { wire, control_items, bulk_items, arrived, state: Arc::clone(&state) };
    tasks.spawn(async move {
        driver.run().await;
        drop(held);
    });
    Link {
        sender: Sender::new(control, bulk, Arc::clone(&state)),
        receiver: Receiver::new(queue, state),
        peer,
    }
}

struct Driver<Out, In> {
    wire: Wire,
    control_items: mpsc::Receiver<Item<Out>>,
    bulk_items: mpsc::Receiver<Item<Out>>,
    arrived: Arrivals<In>,
    state: Arc<LinkState>,
}

impl<Out: Message, In: Message> Driver<Out, In> {
    /// Carries messages until the link is over, then tells both halves of it.
    async fn run(self) {
        let (connection, state) = (self.wire.connection.clone(), Arc::clone(&self.state));
        // Held until the failure is known: the receiver ends when the last of these is dropped.
        let arrived = self.arrived.clone();
        let (peer, release) = (self.wire.peer.to_string(), self.wire.peer.release());
        let carried = tokio::select! {
            biased;
            // First: a link that is refused is mostly let go too, which would end it in order.
            refused = refused(&connection, &state, &peer) => Err(refused),
            carried = self.carry(&peer) => carried.map_err(|error| error.of(&release)),
        };
        let carried = match carried {
            Err(lost @ LinkError::Lost { .. }) => {
                Err(why(&connection, &peer).await.unwrap_or(lost).of(&release))
            }
            carried => carried,
        };
        match carried {
            Ok(()) => CloseCode::Done.close(&connection, "done"),
            Err(error) => {
                let reason = chain(&error);
                if state.is_closing() {
                    // This side had ended it already: how is of no use to anybody.
                    tracing::debug!(peer, reason, "closed link ended out of order");
                } else if matches!(error, LinkError::Removed { .. }) {
                    // Whoever holds the link ends with the same words.
                    tracing::debug!(peer, reason, "link ended for good");
                } else {
                    tracing::warn!(peer, reason, "link ended out of order");
                }
                // Where the peer was not understood, it was told so already.
                CloseCode::Slow.close(&connection, &reason);
                state.fail(error);
            }
        }
        state.close("the peer closed it, or it was lost");
        drop(arrived);
    }

    async fn carry(self, peer: &str) -> Result<(), LinkError> {
        let Wire { connection, send, receive, lifetime, budget, .. } = self.wire;
        let state = self.state;
        let mut inbound = JoinSet::new();
        let (received, bulk) = watch::channel(0);
        inbound.spawn(control::read(
            receive,
            (self.arrived.clone(), Arc::clone(&budget)),
            bulk,
            Arc::clone(&state),
            peer.to_owned(),
        ));
        let into = (self.arrived, Arc::clone(&budget));
        inbound.spawn(bulk::read(connection.clone(), into, received, peer.to_owned()));
        let items = (self.control_items, self.bulk_items);
        let mut outbound = pin!(write(&connection, send, items, &state, (peer, budget.patience)));
        let mut overdue = pin!(overdue(&state, lifetime));
        let late = || LinkError::Lost {
            peer: peer.to_owned(),
            reason: "its end was not reached in time".into(),
        };
        let carried = tokio::select! {
            ended = first(&mut inbound, peer) => {
                if ended.is_ok() && state.is_closing() {
                    // Both sides close at once: the peer is still to get what this one said.
                    tokio::select! {
                        sent = &mut outbound => sent,
                        () = &mut overdue => Err(late()),
                    }
                } else {
                    ended
                }
            }
            sent = &mut outbound => {
                sent?;
                // The peer closes the connection once it has read everything.
                tokio::select! {
                    ended = first(&mut inbound, peer) => ended,
                    error = connection.closed() => link_end(&error, peer),
                    () = time::sleep(CLOSE_TIME) => Err(late()),
                }
            }
            () = &mut overdue => Err(late()),
        };
        if let Err(LinkError::Malformed { source, .. }) = &carried {
            // While the streams are there: with their end the peer would take the link for lost.
            // Which releases the two sides are, both know.
            CloseCode::Malformed.close(&connection, &source.to_string());
        }
        carried
    }
}

/// Why a link was lost, where the peer says so: a stream's end may arrive before the connection's,
/// which has the reason.
async fn why(connection: &Connection, peer: &str) -> Option<LinkError> {
    let end = time::timeout(REASON_TIME, connection.closed()).await.ok()?;
    link_end(&end, peer).err()
}

/// Waits until this side does not understand the peer or wants it no more, and tells it so.
async fn refused(connection: &Connection, state: &LinkState, peer: &str) -> LinkError {
    let peer = peer.to_owned();
    // As above, while the streams are there.
    match state.refused().await {
        Refusal::Misunderstood(reason) => {
            CloseCode::Malformed.close(connection, &reason);
            let reason = format!("it sent an unexpected message: {reason}");
            LinkError::Lost { peer, reason }
        }
        Refusal::Removed(reason) => {
            CloseCode::Removed.close(connection, &reason);
            LinkError::Lost { peer, reason }
        }
    }
}

/// Writes both kinds of messages, then the end; ready once the peer's transport has all of it.
async fn write<M: Message>(
    connection: &Connection,
    mut stream: SendStream,
    (mut control_items, mut bulk_items): (mpsc::Receiver<Item<M>>, mpsc::Receiver<Item<M>>),
    state: &LinkState,
    (peer, patience): (&str, Option<Duration>),
) -> Result<(), LinkError> {
    // Small messages go first whenever both could; a refusal means that the stream is gone, which
    // the write tells.
    let _ = stream.set_priority(1);
    let (spill, spilled) = mpsc::channel(CONTROL_ROOM / MESSAGE_COST);
    let ((), bulk) = tokio::try_join!(
        control::write(&mut control_items, &mut stream, spill, state, (peer, patience)),
        bulk::write(connection, &mut bulk_items, spilled, state, (peer, patience)),
    )?;
    if state.is_refusing() {
        // It ends otherwise, and the peer is not to take that for an end in order.
        return std::future::pending().await;
    }
    let mut end = BytesMut::new();
    Signal::End { bulk }.encode(&mut end);
    if let Err(error) = stream.write_all(&end).await {
        return write_end(&error, peer);
    }
    // Errors of these two say that the connection is gone, which the reader tells.
    let _ = stream.finish();
    let _ = stream.stopped().await;
    Ok(())
}

/// Ready once an orderly end has taken too long, or the link's time is over.
async fn overdue(state: &LinkState, lifetime: Option<Duration>) {
    let closing = async {
        state.closing().await;
        time::sleep(CLOSE_TIME).await;
    };
    match lifetime {
        Some(lifetime) => tokio::select! {
            () = closing => {}
            () = time::sleep(lifetime) => {}
        },
        None => closing.await,
    }
}

async fn first(inbound: &mut JoinSet<Result<(), LinkError>>, peer: &str) -> Result<(), LinkError> {
    match inbound.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(error)) => {
            Err(LinkError::Lost { peer: peer.to_owned(), reason: error.to_string() })
        }
        None => Ok(()),
    }
}

/// An error with its cause, for the log and the peer.
fn chain(error: &LinkError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
