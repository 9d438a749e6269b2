//! What must be true of a world whose faults are over and whose jobs have ended.

use std::collections::{BTreeMap, BTreeSet};

use wasmgrid_client::{Client, JobEvent};
use wasmgrid_proto::{
    JobFilter, JobId, JobState, JobStatus, OutcomeClass, Record, durable, wire::More,
};
use wasmgrid_store::Store as _;

use crate::{
    customer::{Customer, Found, Order},
    machines::Disk,
    world::{World, scheduler_addresses},
};

/// Asks the scheduler as an operator does: each job has ended as its known answer says, once, and
/// nothing of it is anywhere any more. How many tasks there were.
pub async fn ends(world: &World, customers: &[Customer]) -> u64 {
    let (host, endpoint) = world.boot_member("inspector");
    let client = Client::connect(move || {
        let endpoint = endpoint.clone();
        async move { endpoint.connect_client(&scheduler_addresses()).await }
    });
    let client = client.await.expect("the scheduler is there");
    let orders: Vec<&Order> = customers.iter().flat_map(|customer| &customer.orders).collect();
    let (jobs, more) = client.jobs(1_000, &JobFilter::default()).await.expect("told");
    assert_eq!(
        (jobs.len(), more),
        (orders.len(), More::Exactly(0)),
        "jobs were doubled or lost: {jobs:#?}"
    );
    for order in &orders {
        let id = order.id.expect("submitted");
        let (status, results) = log(&client, id).await;
        assert_eq!(results, order.results, "job {id}: its client read something else");
        told(world, order, &status, &results);
    }
    for worker in client.workers().await.expect("told") {
        assert_eq!(worker.assigned, 0, "nothing is left to do: {worker:?}");
    }
    client.shutdown().await;
    host.kill();
    assert_eq!(world.network.tally().overflowed, 0, "a socket was not read");
    orders.iter().map(|order| order.job.tasks()).sum()
}

/// The whole result log of a job.
async fn log(client: &Client, id: JobId) -> (JobStatus, Vec<Found>) {
    let (_, mut stream) = client.watch(id, 0).await.expect("it is there");
    let mut results = Vec::new();
    loop {
        match stream.next().await.expect("an end").expect("the link holds") {
            JobEvent::Results { first_cursor, block, payload } => {
                assert_eq!(first_cursor, results.len() as u64, "job {id}");
                for (meta, output) in block.entries(&payload).expect("as long as it says") {
                    let (index, outcome) = (meta.index, meta.outcome.clone());
                    results.push(Found { index, outcome, output });
                }
            }
            JobEvent::Update(_) => {}
            JobEvent::Ended(status) => return (status, results),
        }
    }
}

/// One job as it ended.
fn told(world: &World, order: &Order, status: &JobStatus, results: &[Found]) {
    let Order { job, cancelled_at, .. } = order;
    let counts = status.counts;
    let what = format!("job {} ({:?}, tag {}): {status:?}", status.job, job.size, job.tag);
    let mut open: BTreeMap<u64, _> = (0..).zip(job.inputs()).collect();
    for Found { index, outcome, output } in results {
        let input = open.remove(index);
        let input = input.unwrap_or_else(|| panic!("{what}: task {index} ended twice"));
        let answer = world.truth.answer(job, *index, input);
        assert_eq!((outcome, output), (&answer.outcome, &answer.output), "{what}: task {index}");
        if world.has_restarts_only() {
            let (begun, needed) = world.truth.begun(job, *index, input);
            // A task that ended well at once. Where its first attempt failed, the next may have
            // been given out before the failure was durable, and is then given out anew.
            assert!(needed > 1 || begun == 1, "{what}: task {index} was run {begun} times");
        }
    }
    assert_eq!(status.results, results.len() as u64, "{what}");
    assert_eq!((counts.queued, counts.running), (0, 0), "{what}");
    assert_eq!(counts.ended(), counts.total, "{what}: the parts are not the sum");
    assert_eq!(counts.ok + counts.failed, status.results, "{what}");
    if status.state == JobState::Cancelled {
        assert!(job.cancel_after.is_some(), "{what}: nobody cancelled it");
        assert_eq!(counts.cancelled, counts.total - status.results, "{what}");
    } else {
        assert_eq!(counts.total, job.tasks(), "{what}: inputs were lost");
        assert!(open.is_empty(), "{what}: tasks {:?} have no result", open.keys());
        let failed = counts.failed > 0;
        let expected = if failed { JobState::Failed } else { JobState::Ok };
        assert_eq!(status.state, expected, "{what}");
    }
    if let Some(at) = cancelled_at {
        assert_eq!(status.results, *at, "{what}: results were committed after the cancel");
    }
}

/// Reads the journal: each task has one record of its end, and each job one of its own.
pub fn journal(disk: &Disk, customers: &[Customer]) {
    let (mut ended, mut jobs) = (BTreeMap::<(JobId, u64), OutcomeClass>::new(), BTreeSet::new());
    let mut end = |job: JobId, index: u64, class: OutcomeClass| {
        let before = ended.insert((job, index), class);
        assert_eq!(before, None, "task {job}/{index} ended a second time, as {class:?}");
    };
    let replayed = disk.open().replay(&mut |seq, bytes| {
        match durable::decode::<Record>(bytes).unwrap_or_else(|error| panic!("{seq}: {error}")) {
            Record::Committed { job, runs, .. } => {
                for run in runs {
                    (run.tasks.first..run.tasks.end()).for_each(|at| end(job, at, run.class));
                }
            }
            Record::Ended { job, tasks, class } => {
                for range in tasks {
                    (range.first..range.end()).for_each(|at| end(job, at, class));
                }
            }
            Record::JobEnded { job, .. } => assert!(jobs.insert(job), "job {job} ended twice"),
            _ => {}
        }
        Ok(())
    });
    replayed.expect("it can be read");
    let orders = customers.iter().flat_map(|customer| &customer.orders);
    let submitted: BTreeSet<JobId> = orders.filter_map(|order| order.id).collect();
    let snapshot = disk.open().reader().and_then(|mut reader| reader.snapshot());
    if snapshot.expect("it can be read").is_some() {
        // The records of the jobs that ended first are in it; that they did, their customers saw.
        assert!(jobs.is_subset(&submitted), "jobs that ended, and jobs that were submitted");
    } else {
        assert_eq!(jobs, submitted, "jobs that ended, and jobs that were submitted");
    }
}
