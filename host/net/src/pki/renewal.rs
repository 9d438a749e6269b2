//! A member's next certificate: it makes a new key here, has it signed over its link, and is then
//! who it was.

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use wasmgrid_proto::wire::{Renew, Renewed};

use super::{
    ca::unmade,
    credentials::{Credentials, check_signed, is_key_of},
};
use crate::{error::NetError, identity::Identity};

/// A key that is to be signed for a member.
pub struct Renewal {
    key: KeyPair,
    request: Vec<u8>,
}

impl Renewal {
    /// Makes a key.
    ///
    /// # Errors
    /// [`NetError::Certificate`], where that fails.
    pub fn new() -> Result<Self, NetError> {
        Self::with_key(KeyPair::generate_for(&PKCS_ED25519).map_err(unmade)?)
    }

    /// With a key that is there already.
    pub(crate) fn with_key(key: KeyPair) -> Result<Self, NetError> {
        let request = CertificateParams::default().serialize_request(&key).map_err(unmade)?;
        let request = request.der().to_vec();
        Ok(Self { key, request })
    }

    /// What the scheduler is asked.
    #[must_use]
    pub fn request(&self) -> Renew {
        Renew { csr: self.request.clone() }
    }

    /// Believes what the scheduler answered only if it is for this key and this member, and the
    /// authority that it names signed it.
    ///
    /// # Errors
    /// [`NetError::Certificate`] says what is wrong.
    pub fn accept(self, expected: &Identity, renewed: Renewed) -> Result<Credentials, NetError> {
        let certificate = CertificateDer::from(renewed.certificate);
        let authority = CertificateDer::from(renewed.authority);
        if !is_key_of(&certificate, &self.key) {
            return Err(wrong(&"it is for another key"));
        }
        if Identity::from_certificate(&certificate)? != *expected {
            return Err(wrong(&"it names somebody else"));
        }
        check_signed(&certificate, std::slice::from_ref(&authority))?;
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        Credentials::new(certificate, key.into(), authority)
    }
}

fn wrong(reason: &dyn std::fmt::Display) -> NetError {
    NetError::Certificate { reason: format!("the scheduler sent a wrong certificate: {reason}") }
}
