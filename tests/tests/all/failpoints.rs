//! Processes that die at named places, before and after they append, sync, send and acknowledge:
//! whatever was said by then holds, and the job ends as if nothing had happened.
//!
//! A failpoint counts how often its place is reached; the numbers here are chosen so that the
//! first, and one in the middle of the job, end the process.

use std::{os::unix::process::ExitStatusExt as _, process::Command};

use wasmgrid_tests::{
    Daemon, Grid, guest,
    known::{KnownJob, assert_job_whole, newest},
};

/// SIGKILL.
const KILLED: Option<i32> = Some(9);

/// False where the binary has no failpoints, with a line that says so.
fn has_failpoints() -> bool {
    let has = cfg!(debug_assertions);
    if !has {
        println!("skipped: a build without debug assertions has no failpoints");
    }
    has
}

/// Ends the process when the place is reached for the `reached`-th time after that.
fn fail_at(command: &mut Command, place: &str, reached: u32) {
    command.env("FAILPOINTS", format!("{place}={reached}*off->return"));
}

fn assert_died(process: &mut Daemon, place: &str) {
    let status = process.wait();
    assert_eq!(status.signal(), KILLED, "{place}: {status}\n{}", process.said());
}

/// Ends the scheduler at a place in the middle of a job, and starts it again.
fn kill_the_scheduler(places: &[(&str, u32)]) {
    if !has_failpoints() {
        return;
    }
    let mut grid = Grid::start(2, 1);
    for (place, reached) in places {
        grid.scheduler.kill();
        grid.restart_scheduler_with(|command| fail_at(command, place, *reached));
        let job = KnownJob::start(&grid);
        assert_died(&mut grid.scheduler, place);
        grid.restart_scheduler();
        job.assert_whole(&grid);
    }
}

#[test]
fn kill_9_of_the_scheduler_around_its_commits_changes_nothing() {
    kill_the_scheduler(&[
        ("store-before-append", 8),
        ("store-before-sync", 8),
        ("store-after-sync", 8),
        ("store-before-sync", 20),
    ]);
}

#[test]
fn kill_9_of_the_scheduler_around_its_answers_changes_nothing() {
    kill_the_scheduler(&[
        ("server-before-reply", 0),
        ("server-after-reply", 0),
        ("server-before-acknowledge", 4),
        ("server-after-acknowledge", 4),
        ("link-before-send", 16),
        ("link-after-send", 16),
    ]);
}

#[test]
fn a_scheduler_whose_commits_fail_or_lose_their_answers_goes_on() {
    if !has_failpoints() {
        return;
    }
    let mut grid = Grid::start(2, 1);
    grid.scheduler.kill();
    grid.restart_scheduler_with(|command| {
        // Each third commit, about, and what asks again.
        command.env("FAILPOINTS", "store-answer-lost=20%return;store-commit-fails=20%return");
    });
    let job = KnownJob::start(&grid);
    job.assert_whole(&grid);
    assert!(grid.scheduler.said().contains("a commit is in doubt"), "no commit met a fault");
}

#[test]
fn kill_9_of_a_worker_around_its_results_changes_nothing() {
    if !has_failpoints() {
        return;
    }
    let mut grid = Grid::start(2, 1);
    let places = [
        ("worker-before-results", 3),
        ("worker-before-forget", 3),
        ("worker-after-forget", 3),
        ("link-before-send", 6),
        ("link-after-send", 6),
    ];
    for (place, reached) in places {
        grid.workers[0].process.kill();
        grid.restart_worker(0, 1, |command| fail_at(command, place, reached));
        let job = KnownJob::start(&grid);
        assert_died(&mut grid.workers[0].process, place);
        job.assert_whole(&grid);
    }
}

#[test]
fn a_job_outlives_a_client_that_dies_at_any_place_once_it_was_submitted() {
    if !has_failpoints() {
        return;
    }
    let grid = Grid::start(2, 1);
    // Whether the scheduler has heard of the job when the client dies there.
    let places = [
        ("client-before-ask", 0, Some(false)),
        ("link-before-send", 0, Some(false)),
        ("client-after-ask", 0, None),
        ("link-after-send", 0, None),
        ("client-before-answer", 1, None),
        ("client-before-results", 0, Some(true)),
    ];
    let number = |job: &serde_json::Value| job["id"].to_string();
    for (place, reached, submitted) in places {
        let before = newest(&grid).map(|job| number(&job));
        let mut job = KnownJob::start_with(&grid, |command| fail_at(command, place, reached));
        assert_died(&mut job.run, place);
        let after =
            newest(&grid).map(|job| number(&job)).filter(|job| Some(job) != before.as_ref());
        assert!(submitted.is_none_or(|expected| expected == after.is_some()), "{place}: {after:?}");
        if let Some(job) = after {
            assert_job_whole(&grid, &job);
        }
    }
}

#[test]
fn a_client_that_dies_between_two_frames_of_results_leaves_them_whole_to_others() {
    if !has_failpoints() {
        return;
    }
    let grid = Grid::start(2, 1);
    // Each result is a frame of its own.
    let lines: String =
        ('a'..='h').map(|letter| format!("{}\n", String::from(letter).repeat(200_000))).collect();
    grid.home.write("large", &lines);
    let mut command = grid.home.command(["run", &guest("echo"), "--lines", "large", "-o", "out"]);
    fail_at(&mut command, "client-before-results", 2);
    assert_died(&mut Daemon::start(command), "client-before-results");
    let job = newest(&grid).expect("it was submitted")["id"].to_string();
    grid.run(&["job", "wait", &job]).ok();
    assert!(grid.run(&["job", "results", &job]).ok() == lines, "the results are others");
}
