//! Promises about the audit log: what is entered, once, and how much of what was refused.

use std::sync::Arc;

use wasmgrid_core::{Input, Output, REFUSALS_ENTERED, REFUSALS_WINDOW};
use wasmgrid_proto::{
    Act, Allowance, AuditAction, AuditRecord, JobId, Resource,
    wire::{ApiError, Reply, Role},
};

use crate::world::{World, by, bytes_of, caller, content, spec_of};

/// What an operator asks for.
fn operate(
    world: &mut World,
    input: impl FnOnce(wasmgrid_core::ClientRequest) -> Input,
) -> Result<Reply, ApiError> {
    ask(world, (Role::Operator, "olga"), input)
}

fn ask(
    world: &mut World,
    (role, name): (Role, &str),
    input: impl FnOnce(wasmgrid_core::ClientRequest) -> Input,
) -> Result<Reply, ApiError> {
    let request = world.request();
    world.drive(input(by(request, role, name)));
    world.reply(request)
}

/// Who did what to what, and what came of it.
fn told(record: &AuditRecord) -> String {
    let AuditRecord { by, act, outcome, .. } = record;
    let object = &act.object;
    let text = format!(
        "{} {}: {} {} {} {} {}: {outcome}",
        by.role, by.name, act.action, object.kind, object.id, object.name, act.parameters
    );
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace(" :", ":")
}

fn all(world: &World) -> Vec<String> {
    world.audits.iter().map(told).collect()
}

#[test]
fn an_entry_says_who_did_what_to_what() {
    let mut world = World::new();
    world.join("w1", 1);
    let job = world.submit_as(spec_of("ann"), None, 1, false);
    let name = || String::from("w1");
    let tenant = || String::from("ann");
    let (resource, allowed) = (Resource::Jobs, Allowance::Most(7));
    let cordon = |cordoned| move |request| Input::CordonWorker { request, name: name(), cordoned };
    operate(&mut world, cordon(true)).expect("known");
    operate(&mut world, cordon(false)).expect("known");
    operate(&mut world, |request| Input::DrainWorker { request, name: name() }).expect("known");
    let set = |request| Input::SetQuota { request, tenant: tenant(), resource, allowed };
    operate(&mut world, set).expect("set");
    let (first, digest) = (1, content(1, 2, false));
    let append =
        |request| Input::AppendAt { request, job, first, count: 2, bytes: bytes_of(0), digest };
    operate(&mut world, append).expect("open");
    operate(&mut world, |request| Input::Close { request, job }).expect("open");
    operate(&mut world, |request| Input::Cancel { request, job }).expect("active");
    let retry =
        |request| Input::Retry { request, job, limits: None, idempotency_key: Some("k".into()) };
    operate(&mut world, retry).expect("cancelled tasks are run again");
    assert_eq!(
        all(&world),
        [
            "operator olga: cordon-worker worker w1: ok",
            "operator olga: uncordon-worker worker w1: ok",
            "operator olga: drain-worker worker w1: ok",
            "operator olga: set-quota tenant ann jobs=7: ok",
            "operator olga: append-to-job job 1 job inputs=2: ok",
            "operator olga: close-job job 1 job: ok",
            "operator olga: cancel-job job 1 job: ok",
            "operator olga: retry-job job 1 job: ok",
        ]
    );
    let entry = &world.audits[0];
    assert_eq!(entry.by, caller(Role::Operator, "olga"));
    assert_eq!((entry.time, entry.at, entry.count), (world.now, world.now, 1));
}

