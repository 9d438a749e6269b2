//! A connection that ends if its client keeps it without use: one that does not say which protocol it
//! speaks, and one that takes nothing of what is sent to it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::{answer::STALL_TIME, serve::HEAD_TIME};

/// How HTTP/2 begins. As long as a connection may still begin so, no other limit of time is in force.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection with these limits.
pub struct Guarded<T> {
    io: T,
    /// How much of the preface has come, and until when the rest may come.
    beginning: Option<(usize, Pin<Box<Sleep>>)>,
    /// Until when something must be taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> Guarded<T> {
    /// Of a connection that begins now.
    pub fn new(io: T) -> Self {
        Self { io, beginning: Some((0, Box::pin(sleep(HEAD_TIME)))), stalled: None }
    }

    fn begins(&mut self, came: &[u8]) {
        let Some((at, _)) = &mut self.beginning else { return };
        let rest = PREFACE.get(*at..).unwrap_or_default();
        if rest.len() > came.len() && rest.starts_with(came) {
            *at += came.len();
        } else {
            self.beginning = None;
        }
    }

    /// What a write came to; fails if none has come to anything for too long.
    fn written<R>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_TIME)));
        if stalled.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(late("the client takes nothing of its answer")));
        }
        Poll::Pending
    }
}

fn late(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((_, ends)) = &mut self.beginning
            && ends.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(late("no request came in time")));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if read.is_ready() {
            self.begins(buffer.filled().get(before..).unwrap_or_default());
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.written(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_half_a_preface_ends() {
        let (mut client, server) = duplex(64);
        let mut server = Guarded::new(server);
        client.write_all(b"PRI * H").await.expect("open");
        let mut all = Vec::new();
        let error = server.read_to_end(&mut all).await.expect_err("in time");
        assert_eq!((error.kind(), all.as_slice()), (io::ErrorKind::TimedOut, &b"PRI * H"[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_has_begun_is_read_without_this_limit() {
        for begun in [&b"POST"[..], PREFACE] {
            let (mut client, server) = duplex(64);
            let mut server = Guarded::new(server);
            client.write_all(begun).await.expect("open");
            let mut all = vec![0; begun.len()];
            server.read_exact(&mut all).await.expect("it came");
            sleep(2 * HEAD_TIME).await;
            client.write_all(b"!").await.expect("open");
            assert_eq!(server.read_u8().await.expect("it came"), b'!');
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_ends_its_connection() {
        let (mut client, server) = duplex(4);
        let mut server = Guarded::new(server);
        let writing = async { server.write_all(&[0; 12]).await };
        let reading = async {
            // It is slow, and takes something in time.
            for _ in 0..2 {
                sleep(STALL_TIME / 2).await;
                client.read_exact(&mut [0; 4]).await.expect("open");
            }
        };
        let (written, ()) = tokio::join!(writing, reading);
        written.expect("slow is no reason");
        let error = server.write_all(&[0; 12]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
