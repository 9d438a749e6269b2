//! How a machine joins a grid: it makes its key here, shows the token's secret to the scheduler
//! it has checked, and gets its key signed.

use std::{sync::Arc, time::Duration};

use rustls::pki_types::CertificateDer;
use tokio::time;
use tokio_util::task::TaskTracker;
use wasmgrid_proto::wire::{Enroll, Enrolled, FromJoiner, Renewed, ToJoiner};

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
    pki::{Credentials, Renewal},
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
    enroll_with(token, wanted_name, Renewal::new()?, None).await
}

/// As [`enroll`], for a member that joins again: with its key, also if its certificate has ended,
/// and so under its name. It gets the labels that the token vouches for; if that has none, it keeps
/// those of a certificate that is still good.
///
/// # Errors
/// As [`enroll`].
pub async fn enroll_again(
    token: &JoinToken,
    former: &Credentials,
) -> Result<Credentials, NetError> {
    let (key, certificate) = former.again()?;
    enroll_with(token, former.identity().name(), key, Some(certificate)).await
}

/// As [`enroll_again`], for who may be a member that was away while its grid's authority was replaced
/// and the old one retired: nobody trusts its certificate any more, but the scheduler may know its
/// key. If it does not, it denies that, and the token is not used.
///
/// # Errors
/// As [`enroll`].
pub async fn enroll_by_key(
    token: &JoinToken,
    former: &Credentials,
) -> Result<Credentials, NetError> {
    let (key, certificate) = former.again()?;
    enroll_with(token, "", key, Some(certificate)).await
}

async fn enroll_with(
    token: &JoinToken,
    wanted_name: &str,
    key: Renewal,
    former: Option<Vec<u8>>,
) -> Result<Credentials, NetError> {
    let dialler = Dialler::default();
    let configure = || {
        let verifier = SchedulerVerifier::new(&token.grid, Trust::Hash(token.ca_hash));
        Ok((tls::joiner(Arc::clone(&verifier))?, verifier))
    };
    let asked = (Wanted::Joiner, &dialler.hello);
    let dialled = dialler.dial_any(&token.addresses, asked, configure).await?;
    let certificates = peer::certificates(&dialled.connection);
    let ask = Enroll {
        token: token.token,
        secret: token.secret,
        name: wanted_name.to_owned(),
        csr: key.request().csr,
        former,
    };
    let enrolled = ask_for(ask, dialled, &certificates).await;
    dialler.idle().await;
    let Enrolled { role, name, certificate, authority } = enrolled?;
    let given = Identity::new(&token.grid, role, &name)?;
    key.accept(&given, Renewed { certificate, authority })
}

async fn ask_for(
    ask: Enroll,
    dialled: Dialled,
    certificates: &[CertificateDer<'_>],
) -> Result<Enrolled, NetError> {
    let Dialled { connection, send, receive, hello, minor, address } = dialled;
    let certificate = certificates.first().map(|der| der.as_ref()).unwrap_or_default();
    let peer = Peer::of_certificate(certificate, address.clone())?.saying(hello, minor);
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
        Some(ToJoiner::Denied(denied)) => Err(NetError::Denied { address, error: denied.error }),
        None => Err(unreachable("it closed the link without an answer".into())),
    }
}
