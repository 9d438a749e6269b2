//! What a scheduler counts, as operators are told it, and what tenants are told they have used.

use std::time::Duration;

use wasmgrid_proto::{
    Cost, EndedTasks, InputBlock, Metrics, TenantUsage, Usage, UsageTotal,
    wire::{ApiError, ErrorCode, Reply, Request, Role},
};
use wasmgrid_store::memory;

use crate::harness::*;

fn metrics(reply: Result<Reply, ApiError>) -> Metrics {
    match reply {
        Ok(Reply::Metrics(metrics)) => *metrics,
        other => panic!("no metrics: {other:?}"),
    }
}

async fn usage(client: &mut Client) -> Vec<TenantUsage> {
    match client.request(Request::Usage { after: None }, &[]).await {
        Ok(Reply::Usage { tenants, more: 0 }) => tenants,
        other => panic!("no usage: {other:?}"),
    }
}

#[tokio::test]
async fn what_the_scheduler_counts_is_told_to_operators_alone() {
    let server = start_fresh();
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    let refused = ann.request(Request::Metrics, &[]).await.expect_err("no operator");
    assert_eq!(refused.code, ErrorCode::Forbidden);
    ann.put(MODULE).await.expect("kept");
    let mut worker = join(&server.handle(), "w").await;
    let submitted = submit(numbers(3), Some(watch(1, PLENTY)));
    ann.request(submitted, &[]).await.expect("taken");
    worker.work(3, b"out").await;
    ann.watched(1).await;
    let mut operator = client_link(&server.handle(), Role::Operator, "op");
    let asked = tokio::time::timeout(Duration::from_secs(10), async {
        operator.request(Request::Metrics, &[]).await
    });
    let told = metrics(asked.await.expect("answered at once"));
    assert_eq!(told.usage.ended, EndedTasks { ok: 3, ..EndedTasks::default() });
    assert_eq!((told.attempts.given, told.leases.held), (3, 0));
    assert_eq!((told.jobs.submitted, told.jobs.ok, told.jobs.active), (1, 1, 0));
    assert_eq!(told.workers.ready, 1);
    assert_eq!((told.server.worker_links, told.server.client_links), (1, 2));
    assert_eq!(told.server.requests_refused, 1);
    assert!(told.server.requests >= 3, "{told:?}");
    assert_eq!(told.server.task_us.total(), 3);
    assert!(told.server.commits > 0 && told.store.journal_bytes > 0, "{told:?}");
    assert_eq!(told.server.commit_us.total(), told.server.commits);
    assert!(told.server.committed_items >= told.server.commits, "{told:?}");
    server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_tenant_sees_what_it_has_used_and_operators_see_all() {
    let store = memory();
    let server = start(store.reopen());
    let mut ann = client_link(&server.handle(), Role::Client, "ann");
    ann.put(MODULE).await.expect("kept");
    let submitted = submit(InputBlock::Packed(vec![2, 3]), Some(watch(1, PLENTY)));
    ann.request(submitted, b"ababc").await.expect("taken");
    let mut worker = join(&server.handle(), "w").await;
    let (assign, _) = worker.assigned().await;
    let took = Usage { fuel: 700, memory_bytes: 1 << 20, wall_us: 40 };
    worker.finish_with(1, &assign, b"out", took).await;
    ann.watched(1).await;
    let expected = TenantUsage {
        name: "ann".into(),
        usage: UsageTotal {
            ended: EndedTasks { ok: 2, ..EndedTasks::default() },
            cost: Cost { fuel: 1_400, wall_us: 80, bytes: 6 },
            input_bytes: 5,
        },
        extensions: Default::default(),
    };
    assert_eq!(usage(&mut ann).await, std::slice::from_ref(&expected));
    let mut bob = client_link(&server.handle(), Role::Client, "bob");
    let nothing = usage(&mut bob).await;
    assert!(nothing.iter().all(|of| of.name == "bob" && of.usage == UsageTotal::default()));
    server.shutdown().await.expect("in order");

    let server = start(store);
    let mut operator = client_link(&server.handle(), Role::Operator, "op");
    assert_eq!(usage(&mut operator).await, [expected]);
    let after = Request::Usage { after: Some("ann".into()) };
    let rest = operator.request(after, &[]).await;
    assert_eq!(rest, Ok(Reply::Usage { tenants: Vec::new(), more: 0 }));
    server.shutdown().await.expect("in order");
}
