//! The floor of large payloads: plain QUIC over loopback between two processes, with mutual TLS and
//! the transport's settings as links have them, and nothing of this crate.
//!
//! `bulk --seconds N` sends messages of 1 MiB to a second process, each on a stream of its own and
//! eight at a time, and gets each back; it prints how many came back a second. With `--one-way` they
//! do not come back, and it prints how many arrived.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that cannot run says so"
)]

use std::{
    env,
    error::Error,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::JoinSet;

/// Bytes of a message.
const MESSAGE: usize = 1 << 20;

/// Messages on their way at once, as links send them.
const AT_ONCE: usize = 8;

/// The name in the one certificate that both sides have.
const NAME: &str = "localhost";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let one_way = args.iter().any(|arg| arg == "--one-way");
    if let [role, folder, ..] = args.as_slice()
        && role == "peer"
    {
        return peer(Path::new(folder), !one_way).await;
    }
    let seconds = args.iter().position(|arg| arg == "--seconds").and_then(|at| args.get(at + 1));
    let time = seconds.map_or(3.0, |text| text.parse().expect("bulk --seconds N [--one-way]"));
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.into()]).unwrap();
    fs::write(folder.path().join("cert"), cert.der()).unwrap();
    fs::write(folder.path().join("key"), signing_key.serialize_der()).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg("peer").arg(folder.path()).args(one_way.then_some("--one-way"));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let endpoint = endpoint(None);
    let connecting = endpoint.connect_with(
        client(folder.path()).unwrap(),
        address.trim().parse().expect("the peer says its address"),
        NAME,
    );
    let connection = connecting.unwrap().await.unwrap();
    let time = Duration::from_secs_f64(time);
    // The first fill the congestion window.
    messages(&connection, time / 4, !one_way).await;
    println!("{:.2}", messages(&connection, time, !one_way).await);
    connection.close(VarInt::from_u32(0), b"done");
    endpoint.wait_idle().await;
    child.wait().unwrap();
}

/// Sends messages for so long; how many a second were done.
async fn messages(connection: &Connection, time: Duration, back: bool) -> f64 {
    let message = Bytes::from(vec![b'x'; MESSAGE]);
    let (start, mut done, mut streams) = (Instant::now(), 0_u32, JoinSet::new());
    while start.elapsed() < time {
        while streams.len() < AT_ONCE {
            let (connection, message) = (connection.clone(), message.clone());
            streams.spawn(async move {
                let mut send = connection.open_uni().await.unwrap();
                send.write_chunk(message).await.unwrap();
                send.finish().unwrap();
                if back {
                    read(&connection).await.unwrap();
                } else {
                    send.stopped().await.unwrap();
                }
            });
        }
        streams.join_next().await.unwrap().unwrap();
        done += 1;
    }
    let rate = f64::from(done) / start.elapsed().as_secs_f64();
    while streams.join_next().await.is_some() {}
    rate
}

/// Takes messages, and sends them back, until the connection ends.
async fn peer(folder: &Path, back: bool) {
    let endpoint = endpoint(Some(server(folder).unwrap()));
    println!("{}", endpoint.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    let mut streams = JoinSet::new();
    for _ in 0..AT_ONCE {
        let connection = connection.clone();
        streams.spawn(async move {
            while let Ok(message) = read(&connection).await {
                if back {
                    let Ok(mut send) = connection.open_uni().await else { return };
                    if send.write_chunk(message).await.is_err() || send.finish().is_err() {
                        return;
                    }
                }
            }
        });
    }
    while streams.join_next().await.is_some() {}
}

/// One message, in one piece.
async fn read(connection: &Connection) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    let mut stream = connection.accept_uni().await?;
    Ok(stream.read_to_end(MESSAGE).await?.into())
}

fn endpoint(server: Option<ServerConfig>) -> Endpoint {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    // The system may grant less.
    let _ = socket.set_recv_buffer_size(4 << 20);
    let _ = socket.set_send_buffer_size(4 << 20);
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    Endpoint::new(config, server, UdpSocket::from(socket), runtime).unwrap()
}

/// As `src/quic/profile.rs` has it.
fn transport() -> Arc<TransportConfig> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(1_452);
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(1 << 20))
        .receive_window(VarInt::from_u32(81 << 20))
        .send_window(16 << 20)
        .mtu_discovery_config(Some(mtu))
        .enable_segmentation_offload(true);
    Arc::new(config)
}

fn client(folder: &Path) -> Result<ClientConfig, Box<dyn Error>> {
    let (cert, key, roots) = identity(folder)?;
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![cert], key)?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport());
    Ok(config)
}

fn server(folder: &Path) -> Result<ServerConfig, Box<dyn Error>> {
    let (cert, key, roots) = identity(folder)?;
    let provider = Arc::new(ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![cert], key)?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport());
    Ok(config)
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>, RootCertStore);

fn identity(folder: &Path) -> Result<Identity, Box<dyn Error>> {
    let cert = CertificateDer::from(fs::read(folder.join("cert"))?);
    let key = PrivatePkcs8KeyDer::from(fs::read(folder.join("key"))?);
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone())?;
    Ok((cert, key.into(), roots))
}
