//! TLS 1.3 with the grid's own authority. Peers are known by the identity in their certificates,
//! never by host names; nothing is resumed, so that each link is checked anew.

use std::sync::{Arc, Mutex, PoisonError};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use wasmgrid_proto::wire::Role;

use crate::{
    error::{CertificateProblem, NetError},
    identity::Identity,
    pki::Credentials,
};

/// The protocol between members, with its major version.
pub(super) const MEMBER_ALPN: &[u8] = b"wasmgrid/1";

/// The protocol by which machines join.
pub(super) const ENROLL_ALPN: &[u8] = b"wasmgrid-enroll/1";

/// For a listener. A client without a certificate passes here, for it may want to join; one with
/// a certificate that is not good does not.
pub(super) fn server(credentials: &Credentials) -> Result<QuicServerConfig, NetError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots(&credentials.trusted())?),
        Arc::clone(&provider),
    )
    .allow_unauthenticated()
    .build()
    .map_err(|error| unusable(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain(), credentials.key())
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![MEMBER_ALPN.to_vec(), ENROLL_ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|error| unusable(&error))
}

/// For one dial by a member; `verifier` tells afterwards why it refused.
pub(super) fn member(
    credentials: &Credentials,
    verifier: Arc<SchedulerVerifier>,
) -> Result<QuicClientConfig, NetError> {
    let config = client(verifier)?
        .with_client_auth_cert(credentials.chain(), credentials.key())
        .map_err(|error| unusable(&error))?;
    finish(config, MEMBER_ALPN)
}

/// For one dial by a machine that has no certificate yet.
pub(super) fn joiner(verifier: Arc<SchedulerVerifier>) -> Result<QuicClientConfig, NetError> {
    finish(client(verifier)?.with_no_client_auth(), ENROLL_ALPN)
}

fn client(
    verifier: Arc<SchedulerVerifier>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, NetError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

fn finish(mut config: ClientConfig, alpn: &[u8]) -> Result<QuicClientConfig, NetError> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    QuicClientConfig::try_from(config).map_err(|error| unusable(&error))
}

/// Whom a dialling side trusts to name a scheduler.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// The authority with this certificate.
    Authority(CertificateDer<'static>),
    /// The authority whose certificate has this BLAKE3, and which the peer shows.
    Hash([u8; 32]),
}

/// Accepts the scheduler of one grid: a certificate that the authority signed for servers, valid
/// now, whose one identity is a scheduler of the grid.
#[derive(Debug)]
pub(super) struct SchedulerVerifier {
    grid: String,
    trust: Trust,
    provider: Arc<CryptoProvider>,
    /// Why the peer was refused: the transport keeps only a text.
    problem: Mutex<Option<CertificateProblem>>,
}

impl SchedulerVerifier {
    pub(super) fn new(grid: &str, trust: Trust) -> Arc<Self> {
        let (grid, problem) = (grid.to_owned(), Mutex::new(None));
        Arc::new(Self { grid, trust, provider: provider(), problem })
    }

    /// Why the peer was refused, if it was.
    pub(super) fn problem(&self) -> Option<CertificateProblem> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), CertificateProblem> {
        let authority = match &self.trust {
            Trust::Authority(authority) => authority.clone(),
            Trust::Hash(hash) => by_hash(others, hash).ok_or(CertificateProblem::WrongToken)?,
        };
        let other = |error: &dyn std::fmt::Display| CertificateProblem::Other(error.to_string());
        let parsed = ParsedCertificate::try_from(certificate).map_err(|e| other(&e))?;
        let roots = roots(&[authority]).map_err(|e| other(&e))?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, others, now, algorithms)
            .map_err(|error| problem(&error))?;
        let identity =
            Identity::from_certificate(certificate).map_err(CertificateProblem::Identity)?;
        check_grid(&identity, &self.grid)?;
        if identity.role() != Role::Scheduler {
            let (found, wanted) = (identity.role().to_string(), Role::Scheduler.to_string());
            return Err(CertificateProblem::WrongRole { found, wanted });
        }
        Ok(())
    }
}

impl ServerCertVerifier for SchedulerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate, others, now).map(|()| ServerCertVerified::assertion()).map_err(
            |problem| {
                *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
                Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
            },
        )
    }

    /// Never asked: only TLS 1.3 is offered.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not supported".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate with this BLAKE3.
pub(super) fn by_hash(
    certificates: &[CertificateDer<'_>],
    hash: &[u8; 32],
) -> Option<CertificateDer<'static>> {
    let found = certificates.iter().find(|der| blake3::hash(der).as_bytes() == hash)?;
    Some(found.clone().into_owned())
}

pub(super) fn check_grid(identity: &Identity, grid: &str) -> Result<(), CertificateProblem> {
    if identity.grid() == grid {
        return Ok(());
    }
    let (found, wanted) = (identity.grid().to_owned(), grid.to_owned());
    Err(CertificateProblem::WrongGrid { found, wanted })
}

fn problem(error: &Error) -> CertificateProblem {
    let Error::InvalidCertificate(error) = error else {
        return CertificateProblem::Other(error.to_string());
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CertificateProblem::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::NotYetValid
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            CertificateProblem::WrongAuthority
        }
        error => CertificateProblem::Other(error.to_string()),
    }
}

fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, NetError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| unusable(&error))?;
    }
    Ok(roots)
}

/// Always named: a second provider anywhere in the build would make the default one panic.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn unusable(error: &dyn std::fmt::Display) -> NetError {
    NetError::Credentials { reason: error.to_string() }
}
