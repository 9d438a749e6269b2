//! Peers that come in crowds and take what there is, without breaking any rule of QUIC.

use std::{net::SocketAddr, path::Path, sync::Arc};

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::JoinSet,
};
use wasmgrid_proto::wire::Hello;

use crate::raw;

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// Begins so many handshakes that never end: of what the scheduler answers only what asks for a
/// proof of the address gets through. Ready once it has answered each; they last until dropped.
pub(crate) async fn unfinished(address: SocketAddr, count: usize) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    let endpoint = Endpoint::client(SocketAddr::from(ANY)).unwrap();
    let (answered, mut answers) = mpsc::channel(count);
    for _ in 0..count {
        let relay = UdpSocket::bind(SocketAddr::from(ANY)).await.unwrap();
        let config = raw::client(None, "wasmgrid/1", Default::default());
        let through = relay.local_addr().unwrap();
        let connecting = endpoint.connect_with(config, through, "raw").unwrap();
        crowd.spawn(swallow(relay, address, answered.clone()));
        crowd.spawn(async move {
            let _ = connecting.await;
        });
    }
    for _ in 0..count {
        answers.recv().await.unwrap();
    }
    crowd
}

/// The first byte of a packet that asks for a proof of the address, without what varies in it.
const RETRY: u8 = 0xf0;

async fn swallow(relay: UdpSocket, scheduler: SocketAddr, answered: mpsc::Sender<()>) {
    let (mut packet, mut dialler, mut answered) = ([0; 2_048], None, Some(answered));
    loop {
        let Ok((length, from)) = relay.recv_from(&mut packet).await else { return };
        let to = if from != scheduler {
            dialler = Some(from);
            Some(scheduler)
        } else if packet[0] & RETRY == RETRY {
            dialler
        } else {
            if let Some(answered) = answered.take() {
                answered.send(()).await.unwrap();
            }
            None
        };
        if let Some(to) = to {
            let _ = relay.send_to(&packet[..length], to).await;
        }
    }
}

/// So many connections without a certificate that want to join, as far as anybody can tell: they
/// say nothing, or no more than that they do.
pub(crate) async fn silent(address: SocketAddr, count: usize, opens: bool) -> Vec<Connection> {
    let mut crowd = Vec::new();
    for _ in 0..count {
        let connecting = raw::connect(address, None, "wasmgrid-enroll/1", Default::default());
        let connection = connecting.await.unwrap();
        if opens {
            let (mut send, _) = connection.open_bi().await.unwrap();
            let opened = [raw::OPEN_JOINER, &raw::hello_frame(&Hello::new("raw"))].concat();
            send.write_all(&opened).await.unwrap();
        }
        crowd.push(connection);
    }
    crowd
}

/// Links of one client that each send large messages and end none of them.
pub(crate) struct HalfSent {
    pub(crate) connections: Vec<Connection>,
    /// Bytes that were taken of all of them together.
    pub(crate) taken: watch::Receiver<u64>,
    _links: Vec<(SendStream, RecvStream)>,
    _streams: JoinSet<()>,
}

/// Half of a message that says it has so many bytes.
pub(crate) const CLAIMED: u32 = 71 << 20;

/// A piece of one.
const PIECE: usize = 64 << 10;

/// So many links of the client with the credentials in a folder, with so many messages each, or as
/// many as it may begin. `accept` sees to it that the scheduler's side of a link is there.
pub(crate) async fn half_sent(
    address: SocketAddr,
    folder: &Path,
    (links, messages): (usize, usize),
    mut accept: impl AsyncFnMut(),
) -> HalfSent {
    let (counter, taken) = watch::channel(0);
    let (counter, mut streams) = (Arc::new(counter), JoinSet::new());
    let (mut connections, mut opened) = (Vec::new(), Vec::new());
    for _ in 0..links {
        let connecting = raw::connect(address, Some(folder), "wasmgrid/1", Default::default());
        let connection = connecting.await.unwrap();
        let (link, ()) = tokio::join!(raw::open_as(&connection, raw::OPEN_CLIENT), accept());
        opened.push(link);
        for _ in 0..messages {
            streams.spawn(send_half(connection.clone(), Arc::clone(&counter)));
        }
        connections.push(connection);
    }
    HalfSent { connections, taken, _links: opened, _streams: streams }
}

async fn send_half(connection: Connection, taken: Arc<watch::Sender<u64>>) {
    let Ok(mut stream) = connection.open_uni().await else { return };
    let head = [&CLAIMED.to_le_bytes()[..], &0x0301_u16.to_le_bytes(), &100_u32.to_le_bytes()];
    if stream.write_all(&head.concat()).await.is_err() {
        return;
    }
    let piece = vec![0x5a; PIECE];
    for _ in 1..CLAIMED as usize / PIECE {
        if stream.write_all(&piece).await.is_err() {
            return;
        }
        taken.send_modify(|taken| *taken += PIECE as u64);
    }
    std::future::pending().await
}
