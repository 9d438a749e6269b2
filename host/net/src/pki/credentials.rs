//! What a member of a grid has to show: its certificate, the key to it, and whom it trusts.

use std::{fmt, path::Path};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::files::{self, Access};
use crate::{error::NetError, identity::Identity};

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
const CA: &str = "ca.pem";

/// A member's certificate and private key, and the certificate of its grid's authority.
pub struct Credentials {
    identity: Identity,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    ca: CertificateDer<'static>,
    /// See [`Credentials::lasting_secret`].
    lasting: [u8; blake3::OUT_LEN],
}

/// What the lasting secret of a member with a key of its own is derived for.
const LASTING: &str = "wasmgrid 2026 lasting secret";

impl Credentials {
    pub(crate) fn new(
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
        ca: CertificateDer<'static>,
    ) -> Result<Self, NetError> {
        let identity = Identity::from_certificate(&certificate)?;
        let lasting = blake3::derive_key(LASTING, key.secret_der());
        Ok(Self { identity, certificate, key, ca, lasting })
    }

    /// With another lasting secret: one that comes from the authority, which gives its schedulers
    /// new keys at each start.
    pub(crate) fn with_lasting_secret(self, lasting: [u8; blake3::OUT_LEN]) -> Self {
        Self { lasting, ..self }
    }

    /// A secret that is the same for the next process with the same place in the grid.
    pub(crate) fn lasting_secret(&self) -> &[u8; blake3::OUT_LEN] {
        &self.lasting
    }

    /// Reads `cert.pem`, `key.pem` and `ca.pem` of a folder.
    ///
    /// # Errors
    /// [`NetError::File`] names the file that is missing or cannot be read;
    /// [`NetError::Identity`], where the certificate is not a grid's.
    pub fn load(folder: &Path) -> Result<Self, NetError> {
        let certificate = files::certificate(&folder.join(CERTIFICATE))?;
        let ca = files::certificate(&folder.join(CA))?;
        let path = folder.join(KEY);
        let key = PrivateKeyDer::from_pem_slice(files::read(&path)?.as_bytes())
            .map_err(|error| files::file_error(&path, &format!("no key in PEM: {error}")))?;
        Self::new(certificate, key, ca)
    }

    /// Writes the three files; the key can be read by its owner alone.
    ///
    /// # Errors
    /// [`NetError::File`] names the file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), NetError> {
        let key = files::pem("PRIVATE KEY", self.key.secret_der());
        files::write(&folder.join(KEY), &key, Access::Owner)?;
        let ca = files::pem("CERTIFICATE", &self.ca);
        files::write(&folder.join(CA), &ca, Access::Everybody)?;
        let certificate = files::pem("CERTIFICATE", &self.certificate);
        files::write(&folder.join(CERTIFICATE), &certificate, Access::Everybody)
    }

    /// Whose they are.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The certificate and its authority's, which joiners check by its hash.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone(), self.ca.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
            ca: self.ca.clone(),
            lasting: self.lasting,
        }
    }
}

impl fmt::Debug for Credentials {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}
