//! The dialling side: a member reaches its scheduler.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use quinn::{
    Connection, EndpointConfig, RecvStream, SendStream, TokenMemoryCache, TokenStore,
    crypto::rustls::QuicClientConfig,
};
use tokio::time;
use tokio_util::task::TaskTracker;
use wasmgrid_proto::{
    Micros,
    wire::{ActFor, FromClient, FromWorker, Hello, HelloError, Message, Role, ToClient, ToWorker},
};

use super::{
    close::{CloseCode, refusal},
    driver::{self, CLOSE_TIME, REASON_TIME, Wire},
    peer, profile, race,
    signal::{NoHello, OPEN_LEN, Signal, Wanted, encode_hello, read_hello},
    socket::{self, Sockets, System},
    tls::{self, SchedulerVerifier, Trust},
};
use crate::{
    budget::Budget,
    error::NetError,
    identity::Peer,
    link::Link,
    pki::{Credentials, validity::today},
    release::{self, Release},
};

/// What schedulers' tokens are kept for: so many addresses, and as many tokens of each as a scheduler
/// gives at a time.
const TOKEN_ADDRESSES: u32 = 64;
const TOKENS_EACH: usize = 2;

/// Reaches schedulers with a member's credentials. Clones share its sockets.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

struct Shared {
    credentials: Mutex<Shown>,
    dialler: Dialler,
    links: TaskTracker,
}

/// What an endpoint shows.
struct Shown {
    credentials: Credentials,
    /// The grid has another authority than the one that signed them.
    is_outdated: bool,
}

impl Endpoint {
    /// An endpoint that shows these credentials. Its sockets are opened when it dials.
    #[must_use]
    pub fn new(credentials: &Credentials) -> Self {
        Self::with(Dialler::default(), credentials)
    }

    /// As [`Endpoint::new`], saying `hello` when a link opens, for tests of how releases understand
    /// each other.
    #[must_use]
    pub fn saying(hello: Hello, credentials: &Credentials) -> Self {
        Self::with(Dialler::new(Arc::new(System), hello), credentials)
    }

    /// As [`Endpoint::new`], on a machine of a simulated network.
    #[cfg(feature = "simulated")]
    #[must_use]
    pub fn on(host: &crate::simulated::Host, credentials: &Credentials) -> Self {
        Self::with(Dialler::new(Arc::new(host.clone()), release::ours()), credentials)
    }

    fn with(dialler: Dialler, credentials: &Credentials) -> Self {
        let shown = Shown { credentials: credentials.clone(), is_outdated: false };
        let (credentials, links) = (Mutex::new(shown), TaskTracker::new());
        Self { shared: Arc::new(Shared { credentials, dialler, links }) }
    }

