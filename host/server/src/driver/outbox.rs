//! What waits to be sent on a link, as the driver counts it: messages and bytes, of the link and of
//! all links of its identity. The driver adds what it says; whoever sends it, on whatever thread,
//! takes it off ([`Meter`]). So the driver never waits: it asks whether there is room, and is told
//! when there is again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use wasmgrid_proto::frame::Envelope;

/// Messages an outbox holds. Half of them are for bulk (inputs, results), so that answers find
/// room beside it.
pub const OUTBOX_MESSAGES: usize = 1_024;

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
pub struct Outbox(Arc<Level>);

/// The sender's end.
#[derive(Debug)]
pub struct Meter(Arc<Level>);

/// Why the driver ends a link.
#[derive(Debug)]
pub struct Closing {
    /// For people.
    pub reason: String,
    /// What the peer is told.
    pub how: Ending,
}

/// What the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// That the link is over.
    InOrder,
    /// That what it said makes no sense: another link would be no better.
    Misunderstood,
    /// That it was taken out of the grid.
    Removed,
}

/// The outbox has no room for what must be said.
#[derive(Debug)]
pub(super) struct Overflow;

/// What the outboxes of all links of one identity hold: a budget that many links make no larger.
#[derive(Debug, Default)]
pub struct IdentityLinks {
    bytes: AtomicUsize,
    answers: AtomicUsize,
    /// The driver waits for room in it.
    wanted: AtomicBool,
}

/// A message, and what it takes of the room.
#[derive(Debug)]
pub struct Queued<M> {
    /// The message.
    pub envelope: Envelope<M>,
    /// About how many bytes of memory it takes beside its payload.
    pub meta_bytes: usize,
    is_answer: bool,
}

/// What a message takes of the room.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    bytes: usize,
    is_answer: bool,
}

/// Who has room again, where the driver wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freed {
    /// The link.
    Link,
    /// All links of its identity.
    IdentityLinks,
}

#[derive(Debug)]
struct Level {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    answers: AtomicUsize,
    /// The driver waits for room.
    wanted: AtomicBool,
    kin: Arc<IdentityLinks>,
}

impl Level {
    fn add(&self, Weight { bytes, is_answer }: Weight) {
        self.messages.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.kin.bytes.fetch_add(bytes, Ordering::SeqCst);
        if is_answer {
            self.answers.fetch_add(bytes, Ordering::SeqCst);
            self.kin.answers.fetch_add(bytes, Ordering::SeqCst);
        }
    }

    /// Says how many messages and bytes the link has left.
    fn subtract(&self, Weight { bytes, is_answer }: Weight) -> (usize, usize) {
        if is_answer {
            self.answers.fetch_sub(bytes, Ordering::SeqCst);
            self.kin.answers.fetch_sub(bytes, Ordering::SeqCst);
        }
        self.kin.bytes.fetch_sub(bytes, Ordering::SeqCst);
        let left = self.bytes.fetch_sub(bytes, Ordering::SeqCst).saturating_sub(bytes);
        (self.messages.fetch_sub(1, Ordering::SeqCst).saturating_sub(1), left)
    }
}

impl Drop for Level {
    /// What was not sent goes with the link.
    fn drop(&mut self) {
        self.kin.bytes.fetch_sub(*self.bytes.get_mut(), Ordering::SeqCst);
        self.kin.answers.fetch_sub(*self.answers.get_mut(), Ordering::SeqCst);
    }
}

/// An empty outbox, and what takes off it.
#[must_use]
pub fn outbox(kin: Arc<IdentityLinks>) -> (Outbox, Meter) {
    let (messages, bytes, answers, wanted) = Default::default();
    let level = Arc::new(Level { messages, bytes, answers, wanted, kin });
    (Outbox(Arc::clone(&level)), Meter(level))
}

impl Outbox {
    /// Takes room for a message.
    ///
    /// # Errors
    /// [`Overflow`], if the outbox is full: the peer reads too slowly, and its link should be
    /// closed.
    pub(super) fn push<M>(&self, envelope: impl Into<Envelope<M>>) -> Result<Queued<M>, Overflow> {
        self.push_weighing(envelope, 0)
    }

