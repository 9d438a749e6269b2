//! What must be true of a world whose faults are over and whose jobs have ended.

use std::collections::{BTreeMap, BTreeSet};

use wasmgrid_client::{Client, JobEvent};
use wasmgrid_proto::{
    JobFilter, JobId, JobItem, JobState, JobStatus, OutcomeClass, Record, SnapshotItem, durable,
    wire::More,
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

/// Reads the journal, and the snapshot of what is no longer in it: each task has one end, and each job
/// one of its own.
pub fn journal(disk: &Disk, customers: &[Customer]) {
    let (mut ended, mut jobs) = (BTreeSet::<(JobId, u64)>::new(), BTreeSet::new());
    let mut ends = BTreeMap::<JobId, u64>::new();
    for item in compacted(disk) {
        assert!(
            !item.state.is_terminal() || jobs.insert(item.job),
            "job {} is there twice",
            item.job
        );
        ends.insert(item.job, item.counts.ended());
    }
    let mut end = |job: JobId, index: u64, class: OutcomeClass| {
        assert!(ended.insert((job, index)), "task {job}/{index} ended a second time, as {class:?}");
        *ends.entry(job).or_default() += 1;
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
    let orders = || customers.iter().flat_map(|customer| &customer.orders);
    let submitted: BTreeSet<JobId> = orders().filter_map(|order| order.id).collect();
    assert_eq!(jobs, submitted, "jobs that ended, and jobs that were submitted");
    // A task that ended before a snapshot and again behind it shows in the sum.
    for Order { id, job, .. } in orders() {
        let ends = id.and_then(|id| ends.get(&id)).copied().unwrap_or_default();
        let all = if job.cancel_after.is_some() { ends.min(job.tasks()) } else { job.tasks() };
        assert_eq!(ends, all, "tasks of job {id:?} that ended, and that it has");
    }
}

/// The jobs that the snapshot has, if the journal was ever compacted.
fn compacted(disk: &Disk) -> Vec<JobItem> {
    let snapshot = disk.open().reader().and_then(|mut reader| reader.snapshot());
    let parts = snapshot.expect("it can be read").map(|snapshot| snapshot.parts);
    let mut jobs = Vec::new();
    for part in parts.unwrap_or_default() {
        let mut rest: &[u8] = &part;
        while !rest.is_empty() {
            let (item, tail) = durable::take(rest).expect("an item of a snapshot");
            if let SnapshotItem::Job(job) = item {
                jobs.push(job);
            }
            rest = tail;
        }
    }
    jobs
}
