//! A grid of several processes: joining, submitting, draining, and what is told of it.

use serde_json::{Value, json};

use wasmgrid_tests::{Daemon, Grid, Home, guest, wait_until};

fn list(grid: &Grid, what: &str) -> Vec<Value> {
    let listed = grid.run(&[what, "list", "--output", "json"]);
    serde_json::from_str(listed.ok()).expect("a JSON list")
}

#[test]
fn the_same_command_uses_every_worker_and_gives_the_same_bytes() {
    let grid = Grid::start(3, 1);
    let spin = guest("spin");
    let args = ["run", &spin, "--range", "200000..201000"];
    let alone = Home::new().run(args);
    let together = grid.run(&args);
    assert_eq!(alone.ok(), together.ok());
    let workers = list(&grid, "worker");
    assert_eq!(workers.len(), 3);
    for worker in workers {
        assert!(worker["committed"].as_u64().expect("a number") > 0, "idle: {worker}");
    }
}

#[test]
fn a_submitted_job_is_waited_for_shown_and_read_later() {
    let grid = Grid::start(1, 2);
    let noop = guest("noop");
    let submitted = grid.run(&["submit", &noop, "--range", "0..1000", "--name", "counting"]);
    let job = submitted.ok().trim().to_owned();
    grid.run(&["job", "wait", &job]).ok();
    let shown = grid.job(&job);
    assert_eq!(shown["state"], json!("ok"));
    assert_eq!(shown["counts"]["ok"], json!(1000));
    let expected: String = (0..1000).map(|n| format!("{n}\n")).collect();
    assert_eq!(grid.run(&["job", "results", &job]).ok(), expected);
    assert!(list(&grid, "job").iter().any(|job| job["name"] == "counting"));
}

#[test]
fn a_cancelled_job_ends_as_cancelled_and_commits_nothing_more() {
    let grid = Grid::start(1, 1);
    grid.home.write("in", "loop\n".repeat(50));
    let job = grid.run(&["submit", &guest("moods"), "--lines", "in"]).ok().trim().to_owned();
    wait_until("a task to run", || grid.job(&job)["counts"]["running"] != json!(0));
    grid.run(&["job", "cancel", &job]).ok();
    grid.run(&["job", "wait", &job]).fails_with(6, &[]);
    let shown = grid.job(&job);
    assert_eq!(shown["counts"]["cancelled"], json!(50));
    assert_eq!(shown["results"], json!(0));
    // The slot is free for others afterwards.
    grid.run(&["run", &guest("noop"), "--range", "0..10"]).ok();
}

#[test]
fn a_job_past_its_deadline_expires() {
    let grid = Grid::start(1, 1);
    grid.home.write("in", "loop\n".repeat(3));
    let args = ["run", &guest("moods"), "--lines", "in", "--deadline", "1s"];
    grid.run(&args).fails_with(5, &["deadline"]);
}

#[test]
fn a_hangup_ends_a_worker_and_a_scheduler_in_order() {
    const HANGUP: i32 = 1;
    let mut grid = Grid::start(1, 1);
    let worker = &mut grid.workers[0].process;
    worker.signal(HANGUP);
    assert_eq!(worker.wait().code(), Some(0), "{}", worker.said());
    grid.scheduler.signal(HANGUP);
    assert_eq!(grid.scheduler.wait().code(), Some(0), "{}", grid.scheduler.said());
}

#[test]
fn ctrl_c_leaves_the_job_running_on_the_grid() {
    let grid = Grid::start(1, 1);
    let args = ["run", &guest("sleeper"), "--allow", "clock", "--lines", "in"];
    grid.home.write("in", "500\n500\n500\n500\n");
    let mut run = Daemon::start(grid.home.command(args));
    wait_until("a result to be committed", || {
        let jobs = list(&grid, "job");
        jobs.first().is_some_and(|job| job["counts"]["ok"] != json!(0))
    });
    assert_eq!(run.interrupt().code(), Some(130), "{}", run.said());
    let said = run.said();
    assert!(said.contains("job results 1") || said.contains("job wait 1"), "{said}");
    grid.run(&["job", "wait", "1"]).ok();
    assert_eq!(grid.run(&["job", "results", "1"]).ok(), "500\n500\n500\n500\n");
}

#[test]
fn a_drained_worker_gets_nothing_new() {
    let grid = Grid::start(2, 1);
    grid.run(&["worker", "drain", "w1"]).ok();
    grid.wait_for_worker("w1", "drained");
    grid.run(&["run", &guest("noop"), "--range", "0..1000"]).ok();
    let workers = list(&grid, "worker");
    let drained = workers.iter().find(|worker| worker["name"] == "w1").expect("it is listed");
    assert_eq!(drained["committed"], json!(0));
    grid.run(&["worker", "drain", "nobody"]).fails_with(2, &["nobody"]);
    let shown = grid.run(&["worker", "show", "w2", "--output", "json"]);
    let shown: Value = serde_json::from_str(shown.ok()).expect("JSON");
    assert_eq!(shown["committed"], json!(1000));
}

