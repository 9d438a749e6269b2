//! A queue that is bounded by messages and by bytes at once, so that a slow reader makes the
//! writer wait whatever the size of its messages.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use wasmgrid_proto::frame::Envelope;

/// What a message costs beside its payload. It stands for the message's decoded meta, and bounds
/// the number of messages: a lane of `bytes` holds at most `bytes / MESSAGE_COST` of them.
pub(crate) const MESSAGE_COST: usize = 4 << 10;

/// A message in a lane, with the room it takes; the room is free again when this is dropped.
pub(crate) struct Item<M> {
    pub(crate) envelope: Envelope<M>,
    pub(crate) room: OwnedSemaphorePermit,
}

/// The writing end.
pub(crate) struct Lane<M> {
    queue: mpsc::Sender<Item<M>>,
    room: Room,
}

/// Why a message did not go into a lane at once.
pub(crate) enum Refused<M> {
    Full(Envelope<M>),
    Closed,
}

impl<M> Clone for Lane<M> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), room: self.room.clone() }
    }
}

impl<M> Lane<M> {
    /// A lane with room for `bytes`.
    pub(crate) fn new(bytes: usize) -> (Self, mpsc::Receiver<Item<M>>) {
        let room = Room::new(bytes);
        let (queue, items) = mpsc::channel((bytes / MESSAGE_COST).max(1));
        (Self { queue, room }, items)
    }

    /// Waits for room, then queues the message. False where the lane is closed.
    pub(crate) async fn push(&self, envelope: Envelope<M>) -> bool {
        match self.room.reserve(envelope.payload.len() + MESSAGE_COST).await {
            Ok(room) => self.put(Item { envelope, room }).await,
            Err(_) => false,
        }
    }

    /// Queues what has room elsewhere. False where nobody reads any more.
    pub(crate) async fn put(&self, item: Item<M>) -> bool {
        self.queue.send(item).await.is_ok()
    }

    /// Queues the message if there is room.
    pub(crate) fn try_push(&self, envelope: Envelope<M>) -> Result<(), Refused<M>> {
        let room = match self.room.try_reserve(envelope.payload.len() + MESSAGE_COST) {
            Ok(room) => room,
            Err(TryAcquireError::Closed) => return Err(Refused::Closed),
            Err(TryAcquireError::NoPermits) => return Err(Refused::Full(envelope)),
        };
        // Each item has at least MESSAGE_COST of the room, so there is a place for it.
        self.queue.try_send(Item { envelope, room }).map_err(|_| Refused::Closed)
    }

    pub(crate) fn room(&self) -> &Room {
        &self.room
    }
}

/// A number of bytes that may be held at once.
#[derive(Clone)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    total: usize,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        let total = bytes.min(u32::MAX as usize);
        Self { free: Arc::new(Semaphore::new(total)), total }
    }

    /// Waits for so many bytes; more than there are in all count as all, so that a message larger
    /// than the room travels alone instead of never. First come, first served.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.free).acquire_many_owned(self.permits(bytes)).await
    }

    fn try_reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.free).try_acquire_many_owned(self.permits(bytes))
    }

    /// From now on nothing is reserved; who waits is told.
    pub(crate) fn close(&self) {
        self.free.close();
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.total)).unwrap_or(u32::MAX)
    }
}