    /// What it shows.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.shown().credentials.clone()
    }

    /// Whether these could be shown in place of what it shows.
    ///
    /// # Errors
    /// [`NetError::Certificate`], where their certificate is not good by this machine's clock and the
    /// one that it shows is: one of the two machines has a wrong clock.
    pub fn check(&self, next: &Credentials) -> Result<(), NetError> {
        let date = today();
        let is_worse =
            self.shown().credentials.validity().is_good(date) && !next.validity().is_good(date);
        if is_worse {
            let reason = format!(
                "by this machine's clock, {date}, the new certificate is not valid; check the \
                 clocks of both machines"
            );
            return Err(NetError::Certificate { reason });
        }
        Ok(())
    }

    /// Shows these from the next dial on; links that are there stay.
    pub fn renew(&self, credentials: Credentials) {
        *self.shown() = Shown { credentials, is_outdated: false };
    }

    /// When its certificate should be renewed: after two thirds of its life, or at once where the
    /// grid has another authority than the one that signed it.
    #[must_use]
    pub fn renew_at(&self) -> Micros {
        let shown = self.shown();
        if shown.is_outdated { Micros(0) } else { shown.credentials.validity().renew_at() }
    }

    /// The grid has another authority than the one that signed its certificate.
    pub fn outdated(&self) {
        self.shown().is_outdated = true;
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shared.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's link to the scheduler, at the first of the addresses (`HOST:PORT`) that answers.
    ///
    /// # Errors
    /// [`NetError`]; with several addresses [`NetError::Several`], which has that of each.
    pub async fn connect_worker(
        &self,
        addresses: &[String],
    ) -> Result<Link<FromWorker, ToWorker>, NetError> {
        self.connect(addresses, Wanted::Worker, &[Role::Worker]).await
    }

    /// A client's or operator's link to the scheduler, at the first of the addresses
    /// (`HOST:PORT`) that answers.
    ///
    /// # Errors
    /// [`NetError`]; with several addresses [`NetError::Several`], which has that of each.
    pub async fn connect_client(
        &self,
        addresses: &[String],
    ) -> Result<Link<FromClient, ToClient>, NetError> {
        self.connect(addresses, Wanted::Client, &[Role::Client, Role::Operator]).await
    }

    /// A gateway's link to the scheduler, at the first of the addresses (`HOST:PORT`) that answers: one
    /// of the tenant and role for whom it acts, if it does, and else its own.
    ///
    /// # Errors
    /// [`NetError`]; with several addresses [`NetError::Several`], which has that of each.
    pub async fn connect_gateway(
        &self,
        addresses: &[String],
        act_for: Option<&ActFor>,
    ) -> Result<Link<FromClient, ToClient>, NetError> {
        let hello = &self.shared.dialler.hello;
        let hello = act_for.map_or_else(|| hello.clone(), |one| hello.clone().acting_for(one));
        self.connect_saying(&hello, addresses, Wanted::Client, &[Role::Gateway]).await
    }

    /// Waits until the links that were closed have said everything, a few seconds at most. A
    /// process calls it before it exits.
    pub async fn close(&self) {
        self.shared.links.close();
        // What has not ended by then is cut with the process.
        let _ = time::timeout(2 * CLOSE_TIME, self.shared.links.wait()).await;
        self.shared.links.reopen();
        self.shared.dialler.idle().await;
    }

    async fn connect<Out: Message, In: Message>(
        &self,
        addresses: &[String],
        wanted: Wanted,
        roles: &[Role],
    ) -> Result<Link<Out, In>, NetError> {
        self.connect_saying(&self.shared.dialler.hello, addresses, wanted, roles).await
    }

    async fn connect_saying<Out: Message, In: Message>(
        &self,
        hello: &Hello,
        addresses: &[String],
        wanted: Wanted,
        roles: &[Role],
    ) -> Result<Link<Out, In>, NetError> {
        let Shared { dialler, links, .. } = &*self.shared;
        let credentials = self.credentials();
        let identity = credentials.identity();
        if !roles.contains(&identity.role()) {
            let wanted = match roles {
                [only] => only.name(),
                _ => wanted.name(),
            };
            let (found, wanted) = (identity.role().to_string(), wanted.to_owned());
            return Err(NetError::WrongRole { found, wanted });
        }
        let configure = || {
            let trust = Trust::Authority(credentials.ca().clone());
            let verifier = SchedulerVerifier::new(identity.grid(), trust);
            Ok((tls::member(&credentials, Arc::clone(&verifier))?, verifier))
        };
        let Dialled { connection, send, receive, hello, minor, address } =
            dialler.dial_any(addresses, (wanted, hello), configure).await?;
        let certificates = peer::certificates(&connection);
        let certificate = certificates.first().map(|der| der.as_ref()).unwrap_or_default();
        let peer = Peer::of_certificate(certificate, address)?.saying(hello, minor);
        if certificates.get(1).is_some_and(|authority| authority != credentials.ca()) {
            self.outdated();
        }
        let budget = Budget::of_one_link();
        let wire = Wire { connection, send, receive, peer, budget, lifetime: None };
        Ok(driver::start(wire, links, ()))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("identity", self.credentials().identity())
            .finish_non_exhaustive()
    }
}

/// A connection whose peer was checked and has accepted it.
pub(super) struct Dialled {
    pub(super) connection: Connection,
    pub(super) send: SendStream,
    pub(super) receive: RecvStream,
    /// What the peer said.
    pub(super) hello: Hello,
    pub(super) minor: u16,
    pub(super) address: String,
}

/// Opens connections; has one socket for each family of addresses that was needed.
pub(super) struct Dialler {
    sockets: Arc<dyn Sockets>,
    v4: Mutex<Option<quinn::Endpoint>>,
    v6: Mutex<Option<quinn::Endpoint>>,
    /// By which schedulers know that they have had links from here.
    tokens: Arc<dyn TokenStore>,
    /// What it says when a link opens, unless it says more of one.
    pub(super) hello: Hello,
}

impl Default for Dialler {
    fn default() -> Self {
        Self::new(Arc::new(System), release::ours())
    }
}

impl Dialler {
    fn new(sockets: Arc<dyn Sockets>, hello: Hello) -> Self {
        let tokens = Arc::new(TokenMemoryCache::new(TOKEN_ADDRESSES, TOKENS_EACH));
        Self { sockets, v4: Mutex::default(), v6: Mutex::default(), tokens, hello }
    }

