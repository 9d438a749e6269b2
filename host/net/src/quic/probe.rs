//! Whether nothing is behind an address. A machine without a listener on a UDP port says so to a socket
//! that is connected to that port; the transport's sockets are not connected, and do not hear it.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::UdpSocket;

/// What the system says of an address that nothing can be reached at; never ready where it says nothing.
pub(super) async fn refused(address: SocketAddr) -> io::Error {
    match ask(address).await {
        Err(error) if is_final(&error) => error,
        // A socket that cannot be had, or a peer that answers: the transport knows better.
        _ => pending().await,
    }
}

async fn ask(address: SocketAddr) -> io::Result<()> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    // Empty: a scheduler drops it before it looks at it.
    socket.send(&[]).await?;
    socket.recv(&mut [0; 1]).await.map(drop)
}

fn is_final(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
