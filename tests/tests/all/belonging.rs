//! Results that belong to their inputs: in JSON, on each line, and in a file for each.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use serde_json::{Value, json};
use wasmgrid_tests::{Finished, Home, example, guest};

/// The objects of `--output json`, one a result.
fn objects(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn run(home: &Home, flags: &[&str]) -> Finished {
    home.run([&["run"], flags].concat())
}

/// What a folder has, by paths within it.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("within").display().to_string();
                found.insert(name, fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}

fn listed(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn results_in_json_have_their_inputs() {
    let home = Home::new();
    let (noop, grep) = (guest("noop"), example("grep"));
    home.write("in", b"ada\n\xff\nbob\n");
    home.write("t.csv", "a\n\"x\ny\"\n");
    home.write("d/f.txt", "text");
    let of = |flags: &[&str]| {
        let finished = run(&home, &[&["--output", "json"], flags].concat());
        let fields = |result: &Value| {
            ["from", "input", "file"].map(|name| result.get(name).cloned().unwrap_or_default())
        };
        objects(finished.text()).iter().map(fields).collect::<Vec<_>>()
    };
    let none = Value::Null;
    assert_eq!(
        of(&[&noop, "in"]),
        [
            [json!("in:1"), json!("ada"), none.clone()],
            [json!("in:2"), json!({"base64": "/w=="}), none.clone()],
            [json!("in:3"), json!("bob"), none.clone()],
        ]
    );
    let row = [json!("t.csv:2"), json!("{\"a\":\"x\\ny\"}"), none.clone()];
    assert_eq!(of(&[&noop, "--csv", "t.csv"]), [row]);
    assert_eq!(of(&[&noop, "--range", "7..8"]), [[none.clone(), json!("7"), none.clone()]]);
    assert_eq!(of(&[&noop, "--grid", "a=1"]), [[none.clone(), json!("{\"a\":1}"), none.clone()]]);
    let file = |name: &str| [Value::Null, Value::Null, json!(name)];
    let listed = ["--files", "d/f.txt", "--files", "-"];
    let args = [&["run", &noop], &listed[..], &["--output", "json"]].concat();
    let some = home.run_with_stdin(args, b"d/gone\n");
    let found = objects(some.fails_with(1, &["d/gone"]).text());
    let names: Vec<_> = found.iter().map(|result| &result["file"]).collect();
    assert_eq!(names, ["d/f.txt", "d/gone"]);
    assert_eq!(of(&[&noop, "--files", "d/*"]), [file("d/f.txt")]);
    let batch = of(&[&grep, "--csv", "t.csv", "--batch", "5", "--", "a"]);
    assert_eq!(batch, [[json!("t.csv:2"), json!("{\"a\":\"x\\ny\"}\n"), none.clone()]]);
    // In whatever order they come, and for thousands that wait for one.
    home.write("many", "loop\n".to_owned() + &"x\n".repeat(5_000));
    for order in ["input", "done"] {
        let args = ["run", &guest("moods"), "many", "--fuel", "300M", "--output", "json"];
        let many = home.run([&args[..], &["--order", order]].concat());
        let results = objects(many.fails_with(1, &["limit(fuel)"]).text());
        assert_eq!(results.len(), 5_001);
        assert!(results.iter().all(|result| {
            let line = result["index"].as_u64().expect("a number") + 1;
            let input = if line == 1 { "loop" } else { "x" };
            result["from"] == json!(format!("many:{line}")) && result["input"] == json!(input)
        }));
    }
}

#[test]
fn every_line_stands_behind_its_input_where_that_is_asked_for() {
    let home = Home::new();
    let moods = guest("moods");
    home.write("in", "ada\nrecords\nreject\n");
    let some = run(&home, &[&moods, "in", "--with-input"]);
    let expected = "ada\tfine: ada\nrecords\tfirst record\nrecords\tsecond record\n\
                    records\tafter two records\n";
    assert_eq!(some.fails_with(1, &["rejected"]).text(), expected);
    let grep = example("grep");
    home.write("d/a.txt", "one\ntwo\n");
    home.write("d/b.txt", "to\n");
    let of_files = run(&home, &[&grep, "--files", "d/*", "--with-input", "--", "o"]);
    assert_eq!(of_files.ok(), "d/a.txt\tone\nd/a.txt\ttwo\nd/b.txt\tto\n");
    home.write("in", "ab\ncb\nb\n");
    let of_batches = run(&home, &[&grep, "in", "--batch", "2", "--with-input", "--", "b"]);
    assert_eq!(of_batches.ok(), "in:1-2\tab\nin:1-2\tcb\nb\tb\n");
    for flags in [&["--raw"][..], &["--output", "json"], &["--out-dir", "x"]] {
        let args = [&[moods.as_str(), "in", "--with-input"], flags].concat();
        run(&home, &args).fails_with(2, &["--with-input"]);
    }
    run(&home, &[&moods, "--with-input"]).fails_with(2, &["several inputs"]);
}

#[test]
fn each_result_has_a_file_of_its_own_named_by_its_input() {
    let home = Home::new();
    let noop = guest("noop");
    home.write("d/a.tar.gz", "a");
    home.write("d/e/b.txt", "b\n");
    let of = |dir: &str, flags: &[&str]| {
        let finished = run(&home, &[&[noop.as_str()], flags, &["--out-dir", dir]].concat());
        assert_eq!(finished.ok(), "", "{finished}");
    };
    let all = ["--files", "d/**/*"];
    of("o1", &all);
    assert_eq!(files(&home.path().join("o1")), listed(&[("a.tar.gz", "a"), ("b.txt", "b\n")]));
    of("o2/{path}", &all);
    assert_eq!(
        files(&home.path().join("o2")),
        listed(&[("d/a.tar.gz", "a"), ("d/e/b.txt", "b\n")])
    );
    of("o3/x/{index}-{stem}.json", &all);
    let expected = listed(&[("x/0-a.tar.json", "a"), ("x/1-b.json", "b\n")]);
    assert_eq!(files(&home.path().join("o3")), expected);
    home.write("in", "one\ntwo\n");
    of("o4", &["in"]);
    assert_eq!(files(&home.path().join("o4")), listed(&[("0", "one"), ("1", "two")]));
    // With JSON all else of a result is printed, and where its bytes are.
    let args = [&noop, "in", "--out-dir", "o5/{index}.txt", "--output", "json"];
    let printed = objects(run(&home, &args).ok());
    assert_eq!(printed[1]["output_file"], json!("o5/1.txt"));
    assert!(printed[1].get("output").is_none() && printed[1]["input"] == json!("two"));
    // As any file that is made here: not for the owner alone, unless the umask says so.
    home.write("made", "");
    let mode = |name: &str| {
        let made = home.path().join(name);
        fs::metadata(made).expect("there").permissions().mode() & 0o777
    };
    fs::write(home.path().join("plain"), "").expect("written");
    assert_eq!(mode("o5/0.txt"), mode("plain"));
}

#[test]
fn a_task_that_fails_leaves_no_file_and_is_kept() {
    let home = Home::new();
    let moods = guest("moods");
    for (name, mood) in [("a", "x"), ("b", "reject"), ("c", "panic"), ("d", "records")] {
        home.write(&format!("in/{name}"), mood);
    }
    let first = run(&home, &[&moods, "--files", "in/*", "--out-dir", "out"]);
    first.fails_with(1, &["2 inputs kept in", "--out-dir out"]);
    let lines = "first record\nsecond record\nafter two records\n";
    let done = listed(&[("a", "fine: x"), ("d", lines)]);
    assert_eq!(files(&home.path().join("out")), done);
    // What failed runs again into the same folder.
    home.write("in/b", "y");
    home.write("in/c", "z");
    let entries = fs::read_dir(home.path()).expect("listed").filter_map(Result::ok);
    let mut entries = entries.map(|entry| entry.path());
    let kept = entries.find(|path| path.extension() == Some("failed".as_ref()));
    let kept = kept.expect("kept").display().to_string();
    run(&home, &["--again", &kept, "--out-dir", "out"]).ok();
    let all = listed(&[("a", "fine: x"), ("b", "fine: y"), ("c", "fine: z"), ("d", lines)]);
    assert_eq!(files(&home.path().join("out")), all);
}

#[test]
fn names_that_clash_or_leave_the_folder_are_refused_before_anything_runs() {
    let home = Home::new();
    let noop = guest("noop");
    home.write("a/x.txt", "1");
    home.write("b/x.md", "2");
    home.write("old/x.txt", "precious");
    home.write("in", "one\n");
    let both = ["--files", "a/*", "--files", "b/*"];
    for (dir, flags, said) in [
        ("out/{stem}", &both[..], "a/x.txt and b/x.md"),
        ("old", &both, "a/x.txt would be old/x.txt, which exists"),
        ("out/{path}", &["--files", "a/../b/x.md"], "not within --out-dir"),
        ("out/{name}", &["in"], "{index}"),
        ("out/{nme}", &both, "{name}"),
        ("out/{name", &both, "not closed"),
        ("home/cache/x", &both, "wasmgrid"),
    ] {
        home.write("home/cache/y", "");
        for dry in [&[][..], &["--dry-run"]] {
            let args = [&[noop.as_str()], flags, &["--out-dir", dir], dry].concat();
            run(&home, &args).fails_with(2, &[said]);
        }
        assert!(!home.path().join("out").exists(), "{dir}");
    }
    assert_eq!(files(&home.path().join("old")), listed(&[("x.txt", "precious")]));
    home.write("old/0", "precious");
    run(&home, &[&noop, "in", "--out-dir", "old"]).fails_with(2, &["old/0", "which exists"]);
    for flags in [&["-o", "x"][..], &["--order", "done"]] {
        let args = [&[noop.as_str(), "in", "--out-dir", "out"], flags].concat();
        run(&home, &args).fails_with(2, &["--out-dir", "--output json"]);
    }
    run(&home, &[&noop, "--out-dir", "out"]).fails_with(2, &["several inputs"]);
    // Not through a link either, and not over what comes to be meanwhile.
    fs::create_dir(home.path().join("linked")).expect("made");
    symlink("../a", home.path().join("linked/a")).expect("made");
    let through = run(&home, &[&noop, "--files", "a/*", "--out-dir", "linked/{path}"]);
    through.fails_with(2, &["which exists"]);
    home.write("a2/y.txt", "3");
    symlink("../a", home.path().join("linked/a2")).expect("made");
    let through = run(&home, &[&noop, "--files", "a2/*", "--out-dir", "linked/{path}"]);
    through.fails_with(1, &["linked/a2 is not a folder of --out-dir"]);
    assert_eq!(files(&home.path().join("a")), listed(&[("x.txt", "1")]));
}