#[test]
fn a_cordoned_worker_gets_nothing_until_it_is_uncordoned() {
    let grid = Grid::start(2, 1);
    grid.run(&["worker", "cordon", "w1"]).ok();
    grid.wait_for_worker("w1", "cordoned");
    grid.run(&["run", &guest("noop"), "--range", "0..1000"]).ok();
    let workers = list(&grid, "worker");
    let cordoned = workers.iter().find(|worker| worker["name"] == "w1").expect("it is listed");
    assert_eq!(cordoned["committed"], json!(0));
    grid.run(&["worker", "uncordon", "w1"]).ok();
    grid.wait_for_worker("w1", "ready");
    grid.run(&["worker", "cordon", "nobody"]).fails_with(2, &["nobody"]);
}

#[test]
fn a_job_that_waits_is_explained_with_what_would_help() {
    let grid = Grid::start(1, 1);
    let noop = guest("noop");
    let args = ["submit", &noop, "--range", "0..7", "--require", "zone=b"];
    let job = grid.run(&args).ok().trim().to_owned();
    let explained = grid.run(&["job", "explain", &job, "--output", "json"]);
    let explained: Value = serde_json::from_str(explained.ok()).expect("JSON");
    let reason = &explained["reasons"][0];
    assert_eq!((&reason["reason"], &reason["tasks"]), (&json!("labels"), &json!(7)));
    assert!(reason["help"].as_str().expect("a text").contains("--label"), "{reason}");
    let told = grid.run(&["job", "explain", &job]);
    assert!(told.ok().contains("7 tasks") && told.ok().contains("zone=b"), "{}", told.ok());
    assert_eq!(grid.job(&job)["requires"], json!(["zone=b"]));
    grid.run(&["job", "cancel", &job]).ok();
    let args = ["submit", &noop, "--range", "0..2", "--memory", "900000GiB"];
    let large = grid.run(&args).ok().trim().to_owned();
    let told = grid.run(&["job", "explain", &large]);
    assert!(told.ok().contains("900000GiB of memory"), "{}", told.ok());
}

#[test]
fn a_run_of_which_nothing_starts_says_why_and_how_to_ask() {
    let grid = Grid::start(1, 1);
    let mut run = Daemon::start(grid.home.command([
        "run",
        &guest("noop"),
        "--range",
        "0..3",
        "--require",
        "zone=b",
    ]));
    wait_until("the hint", || run.said().contains("job explain 1"));
    assert!(run.said().contains("zone=b"), "{}", run.said());
    run.interrupt();
    grid.run(&["job", "cancel", "1"]).ok();
    let here = Home::new().run(["run", &guest("noop"), "--require", "zone=b"]);
    here.fails_with(2, &["--require zone=b"]);
}

#[test]
fn a_token_works_as_often_as_it_says_and_gives_the_role_it_says() {
    let grid = Grid::start(1, 1);
    let made = grid.run(&["token", "create", "--role", "client", "--uses", "1"]);
    let token = made.ok().trim().to_owned();
    let user = Home::new();
    user.run(["context", "add", "team", &token]).ok();
    user.run(["context", "use", "team"]).ok();
    assert_eq!(user.run(["run", &guest("noop"), "--range", "0..3"]).ok(), "0\n1\n2\n");
    // A client may not do what is the operator's.
    user.run(["token", "create"]).fails_with(3, &["operator"]);
    user.run(["worker", "drain", "w1"]).fails_with(3, &["operator"]);
    user.run(["worker", "cordon", "w1"]).fails_with(3, &["operator"]);
    let again = Home::new();
    again.run(["context", "add", "team", &token]).fails_with(4, &["token"]);
    let listed = user.run(["context", "list", "--output", "json"]);
    assert!(listed.ok().contains("team"));
}

#[test]
fn a_grid_that_is_not_there_is_named_with_its_address() {
    let mut grid = Grid::start(0, 1);
    grid.kill_scheduler();
    let finished = grid.run(&["job", "list"]);
    let address = grid.address().to_owned();
    finished.fails_with(4, &[&address]);
}

#[test]
fn a_module_travels_to_a_worker_once() {
    let grid = Grid::start(1, 1);
    let noop = guest("noop");
    grid.run(&["run", &noop, "--range", "0..10"]).ok();
    grid.run(&["run", &noop, "--range", "0..10"]).ok();
    let said = grid.scheduler.said();
    assert!(said.matches("module sent").count() <= 1, "{said}");
}

#[test]
fn the_parts_run_alone_by_a_config_file() {
    let grid = Grid::start(1, 1);
    let worker_home = &grid.workers[0].home;
    worker_home.write("worker.toml", "slots = 1\nlabels = [\"disk=ssd\"]\n");
    drop(grid.workers[0].process.said());
    let mut grid = grid;
    grid.workers[0].process.interrupt();
    grid.wait_for_worker("w1", "gone");
    let args = ["worker", "--config", "worker.toml"];
    grid.workers[0].process = Daemon::start(grid.workers[0].home.command(args));
    grid.wait_for_worker("w1", "ready");
    let shown = grid.run(&["worker", "show", "w1", "--output", "json"]);
    assert!(shown.ok().contains("ssd"), "{shown}");
}
