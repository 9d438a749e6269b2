//! Large messages, each on a unidirectional stream of its own.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ReadError, RecvStream};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
};
use wasmgrid_proto::{
    frame::{self, FRAME_MAX, HEADER_LEN},
    wire::Message,
};

use super::{close::link_end, control::malformed, pace, profile::BULK_STREAMS};
use crate::{
    budget::Budget,
    lane::{Arrivals, Item},
    link::{LinkError, LinkState},
    unsendable,
};

/// Payloads that wait or are on their way to the peer: the largest there can be, and some more.
pub(super) const SEND_ROOM: usize = FRAME_MAX + (8 << 20);

/// Large messages sent at once: enough to fill the path, few enough that each is soon done.
const SENDS: usize = 8;

/// Streams read at once: every one that a peer may open.
const RECEIVES: usize = BULK_STREAMS as usize;

/// Packets taken from a stream at a time: each time locks the connection.
const READ_PACKETS: usize = 64;

/// Allocated for a large message before all of it has come: most need no more, and are never moved
/// to a larger place. Untouched it costs nothing, and the room for it is bounded.
const FIRST_ALLOCATION: usize = 2 << 20;

/// Sends what is queued until both queues end or the link is to close. Says how many were sent.
pub(super) async fn write<M: Message>(
    connection: &Connection,
    items: &mut mpsc::Receiver<Item<M>>,
    mut spilled: mpsc::Receiver<Item<M>>,
    state: &LinkState,
    (peer, patience): (&str, Option<Duration>),
) -> Result<u64, LinkError> {
    let mut streams = JoinSet::new();
    let (mut more, mut more_spilled, mut sent) = (true, true, 0);
    while more || more_spilled || !streams.is_empty() {
        let free = streams.len() < SENDS;
        let item = tokio::select! {
            item = take(items, state), if more && free => { more = item.is_some(); item }
            item = spilled.recv(), if more_spilled && free => {
                more_spilled = item.is_some();
                item
            }
            Some(done) = streams.join_next() => { joined(done, peer)?; None }
        };
        if let Some(mut item) = item {
            let mut head = BytesMut::new();
            if unsendable::encode(&mut item.envelope, &mut head, frame::encode_head) {
                sent += 1;
                let head = head.freeze();
                streams.spawn(send(connection.clone(), head, item, peer.to_owned(), patience));
            }
        }
    }
    Ok(sent)
}

async fn take<M>(items: &mut mpsc::Receiver<Item<M>>, state: &LinkState) -> Option<Item<M>> {
    tokio::select! {
        biased;
        item = items.recv() => item,
        () = state.closing() => {
            items.close();
            items.recv().await
        }
    }
}

async fn send<M: Message>(
    connection: Connection,
    head: Bytes,
    item: Item<M>,
    peer: String,
    patience: Option<Duration>,
) -> Result<(), LinkError> {
    let mut stream = match connection.open_uni().await {
        Ok(stream) => stream,
        Err(error) => return link_end(&error, &peer),
    };
    let mut chunks = [head, item.envelope.payload];
    let written = pace::write_all(&mut stream, &mut chunks, patience).await;
    written.or_else(|unwritten| unwritten.end(&peer))
    // The stream finishes when it is dropped.
}

/// Takes large messages until the connection ends or one is malformed. Counts those received.
pub(super) async fn read<M: Message>(
    connection: Connection,
    into: (Arrivals<M>, Arc<Budget>),
    received: watch::Sender<u64>,
    peer: String,
) -> Result<(), LinkError> {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_uni(), if streams.len() < RECEIVES => match stream {
                Ok(stream) => {
                    streams.spawn(receive(stream, into.clone(), peer.clone()));
                }
                Err(_) => break,
            },
            Some(done) = streams.join_next() => {
                joined(done, &peer)?;
                received.send_modify(|count| *count += 1);
            }
        }
    }
    while let Some(done) = streams.join_next().await {
        joined(done, &peer)?;
        received.send_modify(|count| *count += 1);
    }
    // How the connection ended is the control stream's to say, after what it still has.
    std::future::pending().await
}

async fn receive<M: Message>(
    mut stream: RecvStream,
    (arrived, budget): (Arrivals<M>, Arc<Budget>),
    peer: String,
) -> Result<(), LinkError> {
    let mut buffer = BytesMut::new();
    let fill = async |stream: &mut RecvStream, buffer: &mut BytesMut, most| {
        pace::going(budget.patience, fill(stream, buffer, most, &peer)).await.unwrap_or_else(|| {
            let reason = "it began a large message and sent no more of it".into();
            Err(LinkError::Lost { peer: peer.clone(), reason })
        })
    };
    let length = loop {
        let length =
            frame::frame_len(&buffer, FRAME_MAX).map_err(|error| malformed(error, &peer))?;
        if let Some(length) = length.filter(|_| buffer.len() >= HEADER_LEN) {
            break length;
        }
        // No more than is needed: the rest goes to a place that is large enough for all of it.
        fill(&mut stream, &mut buffer, 1).await?;
    };
    // The rooms of budgets are never closed.
    let Some(room) = budget.data(length, frame::meta_len(&buffer)).await else { return Ok(()) };
    buffer.reserve(length.min(FIRST_ALLOCATION).saturating_sub(buffer.len()));
    while buffer.len() < length {
        fill(&mut stream, &mut buffer, READ_PACKETS).await?;
    }
    let frame = buffer.freeze();
    if let Some(envelope) = frame::decode(frame).map_err(|error| malformed(error, &peer))? {
        // False where nobody reads any more.
        let _ = arrived.send(Item { envelope, room }).await;
    }
    Ok(())
}

async fn fill(
    stream: &mut RecvStream,
    buffer: &mut BytesMut,
    most: usize,
    peer: &str,
) -> Result<(), LinkError> {
    let mut packets = [const { Bytes::new() }; READ_PACKETS];
    let (taken, _) = packets.split_at_mut(most.min(READ_PACKETS));
    match stream.read_chunks(taken).await {
        Ok(Some(count)) => {
            packets.iter().take(count).for_each(|packet| buffer.extend_from_slice(packet));
            Ok(())
        }
        // It was cut off with the link, whose end is still on its way.
        Ok(None) => {
            let reason = "a large message ended before its length".into();
            Err(LinkError::Lost { peer: peer.to_owned(), reason })
        }
        // Where the connection ended in order, so did the message: it was never whole.
        Err(ReadError::ConnectionLost(error)) => {
            link_end(&error, peer)?;
            Err(LinkError::Lost { peer: peer.to_owned(), reason: "it was closed".into() })
        }
        Err(error) => Err(LinkError::Lost { peer: peer.to_owned(), reason: error.to_string() }),
    }
}

fn joined(done: Result<Result<(), LinkError>, JoinError>, peer: &str) -> Result<(), LinkError> {
    done.unwrap_or_else(|error| {
        Err(LinkError::Lost { peer: peer.to_owned(), reason: error.to_string() })
    })
}
