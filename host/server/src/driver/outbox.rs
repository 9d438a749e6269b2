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

/// Bytes from which on an outbox takes no more bulk: a few round trips of a fast link.
const OUTBOX_BYTES: usize = 4 << 20;

/// The same of the outboxes of all links of one identity: of one large result and many others.
const KIN_BYTES: usize = 96 << 20;

/// Bytes of answers that wait for the links of one identity from which on it is given no more
/// lists, until it has read some: more than fifty of the longest.
const ANSWERS_BYTES: usize = 32 << 20;

/// The same from which on its link is closed, whatever it asks.
const ANSWERS_MAX: usize = 48 << 20;

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Outbox<M> {
    queue: mpsc::Sender<Queued<M>>,
    level: Arc<Level>,
    close: oneshot::Sender<Closing>,
}

/// Why the driver ends a link.
#[derive(Debug)]
pub(crate) struct Closing {
    pub reason: String,
    pub how: Ending,
}

/// What the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// That the link is over.
    InOrder,
    /// That what it said makes no sense: another link would be no better.
    Misunderstood,
    /// That it was taken out of the grid.
    Removed,
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct Outgoing<M> {
    queue: mpsc::Receiver<Queued<M>>,
    level: Arc<Level>,
}

/// The outbox has no room for what must be said.
#[derive(Debug)]
pub(crate) struct Overflow;

/// What the outboxes of all links of one identity hold: a budget that many links make no larger.
#[derive(Debug, Default)]
pub(crate) struct Kin {
    bytes: AtomicUsize,
    answers: AtomicUsize,
    /// The driver waits for room in it.
    wanted: AtomicBool,
}

/// A message, and what it takes of the room.
#[derive(Debug)]
pub(crate) struct Queued<M> {
    pub envelope: Envelope<M>,
    /// About how many bytes of memory it takes beside its payload.
    pub meta_bytes: usize,
    is_answer: bool,
}

/// Who has room again, where the driver wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// The link.
    Link,
    /// All links of its identity.
    Kin,
}

#[derive(Debug)]
struct Level {
    bytes: AtomicUsize,
    answers: AtomicUsize,
    /// The driver waits for room.
    wanted: AtomicBool,
    kin: Arc<Kin>,
}

impl Level {
    fn new(kin: Arc<Kin>) -> Self {
        let (bytes, answers, wanted) = Default::default();
        Self { bytes, answers, wanted, kin }
    }

    fn add(&self, bytes: usize, is_answer: bool) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.kin.bytes.fetch_add(bytes, Ordering::SeqCst);
        if is_answer {
            self.answers.fetch_add(bytes, Ordering::SeqCst);
            self.kin.answers.fetch_add(bytes, Ordering::SeqCst);
        }
    }

    /// Says how many bytes the link has left.
    fn subtract(&self, bytes: usize, is_answer: bool) -> usize {
        if is_answer {
            self.answers.fetch_sub(bytes, Ordering::SeqCst);
            self.kin.answers.fetch_sub(bytes, Ordering::SeqCst);
        }
        self.kin.bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.bytes.fetch_sub(bytes, Ordering::SeqCst).saturating_sub(bytes)
    }
}

impl Drop for Level {
    /// What was not sent goes with the link.
    fn drop(&mut self) {
        self.kin.bytes.fetch_sub(*self.bytes.get_mut(), Ordering::SeqCst);
        self.kin.answers.fetch_sub(*self.answers.get_mut(), Ordering::SeqCst);
    }
}

