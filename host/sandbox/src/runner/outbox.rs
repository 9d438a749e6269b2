//! Results on their way to the agent. They gather, so that a batch of tiny tasks is one message,
//! but not for long: they leave at the end of a batch, when 256 KiB have gathered, or 10 ms after
//! the last ones left, also while the next task runs.

use std::{
    io::{self, Write as _},
    mem,
    os::unix::net::UnixStream,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use wasmgrid_proto::{
    Extensions, ResultBlock, ResultMeta,
    budget::{BLOCK_META, RESULT_FIXED, RESULT_META_MAX, RESULT_PAYLOAD_MAX},
    frame::{self, Envelope, FRAME_MAX, HEADER_LEN, META_MAX},
    pace::FLUSH_US,
};

use super::{
    message::{FromRunner, Results, Returned, RunBatch},
    socket::KEPT_BYTES,
};
use crate::time::now_us;

/// As soon as so much has gathered, it leaves. So one message has less than this and one result, which
/// fits a frame whatever it is.
const FLUSH_BYTES: usize = 256 << 10;

/// The longest meta of one message.
const META_BYTES_MAX: usize =
    FLUSH_BYTES / META_BYTES * RESULT_FIXED + RESULT_META_MAX + BLOCK_META;

const _: () = assert!(META_BYTES_MAX < META_MAX, "one more result has room in a meta");
const _: () = assert!(
    FLUSH_BYTES + RESULT_PAYLOAD_MAX + META_BYTES_MAX + HEADER_LEN < FRAME_MAX,
    "and in a frame"
);

/// A payload of so many bytes is not copied on its way to the socket.
const LARGE_BYTES: usize = 64 << 10;

/// What the lengths and the numbers of a result take, roughly; its texts come on top.
const META_BYTES: usize = 64;

/// See the module.
pub(super) struct Outbox {
    pending: Mutex<Pending>,
    /// Apart from the results, so that the reader of the socket never waits for a write.
    returned: Mutex<Vec<Returned>>,
}

struct Pending {
    socket: UnixStream,
    batch: u64,
    block: Option<ResultBlock>,
    payload: BytesMut,
    bytes: usize,
    flushed_us: u64,
    frame: BytesMut,
}

impl Outbox {
    pub(super) fn new(socket: UnixStream) -> Self {
        let pending = Pending {
            socket,
            batch: 0,
            block: None,
            payload: BytesMut::new(),
            bytes: 0,
            flushed_us: 0,
            frame: BytesMut::new(),
        };
        Self { pending: Mutex::new(pending), returned: Mutex::default() }
    }

    /// Adds one result of a batch; a large `payload` is taken away.
    ///
    /// # Errors
    /// Where the agent does not listen any more.
    pub(super) fn push(
        &self,
        run: &RunBatch,
        mut result: ResultMeta,
        payload: &mut BytesMut,
        now_us: u64,
    ) -> io::Result<()> {
        if !result.fit() {
            payload.clear();
        }
        let mut pending = lock(&self.pending);
        if pending.batch != run.batch {
            pending.flush(now_us)?;
            pending.batch = run.batch;
        }
        pending.bytes += payload.len() + META_BYTES + result.varying_bytes();
        if pending.payload.is_empty() && payload.len() >= LARGE_BYTES {
            mem::swap(&mut pending.payload, payload);
        } else {
            pending.payload.extend_from_slice(payload);
        }
        let block = pending.block.get_or_insert_with(|| ResultBlock {
            job: run.job,
            lease: run.lease,
            worker: run.worker,
            attempt: run.attempt,
            results: Vec::new(),
            extensions: Extensions::NONE,
        });
        block.results.push(result);
        if pending.bytes >= FLUSH_BYTES || now_us >= pending.flushed_us.saturating_add(FLUSH_US) {
            pending.flush(now_us)?;
        }
        Ok(())
    }

    /// Adds tasks that were revoked; they leave with the next flush.
    pub(super) fn push_returned(&self, returned: Vec<Returned>) {
        lock(&self.returned).extend(returned);
    }

    /// True where something waits that should have left.
    pub(super) fn is_late(&self) -> bool {
        if !lock(&self.returned).is_empty() {
            return true;
        }
        // A lock that is held is held by a flush.
        let Ok(pending) = self.pending.try_lock() else { return false };
        pending.block.is_some() && now_us() >= pending.flushed_us.saturating_add(FLUSH_US)
    }

    /// Sends all there is.
    ///
    /// # Errors
    /// Where the agent does not listen any more.
    pub(super) fn flush(&self) -> io::Result<()> {
        let returned = mem::take(&mut *lock(&self.returned));
        let mut pending = lock(&self.pending);
        pending.flush(now_us())?;
        for returned in returned {
            pending.send(FromRunner::Returned(returned).into())?;
        }
        Ok(())
    }
}

impl Pending {
    fn flush(&mut self, now_us: u64) -> io::Result<()> {
        self.flushed_us = now_us;
        let Some(block) = self.block.take() else { return Ok(()) };
        // What is split off shares its memory with the empty rest, which would keep all of it.
        let is_large = self.payload.len() > KEPT_BYTES;
        let payload: Bytes =
            if is_large { mem::take(&mut self.payload) } else { self.payload.split() }.freeze();
        self.bytes = 0;
        let message = FromRunner::Results(Results { batch: self.batch, block });
        self.send(Envelope { message, payload })
    }

    fn send(&mut self, envelope: Envelope<FromRunner>) -> io::Result<()> {
        self.frame.clear();
        if envelope.payload.len() < LARGE_BYTES {
            frame::encode(&envelope, &mut self.frame).map_err(io::Error::other)?;
            self.socket.write_all(&self.frame)?;
        } else {
            frame::encode_head(&envelope, &mut self.frame).map_err(io::Error::other)?;
            self.socket.write_all(&self.frame)?;
            self.socket.write_all(&envelope.payload)?;
        }
        if self.frame.capacity() > KEPT_BYTES {
            self.frame = BytesMut::new();
        }
        Ok(())
    }
}

/// What waits is valid after a panic: each change of it is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
