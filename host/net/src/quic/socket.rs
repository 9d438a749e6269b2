//! Where endpoints get their sockets: from the system, with buffers that hold a burst, unless told
//! otherwise.

use std::{
    fmt,
    future::{Future, pending},
    io,
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{Arc, Once},
};

use quinn::{AsyncUdpSocket, EndpointConfig, Runtime as _, ServerConfig, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};

use super::probe;
use crate::error::NetError;

/// The default of 208 KiB lost packets in bursts and halved the rate of handshakes.
const BUFFER: usize = 4 << 20;

/// Where sockets come from.
pub(crate) trait Sockets: fmt::Debug + Send + Sync {
    /// A socket with this address; with port 0 one that is free.
    fn open(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>>;

    /// What is said of an address that nothing can be reached at; never ready where nothing is said.
    fn refused(&self, _address: SocketAddr) -> Refusal {
        Box::pin(pending())
    }
}

/// See [`Sockets::refused`].
pub(crate) type Refusal = Pin<Box<dyn Future<Output = io::Error> + Send>>;

/// The operating system.
#[derive(Debug)]
pub(super) struct System;

impl Sockets for System {
    fn open(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(open(address)?)
    }

    fn refused(&self, address: SocketAddr) -> Refusal {
        Box::pin(probe::refused(address))
    }
}

/// An endpoint on a new socket, which takes connections if it is told how.
pub(super) fn endpoint(
    sockets: &dyn Sockets,
    address: SocketAddr,
    config: EndpointConfig,
    server: Option<ServerConfig>,
) -> Result<quinn::Endpoint, NetError> {
    let runtime = Arc::new(TokioRuntime);
    sockets
        .open(address)
        .and_then(|socket| {
            quinn::Endpoint::new_with_abstract_socket(config, server, socket, runtime)
        })
        .map_err(|error| NetError::Socket {
            address: address.to_string(),
            reason: error.to_string(),
        })
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Some systems refuse what is over their bound, others grant less: both are looked at below.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    let granted = socket.recv_buffer_size()?.min(socket.send_buffer_size()?);
    if granted < BUFFER {
        warn_once(granted);
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn warn_once(granted: usize) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "UDP buffers of {BUFFER} bytes were asked for and {granted} granted, so bursts may \
             lose packets; fix it with: sysctl -w net.core.rmem_max={BUFFER} \
             net.core.wmem_max={BUFFER}"
        );
    });
}
