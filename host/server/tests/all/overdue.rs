//! A worker that takes tasks, lives and ends none, by its link: what it is told, and who runs them.

use wasmgrid_core::GridConfig;
use wasmgrid_proto::{
    ByteCount, Millis,
    wire::{FromWorker, Request, Returned, Role, Submit, ToWorker},
};
use wasmgrid_server::{Server, ServerConfig};
use wasmgrid_store::memory;

use crate::harness::*;

#[tokio::test]
async fn a_worker_that_ends_nothing_is_asked_then_told_and_others_run_its_tasks() {
    let grid = GridConfig { lease_margin: Millis(20), ..GridConfig::default() };
    let config = ServerConfig { grid, ..ServerConfig::new("test") };
    let server = Server::start(config, Box::new(memory()), admission()).expect("starts");
    let handle = server.handle();
    let mut hoarder = join(&handle, "hoarder").await;
    let mut client = client_link(&handle, Role::Client, "ada");
    client.put(MODULE).await.expect("it is taken");
    let mut spec = spec();
    spec.task.limits.deadline = Millis(20);
    (spec.task.limits.output, spec.task.limits.log) = (ByteCount(0), ByteCount(0));
    let inputs = numbers(2);
    let watch = Some(watch(1, PLENTY));
    let submit = Submit { spec, idempotency_key: None, inputs, closed: true, watch };
    let job = status(client.request(Request::Submit(submit), &[]).await).job;
    let (assign, _) = hoarder.assigned().await;
    let mut helper = join(&handle, "helper").await;

    let lease = assign.leases[0].lease;
    let asked = hoarder.next(|envelope| match &envelope.message {
        ToWorker::Revoke(revoke) if revoke.lease == lease => Some(revoke.clone()),
        _ => None,
    });
    let asked = asked.await;
    assert_eq!(asked.job, job);
    // All has begun, it says.
    let (tasks, reason) = (Vec::new(), "begun".into());
    hoarder.send(FromWorker::Returned(Returned { job, lease, tasks, reason })).await;
    let told = hoarder.next(|envelope| match &envelope.message {
        ToWorker::Overrun(overrun) if overrun.lease == lease => Some(overrun.clone()),
        _ => None,
    });
    let told = told.await;
    assert!(told.reason.contains("20ms"), "{told:?}");
    helper.work(2, b"done").await;
    let (results, _) = client.watched(1).await;
    assert_eq!(results.len(), 2);
    hoarder.finish(7, &assign, b"late").await;
    assert_eq!(hoarder.committed().await, [7], "it need not keep what came too late");
    assert_eq!(client.job(job).await.counts.ok, 2);
    server.shutdown().await.expect("in order");
}
