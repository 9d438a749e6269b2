//! UDP sockets with buffers that hold a burst.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Once,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::NetError;

/// The default of 208 KiB lost packets in bursts and halved the rate of handshakes.
const BUFFER: usize = 4 << 20;

pub(super) fn bind(address: SocketAddr) -> Result<UdpSocket, NetError> {
    open(address).map_err(|error| NetError::Socket {
        address: address.to_string(),
        reason: error.to_string(),
    })
}

fn open(address: SocketAddr) -> std::io::Result<UdpSocket> {
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
             lose packets; mend it with: sysctl -w net.core.rmem_max={BUFFER} \
             net.core.wmem_max={BUFFER}"
        );
    });
}
