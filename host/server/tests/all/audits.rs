//! The audit log: what is in it after what was asked, that it is as durable as the change, and that it
//! is kept for its time.

use wasmgrid_net::{Endpoint, enroll};
use wasmgrid_proto::{
    Allowance, AuditEntry, AuditRecord, JobId, Millis, Resource, TokenGives,
    wire::{AuthorityRequest, Reply, Request, Role, TokenRequest},
};
use wasmgrid_store::memory;

use crate::{enrollment::Grid, harness::*};

async fn log(operator: &mut Client) -> Vec<AuditEntry> {
    let all = Request::Audit { after: 0, since: None, who: None };
    match operator.request(all, &[]).await {
        Ok(Reply::AuditPage { entries, next: None }) => entries,
        other => panic!("no log: {other:?}"),
    }
}

/// Who did what to what, and what came of it.
fn told(entries: &[AuditEntry]) -> Vec<String> {
    let text = |AuditEntry { record, .. }: &AuditEntry| {
        let AuditRecord { by, act, outcome, .. } = record;
        format!("{} {} {} {outcome}", by.name, act.action, act.object.name)
    };
    entries.iter().map(text).collect()
}

#[tokio::test]
async fn an_operators_acts_are_in_the_audit_log_once_also_after_a_restart() {
    let store = memory();
    let server = start(store.reopen());
    let worker = join(&server.handle(), "w").await;
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let job = status(ann.request(submit(numbers(3), None), &[]).await).job;
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let cordon = || Request::Cordon { name: "w".into(), cordoned: true };
    let quota = Request::SetQuota {
        tenant: "ann".into(),
        resource: Resource::Jobs,
        allowed: Allowance::Most(9),
    };
    for request in [cordon(), cordon(), quota, Request::Cancel { job }] {
        assert_eq!(olga.request(request, &[]).await, Ok(Reply::Done));
    }
    let append = Request::Append { job, producer: 1, number: 1, inputs: numbers(1) };
    olga.request(append, &[]).await.expect_err("it has ended");
    let expected = [
        "olga cordon-worker w ok",
        "olga set-quota ann ok",
        "olga cancel-job job ok",
        "olga append-to-job job job_not_open",
    ];
    let entries = log(&mut olga).await;
    assert_eq!(told(&entries), expected);
    drop(worker);
    server.shutdown().await.expect("in order");

    let server = start(store.reopen());
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    assert_eq!(log(&mut olga).await, entries);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn what_a_role_does_not_allow_is_in_the_audit_log_and_bounded() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let forbidden = [
        Request::Drain { name: "w".into() },
        Request::RemoveMember { role: Role::Worker, name: "w".into() },
        Request::Members { after: None },
        Request::Audit { after: 0, since: None, who: None },
    ];
    for request in forbidden.iter().cycle().take(40) {
        ann.request(request.clone(), &[]).await.expect_err("not allowed");
    }
    ann.request(Request::Job { job: JobId(9) }, &[]).await.expect_err("nobody's");
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let entries = log(&mut olga).await;
    assert_eq!(entries.len(), 10, "{:?}", told(&entries));
    assert_eq!(told(&entries)[0], "ann drain-worker w role_not_allowed");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn an_act_on_anothers_job_that_a_tenant_may_not_do_is_in_the_audit_log() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let job = status(ann.request(submit(numbers(3), None), &[]).await).job;
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    bob.request(Request::Job { job }, &[]).await.expect_err("it is ann's");
    bob.request(Request::Cancel { job }, &[]).await.expect_err("it is ann's");
    assert_eq!(ann.request(Request::Cancel { job }, &[]).await, Ok(Reply::Done));
    let mut olga = client_link(&server.handle(), Role::Operator, "olga");
    let entries = log(&mut olga).await;
    assert_eq!(told(&entries), ["bob cancel-job job job_of_other_tenant"]);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn tokens_members_and_the_authority_are_in_the_audit_log_without_secrets() {
    let grid = Grid::start(memory());
    let token = TokenRequest { role: Role::Client, ttl: Millis(60_000), uses: 2 };
    let gives = TokenGives { name: Some("ada".into()), ..TokenGives::default() };
    let made = grid.made(Request::CreateToken { token, gives }).await;
    let (role, name) = (Role::Client, String::from("ada"));
    enroll(&made, "laptop").await.expect("joins");
    for _ in 0..2 {
        let revoke = Request::RevokeToken { token: made.token };
        assert_eq!(grid.operator(revoke).await, Ok(Reply::Done));
    }
    let remove = || Request::RemoveMember { role, name: name.clone() };
    assert_eq!(grid.operator(remove()).await, Ok(Reply::Done));
    grid.operator(remove()).await.expect_err("removed already");
    let retire = Request::Authority(AuthorityRequest::Retire { force: true });
    grid.operator(retire).await.expect_err("there is none to retire");
    let replace = || Request::Authority(AuthorityRequest::Replace);
    assert_eq!(grid.operator(replace()).await, Ok(Reply::Done));
    grid.operator(replace()).await.expect_err("one is still trusted");
    let all = Request::Audit { after: 0, since: None, who: None };
    let Ok(Reply::AuditPage { entries, .. }) = grid.operator(all).await else { panic!("no log") };
    let acts: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} {}", entry.record.act.action, entry.record.outcome))
        .collect();
    assert_eq!(
        acts,
        [
            "create-token ok",
            "revoke-token ok",
            "remove-client ok",
            "remove-client member_already_removed",
            "retire-authority no_former_authority",
            "replace-authority ok",
            "replace-authority authority_not_replaceable",
        ]
    );
    let id = format!("{:016x}", made.token);
    assert_eq!(
        (&*entries[0].record.act.object.id, &*entries[1].record.act.object.id),
        (&*id, &*id)
    );
    let secret = made.to_string();
    assert!(!format!("{entries:?}").contains(secret.rsplit('.').next().expect("its end")));
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn an_entry_has_the_serial_number_of_the_callers_certificate() {
    let grid = Grid::start(memory());
    let token = grid.token_for(Role::Operator, 1, Vec::new()).await;
    let credentials = enroll(&token, "olga").await.expect("joins");
    let endpoint = Endpoint::new(&credentials);
    let mut olga = over(endpoint.connect_client(&token.addresses).await.expect("linked"));
    let quota = Request::SetQuota {
        tenant: "ann".into(),
        resource: Resource::Jobs,
        allowed: Allowance::Most(9),
    };
    assert_eq!(olga.request(quota, &[]).await, Ok(Reply::Done));
    let entries = log(&mut olga).await;
    let serial = entries.last().and_then(|entry| entry.record.by.serial.clone());
    assert_eq!(serial.as_deref(), Some(credentials.certificate().serial.as_str()));
    assert_eq!(serial.map(|serial| serial.len()), Some(32));
    grid.server.shutdown().await.expect("in order");
}
