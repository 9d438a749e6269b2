//! The agent's end of a runner's socket. It hears of the socket only what it waits for: a stream of
//! the runtime's would be told each time that the runner has read something, and so wake the agent
//! up for every batch it has sent, with nothing to do.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use bytes::{Buf, BufMut as _, BytesMut};
use tokio::io::{Interest, unix::AsyncFd};

/// See the module.
pub(super) struct Channel {
    socket: AsyncFd<UnixStream>,
}

impl Channel {
    /// Of a socket that does not block. To be called inside a runtime.
    ///
    /// # Errors
    /// Where the runtime cannot watch it.
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        // SAFETY: the socket keeps its descriptor until it is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? };
        Ok(Self { socket })
    }

    /// Reads what is there into the room that `buffer` has; 0 at the end. Cancel safe.
    ///
    /// # Errors
    /// As the socket says.
    pub(super) async fn read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            let mut ready = self.socket.readable().await?;
            let read = ready.try_io(|socket| {
                // SAFETY: reading puts bytes into the room, and nothing else.
                let room = unsafe { buffer.chunk_mut().as_uninit_slice_mut() };
                let (read, _) = rustix::io::read(socket, room)?;
                Ok(read.len())
            });
            let Ok(read) = read else { continue };
            let count = read?;
            // SAFETY: so many bytes of the room were just written.
            unsafe { buffer.advance_mut(count) };
            return Ok(count);
        }
    }

    /// Does what writes to the socket, as soon as that does not block.
    ///
    /// # Errors
    /// As `write` says.
    pub(super) async fn write_with<T>(
        &self,
        mut write: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let would_block = |done: &io::Result<T>| {
            done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        let socket = self.socket.get_ref();
        let done = write(socket.as_fd());
        if !would_block(&done) {
            return done;
        }
        // Watched by another name, which is gone again when the runner has read enough.
        let writable = OwnedFd::from(socket.try_clone()?);
        // SAFETY: as above.
        let writable = unsafe { AsyncFd::register_with_interest(writable, Interest::WRITABLE)? };
        loop {
            let mut ready = writable.writable().await?;
            if let Ok(done) = ready.try_io(|socket| write(socket.as_fd())) {
                return done;
            }
        }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// As the socket says.
    pub(super) async fn write_all_buf(&self, bytes: &mut impl Buf) -> io::Result<()> {
        while bytes.has_remaining() {
            let part = bytes.chunk();
            let flags = rustix::net::SendFlags::NOSIGNAL;
            let write = |socket: BorrowedFd<'_>| Ok(rustix::net::send(socket, part, flags)?);
            let written = self.write_with(write).await?;
            bytes.advance(written);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[tokio::test]
    async fn more_than_the_socket_holds_arrives_while_it_is_read() {
        let (ours, mut theirs) = UnixStream::pair().expect("sockets");
        ours.set_nonblocking(true).expect("a socket");
        let channel = Channel::new(ours).expect("a runtime");
        let sent: Vec<u8> = (0..4 << 20).map(|at: u32| at as u8).collect();
        let echo = std::thread::spawn(move || {
            let mut all = vec![0; 4 << 20];
            theirs.read_exact(&mut all).expect("all of it");
            theirs.write_all(&all).expect("read");
        });
        channel.write_all_buf(&mut &sent[..]).await.expect("written");
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(64 << 10);
            if channel.read_buf(&mut buffer).await.expect("read") == 0 {
                break;
            }
        }
        assert!(buffer == sent);
        echo.join().expect("ended");
    }
}
