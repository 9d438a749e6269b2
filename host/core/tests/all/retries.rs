//! Promises about attempts: what is run again, how often, and what is committed once.

use wasmgrid_core::{GridConfig, Input, Output};
use wasmgrid_proto::{
    Cost, Digest, Grant, JobSpec, JobState, Millis, OutcomeClass, Record, RetryCounter, TaskState,
    Witness,
};

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
    assert_eq!(status.counts.retried, 4);
    world.check_replay();
}

#[test]
fn a_task_that_ends_as_lost_has_a_result_with_every_attempt_in_it() {
    let mut world = World::new();
    let job = world.submit(spec(), 1);
    for loss in 1..=5 {
        let worker = world.join(&format!("host-{loss}"), 1);
        world.kill(worker);
    }
    let lost: Vec<_> = world
        .lost_outputs()
        .filter_map(|output| match output {
            Output::PersistLost { lost, .. } => Some(lost.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].index, lost[0].attempt), (0, 5));
    assert!(lost[0].reason.starts_with("its host was lost 5 times\n"), "{}", lost[0].reason);
    for loss in 1..=5 {
        let line = format!("\nattempt {loss} (host lost) on host-{loss}, 1970-01-01T00:00:");
        assert!(lost[0].reason.contains(&line), "{}", lost[0].reason);
    }
    assert_eq!(world.job(job).results, 1);
    world.restart();
    let task = world.grid.task(job, 0).expect("it is known");
    assert_eq!((task.state, task.attempts.len()), (TaskState::Ended, 5));
    assert!(task.attempts.iter().all(|attempt| attempt.reason.contains("did not come back")));
}

#[test]
fn what_its_runners_did_to_a_task_is_in_its_result_too() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(spec(), 1);
    for _ in 0..5 {
        world.end_all(worker, OutcomeClass::Lost, 10);
    }
    let explained = world.lost_outputs().find_map(|output| match output {
        Output::Explain { reason, position: 0, block: 0, .. } => Some(reason.clone()),
        _ => None,
    });
    let explained = explained.expect("the result is explained");
    let lines: Vec<&str> = explained.lines().collect();
    assert_eq!(lines.len(), 6, "{explained}");
    assert!(lines[5].starts_with("attempt 5 (host lost) on a, "), "{explained}");
    assert!(lines[5].ends_with(": because"), "{explained}");
    assert_eq!(world.grid.task(job, 0).expect("known").attempts.len(), 5);
}

#[test]
fn what_is_remembered_of_attempts_is_bounded() {
    let mut world = World::new();
    let worker = world.join("a", 1);
    let job = world.submit(JobSpec { retries: 40, ..spec() }, 1);
    for _ in 0..40 {
        world.end_all(worker, OutcomeClass::Retry, 10);
    }
    let task = world.grid.task(job, 0).expect("known");
    assert_eq!((task.state, task.attempt, task.worker.as_str()), (TaskState::Running, 41, "a"));
    assert_eq!((task.attempts.len(), task.attempts_dropped), (16, 24));
    assert_eq!(task.attempts.last().map(|attempt| attempt.attempt), Some(40));
    world.end_all(worker, OutcomeClass::Ok, 10);
    assert_eq!(world.grid.task(job, 0).expect("known").attempts, [], "they are of no more use");
    world.check_replay();
}

#[test]
fn with_a_deadline_what_no_worker_can_run_is_tried_until_then() {
    let mut world = World::with(GridConfig { infra_retry_limit: 3, ..GridConfig::default() });
    let worker = world.join("a", 1);
    let job = world.submit(JobSpec { deadline: Some(Millis(600_000)), ..spec() }, 1);
    let mut tries = 0;
    while world.state(job) == JobState::Active {
        if let Some(hand) = world.hands(worker).first().copied() {
            tries += 1;
            world.hands.clear();
            world.returned(worker, job, hand.lease, vec![hand.tasks]);
        }
        world.pass(1_000);
        world.beat(worker);
    }
    assert!(tries > 20, "{tries}");
    let status = world.job(job);
    assert_eq!((status.state, status.counts.expired), (JobState::Expired, 1));
}

#[test]
fn a_late_result_of_a_pure_task_is_told_of_and_of_another_is_not() {
    for (grants, told) in [(Vec::new(), true), (vec![Grant::Clock], false)] {
        let mut world = World::new();
        let worker = world.join("a", 1);
        let mut spec = spec();
        spec.task.grants = grants;
        world.submit(spec, 1);
        let hand = world.hands(worker)[0];
        world.end(worker, hand, OutcomeClass::Ok, 10);
        world.send(worker, hand, OutcomeClass::Ok, 10);
        let late = world.last.iter().any(
            |output| matches!(output, Output::Late { block: 0, positions, .. } if positions == &[0]),
        );
        assert_eq!(late, told);
    }
}

#[test]
fn a_divergence_is_durable_counted_once_and_bounded() {
    let mut world = World::new();
    let (one, other) = (world.join("a", 1), world.join("b", 1));
    let job = world.submit(spec(), 30);
    world.run(10);
    let witness =
        |worker, text: &str| Witness { worker, attempt: 1, digest: Digest::of(text.as_bytes()) };
    let committed = witness(one, "right");
    let late = witness(other, "wrong");
    for _ in 0..2 {
        world.drive(Input::Diverged { job, index: 3, committed, late });
    }
    let found = world.grid.divergences(job).expect("known");
    assert_eq!((found.count, found.list.len()), (1, 1));
    assert_eq!((found.list[0].index, found.list[0].late), (3, late));
    assert_eq!(found.workers, [(one, "a".into()), (other, "b".into())]);
    for index in 4..30 {
        world.drive(Input::Diverged { job, index, committed, late });
    }
    let found = world.grid.divergences(job).expect("known");
    assert_eq!((found.count, found.list.len()), (27, 16));
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
        world.drive(Input::Returned {
            worker,
            job,
            lease: first.lease,
            tasks: back,
            reason: "no".into(),
        });
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
        world.drive(Input::Returned { worker, job, lease, tasks, reason: "no".into() });
        assert_eq!(world.load(worker), 0);
        let before = world.now;
        while world.load(worker) == 0 {
            world.pass(50);
            world.beat(worker);
        }
        pauses.push(world.now.since(before).0);
    }
    assert_eq!(pauses, [100, 200, 400]);
    let infra = |record: &&Record| {
        matches!(record, Record::AttemptsFailed { counter: RetryCounter::Infra, .. })
    };
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
        world.drive(Input::Returned { worker, job, lease, tasks, reason: "no".into() });
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
    let result = |index, class| {
        let cost = Cost { fuel: 1_u64 << index, wall_us: 8, bytes: 100 + index };
        wasmgrid_core::Completion { index, class, reason: None, cost }
    };
    let block = wasmgrid_core::CompletedBlock {
        job: hand.job,
        lease: hand.lease,
        attempt: 1,
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
    let kept = Cost { fuel: (1 << 2) + (1 << 3), wall_us: 16, bytes: 205 };
    assert_eq!(world.grid.tenant_usage("default").usage.cost, kept, "of what was kept alone");
}
