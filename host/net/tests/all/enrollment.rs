//! Joining a grid by its token.

use wasmgrid_net::{
    Accepted, Authority, CertificateProblem, Endpoint, JoinToken, NetError, Role, enroll,
};
use wasmgrid_proto::{
    Reason,
    reason::TokenProblem,
    wire::{ApiError, Denied, Enroll, Enrolled, FromJoiner, Renewed, ToJoiner},
};

use crate::grid::Grid;

pub(crate) fn token(grid: &Grid) -> JoinToken {
    let (grid_name, ca_hash) = (grid.authority.grid().to_owned(), grid.authority.ca_hash());
    let addresses = grid.addresses();
    let (token, secret, role) = (7, [3; 32], Role::Worker);
    JoinToken { grid: grid_name, addresses, ca_hash, token, secret, role }
}

fn unknown_token() -> ApiError {
    Reason::BadToken { problem: TokenProblem::Unknown }.into()
}

/// Serves one joiner as a scheduler would that knows the token above.
pub(crate) async fn serve(grid: &Grid) -> Enroll {
    let mut link = grid.accept_joiner().await;
    let envelope = link.receiver.recv().await.unwrap().unwrap();
    let FromJoiner::Enroll(asked) = envelope.message;
    let answer = if asked.token == 7 && asked.secret == [3; 32] {
        let (role, name) = (Role::Worker, format!("{}-2", asked.name));
        let validity = Authority::MEMBER_VALIDITY;
        let signed = grid.authority.sign(&asked.csr, role, &name, &[], validity).unwrap();
        let Renewed { certificate, authority } = signed.renewed;
        ToJoiner::Enrolled(Enrolled { role, name, certificate, authority })
    } else {
        ToJoiner::Denied(Denied { error: unknown_token() })
    };
    link.sender.send(answer).await.unwrap();
    assert_eq!(link.receiver.recv().await, Ok(None));
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_gives_a_machine_an_identity_that_works() {
    let grid = Grid::new();
    let copied: JoinToken = token(&grid).to_string().parse().unwrap();
    let (enrolled, _asked) = tokio::join!(enroll(&copied, "laptop"), serve(&grid));
    let credentials = enrolled.unwrap();
    assert_eq!(credentials.identity().to_string(), "spiffe://home/worker/laptop-2");
    let (endpoint, addresses) = (Endpoint::new(&credentials), grid.addresses());
    let (link, accepted) =
        tokio::join!(endpoint.connect_worker(&addresses), grid.listener.accept());
    link.unwrap();
    let Some(Accepted::Worker(accepted)) = accepted else { panic!("{accepted:?}") };
    assert_eq!(accepted.peer.identity.name(), "laptop-2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_denied_with_the_reason() {
    let grid = Grid::new();
    let wrong = JoinToken { secret: [4; 32], ..token(&grid) };
    let (enrolled, _asked) = tokio::join!(enroll(&wrong, "laptop"), serve(&grid));
    let address = grid.addresses().remove(0);
    let error = unknown_token();
    assert_eq!(enrolled.unwrap_err(), NetError::Denied { address, error });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_is_not_sent_to_a_grid_that_the_token_does_not_name() {
    let grid = Grid::new();
    for (wrong, problem) in [
        (JoinToken { ca_hash: [1; 32], ..token(&grid) }, CertificateProblem::WrongToken),
        (
            JoinToken { grid: "elsewhere".into(), ..token(&grid) },
            CertificateProblem::WrongGrid { found: "home".into(), wanted: "elsewhere".into() },
        ),
    ] {
        let refused = enroll(&wrong, "laptop").await.unwrap_err();
        let address = grid.addresses().remove(0);
        assert_eq!(refused, NetError::BadCertificate { address, problem });
    }
    // Nothing of it came up: the next to be accepted is the good worker.
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_key_of_a_signing_request_is_used() {
    let grid = Grid::new();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![crate::grid::uri("spiffe://home/operator/mallory")];
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let request = params.serialize_request(&key).unwrap();
    let validity = Authority::MEMBER_VALIDITY;
    let signed = grid.authority.sign(request.der(), Role::Worker, "w", &[], validity).unwrap();
    let identity = wasmgrid_net::Identity::from_certificate(&signed.renewed.certificate).unwrap();
    assert_eq!(identity.to_string(), "spiffe://home/worker/w");
    let mut damaged = request.der().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(grid.authority.sign(&damaged, Role::Worker, "w", &[], validity).is_err());
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&other).unwrap();
    assert!(grid.authority.sign(request.der(), Role::Worker, "w", &[], validity).is_err());
}
