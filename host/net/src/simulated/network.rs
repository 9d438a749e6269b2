//! The network itself: who is where, what is under way, and which ways are cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use fastrand::Rng;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    socket::{Host, Inbox},
    weather::Weather,
};

/// The first of the ports that are given to who wants any: RFC 6335, section 6.
const FIRST_FREE_PORT: u16 = 49_152;

/// A simulated network. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something is under way that was not.
    sent: Notify,
}

struct State {
    random: Rng,
    began: Instant,
    weather: Weather,
    /// Ways that are cut, from one machine to another.
    cuts: BTreeSet<(IpAddr, IpAddr)>,
    sockets: BTreeMap<SocketAddr, Weak<Inbox>>,
    next_port: BTreeMap<IpAddr, u16>,
    /// By when they arrive; of those that arrive at once the one sent first is first.
    under_way: BTreeMap<(Instant, u64), Datagram>,
    next_datagram: u64,
    tally: Tally,
    /// Of all that happened.
    digest: blake3::Hasher,
}

/// One datagram on its way, or where it has arrived.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) contents: Bytes,
}

/// How many datagrams had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sent in all; with the copies it is the sum of the others, once nothing is under way.
    pub sent: u64,
    /// Copies that the network made.
    pub copied: u64,
    /// Taken by a socket.
    pub arrived: u64,
    /// Arrived when one that was sent after them between the same sockets had.
    pub overtaken: u64,
    /// Lost by the weather.
    pub lost: u64,
    /// Lost because their way was cut.
    pub cut: u64,
    /// Sent to where nobody is.
    pub unheard: u64,
    /// Arrived at a socket that had no room.
    pub overflowed: u64,
}

/// What the digest has of a datagram, by its place.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Fate {
    Lost,
    Sent,
    Cut,
    Arrived,
    Unheard,
    Overflowed,
}

impl Network {
    /// A network without machines, in good weather, whose dice have this seed. It carries nothing
    /// until it is [run](Network::run). To be made on a tokio runtime.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Rng::with_seed(seed),
            began: Instant::now(),
            weather: Weather::default(),
            cuts: BTreeSet::new(),
            sockets: BTreeMap::new(),
            next_port: BTreeMap::new(),
            under_way: BTreeMap::new(),
            next_datagram: 0,
            tally: Tally::default(),
            digest: blake3::Hasher::new(),
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), sent: Notify::new() }) }
    }

    /// Carries datagrams for as long as it is polled.
    pub async fn run(&self) {
        loop {
            let next = self.deliver();
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = due => {}
                () = self.shared.sent.notified() => {}
            }
        }
    }

    /// A machine with this address, which nobody else has who still lives.
    #[must_use]
    pub fn host(&self, address: IpAddr) -> Host {
        Host::new(self.clone(), address)
    }

    /// From now on the weather is so, for what is sent from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// From now on nothing arrives at `to` that comes from `from`, what is under way included.
    pub fn cut(&self, from: IpAddr, to: IpAddr) {
        self.lock().cuts.insert((from, to));
    }

    /// From now on what `from` sends to `to` arrives again.
    pub fn mend(&self, from: IpAddr, to: IpAddr) {
        self.lock().cuts.remove(&(from, to));
    }

    /// From now on all ways are open.
    pub fn mend_all(&self) {
        self.lock().cuts.clear();
    }

    /// How many datagrams had which fate up to now.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// The digest of all that happened to datagrams up to now: when, between whom, how long they
    /// were, and what became of them. Their bytes are not in it, which are encrypted by keys that
    /// no seed decides.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *self.lock().digest.finalize().as_bytes()
    }

    pub(super) fn open(&self, address: SocketAddr, inbox: &Arc<Inbox>) -> io::Result<SocketAddr> {
        let mut state = self.lock();
        let address = if address.port() == 0 { state.free_port(address.ip())? } else { address };
        if state.is_taken(address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.sockets.insert(address, Arc::downgrade(inbox));
        Ok(address)
    }

    pub(super) fn close(&self, address: SocketAddr, inbox: &Inbox) {
        let mut state = self.lock();
        if state.sockets.get(&address).is_some_and(|open| std::ptr::eq(open.as_ptr(), inbox)) {
            state.sockets.remove(&address);
        }
    }

    pub(super) fn send(&self, datagram: &Datagram) {
        self.lock().send(datagram);
        self.shared.sent.notify_one();
    }

    /// Gives all that has arrived to who is there; when the next arrives.
    fn deliver(&self) -> Option<Instant> {
        let now = Instant::now();
        loop {
            let mut state = self.lock();
            let entry = state.under_way.first_entry()?;
            let (at, number) = *entry.key();
            if at > now {
                return Some(at);
            }
            let datagram = entry.remove();
            let inbox = state.sockets.get(&datagram.to).and_then(Weak::upgrade);
            let fate = match inbox {
                _ if state.is_cut(&datagram) => Fate::Cut,
                None => Fate::Unheard,
                Some(inbox) => match inbox.put(number, &datagram) {
                    None => Fate::Overflowed,
                    Some(overtaken) => {
                        state.tally.overtaken += u64::from(overtaken);
                        Fate::Arrived
                    }
                },
            };
            state.note(fate, &datagram);
        }
    }

    /// Every change of the state is one step, so it is valid after a panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&mut self, datagram: &Datagram) {
        self.tally.sent += 1;
        if self.is_cut(datagram) {
            return self.note(Fate::Cut, datagram);
        }
        let ways = self.weather.ways(&mut self.random);
        if ways.is_empty() {
            return self.note(Fate::Lost, datagram);
        }
        self.tally.copied += ways.len() as u64 - 1;
        for way in ways {
            self.note(Fate::Sent, datagram);
            let Datagram { from, to, contents } = datagram;
            let copy = Datagram { from: *from, to: *to, contents: contents.clone() };
            self.under_way.insert((Instant::now() + way, self.next_datagram), copy);
        }
        self.next_datagram += 1;
    }

    fn is_cut(&self, datagram: &Datagram) -> bool {
        self.cuts.contains(&(datagram.from.ip(), datagram.to.ip()))
    }

    fn is_taken(&self, address: SocketAddr) -> bool {
        self.sockets.get(&address).is_some_and(|inbox| inbox.strong_count() > 0)
    }

    fn free_port(&mut self, address: IpAddr) -> io::Result<SocketAddr> {
        // A port is not given twice while others are left, so that nobody gets another's mail.
        for _ in FIRST_FREE_PORT..=u16::MAX {
            let next = self.next_port.entry(address).or_insert(FIRST_FREE_PORT);
            let port = *next;
            *next = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
            if !self.is_taken(SocketAddr::new(address, port)) {
                return Ok(SocketAddr::new(address, port));
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn note(&mut self, fate: Fate, datagram: &Datagram) {
        match fate {
            Fate::Lost => self.tally.lost += 1,
            Fate::Sent => {}
            Fate::Cut => self.tally.cut += 1,
            Fate::Arrived => self.tally.arrived += 1,
            Fate::Unheard => self.tally.unheard += 1,
            Fate::Overflowed => self.tally.overflowed += 1,
        }
        let Datagram { from, to, contents } = datagram;
        let at_us = self.began.elapsed().as_micros();
        let line = format!("{at_us} {} {from} {to} {}\n", fate as u8, contents.len());
        self.digest.update(line.as_bytes());
        tracing::trace!(target: "wasmgrid_net::simulated", "{}", line.trim_end());
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("tally", &self.tally).finish_non_exhaustive()
    }
}
