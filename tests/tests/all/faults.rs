//! Processes that die in the middle: nothing is lost, nothing is doubled, the bytes are the same.

use serde_json::{Value, json};

use wasmgrid_tests::{Daemon, Grid, guest, wait_until};

/// Inputs of a job that takes a few seconds on two cores, and its right answer.
const TASKS: u64 = 3_000;

fn long_job(grid: &Grid) -> (Daemon, String) {
    let spin = guest("spin");
    let range = format!("400000..{}", 400_000 + TASKS);
    let undisturbed = wasmgrid_tests::Home::new().run(["run", &spin, "--range", &range]);
    let expected = undisturbed.ok().to_owned();
    let args = ["run", &spin, "--range", &range, "-o", "out"];
    (Daemon::start(grid.home.command(args)), expected)
}

fn committed(grid: &Grid) -> u64 {
    let listed = grid.run(&["job", "list", "--output", "json"]);
    let Ok(jobs) = serde_json::from_slice::<Vec<Value>>(&listed.stdout) else { return 0 };
    jobs.first().and_then(|job| job["counts"]["ok"].as_u64()).unwrap_or(0)
}

fn wait_for_the_middle(grid: &Grid) {
    wait_until("the job to be under way", || {
        let done = committed(grid);
        assert!(done < TASKS, "the job was over before the fault");
        done > 0
    });
}

fn assert_whole(grid: &Grid, mut run: Daemon, expected: &str) {
    let status = run.wait();
    assert_eq!(status.code(), Some(0), "{}", run.said());
    assert!(grid.home.read("out") == expected, "the output differs from an undisturbed run's");
    let counts = &grid.job("1")["counts"];
    assert_eq!(counts["ok"], json!(TASKS));
    assert_eq!(grid.job("1")["results"], json!(TASKS));
}

#[test]
fn kill_9_of_a_worker_loses_and_doubles_nothing() {
    let mut grid = Grid::start(3, 1);
    let (run, expected) = long_job(&grid);
    wait_for_the_middle(&grid);
    grid.workers[1].process.kill();
    assert_whole(&grid, run, &expected);
}

#[test]
fn kill_9_of_the_scheduler_keeps_finished_results_and_unfinished_jobs() {
    let mut grid = Grid::start(2, 1);
    let (run, expected) = long_job(&grid);
    wait_for_the_middle(&grid);
    grid.kill_scheduler();
    grid.restart_scheduler();
    assert_whole(&grid, run, &expected);
}

#[test]
fn a_scheduler_that_stops_in_order_goes_on_where_it_was() {
    let mut grid = Grid::start(2, 1);
    let (run, expected) = long_job(&grid);
    wait_for_the_middle(&grid);
    assert!(grid.scheduler.interrupt().success(), "{}", grid.scheduler.said());
    grid.restart_scheduler();
    assert_whole(&grid, run, &expected);
    // What was finished before is still there for another reader.
    assert_eq!(grid.run(&["job", "results", "1"]).ok(), expected);
}

#[test]
fn kill_9_of_a_runner_is_no_fault_of_the_tasks() {
    let grid = Grid::start(1, 2);
    let (run, expected) = long_job(&grid);
    wait_for_the_middle(&grid);
    let runners = std::process::Command::new("pgrep")
        .args(["-P", &grid.workers[0].process.pid().to_string(), "-f", "runner"])
        .output()
        .expect("pgrep(1) is there");
    let runners = String::from_utf8(runners.stdout).expect("numbers");
    let runner = runners.lines().next().expect("a worker has runners").to_owned();
    let killed = std::process::Command::new("kill").args(["-9", &runner]).status();
    assert!(killed.expect("kill(1) is there").success());
    assert_whole(&grid, run, &expected);
}

#[test]
fn kill_9_of_the_client_leaves_the_job_to_be_read_later() {
    let grid = Grid::start(2, 1);
    let (mut run, expected) = long_job(&grid);
    wait_for_the_middle(&grid);
    run.kill();
    grid.run(&["job", "wait", "1"]).ok();
    assert_eq!(grid.run(&["job", "results", "1"]).ok(), expected);
}

#[test]
fn a_worker_that_was_stopped_and_goes_on_changes_nothing() {
    let grid = Grid::start(2, 1);
    let (run, expected) = long_job(&grid);
    wait_for_the_middle(&grid);
    grid.workers[0].process.signal(19);
    wait_until("the grid to miss it", || {
        let listed = grid.run(&["worker", "show", "w1", "--output", "json"]);
        listed.text().contains("gone")
    });
    grid.workers[0].process.signal(18);
    assert_whole(&grid, run, &expected);
}
