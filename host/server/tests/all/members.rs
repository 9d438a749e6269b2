//! Who may be in the grid: names, tenants and tokens, and who was taken away; over QUIC on loopback.

use wasmgrid_net::{
    Credentials, Endpoint, JoinToken, LinkError, NetError, Renewal, enroll, enroll_again,
};
use wasmgrid_proto::{
    JobFilter, MemberStatus, Micros, Millis, Reason, TokenGives, TokenState, TokenStatus,
    WorkerCapacity,
    wire::{ErrorCode, FromWorker, Join, More, Reply, Request, Role, ToWorker, TokenRequest},
};
use wasmgrid_store::memory;

use crate::{
    enrollment::{Grid, name},
    harness::*,
    renewals::renew_worker,
};

fn request(role: Role) -> TokenRequest {
    TokenRequest { role, ttl: Millis(60_000), uses: 3 }
}

fn named(name: &str) -> TokenGives {
    TokenGives { name: Some(name.into()), ..TokenGives::default() }
}

fn token_for(role: Role) -> Request {
    Request::CreateToken { token: request(role), gives: TokenGives::default() }
}

async fn named_token(grid: &Grid, role: Role, gives: TokenGives) -> JoinToken {
    grid.made(Request::CreateToken { token: request(role), gives }).await
}

async fn client(credentials: &Credentials, token: &JoinToken) -> Result<Client, NetError> {
    Endpoint::new(credentials).connect_client(&token.addresses).await.map(over)
}

async fn worker(credentials: &Credentials, token: &JoinToken) -> Result<Worker, NetError> {
    let worker = over(Endpoint::new(credentials).connect_worker(&token.addresses).await?);
    let (capacity, held) = (WorkerCapacity { slots: 2, ..WorkerCapacity::default() }, Vec::new());
    let join = Join { started: Micros(1), capacity, held, proofs: Vec::new() };
    // One that is turned away may be so before it has said anything.
    let _ = worker.link.sender.send(FromWorker::Join(join)).await;
    Ok(worker)
}

async fn joined(mut worker: Worker) -> Worker {
    worker.next(|envelope| matches!(envelope.message, ToWorker::Joined(_)).then_some(())).await;
    worker
}

/// What becomes of a link that is dialled: it ends because its identity was taken away.
fn is_removed<T>(dialled: &Result<T, NetError>, end: Option<LinkError>) -> bool {
    let why = match (dialled, end) {
        (Err(error), _) => error.to_string(),
        (Ok(_), Some(end @ LinkError::Removed { .. })) => end.to_string(),
        _ => return false,
    };
    why.contains("an operator removed the")
}

async fn refused_worker(credentials: &Credentials, token: &JoinToken) -> bool {
    let mut dialled = worker(credentials, token).await;
    let end = match &mut dialled {
        Ok(worker) => worker.ended().await,
        Err(_) => None,
    };
    is_removed(&dialled, end)
}

async fn refused_client(credentials: &Credentials, token: &JoinToken) -> bool {
    let mut dialled = client(credentials, token).await;
    let end = match &mut dialled {
        Ok(client) => client.ended().await,
        Err(_) => None,
    };
    is_removed(&dialled, end)
}

async fn remove(grid: &Grid, role: Role, name: &str) -> Result<Reply, Reason> {
    let removed = grid.operator(Request::RemoveMember { role, name: name.into() }).await;
    removed.map_err(|error| *error.reason)
}

async fn members(grid: &Grid) -> Vec<MemberStatus> {
    match grid.operator(Request::Members { after: None }).await {
        Ok(Reply::Members { members, more: 0 }) => members,
        other => panic!("no members: {other:?}"),
    }
}

async fn tokens(grid: &Grid) -> Vec<TokenStatus> {
    match grid.operator(Request::Tokens { after: None }).await {
        Ok(Reply::Tokens { tokens, more: 0 }) => tokens,
        other => panic!("no tokens: {other:?}"),
    }
}

