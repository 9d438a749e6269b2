//! What the driver has to say on one link, between it and the link's writer. The driver never
//! waits: it asks whether there is room, and is told when there is again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::{mpsc, oneshot};
use wasmgrid_proto::{frame::Envelope, wire::Message};

/// Messages an outbox holds. Half of them are for bulk (inputs, results), so that answers find
/// room beside it.
pub(crate) const OUTBOX_MESSAGES: usize = 1_024;

/// Payload bytes from which on an outbox takes no more bulk: a few round trips of a fast link.
const OUTBOX_BYTES: usize = 4 << 20;

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Outbox<M> {
    queue: mpsc::Sender<Envelope<M>>,
    level: Arc<Level>,
    close: oneshot::Sender<Closing>,
}

/// Why the driver ends a link.
#[derive(Debug)]
pub(crate) struct Closing {
    pub reason: String,
    /// What the peer said makes no sense: it is told so, and another link would be no better.
    pub refuses: bool,
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct Outgoing<M> {
    queue: mpsc::Receiver<Envelope<M>>,
    level: Arc<Level>,
}

/// The outbox has no room for what must be said.
#[derive(Debug)]
pub(crate) struct Overflow;

#[derive(Debug, Default)]
struct Level {
    bytes: AtomicUsize,
    /// The driver waits for room.
    wanted: AtomicBool,
}

/// An outbox, and what ends its link: the reason why, or that the driver dropped it.
pub(crate) fn outbox<M: Message>() -> (Outbox<M>, Outgoing<M>, oneshot::Receiver<Closing>) {
    let (sender, receiver) = mpsc::channel(OUTBOX_MESSAGES);
    let (close, closed) = oneshot::channel();
    let level = Arc::new(Level::default());
    let outgoing = Outgoing { queue: receiver, level: level.clone() };
    (Outbox { queue: sender, level, close }, outgoing, closed)
}

impl<M> Outbox<M> {
    /// Queues a message.
    ///
    /// # Errors
    /// [`Overflow`], where the outbox is full: the peer reads too slowly, and its link should be
    /// closed.
    pub(crate) fn push(&self, envelope: impl Into<Envelope<M>>) -> Result<(), Overflow> {
        let envelope = envelope.into();
        let bytes = envelope.payload.len();
        self.level.bytes.fetch_add(bytes, Ordering::Relaxed);
        match self.queue.try_send(envelope) {
            // A closed queue is a link that ends; its end is an event of its own.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.level.bytes.fetch_sub(bytes, Ordering::Relaxed);
                Err(Overflow)
            }
        }
    }

    /// True where bulk may be pushed. Where it may not, the writer tells once there is room.
    pub(crate) fn has_room(&self) -> bool {
        if self.is_roomy() {
            return true;
        }
        self.level.wanted.store(true, Ordering::SeqCst);
        // The writer may have made room just before it could see that it is wanted.
        self.is_roomy() && self.level.wanted.swap(false, Ordering::SeqCst)
    }

    /// Ends the link; what is queued is not sent.
    pub(crate) fn close(self, reason: impl Into<String>) {
        let _ = self.close.send(Closing { reason: reason.into(), refuses: false });
    }

    /// Ends the link of a peer that is not understood.
    pub(crate) fn refuse(self, reason: impl Into<String>) {
        let _ = self.close.send(Closing { reason: reason.into(), refuses: true });
    }

    fn is_roomy(&self) -> bool {
        self.level.bytes.load(Ordering::SeqCst) < OUTBOX_BYTES
            && self.queue.capacity() > OUTBOX_MESSAGES / 2
    }
}

impl<M> Outgoing<M> {
    /// The next message; `None` once the driver dropped the outbox and all is taken.
    pub(crate) async fn next(&mut self) -> Option<Envelope<M>> {
        self.queue.recv().await
    }

    /// Says that `bytes` of payload were sent; true where the driver wants to know.
    pub(crate) fn sent(&self, bytes: usize) -> bool {
        let before = self.level.bytes.fetch_sub(bytes, Ordering::SeqCst);
        before.saturating_sub(bytes) <= OUTBOX_BYTES / 2
            && self.queue.len() < OUTBOX_MESSAGES / 4
            && self.level.wanted.swap(false, Ordering::SeqCst)
    }
}
