//! Promises about modules: each is asked for once, and one that cannot run ends its tasks.

use wasmgrid_proto::{Digest, JobId, Outcome, wire::FromWorker};

use crate::scheduler::{Scheduler, quick, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_is_asked_for_once_however_many_want_it() {
    let (mut scheduler, worker) = Scheduler::with_worker(2).await;
    let module = quick();
    for job in [1, 2] {
        for lease in [1, 2] {
            let first = job * 100 + lease * 10;
            scheduler.assign(job, job * 10 + lease, &spec(&module), first, 2).await;
        }
    }
    scheduler.serve_module(&module).await;
    let gathered = scheduler.gather(8).await;
    assert_eq!((gathered.outcomes.len(), gathered.modules_asked), (8, 0), "{gathered:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_is_asked_for_again_on_a_new_link() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let module = quick();
    scheduler.assign(1, 1, &spec(&module), 0, 1).await;
    let FromWorker::NeedModule(need) = scheduler.hear().await.message else { panic!("no wish") };
    assert_eq!(need.digest, Digest::of(&module));
    assert_eq!(scheduler.relink().await.held.len(), 1);
    scheduler.serve_module(&module).await;
    assert_eq!(scheduler.gather(1).await.outcomes[&0], Outcome::Ok);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_module_ends_its_tasks_as_refused_now_and_later() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let module = b"this is no module".to_vec();
    scheduler.assign(1, 1, &spec(&module), 0, 3).await;
    scheduler.serve_module(&module).await;
    let first = scheduler.gather(3).await;
    scheduler.assign(1, 2, &spec(&module), 3, 1).await;
    let second = scheduler.gather(1).await;
    let mut outcomes = first.outcomes.values().chain(second.outcomes.values());
    assert!(outcomes.all(|outcome| matches!(outcome, Outcome::Refused(_))), "{first:?} {second:?}");
    assert_eq!(second.modules_asked, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_arrives_damaged_is_given_back_and_asked_for_again() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let module = quick();
    scheduler.assign(1, 1, &spec(&module), 0, 1).await;
    let FromWorker::NeedModule(need) = scheduler.hear().await.message else { panic!("no wish") };
    scheduler.send_damaged(need.digest).await;
    // It comes while the damaged one is looked at, or right behind that.
    scheduler.assign(2, 2, &spec(&module), 7, 1).await;
    let (mut returned, mut asked) = (None, false);
    while returned.is_none() || !asked {
        match scheduler.hear().await.message {
            FromWorker::Returned(given) => returned = Some(given),
            FromWorker::NeedModule(again) => asked = again.digest == need.digest,
            other => panic!("{other:?}"),
        }
    }
    let returned = returned.expect("given back");
    assert_eq!((returned.job.0, returned.tasks.len()), (1, 1), "it is no fault of the task");
    assert!(!returned.reason.is_empty());
    scheduler.send_module(&module).await;
    assert_eq!(scheduler.gather(1).await.outcomes[&7], Outcome::Ok);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_says_whose_tasks_wait_for_a_module_and_what_compiling_took() {
    let (mut scheduler, worker) = Scheduler::with_worker(1).await;
    let module = quick();
    let said = async |scheduler: &mut Scheduler| loop {
        if let FromWorker::Preparing(preparing) = scheduler.hear_any().await.message {
            return preparing;
        }
    };
    scheduler.assign(1, 1, &spec(&module), 0, 1).await;
    let waits = said(&mut scheduler).await;
    assert_eq!((waits.jobs, waits.compiled.len()), (vec![JobId(1)], 0));
    // Another job of the same module waits for the same.
    scheduler.assign(2, 2, &spec(&module), 7, 1).await;
    let mut waits = said(&mut scheduler).await;
    while waits.jobs.len() < 2 {
        waits = said(&mut scheduler).await;
    }
    scheduler.send_module(&module).await;
    let mut compiled = Vec::new();
    while !waits.jobs.is_empty() {
        waits = said(&mut scheduler).await;
        compiled.append(&mut waits.compiled);
    }
    assert_eq!(compiled.len(), 1, "it is compiled once: {compiled:?}");
    assert!(compiled[0].took_us > 0);
    // What is at hand is waited for by nobody.
    scheduler.assign(3, 3, &spec(&module), 9, 1).await;
    loop {
        match scheduler.hear_any().await.message {
            FromWorker::Preparing(preparing) => panic!("{preparing:?}"),
            FromWorker::Results(results) if results.blocks.iter().any(|at| at.job == JobId(3)) => {
                break;
            }
            _ => {}
        }
    }
    worker.stop().await;
}
