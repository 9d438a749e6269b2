//! A network that can be cut: a relay of datagrams between clients and a scheduler.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::wait_until;

/// Longer than any datagram.
const DATAGRAM: usize = 1 << 16;

/// How long a thread waits for a datagram before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(200);

/// The bits of a first byte that say a datagram is the first of a connection.
const INITIAL: (u8, u8) = (0xf0, 0xc0);

/// Passes datagrams on until it is cut, or dropped.
pub struct Relay {
    address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    /// A client has dialled while nothing got through.
    dialled: AtomicBool,
    over: AtomicBool,
}

impl Relay {
    /// Between whoever sends to its address and `scheduler`.
    pub fn start(scheduler: &str) -> Self {
        let inner = socket();
        let address = inner.local_addr().expect("it is bound").to_string();
        let state = Arc::new(State::default());
        let (scheduler, shared) = (scheduler.to_owned(), Arc::clone(&state));
        thread::spawn(move || shared.pass_on(&inner, &scheduler));
        Self { address, state }
    }

    /// Where clients find the scheduler.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on nothing gets through.
    pub fn cut(&self) {
        self.state.dialled.store(false, Ordering::Relaxed);
        self.state.cut.store(true, Ordering::Relaxed);
    }

    /// Waits until a client has noticed, and tries to make a new connection.
    pub fn wait_for_a_dial(&self) {
        wait_until("a client to dial again", || self.state.dialled.load(Ordering::Relaxed));
    }

    /// From now on all gets through again.
    pub fn mend(&self) {
        self.state.cut.store(false, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
    }
}

impl State {
    fn pass_on(self: &Arc<Self>, inner: &UdpSocket, scheduler: &str) {
        let mut outer: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
        let mut datagram = vec![0; DATAGRAM];
        while !self.over.load(Ordering::Relaxed) {
            let Ok((length, client)) = inner.recv_from(&mut datagram) else { continue };
            if self.cut.load(Ordering::Relaxed) {
                let is_first = length > 0 && datagram[0] & INITIAL.0 == INITIAL.1;
                self.dialled.fetch_or(is_first, Ordering::Relaxed);
                continue;
            }
            let socket = outer.entry(client).or_insert_with(|| {
                let socket = Arc::new(socket());
                socket.connect(scheduler).expect("an address");
                let (back, inner) = (Arc::clone(&socket), inner.try_clone().expect("a socket"));
                let state = Arc::clone(self);
                thread::spawn(move || state.pass_back(&back, &inner, client));
                socket
            });
            // A datagram that is lost is sent again.
            drop(socket.send(&datagram[..length]));
        }
    }

    fn pass_back(&self, outer: &UdpSocket, inner: &UdpSocket, client: SocketAddr) {
        let mut datagram = vec![0; DATAGRAM];
        while !self.over.load(Ordering::Relaxed) {
            let Ok(length) = outer.recv(&mut datagram) else { continue };
            if !self.cut.load(Ordering::Relaxed) {
                drop(inner.send_to(&datagram[..length], client));
            }
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.set_read_timeout(Some(LOOK)).expect("a time");
    socket
}
