//! Promises about attempts: what is run again, how often, and what is committed once.

use wasmgrid_core::{GridConfig, Input, Output};
use wasmgrid_proto::{JobSpec, JobState, OutcomeClass, Record, RetryCounter};

use crate::world::{World, spec};

#[test]
fn a_task_that_asks_for_it_is_run_again_as_often_as_the_job_says() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(JobSpec { retries: 2, ..spec() }, 1);
    for attempt in 1..=3 {
        let hand = world.hands(worker)[0];
        assert_eq!(hand.attempt, attempt);
        assert_eq!(world.state(job), JobState::Active);
        world.end(worker, hand, OutcomeClass::Retry, 10);
    }
    let status = world.job(job);
    assert_eq!((status.state, status.counts.failed), (JobState::Failed, 1));
    assert_eq!((status.counts.retried, status.results), (2, 1));
    world.check_replay();
}

#[test]
fn a_task_whose_hosts_die_ends_as_lost_at_the_limit() {
    let mut world = World::new();
    let job = world.submit(spec(), 1);
    for loss in 1..=5 {
        assert_eq!(world.state(job), JobState::Active);
        let worker = world.join(&format!("host-{loss}"), 1);
        assert_eq!(world.hands(worker)[0].attempt, loss);
        world.kill(worker);
    }
    let status = world.job(job);
    assert_eq!((status.state, status.counts.failed), (JobState::Failed, 1));
    world.check_replay();
}

#[test]
fn a_runner_that_dies_counts_as_a_lost_host() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 1);
    for _ in 0..5 {
        world.end_all(worker, OutcomeClass::Lost, 10);
    }
    let status = world.job(job);
    assert_eq!((status.state, status.counts.failed, status.results), (JobState::Failed, 1, 1));
}

#[test]
fn drains_and_graceful_stops_count_against_no_task() {
    let mut world = World::with(GridConfig { host_loss_limit: 1, ..GridConfig::default() });
    let job = world.submit(spec(), 4);
    for round in 0..10 {
        let worker = world.join(&format!("host-{round}"), 2);
        assert_eq!(world.load(worker), 4);
        world.drive(Input::WorkerLeaving { worker });
        let first = world.hands(worker)[0];
        let back = vec![first.tasks];
        world.drive(Input::Returned { worker, job, lease: first.lease, tasks: back });
        let link = world.links[&worker];
        world.drive(Input::WorkerLeft { worker, link, graceful: true });
        world.hands.clear();
    }
    let counts = world.job(job).counts;
    assert_eq!((counts.queued, counts.failed, counts.retried), (4, 0, 0));
}

#[test]
fn what_a_worker_cannot_run_waits_longer_each_time() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 1);
    let mut pauses = Vec::new();
    for attempt in 1..=3 {
        let hand = world.hands(worker)[0];
        assert_eq!(hand.attempt, attempt);
        world.hands.clear();
        let (lease, tasks) = (hand.lease, vec![hand.tasks]);
        world.drive(Input::Returned { worker, job, lease, tasks });
        assert_eq!(world.load(worker), 0);
        let before = world.now;
        while world.load(worker) == 0 {
            world.pass(50);
            world.beat(worker);
        }
        pauses.push(world.now.since(before).0);
    }
    assert_eq!(pauses, [100, 200, 400]);
    let infra =
        |record: &&Record| matches!(record, Record::Retried { counter: RetryCounter::Infra, .. });
    assert_eq!(world.journal.iter().filter(infra).count(), 3);
}

#[test]
fn what_no_worker_can_run_ends_as_lost() {
    let mut world = World::with(GridConfig { infra_retry_limit: 3, ..GridConfig::default() });
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 1);
    while world.state(job) == JobState::Active {
        let hand = world.hands(worker)[0];
        world.hands.clear();
        let (lease, tasks) = (hand.lease, vec![hand.tasks]);
        world.drive(Input::Returned { worker, job, lease, tasks });
        world.pass(1_000);
    }
    assert_eq!(world.job(job).counts.failed, 1);
}

