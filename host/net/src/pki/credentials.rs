//! What a member of a grid has to show: its certificate, the key to it, and whom it trusts.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use rcgen::{KeyPair, PublicKeyData};
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::WebPkiClientVerifier,
};
use wasmgrid_proto::Micros;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    files, labels,
    renewal::Renewal,
    validity::{Certificate, Validity},
};
use crate::{error::NetError, identity::Identity};

/// One file, so that a crash never leaves the key of one certificate beside another: the key, its
/// certificate, and that of the grid's authority.
const FILE: &str = "identity.pem";

/// A member's certificate and private key, and the certificate of its grid's authority.
#[derive(Clone)]
pub struct Credentials {
    identity: Identity,
    certificate: CertificateDer<'static>,
    about: Certificate,
    labels: Vec<(String, String)>,
    key: Arc<PrivateKeyDer<'static>>,
    ca: CertificateDer<'static>,
    /// Of a scheduler: who else is trusted.
    former: Option<Former>,
    /// See [`Credentials::lasting_secret`].
    lasting: [u8; blake3::OUT_LEN],
}

/// An authority that was replaced and is still trusted.
#[derive(Clone)]
pub(super) struct Former {
    pub(super) certificate: CertificateDer<'static>,
    /// What it says of its successor.
    pub(super) bridge: CertificateDer<'static>,
    /// Until when it is trusted.
    pub(super) ends: Micros,
}

impl Former {
    pub(super) fn new(
        certificate: CertificateDer<'static>,
        bridge: CertificateDer<'static>,
    ) -> Result<Self, NetError> {
        let ends = Certificate::read(&bridge)?.validity.ends;
        Ok(Self { certificate, bridge, ends })
    }
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
        let about = Certificate::read(&certificate)?;
        let labels = labels::of_certificate(&certificate)?;
        let lasting = blake3::derive_key(LASTING, key.secret_der());
        let (key, former) = (Arc::new(key), None);
        Ok(Self { identity, certificate, about, labels, key, ca, former, lasting })
    }

    /// Of a scheduler: with another lasting secret, one that comes from the authority, which gives
    /// its schedulers new keys at each start; and with the authority before, which is trusted too.
    pub(super) fn of_scheduler(
        self,
        lasting: [u8; blake3::OUT_LEN],
        former: Option<Former>,
    ) -> Self {
        Self { lasting, former, ..self }
    }

    /// A secret that is the same for the next process with the same place in the grid.
    pub(crate) fn lasting_secret(&self) -> &[u8; blake3::OUT_LEN] {
        &self.lasting
    }

    /// Reads `identity.pem` of a folder.
    ///
    /// # Errors
    /// [`NetError::File`] says what is missing or cannot be read;
    /// [`NetError::Identity`], where the certificate is not a grid's.
    pub fn load(folder: &Path) -> Result<Self, NetError> {
        let path = folder.join(FILE);
        let text = files::read(&path)?;
        let key = files::key(&path, &text)?;
        let mut certificates = files::certificates(&path, &text)?.into_iter();
        let (Some(certificate), Some(ca)) = (certificates.next(), certificates.next()) else {
            let reason = "it needs two certificates in PEM: the member's and its authority's";
            return Err(files::file_error(&path, &reason));
        };
        Self::new(certificate, key, ca)
    }

    /// Writes the file, in place of the one that is there; it can be read by its owner alone.
    ///
    /// # Errors
    /// [`NetError::File`] says what cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), NetError> {
        let text = [
            files::pem("PRIVATE KEY", self.key.secret_der()),
            files::pem("CERTIFICATE", &self.certificate),
            files::pem("CERTIFICATE", &self.ca),
        ];
        files::write(&folder.join(FILE), &text.concat())
    }

    /// Whose they are.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// For how long the certificate is good.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.about.validity
    }

    /// What the certificate says of itself.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.about
    }

    /// The labels that the certificate has, sorted: an operator vouched for them.
    #[must_use]
    pub fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// For who joins again with the key that it has: what the scheduler is asked, and shown.
    ///
    /// # Errors
    /// [`NetError::Certificate`], where the key cannot be used.
    pub fn again(&self) -> Result<(Renewal, Vec<u8>), NetError> {
        let key = KeyPair::try_from(self.key.secret_der())
            .map_err(|error| NetError::Certificate { reason: error.to_string() })?;
        Ok((Renewal::with_key(key)?, self.certificate.to_vec()))
    }

    /// BLAKE3 of the certificate (DER) of the grid's authority: by it two grids of one name differ.
    #[must_use]
    pub fn ca_hash(&self) -> [u8; 32] {
        *blake3::hash(&self.ca).as_bytes()
    }

    /// The certificate of the authority that signed theirs.
    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// All authorities that are trusted.
    pub(crate) fn trusted(&self) -> Vec<CertificateDer<'static>> {
        let former = self.former.as_ref().map(|former| former.certificate.clone());
        std::iter::once(self.ca.clone()).chain(former).collect()
    }

    /// The certificate and its authority's, which joiners check by its hash; then what tells who
    /// trusts the authority before that it may trust this one.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        let mut chain = vec![self.certificate.clone(), self.ca.clone()];
        if let Some(former) = &self.former {
            chain.extend([former.bridge.clone(), former.certificate.clone()]);
        }
        chain
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

/// True where a certificate is for this key.
pub(super) fn is_key_of(certificate: &CertificateDer<'_>, key: &impl PublicKeyData) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    parsed.public_key().subject_public_key.data == key.der_bytes()
}

/// Refuses a member's certificate that none of these authorities signed. Which date it is, this
/// machine's clock may not know: it counts as good when it was made.
pub(super) fn check_signed(
    certificate: &CertificateDer<'_>,
    authorities: &[CertificateDer<'static>],
) -> Result<(), NetError> {
    let unsigned = |error: &dyn fmt::Display| NetError::Certificate {
        reason: format!("this grid's authority did not sign it: {error}"),
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| unsigned(&error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unsigned(&error))?;
    let Certificate { validity, .. } = Certificate::read(certificate)?;
    let then = UnixTime::since_unix_epoch(Duration::from_micros(validity.issued.0));
    verifier.verify_client_cert(certificate, &[], then).map(drop).map_err(|error| unsigned(&error))
}

impl fmt::Debug for Credentials {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}
