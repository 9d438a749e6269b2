//! Gateways: whom they may speak for, what they may ask for themselves, and who only says that it is one.

use wasmgrid_net::{ActFor, Endpoint, NetError, enroll};
use wasmgrid_proto::{
    Allowance, AuditEntry, JobFilter, KeyId, Micros, Millis, Reason, Resource, Secret, TokenGives,
    reason::TokenFault,
    wire::{
        AuthorityRequest, ErrorCode, Hello, Minors, PROTOCOL_MINOR, Renew, Reply, Request, Role,
        TokenRequest,
    },
};
use wasmgrid_server::ServerHandle;
use wasmgrid_store::memory;

use crate::{enrollment::Grid, harness::*};

fn acts_for(tenant: &str, role: Role) -> ActFor {
    ActFor { tenant: tenant.into(), role, name: "ci".into() }
}

async fn log(server: &ServerHandle) -> Vec<AuditEntry> {
    let all = Request::Audit { after: 0, since: None, who: None };
    match client_link(server, Role::Operator, "reader").request(all, &[]).await {
        Ok(Reply::AuditPage { entries, next: None }) => entries,
        other => panic!("no log: {other:?}"),
    }
}

fn jobs() -> Request {
    Request::JobPage { before: None, limit: 9, filter: JobFilter::default() }
}

/// What only operators ask.
fn of_operators() -> Vec<Request> {
    let token = TokenRequest { role: Role::Worker, ttl: Millis(1_000), uses: 1 };
    vec![
        Request::Drain { name: "w".into() },
        Request::Cordon { name: "w".into(), cordoned: true },
        Request::CreateToken { token, gives: TokenGives::default() },
        Request::Tokens { after: None },
        Request::RevokeToken { token: 7 },
        Request::Members { after: None },
        Request::RemoveMember { role: Role::Worker, name: "w".into() },
        Request::SetQuota {
            tenant: "ada".into(),
            resource: Resource::Jobs,
            allowed: Allowance::Most(9),
        },
        Request::Metrics,
        Request::Audit { after: 0, since: None, who: None },
        Request::Authority(AuthorityRequest::Replace),
        Request::Authority(AuthorityRequest::Retire { force: false }),
    ]
}

