//! Crates of `wasmgrid new`, and what becomes of them: built, run, and run without a grid.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use wasmgrid_tests::{Finished, Home};

/// What the crates of this file are built in: they rest on the same ones.
fn target() -> &'static Path {
    static TARGET: OnceLock<tempfile::TempDir> = OnceLock::new();
    TARGET.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

/// A new crate, with this in its `src/main.rs` where that is not empty.
fn new(home: &Home, name: &str, main: &str) -> PathBuf {
    home.run(["new", name]).ok();
    if !main.is_empty() {
        home.write(&format!("{name}/src/main.rs"), main);
    }
    home.path().join(name)
}

fn finish(mut command: Command, folder: &Path, stdin: &str) -> Finished {
    command.current_dir(folder).env("CARGO_TARGET_DIR", target());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Home::finish(command, stdin.as_bytes())
}

fn wasmgrid(home: &Home, folder: &Path, args: &[&str], stdin: &str) -> Finished {
    finish(home.command(["run", "."].iter().chain(args)), folder, stdin)
}

fn cargo(folder: &Path, args: &[&str], stdin: &str) -> Finished {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).env_remove("RUSTFLAGS");
    finish(command, folder, stdin)
}

#[test]
fn a_new_crate_runs_at_once_and_passes_its_own_test() {
    let home = Home::new();
    let folder = new(&home, "hello", "");
    let ran = wasmgrid(&home, &folder, &["--range", "1..=100"], "");
    let lines: Vec<_> = ran.ok().lines().collect();
    assert_eq!(lines.len(), 100);
    assert_eq!((lines[0], lines[99]), ("1", "338350"));
    assert!(ran.stderr.contains("Compiling hello "), "cargo says how far it is: {ran}");
    cargo(&folder, &["test", "--quiet"], "").ok();
}

#[test]
fn a_build_shows_its_warnings_and_a_quiet_one_its_errors_alone() {
    let home = Home::new();
    let unused = "#[wasmgrid::task]\nfn noisy(n: u64) -> u64 {\n    n\n}\n\nfn unused() {}\n";
    let folder = new(&home, "noisy", unused);
    let loud = wasmgrid(&home, &folder, &["--range", "0..2"], "");
    assert_eq!(loud.ok(), "0\n1\n");
    assert!(loud.stderr.contains("function `unused` is never used"), "{loud}");
    let quiet = wasmgrid(&home, &folder, &["--range", "0..2", "-q"], "");
    assert_eq!((quiet.ok(), quiet.stderr.as_str()), ("0\n1\n", ""));
    home.write("noisy/src/main.rs", "fn main() { let x: u64 = \"no\"; }\n");
    for flags in [&[] as &[&str], &["-q"]] {
        let failed = wasmgrid(&home, &folder, flags, "");
        failed.fails_with(2, &["mismatched types", "failed to build ."]);
        assert_eq!(failed.stderr.matches("mismatched types").count(), 1, "{failed}");
    }
}

/// Ends in each way, as its input asks.
const ORDERS: &str = r#"
use wasmgrid::{Context, Error};

#[derive(serde::Deserialize)]
struct Order {
    count: u64,
    #[serde(default)]
    note: String,
}

#[wasmgrid::task]
fn orders(order: Order, context: &mut Context) -> Result<String, Error> {
    context.emit_bytes(format!("{} of {}", order.count, context.index()));
    match order.count {
        0 => Err(Error::rejected("nothing is no order")),
        1 => Ok(only_one(&order.note)),
        2 => Ok(String::new()),
        count => Ok(format!("{count} {} {}", order.note, context.rng().u64(..))),
    }
}

#[inline(never)]
fn only_one(note: &str) -> String {
    panic!("one is not enough: {note}")
}
"#;

#[test]
fn cargo_run_does_what_wasmgrid_run_does_with_the_same_input() {
    let home = Home::new();
    let folder = new(&home, "orders", ORDERS);
    let lines = "{\"count\":3,\"note\":\"a\"}\r\n{\"count\":1}\n\n{\"count\":2}\n{\"count\":0}\n{\"count\":5}";
    let cases: [(&[&str], &str); 9] = [
        (&["-"], lines),
        (&["-"], "{\"count\":3}\n{\"count\":4}\n"),
        (&["-"], ""),
        (&[], "{\"count\":3}\n"),
        (&[], "{\"count\":2}"),
        (&[], lines),
        (&[], ""),
        (&[], "{\"count\":0}"),
        (&[], "{\"count\":1}"),
    ];
    for (args, stdin) in cases {
        let on_grid = wasmgrid(&home, &folder, args, stdin);
        let run: Vec<_> = ["run", "--quiet", "--"].iter().chain(args).copied().collect();
        let alone = cargo(&folder, &run, stdin);
        let of = |finished: &Finished| (finished.code, finished.text().to_owned());
        assert_eq!(of(&alone), of(&on_grid), "{args:?} {stdin:?}\n{alone}\n{on_grid}");
        let hint = args.is_empty() && stdin.contains('\n') && alone.code == Some(1);
        assert_eq!(alone.stderr.contains("cargo run -- -"), hint, "{alone}");
        assert_eq!(on_grid.stderr.contains("wasmgrid run TASK -"), hint, "{on_grid}");
    }
    let said = cargo(&folder, &["run", "--quiet", "--", "-"], lines).stderr;
    assert!(said.contains("one is not enough") && said.contains("line 2: trap"), "{said}");
    cargo(&folder, &["run", "--quiet", "--", "--lines"], "").fails_with(2, &["`-`"]);
    let trap = wasmgrid(&home, &folder, &[], "{\"count\":1}").stderr;
    let first = trap.lines().find(|line| line.contains("  at  ")).unwrap_or_default();
    assert!(first.contains("orders::only_one"), "the task's own frame is the first: {trap}");
}

#[test]
fn a_second_task_in_a_crate_is_one_error_that_names_the_first() {
    let home = Home::new();
    let second = "\n#[wasmgrid::task]\nfn cubes(n: u64) -> u64 {\n    n * n * n\n}\n";
    let first = "#[wasmgrid::task]\nfn squares(n: u64) -> u64 {\n    n * n\n}\n";
    let folder = new(&home, "two", &format!("{first}{second}"));
    let refused = wasmgrid(&home, &folder, &["--range", "0..2"], "");
    refused.fails_with(2, &["a crate has one task", "`squares` (main.rs:2)", "could not compile"]);
    assert_eq!(refused.stderr.matches("error: ").count(), 2, "it and cargo's end: {refused}");
    let folder = new(&home, "apart", &format!("{first}\nmod other {{{second}}}\n"));
    wasmgrid(&home, &folder, &[], "").fails_with(2, &["`squares` (main.rs:2)"]);
}
