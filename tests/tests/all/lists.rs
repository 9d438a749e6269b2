//! What lists show and what is chosen of them, what tasks have logged, and workers that are emptied.

use serde_json::{Value, json};

use wasmgrid_tests::{Daemon, Grid, Home, guest, wait_until};

fn jobs(home: &Home, flags: &[&str]) -> Vec<String> {
    let args = ["job", "list", "--output", "json"].iter().chain(flags);
    let listed = home.run(args);
    let jobs: Vec<Value> = serde_json::from_str(listed.ok()).expect("a JSON list");
    jobs.iter().map(|job| job["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn jobs_are_listed_by_state_name_and_tenant_page_by_page() {
    let grid = Grid::start(1, 1);
    let made = grid.run(&["token", "create", "--role", "client", "--name", "ada"]);
    let ada = Home::new();
    ada.run(["context", "add", "team", made.ok().trim()]).ok();
    grid.home.write("bad", "reject\n");
    let (noop, moods) = (guest("noop"), guest("moods"));
    let submit = |home: &Home, name: &str, args: &[&str]| {
        let named = ["submit", "--name", name];
        home.run(named.iter().chain(args)).ok().trim().to_owned()
    };
    submit(&grid.home, "train-1", &[&noop, "--range", "0..2"]);
    submit(&ada, "train-2", &[&noop, "--range", "0..2"]);
    submit(&grid.home, "check", &[&moods, "--lines", "bad"]);
    let last = submit(&ada, "open", &[&noop, "--range", "0..2", "--open"]);
    for job in ["1", "2", "3"] {
        grid.run(&["job", "wait", job]);
    }
    let all = |flags: &[&str]| jobs(&grid.home, flags);
    assert_eq!(all(&[]), ["open", "check", "train-2", "train-1"]);
    assert_eq!(all(&["--state", "ok"]), ["train-2", "train-1"]);
    assert_eq!(all(&["--state", "failed,active"]), ["open", "check"]);
    assert_eq!(all(&["--name", "train*"]), ["train-2", "train-1"]);
    assert_eq!(all(&["--name", "train"]), Vec::<String>::new());
    assert_eq!(all(&["--tenant", "ada"]), ["open", "train-2"]);
    assert_eq!(all(&["--tenant", "ada", "--state", "ok", "--name", "*2"]), ["train-2"]);
    assert_eq!(jobs(&ada, &["--tenant", "ada"]), ["open", "train-2"]);
    ada.run(["job", "list", "--tenant", "lab"]).fails_with(3, &["you are ada", "lab"]);
    let page = grid.run(&["job", "list", "--name", "train*", "--limit", "1"]);
    assert!(page.ok().contains("train-2") && !page.ok().contains("train-1"), "{page}");
    assert!(page.stderr.contains("1 older jobs are not shown"), "{page}");
    grid.run(&["job", "list", "--state", "sleeping"]).fails_with(2, &["active", "expired"]);
    grid.run(&["job", "cancel", &last]).ok();
}

#[test]
fn a_drain_waits_until_nothing_is_left_and_the_worker_is_then_drained() {
    let grid = Grid::start(2, 1);
    grid.home.write("in", "3000\n3000\n");
    let args = ["submit", &guest("sleeper"), "--allow", "clock", "--lines", "in"];
    let job = grid.run(&args).ok().trim().to_owned();
    wait_until("both tasks to run", || grid.job(&job)["counts"]["running"] == json!(2));
    grid.run(&["worker", "drain", "w1", "--wait"]).ok();
    let shown = grid.run(&["worker", "show", "w1", "--output", "json"]);
    let shown: Value = serde_json::from_str(shown.ok()).expect("JSON");
    assert_eq!((&shown["state"], &shown["assigned"]), (&json!("drained"), &json!(0)));
    grid.run(&["worker", "uncordon", "w1"]).ok();
    grid.wait_for_worker("w1", "ready");
    grid.run(&["job", "wait", &job]).ok();
    let counts = &grid.job(&job)["counts"];
    assert_eq!((&counts["ok"], &counts["retried"]), (&json!(2), &json!(0)), "{counts}");
}

#[test]
fn a_worker_that_has_not_come_back_is_shown_to_those_who_ask_for_all() {
    let mut grid = Grid::start(1, 1);
    grid.workers[0].process.kill();
    grid.kill_scheduler();
    grid.restart_scheduler();
    let listed = grid.run(&["worker", "list"]);
    assert!(!listed.ok().contains("w1"), "{listed}");
    assert!(listed.stderr.contains("1 worker is gone and not shown; --all shows it"), "{listed}");
    let all = grid.run(&["worker", "list", "--all"]);
    let is_gone = |line: &str| {
        let mut words = line.split_whitespace();
        words.next() == Some("w1") && words.next() == Some("gone")
    };
    assert!(all.ok().lines().any(is_gone), "{all}");
    let shown = grid.run(&["worker", "show", "w1", "--output", "json"]);
    let shown: Value = serde_json::from_str(shown.ok()).expect("JSON");
    assert_eq!((&shown["state"], &shown["heard_at_us"]), (&json!("gone"), &Value::Null));
    grid.run(&["worker", "show", "nobody"]).fails_with(2, &["nobody"]);
}

#[test]
fn the_logs_of_tasks_are_read_also_of_those_that_succeeded() {
    let grid = Grid::start(1, 1);
    let chatty = guest("chatty");
    let job = grid.run(&["submit", &chatty, "--range", "1..=3"]).ok().trim().to_owned();
    grid.run(&["job", "wait", &job]).ok();
    let all = grid.run(&["job", "logs", &job]);
    let mut lines: Vec<&str> = all.ok().lines().collect();
    lines.sort_unstable();
    let expected = [
        "0: err: n is 1",
        "0: half a line",
        "0: out: n is 1",
        "1: err: n is 2",
        "1: half a line",
        "1: out: n is 2",
        "2: err: n is 3",
        "2: half a line",
        "2: out: n is 3",
    ];
    assert_eq!(lines, expected);
    assert_eq!(
        grid.run(&["job", "logs", &job, "1"]).ok(),
        "out: n is 2\nerr: n is 2\nhalf a line\n"
    );
    let one = grid.run(&["job", "logs", &job, "1", "--output", "json"]);
    let one: Value = serde_json::from_str(one.ok()).expect("JSON");
    assert_eq!((&one["index"], &one["outcome"]), (&json!(1), &json!("ok")));
    assert_eq!(one["log"], json!("out: n is 2\nerr: n is 2\nhalf a line"));
    let followed = grid.run(&["job", "logs", &job, "--follow"]);
    assert_eq!(followed.ok().lines().count(), 9);
    grid.run(&["job", "logs", &job, "9"]).fails_with(2, &["there is no task"]);
    let quiet = grid.run(&["submit", &guest("noop"), "--range", "0..2"]).ok().trim().to_owned();
    grid.run(&["job", "wait", &quiet]).ok();
    let none = grid.run(&["job", "logs", &quiet]);
    assert!(none.ok().is_empty() && none.stderr.contains("logged anything"), "{none}");
    let none = grid.run(&["job", "logs", &quiet, "0"]);
    assert!(none.ok().is_empty() && none.stderr.contains("logged nothing"), "{none}");
    grid.home.write("in", "loop\n");
    let job = grid.run(&["submit", &guest("moods"), "--lines", "in"]).ok().trim().to_owned();
    wait_until("the task to run", || grid.job(&job)["counts"]["running"] == json!(1));
    grid.run(&["job", "logs", &job, "0"]).fails_with(2, &["running", "--follow"]);
    let mut follow = Daemon::start(grid.home.command(["job", "logs", &job, "--follow"]));
    grid.run(&["job", "cancel", &job]).ok();
    assert!(follow.wait().success(), "{}", follow.said());
}

#[test]
fn a_failure_says_the_name_of_its_worker() {
    let grid = Grid::start(1, 1);
    grid.home.write("in", "reject\n");
    let run = grid.run(&["run", &guest("moods"), "--lines", "in"]);
    run.fails_with(1, &["1 on worker w1, after"]);
    let read = grid.run(&["job", "results", "1"]);
    read.fails_with(1, &["1 on worker w1, after"]);
}
