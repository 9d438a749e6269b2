//! One key that signs, and its certificate.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKey,
    PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use wasmgrid_proto::{Micros, wire::Role};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    labels::{self, check_labels},
    validity::{Certificate, SKEW, Validity, key_number, today},
};
use crate::{error::NetError, identity::Identity};

/// What an authority's subject begins with; the grid's name follows.
const SUBJECT: &str = "wasmgrid authority of ";

/// What a member's certificate is to say.
pub(super) struct Wanted<'a> {
    pub(super) identity: &'a Identity,
    /// Vouched for; of workers alone.
    pub(super) labels: &'a [(String, String)],
    pub(super) life: Duration,
}

/// See the module's text.
pub(super) struct Ca {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// When its certificate ends, and each that it signs at the latest.
    pub(super) ends: Micros,
    /// When its certificate begins.
    begins: OffsetDateTime,
}

impl Ca {
    /// Makes one for a grid.
    pub(super) fn create(grid: &str, life: Duration) -> Result<Self, NetError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(unmade)?;
        let ends = OffsetDateTime::now_utc() + life;
        // What it signs for its successor may sign members in turn.
        let params = of_authority(&key, &format!("{SUBJECT}{grid}"), ends, 1);
        let certificate = params.self_signed(&key).map_err(unmade)?.der().clone();
        Self::new(certificate, key)
    }

    /// Of what a file had.
    pub(super) fn new(
        certificate: CertificateDer<'static>,
        key: KeyPair,
    ) -> Result<Self, NetError> {
        let Validity { issued, ends } = Certificate::read(&certificate)?.validity;
        let begins = date(issued)? - SKEW;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(unmade)?;
        Ok(Self { certificate, issuer, ends, begins })
    }

    /// Says that members of this one trust `successor` too, until a date: a certificate for its key,
    /// which stands between what it signs and this one.
    pub(super) fn vouch_for(
        &self,
        successor: &Self,
        grid: &str,
        until: Micros,
    ) -> Result<CertificateDer<'static>, NetError> {
        let (ends, key) = (date(until.min(self.ends))?, successor.key());
        let mut params = of_authority(key, &format!("{SUBJECT}{grid}"), ends, 0);
        // As long as it is trusted itself: a clock that is ahead now makes it no younger.
        params.not_before = self.begins;
        // The successor's own certificate has the number of its key, and an issuer of the same name.
        params.serial_number = Some(serial(self.key()));
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer).map_err(unmade)?.der().clone())
    }

    /// Makes a member's certificate for this key.
    pub(super) fn certify(
        &self,
        key: &impl PublicKeyData,
        wanted: &Wanted<'_>,
    ) -> Result<CertificateDer<'static>, NetError> {
        let Wanted { identity, labels, life } = wanted;
        check_labels(labels)
            .map_err(|error| NetError::Certificate { reason: error.to_string() })?;
        let uri = identity.to_string().as_str().try_into().map_err(unmade)?;
        let left = Duration::from_millis(self.ends.since(today()).0);
        let ends = OffsetDateTime::now_utc() + (*life).min(left);
        let mut params = params(key, identity.name(), ends);
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Only a scheduler is dialled; only the others dial.
        params.extended_key_usages = vec![match identity.role() {
            Role::Scheduler => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Worker | Role::Client | Role::Operator | Role::Gateway => {
                ExtendedKeyUsagePurpose::ClientAuth
            }
        }];
        params.use_authority_key_identifier_extension = true;
        if !labels.is_empty() {
            params.custom_extensions.push(labels::extension(labels));
        }
        Ok(params.signed_by(key, &self.issuer).map_err(unmade)?.der().clone())
    }

    /// Makes a certificate for HTTPS with this key: for names of hosts and addresses, and for nothing
    /// within the grid, since it has no identity there.
    pub(super) fn certify_https(
        &self,
        key: &impl PublicKeyData,
        names: &[String],
        life: Duration,
    ) -> Result<CertificateDer<'static>, NetError> {
        let left = Duration::from_millis(self.ends.since(today()).0);
        let ends = OffsetDateTime::now_utc() + life.min(left);
        let mut params = params(key, "wasmgrid over HTTPS", ends);
        let san = |name: &String| match name.parse() {
            Ok(ip) => Ok(SanType::IpAddress(ip)),
            Err(_) => Ok(SanType::DnsName(name.as_str().try_into().map_err(unmade)?)),
        };
        params.subject_alt_names = names.iter().map(san).collect::<Result<_, NetError>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer).map_err(unmade)?.der().clone())
    }

    /// Its private key.
    pub(super) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// True where it signed a certificate, as far as that says.
    pub(super) fn signed(&self, certificate: &Certificate) -> bool {
        key_number(&self.certificate) == certificate.signed_by
    }
}

/// The grid whose authority's certificate this is; `None` of another one.
pub(super) fn grid_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject().iter_common_name().next()?;
    Some(subject.as_str().ok()?.strip_prefix(SUBJECT)?.to_owned())
}

/// The key that is to be signed, of a request (DER) that proves that its sender has it.
///
/// # Errors
/// [`NetError::Certificate`], where it is not one for an Ed25519 key.
pub(super) fn requested(request: &[u8]) -> Result<PublicKey, NetError> {
    let request = CertificateSigningRequestParams::from_der(&request.into()).map_err(unmade)?;
    if request.public_key.algorithm() != &PKCS_ED25519 {
        return Err(NetError::Certificate { reason: "its key is not an Ed25519 key".into() });
    }
    Ok(request.public_key)
}

fn date(at: Micros) -> Result<OffsetDateTime, NetError> {
    let seconds = i64::try_from(at.0 / 1_000_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_err(|error| NetError::Certificate { reason: error.to_string() })
}

pub(super) fn unmade(error: rcgen::Error) -> NetError {
    NetError::Certificate { reason: error.to_string() }
}

fn of_authority(
    key: &impl PublicKeyData,
    subject: &str,
    ends: OffsetDateTime,
    below: u8,
) -> CertificateParams {
    let mut params = params(key, subject, ends);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(key: &impl PublicKeyData, subject: &str, ends: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(serial(key));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = OffsetDateTime::now_utc() - SKEW;
    params.not_after = ends;
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
