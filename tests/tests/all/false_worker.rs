//! A worker that is not to be trusted, by the real protocol over QUIC: it says what it likes of
//! itself and of what it holds. What the grid believes of that.

use serde_json::Value;
use wasmgrid_proto::{
    Extensions, JobId, LeaseId, Outcome, ResultBlock, ResultMeta, TaskRange, Usage, WorkerCapacity,
    WorkerId,
    wire::{FromWorker, HeldLease, ToWorker, WorkerResults},
};
use wasmgrid_tests::{Daemon, Grid, Home, guest, liar::LyingWorker};

/// Bits of a lease's number below its term.
const LEASE_COUNT_BITS: u32 = 40;

/// Joins with these labels of its own, and says that it holds this.
fn join(worker: &mut LyingWorker, labels: &[(&str, &str)], held: Vec<HeldLease>) {
    let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let labels = labels.iter().map(label).collect();
    worker.join_again(WorkerCapacity { labels, ..LyingWorker::capacity(2) }, held);
    worker.hear("that it joined", |envelope| {
        matches!(envelope.message, ToWorker::Joined(_)).then_some(())
    });
}

/// Sends results of its own making, and waits until the scheduler has dealt with them.
fn forge(worker: &mut LyingWorker, held: &HeldLease) {
    let result = |index| ResultMeta {
        index,
        outcome: Outcome::Rejected("stolen".into()),
        usage: Usage::default(),
        output_len: 0,
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    };
    let HeldLease { job, lease, attempt, .. } = *held;
    let indices = held.tasks.iter().flat_map(|tasks| tasks.first..tasks.end());
    let results = indices.map(result).collect();
    let extensions = Extensions::NONE;
    let block = ResultBlock { job, lease, worker: WorkerId(0), attempt, results, extensions };
    worker.say(FromWorker::Results(WorkerResults { batch: 1, blocks: vec![block.into()] }));
    worker.acknowledged(1);
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_worker_commits_nothing_under_a_lease_that_it_never_had_after_a_restart() {
    let mut grid = Grid::start(0, 1);
    grid.home.write("in", "a\nb\n");
    let submit = |requires: &[&str]| {
        let echo = guest("echo");
        let args = [&["submit", &echo, "--lines", "in"], requires].concat();
        grid.run(&args).ok().trim().to_owned()
    };
    let jobs = [submit(&[]), submit(&["--require", "zone=secure"])];
    let mut thief = LyingWorker::link(grid.token(), "thief");
    grid.kill_scheduler();
    grid.restart_scheduler();
    for job in &jobs {
        let held = HeldLease {
            job: JobId(job.parse().expect("a number")),
            lease: LeaseId((1 << LEASE_COUNT_BITS) + 500),
            attempt: 1,
            tasks: vec![TaskRange { first: 0, count: 2 }],
        };
        join(&mut thief, &[], vec![held.clone()]);
        forge(&mut thief, &held);
    }
    // What it was given meanwhile is nobody's again.
    drop(thief);
    for job in &jobs {
        let shown = grid.job(job);
        assert_eq!((&shown["state"], &shown["results"]), (&"active".into(), &0.into()), "{shown}");
    }
    grid.add_worker(2);
    let results = grid.run(&["job", "results", &jobs[0], "--follow"]);
    assert_eq!(results.ok(), "a\nb\n", "they are run as if nothing had been said");
}

#[test]
fn a_label_that_tokens_vouch_for_counts_from_certificates_alone() {
    let grid = Grid::start(0, 1);
    let token = |labels: &[&str]| {
        let args = [&["token", "create", "--output", "json"], labels].concat();
        parsed(grid.run(&args).ok())["token"].as_str().expect("a token").to_owned()
    };
    let made = token(&["--label", "zone=secure", "--label", "rack=4"]);
    let mut claimant = LyingWorker::link(&token(&[]), "claimant");
    join(&mut claimant, &[("gpu", "1"), ("zone", "secure")], Vec::new());

    let machine = Home::new();
    let contrary = ["join", &made, "--name", "secure", "--label", "zone=other", "--slots", "1"];
    let mut refused = Daemon::start(machine.command(contrary));
    refused.wait();
    let said = refused.said();
    assert!(said.contains("certificate") && said.contains("--label zone="), "{said}");
    let mut honest = Daemon::start(machine.command(["worker", "--slots", "1"]));
    grid.wait_for_worker("secure", "ready");

    grid.home.write("in", "right\n");
    let submit = ["submit", &guest("echo"), "--lines", "in", "--require", "zone=secure"];
    let job = grid.run(&submit).ok().trim().to_owned();
    let results = grid.run(&["job", "results", &job, "--follow", "--output", "json"]);
    let result = parsed(results.ok());
    let worker = |name: &str| parsed(grid.run(&["worker", "show", name, "--output", "json"]).ok());
    let (secure, claimed) = (worker("secure"), worker("claimant"));
    assert_eq!(result["worker"], secure["id"], "{result}");
    assert_eq!(secure["vouched"], serde_json::json!(["rack=4", "zone=secure"]), "{secure}");
    assert_eq!(claimed["labels"], serde_json::json!(["gpu=1", "zone=secure"]), "{claimed}");
    assert_eq!(claimed["vouched"], serde_json::json!([]), "{claimed}");
    assert_eq!(claimed["not_counted"], serde_json::json!(["zone=secure"]), "{claimed}");
    let list = grid.run(&["worker", "list"]).ok().to_owned();
    assert!(list.contains("zone=secure (vouched)") && list.contains("(does not count)"), "{list}");
    honest.interrupt();
}
