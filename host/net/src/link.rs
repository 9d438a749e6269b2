//! A link: typed messages both ways between two peers, whatever carries them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wasmgrid_proto::{
    frame::{Envelope, FrameError},
    wire::Message,
};

use crate::{
    identity::Peer,
    lane::{Item, Lane, NotQueued},
    release::Release,
    room::{Reservation, Room},
    unsendable::sendable,
};

/// Room for messages that wait in one direction, their payloads included: a thousand small ones.
/// Enough to keep a fast pair busy between two wake-ups; small enough that a peer which stopped
/// reading is felt by the sender at once.
pub(crate) const CONTROL_ROOM: usize = 4 << 20;

/// Payloads above this are carried apart from control messages, so that they do not delay them.
pub(crate) const BULK_PAYLOAD: usize = 64 << 10;

/// Messages both ways between this side and a peer.
///
/// The link is over when either side closes it, drops its receiver or its last sender, or when
/// the connection is lost. What was sent before an orderly end arrives.
#[derive(Debug)]
pub struct Link<Out: Message, In: Message> {
    /// To the peer.
    pub sender: Sender<Out>,
    /// From the peer.
    pub receiver: Receiver<In>,
    /// Who that is.
    pub peer: Peer,
}

/// The way to the peer. Clones share it.
///
/// Messages of one sender keep their order, except that those with a payload over 64 KiB travel
/// apart and may be overtaken.
pub struct Sender<M> {
    control: Lane<M>,
    bulk: Lane<M>,
    state: Arc<LinkState>,
}

/// What comes from the peer.
pub struct Receiver<M> {
    queue: mpsc::Receiver<Item<M>>,
    /// What was taken from there and nobody has received.
    next: Option<Item<M>>,
    state: Arc<LinkState>,
}

/// The link is over: nothing more can be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the link is closed: {reason}")]
pub struct LinkClosed {
    /// Why, for people.
    pub reason: String,
}

/// Why a message was not sent at once.
#[derive(Debug, thiserror::Error)]
pub enum TrySendError<M> {
    /// The peer is slower than this side; here is the message again.
    #[error("the link has no room for another message")]
    Full(Envelope<M>),
    /// The link is over.
    #[error(transparent)]
    Closed(LinkClosed),
}

/// Why a link ended out of order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The peer sent bytes that are no message.
    #[error(
        "{peer} runs {theirs} and sent an unknown message to this side ({ours}); run the same \
         release on both sides",
        ours = Release::ours()
    )]
    Malformed {
        /// Who.
        peer: String,
        /// Which release it is.
        theirs: Release,
        /// What is wrong with them.
        source: FrameError,
    },
    /// The peer ended the link, because it does not understand what this side sent.
    #[error(
        "{peer} runs {theirs} and does not understand a message of this side ({ours}): {reason}; \
         run the same release on both sides",
        ours = Release::ours()
    )]
    Misunderstood {
        /// Who.
        peer: String,
        /// Which release it is.
        theirs: Release,
        /// Its words.
        reason: String,
    },
    /// The connection is gone: the peer died, or the network between.
    #[error("the link to {peer} was lost: {reason}")]
    Lost {
        /// Who.
        peer: String,
        /// What the transport says.
        reason: String,
    },
    /// The peer ended the link and said why.
    #[error("{peer} ended the link: {reason}")]
    Rejected {
        /// Who.
        peer: String,
        /// Its words.
        reason: String,
    },
    /// The peer takes this side for nobody any more: another link would end in the same way.
    #[error("{peer} ended the link for good: {reason}")]
    Removed {
        /// Who.
        peer: String,
        /// Its words.
        reason: String,
    },
}

impl LinkError {
    /// True where the two sides do not understand each other: another link between them would most
    /// likely end in the same way.
    #[must_use]
    pub const fn is_misunderstanding(&self) -> bool {
        matches!(self, Self::Malformed { .. } | Self::Misunderstood { .. })
    }

