//! TLS for the HTTP interface: with a certificate that its operator gives, or one that the grid's
//! authority signs for the names of this machine. Clients show no certificate here. Files that change
//! and certificates that grow old are replaced while connections go on.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    version::TLS13,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    error::NetError,
    pki::{Authority, files},
    quic::provider,
};

/// What is spoken within TLS, the best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How often it is looked whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For how long a certificate of the authority is good, and after what time there is a new one: this
/// process knows of no name that was taken away.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const NEW_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the certificate comes from.
enum Source {
    /// Files in PEM: the certificate with those between it and its authority, and its key.
    Files { certificate: PathBuf, key: PathBuf },
    /// The grid's authority, for these names.
    Authority { authority: Arc<Authority>, names: Vec<String> },
}

/// Ends TLS for HTTP.
pub struct HttpsServer {
    source: Source,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    made: Instant,
    looked: Instant,
    /// When the files were changed last.
    seen: Option<[SystemTime; 2]>,
}

impl HttpsServer {
    /// With a certificate and its key from files in PEM, which are read again when they change.
    ///
    /// # Errors
    /// [`NetError::File`] says what is missing or cannot be used.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, NetError> {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Self::new(Source::Files { certificate, key })
    }

    /// With a certificate for these names (of hosts, or addresses) that the grid's authority signs.
    ///
    /// # Errors
    /// [`NetError::Certificate`], if one of the names cannot stand in a certificate.
    pub fn of_authority(authority: Arc<Authority>, names: Vec<String>) -> Result<Self, NetError> {
        Self::new(Source::Authority { authority, names })
    }

    fn new(source: Source) -> Result<Self, NetError> {
        let seen = source.seen();
        let config = source.config()?;
        let now = Instant::now();
        Ok(Self { source, current: Mutex::new(Current { config, made: now, looked: now, seen }) })
    }

    /// Does the handshake on a connection.
    ///
    /// # Errors
    /// If the client does not speak TLS 1.3, or ends it.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config()).accept(stream).await
    }

    /// What is used for the next connection.
    fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let seen = self.source.seen();
            let is_old = match &self.source {
                Source::Files { .. } => seen != current.seen,
                Source::Authority { .. } => current.made.elapsed() >= NEW_AFTER,
            };
            if is_old {
                match self.source.config() {
                    Ok(config) => {
                        *current = Current { config, made: Instant::now(), seen, ..*current };
                    }
                    // The one before goes on; half-written files are tried again.
                    Err(error) => {
                        tracing::warn!(%error, "the certificate for HTTPS was not replaced");
                    }
                }
            }
        }
        Arc::clone(&current.config)
    }
}

impl Source {
    fn seen(&self) -> Option<[SystemTime; 2]> {
        let Self::Files { certificate, key } = self else { return None };
        let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        Some([changed(certificate)?, changed(key)?])
    }

    fn config(&self) -> Result<Arc<ServerConfig>, NetError> {
        match self {
            Self::Files { certificate, key } => {
                let chain = files::certificates(certificate, &files::read(certificate)?)?;
                let secret = files::key(key, &files::read(key)?)?;
                config(chain, secret).map_err(|error| files::file_error(certificate, &error))
            }
            Self::Authority { authority, names } => {
                let (chain, key) = authority.issue_https(names, LIFE)?;
                config(chain, key)
                    .map_err(|error| NetError::Certificate { reason: error.to_string() })
            }
        }
    }
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

impl fmt::Debug for HttpsServer {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsServer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;

    /// A key and a certificate of this authority, as files of a folder.
    fn write(folder: &Path, authority: &Authority, name: &str) -> [PathBuf; 2] {
        let (chain, key) = authority.issue_https(&[name.to_owned()], LIFE).expect("made");
        let chain: String = chain.iter().map(|one| files::pem("CERTIFICATE", one)).collect();
        let paths = [folder.join("certificate.pem"), folder.join("key.pem")];
        fs::write(&paths[0], chain).expect("written");
        fs::write(&paths[1], files::pem("PRIVATE KEY", key.secret_der())).expect("written");
        paths
    }

    /// Whether a client that trusts this authority takes the server for this name.
    async fn is_taken(server: &HttpsServer, authority: &Authority, name: &'static str) -> bool {
        let (chain, _) = authority.issue_https(&[], LIFE).expect("made");
        let mut roots = RootCertStore::empty();
        roots.add(chain.last().expect("the authority's").clone()).expect("a root");
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let client = async {
            let stream = TcpStream::connect(address).await.expect("it listens");
            let name = ServerName::try_from(name).expect("a name");
            TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_ok()
        };
        let accepted = async {
            let (stream, _) = listener.accept().await.expect("a connection");
            // The client says whether it was good.
            drop(server.accept(stream).await);
        };
        tokio::join!(client, accepted).0
    }

    #[tokio::test]
    async fn a_grids_authority_vouches_for_the_names_of_its_gateway() {
        let authority = Arc::new(Authority::generate("lab").expect("made"));
        let names = vec!["grid.example".to_owned(), "127.0.0.1".to_owned()];
        let server = HttpsServer::of_authority(Arc::clone(&authority), names).expect("made");
        assert!(is_taken(&server, &authority, "grid.example").await);
        assert!(is_taken(&server, &authority, "127.0.0.1").await);
        assert!(!is_taken(&server, &authority, "evil.example").await);
        let other = Authority::generate("lab").expect("made");
        assert!(!is_taken(&server, &other, "grid.example").await);
    }

    #[tokio::test]
    async fn a_certificate_that_changes_is_used_for_the_next_connection() {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::generate("lab").expect("made");
        let [certificate, key] = write(folder.path(), &authority, "old.example");
        let server = HttpsServer::from_files(&certificate, &key).expect("read");
        assert!(is_taken(&server, &authority, "old.example").await);
        // Half of a change is not used.
        fs::write(&certificate, "not yet").expect("written");
        assert!(is_taken(&server, &authority, "old.example").await);
        loop {
            write(folder.path(), &authority, "new.example");
            // The clock of files is coarse.
            if server.source.seen() != server.current.lock().expect("no panic").seen {
                break;
            }
        }
        let mut is_new = false;
        while !is_new {
            let is_old = is_taken(&server, &authority, "old.example").await;
            is_new = is_taken(&server, &authority, "new.example").await;
            assert!(is_old || is_new, "no connection is without a certificate");
        }
        assert!(HttpsServer::from_files(&key, &certificate).is_err());
    }
}
