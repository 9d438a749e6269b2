//! The listening side: who connects is checked here, and becomes a link or is refused.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use quinn::{Connection, Incoming, RecvStream, SendStream, ServerConfig, VarInt};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, mpsc},
    time,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use wasmgrid_proto::wire::{
    FromClient, FromJoiner, FromWorker, Role, ToClient, ToJoiner, ToWorker,
};

use super::{
    close::CloseCode,
    driver::{self, CLOSE_TIME, Wire},
    peer, profile, restart,
    signal::{OPEN_LEN, Signal, Wanted},
    socket::{self, Sockets, System},
    tls,
};
use crate::{
    error::NetError,
    identity::{Identity, Peer},
    link::Link,
    pki::Credentials,
};

/// How long a handshake may take, until the link is there.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How long a machine may take to join; those who have no certificate get no more.
const JOIN_TIME: Duration = Duration::from_secs(30);

/// Links that are ready and not taken yet; more wait in their handshakes.
const READY_MAX: usize = 16;

/// Stands for the name of who has none yet.
const JOINER_NAME: &str = "joiner";

/// How many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Handshakes at a time; each costs about 1 ms of CPU and tens of KiB. More are refused at
    /// once. From a quarter of it on, senders must prove their address first. Default 256.
    pub pending_handshakes: usize,
    /// Links at a time with one certificate; a stolen one cannot take all there are. Default 64:
    /// a user's commands share a certificate.
    pub links_per_certificate: usize,
    /// Machines that join at a time. They have no certificate, so they are few. Default 16.
    pub joiners: usize,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self { pending_handshakes: 256, links_per_certificate: 64, joiners: 16 }
    }
}

/// A new link, by what the peer's certificate allows.
#[derive(Debug)]
pub enum Accepted {
    /// A worker.
    Worker(Link<ToWorker, FromWorker>),
    /// A client or operator; the peer's role tells which.
    Client(Link<ToClient, FromClient>),
    /// A machine that wants to join: it has no certificate, and its link lasts seconds.
    Joiner(Link<ToJoiner, FromJoiner>),
}

