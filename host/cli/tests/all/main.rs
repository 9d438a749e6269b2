//! The binary by itself, without a task. What it does with tasks and grids is tested in
//! `tests/`, which runs the binary that cargo builds for this test.

#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

#[path = "../../build.rs"]
#[expect(dead_code, reason = "cargo runs the rest of it")]
mod built;

use std::{
    fs, io,
    path::Path,
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

/// A repository with this crate's file for archives and one commit, whose number it gives.
fn repository(root: &Path) -> Option<String> {
    let file = root.join("host/cli/commit");
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    fs::write(&file, "$Format:%H$\n").expect("written");
    fs::write(root.join(".gitattributes"), "host/cli/commit export-subst\n").expect("written");
    git(root, &["init", "--quiet"])?;
    git(root, &["add", "."])?;
    let who = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
    git(root, &[&who[..], &["commit", "--quiet", "--no-gpg-sign", "-m", "one"]].concat())?;
    git(root, &["rev-parse", "HEAD"])
}

fn git(root: &Path, args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    git.env("HOME", root).env("GIT_CONFIG_NOSYSTEM", "1").env_remove("GIT_DIR");
    let output = git.arg("-C").arg(root).args(args).output().ok()?;
    assert!(output.status.success(), "git {args:?}: {output:?}");
    Some(String::from_utf8(output.stdout).expect("text").trim().to_owned())
}

#[test]
fn the_commit_is_known_in_a_checkout_and_in_an_archive_and_else_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let Some(commit) = repository(root) else { return eprintln!("skipped: git does not start") };
    let short = format!("commit {}", &commit[..12]);
    assert_eq!(built::commit(root), Some(short.clone()));
    // What was changed since then is not that commit.
    fs::write(root.join(".gitattributes"), "host/cli/commit export-subst\n\n").expect("written");
    assert_eq!(built::commit(root), Some(format!("{short} and changes")));
    // An archive within a checkout is not of that one's commit.
    let within = root.join("unpacked");
    fs::create_dir_all(within.join("host/cli")).expect("made");
    fs::write(within.join("host/cli/commit"), "$Format:%H$\n").expect("written");
    assert_eq!(built::commit(&within), None);
    let archived = git(root, &["archive", "--format=tar", "HEAD", "host/cli/commit"]);
    let archived = archived.expect("it was there before");
    // Before it there is the archive's own comment.
    assert_eq!(archived.matches(&commit).count(), 2, "{archived}");
    fs::write(within.join("host/cli/commit"), &commit).expect("written");
    assert_eq!(built::commit(&within), Some(short));
}
