//! Machines of the network and their sockets.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

use super::network::{Datagram, Network};
use crate::quic::Sockets;

/// Bytes that a socket holds for its owner, as the real ones ask for.
const ROOM: usize = 4 << 20;

/// A machine, from when it is started to its end. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Host {
    shared: Arc<Machine>,
}

#[derive(Debug)]
struct Machine {
    network: Network,
    address: IpAddr,
    is_dead: Arc<AtomicBool>,
    sockets: Mutex<Vec<Weak<Socket>>>,
}

impl Host {
    pub(super) fn new(network: Network, address: IpAddr) -> Self {
        let (is_dead, sockets) = (Arc::default(), Mutex::default());
        Self { shared: Arc::new(Machine { network, address, is_dead, sockets }) }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.shared.address
    }

    /// Ends it at once, as if its power failed: from now on its sockets say and hear nothing,
    /// whatever those do who have them, and their addresses are free.
    pub fn kill(&self) {
        self.shared.is_dead.store(true, Ordering::Relaxed);
        let sockets = std::mem::take(&mut *lock(&self.shared.sockets));
        for socket in sockets.iter().filter_map(Weak::upgrade) {
            socket.close();
        }
    }
}

impl Sockets for Host {
    fn open(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        if !address.ip().is_unspecified() && address.ip() != self.address() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let Machine { network, is_dead, sockets, .. } = &*self.shared;
        if is_dead.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        let inbox = Arc::<Inbox>::default();
        let address = network.open(SocketAddr::new(self.address(), address.port()), &inbox)?;
        let (network, is_dead) = (network.clone(), Arc::clone(is_dead));
        let socket = Arc::new(Socket { network, address, inbox, is_dead });
        lock(sockets).push(Arc::downgrade(&socket));
        Ok(socket)
    }
}

/// One UDP socket.
#[derive(Debug)]
struct Socket {
    network: Network,
    address: SocketAddr,
    inbox: Arc<Inbox>,
    is_dead: Arc<AtomicBool>,
}

impl Socket {
    fn close(&self) {
        self.network.close(self.address, &self.inbox);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.is_dead.load(Ordering::Relaxed) {
            return Ok(());
        }
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for contents in transmit.contents.chunks(size) {
            let contents = Bytes::copy_from_slice(contents);
            let (from, to) = (self.address, transmit.destination);
            self.network.send(&Datagram { from, to, contents });
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.inbox.state);
        if state.waiting.is_empty() || self.is_dead.load(Ordering::Relaxed) {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut taken = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Some(datagram) = state.waiting.pop_front() else { break };
            state.bytes -= datagram.contents.len();
            let len = datagram.contents.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(&datagram.contents) {
                *to = *from;
            }
            let (addr, dst_ip) = (datagram.from, Some(self.address.ip()));
            *meta = RecvMeta { addr, len, stride: len, ecn: None, dst_ip };
            taken += 1;
        }
        Poll::Ready(Ok(taken))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// What has arrived at a socket and was not taken.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<InboxState>,
}

#[derive(Debug, Default)]
struct InboxState {
    waiting: VecDeque<Datagram>,
    bytes: usize,
    waker: Option<Waker>,
    /// The highest number that has come of each sender.
    newest: BTreeMap<SocketAddr, u64>,
}

impl Inbox {
    /// Takes a datagram, the `number`-th of the network; `None` where there is no room. True where
    /// a later one has come before it.
    pub(super) fn put(&self, number: u64, datagram: &Datagram) -> Option<bool> {
        let Datagram { from, to, contents } = datagram;
        let mut state = lock(&self.state);
        if state.bytes + contents.len() > ROOM {
            return None;
        }
        state.bytes += contents.len();
        state.waiting.push_back(Datagram { from: *from, to: *to, contents: contents.clone() });
        let newest = state.newest.entry(*from).or_insert(number);
        let overtaken = *newest > number;
        *newest = number.max(*newest);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        Some(overtaken)
    }
}

/// A simulated socket never has to wait before it sends.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What is locked here is valid after a panic: each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
