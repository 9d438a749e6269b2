//! The control stream: small messages in order, many a write.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::sync::{mpsc, watch};
use wasmgrid_failpoints::{Place, reach};
use wasmgrid_proto::{
    frame::{self, CONTROL_FRAME_MAX, FrameError},
    wire::Message,
};

use super::{close::link_end, pace, signal::Signal};
use crate::{
    budget::Budget,
    lane::{Arrivals, Item},
    link::{LinkError, LinkState},
    release::Release,
    unsendable,
};

/// Messages that go into one write: the bytes of all of them stay under the lane's room.
const BATCH: usize = 256;

/// Bytes taken from the stream at a time.
const READ_MAX: usize = 64 << 10;

/// Writes what is queued until the lane ends or the link is to close; then everything was written.
/// What is too large for the control stream is spilled.
pub(super) async fn write<M: Message>(
    items: &mut mpsc::Receiver<Item<M>>,
    stream: &mut SendStream,
    spill: mpsc::Sender<Item<M>>,
    state: &LinkState,
    (peer, patience): (&str, Option<Duration>),
) -> Result<(), LinkError> {
    let (mut batch, mut rooms) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    let mut buffer = BytesMut::new();
    while take(items, &mut batch, state).await > 0 {
        for mut item in batch.drain(..) {
            let start = buffer.len();
            if !unsendable::encode(&mut item.envelope, &mut buffer, frame::encode) {
                continue;
            }
            if buffer.len() - start > CONTROL_FRAME_MAX {
                buffer.truncate(start);
                // There is a place for each message that the lane has room for.
                let _ = spill.try_send(item);
            } else {
                rooms.push(item.room);
            }
        }
        reach(Place::LinkBeforeSend);
        let mut written = [buffer.split().freeze()];
        let written = pace::write_all(stream, &mut written, patience).await;
        reach(Place::LinkAfterSend);
        rooms.clear();
        if let Err(unwritten) = written {
            return unwritten.end(peer);
        }
    }
    Ok(())
}

/// Takes what is queued, and waits for the first of it; none once the lane has ended.
async fn take<M>(
    items: &mut mpsc::Receiver<Item<M>>,
    batch: &mut Vec<Item<M>>,
    state: &LinkState,
) -> usize {
    tokio::select! {
        biased;
        taken = items.recv_many(batch, BATCH) => taken,
        () = state.closing() => {
            items.close();
            items.recv_many(batch, BATCH).await
        }
    }
}

/// Reads messages until the peer ends the link in order, and every large message has arrived too.
pub(super) async fn read<M: Message>(
    mut stream: RecvStream,
    (arrived, budget): (Arrivals<M>, Arc<Budget>),
    mut bulk: watch::Receiver<u64>,
    state: Arc<LinkState>,
    peer: String,
) -> Result<(), LinkError> {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(frame) = next_frame(&mut buffer).map_err(|e| malformed(e, &peer))? {
            // Before it is decoded, which takes memory. The rooms of budgets are never closed.
            let Some(room) = budget.small(frame.len(), frame::meta_len(&frame)).await else {
                return Ok(());
            };
            match read_frame(frame).map_err(|e| malformed(e, &peer))? {
                Next::Message(envelope) => {
                    // Where nobody reads any more the rest is read and dropped, so that the
                    // peer's end is seen.
                    let _ = arrived.send(Item { envelope, room }).await;
                }
                Next::End { bulk: sent } => {
                    // An error means that the connection is gone, which is told elsewhere.
                    let _ = bulk.wait_for(|received| *received >= sent).await;
                    return Ok(());
                }
                Next::Unknown(kind) => tracing::debug!(peer, kind, "ignored an unknown message"),
            }
        }
        match stream.read_chunk(READ_MAX, true).await {
            Ok(Some(chunk)) => buffer.extend_from_slice(&chunk.bytes),
            // To an end that this side asked for the peer need not say a word.
            Ok(None) if state.is_closing() => return Ok(()),
            Ok(None) => {
                let reason = "its stream ended without a message".into();
                return Err(LinkError::Lost { peer, reason });
            }
            Err(ReadError::ConnectionLost(error)) => return link_end(&error, &peer),
            Err(error) => return Err(LinkError::Lost { peer, reason: error.to_string() }),
        }
    }
}

enum Next<M> {
    Message(frame::Envelope<M>),
    End {
        bulk: u64,
    },
    /// Of a kind that is not known here.
    Unknown(u16),
}

/// Takes the first frame off the buffer; `None` until it is whole.
fn next_frame(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = frame::frame_len(buffer, CONTROL_FRAME_MAX)? else { return Ok(None) };
    if buffer.len() < length {
        return Ok(None);
    }
    Ok(Some(buffer.split_to(length).freeze()))
}

fn read_frame<M: Message>(frame: Bytes) -> Result<Next<M>, FrameError> {
    match Signal::decode(&frame)? {
        Some(Signal::End { bulk }) => return Ok(Next::End { bulk }),
        Some(Signal::Open(_)) | None => {}
    }
    let kind = frame::kind(&frame);
    Ok(frame::decode(frame)?.map_or(Next::Unknown(kind), Next::Message))
}

pub(super) fn malformed(source: FrameError, peer: &str) -> LinkError {
    // Which release it is, the link's driver knows.
    LinkError::Malformed { peer: peer.to_owned(), theirs: Release::default(), source }
}

pub(super) fn write_end(error: &WriteError, peer: &str) -> Result<(), LinkError> {
    match error {
        WriteError::ConnectionLost(error) => link_end(error, peer),
        error => Err(LinkError::Lost { peer: peer.to_owned(), reason: error.to_string() }),
    }
}
