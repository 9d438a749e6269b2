//! How connections are ended: the codes that both sides know, and what they mean to the other.

use quinn::{Connection, ConnectionError, VarInt};

use crate::{
    error::{CertificateProblem, NetError},
    link::LinkError,
    release::Release,
};

/// Why a connection is closed by one of its users. The numbers are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum CloseCode {
    /// In order: everything has been said.
    Done = 0,
    /// The peer's bytes are no messages, or make no sense.
    Malformed = 1,
    /// There is no certificate where one is needed.
    NoCertificate = 2,
    /// The certificate says nobody, or somebody of another grid.
    Identity = 3,
    /// The certificate's role may not do this.
    Role = 4,
    /// Too many links.
    Busy = 5,
    /// The peer took too long.
    Slow = 6,
    /// The peer was taken out of the grid.
    Removed = 7,
    /// There is no minor version of the protocol that both sides speak.
    Version = 8,
}

impl CloseCode {
    pub(super) fn close(self, connection: &Connection, reason: &str) {
        // The reason must fit the one packet that carries it.
        let end = reason.floor_char_boundary(256);
        let reason = reason.get(..end).unwrap_or_default();
        connection.close(VarInt::from_u32(self as u32), reason.as_bytes());
    }

    fn is(self, code: VarInt) -> bool {
        u64::from(code) == u64::from(self as u32)
    }
}

/// What the end of a connection means for its link; `Ok` where it is in order.
pub(super) fn link_end(error: &ConnectionError, peer: &str) -> Result<(), LinkError> {
    let peer = peer.to_owned();
    match error {
        ConnectionError::LocallyClosed => Ok(()),
        ConnectionError::ApplicationClosed(close) if CloseCode::Done.is(close.error_code) => Ok(()),
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            if CloseCode::Removed.is(close.error_code) {
                Err(LinkError::Removed { peer, reason })
            } else if CloseCode::Slow.is(close.error_code) || CloseCode::Busy.is(close.error_code) {
                Err(LinkError::Rejected { peer, reason })
            } else {
                // A code that is not known here is another release's.
                Err(LinkError::Misunderstood { peer, theirs: Release::default(), reason })
            }
        }
        error => Err(LinkError::Lost { peer, reason: error.to_string() }),
    }
}

/// What the end of a connection means to who dialled it and has no link yet.
pub(super) fn refusal(error: &ConnectionError, address: &str) -> NetError {
    let address = address.to_owned();
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            let code = close.error_code;
            if CloseCode::NoCertificate.is(code) {
                NetError::Refused { address, problem: CertificateProblem::Missing }
            } else if CloseCode::Busy.is(code) {
                NetError::Busy { address, reason }
            } else if CloseCode::Removed.is(code) {
                NetError::Refused { address, problem: CertificateProblem::Removed(reason) }
            } else if CloseCode::Version.is(code) {
                NetError::Minor { address, reason }
            } else if CloseCode::Identity.is(code) || CloseCode::Role.is(code) {
                NetError::Refused { address, problem: CertificateProblem::Other(reason) }
            } else {
                NetError::Unreachable { address, reason }
            }
        }
        ConnectionError::ConnectionClosed(close) => match alert(u64::from(close.error_code)) {
            Some(ALERT_NO_PROTOCOL) => NetError::Version { address },
            Some(alert) => NetError::Refused { address, problem: problem(alert) },
            None if u64::from(close.error_code) == CONNECTION_REFUSED => {
                let reason = "it accepts no more links at the moment".into();
                NetError::Busy { address, reason }
            }
            None => NetError::Unreachable { address, reason: error.to_string() },
        },
        ConnectionError::TransportError(error)
            if alert(u64::from(error.code)) == Some(ALERT_NO_PROTOCOL) =>
        {
            NetError::Version { address }
        }
        ConnectionError::VersionMismatch => NetError::Version { address },
        error => NetError::Unreachable { address, reason: error.to_string() },
    }
}

/// RFC 9000, section 20.1.
const CONNECTION_REFUSED: u64 = 0x02;

// RFC 8446, section 6.
const ALERT_EXPIRED: u8 = 45;
const ALERT_UNKNOWN_CA: u8 = 48;
const ALERT_DECRYPT_ERROR: u8 = 51;
const ALERT_CERTIFICATE_REQUIRED: u8 = 116;
const ALERT_NO_PROTOCOL: u8 = 120;

/// The TLS alert in a transport error code: RFC 9001, section 4.8.
fn alert(code: u64) -> Option<u8> {
    u8::try_from(code.checked_sub(0x100)?).ok()
}

fn problem(alert: u8) -> CertificateProblem {
    match alert {
        ALERT_EXPIRED => CertificateProblem::Expired,
        // The second: an authority of the same name with another key.
        ALERT_UNKNOWN_CA | ALERT_DECRYPT_ERROR => CertificateProblem::WrongAuthority,
        ALERT_CERTIFICATE_REQUIRED => CertificateProblem::Missing,
        other => CertificateProblem::Alert(other),
    }
}
