//! Certificates that members renew over their links, and an authority that is replaced.

use wasmgrid_net::{
    Credentials, Endpoint, Identity, Link, NetError, Renewal, enroll, enroll_again, enroll_by_key,
};
use wasmgrid_proto::{
    ByteCount, Micros, Reason, WorkerCapacity,
    wire::{
        ApiError, AuthorityRequest, AuthorityStatus, ErrorCode, FromClient, FromWorker, Join,
        Renew, Renewed, Reply, Request, RequestFrame, Role, ToClient, ToWorker,
    },
};
use wasmgrid_store::memory;

use crate::{
    enrollment::{Grid, name},
    harness::*,
};

/// Asks on a client's link.
async fn ask(link: &mut Link<FromClient, ToClient>, request: Request) -> Result<Reply, ApiError> {
    let frame = RequestFrame { id: 1, request };
    link.sender.send(FromClient::Request(frame)).await.expect("the link is open");
    let answer = tokio::time::timeout(NEVER, link.receiver.recv()).await.expect("an answer");
    match answer.expect("the link is open").expect("an answer").message {
        ToClient::Reply(frame) => frame.reply,
        other => panic!("no answer: {other:?}"),
    }
}

/// Renews what an endpoint shows over a worker's link of it.
pub async fn renew_worker(endpoint: &Endpoint, link: &mut Link<FromWorker, ToWorker>) {
    let key = Renewal::new().expect("a key");
    link.sender.send(FromWorker::Renew(key.request())).await.expect("the link is open");
    let renewed = loop {
        match hear(link).await {
            ToWorker::Renewed(renewed) => break renewed,
            ToWorker::NotRenewed(denied) => panic!("{denied:?}"),
            _ => {}
        }
    };
    accept(endpoint, key, renewed);
}

async fn hear(link: &mut Link<FromWorker, ToWorker>) -> ToWorker {
    let heard = tokio::time::timeout(NEVER, link.receiver.recv()).await.expect("a message");
    heard.expect("the link is open").expect("a message").message
}

/// The join of a worker that says a label of this key itself.
fn claims(key: &str) -> Join {
    let labels = vec![(key.to_owned(), "own".to_owned())];
    let (slots, memory, engine) = (1, ByteCount(1 << 30), "none".into());
    let capacity = WorkerCapacity { slots, memory, labels, engine };
    Join { started: Micros(1), capacity, held: Vec::new(), proofs: Vec::new() }
}

fn accept(endpoint: &Endpoint, key: Renewal, renewed: Renewed) {
    let before = endpoint.credentials();
    endpoint.renew(key.accept(before.identity(), renewed).expect("it is this member's"));
}

