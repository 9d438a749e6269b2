//! How a worker reaches its scheduler, again and again; and the task that carries the link.

use std::{fmt, sync::Arc};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wasmgrid_net::{Backoff, Endpoint, Link, Receiver, Sender};
use wasmgrid_proto::{
    frame::Envelope,
    wire::{FromWorker, ToWorker},
};

use crate::agent::Event;

/// Messages between the agent and the link's writer. Few: what does not fit stays with the
/// agent, where results that wait together become one batch.
const OUTBOX_MESSAGES: usize = 8;

/// How a worker reaches its scheduler.
#[derive(Clone)]
pub enum Dial {
    /// Over QUIC.
    Quic {
        /// Dials with the worker's credentials.
        endpoint: Endpoint,
        /// Where the scheduler may be, `HOST:PORT` each.
        addresses: Vec<String>,
    },
    /// In the same process: gives the worker's end of a new link each time it is called.
    InProcess(Arc<dyn Fn() -> Link<FromWorker, ToWorker> + Send + Sync>),
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quic { addresses, .. } => f.debug_tuple("Quic").field(addresses).finish(),
            Self::InProcess(_) => f.write_str("InProcess"),
        }
    }
}

impl Dial {
    async fn connect(&self) -> Result<Link<FromWorker, ToWorker>, String> {
        match self {
            Self::Quic { endpoint, addresses } => {
                endpoint.connect_worker(addresses).await.map_err(|error| error.to_string())
            }
            Self::InProcess(connect) => Ok(connect()),
        }
    }

    /// Keeps the agent linked until `stop`.
    pub(crate) async fn keep_linked(self, events: mpsc::Sender<Event>, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = stop.cancelled() => return,
            };
            let reason = match connected {
                Ok(link) => match carry(link, &events, &stop, &mut backoff).await {
                    Some(reason) => reason,
                    // The agent is gone.
                    None => return,
                },
                Err(reason) => reason,
            };
            let wait = backoff.next();
            tracing::warn!(reason, retry_in = ?wait, "no link to the scheduler");
            if events.send(Event::Unlinked { reason }).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Carries one link until it ends; says why, or `None` where the agent is gone.
async fn carry(
    link: Link<FromWorker, ToWorker>,
    events: &mpsc::Sender<Event>,
    stop: &CancellationToken,
    backoff: &mut Backoff,
) -> Option<String> {
    let Link { sender, receiver, .. } = link;
    let (outbox, outgoing) = mpsc::channel(OUTBOX_MESSAGES);
    events.send(Event::Linked { outbox }).await.ok()?;
    let reason = tokio::select! {
        reason = read(receiver, events, backoff) => reason,
        reason = write(&sender, outgoing) => Some(reason),
        () = stop.cancelled() => None,
    };
    sender.close(reason.as_deref().unwrap_or("the worker stops"));
    reason
}

async fn read(
    mut receiver: Receiver<ToWorker>,
    events: &mpsc::Sender<Event>,
    backoff: &mut Backoff,
) -> Option<String> {
    loop {
        match receiver.recv().await {
            Ok(Some(envelope)) => {
                // Only a scheduler that speaks is worth dialling at once again.
                backoff.reset();
                events.send(Event::Heard { envelope }).await.ok()?;
            }
            Ok(None) => return Some("the scheduler closed the link".into()),
            Err(error) => return Some(error.to_string()),
        }
    }
}

async fn write(
    sender: &Sender<FromWorker>,
    mut outgoing: mpsc::Receiver<Envelope<FromWorker>>,
) -> String {
    while let Some(envelope) = outgoing.recv().await {
        if let Err(error) = sender.send(envelope).await {
            return error.to_string();
        }
    }
    "the worker closed the link".into()
}