    /// As [`Self::push`], if the message takes `meta_bytes` beside its payload, about, and those
    /// are not few.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(super) fn push_weighing<M>(
        &self,
        envelope: impl Into<Envelope<M>>,
        meta_bytes: usize,
    ) -> Result<Queued<M>, Overflow> {
        self.put(Queued { envelope: envelope.into(), meta_bytes, is_answer: false })
    }

    /// As [`Self::push_weighing`], for the answer to a request.
    ///
    /// # Errors
    /// [`Overflow`], also if too much waits for the identity.
    pub(super) fn push_answer<M>(
        &self,
        envelope: impl Into<Envelope<M>>,
        meta_bytes: usize,
    ) -> Result<Queued<M>, Overflow> {
        let waiting = self.0.kin.answers.load(Ordering::SeqCst);
        if waiting.saturating_add(meta_bytes) > ANSWERS_MAX {
            return Err(Overflow);
        }
        self.put(Queued { envelope: envelope.into(), meta_bytes, is_answer: true })
    }

    fn put<M>(&self, queued: Queued<M>) -> Result<Queued<M>, Overflow> {
        // Only the driver adds: what is free now stays free until it has added this.
        if self.0.messages.load(Ordering::SeqCst) >= OUTBOX_MESSAGES {
            return Err(Overflow);
        }
        self.0.add(queued.weight());
        Ok(queued)
    }

    /// How many bytes of answers wait for the links of the identity, and how many may, if it has to
    /// read some before it is given another list.
    pub(super) fn unread(&self) -> Option<(usize, usize)> {
        let waiting = self.0.kin.answers.load(Ordering::SeqCst);
        (waiting > ANSWERS_BYTES).then_some((waiting, ANSWERS_BYTES))
    }

    /// True if it is of this identity.
    pub(super) fn is_of(&self, kin: &Arc<IdentityLinks>) -> bool {
        Arc::ptr_eq(&self.0.kin, kin)
    }

    /// What it shares with the other links of its identity.
    pub(super) fn kin(&self) -> &Arc<IdentityLinks> {
        &self.0.kin
    }

    /// True if bulk may be pushed. If not, the meter says once there is room.
    pub(super) fn has_room(&self) -> bool {
        if self.is_roomy() {
            return true;
        }
        self.0.wanted.store(true, Ordering::SeqCst);
        if self.0.kin.is_full() {
            self.0.kin.wanted.store(true, Ordering::SeqCst);
        }
        // The sender may have made room just before it could see that it is wanted.
        self.is_roomy() && self.0.wanted.swap(false, Ordering::SeqCst)
    }

    fn is_roomy(&self) -> bool {
        self.0.bytes.load(Ordering::SeqCst) < OUTBOX_BYTES
            && !self.0.kin.is_full()
            && self.0.messages.load(Ordering::SeqCst) < OUTBOX_MESSAGES / 2
    }
}

impl Meter {
    /// A message was sent, or never will be. Says who has room by that, if the driver waits for it.
    pub fn sent(&self, weight: Weight) -> Option<Freed> {
        let (messages, bytes) = self.0.subtract(weight);
        if self.0.kin.has_waited() {
            return Some(Freed::IdentityLinks);
        }
        let roomy = bytes <= OUTBOX_BYTES / 2 && messages < OUTBOX_MESSAGES / 4;
        (roomy && self.0.wanted.swap(false, Ordering::SeqCst)).then_some(Freed::Link)
    }
}

impl IdentityLinks {
    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) >= KIN_BYTES
    }

    /// True if the driver waited for room in it, and there is some again.
    pub(super) fn has_waited(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
            && self.bytes.load(Ordering::SeqCst) <= KIN_BYTES / 2
            && self.wanted.swap(false, Ordering::SeqCst)
    }
}

impl<M> Queued<M> {
    /// What it takes of the room.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        let bytes = self.envelope.payload.len().saturating_add(self.meta_bytes);
        Weight { bytes, is_answer: self.is_answer }
    }
}