#[tokio::test]
async fn a_member_renews_as_who_it_is_and_as_nobody_else() {
    let grid = Grid::start(memory());
    let labels = vec![("zone".to_owned(), "secure".to_owned())];
    let token = grid.token_for(Role::Worker, 1, labels.clone()).await;
    let endpoint = Endpoint::new(&enroll(&token, "machine").await.expect("joins"));
    let mut link = endpoint.connect_worker(&token.addresses).await.expect("a link");
    // What a request says beside its key counts for nothing: see the authority's own tests.
    renew_worker(&endpoint, &mut link).await;
    assert_eq!(endpoint.credentials().identity().to_string(), "spiffe://test/worker/machine");
    // Its labels stand in it too: a label of that key that it says itself is refused.
    let mut next = endpoint.connect_worker(&token.addresses).await.expect("it is good");
    next.sender.send(FromWorker::Join(claims("zone"))).await.expect("the link is open");
    let ToWorker::Refused(refused) = hear(&mut next).await else { panic!("it is taken") };
    assert_eq!(refused.error, Reason::LabelVouched { key: "zone".into() }.into());
    // Neither a forged request nor a damaged one is signed, and the link lives.
    link.sender.send(FromWorker::Renew(Renew { csr: vec![0x30; 9_000] })).await.expect("open");
    let ToWorker::NotRenewed(denied) = hear(&mut link).await else { panic!("it was signed") };
    assert!(denied.error.to_string().contains("9000 bytes"), "{denied:?}");
    renew_worker(&endpoint, &mut link).await;
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn who_is_linked_without_a_certificate_is_given_none() {
    let grid = Grid::start(memory());
    let mut client = client_link(&grid.server.handle(), Role::Client, "ada");
    let request = Renewal::new().expect("a key").request();
    let refused = client.request(Request::Renew(request), &[]).await.expect_err("refused");
    assert_eq!(refused.code, ErrorCode::Invalid, "{refused:?}");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn only_operators_replace_the_authority_and_see_clients_certificates() {
    let grid = Grid::start(memory());
    let token = grid.token_for(Role::Client, 2, Vec::new()).await;
    let (ada, bob) = (enroll(&token, "ada").await, enroll(&token, "bob").await);
    bob.expect("joins");
    let endpoint = Endpoint::new(&ada.expect("joins"));
    let mut link = endpoint.connect_client(&token.addresses).await.expect("a link");
    for asked in [AuthorityRequest::Replace, AuthorityRequest::Retire { force: true }] {
        let refused = ask(&mut link, Request::Authority(asked)).await.expect_err("refused");
        assert_eq!(refused.code, ErrorCode::Forbidden, "{refused:?}");
    }
    let seen = |reply| match reply {
        Ok(Reply::Authority(AuthorityStatus { certificates, .. })) => {
            certificates.into_iter().map(|one| one.name).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let all = || Request::Authority(AuthorityRequest::Certificates { after: None });
    assert_eq!(seen(ask(&mut link, all()).await), ["ada"]);
    let mut operator = client_link(&grid.server.handle(), Role::Operator, "olga");
    assert_eq!(seen(operator.request(all(), &[]).await), ["ada", "bob"]);
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_former_authority_is_retired_when_nobody_needs_it_or_by_force() {
    let grid = Grid::start(memory());
    let mut operator = client_link(&grid.server.handle(), Role::Operator, "olga");
    let token = grid.token(2).await;
    let (stays, moves) = (enroll(&token, "stays").await, enroll(&token, "moves").await);
    let (stays, moves) = (stays.expect("joins"), Endpoint::new(&moves.expect("joins")));
    let mut link = moves.connect_worker(&token.addresses).await.expect("a link");
    renew_worker(&moves, &mut link).await;
    let retire = |force| Request::Authority(AuthorityRequest::Retire { force });
    let early = operator.request(retire(true), &[]).await.expect_err("nothing was replaced");
    assert_eq!(early.code, ErrorCode::Conflict);
    let replace = Request::Authority(AuthorityRequest::Replace);
    assert_eq!(operator.request(replace, &[]).await, Ok(Reply::Done));
    // Who is linked is told, and moves over its link.
    let told = hear(&mut link).await;
    assert!(matches!(told, ToWorker::RenewSoon(_)), "{told:?}");
    renew_worker(&moves, &mut link).await;
    let refused = operator.request(retire(false), &[]).await.expect_err("one has not moved");
    assert!(refused.to_string().contains("worker stays"), "{refused:?}");
    assert!(!refused.to_string().contains("moves"), "{refused:?}");
    let late = Endpoint::new(&stays);
    let link = late.connect_worker(&token.addresses).await.expect("it is still let in");
    drop(link);
    assert_eq!(operator.request(retire(true), &[]).await, Ok(Reply::Done));
    moves.connect_worker(&token.addresses).await.expect("it has moved");
    let refused = late.connect_worker(&token.addresses).await.expect_err("it is out");
    assert!(matches!(refused, NetError::BadCertificate { .. }), "{refused}");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_member_that_was_removed_keeps_no_former_authority() {
    let grid = Grid::start(memory());
    let mut operator = client_link(&grid.server.handle(), Role::Operator, "olga");
    enroll(&grid.token(1).await, "stolen").await.expect("joins");
    let remove = Request::RemoveMember { role: Role::Worker, name: "stolen".into() };
    assert_eq!(operator.request(remove, &[]).await, Ok(Reply::Done));
    let replace = Request::Authority(AuthorityRequest::Replace);
    assert_eq!(operator.request(replace, &[]).await, Ok(Reply::Done));
    let retire = Request::Authority(AuthorityRequest::Retire { force: false });
    assert_eq!(operator.request(retire, &[]).await, Ok(Reply::Done));
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn who_joins_again_with_its_key_keeps_its_name() {
    let grid = Grid::start(memory());
    let token = grid.token(4).await;
    let first = enroll(&token, "machine").await.expect("joins");
    let endpoint = Endpoint::new(&first);
    let mut link = endpoint.connect_worker(&token.addresses).await.expect("a link");
    renew_worker(&endpoint, &mut link).await;
    // Both the key that it joined with and the one of its last certificate are its.
    for credentials in [&first, &endpoint.credentials()] {
        let again = enroll_again(&token, credentials).await.expect("joins again");
        assert_eq!(name(&again), "machine");
    }
    // Who only says so is somebody else.
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = wasmgrid_net::Authority::create("test", folder.path()).expect("made");
    let life = std::time::Duration::from_secs(60);
    let forged: Credentials = elsewhere.issue(Role::Worker, "machine", life).expect("made");
    let other = enroll_again(&token, &forged).await.expect("joins");
    assert_eq!(name(&other), "machine-2");
    let identity: &Identity = other.identity();
    assert_eq!(identity.role(), Role::Worker);
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn joining_again_gives_the_labels_of_the_token_and_takes_no_use_for_nothing() {
    let grid = Grid::start(memory());
    let label = |zone: &str| vec![("zone".to_owned(), zone.to_owned())];
    let token_a = grid.token_for(Role::Worker, 1, label("a")).await;
    let token_b = grid.token_for(Role::Worker, 1, label("b")).await;
    let plain = grid.token(1).await;
    let first = enroll(&token_a, "machine").await.expect("joins");
    assert_eq!(first.labels(), label("a"));
    let second = enroll_again(&token_b, &first).await.expect("joins again");
    assert_eq!((name(&second), second.labels()), ("machine", &label("b")[..]));
    let used = enroll_again(&token_b, &first).await.expect_err("its one use is gone");
    assert!(used.to_string().contains("used up"), "{used}");
    // A token that gives what the machine has keeps its use for a machine that needs it.
    for _ in 0..2 {
        let again = enroll_again(&plain, &second).await.expect("joins again");
        assert_eq!((name(&again), again.labels()), ("machine", &label("b")[..]));
    }
    let other = enroll(&plain, "other").await.expect("the use is there");
    assert!(other.labels().is_empty());
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn who_was_away_while_the_authority_was_replaced_and_retired_is_known_by_its_key() {
    let grid = Grid::start(memory());
    let first = enroll(&grid.token(1).await, "machine").await.expect("joins");
    for asked in [AuthorityRequest::Replace, AuthorityRequest::Retire { force: true }] {
        let done = grid.operator(Request::Authority(asked)).await;
        assert_eq!(done, Ok(Reply::Done));
    }
    let token = grid.token(3).await;
    let refused = Endpoint::new(&first).connect_worker(&token.addresses).await;
    assert!(matches!(refused, Err(NetError::BadCertificate { .. })), "{refused:?}");
    let again = enroll_by_key(&token, &first).await.expect("joins again");
    assert_eq!(name(&again), "machine");
    Endpoint::new(&again).connect_worker(&token.addresses).await.expect("it is trusted");
    // A key that the grid never signed is nobody's, whatever name its certificate says.
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = wasmgrid_net::Authority::create("test", folder.path()).expect("made");
    let life = std::time::Duration::from_secs(60);
    let stranger = elsewhere.issue(Role::Worker, "machine", life).expect("made");
    let denied = |error: NetError| error.to_string().contains("does not know the key");
    let unknown = enroll_by_key(&token, &stranger).await.expect_err("it is another's");
    assert!(denied(unknown));
    // Nor is one that an operator took away.
    let removed = Request::RemoveMember { role: Role::Worker, name: "machine".into() };
    assert_eq!(grid.operator(removed).await, Ok(Reply::Done));
    let gone = enroll_by_key(&token, &again).await.expect_err("it is out");
    assert!(denied(gone));
    // Who is not known has used nothing up.
    for wanted in ["a", "b"] {
        assert_eq!(name(&enroll(&token, wanted).await.expect("joins")), wanted);
    }
    grid.server.shutdown().await.expect("in order");
}
