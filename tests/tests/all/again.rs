//! Failed inputs: kept in a file of their own, and run again exactly as they were.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    process::Command,
};

use serde_json::{Value, json};
use wasmgrid_tests::{Finished, Grid, Home, guest};

/// The files of failed inputs in a home, by name.
fn kept(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path()).expect("a folder").filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    let mut kept: Vec<_> =
        paths.filter(|path| path.extension() == Some("failed".as_ref())).collect();
    kept.sort();
    kept
}

/// The one file of failed inputs, which goes with this.
fn take_kept(home: &Home) -> PathBuf {
    let kept = kept(home);
    assert_eq!(kept.len(), 1, "{kept:?}");
    // The next one is another's, which may begin in the same second.
    let taken = kept[0].with_extension("taken");
    fs::rename(&kept[0], &taken).expect("moved");
    taken
}

fn lines(path: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The command that a run proposes, as a shell runs it.
fn proposed(home: &Home, finished: &Finished) -> Finished {
    let said = finished.stderr.lines().find_map(|line| line.split_once(": wasmgrid run --again "));
    let (_, rest) = said.unwrap_or_else(|| panic!("no command is proposed: {finished}"));
    let program = home.command([""; 0]).get_program().to_owned();
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("\"$0\" run --again {rest}")).arg(program);
    let output = shell
        .current_dir(home.path())
        .env("WASMGRID_HOME", home.path().join("home"))
        .env_remove("WASMGRID_CONTEXT")
        .output()
        .expect("bash starts");
    Finished {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn failed_inputs_are_kept_in_input_order_with_all_that_made_them_fail() {
    let home = Home::new();
    home.write("in", "one\nreject\ntwo\npanic\n");
    let moods = guest("moods");
    let args = ["run", &moods, "--lines", "in", "-o", "out", "--seed", "7", "--memory", "32MiB"];
    home.run(args).fails_with(1, &["2 inputs kept in out.", "this will never work"]);
    assert_eq!(home.read("out"), "fine: one\nfine: two\n");
    let lines = lines(&take_kept(&home));
    assert_eq!(lines[0]["wasmgrid"], json!("failed inputs"));
    assert_eq!(lines[0]["seed"], json!(7));
    assert_eq!(lines[0]["limits"]["memory_bytes"], json!(32 << 20));
    let entry = |index: u64, outcome: &str, input: &str| {
        let from = format!("in:{}", index + 1);
        json!({"index": index, "outcome": outcome, "from": from, "input": input})
    };
    assert_eq!(lines[1..], [entry(1, "rejected", "reject"), entry(3, "trap", "panic")]);
}

#[test]
fn a_run_again_computes_what_the_first_would_have() {
    let home = Home::new();
    let moods = guest("moods");
    let inputs: String = (0..300).map(|n| if n % 7 == 3 { "draw\n" } else { "x\n" }).collect();
    home.write("in", inputs);
    let run = |flags: &[&str]| home.run([&["run", &moods, "--lines", "in"], flags].concat());
    let whole = run(&["--seed", "42"]);
    let all = whole.ok().lines().filter(|line| !line.starts_with("fine"));
    let expected: Vec<&str> = all.collect();
    assert_eq!(expected.len(), 43);
    assert!(expected[0].starts_with("3 "), "{expected:?}");
    run(&["--seed", "42", "--fuel", "500k"]).fails_with(1, &["limit(fuel)", "43 inputs kept"]);
    let kept = take_kept(&home);
    let kept = kept.to_str().expect("a plain name");
    // The same, and so it fails the same.
    home.run(["run", "--again", kept]).fails_with(1, &["limit(fuel)", "of 500k"]);
    // A flag that is given counts.
    let again = home.run(["run", "--again", kept, "--fuel", "100G"]);
    assert_eq!(again.ok().lines().collect::<Vec<_>>(), expected);
    let json = home.run(["run", "--again", kept, "--fuel", "100G", "--output", "json"]);
    let first: Value =
        serde_json::from_str(json.ok().lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["index"], json!(3));
}

#[test]
fn each_run_keeps_its_inputs_in_a_file_of_its_own() {
    let home = Home::new();
    let moods = guest("moods");
    home.write("a", "reject\n");
    home.write("b", "panic\n");
    for input in ["a", "b", "a"] {
        home.run(["run", &moods, "--lines", input]).fails_with(1, &["1 input kept in wasmgrid-"]);
    }
    let kept = kept(&home);
    let inputs: Vec<Value> = kept.iter().map(|path| lines(path)[1]["input"].clone()).collect();
    assert_eq!(inputs.len(), 3, "{kept:?}");
    assert!(inputs.contains(&json!("reject")) && inputs.contains(&json!("panic")));
}

#[test]
fn the_command_that_is_proposed_runs_them_again_from_any_kind_of_input() {
    let home = Home::new();
    let moods = guest("moods");
    home.write("lines", "x\nreject\n");
    home.write("values", "[1]\n\n{\"a\": 2}\n");
    home.write("d/1", "reject");
    home.write("d/two\nlines", "reject");
    fs::write(home.path().join(OsStr::from_bytes(b"d/odd\xff")), "reject").expect("written");
    for (flags, failed) in [
        (&["--lines", "lines"][..], "1 failed"),
        (&["--json", "values", "--fuel", "1"], "2 failed"),
        (&["--range", "5..8", "--fuel", "1"], "3 failed"),
        (&["--files", "d/*", "-o", "out"], "3 failed"),
        (&["--lines", "lines", "-o", "with blank 'n' quote"], "1 failed"),
    ] {
        let first = home.run([&["run", &moods], flags].concat());
        assert_eq!(first.code, Some(1), "{first}");
        let again = proposed(&home, &first);
        assert_eq!(again.code, Some(1), "{flags:?}: {again}");
        assert!(again.stderr.contains(failed), "{flags:?}: {again}");
    }
    let first = home.run_with_stdin(["run", &moods, "-"], b"x\nreject\n");
    proposed(&home, &first).fails_with(1, &["1 failed", "stdin:2: reject"]);
}

#[test]
fn inputs_of_any_bytes_and_names_come_back_the_same() {
    let home = Home::new();
    let noop = guest("noop");
    // What is too much output fails, and is its input where it is allowed.
    let inputs: &[u8] = b"plain text\n\xff\xfe bytes\n\"quoted\" \\ \x01 text\n";
    home.write("in", inputs);
    let name = OsStr::from_bytes(b"odd\xff.out");
    let mut args: Vec<OsString> =
        ["run", &noop, "--lines", "in", "--output-limit", "3B", "-o"].map(Into::into).to_vec();
    args.push(name.to_owned());
    let first = home.run(args);
    first.fails_with(1, &["3 inputs kept"]);
    let kept = take_kept(&home);
    let mut args: Vec<OsString> =
        ["run", "--output-limit", "1MiB", "--again"].map(Into::into).into();
    args.push(kept.into());
    assert_eq!(home.run(args).ok_bytes(), inputs);
}

#[test]
fn a_module_that_has_changed_is_run_only_where_that_is_wanted() {
    let home = Home::new();
    fs::copy(guest("moods"), home.path().join("task.wasm")).expect("copied");
    home.write("in", "reject\n");
    home.run(["run", "task.wasm", "--lines", "in"]).fails_with(1, &["kept"]);
    let kept = take_kept(&home);
    let kept = kept.to_str().expect("a plain name");
    fs::copy(guest("noop"), home.path().join("task.wasm")).expect("copied");
    home.run(["run", "--again", kept]).fails_with(3, &["the module has changed", "--changed"]);
    assert_eq!(home.run(["run", "--again", kept, "--changed"]).ok(), "reject\n");
    fs::remove_file(home.path().join("task.wasm")).expect("removed");
    home.run(["run", "--again", kept]).fails_with(2, &["task.wasm"]);
    assert_eq!(home.run(["run", &guest("noop"), "--again", kept, "--changed"]).ok(), "reject\n");
}

#[test]
fn from_another_folder_they_are_found_where_they_were() {
    let home = Home::new();
    fs::copy(guest("moods"), home.path().join("task.wasm")).expect("copied");
    home.write("d/1", "reject");
    home.write("d/2", "reject");
    home.run(["run", "task.wasm", "--files", "d/*"]).fails_with(1, &["2 inputs kept"]);
    let kept = take_kept(&home);
    home.write("d/1", "better");
    home.write("elsewhere/x", "");
    let mut command = home.command(["run".as_ref(), "--again".as_ref(), kept.as_os_str()]);
    let output = command.current_dir(home.path().join("elsewhere")).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"fine: better\n");
}

#[test]
fn what_is_no_file_of_failed_inputs_is_refused_with_its_place() {
    let home = Home::new();
    let moods = guest("moods");
    home.write("in", "reject\nreject\n");
    home.run(["run", &moods, "--lines", "in"]).fails_with(1, &["kept"]);
    let good = fs::read_to_string(take_kept(&home)).expect("text");
    let (header, entries) = good.split_once('\n').expect("lines");
    let (first, second) = entries.split_once('\n').expect("lines");
    let later = header.replacen("\"version\":1", "\"version\":2", 1);
    for (text, said) in [
        ("", "not a file of failed inputs"),
        ("a\nb\n", "not a file of failed inputs"),
        (&*format!("{later}\n{first}\n"), "version 2"),
        (&format!("{header}\n{second}{first}\n"), ":3: index 0 is out of order"),
        (&format!("{header}\n{{\"index\":1}}\n"), ":2:"),
        (&format!("{header}\n{first}\nnonsense\n"), ":3:"),
    ] {
        home.write("wrong", text);
        let finished = home.run(["run", "--again", "wrong"]);
        finished.fails_with(2, &["wrong:", said]);
        assert!(finished.stdout.is_empty(), "something ran: {finished}");
    }
    // Lines may be taken out, and the file be given through a pipe.
    let fewer = format!("{header}\n{second}\n");
    let run = home.run_with_stdin(["run", "--again", "/dev/stdin"], fewer.as_bytes());
    run.fails_with(1, &["task 1 failed", "1 task: 1 failed"]);
}

#[test]
fn what_was_not_run_is_kept_too() {
    let home = Home::new();
    let moods = guest("moods");
    home.write("in", "reject\n".to_owned() + &"x\n".repeat(20_000));
    let args = ["run", &moods, "--lines", "in", "--max-failures", "1"];
    let finished = home.run(args);
    assert_eq!(finished.code, Some(1), "{finished}");
    let kept = take_kept(&home);
    let entries = lines(&kept);
    let indices: Vec<u64> =
        entries[1..].iter().map(|entry| entry["index"].as_u64().expect("a number")).collect();
    assert!(indices.is_sorted(), "they are in input order");
    assert_eq!(entries[1]["outcome"], json!("rejected"));
    let ran = finished.text().lines().count();
    let not_run = indices.len() - 1;
    let read = finished.stderr.lines().find_map(|line| {
        let count = line.strip_prefix("wasmgrid: the inputs after the first ")?;
        count.split(' ').next()?.parse::<usize>().ok()
    });
    assert_eq!(1 + ran + not_run, read.unwrap_or(20_001), "{}", finished.stderr);
}

#[test]
fn on_a_cluster_they_run_under_their_indices_too() {
    let grid = Grid::start(1, 2);
    let home = &grid.home;
    let moods = guest("moods");
    home.write("in", "x\nx\ndraw\nx\ndraw\n");
    let first = home.run(["run", &moods, "--lines", "in", "--fuel", "500k", "--seed", "9"]);
    first.fails_with(1, &["2 inputs kept"]);
    let kept = take_kept(home);
    let kept = kept.to_str().expect("a plain name");
    let here = home.run(["run", "--local", "--again", kept, "--fuel", "1G"]);
    let there = home.run(["run", "--again", kept, "--fuel", "1G"]);
    assert_eq!(there.ok(), here.ok());
    assert!(here.text().starts_with("2 "), "{here}");
    let job = home.run(["submit", "--again", kept, "--fuel", "1G"]);
    let job = job.ok().trim();
    home.run(["job", "wait", job]).ok();
    assert_eq!(home.run(["job", "results", job]).ok(), here.ok());
    home.run(["job", "show", job, "--task", "3"]).fails_with(2, &["there is no task"]);
}
