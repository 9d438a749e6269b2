//! Who may do what.

use wasmgrid_proto::{
    InputBlock, JobFilter, Millis, Reason, TaskRange, TokenGives,
    wire::{ErrorCode, More, Reply, Request, Role, ToWorker, TokenRequest},
};

use crate::harness::*;

#[tokio::test]
async fn only_an_operator_drains_workers_and_makes_tokens() {
    let server = start_fresh();
    let mut worker = join(&server.handle(), "w").await;
    let token = TokenRequest { role: Role::Worker, ttl: Millis(1_000), uses: 1 };
    let token = Request::CreateToken { token, gives: TokenGives::default() };
    let requests = [Request::Drain { name: "w".into() }, token];
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    for request in requests.clone() {
        let error = client.request(request, &[]).await.expect_err("not allowed");
        assert!(matches!(*error.reason, Reason::NotAllowed { .. }), "{error}");
        assert_eq!(error.code, ErrorCode::Forbidden);
    }
    let mut operator = client_link(&server.handle(), Role::Operator, "olga");
    let [drain, token] = requests;
    assert_eq!(operator.request(drain, &[]).await, Ok(Reply::Done));
    worker.next(|envelope| matches!(envelope.message, ToWorker::Drain(_)).then_some(())).await;
    let error = operator.request(token, &[]).await.expect_err("this grid has no authority");
    assert_eq!(error.code, ErrorCode::Invalid);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_link_of_the_wrong_role_is_closed() {
    let server = start_fresh();
    client_link(&server.handle(), Role::Worker, "w").closed().await;
    worker_link(&server.handle(), Role::Client, "ann").closed().await;
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let contests = client.request(Request::Contests, &[]).await;
    assert_eq!(contests, Ok(Reply::Contests(Vec::new())));
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_worker_that_joins_again_replaces_its_older_link() {
    let server = start_fresh();
    let mut old = join(&server.handle(), "w").await;
    let _new = join(&server.handle(), "w").await;
    old.closed().await;
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_job_is_its_tenants_and_the_operators() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let job = status(ann.request(submit(numbers(3), None), &[]).await).job;
    let requests = [
        Request::Job { job },
        Request::Watch { job, watch: watch(1, PLENTY) },
        Request::Inputs { job, tasks: TaskRange::ALL },
        Request::AppendAt { job, first: 3, inputs: numbers(1) },
        Request::Append { job, producer: 1, number: 1, inputs: numbers(1) },
        Request::Close { job },
        Request::Retry { job, limits: None, idempotency_key: None },
        Request::Cancel { job },
    ];
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    for request in requests {
        let error = bob.request(request, &[]).await.expect_err("it is ann's");
        assert_eq!(error, Reason::OthersJob { job, own: "bob".into() }.into());
    }
    assert!(!ann.job(job).await.state.is_terminal(), "it was not cancelled");
    let list = || Request::JobPage { before: None, limit: 9, filter: JobFilter::default() };
    let nothing = Reply::JobPage { jobs: Vec::new(), next: None, more: More::Exactly(0) };
    assert_eq!(bob.request(list(), &[]).await, Ok(nothing));
    // An operator of the same name as a client is somebody else, and may do it all.
    let mut operator = client_link(&server.handle(), Role::Operator, "bob");
    let own = status(operator.request(submit(numbers(1), None), &[]).await).job;
    assert_eq!(
        bob.request(Request::Job { job: own }, &[]).await.map_err(|error| error.code),
        Err(ErrorCode::Forbidden)
    );
    let Ok(Reply::JobPage { jobs, .. }) = operator.request(list(), &[]).await else {
        panic!("no jobs")
    };
    assert_eq!(jobs.len(), 2);
    assert_eq!(operator.request(Request::Cancel { job }, &[]).await, Ok(Reply::Done));
    // What failed of ann's is still ann's when an operator has it run again.
    let retry = Request::Retry { job, limits: None, idempotency_key: None };
    let again = status(operator.request(retry, &[]).await);
    assert_eq!(ann.job(again.job).await.counts.total, 3);
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_retry_gives_workers_the_inputs_of_the_old_job_also_after_a_restart() {
    let store = wasmgrid_store::memory();
    let server = start(store.reopen());
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let inputs = InputBlock::Packed(vec![1, 2, 3]);
    let job = status(ann.request(submit(inputs, None), b"abbccc").await).job;
    assert_eq!(ann.request(Request::Cancel { job }, &[]).await, Ok(Reply::Done));
    let retry = Request::Retry { job, limits: None, idempotency_key: Some("once".into()) };
    let again = status(ann.request(retry.clone(), &[]).await).job;
    assert_eq!(status(ann.request(retry, &[]).await).job, again);
    server.shutdown().await.expect("in order");

    let server = start(store.reopen());
    let mut worker = join(&server.handle(), "w").await;
    let mut given = Vec::new();
    while given.len() < 3 {
        let (assign, mut payload) = worker.assigned().await;
        assert_eq!(assign.job, again);
        for grant in assign.leases {
            let InputBlock::Packed(lengths) = grant.inputs else { panic!("other inputs") };
            for (index, length) in (grant.first..).zip(lengths) {
                given.push((index, payload.split_to(length as usize)));
            }
        }
    }
    given.sort();
    let expected = [(0, "a"), (1, "bb"), (2, "ccc")];
    assert_eq!(given, expected.map(|(index, input)| (index, input.into())));
    server.shutdown().await.expect("in order");
}