    /// With the release of the peer, as far as an error names it.
    pub(crate) fn of(mut self, release: &Release) -> Self {
        if let Self::Malformed { theirs, .. } | Self::Misunderstood { theirs, .. } = &mut self {
            *theirs = release.clone();
        }
        self
    }
}

impl<M: Message> Sender<M> {
    /// Queues a message; waits while the peer is slower than this side. Dropping the future before
    /// it is ready sends nothing. In place of a message that no frame can carry its
    /// [`instead`](Message::instead) is sent, or nothing; one that the peer's protocol does not know
    /// ([`Message::since`]) is not sent.
    ///
    /// # Errors
    /// [`LinkClosed`], where the link is over.
    pub async fn send(&self, envelope: impl Into<Envelope<M>>) -> Result<(), LinkClosed> {
        self.send_weighing(envelope, 0).await
    }

    /// As [`Self::send`], where the message takes `meta_bytes` of memory beside its payload, about:
    /// until it is sent so much room is taken up by it.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_weighing(
        &self,
        envelope: impl Into<Envelope<M>>,
        meta_bytes: usize,
    ) -> Result<(), LinkClosed> {
        let Some(envelope) = sendable(envelope.into(), self.state.minor) else { return Ok(()) };
        let pushed = self.lane(&envelope).push(envelope, meta_bytes).await;
        if pushed { Ok(()) } else { Err(self.state.closed()) }
    }

    /// Queues a message if there is room for it; otherwise as [`send`](Self::send).
    ///
    /// # Errors
    /// [`TrySendError`] gives the message back where there is none.
    pub fn try_send(&self, envelope: impl Into<Envelope<M>>) -> Result<(), TrySendError<M>> {
        let Some(envelope) = sendable(envelope.into(), self.state.minor) else { return Ok(()) };
        self.lane(&envelope).try_push(envelope).map_err(|refused| match refused {
            NotQueued::Full(envelope) => TrySendError::Full(envelope),
            NotQueued::Closed => TrySendError::Closed(self.state.closed()),
        })
    }

    fn lane(&self, envelope: &Envelope<M>) -> &Lane<M> {
        if envelope.payload.len() > BULK_PAYLOAD { &self.bulk } else { &self.control }
    }
}

impl<M> Sender<M> {
    pub(crate) fn new(control: Lane<M>, bulk: Lane<M>, state: Arc<LinkState>) -> Self {
        Self { control, bulk, state }
    }

    /// Ends the link in order: what is queued is still delivered, nothing more is taken. Both
    /// sides' receivers then end. Only the first reason counts.
    pub fn close(&self, reason: &str) {
        self.state.close(reason);
    }

    /// Ends the link at once, because what the peer sent makes no sense here, and tells it so.
    pub fn refuse(&self, reason: &str) {
        self.state.refuse(reason);
    }

    /// Ends the link at once and for good, because the peer was taken out of the grid, and tells it
    /// so: it need not try again.
    pub fn expel(&self, reason: &str) {
        self.state.expel(reason);
    }

    /// True once the link is over or being closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.closing.is_cancelled()
    }

    /// Waits until the link is over or being closed.
    pub async fn closed(&self) {
        self.state.closing.cancelled().await;
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        Self {
            control: self.control.clone(),
            bulk: self.bulk.clone(),
            state: Arc::clone(&self.state),
        }
    }
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<M> Receiver<M> {
    pub(crate) fn new(queue: mpsc::Receiver<Item<M>>, state: Arc<LinkState>) -> Self {
        Self { queue, next: None, state }
    }

    /// The next message; `None` once the link was closed in order and everything sent before that
    /// was received. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`LinkError`], where the link ended otherwise; what arrived before that comes first.
    pub async fn recv(&mut self) -> Result<Option<Envelope<M>>, LinkError> {
        Ok(self.recv_reserved().await?.map(|(envelope, _)| envelope))
    }

    /// As [`Self::recv`], with the room that the message takes in the budget of its sender: until
    /// that is dropped, the sender can have so much less under way. None inside one process.
    ///
    /// # Errors
    /// As [`Self::recv`].
    pub async fn recv_reserved(
        &mut self,
    ) -> Result<Option<(Envelope<M>, Option<Reservation>)>, LinkError> {
        self.arrived().await;
        if let Some(Item { envelope, room }) = self.next.take() {
            return Ok(Some((envelope, self.state.carried.then_some(room))));
        }
        self.state.close("the peer closed it");
        self.state.failure.get().cloned().map_or(Ok(None), Err)
    }

    /// Waits until there is a message, or will be none. Dropping the future loses nothing.
    pub(crate) async fn arrived(&mut self) {
        if self.next.is_some() {
            return;
        }
        let item = tokio::select! {
            biased;
            item = self.queue.recv() => item,
            () = self.state.closing.cancelled() => {
                self.queue.close();
                self.queue.recv().await
            }
        };
        self.next = item;
    }
}