    /// Dials all addresses, each a moment after the one before it: see [`race`]. The first that
    /// takes the link wins. If none does, the error has what became of each.
    pub(super) async fn dial_any(
        &self,
        addresses: &[String],
        asked: (Wanted, &Hello),
        mut configure: impl FnMut() -> Result<(QuicClientConfig, Arc<SchedulerVerifier>), NetError>,
    ) -> Result<Dialled, NetError> {
        race::first(addresses, |socket| {
            // Each has its own: a verifier remembers what it has found wrong.
            let configured = configure();
            async move {
                let (config, verifier) = configured?;
                tokio::select! {
                    biased;
                    dialled = self.dial(socket, config, &verifier, asked) => dialled,
                    error = self.sockets.refused(socket) => Err(unreachable(socket, &error)),
                }
            }
        })
        .await
    }

    async fn dial(
        &self,
        socket: SocketAddr,
        config: QuicClientConfig,
        verifier: &SchedulerVerifier,
        (wanted, hello): (Wanted, &Hello),
    ) -> Result<Dialled, NetError> {
        let address = socket.to_string();
        let mut config = quinn::ClientConfig::new(Arc::new(config));
        config.transport_config(profile::member()).token_store(Arc::clone(&self.tokens));
        // Host names are not looked at; the transport wants one, and keeps tokens under it.
        let name = socket.ip().to_string();
        let connecting =
            self.endpoint(socket)?.connect_with(config, socket, &name).map_err(|error| {
                NetError::Unreachable { address: address.clone(), reason: error.to_string() }
            })?;
        let connection = connecting.await.map_err(|error| match verifier.problem() {
            Some(problem) => NetError::BadCertificate { address: address.clone(), problem },
            None => refusal(&error, &address),
        })?;
        match open(&connection, wanted, hello).await {
            Some(Ok((send, receive, hello))) => match self.agree(&hello) {
                Ok(minor) => Ok(Dialled { connection, send, receive, hello, minor, address }),
                Err(reason) => Err(no_common(&connection, address, reason)),
            },
            Some(Err(error)) => Err(no_common(&connection, address, error.to_string())),
            None => match time::timeout(REASON_TIME, connection.closed()).await {
                Ok(error) => Err(refusal(&error, &address)),
                Err(_) => {
                    let reason = "it does not answer like a scheduler".to_owned();
                    CloseCode::Malformed.close(&connection, &reason);
                    Err(NetError::Unreachable { address, reason })
                }
            },
        }
    }

    /// The minor version that a link to a peer speaks that says this, or why there is none.
    fn agree(&self, theirs: &Hello) -> Result<u16, String> {
        self.hello.agree(theirs).ok_or_else(|| {
            let (ours, theirs) = (Release::of(&self.hello), Release::of(theirs));
            format!(
                "it runs {theirs}, this side {ours}, which have no version of the protocol in \
                 common; upgrade the older one"
            )
        })
    }

    fn endpoint(&self, address: SocketAddr) -> Result<quinn::Endpoint, NetError> {
        let (slot, any) = if address.is_ipv4() {
            (&self.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
        } else {
            (&self.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = &*slot {
            return Ok(endpoint.clone());
        }
        let endpoint =
            socket::endpoint(self.sockets.as_ref(), any, EndpointConfig::default(), None)?;
        Ok(slot.insert(endpoint).clone())
    }

    /// Waits until the last packets are sent, a second at most.
    pub(super) async fn idle(&self) {
        for slot in [&self.v4, &self.v6] {
            let endpoint = slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(endpoint) = endpoint {
                let _ = time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
            }
        }
    }
}

/// Opens the control stream and waits until the peer accepts the link; gives also what it says, or
/// why that cannot be taken.
async fn open(connection: &Connection, wanted: Wanted, hello: &Hello) -> Option<Heard> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    let mut said = BytesMut::new();
    Signal::Open(wanted).encode(&mut said);
    encode_hello(hello, &mut said);
    send.write_all(&said).await.ok()?;
    let mut heard = [0; OPEN_LEN];
    receive.read_exact(&mut heard).await.ok()?;
    match Signal::decode(&heard) {
        Ok(Some(Signal::Open(accepted))) if accepted == wanted => {}
        _ => return None,
    }
    match read_hello(&mut receive).await {
        Ok(theirs) => Some(Ok((send, receive, theirs))),
        Err(NoHello::Refused(error)) => Some(Err(error)),
        Err(_) => None,
    }
}

type Heard = Result<(SendStream, RecvStream, Hello), HelloError>;

/// There is no link with a peer of such a release.
fn no_common(connection: &Connection, address: String, reason: String) -> NetError {
    CloseCode::Version.close(connection, &reason);
    NetError::Minor { address, reason }
}

/// What the system has said of an address.
fn unreachable(address: SocketAddr, error: &io::Error) -> NetError {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there".into(),
        _ => error.to_string(),
    };
    NetError::Unreachable { address: address.to_string(), reason }
}
