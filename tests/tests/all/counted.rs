//! What is counted of jobs and workers, as the command line shows it.

use serde_json::{Value, json};
use wasmgrid_tests::{Grid, guest, wait_until};

fn read(grid: &Grid, args: &[&str]) -> Value {
    let shown = grid.run(&[args, &["--output", "json"]].concat());
    serde_json::from_str(shown.ok()).expect("JSON")
}

/// A job of moods, and its id.
fn submit(grid: &Grid, inputs: &str) -> String {
    grid.home.write("in", inputs);
    grid.run(&["submit", &guest("moods"), "--lines", "in"]).ok().trim().to_owned()
}

#[test]
fn a_jobs_failures_are_shown_in_groups_with_a_sample() {
    let grid = Grid::start(1, 2);
    let job = submit(&grid, "fine\nreject\npanic\nreject\nexit\nreject\n");
    grid.run(&["job", "wait", &job]).fails_with(1, &[]);
    let shown = grid.run(&["job", "show", &job]);
    let text = shown.ok();
    for expected in ["this will never work", "tasks/s", "rejected", "trap"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let told = read(&grid, &["job", "show", &job]);
    let counted = &told["counted"];
    let first = &counted["failures"][0];
    assert_eq!((&first["kind"], &first["count"]), (&json!("rejected"), &json!(3)), "{counted}");
    let rejected = [1, 3, 5].map(|index| json!(format!("{job}/{index}")));
    assert!(rejected.contains(&first["sample"]), "the one that ended first: {counted}");
    assert_eq!(first["workers"].as_array().map(Vec::len), Some(1));
    assert_eq!(counted["other_failures"]["count"], json!(0));
    assert_eq!(counted["wall"]["count"], json!(6));
    let most = counted["peaks"]["fuel"]["most"].as_str().expect("a number of 64 bits is a text");
    assert!(most.parse::<u64>().expect("digits") > 0, "{counted}");
    assert_eq!(told["counts"]["assigned"], json!(0));
    assert_eq!(told["counts"]["running"], json!(0));
    assert!(told["tasks_per_second"].is_number(), "{told}");
    let list = read(&grid, &["job", "list"]);
    assert!(list[0]["tasks_per_second"].is_number(), "{list}");
}

#[test]
fn a_task_is_shown_with_its_backtrace_log_output_and_times() {
    let grid = Grid::start(1, 2);
    let job = submit(&grid, "panic\nfine\nloop\n");
    let task = |index: &str| read(&grid, &["job", "show", &job, "--task", index]);
    wait_until("two results", || grid.job(&job)["results"] == json!(2));
    let trapped = task("0");
    assert_eq!((&trapped["input"], &trapped["output"]), (&json!("panic"), &json!("")));
    let backtrace = trapped["backtrace"].as_str().expect("a backtrace");
    assert!(backtrace.lines().count() > 1, "{trapped}");
    let log = trapped["log"].as_str().expect("the panic is in the log");
    assert!(log.contains("as you wish"), "{trapped}");
    let at = |name: &str| trapped[name].as_u64().expect("a time");
    assert!(at("began_at_us") <= at("ended_at_us"), "{trapped}");
    let submitted = grid.job(&job)["submitted_at_us"].as_u64().expect("a time");
    assert!(submitted <= at("ended_at_us"), "{trapped}");
    let shown = grid.run(&["job", "show", &job, "--task", "0"]);
    let text = shown.ok();
    assert!(text.contains("backtrace:") && text.contains("as you wish"), "{text}");
    let said = task("1");
    assert_eq!(said["output"], json!("fine: fine"));
    assert_eq!(said["backtrace"], Value::Null);
    let text = grid.run(&["job", "show", &job, "--task", "1"]).ok().to_owned();
    assert!(text.contains("output:") && text.contains("fine: fine"), "{text}");
    let running = task("2");
    for name in ["output", "log", "began_at_us", "ended_at_us"] {
        assert_eq!(running[name], Value::Null, "{name}: {running}");
    }
    grid.run(&["job", "cancel", &job]).ok();
}

#[test]
fn a_worker_is_shown_with_its_rate_and_what_its_jail_lacks() {
    let grid = Grid::start(1, 2);
    let workers = read(&grid, &["worker", "list"]);
    let name = workers[0]["name"].as_str().expect("a name").to_owned();
    let worker = || read(&grid, &["worker", "show", &name]);
    wait_until("it to say what it is", || worker()["jail_lacks"].is_array());
    let told = worker();
    assert_eq!(told["isolation"], json!("process"));
    assert!(told["tasks_per_second"].is_number(), "{told}");
    assert_eq!(told["memory_taken_bytes"], json!(0), "it has no tasks");
    let text = grid.run(&["worker", "show", &name]).ok().to_owned();
    assert!(text.contains("isolation process"), "{text}");
}
