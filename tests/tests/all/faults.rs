//! Processes that die in the middle: nothing is lost, nothing is doubled, the bytes are the same.

use serde_json::{Value, json};

use wasmgrid_tests::{Daemon, Grid, children_as, guest, signal, wait_until};

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
    let runners = children_as(grid.workers[0].process.pid(), "runner");
    signal(*runners.first().expect("a worker has runners"), 9);
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

/// A job of tasks that take so long each, on two workers of two slots; returns the run.
fn slow_job(grid: &Grid, tasks: usize, millis: u32) -> Daemon {
    grid.home.write("in", format!("{millis}\n").repeat(tasks));
    let args = ["run", &guest("sleeper"), "--allow", "clock", "--timeout", "5m", "--lines", "in"];
    Daemon::start(grid.home.command(args))
}

/// Waits until so many workers say that so many tasks run on each.
fn wait_for_busy(grid: &Grid, workers: usize, tasks: usize) {
    wait_until("all slots to be busy", || {
        let listed = grid.run(&["worker", "list", "--output", "json"]);
        let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        let is_busy =
            |worker: &&Value| worker["running"].as_array().is_some_and(|all| all.len() == tasks);
        listed.iter().filter(is_busy).count() == workers
    });
}

/// Waits for the end of a run, and sees that each task ran once.
fn assert_each_ran_once(grid: &Grid, mut run: Daemon, tasks: usize) {
    let status = run.wait();
    assert_eq!(status.code(), Some(0), "{}", run.said());
    // What runs on would be a second attempt, and is discarded when it ends.
    wait_until("the workers to be idle", || {
        let listed = grid.run(&["worker", "list", "--output", "json"]);
        let workers: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        workers.iter().all(|worker| worker["running"] == json!([]))
    });
    let results = grid.run(&["job", "results", "1", "--output", "json"]);
    let results: Vec<Value> =
        results.ok().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(results.len(), tasks);
    assert!(results.iter().all(|result| result["attempt"] == json!(1)), "{results:?}");
    let counts = &grid.job("1")["counts"];
    assert_eq!((&counts["retried"], &counts["discarded"]), (&json!(0), &json!(0)));
}

/// All slots are busy with their first tasks, which take so long that no result is on its way:
/// one that was committed and not acknowledged would be sent again, and counted as discarded.
fn all_busy_with_their_first_tasks() -> (Grid, Daemon) {
    let grid = Grid::start(2, 2);
    let run = slow_job(&grid, 8, 8_000);
    wait_for_busy(&grid, 2, 2);
    (grid, run)
}

#[test]
fn after_kill_9_of_the_scheduler_nothing_that_ran_or_runs_is_run_again() {
    let (mut grid, run) = all_busy_with_their_first_tasks();
    grid.kill_scheduler();
    grid.restart_scheduler();
    assert_each_ran_once(&grid, run, 8);
}

#[test]
fn after_a_scheduler_that_stopped_in_order_nothing_is_run_again() {
    let (mut grid, run) = all_busy_with_their_first_tasks();
    assert!(grid.scheduler.interrupt().success(), "{}", grid.scheduler.said());
    grid.restart_scheduler();
    assert_each_ran_once(&grid, run, 8);
}

#[test]
fn a_scheduler_that_was_away_for_longer_than_links_live_runs_nothing_again() {
    let mut grid = Grid::start(2, 2);
    // They end while nobody is there to take their results.
    let run = slow_job(&grid, 4, 15_000);
    wait_for_busy(&grid, 2, 2);
    grid.kill_scheduler();
    for worker in &mut grid.workers {
        worker.process.hear("that the scheduler is gone", |line| {
            line.contains("no link to the scheduler").then_some(())
        });
    }
    grid.restart_scheduler();
    assert_each_ran_once(&grid, run, 4);
}

#[test]
fn a_worker_that_was_stopped_past_its_lease_has_its_result_refused_and_counted() {
    let grid = Grid::start(1, 1);
    let mut run = slow_job(&grid, 1, 5_000);
    wait_for_busy(&grid, 1, 1);
    grid.workers[0].process.signal(19);
    wait_until("the grid to miss it", || {
        let listed = grid.run(&["worker", "show", "w1", "--output", "json"]);
        listed.text().contains("gone")
    });
    let mut grid = grid;
    grid.add_worker(1);
    assert_eq!(run.wait().code(), Some(0), "{}", run.said());
    let before = grid.run(&["job", "results", "1", "--output", "json"]).ok().to_owned();
    let result: Value = serde_json::from_str(&before).expect("one line");
    assert_eq!(result["attempt"], json!(2));
    assert_eq!(grid.job("1")["counts"]["discarded"], json!(0));
    grid.workers[0].process.signal(18);
    wait_until("its result to be refused", || grid.job("1")["counts"]["discarded"] == json!(1));
    assert_eq!(grid.run(&["job", "results", "1", "--output", "json"]).ok(), before);
    assert_eq!(grid.job("1")["divergences"]["count"], json!(0));
}

#[test]
fn a_task_whose_worker_is_killed_each_time_ends_as_lost_with_every_attempt_listed() {
    let mut grid = Grid::start(1, 1);
    let mut run = slow_job(&grid, 1, 240_000);
    for attempt in 1..=5 {
        wait_until("the next attempt to run", || {
            let shown = grid.run(&["job", "show", "1", "--task", "0", "--output", "json"]);
            let task: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
            task["state"] == "running" && task["attempt"] == json!(attempt)
        });
        grid.workers[0].process.kill();
        let args = ["worker", "--slots", "1"];
        grid.workers[0].process = Daemon::start(grid.workers[0].home.command(args));
    }
    assert_eq!(run.wait().code(), Some(1), "{}", run.said());
    let shown = grid.run(&["job", "show", "1", "--task", "0"]);
    let text = shown.ok();
    assert!(text.contains("lost: its host was lost 5 times"), "{text}");
    for attempt in 1..=5 {
        assert!(text.contains(&format!("attempt {attempt} (host lost) on w1, 20")), "{text}");
        assert!(run.said().contains(&format!("attempt {attempt} (host lost)")), "{}", run.said());
    }
    let task = grid.run(&["job", "show", "1", "--task", "0", "--output", "json"]);
    let task: Value = serde_json::from_str(task.ok()).expect("JSON");
    assert_eq!(task["attempts"].as_array().map(Vec::len), Some(5), "{task}");
    assert_eq!(task["result"]["outcome"], json!("lost"));
}
