//! A queue that is bounded by messages and by bytes at once, so that a slow reader makes the
//! writer wait whatever the size of its messages.

use tokio::sync::{TryAcquireError, mpsc};
use wasmgrid_proto::frame::Envelope;

use crate::room::{Reservation, Room};

/// What a message costs beside its payload at least. It bounds the number of messages: a lane of
/// `bytes` holds at most `bytes / MESSAGE_COST` of them.
pub(crate) const MESSAGE_COST: usize = 4 << 10;

/// A message in a lane, with the room it takes; the room is free again when this is dropped.
pub(crate) struct Item<M> {
    pub(crate) envelope: Envelope<M>,
    pub(crate) room: Reservation,
}

/// The writing end.
pub(crate) struct Lane<M> {
    queue: mpsc::Sender<Item<M>>,
    room: Room,
    /// Of all links of the identity.
    shared: Option<Room>,
}

/// Messages that have come, with the room they have elsewhere.
pub(crate) type Arrivals<M> = mpsc::Sender<Item<M>>;

/// Why a message did not go into a lane at once.
pub(crate) enum NotQueued<M> {
    Full(Envelope<M>),
    Closed,
}

impl<M> Clone for Lane<M> {
    fn clone(&self) -> Self {
        let shared = self.shared.clone();
        Self { queue: self.queue.clone(), room: self.room.clone(), shared }
    }
}

impl<M> Lane<M> {
    /// A lane with room for `bytes`.
    pub(crate) fn new(bytes: usize) -> (Self, mpsc::Receiver<Item<M>>) {
        Self::sharing(bytes, None)
    }

    /// The same, of a link that shares room with others.
    pub(crate) fn sharing(bytes: usize, shared: Option<Room>) -> (Self, mpsc::Receiver<Item<M>>) {
        let room = Room::new(bytes);
        let (queue, items) = mpsc::channel((bytes / MESSAGE_COST).max(1));
        (Self { queue, room, shared }, items)
    }

    /// Waits for room, then queues the message. False where the lane is closed.
    /// Its meta takes so many bytes of memory, or less than [`MESSAGE_COST`].
    pub(crate) async fn push(&self, envelope: Envelope<M>, meta_bytes: usize) -> bool {
        let bytes = cost(&envelope, meta_bytes);
        let shared = match &self.shared {
            // First: what waits for room of the link is held by then.
            Some(room) => room.reserve(bytes).await.ok(),
            None => None,
        };
        match self.room.reserve(bytes).await {
            Ok(own) => {
                let room = Reservation::new(own, shared);
                self.queue.send(Item { envelope, room }).await.is_ok()
            }
            Err(_) => false,
        }
    }

    /// Queues the message if there is room.
    pub(crate) fn try_push(&self, envelope: Envelope<M>) -> Result<(), NotQueued<M>> {
        let room = match self.try_reserve(cost(&envelope, 0)) {
            Ok(room) => room,
            Err(TryAcquireError::Closed) => return Err(NotQueued::Closed),
            Err(TryAcquireError::NoPermits) => return Err(NotQueued::Full(envelope)),
        };
        // Each item has at least MESSAGE_COST of the room, so there is a place for it.
        self.queue.try_send(Item { envelope, room }).map_err(|_| NotQueued::Closed)
    }

    fn try_reserve(&self, bytes: usize) -> Result<Reservation, TryAcquireError> {
        let own = self.room.try_reserve(bytes)?;
        let shared = self.shared.as_ref().map(|room| room.try_reserve(bytes)).transpose()?;
        Ok(Reservation::new(own, shared))
    }

    pub(crate) fn room(&self) -> &Room {
        &self.room
    }
}

fn cost<M>(envelope: &Envelope<M>, meta_bytes: usize) -> usize {
    envelope.payload.len().saturating_add(meta_bytes.max(MESSAGE_COST))
}