impl<M> Drop for Receiver<M> {
    fn drop(&mut self) {
        self.state.close("its receiver is gone");
    }
}

impl<M> fmt::Debug for Receiver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}

/// What both halves of a link, and what carries it, know of its end.
pub(crate) struct LinkState {
    closing: CancellationToken,
    /// The link ends without what is queued, for this reason.
    refusing: CancellationToken,
    refusal: OnceLock<Refusal>,
    reason: OnceLock<String>,
    /// The minor version of the protocol that the link speaks.
    minor: u16,
    failure: OnceLock<LinkError>,
    /// The outgoing lanes' room, closed with the link so that no sender waits for nothing.
    rooms: Vec<Room>,
    /// True where a driver carries the link to another process.
    carried: bool,
}

/// Why the peer is told that its link ends, before all that is queued.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// It is not understood.
    Misunderstood(String),
    /// It was taken out of the grid.
    Removed(String),
}

impl LinkState {
    pub(crate) fn new(rooms: Vec<Room>, minor: u16, carried: bool) -> Arc<Self> {
        Arc::new(Self {
            closing: CancellationToken::new(),
            refusing: CancellationToken::new(),
            refusal: OnceLock::new(),
            reason: OnceLock::new(),
            minor,
            failure: OnceLock::new(),
            rooms,
            carried,
        })
    }

    pub(crate) fn close(&self, reason: &str) {
        self.reason.get_or_init(|| reason.to_owned());
        self.rooms.iter().for_each(Room::close);
        self.closing.cancel();
    }

    /// The link ended out of order; the receiver says so after what has arrived.
    pub(crate) fn fail(&self, error: LinkError) {
        self.failure.get_or_init(|| error);
    }

    /// This side does not understand the peer.
    fn refuse(&self, reason: &str) {
        let (peer, theirs) = ("the peer".to_owned(), Release::ours());
        let error = LinkError::Misunderstood { peer, theirs, reason: reason.to_owned() };
        self.turn_away(Refusal::Misunderstood(reason.to_owned()), error, reason);
    }

    /// The peer was taken out of the grid.
    fn expel(&self, reason: &str) {
        let error = LinkError::Removed { peer: "the peer".into(), reason: reason.to_owned() };
        self.turn_away(Refusal::Removed(reason.to_owned()), error, reason);
    }

    fn turn_away(&self, refusal: Refusal, error: LinkError, reason: &str) {
        self.refusal.get_or_init(|| refusal);
        self.refusing.cancel();
        // Where nothing carries the link, both sides learn it here.
        if !self.carried {
            self.fail(error);
            self.close(reason);
        }
    }

    /// Waits until the peer is to be told that its link ends, and why.
    pub(crate) async fn refused(&self) -> Refusal {
        self.refusing.cancelled().await;
        self.refusal.get().cloned().unwrap_or_else(|| Refusal::Misunderstood(String::new()))
    }

    /// True where the peer is to be told so; known before the link is seen to be closing.
    pub(crate) fn is_refusing(&self) -> bool {
        self.refusing.is_cancelled()
    }

    /// Waits until the link is to end in order.
    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    fn closed(&self) -> LinkClosed {
        LinkClosed { reason: self.reason.get().cloned().unwrap_or_default() }
    }
}