/// A scheduler's port.
#[derive(Debug)]
pub struct Listener {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    ready: AsyncMutex<mpsc::Receiver<Accepted>>,
    links: TaskTracker,
    handshakes: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Listener {
    /// Listens on a UDP port with a scheduler's credentials. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`NetError::WrongRole`], where they are not a scheduler's; [`NetError::Credentials`];
    /// [`NetError::Socket`], where the port cannot be had.
    pub fn bind(
        address: SocketAddr,
        credentials: &Credentials,
        config: ListenerConfig,
    ) -> Result<Self, NetError> {
        Self::bind_with(&System, address, credentials, config)
    }

    /// As [`Listener::bind`], on a machine of a simulated network, whose address this port is of.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    #[cfg(feature = "simulated")]
    pub fn bind_on(
        host: &crate::simulated::Host,
        port: u16,
        credentials: &Credentials,
        config: ListenerConfig,
    ) -> Result<Self, NetError> {
        Self::bind_with(host, SocketAddr::new(host.address(), port), credentials, config)
    }

    fn bind_with(
        sockets: &dyn Sockets,
        address: SocketAddr,
        credentials: &Credentials,
        config: ListenerConfig,
    ) -> Result<Self, NetError> {
        let role = credentials.identity().role();
        if role != Role::Scheduler {
            let (found, wanted) = (role.to_string(), Role::Scheduler.to_string());
            return Err(NetError::WrongRole { found, wanted });
        }
        let mut server = ServerConfig::with_crypto(Arc::new(tls::server(credentials)?));
        server.transport_config(profile::stranger());
        let unusable = |error: std::io::Error| NetError::Socket {
            address: address.to_string(),
            reason: error.to_string(),
        };
        let config_of_endpoint = restart::endpoint_config(credentials);
        let endpoint = socket::endpoint(sockets, address, config_of_endpoint, Some(server))?;
        let address = endpoint.local_addr().map_err(unusable)?;
        let (links, handshakes) = (TaskTracker::new(), TaskTracker::new());
        let (stop, (sink, ready)) = (CancellationToken::new(), mpsc::channel(READY_MAX));
        let door = Door {
            grid: credentials.identity().grid().to_owned(),
            config,
            counts: Counts::default(),
            joiners: Arc::new(Semaphore::new(config.joiners)),
            links: links.clone(),
            sink,
        };
        let watched = watch(endpoint.clone(), Arc::new(door), handshakes.clone(), stop.clone());
        handshakes.spawn(watched);
        let _stop_on_drop = stop.clone().drop_guard();
        let ready = AsyncMutex::new(ready);
        Ok(Self { endpoint, address, ready, links, handshakes, stop, _stop_on_drop })
    }

    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next link; `None` once the listener is closed. Who is refused is logged and does not
    /// come up here. Dropping the future loses nothing.
    pub async fn accept(&self) -> Option<Accepted> {
        self.ready.lock().await.recv().await
    }

    /// Takes no more links, waits a few seconds for those that were closed to say everything, and
    /// cuts the rest.
    pub async fn close(&self) {
        self.stop.cancel();
        self.handshakes.close();
        self.handshakes.wait().await;
        // Links that nobody took end here.
        let mut ready = self.ready.lock().await;
        while ready.try_recv().is_ok() {}
        self.links.close();
        let _ = time::timeout(2 * CLOSE_TIME, self.links.wait()).await;
        self.endpoint.close(VarInt::from_u32(CloseCode::Done as u32), b"the scheduler stops");
        let _ = time::timeout(CLOSE_TIME, self.endpoint.wait_idle()).await;
    }
}

/// Takes what comes at the port until the listener stops.
async fn watch(
    endpoint: quinn::Endpoint,
    door: Arc<Door>,
    handshakes: TaskTracker,
    stop: CancellationToken,
) {
    let pending = Arc::new(Semaphore::new(door.config.pending_handshakes));
    while let Some(Some(incoming)) = stop.run_until_cancelled(endpoint.accept()).await {
        let from = incoming.remote_address();
        let Ok(place) = Arc::clone(&pending).try_acquire_owned() else {
            tracing::warn!(%from, "refused: too many handshakes at once");
            incoming.refuse();
            continue;
        };
        let crowded = pending.available_permits() < door.config.pending_handshakes * 3 / 4;
        if crowded && !incoming.remote_address_validated() && incoming.may_retry() {
            // It can be retried, so this does not fail.
            let _ = incoming.retry();
            continue;
        }
        let (door, stop) = (Arc::clone(&door), stop.clone());
        handshakes.spawn(async move {
            stop.run_until_cancelled(door.admit(incoming, from, place)).await;
        });
    }
}

/// Decides who becomes a link.
#[derive(Debug)]
struct Door {
    grid: String,
    config: ListenerConfig,
    counts: Counts,
    joiners: Arc<Semaphore>,
    links: TaskTracker,
    sink: mpsc::Sender<Accepted>,
}

/// Why somebody is not let in.
struct Refused {
    code: CloseCode,
    reason: String,
}

impl Door {
    async fn admit(&self, incoming: Incoming, from: SocketAddr, place: OwnedSemaphorePermit) {
        let handshake = async {
            let connection = match incoming.await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%from, %error, "refused in the handshake");
                    return None;
                }
            };
            match self.check(&connection, from).await {
                Ok(accepted) => Some(accepted),
                Err(Refused { code, reason }) => {
                    tracing::warn!(%from, reason, "refused");
                    code.close(&connection, &reason);
                    None
                }
            }
        };
        match time::timeout(HANDSHAKE_TIME, handshake).await {
            Ok(Some(accepted)) => {
                // Refused only where the listener is gone; the link then ends with it.
                let _ = self.sink.send(accepted).await;
            }
            Ok(None) => {}
            Err(_) => tracing::warn!(%from, "refused: its handshake took too long"),
        }
        drop(place);
    }

    async fn check(&self, connection: &Connection, from: SocketAddr) -> Result<Accepted, Refused> {
        if peer::protocol(connection).as_deref() == Some(tls::ENROLL_ALPN) {
            self.check_joiner(connection, from).await
        } else {
            self.check_member(connection, from).await
        }
    }

    async fn check_joiner(
        &self,
        connection: &Connection,
        from: SocketAddr,
    ) -> Result<Accepted, Refused> {
        let place = Arc::clone(&self.joiners)
            .try_acquire_owned()
            .map_err(|_| refused(CloseCode::Busy, "too many machines join at once".into()))?;
        let identity = Identity::new(&self.grid, Role::Client, JOINER_NAME)
            .map_err(|error| refused(CloseCode::Identity, error.to_string()))?;
        let (send, receive) = open(connection, Wanted::Joiner).await?;
        let peer = Peer::without_certificate(identity, from.to_string());
        let (connection, lifetime) = (connection.clone(), Some(JOIN_TIME));
        let wire = Wire { connection, send, receive, peer, lifetime };
        Ok(Accepted::Joiner(driver::start(wire, &self.links, place)))
    }

    async fn check_member(
        &self,
        connection: &Connection,
        from: SocketAddr,
    ) -> Result<Accepted, Refused> {
        let certificates = peer::certificates(connection);
        let Some(certificate) = certificates.first() else {
            let reason = "it shows no certificate".into();
            return Err(refused(CloseCode::NoCertificate, reason));
        };
        let peer = Peer::of_certificate(certificate, from.to_string())
            .map_err(|error| refused(CloseCode::Identity, error.to_string()))?;
        tls::check_grid(&peer.identity, &self.grid)
            .map_err(|problem| refused(CloseCode::Identity, problem.to_string()))?;
        let wanted = match peer.identity.role() {
            Role::Worker => Wanted::Worker,
            Role::Client | Role::Operator => Wanted::Client,
            Role::Scheduler => {
                let reason = "a scheduler's certificate cannot make a link".into();
                return Err(refused(CloseCode::Role, reason));
            }
        };
        let fingerprint = *blake3::hash(certificate).as_bytes();
        let count = self.counts.enter(fingerprint, self.config.links_per_certificate)?;
        profile::promote(connection);
        let (send, receive) = open(connection, wanted).await?;
        let wire = Wire { connection: connection.clone(), send, receive, peer, lifetime: None };
        Ok(match wanted {
            Wanted::Worker => Accepted::Worker(driver::start(wire, &self.links, count)),
            Wanted::Client | Wanted::Joiner => {
                Accepted::Client(driver::start(wire, &self.links, count))
            }
        })
    }
}

