//! What is wrong before anything runs: each gets its exit code and an error that names the place
//! and the remedy.

use std::fs;

use wasmgrid_tests::{Finished, Home, guest};

fn run_file(contents: &[u8]) -> Finished {
    let home = Home::new();
    home.write("task.wasm", contents);
    home.run(["run", "task.wasm"])
}

#[test]
fn a_file_that_is_not_there_is_a_usage_error() {
    let home = Home::new();
    home.run(["run", "nowhere.wasm"]).fails_with(2, &["nowhere.wasm"]);
    home.run(["inspect", "nowhere.wasm"]).fails_with(2, &["nowhere.wasm"]);
    let noop = guest("noop");
    home.run(["run", &noop, "--lines", "nowhere"]).fails_with(2, &["nowhere"]);
    home.run(["run", &noop, "--files", "nowhere/*"]).fails_with(2, &["nowhere"]);
}

#[test]
fn a_file_that_is_no_task_is_refused_with_what_was_found() {
    run_file(b"").fails_with(3, &["empty"]);
    run_file(b"#!/bin/sh\necho hi\n").fails_with(3, &["script"]);
    run_file(b"\x7fELF\x02\x01\x01").fails_with(3, &["ELF"]);
    run_file(b"(module)").fails_with(3, &["text"]);
    run_file(b"\0asm\x01\0\0\0").fails_with(3, &["_start", "wasmgrid:task/guest", "wasi:cli/run"]);
    run_file(b"\0asm\x63\0\0\0").fails_with(3, &["version"]);
    let mut truncated = fs::read(guest("noop")).expect("a guest");
    truncated.truncate(truncated.len() / 2);
    run_file(&truncated).fails_with(3, &["offset"]);
}

#[test]
fn an_import_the_grid_does_not_have_is_refused_by_its_name() {
    let wat = r#"(module (import "env" "launch_missiles" (func)) (func (export "_start")))"#;
    let module = wat::parse_str(wat).expect("valid text");
    run_file(&module).fails_with(3, &["env", "launch_missiles"]);
}

#[test]
fn a_feature_that_is_off_is_refused_by_its_name() {
    let wat = r#"(module (memory i64 1) (func (export "_start")))"#;
    let module = wat::parse_str(wat).expect("valid text");
    run_file(&module).fails_with(3, &["memory64"]);
}

#[test]
fn a_preview_1_command_runs_as_it_is() {
    let home = Home::new();
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 8) "old but good\n")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 8))
            (i32.store (i32.const 4) (i32.const 13))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))))"#;
    home.write("old.wasm", wat::parse_str(wat).expect("valid text"));
    assert_eq!(home.run(["run", "old.wasm"]).ok(), "old but good\n");
    let inspected = home.run(["inspect", "old.wasm"]);
    assert!(inspected.ok().contains("preview 1"), "{inspected}");
}

#[test]
fn nonsense_on_the_command_line_is_a_usage_error() {
    let home = Home::new();
    let noop = guest("noop");
    home.run(["run", &noop, "--range", "5"]).fails_with(2, &["--range"]);
    home.run(["run", &noop, "--range", "0..10/0"]).fails_with(2, &["--range"]);
    home.run(["run", &noop, "--range", "0..99999999999999999999"]).fails_with(2, &["--range"]);
    home.run(["run", &noop, "--range", "3..1"]).fails_with(2, &["1..3", "3..1/-1"]);
    home.run(["run", &noop, "--memory", "lots"]).fails_with(2, &["64MiB"]);
    home.run(["run", &noop, "--memory", "64"]).fails_with(2, &["no unit", "64MiB"]);
    home.run(["run", &noop, "--timeout", "5"]).fails_with(2, &["no unit", "5s"]);
    home.run(["run", &noop, "--allow", "everything"]).fails_with(2, &["clock", "random"]);
    home.run(["run", &noop, "--wrong"]).fails_with(2, &["--wrong"]);
    home.run(["run", &noop, "--lines", "a", "--range", "0..1"]).fails_with(2, &["--range"]);
    home.run(["run", &noop, "--", "word"]).fails_with(2, &["word"]);
    home.run(["new", "not a name"]).fails_with(2, &["not a name"]);
    home.run(["join", "wgt1.nonsense"]).fails_with(2, &["token"]);
    home.run(["run", &noop, "--context", "unheard"]).fails_with(2, &["unheard"]);
}

#[test]
fn what_was_meant_is_named_where_a_command_line_says_something_else() {
    let home = Home::new();
    let noop = guest("noop");
    home.write("in/a.txt", "a");
    home.write("in/b.txt", "b");
    let pattern = &["--files 'in/*.txt'", "quote"];
    home.run(["run", &noop, "--files", "in/a.txt", "in/b.txt"]).fails_with(2, pattern);
    home.run(["run", &noop, "in/a.txt", "in/b.txt"]).fails_with(2, pattern);
    home.run(["run", &noop, "--range", "0..3", "-o", "json"]).fails_with(2, &["--output json"]);
    assert!(!home.path().join("json").exists());
    let units = ["--memory", "64m", "--timeout", "5S", "--output-limit", "1mb", "--fuel", "1g"];
    home.run(["run", &noop, "--range", "5..5"].into_iter().chain(units)).ok();
}

#[test]
fn a_job_that_never_was_leaves_the_output_file_as_it_was() {
    let home = Home::new();
    let noop = guest("noop");
    home.write("out", "precious\n");
    home.write("values", "{\"a\": }\n");
    home.run(["run", &noop, "--json", "values", "-o", "out"]).fails_with(2, &["values:1:"]);
    home.run(["run", &noop, "-o", "out", "--context", "unheard"]).fails_with(2, &["unheard"]);
    assert_eq!(home.read("out"), "precious\n");
    let nowhere = home.run(["run", &noop, "-o", "nowhere/out", "--range", "0..3"]);
    nowhere.fails_with(2, &["nowhere/out", "folder"]);
}

#[test]
fn a_line_that_is_no_json_is_named_by_its_place() {
    let home = Home::new();
    let noop = guest("noop");
    home.write("values", "{\"a\": 1}\n{\"a\": }\n");
    let args = ["run", &noop, "--json", "values"];
    home.run(args).fails_with(2, &["values:2:"]);
}

#[test]
fn an_input_that_does_not_fit_the_type_is_the_tasks_failure() {
    let home = Home::new();
    let spin = guest("spin");
    home.write("in", "1\n\"two\"\n");
    let args = ["run", &spin, "--lines", "in"];
    home.run(args).fails_with(1, &["in:2", "rejected", "u64"]);
}

#[test]
fn a_folder_without_a_crate_is_a_usage_error() {
    let home = Home::new();
    fs::create_dir(home.path().join("empty")).expect("a folder");
    home.run(["run", "empty"]).fails_with(2, &["empty", "Cargo.toml"]);
}

#[test]
fn a_crate_that_does_not_build_shows_what_the_compiler_says() {
    let home = Home::new();
    home.run(["new", "broken"]).ok();
    home.write("broken/src/main.rs", "fn main() { let x: u64 = \"no\"; }\n");
    let finished = home.run(["run", "broken"]);
    finished.fails_with(2, &["mismatched types"]);
}

#[test]
fn an_unknown_key_of_a_config_file_is_named() {
    let home = Home::new();
    home.write("server.toml", "lisen = \"127.0.0.1:0\"\n");
    home.run(["server", "--config", "server.toml"]).fails_with(2, &["server.toml", "lisen"]);
}
