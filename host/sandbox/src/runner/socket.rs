//! The runner's end of its socket: blocking reads of frames, with the descriptors that come
//! along. A descriptor is attached to the first byte of its frame, so that it has arrived when
//! the frame has, and descriptors come in the order of the frames that bring them.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

use bytes::{Bytes, BytesMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use wasmgrid_proto::{
    BLOBS_MAX,
    frame::{self, Envelope, FRAME_MAX},
};

use super::{
    message::{RunBatch, ToRunner},
    queue::ReceivedBatch,
};

/// Descriptors of one message: a batch's code and blobs.
const DESCRIPTORS_MAX: usize = 1 + BLOBS_MAX;

/// Read at once.
const READ_BYTES: usize = 64 << 10;

/// See the module.
pub(super) struct Receiver {
    socket: UnixStream,
    scratch: Vec<u8>,
    buffer: BytesMut,
    descriptors: VecDeque<OwnedFd>,
}

impl Receiver {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            scratch: vec![0; READ_BYTES],
            buffer: BytesMut::new(),
            descriptors: VecDeque::new(),
        }
    }

    /// The next message; `None` once the agent has closed.
    ///
    /// # Errors
    /// As the socket says, or where the agent says nonsense.
    pub(super) fn next(&mut self) -> io::Result<Option<Envelope<ToRunner>>> {
        loop {
            if let Some(envelope) = self.buffered()? {
                return Ok(Some(envelope));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next message, where all of it has come.
    ///
    /// # Errors
    /// Where the agent says nonsense.
    pub(super) fn buffered(&mut self) -> io::Result<Option<Envelope<ToRunner>>> {
        while let Some(length) = frame_len(&self.buffer)? {
            let frame = take_frame(&mut self.buffer, length);
            if let Some(envelope) = frame::decode(frame).map_err(io::Error::other)? {
                return Ok(Some(envelope));
            }
        }
        Ok(None)
    }

    /// The batch that the last message is.
    pub(super) fn batch(
        &mut self,
        run: Box<RunBatch>,
        payload: Bytes,
    ) -> io::Result<ReceivedBatch> {
        let code = self.descriptor()?;
        let blobs = run.spec.blobs.iter().map(|_| self.descriptor()).collect::<io::Result<_>>()?;
        Ok(ReceivedBatch { run, payload, code, blobs })
    }

    /// The next of the descriptors that came with the last message.
    pub(super) fn descriptor(&mut self) -> io::Result<OwnedFd> {
        self.descriptors.pop_front().ok_or_else(|| io::Error::other("a descriptor is missing"))
    }

    /// Its descriptor, to be closed in a child.
    pub(super) fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Waits for something, and says how many bytes it was: 0 once the agent has closed.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let parts = &mut [IoSliceMut::new(&mut self.scratch)];
            match rustix::net::recvmsg(&self.socket, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(message) => break message.bytes,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.buffer.extend_from_slice(self.scratch.get(..received).unwrap_or_default());
        self.buffer.reserve(frame_rest(&self.buffer)?);
        Ok(received)
    }
}

/// How long the whole frame at the start of `buffer` is; `None` until all of it is there.
pub(crate) fn frame_len(buffer: &[u8]) -> io::Result<Option<usize>> {
    let length = frame::frame_len(buffer, FRAME_MAX).map_err(io::Error::other)?;
    Ok(length.filter(|length| buffer.len() >= *length))
}

/// How much of the frame at the start of `buffer` is to come, as far as that is known: a buffer
/// with room for it is not moved to a larger place again and again.
pub(crate) fn frame_rest(buffer: &[u8]) -> io::Result<usize> {
    let length = frame::frame_len(buffer, FRAME_MAX).map_err(io::Error::other)?;
    Ok(length.unwrap_or(0).saturating_sub(buffer.len()))
}

/// What a buffer may keep of its memory behind a large frame: neither end stays as large as the
/// largest result it has carried.
pub(crate) const KEPT_BYTES: usize = 1 << 20;

/// Takes the frame of this length out of `buffer`.
pub(crate) fn take_frame(buffer: &mut BytesMut, length: usize) -> Bytes {
    let frame = buffer.split_to(length).freeze();
    // Also an empty rest would keep all of the memory that it was once a part of.
    if buffer.is_empty() && length > KEPT_BYTES {
        *buffer = BytesMut::new();
    }
    frame
}

/// Sends the start of `bytes` with these descriptors; says how many bytes went.
pub(crate) fn send_with(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("no room for so many descriptors"));
    }
    let parts = [IoSlice::new(bytes)];
    Ok(rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL)?)
}