#[tokio::test]
async fn a_gateway_that_acts_for_a_client_is_that_client_and_no_more() {
    let server = start_fresh();
    let handle = server.handle();
    let mut ada = client_link(&handle, Role::Client, "ada");
    let mut acting = gateway_link(&handle, "web", Some(&acts_for("ada", Role::Client)));
    acting.put(MODULE).await.expect("kept");
    let job = status(acting.request(submit(numbers(3), None), &[]).await).job;
    assert_eq!(ada.job(job).await.spec.task.tenant, "ada", "her job, whatever it says");
    let mut bob = client_link(&handle, Role::Client, "bob");
    bob.put(MODULE).await.expect("kept");
    let others = status(bob.request(submit(numbers(1), None), &[]).await).job;
    for request in [Request::Job { job: others }, Request::Cancel { job: others }] {
        let refused = acting.request(request, &[]).await;
        assert_eq!(refused, Err(Reason::OthersJob { job: others, own: "ada".into() }.into()));
    }
    let Ok(Reply::JobPage { jobs, .. }) = acting.request(jobs(), &[]).await else {
        panic!("no jobs")
    };
    assert_eq!(jobs.iter().map(|one| one.job).collect::<Vec<_>>(), [job]);
    for request in of_operators() {
        let refused = acting.request(request.clone(), &[]).await.expect_err("a client");
        assert_eq!(refused.code, ErrorCode::Forbidden, "{request:?}");
        assert_eq!(refused.reason.name(), "role_not_allowed", "{request:?}");
    }
    let renew = acting.request(Request::Renew(Renew { csr: vec![1] }), &[]).await;
    assert_eq!(renew, Err(Reason::NoCertificate.into()), "the certificate is the gateway's");
    let entries = log(&handle).await;
    let first = &entries[0].record;
    let by = &first.by;
    assert_eq!((&*by.name, by.role, &*by.tenant), ("ci", Role::Client, "ada"));
    assert_eq!(first.gateway().as_deref(), Some("web"));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_gateway_that_acts_for_an_operator_does_what_operators_do_and_the_log_names_both() {
    let grid = Grid::start(memory());
    let token = grid.token_for(Role::Gateway, 1, Vec::new()).await;
    let credentials = enroll(&token, "web").await.expect("joins");
    let endpoint = Endpoint::new(&credentials);
    let olga = ActFor { tenant: "operator/olga".into(), ..acts_for("", Role::Operator) };
    let linked = endpoint.connect_gateway(&token.addresses, Some(&olga)).await.expect("linked");
    let mut acting = over(linked);
    let quota = Request::SetQuota {
        tenant: "ada".into(),
        resource: Resource::Jobs,
        allowed: Allowance::Most(9),
    };
    assert_eq!(acting.request(quota, &[]).await, Ok(Reply::Done));
    let entries = log(&grid.server.handle()).await;
    let record = &entries.last().expect("an entry").record;
    let by = &record.by;
    assert_eq!((by.role, &*by.name, &*by.tenant), (Role::Operator, "ci", "operator/olga"));
    assert_eq!(record.gateway().as_deref(), Some("web"));
    assert_eq!(by.serial.as_deref(), Some(credentials.certificate().serial.as_str()));
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_gateway_that_acts_for_an_operator_sees_what_operators_see() {
    let server = start_fresh();
    let handle = server.handle();
    let mut ada = client_link(&handle, Role::Client, "ada");
    ada.put(MODULE).await.expect("kept");
    let job = status(ada.request(submit(numbers(3), None), &[]).await).job;
    let mut bob = client_link(&handle, Role::Client, "bob");
    bob.put(MODULE).await.expect("kept");
    status(bob.request(submit(numbers(2), None), &[]).await);
    let olga = ActFor { tenant: "operator/olga".into(), ..acts_for("", Role::Operator) };
    let mut acting = gateway_link(&handle, "web", Some(&olga));
    let mut own = client_link(&handle, Role::Operator, "olga");
    let rows = Request::JobRows { before: None, limit: 9, filter: JobFilter::default() };
    for request in [rows, jobs(), Request::Explain { job }, Request::Tenants { after: None }] {
        let (told, expected) =
            (acting.request(request.clone(), &[]).await, own.request(request.clone(), &[]).await);
        assert!(expected.is_ok(), "{request:?}: {expected:?}");
        assert_eq!(told, expected, "{request:?}");
    }
    for asker in [&mut acting, &mut own] {
        let Ok(Reply::Overview(overview)) = asker.request(Request::Overview, &[]).await else {
            panic!("no overview")
        };
        assert_eq!((overview.tenant, overview.tasks.queued), (None, 5), "of all tenants");
        assert!(overview.metrics.is_some() && overview.disk.is_some());
        assert!(!overview.attention.is_empty(), "the grid has no worker");
    }
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_gateway_asks_for_itself_little_but_whether_keys_are_good() {
    let grid = Grid::start(memory());
    let handle = grid.server.handle();
    let mut gateway = gateway_link(&handle, "web", None);
    let check = Request::CheckKey { id: KeyId(7), secret: Secret([7; 32]) };
    assert_eq!(gateway.request(check, &[]).await, Err(Reason::BadKey.into()));
    let login = Request::Login { code: Secret([7; 32]) };
    assert_eq!(gateway.request(login, &[]).await, Err(Reason::BadLogin.into()));
    assert!(matches!(gateway.request(Request::Metrics, &[]).await, Ok(Reply::Metrics(_))));
    assert!(matches!(gateway.request(Request::Intake, &[]).await, Ok(Reply::Intake { .. })));
    let certificates = Request::Authority(AuthorityRequest::Certificates { after: None });
    assert!(matches!(gateway.request(certificates, &[]).await, Ok(Reply::Authority(_))));
    let mut ada = client_link(&handle, Role::Client, "ada");
    ada.put(MODULE).await.expect("kept");
    let job = status(ada.request(submit(numbers(3), None), &[]).await).job;
    let mut asked = vec![
        jobs(),
        submit(numbers(1), None),
        Request::Job { job },
        Request::Watch { job, watch: watch(1, PLENTY) },
        Request::Cancel { job },
        Request::WorkerPage { after: None, all: true },
        Request::Tenants { after: None },
        Request::Usage { after: None },
        Request::CreateLogin,
        Request::Keys { after: None },
        Request::RevokeKey { id: KeyId(7) },
        crate::keys::create("ada", Role::Client, None, None),
        Request::HaveModule { digest: wasmgrid_proto::Digest::of(MODULE) },
    ];
    asked.extend(of_operators().into_iter().filter(|request| *request != Request::Metrics));
    for request in asked {
        let refused = gateway.request(request.clone(), &[]).await.expect_err("for nobody");
        let expected = Reason::ActsForNobody { name: "web".into() };
        assert_eq!(refused, expected.into(), "{request:?}");
    }
    assert!(!ada.job(job).await.state.is_terminal());
    let entries = log(&handle).await;
    assert!(
        !entries.is_empty() && entries.iter().all(|entry| entry.record.by.role == Role::Gateway)
    );
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn whoever_is_no_gateway_and_says_that_it_acts_loses_its_link_and_is_in_the_audit_log() {
    let grid = Grid::start(memory());
    let handle = grid.server.handle();
    let ada = acts_for("ada", Role::Operator);
    for role in [Role::Client, Role::Operator] {
        acting_link(&handle, identity(role, "eve"), Some(&ada)).closed().await;
    }
    // The same at the port, where a worker may be that too.
    for role in [Role::Worker, Role::Client, Role::Operator] {
        let token = grid.token_for(role, 1, Vec::new()).await;
        let credentials = enroll(&token, "mallory").await.expect("joins");
        let hello = Hello::new("1.2.3").acting_for(&ada);
        let endpoint = Endpoint::saying(hello, &credentials);
        let refused = match role {
            Role::Worker => endpoint.connect_worker(&token.addresses).await.map(drop),
            _ => endpoint.connect_client(&token.addresses).await.map(drop),
        };
        let refused = refused.expect_err("no gateway");
        assert!(matches!(refused, NetError::Refused { .. }), "{refused:?}");
    }
    let tried = |entries: &[AuditEntry]| {
        let tried = entries.iter().filter(|entry| &*entry.record.act.action == "act-for-tenant");
        tried.map(|entry| (entry.record.by.role, entry.record.by.name.to_string())).collect()
    };
    // The last is entered a moment after it was refused.
    let tried: Vec<(Role, String)> = loop {
        let found: Vec<_> = tried(&log(&handle).await);
        if found.len() >= 5 {
            break found;
        }
    };
    let expected = [
        (Role::Client, "eve"),
        (Role::Operator, "eve"),
        (Role::Worker, "mallory"),
        (Role::Client, "mallory"),
        (Role::Operator, "mallory"),
    ];
    assert_eq!(tried, expected.map(|(role, name)| (role, name.to_owned())));
    let entries = log(&handle).await;
    let entry = entries.iter().find(|entry| &*entry.record.by.name == "eve").expect("hers");
    let act = &entry.record.act;
    assert_eq!((&*act.object.kind, &*act.object.name), ("tenant", "ada"));
    assert_eq!(&*act.parameters, "role=operator key=ci");
    assert_eq!(&*entry.record.outcome, "not_a_gateway");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_removed_gateway_loses_its_links_also_those_on_which_it_acts() {
    let grid = Grid::start(memory());
    let token = grid.token_for(Role::Gateway, 1, Vec::new()).await;
    let credentials = enroll(&token, "web").await.expect("joins");
    assert_eq!(credentials.identity().role(), Role::Gateway);
    let endpoint = Endpoint::new(&credentials);
    let (ada, addresses) = (acts_for("ada", Role::Client), &token.addresses);
    let own = endpoint.connect_gateway(addresses, None).await.expect("linked");
    let acting = endpoint.connect_gateway(addresses, Some(&ada)).await.expect("linked");
    let (mut own, mut acting) = (over(own), over(acting));
    assert!(acting.request(jobs(), &[]).await.is_ok());
    assert!(own.request(Request::Intake, &[]).await.is_ok());
    let Ok(Reply::Members { members, .. }) = grid.operator(Request::Members { after: None }).await
    else {
        panic!("no members")
    };
    let listed = members.iter().find(|one| one.role == Role::Gateway).expect("it is listed");
    assert_eq!((&*listed.name, &*listed.tenant, listed.links), ("web", "gateway/web", 2));
    let remove = Request::RemoveMember { role: Role::Gateway, name: "web".into() };
    assert_eq!(grid.operator(remove).await, Ok(Reply::Done));
    for link in [&mut own, &mut acting] {
        let end = link.ended().await.expect("not in order").to_string();
        assert!(end.contains("an operator removed the gateway \"web\""), "{end}");
    }
    let actions: Vec<_> = log(&grid.server.handle()).await;
    assert!(actions.iter().any(|entry| &*entry.record.act.action == "remove-gateway"));
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_gateway_renews_its_own_certificate_over_its_own_link() {
    let grid = Grid::start(memory());
    let token = grid.token_for(Role::Gateway, 1, Vec::new()).await;
    let credentials = enroll(&token, "web").await.expect("joins");
    let endpoint = Endpoint::new(&credentials);
    let key = wasmgrid_net::Renewal::new().expect("a key");
    let mut own = over(endpoint.connect_gateway(&token.addresses, None).await.expect("linked"));
    let renewed = own.request(Request::Renew(key.request()), &[]).await;
    let Ok(Reply::Renewed(renewed)) = renewed else { panic!("{renewed:?}") };
    let next = key.accept(credentials.identity(), renewed).expect("its own");
    assert_eq!(next.identity(), credentials.identity());
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_token_for_a_gateway_gives_no_tenant() {
    let grid = Grid::start(memory());
    let token = TokenRequest { role: Role::Gateway, ttl: Millis(60_000), uses: 1 };
    let gives = TokenGives { tenant: Some("ada".into()), ..TokenGives::default() };
    let refused = grid.operator(Request::CreateToken { token, gives }).await;
    assert_eq!(refused, Err(Reason::TokenRequest { fault: TokenFault::GatewayTenant }.into()));
    // Its name is nobody's tenant: a client of that name is somebody else.
    let gives = TokenGives { name: Some("ada".into()), ..TokenGives::default() };
    let named = grid.made(Request::CreateToken { token, gives }).await;
    assert_eq!(enroll(&named, "box").await.expect("joins").identity().name(), "ada");
    let client = grid.token_for(Role::Client, 1, Vec::new()).await;
    assert_eq!(enroll(&client, "ada").await.expect("joins").identity().name(), "ada");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn an_older_operator_reads_the_lists_of_a_grid_that_has_gateways() {
    let grid = Grid::start(memory());
    let gateway = grid.token_for(Role::Gateway, 2, Vec::new()).await;
    enroll(&gateway, "web").await.expect("joins");
    let mut web = gateway_link(&grid.server.handle(), "web", None);
    web.request(Request::Tokens { after: None }, &[]).await.expect_err("for nobody");
    let before = PROTOCOL_MINOR - 1;
    let token = grid.token_for(Role::Operator, 1, Vec::new()).await;
    let credentials = enroll(&token, "older").await.expect("joins");
    let hello = Hello { minors: Minors { least: 0, most: before }, ..Hello::new("0.0.9") };
    let endpoint = Endpoint::saying(hello, &credentials);
    let mut older = over(endpoint.connect_client(&token.addresses).await.expect("linked"));
    let Ok(Reply::Members { members, .. }) =
        older.request(Request::Members { after: None }, &[]).await
    else {
        panic!("no members")
    };
    assert!(members.iter().all(|one| one.role != Role::Gateway), "{members:?}");
    let Ok(Reply::Tokens { tokens, .. }) =
        older.request(Request::Tokens { after: None }, &[]).await
    else {
        panic!("no tokens")
    };
    assert!(!tokens.is_empty() && tokens.iter().all(|one| one.role != Role::Gateway));
    let certificates = Request::Authority(AuthorityRequest::Certificates { after: None });
    let Ok(Reply::Authority(authority)) = older.request(certificates, &[]).await else {
        panic!("no authority")
    };
    assert!(authority.certificates.iter().all(|one| one.role != Role::Gateway));
    let all = Request::Audit { after: 0, since: Some(Micros(1)), who: None };
    let Ok(Reply::AuditPage { entries, .. }) = older.request(all, &[]).await else {
        panic!("no log")
    };
    assert!(entries.iter().any(|entry| &*entry.record.by.name == "gateway/web"));
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_tenant_that_does_not_read_its_answers_leaves_those_of_others_of_its_gateway_alone() {
    let server = start_fresh();
    let handle = server.handle();
    let (ada, bob) = (acts_for("ada", Role::Client), acts_for("bob", Role::Client));
    let mut silent = gateway_link(&handle, "web", Some(&ada));
    silent.put(MODULE).await.expect("kept");
    let mut spec = spec();
    spec.task.args = (0..500).map(|_| "x".repeat(100).into()).collect();
    let job = Request::Submit(wasmgrid_proto::wire::Submit {
        spec,
        idempotency_key: None,
        inputs: numbers(1),
        closed: true,
        watch: None,
    });
    for _ in 0..12 {
        silent.request(job.clone(), &[]).await.expect("made");
    }
    // More lists than its account may have waiting: the next one is refused, or its link ends.
    let mut id = 1;
    loop {
        id += 1;
        let message =
            wasmgrid_proto::wire::FromClient::Request(wasmgrid_proto::wire::RequestFrame {
                id,
                request: jobs(),
            });
        let sent = silent.link.sender.try_send(message);
        let other = gateway_link(&handle, "web", Some(&bob)).request(jobs(), &[]).await;
        assert!(matches!(other, Ok(Reply::JobPage { .. })), "{other:?}");
        let mut second = gateway_link(&handle, "web", Some(&ada));
        let own = second.request(jobs(), &[]).await;
        if sent.is_err() || own.is_err() || id > 400 {
            let refused = own.expect_err("its account has too much waiting");
            assert_eq!(refused.reason.name(), "answers_unread");
            break;
        }
    }
    server.shutdown().await.expect("in order");
}
