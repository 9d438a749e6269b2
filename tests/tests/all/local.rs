//! `wasmgrid run` on the grid of this machine: inputs, outputs, limits and failures.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::{Value, json};

use wasmgrid_tests::{Daemon, Home, guest, wait_until};

/// SIGHUP: the terminal is closed.
const HANGUP: i32 = 1;

/// The objects of `--output json`, one a result.
fn objects(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[test]
fn results_come_in_input_order_whatever_ran_first() {
    let home = Home::new();
    let finished = home.run(["run", &guest("noop"), "--range", "0..5000"]);
    let expected: String = (0..5000).map(|n| format!("{n}\n")).collect();
    assert!(finished.ok() == expected, "{finished}");
}

#[test]
fn every_kind_of_input_makes_one_task_a_piece() {
    let home = Home::new();
    let noop = guest("noop");
    home.write("lines", "a\n\nb\nlast without newline");
    assert_eq!(home.run(["run", &noop, "--lines", "lines"]).ok(), "a\nb\nlast without newline\n");
    home.write("values", "{\"a\": 1}\n[2]\n");
    assert_eq!(home.run(["run", &noop, "--json", "values"]).ok(), "{\"a\": 1}\n[2]\n");
    home.write("files/one", "1");
    home.write("files/two", "2");
    assert_eq!(home.run(["run", &noop, "--files", "files/*"]).ok(), "1\n2\n");
    assert_eq!(home.run(["run", &noop, "--range", "10..0/-5"]).ok(), "10\n5\n");
    assert_eq!(home.run(["run", &noop, "--range", "-1..=1"]).ok(), "-1\n0\n1\n");
    assert_eq!(home.run_with_stdin(["run", &noop, "--lines", "-"], b"x\ny\n").ok(), "x\ny\n");
    assert_eq!(home.run_with_stdin(["run", &noop, "--json", "-"], b"1\n").ok(), "1\n");
    assert_eq!(home.run_with_stdin(["run", &noop, "--files", "-"], b"files/two\n").ok(), "2\n");
}

#[test]
fn without_an_input_flag_the_task_is_a_filter() {
    let home = Home::new();
    let noop = guest("noop");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let finished = home.run_with_stdin(["run", &noop], &bytes);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout == bytes, "bytes were changed on the way");
}

#[test]
fn outputs_of_every_length_come_back_as_the_task_returned_them() {
    let home = Home::new();
    let noop = guest("noop");
    // Not one byte: the guest's memory is reused in other ways for the small and the large.
    let line = |length: usize| "x".repeat(length);
    let lines = [1, 6, 100, 4_000, 70_000, 900_000, 3_000_000].map(line).join("\n") + "\n";
    home.write("lines", &lines);
    let finished = home.run(["run", &noop, "--lines", "lines"]);
    assert!(finished.ok() == lines, "bytes were changed on the way");
    assert_eq!(home.run_with_stdin(["run", &guest("moods")], b"").ok(), "fine: ");
}

#[test]
fn emitted_records_come_before_their_result() {
    let home = Home::new();
    home.write("in", "records\nhello\n");
    let moods = guest("moods");
    let finished = home.run(["run", &moods, "--lines", "in"]);
    assert_eq!(finished.ok(), "first record\nsecond record\nafter two records\nfine: hello\n");
}

