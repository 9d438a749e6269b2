//! The connections that a gateway has: how many there are, which of them are idle, and which gives way to a
//! new one. Idle ones end after a while; if all places are taken, one of the address that has the most ends
//! at once, so that nobody shuts the gateway for others by holding connections.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Connections at once; those beyond wait to be accepted.
pub const CONNECTIONS_MAX: usize = 4_096;

/// For how long a connection may have no request.
pub const IDLE: Duration = Duration::from_secs(60);

/// Those that are there.
pub struct Connections {
    places: Arc<Semaphore>,
    all: Arc<Mutex<BTreeMap<u64, Entry>>>,
}

struct Entry {
    from: IpAddr,
    requests: watch::Receiver<Requests>,
    gives_way: CancellationToken,
}

/// What a connection does.
#[derive(Clone, Copy, Debug)]
struct Requests {
    /// Those that are not answered to their end.
    open: usize,
    /// When that changed last.
    since: Instant,
}

impl Connections {
    /// So many at most.
    pub fn new(most: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), all: Arc::default() }
    }

    /// A place for a connection that was accepted. If there is none, an idle one of the address that has
    /// the most gives way, unless the new one has as many; else the new one waits.
    pub async fn place(&self, number: u64, from: IpAddr) -> Option<Connection> {
        let from = network(from);
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                self.make_way(from);
                Arc::clone(&self.places).acquire_owned().await.ok()?
            }
        };
        let (requests, seen) = watch::channel(Requests { open: 0, since: Instant::now() });
        let gives_way = CancellationToken::new();
        let entry = Entry { from, requests: seen, gives_way: gives_way.clone() };
        self.lock().insert(number, entry);
        let all = Arc::clone(&self.all);
        Some(Connection { number, all, requests: Arc::new(requests), gives_way, _place: place })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_way(&self, newcomer: IpAddr) {
        let all = self.lock();
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        // Those that give way already are as good as gone.
        for entry in all.values().filter(|entry| !entry.gives_way.is_cancelled()) {
            *counts.entry(entry.from).or_default() += 1;
        }
        let own = counts.get(&newcomer).copied().unwrap_or_default();
        let idle = all
            .values()
            .filter(|entry| !entry.gives_way.is_cancelled() && entry.requests.borrow().open == 0);
        let count = |entry: &Entry| counts.get(&entry.from).copied().unwrap_or_default();
        // Of those the one that was idle for longest.
        let chosen = idle
            .max_by_key(|entry| (count(entry), std::cmp::Reverse(entry.requests.borrow().since)));
        if let Some(entry) = chosen.filter(|entry| entry.from == newcomer || count(entry) > own) {
            entry.gives_way.cancel();
        }
    }
}

/// Who has an address of IPv6 has its whole network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

/// A place that is taken.
pub struct Connection {
    number: u64,
    all: Arc<Mutex<BTreeMap<u64, Entry>>>,
    requests: Arc<watch::Sender<Requests>>,
    gives_way: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Counts its requests.
    pub fn counter(&self) -> Counter {
        Counter(Arc::clone(&self.requests))
    }

    /// Returns once another one needs its place, and it is idle.
    pub async fn gives_way(&self) {
        self.gives_way.cancelled().await;
    }

    /// Returns once it was idle for too long.
    pub async fn was_idle(&self) {
        let mut seen = self.requests.subscribe();
        loop {
            let Requests { open, since } = *seen.borrow_and_update();
            let ends = async {
                match open {
                    0 => tokio::time::sleep_until(since + IDLE).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ends => return,
                changed = seen.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Counts the requests of a connection.
#[derive(Clone)]
pub struct Counter(Arc<watch::Sender<Requests>>);

impl Counter {
    /// A request came; it is open as long as the guard is there.
    pub fn begin(&self) -> Open {
        self.change(1);
        Open(self.clone())
    }

    fn change(&self, by: isize) {
        self.0.send_modify(|requests| {
            requests.open = requests.open.saturating_add_signed(by);
            requests.since = Instant::now();
        });
    }
}

/// A request that is not answered to its end.
pub struct Open(Counter);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.change(-1);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt as _;

    use super::*;

    const ADA: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const BEN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_and_one_with_a_request_does_not() {
        let connections = Connections::new(4);
        let one = connections.place(1, ADA).await.expect("a place");
        let open = one.counter().begin();
        let over = std::pin::pin!(one.was_idle());
        let mut over = over.fuse();
        tokio::time::advance(10 * IDLE).await;
        assert!((&mut over).now_or_never().is_none(), "it has a request");
        drop(open);
        tokio::time::advance(IDLE / 2).await;
        assert!((&mut over).now_or_never().is_none(), "it had one just now");
        over.await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_one_of_the_address_that_has_the_most_gives_way() {
        let connections = Connections::new(3);
        let busy = connections.place(1, ADA).await.expect("a place");
        let open = busy.counter().begin();
        let idle = connections.place(2, ADA).await.expect("a place");
        let bens = connections.place(3, BEN).await.expect("a place");
        let mut new = std::pin::pin!(connections.place(4, BEN));
        assert!((&mut new).now_or_never().is_none(), "all are taken");
        idle.gives_way().now_or_never().expect("it is idle");
        assert!(busy.gives_way().now_or_never().is_none());
        assert!(bens.gives_way().now_or_never().is_none());
        drop(idle);
        let new = new.await.expect("a place");
        // Who has more than others takes no place of theirs.
        drop(open);
        let mut more = std::pin::pin!(connections.place(5, BEN));
        assert!((&mut more).now_or_never().is_none());
        assert!(busy.gives_way().now_or_never().is_none());
        drop((new, bens));
        more.await.expect("a place");
    }

    #[test]
    fn the_addresses_of_a_network_are_one() {
        let address = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.0.0.1"), ADA);
    }
}
