//! Promises about leaving in order.

use wasmgrid_proto::wire::FromWorker;
use wasmgrid_worker::LinkState;

use crate::scheduler::{Scheduler, endless, spec, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_leaves_gives_back_what_has_not_begun_and_waits_for_its_commits() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let module = endless();
    scheduler.assign(1, 1, &spec(&module), 0, 4).await;
    scheduler.serve_module(&module).await;
    assert_eq!(scheduler.running(1).await, [0]);
    let status = worker.status();
    let leaving = tokio::spawn(worker.drain_and_stop());
    let said = scheduler.hear().await.message;
    assert!(matches!(said, FromWorker::Leaving(_)), "it says so first: {said:?}");
    assert_eq!(scheduler.gather(3).await.returned, [1, 2, 3]);
    // What comes now was on its way.
    scheduler.assign(1, 2, &spec(&module), 4, 1).await;
    assert_eq!(scheduler.gather(1).await.returned, [4]);
    scheduler.cancel(1).await;
    let last = scheduler.gather(1).await;
    assert!(last.outcomes.contains_key(&0), "{last:?}");
    assert!(!leaving.is_finished(), "its result is not committed");
    scheduler.commit(&last.batches).await;
    within(leaving).await.unwrap();
    assert_eq!(*status.borrow(), LinkState::Ended);
}
