//! How a machine joins a grid: it makes its key here, shows the token's secret to the scheduler
//! it has checked, and gets its key signed.

use std::{sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::time;
use tokio_util::task::TaskTracker;
use wasmgrid_proto::wire::{Enroll, Enrolled, FromJoiner, ToJoiner};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    dial::{Dialled, Dialler},
    driver::{self, Wire},
    peer,
    signal::Wanted,
    tls::{self, SchedulerVerifier, Trust},
};
use crate::{
    budget::Budget,
    error::NetError,
    identity::{Identity, Peer},
    link::Link,
    pki::Credentials,
    token::JoinToken,
};

/// How long the scheduler may take to sign: it makes the token's use durable first.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Joins the token's grid under `wanted_name`, which the scheduler makes unique. The secret is
/// sent only to a scheduler whose authority has the hash in the token.
///
/// # Errors
/// [`NetError::Denied`], where the scheduler refuses; [`NetError::BadCertificate`], where what
/// answers is not the token's grid; else as for other links.
pub async fn enroll(token: &JoinToken, wanted_name: &str) -> Result<Credentials, NetError> {
    let unmade = |error: rcgen::Error| NetError::Certificate { reason: error.to_string() };
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(unmade)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(unmade)?;
    let dialler = Dialler::default();
    let configure = || {
        let verifier = SchedulerVerifier::new(&token.grid, Trust::Hash(token.ca_hash));
        Ok((tls::joiner(Arc::clone(&verifier))?, verifier))
    };
    let dialled = dialler.dial_any(&token.addresses, Wanted::Joiner, configure).await?;
    let address = dialled.address.clone();
    let certificates = peer::certificates(&dialled.connection);
    let ask = Enroll {
        token: token.token,
        secret: token.secret,
        name: wanted_name.to_owned(),
        csr: request.der().to_vec(),
    };
    let enrolled = ask_for(ask, dialled, &certificates).await;
    dialler.idle().await;
    let ca = tls::by_hash(&certificates, &token.ca_hash).ok_or_else(|| NetError::Certificate {
        reason: "the scheduler did not show its authority".into(),
    })?;
    accept(enrolled?, token, &key, ca, &address)
}

async fn ask_for(
    ask: Enroll,
    dialled: Dialled,
    certificates: &[CertificateDer<'_>],
) -> Result<Enrolled, NetError> {
    let Dialled { connection, send, receive, address } = dialled;
    let certificate = certificates.first().map(|der| der.as_ref()).unwrap_or_default();
    let peer = Peer::of_certificate(certificate, address.clone())?;
    let links = TaskTracker::new();
    let budget = Budget::of_one_link();
    let wire = Wire { connection, send, receive, peer, budget, lifetime: None };
    let mut link: Link<FromJoiner, ToJoiner> = driver::start(wire, &links, ());
    let unreachable = |reason: String| NetError::Unreachable { address: address.clone(), reason };
    link.sender
        .send(FromJoiner::Enroll(ask))
        .await
        .map_err(|closed| unreachable(closed.to_string()))?;
    let answer = time::timeout(ANSWER_TIME, link.receiver.recv())
        .await
        .map_err(|_| unreachable("it does not answer the request".into()))?
        .map_err(|error| unreachable(error.to_string()))?;
    link.sender.close("enrolled");
    links.close();
    links.wait().await;
    match answer.map(|envelope| envelope.message) {
        Some(ToJoiner::Enrolled(enrolled)) => Ok(enrolled),
        Some(ToJoiner::Denied(denied)) => Err(NetError::Denied { address, reason: denied.reason }),
        None => Err(unreachable("it closed the link without an answer".into())),
    }
}

/// Believes the certificate only if it is for this key, this grid and what was said beside it.
fn accept(
    enrolled: Enrolled,
    token: &JoinToken,
    key: &KeyPair,
    ca: CertificateDer<'static>,
    address: &str,
) -> Result<Credentials, NetError> {
    let wrong = |reason: &str| NetError::Certificate {
        reason: format!("the scheduler at {address} sent a wrong one: {reason}"),
    };
    let certificate = CertificateDer::from(enrolled.certificate);
    let (_, parsed) =
        X509Certificate::from_der(&certificate).map_err(|error| wrong(&error.to_string()))?;
    if parsed.public_key().subject_public_key.data != key.public_key_raw() {
        return Err(wrong("it is for another key"));
    }
    let expected = Identity::new(&token.grid, enrolled.role, &enrolled.name)?;
    if Identity::from_certificate(&certificate)? != expected {
        return Err(wrong("it names somebody else"));
    }
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Credentials::new(certificate, key.into(), ca)
}
