//! A scheduler whose time of day is wrong, and changes: what it promises rests on the time that
//! really passes.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use wasmgrid_tests::{
    Clock, Daemon, Finished, Grid, guest,
    known::{KnownJob, committed},
    wait_until,
};

const HOUR: i64 = 60 * 60;
const YEAR: i64 = 365 * 24 * HOUR;

/// What the clock of a scheduler may be off beside what it was set to, in microseconds: far over
/// what a test takes, and far under an hour.
const SLACK_US: i64 = 600_000_000;

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970");
    i64::try_from(since.as_micros()).expect("before the year 290,000")
}

fn time_us(job: &Value, name: &str) -> i64 {
    job[name].as_i64().unwrap_or_else(|| panic!("{name} of {job}"))
}

fn restart_with(grid: &mut Grid, clock: &Clock) {
    grid.kill_scheduler();
    grid.restart_scheduler_with(|command| clock.give(command));
}

#[test]
fn a_scheduler_that_comes_back_with_its_clock_hours_off_goes_on_as_before() {
    let mut grid = Grid::start(2, 1);
    for hours in [-2, 2] {
        let job = KnownJob::start(&grid);
        wait_until("the job to be under way", || committed(&grid) > 0);
        restart_with(&mut grid, &Clock::ahead(hours * HOUR));
        // What the worker had is given out again after a time by the scheduler's clock.
        grid.workers[0].process.kill();
        job.assert_whole(&grid);
        grid.restart_worker(0, 1, |_| {});
    }
}

/// A job of tasks that take 5 s each, two rounds of them on two workers of two slots, which has
/// 10 minutes for all of it.
fn timed_job(grid: &Grid) -> Daemon {
    grid.home.write("in", "5000\n".repeat(8));
    let args = ["run", &guest("sleeper"), "--allow", "clock", "--timeout", "1m", "--lines", "in"];
    Daemon::start(grid.home.command(args.into_iter().chain(["--deadline", "10m"])))
}

#[test]
fn a_clock_that_is_set_while_the_scheduler_runs_moves_no_deadline_lease_or_time_told() {
    let mut grid = Grid::start(2, 2);
    let clock = Clock::ahead(HOUR);
    restart_with(&mut grid, &clock);
    for worker in ["w1", "w2"] {
        grid.wait_for_worker(worker, "ready");
    }
    let running = |grid: &Grid| grid.job("1")["counts"]["running"].clone();
    let mut run = timed_job(&grid);
    // The first round begins before the clock goes back, the second before it goes forward: by
    // either a worker would be taken for silent, or the job for late, or neither ever again.
    wait_until("the first round", || {
        let listed = grid.run(&["job", "list", "--output", "json"]);
        listed.text().contains("\"running\": 4") || listed.text().contains("\"running\":4")
    });
    clock.set_ahead(-4 * HOUR);
    wait_until("the second round", || {
        grid.job("1")["counts"]["ok"] == json!(4) && running(&grid) == json!(4)
    });
    clock.set_ahead(9 * HOUR);
    assert_heard_now(&grid, &clock);
    let status = run.wait();
    assert_eq!(status.code(), Some(0), "{}", run.said());
    let first = grid.job("1");
    let counts = &first["counts"];
    assert_eq!((&counts["ok"], &counts["total"]), (&json!(8), &json!(8)), "{first}");
    assert_eq!((&counts["retried"], &counts["discarded"]), (&json!(0), &json!(0)), "{first}");
    let results = grid.run(&["job", "results", "1", "--output", "json"]);
    let results: Vec<Value> =
        results.ok().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(results.iter().all(|result| result["attempt"] == json!(1)), "{results:?}");

    // A worker that is gone is missed after its time, in whatever direction the clock was set last.
    clock.set_ahead(-20 * HOUR);
    let job = KnownJob::start(&grid);
    wait_until("the job to be under way", || committed(&grid) > 0);
    grid.workers[0].process.kill();
    clock.set_ahead(-10 * HOUR);
    job.assert_whole(&grid);
    assert_times_go_on(&first, &grid.job("2"));
}

/// Workers that are linked were heard a moment ago by the scheduler's clock as it is now, whenever and
/// however it was set.
fn assert_heard_now(grid: &Grid, clock: &Clock) {
    let listed = run_with(grid, clock, &["worker", "list", "--output", "json"]);
    let listed: Value = serde_json::from_str(listed.ok()).expect("JSON");
    for worker in listed.as_array().expect("a list") {
        let ahead = time_us(worker, "heard_at_us") - now_us() - 9 * HOUR * 1_000_000;
        assert!(ahead.abs() < SLACK_US, "{ahead} us off: {worker}");
    }
}

/// All times are by the clock as it was when the scheduler started: an hour ahead.
fn assert_times_go_on(first: &Value, second: &Value) {
    let times = [first, second].map(|job| {
        let (submitted, ended) = (time_us(job, "submitted_at_us"), time_us(job, "ended_at_us"));
        assert!(submitted < ended, "{job}");
        [submitted, ended]
    });
    assert!(times.concat().is_sorted(), "{times:?}");
    for time in times.concat() {
        let ahead = time - now_us() - HOUR * 1_000_000;
        assert!(ahead.abs() < SLACK_US, "{ahead} us off: {first} {second}");
    }
}

/// A command of the operator on a machine whose clock is as wrong as the scheduler's.
fn run_with(grid: &Grid, clock: &Clock, args: &[&str]) -> Finished {
    let mut command = grid.home.command(args);
    clock.give(&mut command);
    let output = command.output().expect("the binary starts");
    Finished {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_clock_that_is_a_year_off_at_a_start_forgets_no_job_and_ends_none() {
    let mut grid = Grid::start(1, 1);
    assert_eq!(grid.run(&["run", &guest("noop"), "--range", "0..3"]).ok(), "0\n1\n2\n");
    let args = ["submit", &guest("noop"), "--open", "--deadline", "30m"];
    assert_eq!(grid.run(&args).ok().trim(), "2");
    // A year later, as it seems; and then, as it seems, a year before that.
    for clock in [Clock::ahead(YEAR), Clock::ahead(0)] {
        restart_with(&mut grid, &clock);
        let results = run_with(&grid, &clock, &["job", "results", "1"]);
        assert_eq!(results.ok(), "0\n1\n2\n");
        let shown = run_with(&grid, &clock, &["job", "show", "2", "--output", "json"]);
        let shown: Value = serde_json::from_str(shown.ok()).expect("JSON");
        assert_eq!(shown["state"], json!("active"), "its deadline is half an hour: {shown}");
    }
    assert_eq!(grid.home.run_with_stdin(["job", "append", "2"], b"7\n").code, Some(0));
    assert_eq!(grid.run(&["job", "close", "2"]).code, Some(0));
    grid.wait_for_worker("w1", "ready");
    assert_eq!(grid.run(&["job", "wait", "2"]).code, Some(0));
}
