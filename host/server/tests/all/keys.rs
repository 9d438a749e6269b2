//! Keys and logins: who makes them, what they are good for, and how they end.

use wasmgrid_net::{ActFor, enroll};
use wasmgrid_proto::{
    AuditEntry, KeyId, KeyKind, KeyStatus, Micros, Millis, Reason, Secret, TokenGives,
    reason::{Action, KeyFault},
    wire::{ApiError, ErrorCode, Reply, Request, Role, TokenRequest},
};
use wasmgrid_server::ServerHandle;
use wasmgrid_store::memory;

use crate::{enrollment::Grid, harness::*};

const HOUR: Option<Millis> = Some(Millis(3_600_000));

pub fn create(tenant: &str, role: Role, name: Option<&str>, ttl: Option<Millis>) -> Request {
    Request::CreateKey { tenant: tenant.into(), role, name: name.map(Into::into), ttl }
}

pub fn made(reply: Result<Reply, ApiError>) -> (KeyStatus, Secret) {
    match reply {
        Ok(Reply::Key { status, secret }) => (status, secret),
        other => panic!("no key: {other:?}"),
    }
}

async fn key_of(client: &mut Client, tenant: &str, role: Role, name: &str) -> (KeyStatus, Secret) {
    made(client.request(create(tenant, role, Some(name), HOUR), &[]).await)
}

/// Whose a key is, as a gateway is told.
pub async fn check(
    server: &ServerHandle,
    id: KeyId,
    secret: Secret,
) -> Result<KeyStatus, ApiError> {
    let mut gateway = gateway_link(server, "web", None);
    match gateway.request(Request::CheckKey { id, secret }, &[]).await? {
        Reply::KeyChecked(status) => Ok(status),
        other => panic!("no key: {other:?}"),
    }
}

async fn is_good(server: &ServerHandle, (status, secret): &(KeyStatus, Secret)) -> bool {
    match check(server, status.id, *secret).await {
        Ok(found) => {
            assert_eq!((found.id, &found.tenant), (status.id, &status.tenant));
            true
        }
        Err(error) => {
            assert_eq!(error, Reason::BadKey.into());
            false
        }
    }
}

async fn keys(client: &mut Client) -> Vec<KeyStatus> {
    match client.request(Request::Keys { after: None }, &[]).await {
        Ok(Reply::Keys { keys, more: 0 }) => keys,
        other => panic!("no keys: {other:?}"),
    }
}

async fn code(client: &mut Client) -> Secret {
    match client.request(Request::CreateLogin, &[]).await {
        Ok(Reply::Login { code, expires }) => {
            assert!(expires > Micros(0));
            code
        }
        other => panic!("no code: {other:?}"),
    }
}

async fn log(server: &ServerHandle) -> Vec<AuditEntry> {
    let all = Request::Audit { after: 0, since: None, who: None };
    match client_link(server, Role::Operator, "reader").request(all, &[]).await {
        Ok(Reply::AuditPage { entries, next: None }) => entries,
        other => panic!("no log: {other:?}"),
    }
}

fn told(entries: &[AuditEntry]) -> Vec<String> {
    let text = |AuditEntry { record, .. }: &AuditEntry| {
        let (by, act) = (&record.by, &record.act);
        let via = record.gateway().map(|name| format!(" via {name}")).unwrap_or_default();
        format!("{} {}{via} {} {}", by.role, by.name, act.action, record.outcome)
    };
    entries.iter().map(text).collect()
}

fn acts_for(tenant: &str, role: Role, name: &str) -> ActFor {
    ActFor { tenant: tenant.into(), role, name: name.into() }
}

