//! Messages on their way to the link, so that the actor need not wait while the peer is slow.

use std::{collections::VecDeque, pin::Pin};

use wasmgrid_net::{LinkClosed, Sender};
use wasmgrid_proto::{frame::Envelope, wire::FromClient};

/// With more messages waiting, no new question is taken. What goes with a reconnection or with
/// reading comes on top; it is bounded by the questions and watches there are.
const ROOM: usize = 64;

type Sending = Pin<Box<dyn Future<Output = Result<(), LinkClosed>> + Send>>;

/// A queue in front of one link.
pub struct Outbox {
    sender: Sender<FromClient>,
    queue: VecDeque<Envelope<FromClient>>,
    /// The message that waits for room on the link; kept here, so that dropping the future of
    /// [`Outbox::flush`] loses nothing.
    sending: Option<Sending>,
}

impl Outbox {
    pub fn new(sender: Sender<FromClient>) -> Self {
        Self { sender, queue: VecDeque::new(), sending: None }
    }

    pub fn push(&mut self, envelope: Envelope<FromClient>) {
        self.queue.push_back(envelope);
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.sending.is_none()
    }

    pub fn has_room(&self) -> bool {
        self.queue.len() < ROOM
    }

    pub fn close(&self, reason: &str) {
        self.sender.close(reason);
    }

    /// Sends all that waits, in order. Cancel safe.
    pub async fn flush(&mut self) -> Result<(), LinkClosed> {
        loop {
            if let Some(sending) = &mut self.sending {
                let sent = sending.await;
                self.sending = None;
                sent?;
            }
            let Some(envelope) = self.queue.pop_front() else { return Ok(()) };
            let sender = self.sender.clone();
            self.sending = Some(Box::pin(async move { sender.send(envelope).await }));
        }
    }
}
