//! Tasks in other languages, each built by its example's `build.sh` and run by the command of its
//! README. A test whose toolchain is not installed says so and ends.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
};

use walkdir::WalkDir;
use wasmgrid_tests::{Finished, Home, repository};

/// What a component with a whole language runtime in it may have at most: the default cap.
const MODULE_CAP_BYTES: u64 = 32 << 20;

/// A language runtime takes about 20 s of a core, which is over the default; a debug build on a
/// busy machine takes more.
const COMPILE_TIME: &str = "5m";

/// Builds an example into `home`; `None`, with a line that says why, where its toolchain is
/// missing.
pub(crate) fn build(home: &Home, example: &str) -> Option<String> {
    let script = repository().join("examples").join(example).join("build.sh");
    built(Command::new("sh").arg(script), home, example)
}

/// Runs a build whose last argument is the file that it makes, which is `name` in `home`.
pub(crate) fn built(build: &mut Command, home: &Home, name: &str) -> Option<String> {
    let out = home.path().join(format!("{name}.wasm"));
    let built = build.arg(&out).stdin(Stdio::null()).output().expect("sh(1) is there");
    let said = String::from_utf8_lossy(&built.stderr);
    if built.status.code() == Some(3) {
        eprintln!("skipped: {}", said.trim());
        return None;
    }
    assert!(built.status.success(), "{said}");
    Some(out.into_os_string().into_string().expect("a plain path"))
}

/// Runs `module` on a file of the examples, one task a line.
fn run_lines(home: &Home, module: &str, lines: &str, more: &[&str]) -> Finished {
    let lines = repository().join("examples").join(lines);
    let lines = lines.to_str().expect("a plain path");
    run(home, &[&["run", module, "--lines", lines], more].concat())
}

/// Runs a command with as much time for compiling as a language runtime takes on a busy machine.
fn run(home: &Home, args: &[&str]) -> Finished {
    let mut command = home.command(args);
    let output = command.env("WASMGRID_COMPILE_TIME", COMPILE_TIME).output().expect("it starts");
    Finished {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The files of compiled code. A file that was written anew is another file.
fn compiled(home: &Home) -> Vec<u64> {
    WalkDir::new(home.path().join("home"))
        .into_iter()
        .map(|entry| entry.expect("a readable cache"))
        .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "cwasm"))
        .map(|entry| entry.metadata().expect("readable").ino())
        .collect()
}

/// What holds for a component with a language runtime in it: it is admitted under the default
/// cap, runs under the default limits of a task, is compiled once, and where memory or tables are
/// too small for it the outcome names the flag.
fn a_runtime_runs(example: &str, lines: &str, expected: &str) {
    let home = Home::new();
    let Some(module) = build(&home, example) else { return };
    let size = fs::metadata(Path::new(&module)).expect("it was built").len();
    assert!(size > 1 << 20 && size <= MODULE_CAP_BYTES, "{size} bytes");

    assert_eq!(run_lines(&home, &module, lines, &[]).ok(), expected);
    let compiled_first = compiled(&home);
    assert_eq!(compiled_first.len(), 1, "one module was compiled");
    assert_eq!(run_lines(&home, &module, lines, &[]).ok(), expected);
    assert_eq!(compiled(&home), compiled_first, "it was not compiled again");

    let little_memory = run_lines(&home, &module, lines, &["--memory", "1MiB"]);
    little_memory.fails_with(1, &["limit(memory)", "--memory "]);
    let small_tables = run_lines(&home, &module, lines, &["--table-limit", "100"]);
    small_tables.fails_with(1, &["limit(table)", "--table-limit "]);
    let wrong = home.run_with_stdin(["run", &module], b"[1]");
    wrong.fails_with(1, &["rejected: "]);
}

#[test]
fn a_javascript_task_runs_against_the_world_and_is_compiled_once() {
    a_runtime_runs(
        "javascript-orders",
        "javascript-orders/orders.ndjson",
        "{\"line\":1,\"id\":\"a1\",\"cents\":2649}\n\
         {\"line\":2,\"id\":\"a2\",\"cents\":0}\n\
         order a3 is to be looked at\n\
         {\"line\":3,\"id\":\"a3\",\"cents\":125000}\n",
    );
}

#[test]
fn a_python_task_runs_against_the_world_and_is_compiled_once() {
    a_runtime_runs(
        "python-statistics",
        "python-statistics/numbers.ndjson",
        "{\"line\": 1, \"n\": 4, \"mean\": 2.5, \"median\": 2.5, \"stdev\": 1.290994}\n\
         {\"line\": 2, \"n\": 2, \"mean\": 2.5, \"median\": 2.5, \"stdev\": 0.0}\n\
         {\"line\": 3, \"n\": 3, \"mean\": 30.0, \"median\": 20.0, \"stdev\": 26.457513}\n",
    );
}

#[test]
fn an_assemblyscript_command_runs() {
    let home = Home::new();
    let Some(module) = build(&home, "assemblyscript-collatz") else { return };
    let finished = home.run(["run", &module, "--range", "25..30"]);
    assert_eq!(finished.ok(), "23 88\n10 40\n111 9232\n18 52\n18 88\n");
    let wrong = home.run_with_stdin(["run", &module], b"seven");
    wrong.fails_with(1, &["exit code "]);
}

#[test]
fn the_lock_files_of_examples_name_no_registry() {
    for example in ["assemblyscript-collatz", "javascript-orders"] {
        let path = repository().join("examples").join(example).join("package-lock.json");
        let lock = fs::read_to_string(path).expect("a lock file");
        assert!(!lock.contains("\"resolved\""), "{example}: npm's registry is the user's choice");
    }
}