#[test]
fn json_output_tells_all_of_each_result() {
    let home = Home::new();
    home.write("in", "hello\nreject\nexit\n");
    let moods = guest("moods");
    let finished = home.run(["run", &moods, "--lines", "in", "--output", "json"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    let results = objects(finished.text());
    let outcomes: Vec<_> = results.iter().map(|result| &result["outcome"]).collect();
    assert_eq!(outcomes, ["ok", "rejected", "exit"]);
    assert_eq!(results[0]["output"], json!("fine: hello"));
    assert!(results[0]["usage"]["fuel"].as_str().expect("digits") != "0");
    assert_eq!(results[1]["attempt"], json!(1));
    let summary: Value =
        serde_json::from_str(finished.stderr.lines().last().expect("a summary")).expect("JSON");
    assert_eq!(summary["counts"]["ok"], json!(1));
    assert_eq!(summary["counts"]["failed"], json!(2));
}

#[test]
fn each_limit_names_itself_its_use_and_the_flag_that_raises_it() {
    let home = Home::new();
    let moods = guest("moods");
    let run = |mood: &str, flags: &[&str]| {
        let mut args = vec!["run", &moods];
        args.extend(flags);
        home.run_with_stdin(args, mood.as_bytes())
    };
    run("loop", &["--fuel", "10M"]).fails_with(1, &["limit(fuel)", "10M", "--fuel"]);
    run("loop", &["--timeout", "200ms"]).fails_with(1, &["limit(deadline)", "200ms", "--timeout"]);
    run("flood", &["--memory", "256MiB"]).fails_with(1, &["limit(output)", "16MiB"]);
    let eaten: u64 = run("eat", &["--memory", "32MiB"]).ok().trim().parse().expect("a number");
    assert!((8..32).contains(&eaten), "{eaten} MiB of 32");
}

#[test]
fn every_way_to_fail_says_which_it_was() {
    let home = Home::new();
    let moods = guest("moods");
    let run = |mood: &str| home.run_with_stdin(["run", &moods], mood.as_bytes());
    run("reject").fails_with(1, &["rejected", "this will never work"]);
    run("retry").fails_with(1, &["come back later", "--retries"]);
    run("panic").fails_with(1, &["trap", "as you wish"]);
    // WASI 0.2 tells success from failure alone: the guest's 7 is lost before it reaches the host.
    run("exit").fails_with(1, &["exit code 1"]);
    let escaped = run("escape");
    escaped.fails_with(1, &["red", "alert"]);
    assert!(!escaped.stderr.contains('\u{1b}'), "a guest wrote to the terminal: {escaped}");
}

#[test]
fn a_task_that_asks_for_a_retry_gets_as_many_as_the_job_allows() {
    let home = Home::new();
    let moods = guest("moods");
    let args = ["run", &moods, "--retries", "2", "--output", "json"];
    let finished = home.run_with_stdin(args, b"retry");
    assert_eq!(finished.code, Some(1), "{finished}");
    assert_eq!(objects(finished.text())[0]["attempt"], json!(3));
}

#[test]
fn after_too_many_failures_the_rest_is_skipped() {
    let home = Home::new();
    let moods = guest("moods");
    home.write("in", "reject\n".repeat(50_000));
    let args = ["run", &moods, "--lines", "in", "--max-failures", "3", "--output", "json"];
    let finished = home.run(args);
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let summary: Value =
        serde_json::from_str(finished.stderr.lines().last().expect("a summary")).expect("JSON");
    let skipped = summary["counts"]["skipped"].as_u64().expect("a number");
    let failed = summary["counts"]["failed"].as_u64().expect("a number");
    assert!(failed >= 3 && skipped > 0, "{summary}");
    let total = if summary["all_read"] == true { 50_000 } else { failed + skipped };
    assert_eq!((failed + skipped, summary["counts"]["total"].as_u64()), (total, Some(total)));
    let kept = home.read(summary["failed_inputs"].as_str().expect("a file"));
    assert_eq!(kept.lines().count() as u64, 1 + total, "all that were read are kept: {summary}");
}

#[test]
fn a_plain_command_that_knows_no_grid_runs_from_stdin_to_stdout() {
    let home = Home::new();
    let sleeper = guest("sleeper");
    // A virtual sleep takes no time, and an hour is above no limit but the deadline's.
    let args = ["run", &sleeper, "--timeout", "2h"];
    assert_eq!(home.run_with_stdin(args, b"3600000").ok(), "3600000\n");
}

#[test]
fn a_granted_clock_is_real_and_the_deadline_ends_a_real_sleep() {
    let home = Home::new();
    let sleeper = guest("sleeper");
    let args = ["run", &sleeper, "--allow", "clock", "--timeout", "300ms"];
    home.run_with_stdin(args, b"600000").fails_with(1, &["limit(deadline)"]);
}

#[test]
fn in_process_isolation_gives_the_same_bytes() {
    let home = Home::new();
    let spin = guest("spin");
    let jailed = home.run(["run", &spin, "--range", "0..300"]);
    let bare = home.run(["run", &spin, "--range", "0..300", "--isolation", "in-process"]);
    assert_eq!(jailed.ok(), bare.ok());
}

#[test]
fn the_first_ctrl_c_cancels_a_local_job_and_keeps_what_has_ended() {
    let home = Home::new();
    let moods = guest("moods");
    home.write("in", "hello\nloop\nloop\nloop\nloop\n");
    let args = ["run", &moods, "--lines", "in", "--order", "done"];
    let mut job = Daemon::start(home.command(args));
    job.hear("the first result", |line| (line == "fine: hello").then_some(()));
    assert_eq!(job.interrupt().code(), Some(130), "{}", job.said());
}

#[test]
fn a_hangup_ends_a_local_job_as_ctrl_c_does() {
    let home = Home::new();
    let moods = guest("moods");
    home.write("in", "hello\nloop\nloop\n");
    let args = ["run", &moods, "--lines", "in", "--order", "done"];
    let mut job = Daemon::start(home.command(args));
    job.hear("the first result", |line| (line == "fine: hello").then_some(()));
    job.signal(HANGUP);
    assert_eq!(job.wait().code(), Some(130), "{}", job.said());
    assert!(job.said().contains("3 tasks: 1 ok"), "{}", job.said());
}

#[test]
fn several_lines_that_were_one_input_are_explained_with_the_flag_that_splits_them() {
    let home = Home::new();
    let spin = guest("spin");
    let finished = home.run_with_stdin(["run", &spin], b"1\n2\n");
    finished
        .fails_with(1, &["trailing characters", "add `-` after the task to make each line one"]);
    home.run_with_stdin(["run", &spin, "-"], b"1\n2\n").ok();
}

#[test]
fn an_allocation_that_fails_is_explained_with_more_memory() {
    let home = Home::new();
    let finished = home.run_with_stdin(["run", &guest("moods")], b"gulp");
    finished.fails_with(1, &["memory allocation of", "95.3MiB more: --memory 512MiB"]);
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    let home = Home::new();
    let noop = guest("noop");
    let mut command = home.command(["run", &noop, "--range", "0..200000"]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
    assert_eq!(first, "0\n");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn results_stream_while_inputs_still_come() {
    let home = Home::new();
    let noop = guest("noop");
    let mut command = home.command(["run", &noop, "--lines", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    for n in 0..3 {
        std::io::Write::write_all(&mut stdin, format!("{n}\n").as_bytes()).expect("it reads");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        assert_eq!(line, format!("{n}\n"));
    }
    drop(stdin);
    wait_until("the run to end", || child.try_wait().expect("a child of ours").is_some());
}

#[test]
fn what_a_task_prints_is_in_its_log_and_not_in_its_result() {
    let home = Home::new();
    let chatty = guest("chatty");
    let all = home.run(["run", &chatty, "--range", "1..=2"]);
    assert_eq!(all.ok(), "\"record of 1\"\n2\n\"record of 2\"\n4\n");
    let all = home.run(["run", &chatty, "--range", "1..=2", "--output", "json"]);
    for result in objects(all.ok()) {
        let n = result["index"].as_u64().expect("a number") + 1;
        assert_eq!(result["output"], json!((2 * n).to_string()));
        assert_eq!(result["log"], json!(format!("out: n is {n}\nerr: n is {n}\nhalf a line")));
    }
    // What is dropped of it is no failure, as it would be of an output.
    let flags = ["--log-limit", "6B", "--output-limit", "20B", "--output", "json"];
    let cut = home.run(["run", &chatty, "--range", "1..=1"].into_iter().chain(flags));
    let cut = &objects(cut.ok())[0];
    assert_eq!((&cut["log"], &cut["log_dropped"]), (&json!("out: n"), &json!(29)));
}