#[test]
fn a_suspect_runs_alone_on_a_worker() {
    let mut world = World::new();
    let job = world.submit(spec(), 2);
    for round in 0..2 {
        let worker = world.join(&format!("victim-{round}"), 2);
        assert_eq!(world.load(worker), 2);
        world.kill(worker);
    }
    let crowd = world.submit(spec(), 50);
    let (one, two) = (world.join("a", 2), world.join("b", 2));
    for worker in [one, two] {
        assert_eq!((world.load(worker), world.indices(worker, job).len()), (1, 1));
    }
    world.end_all(one, OutcomeClass::Ok, 10);
    assert!(!world.indices(one, crowd).is_empty(), "then it takes others again");
    assert!(world.indices(two, crowd).is_empty());
    world.run(10);
    assert_eq!((world.state(job), world.state(crowd)), (JobState::Ok, JobState::Ok));
}

#[test]
fn a_suspect_gets_a_worker_also_where_all_are_busy() {
    let mut world = World::new();
    let job = world.submit(spec(), 1);
    for round in 0..2 {
        let worker = world.join(&format!("victim-{round}"), 1);
        // The tasks behind it keep the one worker busy when the suspect comes back.
        world.kill(worker);
    }
    let crowd = world.submit(spec(), 1_000);
    world.pass(1);
    let busy = world.join("busy", 2);
    assert_eq!(world.indices(busy, job), [0], "an idle worker takes it first");
    world.cut(busy);
    let other = world.join("other", 2);
    assert!(world.load(other) > 0);
    world.hands.remove(&busy);
    world.pass(world.config.rejoin_grace.0);
    let filled = world.load(other);
    let hands = world.hands(other);
    for hand in &hands[1..] {
        world.end(other, *hand, OutcomeClass::Ok, 1_000_000);
    }
    assert!(world.load(other) <= filled, "nothing new comes while the suspect waits");
    let mut steps = 0;
    while world.indices(other, job).is_empty() {
        let hand = world.hands(other)[0];
        world.end(other, hand, OutcomeClass::Ok, 1_000_000);
        steps += 1;
        assert!(steps < 20, "the worker is kept free for it");
    }
    assert_eq!(world.load(other), 1);
    world.run(10);
    assert_eq!((world.state(job), world.state(crowd)), (JobState::Ok, JobState::Ok));
}

#[test]
fn a_duplicate_is_acknowledged_discarded_and_counted() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 2);
    let hands = world.hands(worker);
    world.end(worker, hands[0], OutcomeClass::Ok, 10);
    world.send(worker, hands[0], OutcomeClass::Failed, 10);
    assert!(!world.last.iter().any(|output| output.record().is_some()));
    let counts = world.job(job).counts;
    assert_eq!((counts.failed, counts.discarded), (0, hands[0].tasks.count));
}

#[test]
fn only_the_newest_lease_commits() {
    let mut world = World::new();
    let old = world.join("old", 1);
    let job = world.submit(spec(), 1);
    let stale = world.hands(old)[0];
    world.kill(old);
    let new = world.join("new", 1);
    world.send(old, stale, OutcomeClass::Failed, 10);
    assert_eq!((world.state(job), world.job(job).counts.discarded), (JobState::Active, 1));
    // Nor does another worker commit with a lease that is not its own.
    let fresh = world.hands(new)[0];
    world.send(old, fresh, OutcomeClass::Failed, 10);
    assert_eq!(world.state(job), JobState::Active);
    world.end_all(new, OutcomeClass::Ok, 10);
    assert_eq!(world.state(job), JobState::Ok);
}

#[test]
fn of_a_block_only_the_positions_that_commit_are_kept() {
    let mut world = World::new();
    let worker = world.join("a", 2);
    world.submit(JobSpec { retries: 1, ..spec() }, 4);
    let hand = world.hands(worker)[0];
    assert_eq!(hand.tasks.count, 4);
    let result = |index, class| wasmgrid_core::Completion { index, class, reason: None };
    let block = wasmgrid_core::CompletedBlock {
        job: hand.job,
        lease: hand.lease,
        attempt: 1,
        wall_us: 40,
        results: vec![
            result(2, OutcomeClass::Ok),
            result(2, OutcomeClass::Ok),
            result(0, OutcomeClass::Retry),
            result(3, OutcomeClass::Ok),
            result(9, OutcomeClass::Ok),
        ],
    };
    world.send_blocks(worker, vec![block]);
    let keeps: Vec<_> = world
        .last
        .iter()
        .filter_map(|output| match output {
            Output::PersistResults { keep, .. } => Some(keep.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(keeps, [Some(vec![0, 3])]);
    assert_eq!(world.job(hand.job).counts.discarded, 2);
}
