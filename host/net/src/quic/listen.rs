//! The listening side: who connects is checked here, and becomes a link or is refused.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use quinn::{Connection, Incoming, RecvStream, SendStream, ServerConfig, VarInt};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    time,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use wasmgrid_proto::wire::{
    FromClient, FromJoiner, FromWorker, Hello, Role, ToClient, ToJoiner, ToWorker,
};

use super::{
    close::CloseCode,
    counts::Counts,
    driver::{self, CLOSE_TIME, Wire},
    peer,
    places::{HandshakeSlot, HandshakeSlots, Origin},
    presented::Presented,
    profile, restart,
    signal::{NoHello, OPEN_LEN, Signal, Wanted, encode_hello, read_hello},
    socket::{self, Sockets, System},
    tls, tokens,
};
use crate::{
    budget::{Budget, Budgets},
    error::NetError,
    identity::{Identity, Peer},
    link::Link,
    pki::Credentials,
    release::{self, Release},
};

/// How long a handshake may take, until the link is there.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How long a machine may take to join; those who have no certificate get no more.
const JOIN_TIME: Duration = Duration::from_secs(30);

/// Of the places for handshakes a quarter is for those whose address is not known: it may be
/// anybody's. Where these are taken, more must prove their address first, which keeps no state; the
/// other places are theirs.
const UNPROVEN: usize = 4;

/// Of those one address has this part at most, before it must be proved.
const UNPROVEN_OF_ONE: usize = 4;

/// Links that are ready and not taken yet; more wait in their handshakes.
const READY_MAX: usize = 16;

/// Stands for the name of who has none yet.
const JOINER_NAME: &str = "joiner";

/// How many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Handshakes at a time; each costs about 1 ms of CPU and tens of KiB. Beyond, the oldest of
    /// the address that has most is given up for a new one. From a quarter of it on, senders must
    /// prove their address first. Default 256.
    pub pending_handshakes: usize,
    /// Links at a time of one identity, whichever of its certificates they have; a stolen one
    /// cannot take all there are. Default 64: a user's commands share an identity.
    pub links_per_identity: usize,
    /// Machines that join at a time, and have said so. They have no certificate, so they are few;
    /// beyond, the oldest is given up as above. Default 16.
    pub joiners: usize,
    /// Bytes of large messages that one identity may have under way to here over all its links, or
    /// that are not handled yet. A larger message comes alone. Default 144 MiB, two of the largest.
    pub identity_bytes: usize,
    /// How long a message may stand still that a peer has begun to send, or does not take. Default
    /// 30 s, longer than the silence after which a connection is lost anyhow.
    pub patience: Duration,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            pending_handshakes: 256,
            links_per_identity: 64,
            joiners: 16,
            identity_bytes: Budgets::DEFAULT_BYTES,
            patience: Budgets::DEFAULT_PATIENCE,
        }
    }
}