/// An outbox, and what ends its link: the reason why, or that the driver dropped it.
pub(crate) fn outbox<M: Message>(
    kin: Arc<Kin>,
) -> (Outbox<M>, Outgoing<M>, oneshot::Receiver<Closing>) {
    let (sender, receiver) = mpsc::channel(OUTBOX_MESSAGES);
    let (close, closed) = oneshot::channel();
    let level = Arc::new(Level::new(kin));
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
        self.push_weighing(envelope, 0)
    }

    /// As [`Self::push`], where the message takes `meta_bytes` beside its payload, about, and those
    /// are not few.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(crate) fn push_weighing(
        &self,
        envelope: impl Into<Envelope<M>>,
        meta_bytes: usize,
    ) -> Result<(), Overflow> {
        self.put(Queued { envelope: envelope.into(), meta_bytes, is_answer: false })
    }

    /// As [`Self::push_weighing`], for the answer to a request.
    ///
    /// # Errors
    /// [`Overflow`], also where too much waits for the identity.
    pub(crate) fn push_answer(
        &self,
        envelope: impl Into<Envelope<M>>,
        meta_bytes: usize,
    ) -> Result<(), Overflow> {
        let waiting = self.level.kin.answers.load(Ordering::SeqCst);
        if waiting.saturating_add(meta_bytes) > ANSWERS_MAX {
            return Err(Overflow);
        }
        self.put(Queued { envelope: envelope.into(), meta_bytes, is_answer: true })
    }

    fn put(&self, queued: Queued<M>) -> Result<(), Overflow> {
        let (bytes, is_answer) = (queued.bytes(), queued.is_answer);
        self.level.add(bytes, is_answer);
        match self.queue.try_send(queued) {
            Ok(()) => Ok(()),
            // A closed queue is a link that ends; its end is an event of its own.
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.level.subtract(bytes, is_answer);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.level.subtract(bytes, is_answer);
                Err(Overflow)
            }
        }
    }

    /// How many bytes of answers wait for the links of the identity, and how many may, where it is
    /// to read some before it is given another list.
    pub(crate) fn unread(&self) -> Option<(usize, usize)> {
        let waiting = self.level.kin.answers.load(Ordering::SeqCst);
        (waiting > ANSWERS_BYTES).then_some((waiting, ANSWERS_BYTES))
    }

    /// True where it is of this identity.
    pub(crate) fn is_of(&self, kin: &Arc<Kin>) -> bool {
        Arc::ptr_eq(&self.level.kin, kin)
    }

    /// What it shares with the other links of its identity.
    pub(crate) fn kin(&self) -> &Arc<Kin> {
        &self.level.kin
    }

    /// True where bulk may be pushed. Where it may not, the writer tells once there is room.
    pub(crate) fn has_room(&self) -> bool {
        if self.is_roomy() {
            return true;
        }
        self.level.wanted.store(true, Ordering::SeqCst);
        if self.level.kin.is_full() {
            self.level.kin.wanted.store(true, Ordering::SeqCst);
        }
        // The writer may have made room just before it could see that it is wanted.
        self.is_roomy() && self.level.wanted.swap(false, Ordering::SeqCst)
    }

    /// Ends the link; what is queued is not sent.
    pub(crate) fn close(self, reason: impl Into<String>) {
        self.end(reason.into(), Ending::InOrder);
    }

    /// Ends the link of a peer that is not understood.
    pub(crate) fn refuse(self, reason: impl Into<String>) {
        self.end(reason.into(), Ending::Misunderstood);
    }

    /// Ends the link of a peer that was taken out of the grid.
    pub(crate) fn expel(self, reason: impl Into<String>) {
        self.end(reason.into(), Ending::Removed);
    }

    fn end(self, reason: String, how: Ending) {
        let _ = self.close.send(Closing { reason, how });
    }

    fn is_roomy(&self) -> bool {
        self.level.bytes.load(Ordering::SeqCst) < OUTBOX_BYTES
            && !self.level.kin.is_full()
            && self.queue.capacity() > OUTBOX_MESSAGES / 2
    }
}

impl<M> Outgoing<M> {
    /// The next message; `None` once the driver dropped the outbox and all is taken.
    pub(crate) async fn next(&mut self) -> Option<Queued<M>> {
        self.queue.recv().await
    }

    /// Says that a message was sent, which took so many bytes; who has room by that.
    pub(crate) fn sent(&self, (bytes, is_answer): (usize, bool)) -> Option<Freed> {
        let left = self.level.subtract(bytes, is_answer);
        if self.level.kin.has_waited() {
            return Some(Freed::Kin);
        }
        let roomy = left <= OUTBOX_BYTES / 2 && self.queue.len() < OUTBOX_MESSAGES / 4;
        (roomy && self.level.wanted.swap(false, Ordering::SeqCst)).then_some(Freed::Link)
    }
}

impl Kin {
    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) >= KIN_BYTES
    }

    /// True where the driver waited for room in it, and there is some again.
    pub(crate) fn has_waited(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
            && self.bytes.load(Ordering::SeqCst) <= KIN_BYTES / 2
            && self.wanted.swap(false, Ordering::SeqCst)
    }
}

impl<M> Queued<M> {
    fn bytes(&self) -> usize {
        self.envelope.payload.len().saturating_add(self.meta_bytes)
    }

    /// What [`Outgoing::sent`] is told.
    pub(crate) fn weight(&self) -> (usize, bool) {
        (self.bytes(), self.is_answer)
    }
}
