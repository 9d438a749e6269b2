//! The gateway's connections: accepted, bounded in number and time, and served until the gateway
//! stops. What a request means is none of its business.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use bytes::Bytes;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service as _;

use crate::{
    connections::{CONNECTIONS_MAX, Connection, Connections, Open},
    guarded::Guarded,
};

/// For how long a client may take for a TLS handshake, and for the head of a request.
pub const HEAD_TIME: Duration = Duration::from_secs(10);

/// Bytes of a request's head at most, and of what is read ahead of its body.
const HEAD_BYTES: usize = 64 << 10;

/// Headers of a request at most.
const HEADERS_MAX: usize = 100;

/// Requests on one connection of HTTP/2 at once.
const STREAMS_MAX: u32 = 256;

/// Bytes of one HTTP/2 stream's body that may come unread, and of all of a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How often a silent HTTP/2 connection is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// For how long requests may go on once the gateway stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long accepting rests after an error, which is mostly a lack of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// From where a request came.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

/// What bytes come over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An accepted connection to come.
pub type Handshake = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Ends TLS.
pub trait Tls: Send + Sync + 'static {
    /// Does the handshake on a connection.
    fn accept(&self, stream: TcpStream) -> Handshake;
}

/// Serves until `stop`.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    tls: Option<Arc<dyn Tls>>,
    stop: CancellationToken,
) {
    let (connections, tasks) = (Connections::new(CONNECTIONS_MAX), TaskTracker::new());
    for number in 0.. {
        let next = async {
            let (stream, address) = listener.accept().await?;
            Ok((connections.place(number, address.ip()).await, stream, address))
        };
        let accepted: io::Result<_> = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((None, ..)) => break,
            Ok((Some(place), stream, address)) => {
                let (router, tls, stop) = (router.clone(), tls.clone(), stop.clone());
                tasks.spawn(async move {
                    connection(router, stream, address, tls, stop, place).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "failed to accept a connection");
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(LAST_ANSWERS, tasks.wait()).await.is_err() {
        tracing::debug!(connections = tasks.len(), "connections are cut");
    }
}

async fn connection(
    router: Router,
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<dyn Tls>>,
    stop: CancellationToken,
    place: Connection,
) {
    // Small answers leave at once. A connection that is over already fails at its first read.
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(tls) => {
            let accepted = tokio::select! {
                accepted = tokio::time::timeout(HEAD_TIME, tls.accept(stream)) => accepted,
                () = place.gives_way() => return,
            };
            match accepted {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, %address, "no TLS handshake"),
                Err(_) => return tracing::debug!(%address, "no TLS handshake in time"),
            }
        }
    };
    let counter = place.counter();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddress(address));
        let (open, answer) = (counter.begin(), router.clone().call(request.map(Body::new)));
        async move {
            // It is open until the last byte of its answer was taken.
            answer.await.map(|answer| answer.map(|body| Answer { body, _open: open }))
        }
    });
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(Guarded::new(stream)), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        // A new one waits for its place: no time for a farewell.
        () = place.gives_way() => return,
        () = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = place.was_idle() => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_ANSWERS, connection).await {
                Ok(served) => served,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, %address, "a connection ended early");
    }
}

/// The body of an answer, whose request is open as long as it is there.
struct Answer {
    body: Body,
    _open: Open,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(HEAD_TIME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(HEAD_BYTES)
        .max_header_list_size(HEAD_BYTES as u32);
    builder
}