/// A new link, by what the peer's certificate allows.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists at a time, for a moment")]
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
    presented: Presented,
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
        Self::bind_with(&System, address, credentials, (config, release::ours()))
    }

    /// As [`Listener::bind`], saying `hello` when a link opens, for tests of how releases understand
    /// each other.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_saying(
        hello: Hello,
        address: SocketAddr,
        credentials: &Credentials,
        config: ListenerConfig,
    ) -> Result<Self, NetError> {
        Self::bind_with(&System, address, credentials, (config, hello))
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
        let address = SocketAddr::new(host.address(), port);
        Self::bind_with(host, address, credentials, (config, release::ours()))
    }

    fn bind_with(
        sockets: &dyn Sockets,
        address: SocketAddr,
        credentials: &Credentials,
        (config, hello): (ListenerConfig, Hello),
    ) -> Result<Self, NetError> {
        let role = credentials.identity().role();
        if role != Role::Scheduler {
            let (found, wanted) = (role.to_string(), Role::Scheduler.to_string());
            return Err(NetError::WrongRole { found, wanted });
        }
        let mut server = ServerConfig::with_crypto(Arc::new(tls::server(credentials)?));
        server.transport_config(profile::stranger()).validation_token_config(tokens::config());
        let unusable = |error: std::io::Error| NetError::Socket {
            address: address.to_string(),
            reason: error.to_string(),
        };
        let config_of_endpoint = restart::endpoint_config(credentials);
        let endpoint =
            socket::endpoint(sockets, address, config_of_endpoint, Some(server.clone()))?;
        let address = endpoint.local_addr().map_err(unusable)?;
        let (links, handshakes) = (TaskTracker::new(), TaskTracker::new());
        let (stop, (sink, ready)) = (CancellationToken::new(), mpsc::channel(READY_MAX));
        let door = Door {
            grid: credentials.identity().grid().to_owned(),
            hello,
            config,
            counts: Counts::default(),
            workers: Budgets::new(config.identity_bytes, config.patience),
            clients: Budgets::new(config.identity_bytes, config.patience),
            joiners: HandshakeSlots::new(config.joiners),
            links: links.clone(),
            sink,
        };
        let watched = watch(endpoint.clone(), Arc::new(door), handshakes.clone(), stop.clone());
        handshakes.spawn(watched);
        let _stop_on_drop = stop.clone().drop_guard();
        let ready = AsyncMutex::new(ready);
        let identity = credentials.identity().clone();
        let presented = Presented::new(endpoint.clone(), identity, server);
        Ok(Self { endpoint, address, ready, links, handshakes, presented, stop, _stop_on_drop })
    }

    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// By which its credentials are replaced.
    #[must_use]
    pub fn presented(&self) -> Presented {
        self.presented.clone()
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
        self.endpoint.close(VarInt::from_u32(CloseCode::Done as u32), b"the scheduler is stopping");
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
    let unproven = (door.config.pending_handshakes / UNPROVEN).max(1);
    let proven = HandshakeSlots::new(door.config.pending_handshakes.saturating_sub(unproven));
    let (unproven, unproven_of_one) =
        (HandshakeSlots::new(unproven), unproven.div_ceil(UNPROVEN_OF_ONE));
    while let Some(Some(incoming)) = stop.run_until_cancelled(endpoint.accept()).await {
        let from = incoming.remote_address();
        let origin = Origin::of(from);
        let place = if incoming.remote_address_validated() {
            proven.take(origin)
        } else if let Some(place) = unproven.try_take(origin, unproven_of_one) {
            place
        } else {
            // It is told to prove its address; what is not validated can be, so this does not fail.
            let _ = incoming.retry();
            continue;
        };
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
    hello: Hello,
    config: ListenerConfig,
    counts: Counts,
    workers: Budgets,
    clients: Budgets,
    joiners: HandshakeSlots,
    links: TaskTracker,
    sink: mpsc::Sender<Accepted>,
}

/// A link that was accepted.
struct Opened {
    send: SendStream,
    receive: RecvStream,
    /// What the peer said.
    hello: Hello,
    minor: u16,
}

/// Why somebody is not let in.
struct Refused {
    code: CloseCode,
    reason: String,
}

impl Door {
    /// Makes a link of it, or gives it up: also where somebody else is given its place. Until there
    /// is a link, nobody is known to be more than whoever comes next.
    async fn admit(&self, incoming: Incoming, from: SocketAddr, place: HandshakeSlot) {
        let handshake = async {
            let connection = match incoming.await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%from, %error, "refused in the handshake");
                    return None;
                }
            };
            let checked = tokio::select! {
                checked = self.check(&connection, from) => checked,
                () = place.given_up() => Err(given_up()),
            };
            match checked {
                Ok(accepted) => Some(accepted),
                Err(Refused { code, reason }) => {
                    tracing::warn!(%from, reason, "refused");
                    code.close(&connection, &reason);
                    None
                }
            }
        };
        let handshake = async {
            tokio::select! {
                biased;
                handshake = handshake => handshake,
                () = place.given_up() => None,
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
        let identity = Identity::new(&self.grid, Role::Client, JOINER_NAME)
            .map_err(|error| refused(CloseCode::Identity, error.to_string()))?;
        let Opened { send, receive, hello, minor } = self.open(connection, Wanted::Joiner).await?;
        let peer = Peer::without_certificate(identity, from.to_string()).saying(hello, minor);
        let (budget, lifetime) = (Budget::of_one_link(), Some(JOIN_TIME));
        let connection = connection.clone();
        let wire = Wire { connection, send, receive, peer, budget, lifetime };
        let connection = wire.connection.clone();
        let mut link: Link<ToJoiner, FromJoiner> = driver::start(wire, &self.links, ());
        // Until it has said what it wants it has no place among those who join.
        link.receiver.arrived().await;
        let place = self.joiners.take(Origin::of(from));
        self.links.spawn(async move {
            tokio::select! {
                _ = connection.closed() => {}
                () = place.given_up() => given_up().code.close(&connection, "others join"),
            }
        });
        Ok(Accepted::Joiner(link))
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
        let allowed = self.config.links_per_identity;
        let count = self
            .counts
            .enter(&peer.identity, allowed)
            .map_err(|reason| refused(CloseCode::Busy, reason))?;
        let budgets = if wanted == Wanted::Worker { &self.workers } else { &self.clients };
        let budget = budgets.of(&peer.identity);
        profile::promote(connection, count.before);
        let Opened { send, receive, hello, minor } = self.open(connection, wanted).await?;
        let (connection, peer) = (connection.clone(), peer.saying(hello, minor));
        let wire = Wire { connection, send, receive, peer, budget, lifetime: None };
        Ok(match wanted {
            Wanted::Worker => Accepted::Worker(driver::start(wire, &self.links, count)),
            Wanted::Client | Wanted::Joiner => {
                Accepted::Client(driver::start(wire, &self.links, count))
            }
        })
    }

    /// Takes the control stream, where the peer wants what it may have and speaks what is spoken here,
    /// and accepts the link.
    async fn open(&self, connection: &Connection, allowed: Wanted) -> Result<Opened, Refused> {
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
        let hello = read_hello(&mut receive).await.map_err(|error| match error {
            NoHello::Refused(error) => refused(CloseCode::Version, error.to_string()),
            error => gone(&error),
        })?;
        let minor = self.hello.agree(&hello).ok_or_else(|| {
            let (ours, theirs) = (Release::of(&self.hello), Release::of(&hello));
            let reason = format!(
                "the scheduler runs {ours}, the other side {theirs}, which have no version of the \
                 protocol in common; upgrade the older one"
            );
            refused(CloseCode::Version, reason)
        })?;
        let mut said = BytesMut::new();
        Signal::Open(allowed).encode(&mut said);
        encode_hello(&self.hello, &mut said);
        send.write_all(&said).await.map_err(|error| gone(&error))?;
        Ok(Opened { send, receive, hello, minor })
    }
}

/// Somebody else was given its place.
fn given_up() -> Refused {
    refused(
        CloseCode::Busy,
        "too many connections at once, and others have waited for less \
         time"
            .into(),
    )
}

fn refused(code: CloseCode, reason: String) -> Refused {
    Refused { code, reason }
}
