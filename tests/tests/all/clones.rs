//! Two processes with the identity of one worker: a copied folder, disk or image; and a worker
//! that is started again before its end was seen, which is no such thing.

use std::fs;

use serde_json::{Value, json};
use walkdir::WalkDir;
use wasmgrid_tests::{Daemon, Grid, Home, guest, wait_until};

/// Another machine with a copy of a worker's folder.
fn copy_of(home: &Home) -> Home {
    let copy = Home::new();
    for entry in WalkDir::new(home.path()).into_iter().map(|entry| entry.expect("readable")) {
        let place = entry.path().strip_prefix(home.path()).expect("inside it");
        let target = copy.path().join(place);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).expect("a folder");
        } else {
            fs::copy(entry.path(), &target).expect("a file");
        }
    }
    copy
}

fn start(home: &Home) -> Daemon {
    Daemon::start(home.command(["worker", "--slots", "1"]))
}

/// A job of tasks that take a while, which is under way.
fn long_job(grid: &Grid) -> Daemon {
    grid.home.write("in", "300\n".repeat(12));
    let args = ["run", &guest("sleeper"), "--allow", "clock", "--lines", "in"];
    let job = Daemon::start(grid.home.command(args));
    wait_until("the job to be under way", || {
        let jobs = grid.run(&["job", "list", "--output", "json"]);
        let jobs: Value = serde_json::from_slice(&jobs.stdout).unwrap_or_default();
        jobs[0]["counts"]["running"].as_u64() > Some(0)
    });
    job
}

#[test]
fn a_copied_worker_is_refused_with_the_reason_and_the_remedy_and_the_first_goes_on() {
    let mut grid = Grid::start(1, 1);
    let mut job = long_job(&grid);
    for _ in 0..2 {
        let clone = copy_of(&grid.workers[0].home);
        let mut second = start(&clone);
        assert_eq!(second.wait().code(), Some(4), "{}", second.said());
        let why = second.hear("why", |line| line.contains("wasmgrid:").then(|| line.to_owned()));
        for part in ["identity of worker \"w1\"", "127.0.0.1:", "token create", "wasmgrid join"] {
            assert!(why.contains(part), "{part} in {why}");
        }
    }
    assert_eq!(job.wait().code(), Some(0), "{}", job.said());
    let counts = grid.job("1")["counts"].clone();
    assert_eq!((&counts["ok"], &counts["retried"]), (&json!(12), &json!(0)), "{counts}");
    // All sides say so, and none more than once.
    let said = |daemon: &Daemon, words: &str| {
        daemon.said().lines().filter(|line| line.contains(words)).count()
    };
    let first = &mut grid.workers[0].process;
    first.hear("the warning", |line| line.contains("has this worker's identity").then_some(()));
    assert_eq!(said(first, "has this worker's identity"), 1, "{}", first.said());
    let words = "two machines have the identity of one worker";
    grid.scheduler.hear("the warning", |line| line.contains(words).then_some(()));
    assert_eq!(said(&grid.scheduler, words), 1, "{}", grid.scheduler.said());
    let listed = grid.run(&["worker", "list"]);
    let warned = "another machine with the identity of w1 was refused";
    assert!(listed.code == Some(0) && listed.stderr.contains(warned), "{listed}");
    let shown = grid.run(&["worker", "show", "w1", "--output", "json"]);
    let shown: Value = serde_json::from_str(shown.ok()).expect("JSON");
    assert!(shown["contested"]["address"].as_str().is_some_and(|at| at.contains("127.0.0.1")));
}

#[test]
fn a_worker_that_is_killed_and_started_again_at_once_is_let_in() {
    let mut grid = Grid::start(1, 1);
    let mut job = long_job(&grid);
    grid.workers[0].process.kill();
    let mut again = start(&grid.workers[0].home);
    again.hear("it to join", |line| line.contains("joined the grid").then_some(()));
    assert_eq!(job.wait().code(), Some(0), "{}", job.said());
    let listed = grid.run(&["worker", "list"]);
    assert!(!listed.stderr.contains("another machine"), "{listed}");
}

#[test]
fn two_workers_of_one_folder_on_one_machine_are_one_too_many() {
    let grid = Grid::start(1, 1);
    let home = &grid.workers[0].home;
    home.run(["worker"]).fails_with(2, &["another wasmgrid runs on", "w1"]);
    let folder = home.path().join("home/state/workers/w1");
    let folder = folder.to_str().expect("text");
    home.run(["join", grid.token(), "--state-dir", folder])
        .fails_with(2, &["another wasmgrid runs"]);
}
