//! Promises about results: tasks that are assigned end, and how they did is not lost.

use std::collections::BTreeMap;

use wasmgrid_proto::{ByteCount, Grant, Outcome, TaskSpec, frame::encode_one, wire::FromWorker};

use crate::scheduler::{Scheduler, quick, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_assigned_runs_and_its_results_are_sent() {
    let (mut scheduler, worker) = Scheduler::with_worker(2).await;
    let module = quick();
    scheduler.assign(1, 1, &spec(&module), 100, 50).await;
    scheduler.serve_module(&module).await;
    let gathered = scheduler.gather(50).await;
    assert!(gathered.outcomes.keys().copied().eq(100..150), "{gathered:?}");
    assert!(gathered.outcomes.values().all(|outcome| *outcome == Outcome::Ok), "{gathered:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_sent_again_under_its_number_until_it_is_committed() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let module = quick();
    scheduler.assign(1, 7, &spec(&module), 0, 1).await;
    scheduler.serve_module(&module).await;
    let FromWorker::Results(sent) = scheduler.hear().await.message else { panic!("no result") };
    let held = scheduler.relink().await.held;
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].lease, held[0].tasks[0].first), (sent.blocks[0].lease, 0));
    let FromWorker::Results(again) = scheduler.hear().await.message else { panic!("no result") };
    assert_eq!(again, sent);
    scheduler.commit(&[again.batch]).await;
    // What the worker says next it says after it has heard the commit.
    scheduler.assign(1, 8, &spec(&module), 1, 1).await;
    let FromWorker::Results(other) = scheduler.hear().await.message else { panic!("no result") };
    assert!(other.batch > sent.batch);
    let held = scheduler.relink().await.held;
    assert_eq!(held.iter().map(|lease| lease.lease.0).collect::<Vec<_>>(), [8]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_may_keep_no_more_starts_nothing_and_loses_nothing() {
    let (mut scheduler, worker) = Scheduler::with_kept(1, ByteCount(1)).await;
    let module = quick();
    scheduler.assign(1, 7, &spec(&module), 0, 20).await;
    scheduler.serve_module(&module).await;
    let (mut batch_of, mut links) = (BTreeMap::new(), 0);
    while batch_of.len() < 20 {
        scheduler.hear().await;
        // The scheduler dies with what it was sent, and comes back.
        let held = scheduler.relink().await.held;
        links += 1;
        let tasks: u64 = held.iter().flat_map(|lease| &lease.tasks).map(|part| part.count).sum();
        assert!(tasks >= 20 - batch_of.len() as u64, "what is not acknowledged is there: {held:?}");
        let FromWorker::Results(sent) = scheduler.hear().await.message else { panic!("no result") };
        for meta in sent.blocks.iter().flat_map(|block| &block.results) {
            // The same batch may come once more, where its commit was not heard.
            assert_eq!(*batch_of.entry(meta.index).or_insert(sent.batch), sent.batch);
        }
        scheduler.commit(&[sent.batch]).await;
    }
    assert!(batch_of.into_keys().eq(0..20));
    assert!(links > 2, "it starts no more than it may keep: {links}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_are_all_refused_for_what_their_job_says_end_on_one_link() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let (host, guest) = (format!("/{}", "a".repeat(4_000)), "/g".into());
    let refused = TaskSpec { grants: vec![Grant::Dir { host, guest }], ..spec(&quick()) };
    scheduler.assign(1, 1, &refused, 0, 2_000).await;
    let mut ended = 0;
    while ended < 2_000 {
        let envelope = scheduler.hear().await;
        encode_one(&envelope).expect("a message that can be sent");
        let FromWorker::Results(results) = envelope.message else { panic!("{envelope:?}") };
        for meta in results.blocks.iter().flat_map(|block| &block.results) {
            let Outcome::Refused(why) = &meta.outcome else { panic!("{meta:?}") };
            assert!(why.contains("dir:/aaa") && why.contains("(cut)"), "{why}");
            ended += 1;
        }
        scheduler.commit(&[results.batch]).await;
    }
    worker.stop().await;
}
