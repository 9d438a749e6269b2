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

/// What the scheduler is told where the agent ends the link.
const HUNG_UP: &str = "the worker closed the link";

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
            let end = match connected {
                Ok(link) => carry(link, &events, &stop, &mut backoff).await,
                Err(reason) => End::Lost(reason),
            };
            let wait = backoff.next();
            let reason = match end {
                End::Lost(reason) => {
                    tracing::warn!(reason, retry_in = ?wait, "no link to the scheduler");
                    reason
                }
                End::HungUp => HUNG_UP.into(),
                End::Over => return,
            };
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

/// How a link was over.
enum End {
    /// Not by this side's wish; why.
    Lost(String),
    /// The agent hung up.
    HungUp,
    /// The worker stops, or the agent is gone: nobody needs another link.
    Over,
}

/// Carries one link until it ends.
async fn carry(
    link: Link<FromWorker, ToWorker>,
    events: &mpsc::Sender<Event>,
    stop: &CancellationToken,
    backoff: &mut Backoff,
) -> End {
    let Link { sender, receiver, .. } = link;
    let (outbox, outgoing) = mpsc::channel(OUTBOX_MESSAGES);
    if events.send(Event::Linked { outbox }).await.is_err() {
        return End::Over;
    }
    let end = tokio::select! {
        end = read(receiver, events, backoff) => end,
        end = write(&sender, outgoing) => end,
        () = stop.cancelled() => End::Over,
    };
    sender.close(match &end {
        End::Lost(reason) => reason,
        End::HungUp => HUNG_UP,
        End::Over => "the worker stops",
    });
    end
}

async fn read(
    mut receiver: Receiver<ToWorker>,
    events: &mpsc::Sender<Event>,
    backoff: &mut Backoff,
) -> End {
    loop {
        match receiver.recv().await {
            Ok(Some(envelope)) => {
                // Only a scheduler that speaks is worth dialling at once again.
                backoff.reset();
                if events.send(Event::Heard { envelope }).await.is_err() {
                    return End::Over;
                }
            }
            Ok(None) => return End::Lost("the scheduler closed the link".into()),
            Err(error) => return End::Lost(error.to_string()),
        }
    }
}

async fn write(
    sender: &Sender<FromWorker>,
    mut outgoing: mpsc::Receiver<Envelope<FromWorker>>,
) -> End {
    while let Some(envelope) = outgoing.recv().await {
        if let Err(error) = sender.send(envelope).await {
            return End::Lost(error.to_string());
        }
    }
    End::HungUp
}
