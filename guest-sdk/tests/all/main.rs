//! A task as `cargo run` runs it: a program that maps lines.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    env,
    fs::File,
    io::{self, Write as _},
    process::{Command, Output, Stdio},
};

/// The example of this name, which cargo has built beside the tests, with an input a line.
fn example(name: &str) -> Command {
    let test = env::current_exe().expect("it runs");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps");
    let mut command = Command::new(profile.join("examples").join(name));
    command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn map(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().expect("the example is built with the tests");
    let mut stdin = child.stdin.take().expect("piped");
    // It may have ended before it has read everything.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

const RESULTS: &[u8] = b"\"record of 1\"\n2\n\"record of 2\"\n4\n";

#[test]
fn what_a_task_prints_is_not_among_its_results() {
    let done = map(example("chatty"), "1\n2\n");
    assert!(done.status.success());
    assert_eq!(done.stdout, RESULTS);
    let said = String::from_utf8(done.stderr).expect("text");
    for line in ["out: n is 1\n", "err: n is 1\n", "out: n is 2\n"] {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(said.matches("half a line").count(), 2, "{said}");
}

#[test]
fn a_line_that_fails_ends_the_run_with_1_and_no_other_line() {
    let done = map(example("chatty"), "1\nx\n2\n");
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(done.stdout, RESULTS);
    let said = String::from_utf8(done.stderr).expect("text");
    assert!(said.contains("line 2: rejected: "), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn results_that_cannot_be_written_are_an_error_and_a_reader_that_has_enough_is_none() {
    let full = File::options().write(true).open("/dev/full").expect("/dev/full is there");
    let mut command = example("chatty");
    command.stdout(full);
    let done = map(command, "1\n");
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("No space left"), "{done:?}");

    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut command = example("chatty");
    command.stdout(writer);
    let done = map(command, "1\n");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
}

#[test]
fn the_value_of_all_tasks_is_given_to_the_program() {
    let mut command = example("scale");
    command.args(["--with", r#"[10, "mm"]"#]);
    let done = map(command, "1\n2\n");
    assert_eq!((done.status.code(), &done.stdout[..]), (Some(0), &b"10mm\n20mm\n"[..]));
    let done = map(example("scale"), "1\n");
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8(done.stderr).expect("text");
    assert!(said.contains("--with JSON"), "{said}");
}
