//! What commands find that others wrote: their own name, their arguments, and which exit codes are no
//! failure.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use serde_json::{Value, json};
use wasmgrid_tests::{Grid, Home, guest};

/// A preview 1 command that prints its name and its arguments, each with a zero byte behind it, and
/// ends with the number that its input begins with.
const ECHO: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get"
        (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read"
        (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (drop (call $args (i32.const 1024) (i32.const 4096)))
        (i32.store (i32.const 8) (i32.const 4096))
        (i32.store (i32.const 12) (i32.load (i32.const 4)))
        (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
        (i32.store (i32.const 8) (i32.const 32))
        (i32.store (i32.const 12) (i32.const 1))
        (i32.store8 (i32.const 32) (i32.const 48))
        (drop (call $read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 16)))
        (call $exit (i32.sub (i32.load8_u (i32.const 32)) (i32.const 48)))))"#;

fn home_with_echo() -> Home {
    let home = Home::new();
    home.write("say it.wasm", wat::parse_str(ECHO).expect("the test's text"));
    home
}

#[test]
fn a_command_finds_its_files_name_and_arguments_of_any_bytes() {
    let home = home_with_echo();
    let odd = OsStr::from_bytes(b"\xff=\x80");
    let args = [OsStr::new("run"), OsStr::new("say it.wasm"), OsStr::new("--"), odd];
    let ran = home.run(args.into_iter().chain(["", "-v"].map(OsStr::new)));
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(ran.stdout, b"say it\0\xff=\x80\0\0-v\0");
}

#[test]
fn a_component_is_given_no_argument_that_is_no_text() {
    let home = Home::new();
    let files = guest("files");
    let words = ["run", &files, "--"].map(OsStr::new);
    let ran = home.run(words.into_iter().chain([OsStr::from_bytes(b"a\xff")]));
    ran.fails_with(2, &["argument 1", r"$'a\377'", "not valid UTF-8", "wasm32-wasip1"]);
}

#[test]
fn exit_codes_that_the_job_lists_are_no_failures_and_keep_their_output() {
    let home = home_with_echo();
    home.write("in", "0\n1\n2\n");
    let args = ["run", "say it.wasm", "--lines", "in", "--output", "json"];
    let ran = home.run(args.into_iter().chain(["--ok-exit", "0,1"]));
    ran.fails_with(1, &["exit code 2", "\"failed\":1"]);
    let results: Vec<Value> = String::from_utf8_lossy(&ran.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let ends: Vec<_> = results.iter().map(|result| result["outcome"].clone()).collect();
    assert_eq!(ends, ["ok", "ok", "exit"]);
    assert_eq!(results[1]["output"], json!("say it\0"));
    // One is not needed for the other, and 0 is always ok.
    home.run(args.into_iter().chain(["--ok-exit", "2", "--ok-exit", "1"])).ok();
    // A rerun has the same codes and arguments.
    let kept = std::fs::read_dir(home.path()).expect("a folder").filter_map(Result::ok);
    let kept =
        kept.map(|entry| entry.path()).find(|path| path.extension() == Some("failed".as_ref()));
    let kept = kept.expect("the failed input is kept");
    let kept = kept.to_str().expect("a plain name");
    home.run(["run", "--again", kept]).fails_with(1, &["exit code 2"]);
    home.run(["run", "--again", kept, "--ok-exit", "2"]).ok();
    home.run(["run", &guest("noop"), "--ok-exit", "1"]).fails_with(2, &["--ok-exit", "commands"]);
}

#[test]
fn a_cluster_judges_exit_codes_by_the_jobs_list_and_so_does_a_retry() {
    let grid = Grid::start(1, 1);
    let echo = grid.home.write("echo.wasm", wat::parse_str(ECHO).expect("the test's text"));
    let echo = echo.to_str().expect("a plain path");
    grid.home.write("in", "0\n1\n2\n");
    let submitted =
        grid.run(&["submit", echo, "--lines", "in", "--ok-exit", "1", "--name", "j", "--", "x"]);
    let job = submitted.ok().trim().to_owned();
    grid.run(&["job", "wait", &job]).fails_with(1, &[]);
    let counts = &grid.job(&job)["counts"];
    assert_eq!((&counts["ok"], &counts["failed"]), (&json!(2), &json!(1)));
    let shown = grid.job(&job);
    assert_eq!((&shown["ok_exits"], &shown["args"]), (&json!([1]), &json!(["x"])));
    let retried = grid.run(&["job", "retry", &job, "--failed"]);
    let again = retried.ok().trim().to_owned();
    grid.run(&["job", "wait", &again]).fails_with(1, &[]);
    assert_eq!(grid.job(&again)["ok_exits"], json!([1]));
    let results = grid.run(&["job", "results", &job]);
    assert_eq!(String::from_utf8_lossy(&results.stdout), "echo\0x\0\necho\0x\0\n");
}

#[test]
fn a_sleep_without_the_clock_is_told_as_what_it_is() {
    let home = Home::new();
    let sleeper = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 3600000000000))
            (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;
    home.write("sleeper.wasm", wat::parse_str(sleeper).expect("the test's text"));
    let ran = home.run(["run", "sleeper.wasm"]);
    ran.fails_with(1, &["its virtual clock came to 1h of 2m allowed", "--timeout 2h"]);
    assert!(!ran.stderr.contains("used 1h"), "{ran}");
    // What is proposed helps, and none of it is waited for.
    home.run(["run", "sleeper.wasm", "--timeout", "2h"]).ok();
}
