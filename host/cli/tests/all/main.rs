//! The binary by itself, without a task. What it does with tasks and grids is tested in
//! `tests/`, which runs the binary that cargo builds for this test.

use std::{
    io,
    process::{Command, Output},
};

fn wasmgrid(args: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_wasmgrid")).args(args).output()
}

#[test]
fn help_tells_every_exit_code() {
    let help = wasmgrid(&["--help"]).expect("the binary starts");
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).expect("text");
    for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "130 "] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(code)), "{code} in {text}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_was_wrong() {
    let wrong = wasmgrid(&["run", "--nonsense"]).expect("the binary starts");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--nonsense"));
}
