//! What the handshake says about a peer.

use quinn::{Connection, crypto::rustls::HandshakeData};
use rustls::pki_types::CertificateDer;

/// The protocol that both sides agreed on.
pub(super) fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

/// The peer's certificates, its own first; the handshake has checked them. Empty where it has
/// none.
pub(super) fn certificates(connection: &Connection) -> Vec<CertificateDer<'static>> {
    connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .map(|certificates| *certificates)
        .unwrap_or_default()
}
