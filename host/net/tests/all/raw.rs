//! A peer that speaks QUIC and TLS, and does not keep to what a link is.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::{
    DigitallySignedStruct, Error, NamedGroup, SignatureScheme,
    client::{
        ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use wasmgrid_proto::{
    frame::{HEADER_LEN, meta_len},
    wire::Hello,
};

/// The first frame of a worker's link.
pub(crate) const OPEN_WORKER: &[u8] = &[7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];

/// Connects to a scheduler without looking at its certificate; with the credentials in a folder,
/// or with none.
pub(crate) async fn connect(
    address: SocketAddr,
    credentials: Option<&Path>,
    alpn: &str,
    tickets: Arc<Tickets>,
) -> Result<Connection, ConnectionError> {
    let config = client(credentials, alpn, tickets);
    let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    endpoint.connect_with(config, address, "raw").unwrap().await
}

/// How such a peer dials.
pub(crate) fn client(
    credentials: Option<&Path>,
    alpn: &str,
    tickets: Arc<Tickets>,
) -> quinn::ClientConfig {
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = match credentials {
        Some(folder) => {
            let (chain, key) = load(folder);
            config.with_client_auth_cert(chain, key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    config.resumption = Resumption::store(tickets);
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

/// The first frame of a client's link.
pub(crate) const OPEN_CLIENT: &[u8] = &[7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];

/// The first frame of the link of a machine that wants to join.
pub(crate) const OPEN_JOINER: &[u8] = &[7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3];

/// Opens a worker's link by hand.
pub(crate) async fn open(connection: &Connection) -> (SendStream, RecvStream) {
    open_as(connection, OPEN_WORKER).await
}

/// Opens any link by hand.
pub(crate) async fn open_as(connection: &Connection, first: &[u8]) -> (SendStream, RecvStream) {
    let (send, receive, _) = open_saying(connection, first, &Hello::new("raw")).await;
    (send, receive)
}

/// The same with another hello; gives also what the scheduler says.
pub(crate) async fn open_saying(
    connection: &Connection,
    first: &[u8],
    hello: &Hello,
) -> (SendStream, RecvStream, Hello) {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&[first, &hello_frame(hello)].concat()).await.unwrap();
    let mut answer = [0; OPEN_WORKER.len()];
    receive.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, first);
    let theirs = read_hello(&mut receive).await;
    (send, receive, theirs)
}

/// Accepts any link by hand, the first frame of which has so many bytes; gives also what the peer says.
pub(crate) async fn accept(
    connection: &Connection,
    hello: &Hello,
    first: usize,
) -> (SendStream, RecvStream, Hello) {
    let (mut send, mut receive) = connection.accept_bi().await.unwrap();
    let mut opened = vec![0; first];
    receive.read_exact(&mut opened).await.unwrap();
    let theirs = read_hello(&mut receive).await;
    send.write_all(&[&opened[..], &hello_frame(hello)].concat()).await.unwrap();
    (send, receive, theirs)
}

/// The second frame of each side.
pub(crate) fn hello_frame(hello: &Hello) -> Vec<u8> {
    frame_of(0x0002, &hello.encode().unwrap())
}

/// A frame without a payload.
pub(crate) fn frame_of(kind: u16, meta: &[u8]) -> Vec<u8> {
    let meta_len = u32::try_from(meta.len()).unwrap();
    let mut frame = (6 + meta_len).to_le_bytes().to_vec();
    frame.extend(kind.to_le_bytes());
    frame.extend(meta_len.to_le_bytes());
    frame.extend(meta);
    frame
}

/// Reads the second frame of the other side.
pub(crate) async fn read_hello(receive: &mut RecvStream) -> Hello {
    let mut header = [0; HEADER_LEN];
    receive.read_exact(&mut header).await.unwrap();
    let mut meta = vec![0; meta_len(&header)];
    receive.read_exact(&mut meta).await.unwrap();
    Hello::decode(&meta).unwrap()
}

/// Listens with any credentials, and speaks `alpn`.
pub(crate) fn listen(folder: &Path, alpn: &str) -> Endpoint {
    let (chain, key) = load(folder);
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let config = QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    Endpoint::server(config, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}

fn load(folder: &Path) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let file = folder.join("identity.pem");
    let chain = CertificateDer::pem_file_iter(&file).unwrap().map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_file(&file).unwrap())
}

/// Counts the session tickets it is given.
#[derive(Debug, Default)]
pub(crate) struct Tickets(AtomicUsize);

impl Tickets {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// Believes every server.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
