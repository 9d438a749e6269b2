//! Files as inputs and outputs: which a pattern names, those that cannot be read, and outputs that
//! are inputs.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use wasmgrid_tests::{Finished, Home, guest};

const LINES: &str = "one\ntwo\nthree\n";

/// Runs a command line in a shell, with the binary as `$0`.
fn shell(home: &Home, script: &str) -> Finished {
    let program = home.command([""; 0]).get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program).current_dir(home.path());
    command.env("WASMGRID_HOME", home.path().join("home")).env("T", guest("noop"));
    finished(command.env_remove("WASMGRID_CONTEXT"))
}

fn finished(command: &mut Command) -> Finished {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    Finished {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Has a command run as one whom permissions bind: root may read everything by two capabilities,
/// which the command can then not have.
fn bound_by_permissions(command: &mut Command) {
    const DAC_OVERRIDE: libc::c_ulong = 1;
    const DAC_READ_SEARCH: libc::c_ulong = 2;
    let give_up = || {
        for capability in [DAC_OVERRIDE, DAC_READ_SEARCH] {
            // SAFETY: a call by values alone, that may be made after a fork. Who is not root may not
            // make it, and needs not.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        Ok(())
    };
    // SAFETY: it makes these system calls and nothing else.
    unsafe { command.pre_exec(give_up) };
}

#[test]
fn an_output_that_is_an_input_is_refused_and_nothing_is_touched() {
    let home = Home::new();
    home.write("in", LINES);
    home.write("d/in.txt", LINES);
    home.write("list", "in\n");
    home.write("missing", "in\nnew\n");
    fs::copy(guest("noop"), home.path().join("t.wasm")).expect("copied");
    fs::hard_link(home.path().join("in"), home.path().join("hard")).expect("linked");
    symlink("in", home.path().join("soft")).expect("linked");
    for run in [
        "--lines in -o in",
        "--lines in -o soft",
        "--lines soft -o in",
        "--lines in -o hard",
        "--lines in -o ./d/../in",
        "in -o in",
        "--json in -o in",
        "--files in -o in",
        "--files 'd/*.txt' -o d/in.txt",
        "--files '{in,d/*}' -o hard",
        "--files - -o in < list",
        "--files - -o list < list",
        "--files - -o new < missing",
        "--lines - -o in < in",
        "--lines /dev/stdin -o in < in",
        "-o in < in",
        "--lines in >> in",
        "--lines in -o /dev/stdout >> in",
        "--lines in -o - >> hard",
        "--files 'd/*' >> d/in.txt",
        "--range 0..3 -o t.wasm",
        "--lines in --dry-run -o in",
        "--range 0..3 -o home/cache/new",
        "--range 0..3 -o home/config.toml",
    ] {
        home.write("home/cache/x", "");
        home.write("home/config.toml", "");
        let finished = shell(&home, &format!("\"$0\" run t.wasm {run}"));
        finished.fails_with(2, &["nothing was done"]);
        for name in ["in", "d/in.txt"] {
            assert_eq!(home.read(name), LINES, "{run}");
        }
        let module = fs::read(home.path().join("t.wasm")).expect("read");
        assert!(module == fs::read(guest("noop")).expect("read"), "{run}");
        assert_eq!(home.read("list"), "in\n", "{run}");
        for name in ["new", "home/cache/new"] {
            assert!(!home.path().join(name).exists(), "{run}");
        }
    }
    // A module is an input of `inspect`, and inputs are one of `submit` and `job append`.
    shell(&home, "\"$0\" inspect t.wasm >> t.wasm").fails_with(2, &["nothing was done"]);
    shell(&home, "\"$0\" submit t.wasm --lines in >> in").fails_with(2, &["nothing was done"]);
    assert_eq!(home.read("in"), LINES);
}

#[test]
fn what_a_crate_is_built_from_is_no_output() {
    let home = Home::new();
    home.run(["new", "hello"]).ok();
    let run = |out: &str| {
        let args = ["run", ".", "--range", "1..=2", "-o", out];
        finished(home.command(args).current_dir(home.path().join("hello")))
    };
    for source in ["src/main.rs", "Cargo.toml", ".cargo/config.toml"] {
        let before = home.read(&format!("hello/{source}"));
        run(source).fails_with(2, &["built from", "nothing was done"]);
        assert_eq!(home.read(&format!("hello/{source}")), before);
    }
    for _ in 0..2 {
        run("results.txt").ok();
        assert_eq!(home.read("hello/results.txt"), "1\n5\n");
    }
}

#[test]
fn an_output_keeps_its_links_its_permissions_and_what_is_no_file() {
    let home = Home::new();
    home.write("in", LINES);
    home.write("out", "old and longer than what comes now");
    fs::set_permissions(home.path().join("out"), fs::Permissions::from_mode(0o640)).expect("set");
    let inode = home.path().join("out").metadata().expect("there").ino();
    symlink("out", home.path().join("link")).expect("linked");
    shell(&home, "\"$0\" run \"$T\" --lines in -o link").ok();
    assert_eq!(home.read("out"), LINES);
    let meta = home.path().join("out").metadata().expect("there");
    assert_eq!((meta.mode() & 0o777, meta.ino()), (0o640, inode));
    assert!(home.path().join("link").is_symlink());
    for script in [
        "\"$0\" run \"$T\" --lines in -o /dev/stdout",
        "\"$0\" run \"$T\" --lines in -o /dev/fd/1 | cat",
        "mkfifo pipe; cat pipe & \"$0\" run \"$T\" --lines in -o pipe; wait",
        "echo one > log; \"$0\" run \"$T\" --lines in -o /dev/stdout >> log; tail -n 3 log",
        "\"$0\" run \"$T\" --lines in -o /dev/null; cat in",
    ] {
        assert_eq!(shell(&home, script).ok(), LINES, "{script}");
    }
    assert_eq!(home.read("log"), format!("one\n{LINES}"));
}

#[test]
fn a_file_that_cannot_be_read_is_one_failed_task_and_the_rest_run() {
    let home = Home::new();
    let noop = guest("noop");
    home.write("d/one", "1");
    home.write("d/two", "2");
    fs::create_dir(home.path().join("d/folder")).expect("made");
    symlink("nowhere", home.path().join("d/gone")).expect("linked");
    let list = "d/one\nd/gone\nd/folder\nd/never\nd/two\n";
    let finished = home.run_with_stdin(["run", &noop, "--files", "-"], list.as_bytes());
    finished.fails_with(
        1,
        &[
            "task 1 failed: failed to read d/gone: No such file",
            "task 2 failed: failed to read d/folder: Is a directory",
            "3 inputs kept in",
            "5 tasks: 2 ok, 3 failed",
        ],
    );
    assert_eq!(finished.text(), "1\n2\n");
    // A link that leads nowhere fits as in a shell.
    let finished = home.run(["run", &noop, "--files", "d/*", "--output", "json"]);
    let lines: Vec<Value> =
        finished.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let outcomes: Vec<_> = lines.iter().map(|line| &line["outcome"]).collect();
    assert_eq!(outcomes, ["refused", "ok", "ok"]);
    assert_eq!((&lines[0]["index"], &lines[0]["cursor"]), (&json!(0), &Value::Null));
    let summary: Value =
        serde_json::from_str(finished.stderr.lines().last().expect("a summary")).expect("JSON");
    assert_eq!((&summary["state"], &summary["counts"]["failed"]), (&json!("failed"), &json!(1)));
    // Once it is there it runs, under its index.
    let kept = summary["failed_inputs"].as_str().expect("a name");
    home.write("d/nowhere", "3");
    let again = home.run(["run", "--again", kept, "--output", "json"]);
    let line: Value = serde_json::from_str(again.ok().trim()).expect("JSON");
    assert_eq!((&line["index"], &line["output"]), (&json!(0), &json!("3")));
}

#[test]
fn nothing_is_lost_of_thousands_of_files_around_one_that_is_not_there() {
    let home = Home::new();
    let names: Vec<String> = (0..9_000).map(|n| format!("f{n:05}")).collect();
    names.iter().for_each(|name| drop(home.write(name, name)));
    let mut listed = names.clone();
    listed.insert(8_500, "gone".into());
    let list = listed.join("\n");
    let finished = home.run_with_stdin(["run", &guest("noop"), "--files", "-"], list.as_bytes());
    finished.fails_with(1, &["task 8500 failed: failed to read gone", "1 input kept"]);
    assert!(finished.text() == names.join("\n") + "\n", "{}", finished.stderr);
}

#[test]
fn a_file_without_permission_and_one_too_large_fail_alone() {
    let home = Home::new();
    home.write("d/a", "1");
    home.write("d/b", "2");
    home.write("d/c", "3");
    let secret = home.path().join("d/b");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).expect("set");
    let large = fs::File::create(home.path().join("d/large")).expect("made");
    large.set_len((64 << 20) + 1).expect("a hole");
    let noop = guest("noop");
    let mut command = home.command(["run", &noop, "--files", "d/*", "--isolation", "in-process"]);
    bound_by_permissions(&mut command);
    finished(&mut command).fails_with(
        1,
        &[
            "failed to read d/b: Permission denied",
            "d/large is longer than 64 MiB",
            "4 tasks: 2 ok, 2 failed",
        ],
    );
}

#[test]
fn a_folder_that_cannot_be_listed_is_left_out_and_said() {
    let home = Home::new();
    home.write("d/a.txt", "1");
    home.write("d/closed/b.txt", "2");
    home.write("d/open/c.txt", "3");
    let closed = home.path().join("d/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("set");
    let noop = guest("noop");
    let run = |pattern: &str| {
        let args = ["run", &noop, "--files", pattern, "--isolation", "in-process"];
        let mut command = home.command(args);
        bound_by_permissions(&mut command);
        finished(&mut command)
    };
    // It is not needed.
    assert_eq!(run("d/*.txt").ok(), "1\n");
    let all = run("d/**/*.txt");
    all.fails_with(1, &["1 folder cannot be listed, and its files are left out: d/closed: Perm"]);
    assert_eq!(all.text(), "1\n3\n");
    run("d/closed/*").fails_with(2, &["no file matches", "d/closed cannot be listed"]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).expect("set");
}

#[test]
fn patterns_name_what_a_shell_names() {
    let home = Home::new();
    for name in ["src/a.rs", "src/b.rs", "src/deep/c.rs", "src/.hidden.rs", "x/a.rs"] {
        home.write(name, name);
    }
    symlink("src", home.path().join("link")).expect("linked");
    symlink("..", home.path().join("src/deep/up")).expect("linked");
    fs::write(home.path().join(OsStr::from_bytes(b"src/\xff.rs")), "odd").expect("written");
    for pattern in [
        "src/*.rs",
        "./src/*.rs",
        "src//a.rs",
        "src/./?.rs",
        "x/../src/[!b].rs",
        "*/a.rs",
        "link/*.rs",
        "src/*/up/a.rs",
        "src/**/c.rs",
        "{src,x}/a.*",
        "src/.h*",
    ] {
        let ours = shell(&home, &format!("\"$0\" run \"$T\" --files '{pattern}'"));
        let args =
            ["-O", "globstar", "-c", &format!("for f in {pattern}; do cat \"$f\"; echo; done")];
        let shells = finished(Command::new("bash").args(args).current_dir(home.path()));
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(Into::into).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(ours.ok()), sorted(shells.ok()), "{pattern}");
    }
    shell(&home, "\"$0\" run \"$T\" --files '*.none'")
        .fails_with(2, &["no file matches", "*.none"]);
}

#[test]
fn a_list_of_names_may_be_what_find_prints() {
    let home = Home::new();
    home.write("d/two\nlines", "1");
    fs::write(home.path().join(OsStr::from_bytes(b"d/odd\xff")), "2").expect("written");
    let script = "find d -type f -print0 | sort -z | \"$0\" run \"$T\" --files -";
    assert_eq!(shell(&home, script).ok(), "2\n1\n");
    assert_eq!(shell(&home, "ls d/odd* | \"$0\" run \"$T\" --files -").ok(), "2\n");
}

#[test]
fn names_of_any_bytes_are_inputs_and_outputs() {
    let home = Home::new();
    let odd = |name: &[u8]| home.path().join(OsStr::from_bytes(name));
    fs::write(odd(b"in\xff"), LINES).expect("written");
    let script = "\"$0\" run \"$T\" --lines \"$(printf 'in\\377')\" -o \"$(printf 'out\\376')\"";
    shell(&home, script).ok();
    assert_eq!(fs::read_to_string(odd(b"out\xfe")).expect("there"), LINES);
    let script = "\"$0\" run \"$T\" --files \"$(printf '*\\376')\"";
    assert_eq!(shell(&home, script).ok(), LINES);
}
