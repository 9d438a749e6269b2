//! TLS of the HTTP interface, as `wasmgrid-net` does it.

use std::{path::Path, sync::Arc};

use tokio::net::TcpStream;
use wasmgrid_gateway::{Handshake, Stream, Tls};
use wasmgrid_net::{Authority, HttpsServer, NetError};

/// Ends TLS.
pub struct Https(Arc<HttpsServer>);

impl Https {
    /// With a certificate and key from files.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, NetError> {
        HttpsServer::from_files(certificate, key).map(|server| Self(Arc::new(server)))
    }

    /// With a certificate of the grid's authority for these names.
    ///
    /// # Errors
    /// If one of them cannot stand in a certificate.
    pub fn of_authority(authority: Arc<Authority>, names: Vec<String>) -> Result<Self, NetError> {
        HttpsServer::of_authority(authority, names).map(|server| Self(Arc::new(server)))
    }
}

impl Tls for Https {
    fn accept(&self, stream: TcpStream) -> Handshake {
        let server = Arc::clone(&self.0);
        Box::pin(async move {
            let stream = server.accept(stream).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
