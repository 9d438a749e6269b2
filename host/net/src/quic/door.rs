//! Who knocks at a scheduler's port: each is checked here, and becomes a link or is refused.

use std::{net::SocketAddr, time::Duration};

use bytes::BytesMut;
use quinn::{Connection, Incoming, RecvStream, SendStream};
use tokio::{sync::mpsc, time};
use tokio_util::task::TaskTracker;
use wasmgrid_proto::{
    Reason,
    wire::{FromJoiner, Hello, HelloError, Role, ToJoiner},
};

use super::{
    close::CloseCode,
    counts::{Count, Counts},
    driver::{self, Wire},
    listen::{Accepted, ListenerConfig},
    peer,
    places::{HandshakeSlot, HandshakeSlots, Origin},
    profile,
    signal::{NoHello, OPEN_LEN, Signal, Wanted, encode_hello, read_hello},
    tls,
};
use crate::{
    budget::{Budget, Budgets},
    identity::{Account, Identity, Peer},
    link::Link,
    release::Release,
};

/// How long a handshake may take, until the link is there.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How long a machine may take to join; those who have no certificate get no more.
const JOIN_TIME: Duration = Duration::from_secs(30);

/// So many links of one gateway count as one where it is decided how much each may have under way: they
/// are of different tenants, and all together take no more than those of so many identities.
const GATEWAY_LINKS_AS_ONE: usize = 16;

/// Stands for the name of who has none yet.
const JOINER_NAME: &str = "joiner";

/// Decides who becomes a link.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) grid: String,
    pub(super) hello: Hello,
    pub(super) config: ListenerConfig,
    /// Links of each account.
    pub(super) counts: Counts,
    /// Links of each gateway, for whomever it acts.
    pub(super) gateways: Counts,
    pub(super) workers: Budgets,
    pub(super) clients: Budgets,
    pub(super) joiners: HandshakeSlots,
    pub(super) links: TaskTracker,
    pub(super) sink: mpsc::Sender<Accepted>,
}

/// A link that somebody opens.
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
    pub(super) async fn admit(&self, incoming: Incoming, from: SocketAddr, place: HandshakeSlot) {
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
        let opened = self.hear(connection, Wanted::Joiner).await?;
        if opened.hello.act_for().is_some() {
            return Err(refused(CloseCode::Role, "who joins acts for nobody".into()));
        }
        let Opened { send, receive, hello, minor } = self.accept(opened, Wanted::Joiner).await?;
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
            Role::Client | Role::Operator | Role::Gateway => Wanted::Client,
            Role::Scheduler => {
                let reason = "a scheduler's certificate cannot make a link".into();
                return Err(refused(CloseCode::Role, reason));
            }
        };
        // Before it is heard, so that who has all its links costs no more than this.
        let place = self.place_of(&peer)?;
        let opened = self.hear(connection, wanted).await?;
        let peer = peer.saying(opened.hello.clone(), opened.minor);
        if peer.is_impostor() {
            return Err(self.refuse_impostor(peer).await);
        }
        let budgets = if wanted == Wanted::Worker { &self.workers } else { &self.clients };
        let (count, budget) = (self.place_for(&peer)?, budgets.of(&peer.account()));
        let before = match &count {
            Some(count) => count.before.max(place.before / GATEWAY_LINKS_AS_ONE),
            None => place.before,
        };
        profile::promote(connection, before);
        let Opened { send, receive, .. } = self.accept(opened, wanted).await?;
        let connection = connection.clone();
        let wire = Wire { connection, send, receive, peer, budget, lifetime: None };
        let place = (place, count);
        Ok(match wanted {
            Wanted::Worker => Accepted::Worker(driver::start(wire, &self.links, place)),
            Wanted::Client | Wanted::Joiner => {
                Accepted::Client(driver::start(wire, &self.links, place))
            }
        })
    }

    /// The place of one more link of a member; of a gateway, for whomever it acts.
    fn place_of(&self, peer: &Peer) -> Result<Count, Refused> {
        let ListenerConfig { links_per_identity, links_per_gateway, .. } = self.config;
        let (places, allowed) = match peer.identity.role() {
            Role::Gateway => (&self.gateways, links_per_gateway),
            _ => (&self.counts, links_per_identity),
        };
        places.enter(&Account::own(peer.identity.clone()), allowed).map_err(busy)
    }

    /// The place of one more link of a gateway among those on which it acts for the same tenant.
    fn place_for(&self, peer: &Peer) -> Result<Option<Count>, Refused> {
        let is_gateway = peer.identity.role() == Role::Gateway;
        let allowed = self.config.links_per_identity;
        let count = is_gateway.then(|| self.counts.enter(&peer.account(), allowed));
        count.transpose().map_err(busy)
    }

    /// Tells people of a member that says that it acts for somebody, and is no gateway.
    async fn refuse_impostor(&self, peer: Peer) -> Refused {
        let (role, name) = (peer.identity.role(), peer.identity.name().into());
        let why = Reason::NoGateway { role, name }.to_string();
        // If the listener is gone, so is who would be told.
        let _ = self.sink.send(Accepted::Impostor(Box::new(peer))).await;
        refused(CloseCode::Role, why)
    }

    /// Takes the control stream, where the peer wants what it may have and speaks what is spoken here.
    async fn hear(&self, connection: &Connection, allowed: Wanted) -> Result<Opened, Refused> {
        let (send, mut receive) = connection.accept_bi().await.map_err(|error| gone(&error))?;
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
            NoHello::Refused(error @ HelloError::ActFor(_)) => {
                refused(CloseCode::Role, error.to_string())
            }
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
        Ok(Opened { send, receive, hello, minor })
    }

    /// Accepts the link.
    async fn accept(&self, mut opened: Opened, allowed: Wanted) -> Result<Opened, Refused> {
        let mut said = BytesMut::new();
        Signal::Open(allowed).encode(&mut said);
        encode_hello(&self.hello, &mut said);
        opened.send.write_all(&said).await.map_err(|error| gone(&error))?;
        Ok(opened)
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

/// It does not begin as links do.
fn gone(error: &dyn std::fmt::Display) -> Refused {
    refused(CloseCode::Malformed, format!("it opens no link: {error}"))
}

/// It has as many links as it may have.
fn busy(reason: String) -> Refused {
    refused(CloseCode::Busy, reason)
}

fn refused(code: CloseCode, reason: String) -> Refused {
    Refused { code, reason }
}
