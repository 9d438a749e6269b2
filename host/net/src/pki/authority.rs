//! The grid's own certificate authority.

use std::{fmt, path::Path, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData,
    SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use wasmgrid_proto::wire::Role;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    credentials::Credentials,
    files::{self, Access},
    labels::{self, check_labels},
};
use crate::{
    error::NetError,
    identity::{Identity, check_name},
};

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca-key.pem";

/// Certificates begin so much in the past, for clocks that differ, and those that were set wrong
/// for a while: a grid with one such machine, be it the scheduler's, works as before.
const SKEW: Duration = Duration::from_secs(24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the lasting secrets of a grid's schedulers are derived for.
const LASTING: &str = "wasmgrid 2026 lasting secret of a grid's schedulers";

/// What the authority's subject begins with; the grid's name follows.
const SUBJECT: &str = "wasmgrid authority of ";

/// Signs the certificates of a grid's members. Its key stays in its folder.
pub struct Authority {
    grid: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// What the lasting secrets of its schedulers come from, each by its name: they get new keys
    /// at each start.
    lasting: [u8; blake3::OUT_LEN],
}

impl Authority {
    /// How long the authority's own certificate is good for: ten years.
    pub const VALIDITY: Duration = Duration::from_secs(3_653 * DAY.as_secs());

    /// How long a member's certificate is good for, unless said otherwise: one year.
    pub const MEMBER_VALIDITY: Duration = Duration::from_secs(365 * DAY.as_secs());

    /// Makes the authority of a new grid and writes `ca.pem` and `ca-key.pem` into `folder`.
    ///
    /// # Errors
    /// [`NetError::File`], where there is one already or a file cannot be written;
    /// [`NetError::Identity`], where the name cannot stand in identities.
    pub fn create(grid: &str, folder: &Path) -> Result<Self, NetError> {
        check_name("grid", grid)?;
        let (key_path, certificate_path) = (folder.join(KEY), folder.join(CERTIFICATE));
        if key_path.exists() {
            let reason = "there is an authority already; its certificates would become worthless";
            return Err(files::file_error(&key_path, &reason));
        }
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(unmade)?;
        let mut params = params(&key, &format!("{SUBJECT}{grid}"), Self::VALIDITY);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(unmade)?.der().clone();
        files::write(&key_path, &key.serialize_pem(), Access::Owner)?;
        let pem = files::pem("CERTIFICATE", &certificate);
        files::write(&certificate_path, &pem, Access::Everybody)?;
        Self::new(grid.to_owned(), certificate, key)
    }

    /// Reads what [`Authority::create`] wrote.
    ///
    /// # Errors
    /// [`NetError::File`] names the file that is missing or cannot be used.
    pub fn load(folder: &Path) -> Result<Self, NetError> {
        let (key_path, certificate_path) = (folder.join(KEY), folder.join(CERTIFICATE));
        let certificate = files::certificate(&certificate_path)?;
        let key = KeyPair::from_pem(&files::read(&key_path)?)
            .map_err(|error| files::file_error(&key_path, &error))?;
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|error| files::file_error(&certificate_path, &error))?;
        if parsed.public_key().subject_public_key.data != key.der_bytes() {
            let reason = format!("it is not the key of {}", certificate_path.display());
            return Err(files::file_error(&key_path, &reason));
        }
        let subject = parsed.subject().iter_common_name().next();
        let grid = subject
            .and_then(|name| name.as_str().ok()?.strip_prefix(SUBJECT))
            .ok_or_else(|| files::file_error(&certificate_path, &"it is no grid's authority"))?
            .to_owned();
        Self::new(grid, certificate, key)
    }

    fn new(
        grid: String,
        certificate: CertificateDer<'static>,
        key: KeyPair,
    ) -> Result<Self, NetError> {
        let lasting = blake3::derive_key(LASTING, &key.serialize_der());
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(unmade)?;
        Ok(Self { grid, certificate, issuer, lasting })
    }

    /// The grid's name.
    #[must_use]
    pub fn grid(&self) -> &str {
        &self.grid
    }

    /// BLAKE3 of the authority's certificate in DER, which join tokens carry.
    #[must_use]
    pub fn ca_hash(&self) -> [u8; 32] {
        *blake3::hash(&self.certificate).as_bytes()
    }

    /// Makes a member's key and certificate here.
    ///
    /// # Errors
    /// [`NetError::Identity`], where the name cannot stand in an identity.
    pub fn issue(
        &self,
        role: Role,
        name: &str,
        validity: Duration,
    ) -> Result<Credentials, NetError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(unmade)?;
        let certificate = self.certify(&key, role, (name, &[]), validity)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let credentials = Credentials::new(certificate, key.into(), self.certificate.clone())?;
        Ok(match role {
            Role::Scheduler => {
                let of_name = blake3::keyed_hash(&self.lasting, name.as_bytes());
                credentials.with_lasting_secret(*of_name.as_bytes())
            }
            Role::Worker | Role::Client | Role::Operator => credentials,
        })
    }

    /// Makes the certificate (DER) for a member that made its own key, with the labels that are
    /// vouched for where it is a worker. Of its signing request
    /// (DER) only the key is used, once the request proves that its sender has it.
    ///
    /// # Errors
    /// [`NetError::Certificate`], where the request is not one for an Ed25519 key, or the labels
    /// cannot stand in a certificate; [`NetError::Identity`], where the name cannot stand in an
    /// identity.
    pub fn sign(
        &self,
        request: &[u8],
        role: Role,
        name: &str,
        labels: &[(String, String)],
        validity: Duration,
    ) -> Result<Vec<u8>, NetError> {
        let request = CertificateSigningRequestParams::from_der(&request.into()).map_err(unmade)?;
        if request.public_key.algorithm() != &PKCS_ED25519 {
            return Err(NetError::Certificate { reason: "its key is not an Ed25519 key".into() });
        }
        check_labels(labels)
            .map_err(|error| NetError::Certificate { reason: error.to_string() })?;
        Ok(self.certify(&request.public_key, role, (name, labels), validity)?.to_vec())
    }

    fn certify(
        &self,
        key: &impl PublicKeyData,
        role: Role,
        (name, labels): (&str, &[(String, String)]),
        validity: Duration,
    ) -> Result<CertificateDer<'static>, NetError> {
        let identity = Identity::new(&self.grid, role, name)?;
        let uri = identity.to_string().as_str().try_into().map_err(unmade)?;
        let mut params = params(key, name, validity);
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Only a scheduler is dialled; only the others dial.
        params.extended_key_usages = vec![match role {
            Role::Scheduler => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Worker | Role::Client | Role::Operator => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        if !labels.is_empty() {
            params.custom_extensions.push(labels::extension(labels));
        }
        Ok(params.signed_by(key, &self.issuer).map_err(unmade)?.der().clone())
    }
}

impl fmt::Debug for Authority {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("grid", &self.grid).finish_non_exhaustive()
    }
}

fn params(key: &impl PublicKeyData, subject: &str, validity: Duration) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial(key));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = now - SKEW;
    params.not_after = now + validity;
    params
}

/// The number of a key's certificate: positive and of one length, so that handshakes are of one
/// length too.
fn serial(key: &impl PublicKeyData) -> SerialNumber {
    let hash = blake3::hash(key.der_bytes());
    let mut serial: Vec<u8> = hash.as_bytes().iter().copied().take(16).collect();
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    SerialNumber::from(serial)
}

fn unmade(error: rcgen::Error) -> NetError {
    NetError::Certificate { reason: error.to_string() }
}