/// Takes the control stream, where the peer wants what it may have, and accepts the link.
async fn open(
    connection: &Connection,
    allowed: Wanted,
) -> Result<(SendStream, RecvStream), Refused> {
    let gone = |error: &dyn std::fmt::Display| {
        refused(CloseCode::Malformed, format!("it opens no link: {error}"))
    };
    let (mut send, mut receive) = connection.accept_bi().await.map_err(|error| gone(&error))?;
    let mut heard = [0; OPEN_LEN];
    receive.read_exact(&mut heard).await.map_err(|error| gone(&error))?;
    match Signal::decode(&heard) {
        Ok(Some(Signal::Open(wanted))) if wanted == allowed => {}
        Ok(Some(Signal::Open(wanted))) => {
            let (wanted, allowed) = (wanted.name(), allowed.name());
            let reason =
                format!("it wants the link of a {wanted}, its certificate is a {allowed}'s");
            return Err(refused(CloseCode::Role, reason));
        }
        Ok(_) => return Err(gone(&"it begins with something else")),
        Err(error) => return Err(gone(&error)),
    }
    let mut said = BytesMut::new();
    Signal::Open(allowed).encode(&mut said);
    send.write_all(&said).await.map_err(|error| gone(&error))?;
    Ok((send, receive))
}

fn refused(code: CloseCode, reason: String) -> Refused {
    Refused { code, reason }
}

/// How many links each certificate has.
#[derive(Clone, Debug, Default)]
struct Counts {
    links: Arc<Mutex<HashMap<[u8; 32], usize>>>,
}

/// One link of a certificate.
struct Count {
    fingerprint: [u8; 32],
    counts: Counts,
}

impl Counts {
    fn enter(&self, fingerprint: [u8; 32], allowed: usize) -> Result<Count, Refused> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let count = links.entry(fingerprint).or_default();
        if *count >= allowed {
            let reason = format!("its certificate has {allowed} links already");
            return Err(refused(CloseCode::Busy, reason));
        }
        *count += 1;
        Ok(Count { fingerprint, counts: self.clone() })
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let mut links = self.counts.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = links.get_mut(&self.fingerprint) {
            *count -= 1;
            if *count == 0 {
                links.remove(&self.fingerprint);
            }
        }
    }
}