#[tokio::test]
async fn a_key_is_good_with_its_secret_alone_also_after_a_restart() {
    let store = memory();
    let server = start(store.reopen());
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let key = key_of(&mut olga, "ada", Role::Client, "ci").await;
    let (status, secret) = &key;
    assert_eq!((status.kind, status.revoked, status.last_used_day), (KeyKind::Key, false, None));
    assert!(status.expires > Some(status.created));
    let found = check(&server.handle(), status.id, *secret).await.expect("good");
    assert_eq!((found.role, &*found.name), (Role::Client, "ci"));
    assert_eq!(found.act_for(), acts_for("ada", Role::Client, "ci"));
    let other = key_of(&mut olga, "ada", Role::Client, "ci").await;
    let wrong = [
        (status.id, Secret([0; 32])),
        (KeyId(status.id.0 ^ 1), *secret),
        (other.0.id, *secret),
        (status.id, other.1),
    ];
    for (id, secret) in wrong {
        let refused = check(&server.handle(), id, secret).await.expect_err("wrong");
        assert_eq!(refused, Reason::BadKey.into(), "which of both is wrong is not told");
        assert_eq!(refused.code, ErrorCode::Forbidden);
    }
    let today = Some(KeyStatus::day_of(status.created));
    let listed = keys(&mut olga).await;
    let used = |id| listed.iter().find(|key| key.id == id).and_then(|key| key.last_used_day);
    assert!(used(status.id) >= today, "{listed:?}");
    assert_eq!(used(other.0.id), None, "who was wrong did not use it");
    server.shutdown().await.expect("in order");

    let server = start(store.reopen());
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    assert_eq!(keys(&mut olga).await, listed);
    assert!(is_good(&server.handle(), &key).await);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn the_store_has_no_secret_of_a_key() {
    let (server, valve) = start_held();
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let (_, secret) = key_of(&mut olga, "ada", Role::Client, "ci").await;
    let code = code(&mut client_link(&server.handle(), Role::Client, "ada")).await;
    let (entries, _) = valve.take_written();
    assert!(entries.len() > 1);
    let written = format!("{entries:?}");
    for secret in [secret, code] {
        // As bytes of a value are shown, and as a key is written.
        let debug = format!("{:?}", bytes::Bytes::copy_from_slice(&secret.0));
        assert!(!written.contains(debug.trim_matches(['b', '"'])), "{written}");
        assert!(!written.contains(&secret.text()));
    }
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_day_of_checks_writes_the_last_use_of_a_key_once() {
    let (server, valve) = start_held();
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let key = key_of(&mut olga, "ada", Role::Client, "ci").await;
    valve.take_written();
    for _ in 0..20 {
        assert!(is_good(&server.handle(), &key).await);
    }
    // What is written after it is written.
    key_of(&mut olga, "ada", Role::Client, "other").await;
    let (entries, _) = valve.take_written();
    let used = format!("{entries:?}").matches("key-used/").count();
    // Another day may have begun meanwhile.
    assert!((1..=2).contains(&used), "{entries:?}");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_key_is_good_also_while_nothing_can_be_written() {
    let (server, valve) = start_held();
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let key = key_of(&mut olga, "ada", Role::Client, "ci").await;
    valve.fill();
    assert!(is_good(&server.handle(), &key).await);
    let refused = olga.request(create("ada", Role::Client, None, None), &[]).await;
    assert_eq!(refused.expect_err("no room").code, ErrorCode::Unavailable);
    valve.make_room();
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn an_expired_or_revoked_key_is_not_good() {
    let server = start_fresh();
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let short = create("ada", Role::Client, Some("short"), Some(Millis(1)));
    let short = made(olga.request(short, &[]).await);
    while is_good(&server.handle(), &short).await {}
    let endless = made(olga.request(create("ada", Role::Client, None, None), &[]).await);
    assert_eq!((endless.0.expires, endless.0.name.to_string()), (None, endless.0.id.to_string()));
    assert!(is_good(&server.handle(), &endless).await);
    let revoke = |id| Request::RevokeKey { id };
    for _ in 0..2 {
        assert_eq!(olga.request(revoke(endless.0.id), &[]).await, Ok(Reply::Done));
    }
    assert!(!is_good(&server.handle(), &endless).await);
    let listed = keys(&mut olga).await;
    assert!(listed.iter().any(|key| key.id == endless.0.id && key.revoked), "{listed:?}");
    let unknown = olga.request(revoke(KeyId(7)), &[]).await;
    assert_eq!(unknown, Err(Reason::NoKey { id: KeyId(7) }.into()));
    let acts = told(&log(&server.handle()).await);
    let expected = [
        "operator olga create-key ok",
        "operator olga create-key ok",
        "operator olga revoke-key ok",
        "operator olga revoke-key no_such_key",
    ];
    assert_eq!(acts, expected);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_client_makes_sees_and_revokes_keys_of_its_own_tenant_and_role_alone() {
    let server = start_fresh();
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let bobs = key_of(&mut olga, "bob", Role::Client, "bobs").await;
    let power = key_of(&mut olga, "ada", Role::Operator, "power").await;
    let mut ada = client_link(&server.handle(), Role::Client, "ada");
    let own = key_of(&mut ada, "ada", Role::Client, "ci").await;
    let others = ada.request(create("bob", Role::Client, None, None), &[]).await;
    let (mine, wanted) = ("ada".into(), "bob".into());
    assert_eq!(others, Err(Reason::OthersKey { own: mine, wanted }.into()));
    let others = ada.request(create("operator/olga", Role::Operator, None, None), &[]).await;
    assert_eq!(others.expect_err("another's").reason.name(), "key_of_other_tenant");
    let operator = ada.request(create("ada", Role::Operator, None, None), &[]).await;
    let (role, name, action) = (Role::Client, "ada".into(), Action::MakeOperatorKeys);
    assert_eq!(operator, Err(Reason::NotAllowed { role, name, action }.into()));
    assert_eq!(keys(&mut ada).await, std::slice::from_ref(&own.0));
    for id in [bobs.0.id, power.0.id] {
        let revoked = ada.request(Request::RevokeKey { id }, &[]).await;
        assert_eq!(revoked, Err(Reason::NoKey { id }.into()), "as if there were none");
    }
    assert!(is_good(&server.handle(), &bobs).await && is_good(&server.handle(), &power).await);
    assert_eq!(ada.request(Request::RevokeKey { id: own.0.id }, &[]).await, Ok(Reply::Done));
    assert!(!is_good(&server.handle(), &own).await);
    assert_eq!(keys(&mut olga).await.len(), 3);
    let acts = told(&log(&server.handle()).await);
    let of_ada: Vec<_> = acts.iter().filter(|act| act.starts_with("client ada")).collect();
    let expected = [
        "client ada create-key ok",
        "client ada create-key key_of_other_tenant",
        "client ada create-key key_of_other_tenant",
        "client ada create-key role_not_allowed",
        "client ada revoke-key no_such_key",
        "client ada revoke-key no_such_key",
        "client ada revoke-key ok",
    ];
    assert_eq!(of_ada, expected.iter().collect::<Vec<_>>());
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_request_for_a_key_that_makes_no_sense_is_refused() {
    let server = start_fresh();
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    for role in [Role::Worker, Role::Scheduler, Role::Gateway] {
        let refused = olga.request(create("ada", role, None, None), &[]).await;
        assert_eq!(refused, Err(Reason::KeyRequest { fault: KeyFault::Role }.into()));
    }
    let refused = olga.request(create("ada", Role::Client, None, Some(Millis(0))), &[]).await;
    assert_eq!(refused, Err(Reason::KeyRequest { fault: KeyFault::NoTime }.into()));
    for (tenant, name) in
        [("", None), ("a/b", None), ("worker/w", None), ("operator/", None), ("ada", Some("a\nb"))]
    {
        let refused = olga.request(create(tenant, Role::Client, name, None), &[]).await;
        assert_eq!(refused.expect_err("no name").reason.name(), "name_invalid", "{tenant:?}");
    }
    let own = olga.request(create("operator/olga", Role::Operator, None, None), &[]).await;
    assert_eq!(&*made(own).0.tenant, "operator/olga");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn only_gateways_that_act_for_nobody_check_keys_and_logins() {
    let server = start_fresh();
    let handle = server.handle();
    let mut olga = client_link(&handle, Role::Operator, "olga");
    let (status, secret) = key_of(&mut olga, "ada", Role::Client, "ci").await;
    let code = code(&mut olga).await;
    let acting = acts_for("ada", Role::Operator, "ci");
    let mut others = [
        client_link(&handle, Role::Client, "ada"),
        olga,
        gateway_link(&handle, "web", Some(&acting)),
    ];
    for other in &mut others {
        for request in [Request::CheckKey { id: status.id, secret }, Request::Login { code }] {
            let refused = other.request(request, &[]).await.expect_err("no gateway");
            assert_eq!(
                (refused.code, refused.reason.name()),
                (ErrorCode::Forbidden, "gateways_only")
            );
        }
    }
    let acts = told(&log(&handle).await);
    let tried = acts.iter().filter(|act| act.ends_with("check-key gateways_only")).count();
    assert_eq!(tried, 6, "{acts:?}");
    assert!(acts.iter().any(|act| act.starts_with("operator ci via web check-key")), "{acts:?}");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_login_code_is_good_once_and_makes_a_session_of_who_asked_for_it() {
    let server = start_fresh();
    let handle = server.handle();
    let mut olga = client_link(&handle, Role::Operator, "olga");
    let code = code(&mut olga).await;
    let mut gateway = gateway_link(&handle, "web", None);
    let session = made(gateway.request(Request::Login { code }, &[]).await);
    let (status, _) = &session;
    assert_eq!(
        (status.kind, status.role, &*status.name),
        (KeyKind::Session, Role::Operator, "olga")
    );
    assert_eq!(&*status.tenant, "operator/olga");
    let life = status.expires.map(|ends| ends.since(status.created));
    assert_eq!(life, Some(Millis(12 * 3_600_000)));
    for code in [code, Secret([1; 32])] {
        let refused = gateway.request(Request::Login { code }, &[]).await;
        assert_eq!(refused, Err(Reason::BadLogin.into()), "used, and made up");
    }
    assert!(is_good(&handle, &session).await);
    let listed = keys(&mut olga).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(olga.request(Request::RevokeKey { id: status.id }, &[]).await, Ok(Reply::Done));
    assert!(!is_good(&handle, &session).await);
    let acts = told(&log(&handle).await);
    let expected = ["operator olga via web create-key ok", "operator olga revoke-key ok"];
    assert_eq!(acts, expected);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_login_code_is_for_who_asks_with_a_certificate() {
    let server = start_fresh();
    for role in [Role::Client, Role::Operator] {
        let acting = acts_for("ada", role, "ci");
        let mut acting = gateway_link(&server.handle(), "web", Some(&acting));
        let refused = acting.request(Request::CreateLogin, &[]).await.expect_err("no own link");
        assert_eq!(refused, Reason::NoOwnLogin { name: "ci".into() }.into());
    }
    let acts = told(&log(&server.handle()).await);
    assert_eq!(acts[0], "client ci via web create-login login_not_own");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_tenant_has_so_many_keys_and_a_revoked_one_makes_room() {
    let server = start_fresh();
    let mut ada = client_link(&server.handle(), Role::Client, "ada");
    let first = key_of(&mut ada, "ada", Role::Client, "first").await;
    let last = loop {
        let next = ada.request(create("ada", Role::Client, None, None), &[]).await;
        if next.is_err() {
            break next;
        }
    };
    let full = Reason::TooManyKeys { tenant: "ada".into(), allowed: 100 };
    assert_eq!(last, Err(full.into()));
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    key_of(&mut bob, "bob", Role::Client, "ci").await;
    let code = code(&mut ada).await;
    let mut gateway = gateway_link(&server.handle(), "web", None);
    made(gateway.request(Request::Login { code }, &[]).await);
    assert!(is_good(&server.handle(), &first).await);
    assert_eq!(ada.request(Request::RevokeKey { id: first.0.id }, &[]).await, Ok(Reply::Done));
    key_of(&mut ada, "ada", Role::Client, "next").await;
    let listed = keys(&mut ada).await;
    assert!(listed.len() == 101 && listed.iter().all(|key| key.id != first.0.id));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_a_key_has_made_ends_with_it() {
    let server = start_fresh();
    let handle = server.handle();
    let mut olga = client_link(&handle, Role::Operator, "olga");
    let first = key_of(&mut olga, "ada", Role::Client, "first").await;
    let mut acting = gateway_link(&handle, "web", Some(&first.0.act_for()));
    let second = key_of(&mut acting, "ada", Role::Client, "second").await;
    let mut acting = gateway_link(&handle, "web", Some(&second.0.act_for()));
    let third = key_of(&mut acting, "ada", Role::Client, "third").await;
    let apart = key_of(&mut olga, "ada", Role::Client, "apart").await;
    assert_eq!(olga.request(Request::RevokeKey { id: first.0.id }, &[]).await, Ok(Reply::Done));
    for gone in [&first, &second, &third] {
        assert!(!is_good(&handle, gone).await, "{:?}", gone.0);
    }
    assert!(is_good(&handle, &apart).await);
    let entries = log(&handle).await;
    let last = entries.last().expect("an entry");
    assert_eq!((&*last.record.act.action, &*last.record.act.parameters), ("revoke-key", "keys=3"));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn the_keys_sessions_and_codes_of_a_removed_member_end_also_after_a_restart() {
    let store = memory();
    let again = store.reopen();
    let grid = Grid::start(store);
    let token = TokenRequest { role: Role::Client, ttl: Millis(60_000), uses: 2 };
    let gives = TokenGives { name: Some("ada".into()), ..TokenGives::default() };
    let token = grid.made(Request::CreateToken { token, gives }).await;
    let credentials = enroll(&token, "laptop").await.expect("joins");
    let endpoint = wasmgrid_net::Endpoint::new(&credentials);
    let mut ada = over(endpoint.connect_client(&token.addresses).await.expect("linked"));
    let handle = grid.server.handle();
    let own = key_of(&mut ada, "ada", Role::Client, "own").await;
    let (used, unused) = (code(&mut ada).await, code(&mut ada).await);
    let mut gateway = gateway_link(&handle, "web", None);
    let session = made(gateway.request(Request::Login { code: used }, &[]).await);
    let mut browser = gateway_link(&handle, "web", Some(&session.0.act_for()));
    let in_browser = key_of(&mut browser, "ada", Role::Client, "in-browser").await;
    let mut olga = client_link(&handle, Role::Operator, "olga");
    let given = key_of(&mut olga, "ada", Role::Client, "given").await;
    let remove = Request::RemoveMember { role: Role::Client, name: "ada".into() };
    assert_eq!(olga.request(remove, &[]).await, Ok(Reply::Done));
    let refused = gateway.request(Request::Login { code: unused }, &[]).await;
    assert_eq!(refused, Err(Reason::BadLogin.into()));
    let grid = grid.restart(again).await;
    let handle = grid.server.handle();
    for gone in [&own, &session, &in_browser] {
        assert!(!is_good(&handle, gone).await, "{:?}", gone.0);
    }
    assert!(is_good(&handle, &given).await, "she never saw its secret");
    grid.server.shutdown().await.expect("in order");
}