#[tokio::test]
async fn a_removed_worker_loses_its_link_and_comes_back_with_a_new_token_alone() {
    let store = memory();
    let again = store.reopen();
    let grid = Grid::start(store);
    let token = grid.token(3).await;
    let old = enroll(&token, "machine").await.expect("joins");
    let mut linked = joined(worker(&old, &token).await.expect("linked")).await;
    assert_eq!(remove(&grid, Role::Worker, "machine").await, Ok(Reply::Done));
    let end = linked.ended().await;
    assert!(matches!(end, Some(LinkError::Removed { .. })), "{end:?}");
    assert!(refused_worker(&old, &token).await);
    let error = remove(&grid, Role::Worker, "machine").await.expect_err("it is gone");
    assert!(matches!(error, Reason::AlreadyRemoved { role: Role::Worker, .. }), "{error}");

    // Also by a scheduler that starts anew, on what the store has.
    let grid = grid.restart(again).await;
    let token = grid.token(3).await;
    assert!(refused_worker(&old, &token).await);
    let new = enroll(&token, "machine").await.expect("joins again");
    assert_eq!(name(&new), "machine");
    let _linked = joined(worker(&new, &token).await.expect("linked")).await;
    assert!(refused_worker(&old, &token).await, "the name is back, and not for the old key");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_name_that_was_given_again_is_renewed_for_its_new_owner_alone() {
    let grid = Grid::start(memory());
    let token = grid.token(3).await;
    let old = enroll(&token, "machine").await.expect("joins");
    assert_eq!(remove(&grid, Role::Worker, "machine").await, Ok(Reply::Done));
    let new = enroll(&token, "machine").await.expect("joins");
    assert_eq!(name(&new), "machine");
    // The former owner asks at once, which may be before anybody has looked at its link.
    if let Ok(mut link) = Endpoint::new(&old).connect_worker(&token.addresses).await {
        let asked = Renewal::new().expect("a key").request();
        let _ = link.sender.send(FromWorker::Renew(asked)).await;
        let end = loop {
            let heard = tokio::time::timeout(NEVER, link.receiver.recv()).await.expect("an end");
            match heard {
                Ok(Some(envelope)) => {
                    assert!(!matches!(envelope.message, ToWorker::Renewed(_)), "{envelope:?}");
                }
                end => break end,
            }
        };
        assert!(matches!(end, Err(LinkError::Removed { .. })), "{end:?}");
    }
    let endpoint = Endpoint::new(&new);
    let mut link = endpoint.connect_worker(&token.addresses).await.expect("linked");
    renew_worker(&endpoint, &mut link).await;
    drop(link);
    assert!(refused_worker(&old, &token).await, "the renewal is not the former owner's");
    let again = enroll_again(&token, &old).await.expect("joins");
    assert_eq!(name(&again), "machine-2", "nor does a token give it the name");
    let _linked = joined(worker(&endpoint.credentials(), &token).await.expect("linked")).await;
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_removed_client_is_out_and_nobody_gets_its_jobs_by_taking_its_name() {
    let store = memory();
    let again = store.reopen();
    let grid = Grid::start(store);
    let token = grid.made(token_for(Role::Client)).await;
    let laptop = enroll(&token, "laptop").await.expect("joins");
    let mut linked = client(&laptop, &token).await.expect("linked");
    let mut operator = client_link(&grid.server.handle(), Role::Operator, "olga");
    operator.put(MODULE).await.expect("taken");
    let job = status(linked.request(submit(numbers(2), None), &[]).await).job;
    assert_eq!(remove(&grid, Role::Client, "laptop").await, Ok(Reply::Done));
    let end = linked.ended().await;
    assert!(matches!(end, Some(LinkError::Removed { .. })), "{end:?}");
    assert!(refused_client(&laptop, &token).await);
    let taker = enroll(&token, "laptop").await.expect("joins");
    assert_eq!(name(&taker), "laptop-2");
    let mut linked = client(&taker, &token).await.expect("linked");
    let asked = linked.request(Request::Job { job }, &[]).await.expect_err("another's");
    assert_eq!(asked.code, ErrorCode::Forbidden);
    let grid = grid.restart(again).await;
    let token = named_token(&grid, Role::Client, named("laptop")).await;
    assert!(refused_client(&laptop, &token).await);
    // Who is given the name by an operator is that user again.
    let back = enroll(&token, "other").await.expect("joins");
    assert_eq!(name(&back), "laptop");
    let mut linked = client(&back, &token).await.expect("linked");
    assert_eq!(linked.job(job).await.job, job);
    assert!(refused_client(&laptop, &token).await);
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn all_devices_of_a_user_see_the_same_jobs_and_whoever_takes_the_name_does_not() {
    let grid = Grid::start(memory());
    let mut operator = client_link(&grid.server.handle(), Role::Operator, "olga");
    operator.put(MODULE).await.expect("taken");
    let token = named_token(&grid, Role::Client, named("ada")).await;
    let anybody = grid.made(token_for(Role::Client)).await;
    // Before she ever joined.
    let taker = enroll(&anybody, "ada").await.expect("joins");
    assert_eq!(name(&taker), "ada-2");
    let (first, second) = (enroll(&token, "laptop").await, enroll(&token, "phone").await);
    let (first, second) = (first.expect("joins"), second.expect("joins"));
    assert_eq!((name(&first), name(&second)), ("ada", "ada-3"));
    let mut first = client(&first, &token).await.expect("linked");
    let job = status(first.request(submit(numbers(2), None), &[]).await);
    assert_eq!(job.spec.task.tenant, "ada");
    let mut second = client(&second, &token).await.expect("linked");
    assert_eq!(second.job(job.job).await.job, job.job);
    let filter = |tenant: Option<&str>| {
        let filter = JobFilter { tenant: tenant.map(Into::into), ..JobFilter::default() };
        Request::JobPage { before: None, limit: 9, filter }
    };
    for wanted in [None, Some("ada")] {
        let page = second.request(filter(wanted), &[]).await;
        assert!(matches!(&page, Ok(Reply::JobPage { jobs, .. }) if jobs.len() == 1), "{page:?}");
    }
    let mut taker = client(&taker, &token).await.expect("linked");
    let page = taker.request(filter(None), &[]).await;
    assert_eq!(page, Ok(Reply::JobPage { jobs: Vec::new(), next: None, more: More::Exactly(0) }));
    let error = taker.request(filter(Some("ada")), &[]).await.expect_err("another's");
    assert_eq!(error.code, ErrorCode::Forbidden);
    // Another name, one tenant.
    let gives = TokenGives { tenant: Some("ada".into()), ..named("ben") };
    let ben = named_token(&grid, Role::Client, gives).await;
    let ben = enroll(&ben, "desk").await.expect("joins");
    let mut ben = client(&ben, &token).await.expect("linked");
    assert_eq!(ben.job(job.job).await.job, job.job);
    let listed = members(&grid).await;
    let shown = |name: &str| {
        let found = listed.iter().find(|member| member.name == name).expect("listed");
        (found.tenant.clone(), found.machine.clone(), found.links)
    };
    assert_eq!(shown("ada-3"), ("ada".into(), "phone".into(), 1));
    assert_eq!(shown("ben"), ("ada".into(), "desk".into(), 1));
    assert_eq!(shown("ada-2"), ("ada-2".into(), "ada".into(), 1));
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn tokens_are_listed_without_their_secrets_and_a_revoked_one_is_good_for_nobody() {
    let grid = Grid::start(memory());
    let labels = vec![("zone".into(), "a".into())];
    let gives = TokenGives { labels, ..TokenGives::default() };
    let revoked = named_token(&grid, Role::Worker, gives.clone()).await;
    let used = grid.token(1).await;
    enroll(&used, "machine").await.expect("the only use");
    let revoke = Request::RevokeToken { token: revoked.token };
    assert_eq!(grid.operator(revoke.clone()).await, Ok(Reply::Done));
    assert_eq!(grid.operator(revoke).await, Ok(Reply::Done), "again changes nothing");
    let error = enroll(&revoked, "machine").await.expect_err("denied");
    assert!(error.to_string().contains("an operator revoked the token"), "{error}");
    let listed = tokens(&grid).await;
    let of = |token: &JoinToken| {
        let found = listed.iter().find(|one| one.token == token.token).expect("listed");
        (found.state, found.uses_left, found.gives.clone())
    };
    assert_eq!(of(&revoked), (TokenState::Revoked, 3, gives));
    assert_eq!(of(&used), (TokenState::UsedUp, 0, TokenGives::default()));
    let unknown = grid.operator(Request::RevokeToken { token: 7 }).await.expect_err("none");
    assert_eq!(unknown, Reason::NoToken { token: 7 }.into());
    assert!(unknown.to_string().contains("0000000000000007"), "{unknown}");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn an_operator_is_made_by_a_token_and_removes_others_but_not_itself() {
    let grid = Grid::start(memory());
    let token = named_token(&grid, Role::Operator, named("olga")).await;
    let olga = enroll(&token, "laptop").await.expect("joins");
    let mut olga = client(&olga, &token).await.expect("linked");
    let made = olga.request(token_for(Role::Worker), &[]).await;
    assert!(matches!(made, Ok(Reply::Token(_))), "{made:?}");
    let remove = |role, name: &str| Request::RemoveMember { role, name: name.into() };
    let error = olga.request(remove(Role::Operator, "olga"), &[]).await.expect_err("itself");
    assert_eq!(error, Reason::OwnRemoval { role: Role::Operator, name: "olga".into() }.into());
    let error = olga.request(remove(Role::Client, "olga"), &[]).await.expect_err("no client");
    let (role, other) = (Role::Client, Role::Operator);
    assert_eq!(error, Reason::OtherRole { role, name: "olga".into(), other }.into());
    // One that was made without a token is known once it was linked, and can be removed.
    let given = grid.issue(Role::Operator, "made-here");
    let mut here = client(&given, &token).await.expect("linked");
    here.request(Request::Contests, &[]).await.expect("answered");
    while !members(&grid).await.iter().any(|member| member.name == "made-here") {
        tokio::task::yield_now().await;
    }
    let removed = olga.request(remove(Role::Operator, "made-here"), &[]).await;
    assert_eq!(removed, Ok(Reply::Done));
    assert!(matches!(here.ended().await, Some(LinkError::Removed { .. })));
    assert!(refused_client(&given, &token).await);
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_token_that_makes_no_sense_is_refused() {
    let grid = Grid::start(memory());
    let tenant = |tenant: &str| TokenGives { tenant: Some(tenant.into()), ..named("ada") };
    for (role, gives) in [
        (Role::Worker, tenant("ada")),
        (Role::Client, named("a/b")),
        (Role::Client, named("")),
        (Role::Client, tenant("operator/olga")),
        (Role::Client, TokenGives { labels: vec![("a".into(), "b".into())], ..named("ada") }),
        (Role::Scheduler, named("s")),
    ] {
        let asked = Request::CreateToken { token: request(role), gives: gives.clone() };
        let error = grid.operator(asked).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Invalid, "{gives:?}: {error}");
    }
    let mut client = client_link(&grid.server.handle(), Role::Client, "ada");
    for asked in [
        Request::Tokens { after: None },
        Request::RevokeToken { token: 7 },
        Request::Members { after: None },
        Request::RemoveMember { role: Role::Worker, name: "w".into() },
    ] {
        let error = client.request(asked.clone(), &[]).await.expect_err("operators only");
        assert_eq!(error.code, ErrorCode::Forbidden, "{asked:?}");
    }
    grid.server.shutdown().await.expect("in order");
}
