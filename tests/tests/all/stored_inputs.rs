//! `wasmgrid job results`: results belong to their inputs also if another command submitted them, as
//! long as the grid has the inputs.

use std::fs;

use serde_json::{Value, json};
use wasmgrid_tests::{Grid, example, guest};

/// Submits a job, waits for its end, and gives its id.
fn submit(grid: &Grid, args: &[&str]) -> String {
    let job = grid.run(&[&["submit"], args].concat()).ok().trim().to_owned();
    let waited = grid.run(&["job", "wait", &job]);
    assert!(matches!(waited.code, Some(0 | 1)), "{waited}");
    job
}

/// The results of a job as JSON, in the order in which they are printed.
fn objects(grid: &Grid, job: &str, flags: &[&str]) -> Vec<Value> {
    let read = grid.run(&[&["job", "results", job, "--output", "json"], flags].concat());
    read.text().lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn inputs(grid: &Grid, job: &str) -> Vec<Value> {
    let input = |result: &Value| result.get("input").cloned().unwrap_or_default();
    objects(grid, job, &[]).iter().map(input).collect()
}

fn with_inputs(grid: &Grid, job: &str) -> String {
    grid.run(&["job", "results", job, "--with-input"]).text().to_owned()
}

#[test]
fn results_that_are_read_later_have_their_inputs_also_after_a_restart() {
    let mut grid = Grid::start(1, 2);
    let (noop, moods, grep) = (guest("noop"), guest("moods"), example("grep"));
    grid.home.write("in", b"ada\n\xff\nreject\n");
    grid.home.write("rows", "ab\ncb\nb\n");
    grid.home.write("file", "one\ntwo\n");
    let lines = submit(&grid, &[&moods, "in"]);
    let range = submit(&grid, &[&noop, "--range", "10..4/-2"]);
    let batches = submit(&grid, &[&grep, "rows", "--batch", "2", "--", "b"]);
    let files = submit(&grid, &[&grep, "--files", "file", "--", "o"]);
    let retry = grid.run(&["job", "retry", &lines, "--failed"]).ok().trim().to_owned();
    grid.run(&["job", "wait", &retry]).fails_with(1, &[]);
    let check = |grid: &Grid| {
        let binary = json!({"base64": "/w=="});
        assert_eq!(inputs(grid, &lines), [json!("ada"), binary.clone(), json!("reject")]);
        assert_eq!(inputs(grid, &range), [json!("10"), json!("8"), json!("6")]);
        assert_eq!(inputs(grid, &batches), [json!("ab\ncb\n"), json!("b\n")]);
        assert_eq!(inputs(grid, &files), [json!("one\ntwo\n")]);
        // What is no text fails too.
        assert_eq!(inputs(grid, &retry), [binary, json!("reject")]);
        let show = |flags: &[&str]| {
            let args = [&["job", "show", lines.as_str(), "--task", "2"], flags].concat();
            grid.run(&args).ok().to_owned()
        };
        let task: Value = serde_json::from_str(&show(&["--output", "json"])).expect("JSON");
        assert_eq!(task["input"], json!("reject"));
        let read = grid.run(&["job", "results", &lines]);
        read.fails_with(1, &["task 2 failed", "input    reject", "job retry 1 --failed"]);
        assert!(show(&[]).lines().any(|line| line.split_whitespace().eq(["input", "reject"])));
        assert_eq!(with_inputs(grid, &range), "10\t10\n8\t8\n6\t6\n");
        // Several lines are no beginning of a line: the task is.
        let expected = format!("{batches}/0\tab\n{batches}/0\tcb\nb\tb\n");
        assert_eq!(with_inputs(grid, &batches), expected);
        assert_eq!(with_inputs(grid, &files), format!("{files}/0\tone\n{files}/0\ttwo\n"));
    };
    check(&grid);
    grid.kill_scheduler();
    grid.restart_scheduler();
    check(&grid);
}

#[test]
fn thousands_of_results_have_their_inputs_in_either_order_and_from_any_place() {
    let grid = Grid::start(2, 2);
    let text: String = (0..20_000).map(|n| format!("line {n} {}\n", "x".repeat(n % 200))).collect();
    grid.home.write("many", text);
    let job = submit(&grid, &[&guest("noop"), "many"]);
    for flags in [&[][..], &["--order", "done"], &["--from", "12345"]] {
        let results = objects(&grid, &job, flags);
        assert_eq!(results.len(), if flags.contains(&"--from") { 20_000 - 12_345 } else { 20_000 });
        for result in results {
            let index = result["index"].as_u64().expect("a number");
            let begins = format!("line {index} ");
            let input = result["input"].as_str().expect("a text");
            assert!(input.starts_with(&begins) && result["output"] == result["input"], "{result}");
        }
    }
}

#[test]
fn inputs_that_are_deleted_are_left_out_and_the_task_stands_for_them() {
    let mut grid = Grid::start(1, 2);
    grid.restart_scheduler_with(|command| _ = command.env("WASMGRID_KEEP_INPUTS", "0B"));
    grid.home.write("in", "ada\nbob\n");
    grid.home.write("failed", "fine\nreject\n");
    let job = submit(&grid, &[&guest("moods"), "in"]);
    assert_eq!(inputs(&grid, &job), [Value::Null, Value::Null]);
    let read = grid.run(&["job", "results", &job, "--with-input"]);
    assert_eq!(read.ok(), format!("{job}/0\tfine: ada\n{job}/1\tfine: bob\n"));
    assert!(read.stderr.contains("the inputs of 2 results were deleted"), "{read}");
    // Those that may have to be run again are kept, with what came together with them.
    let job = submit(&grid, &[&guest("moods"), "failed"]);
    assert_eq!(inputs(&grid, &job), [json!("fine"), json!("reject")]);
}

#[test]
fn results_that_are_read_later_have_files_of_their_own() {
    let grid = Grid::start(1, 2);
    let job = submit(&grid, &[&guest("noop"), "--range", "7..9"]);
    let read = |dir: &str, flags: &[&str]| {
        grid.run(&[&["job", "results", job.as_str(), "--out-dir", dir], flags].concat())
    };
    assert_eq!(read("a", &[]).ok(), "");
    assert_eq!(read("b/{index}.txt", &["--output", "json"]).ok().lines().count(), 2);
    let written = |name: &str| fs::read_to_string(grid.home.path().join(name)).expect("written");
    assert_eq!(["a/0", "a/1", "b/0.txt", "b/1.txt"].map(written), ["7", "8", "7", "8"]);
    read("a", &[]).fails_with(2, &["a/0, which exists"]);
    read("c/{name}", &[]).fails_with(2, &["{index}"]);
    for flags in [&["-o", "x"][..], &["--order", "done"], &["--with-input"]] {
        read("c", flags).fails_with(2, &["--out-dir"]);
    }
    let both = grid.run(&["job", "results", &job, "--with-input", "--output", "json"]);
    both.fails_with(2, &["--with-input"]);
}
