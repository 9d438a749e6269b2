//! The listening side: a scheduler's port, and how many may come at once. Who becomes a link is decided
//! at the [`Door`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::{ServerConfig, VarInt};
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
    door::Door,
    driver::CLOSE_TIME,
    places::{HandshakeSlots, Origin},
    presented::Presented,
    profile, restart,
    socket::{self, Sockets, System},
    tls, tokens,
};
use crate::{
    budget::Budgets, error::NetError, identity::Peer, link::Link, pki::Credentials, release,
};

/// Of the places for handshakes a quarter is for those whose address is not known: it may be
/// anybody's. Where these are taken, more must prove their address first, which keeps no state; the
/// other places are theirs.
const UNPROVEN: usize = 4;

/// Of those one address has this part at most, before it must be proved.
const UNPROVEN_OF_ONE: usize = 4;

/// Links that are ready and not taken yet; more wait in their handshakes.
const READY_MAX: usize = 16;

/// How many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Handshakes at a time; each costs about 1 ms of CPU and tens of KiB. Beyond, the oldest of
    /// the address that has most is given up for a new one. From a quarter of it on, senders must
    /// prove their address first. Default 256.
    pub pending_handshakes: usize,
    /// Links at a time of one identity, whichever of its certificates they have; a stolen one
    /// cannot take all there are. Default 64: a user's commands share an identity. A gateway may have
    /// so many for each tenant.
    pub links_per_identity: usize,
    /// Links at a time of one gateway, over all the tenants for which it acts. Default 1,024.
    pub links_per_gateway: usize,
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
            links_per_gateway: 1_024,
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
    /// A client, an operator or a gateway; the peer's role tells which, and its
    /// [`act_for`](Peer::act_for) for whom a gateway acts.
    Client(Link<ToClient, FromClient>),
    /// A machine that wants to join: it has no certificate, and its link lasts seconds.
    Joiner(Link<ToJoiner, FromJoiner>),
    /// No link: a member that is no gateway said that it acts for somebody, and was refused. It is told
    /// of here so that people learn of it.
    Impostor(Box<Peer>),
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
            gateways: Counts::default(),
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
