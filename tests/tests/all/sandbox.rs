//! What the sandbox promises, seen through the binary: the same results whatever separates tasks,
//! and the operator's word on what a job may ask for.

use serde_json::Value;

use wasmgrid_tests::{Grid, Home, example, guest};

/// The lines of a run as JSON, without what tells time and place.
fn timeless(home: &Home, isolation: &str, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["run", "--output", "json", "--slots", "2", "--isolation", isolation];
    all.extend(args);
    let finished = home.run(&all);
    assert!(!finished.stdout.is_empty(), "{finished}");
    let lines = finished.text().lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        line["usage"]["wall_us"] = Value::Null;
        line["worker"] = Value::Null;
        // The place in the log is when it ended.
        line["cursor"] = Value::Null;
        line
    });
    lines.collect()
}

#[test]
fn results_logs_and_fuel_are_the_same_whatever_separates_tasks_and_whenever_they_run() {
    let home = Home::new();
    let moods = ["reject", "retry", "panic", "exit", "records", "escape", "eat", "flood", "well"];
    home.write("moods", moods.join("\n"));
    home.write("text", "one\ntwo\n\nthree");
    let (moods, echo, noop) = (guest("moods"), guest("echo"), guest("noop"));
    let (primes, montecarlo, grep) = (example("primes"), example("montecarlo"), example("grep"));
    for args in [
        vec![&*moods, "--lines", "moods"],
        vec![&echo, "--lines", "text"],
        vec![&noop, "--range", "0..50"],
        vec![&primes, "--range", "0..5"],
        vec![&montecarlo, "--range", "0..5"],
        vec![&grep, "--lines", "text", "--", "o"],
    ] {
        let first = timeless(&home, "process", &args);
        assert!(first.iter().all(|line| line["deterministic"] == true), "{first:?}");
        for isolation in ["process", "task", "in-process", "task", "process"] {
            assert_eq!(timeless(&home, isolation, &args), first, "{isolation}: {args:?}");
        }
    }
}

#[test]
fn a_job_that_asks_for_more_than_the_operator_allows_is_refused_with_both_numbers() {
    let mut grid = Grid::start(0, 1);
    grid.add_worker_with(1, &["--max", "memory=80MiB", "--max", "timeout=3m"]);
    let noop = guest("noop");
    grid.run(&["run", &noop, "--range", "0..1", "--memory", "80MiB"]).ok();
    grid.run(&["run", &noop, "--range", "0..1", "--memory", "81MiB"])
        .fails_with(3, &["a memory limit of 81MiB, but the operator allows at most 80MiB"]);
    grid.run(&["run", &noop, "--range", "0..1", "--timeout", "4m"])
        .fails_with(3, &["a deadline limit of 4m, but the operator allows at most 3m"]);
}