#[test]
fn an_entry_is_between_the_records_of_the_change_and_the_answer() {
    let mut world = World::new();
    world.join("w1", 1);
    let cordon = |request| Input::CordonWorker { request, name: "w1".into(), cordoned: true };
    operate(&mut world, cordon).expect("known");
    let kinds: Vec<&str> = world
        .last
        .iter()
        .filter_map(|output| match output {
            Output::Persist(_) => Some("record"),
            Output::Audit(_) => Some("entry"),
            Output::Reply { .. } => Some("answer"),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["record", "entry", "answer"]);
}

#[test]
fn what_changes_nothing_has_no_entry() {
    let mut world = World::new();
    world.join("w1", 1);
    let job = world.submit(spec_of("ann"), 1);
    let (tenant, resource, allowed) = ("ann", Resource::Jobs, Allowance::Most(7));
    let retry = |request| {
        let idempotency_key = Some("key".into());
        Input::Retry { request, job, limits: None, idempotency_key }
    };
    for _ in 0..2 {
        let name = || String::from("w1");
        let cordon = |request| Input::CordonWorker { request, name: name(), cordoned: true };
        operate(&mut world, cordon).expect("known");
        operate(&mut world, |request| Input::DrainWorker { request, name: name() }).expect("known");
        let set = |request| Input::SetQuota { request, tenant: tenant.into(), resource, allowed };
        operate(&mut world, set).expect("set");
        operate(&mut world, |request| Input::Cancel { request, job }).expect("cancelled once");
        operate(&mut world, retry).expect("the same job");
    }
    assert_eq!(world.audits.len(), 5, "{:?}", all(&world));
}

#[test]
fn what_somebody_does_to_jobs_of_its_own_tenant_has_no_entry() {
    let mut world = World::new();
    let job = world.submit_as(spec_of("ann"), None, 1, false);
    for who in [(Role::Client, "ann"), (Role::Scheduler, "scheduler")] {
        ask(&mut world, who, |request| Input::Close { request, job }).expect("open");
    }
    ask(&mut world, (Role::Client, "ann"), |request| Input::Cancel { request, job }).expect("is");
    assert!(world.audits.is_empty(), "{:?}", all(&world));
    let closes = world.submit_as(spec_of("ann"), None, 1, false);
    let close = |request| Input::Close { request, job: closes };
    ask(&mut world, (Role::Scheduler, "scheduler"), close).expect("open");
    assert!(world.audits.is_empty(), "the scheduler's own: {:?}", all(&world));
}

#[test]
fn of_many_appends_of_an_operator_to_a_job_the_first_is_entered_in_each_term() {
    let mut world = World::new();
    let job = world.submit_as(spec_of("ann"), None, 0, false);
    let append = |world: &mut World, number| {
        let append = |request| Input::Append {
            request,
            job,
            producer: 7,
            number,
            count: 3,
            bytes: bytes_of(0),
        };
        operate(world, append).expect("open");
    };
    (1..=20).for_each(|number| append(&mut world, number));
    let skip =
        |request| Input::Skip { request, job, first: 60, count: 2, digest: content(60, 2, true) };
    operate(&mut world, skip).expect_err("there are producers");
    assert_eq!(all(&world), ["operator olga: append-to-job job 1 job inputs=3: ok"]);
    world.restart();
    (21..=30).for_each(|number| append(&mut world, number));
    assert_eq!(world.audits.len(), 2);
}

#[test]
fn a_refused_act_is_entered_with_its_reason() {
    let mut world = World::new();
    let cordon = |request| Input::CordonWorker { request, name: "none".into(), cordoned: true };
    let error = operate(&mut world, cordon).expect_err("unknown");
    let expected = format!("operator olga: cordon-worker worker none: {}", error.reason.name());
    assert_eq!(all(&world), [expected]);
    let unknown = |request| Input::Cancel { request, job: JobId(99) };
    operate(&mut world, unknown).expect_err("unknown");
    assert_eq!(world.audits.len(), 1, "a job that nobody has is nobody else's");
}

/// A client is refused something.
fn refuse(world: &mut World, name: &str) {
    let by = Arc::new(caller(Role::Client, name));
    let act = Box::new(Act::cordon("w1", true));
    world.drive(Input::Refused { by, act, reason: "role_not_allowed".into() });
}

#[test]
fn refused_attempts_of_one_caller_are_counted_beyond_the_first() {
    let mut world = World::new();
    let many = 10_000;
    (0..many).for_each(|_| refuse(&mut world, "mallory"));
    assert_eq!(world.audits.len() as u64, REFUSALS_ENTERED);
    refuse(&mut world, "bob");
    assert_eq!(world.audits.len() as u64, REFUSALS_ENTERED + 1, "each caller is counted apart");
    world.pass(REFUSALS_WINDOW.0);
    let last = world.audits.last().expect("an entry");
    assert_eq!((last.count, &*last.by.name), (many - REFUSALS_ENTERED, "mallory"));
    assert_eq!((&*last.act.action, &*last.outcome), ("cordon-worker", "role_not_allowed"));
    let counted: u64 = world.audits.iter().map(|entry| entry.count).sum();
    assert_eq!((counted, world.audits.len() as u64), (many + 1, REFUSALS_ENTERED + 2));
    refuse(&mut world, "mallory");
    assert_eq!(world.audits.last().map(|entry| entry.count), Some(1), "a new window");
}

#[test]
fn refused_attempts_of_many_callers_take_bounded_memory_and_each_is_entered() {
    let mut world = World::new();
    for number in 0..5_000 {
        refuse(&mut world, &format!("c{number}"));
    }
    assert_eq!(world.audits.len(), 5_000);
    (0..20).for_each(|_| refuse(&mut world, "c4999"));
    assert_eq!(world.audits.len() as u64, 4_999 + REFUSALS_ENTERED);
    world.pass(REFUSALS_WINDOW.0 + 1);
    assert_eq!(world.audits.last().map(|entry| entry.count), Some(21 - REFUSALS_ENTERED));
}

#[test]
fn actions_on_jobs_name_the_job() {
    let mut world = World::new();
    let job = world.submit(spec_of("ann"), 1);
    let act = world.grid.act_on_job(AuditAction::CancelJob, job);
    assert_eq!((&*act.object.id, &*act.object.name), ("1", "job"));
    let unknown = world.grid.act_on_job(AuditAction::CancelJob, JobId(9));
    assert_eq!((&*unknown.object.id, &*unknown.object.name), ("9", ""));
}
