//! `--with`: one value that all tasks of a job have beside their inputs.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use wasmgrid_proto::Digest;
use wasmgrid_tests::{Grid, Home, guest, wait_for};

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The file of failed inputs in a home, which is taken away from there.
fn take_kept(home: &Home) -> PathBuf {
    let entries = fs::read_dir(home.path()).expect("a folder").filter_map(Result::ok);
    let mut paths = entries.map(|entry| entry.path());
    let kept = paths.find(|path| path.extension() == Some("failed".as_ref()));
    let kept = kept.expect("inputs are kept");
    let taken = kept.with_extension("taken");
    fs::rename(&kept, &taken).expect("moved");
    taken
}

#[test]
fn a_value_given_as_json_or_as_a_file_is_the_second_parameter_of_each_task() {
    let home = Home::new();
    home.write("scale.json", r#" [3, "m"] "#);
    home.write("odd", b"\xff\x01");
    let scale = guest("scale");
    let run = |with: &str| home.run(["run", &scale, "--range", "1..=3", "--with", with]);
    assert_eq!(run(r#"[10, "mm"]"#).ok(), "10mm\n20mm\n30mm\n");
    assert_eq!(run("@scale.json").ok(), "3m\n6m\n9m\n");
    let weighed = home.run(["run", &guest("weigh"), "--range", "7..9", "--with", "@odd"]);
    assert_eq!(weighed.ok(), "7 2 256 0\n8 2 256 1\n");
    for isolation in ["task", "in-process"] {
        let args = ["run", &scale, "--range", "1..=2", "--isolation", isolation];
        assert_eq!(home.run(args.into_iter().chain(["--with=[2,\"\"]"])).ok(), "2\n4\n");
    }
}

#[test]
fn a_value_that_cannot_be_given_is_refused_before_anything_runs() {
    let home = Home::new();
    home.write("bad.json", "{");
    home.write("empty", "");
    let large = fs::File::create(home.path().join("large")).expect("a file");
    large.set_len((32 << 20) + 1).expect("a size");
    let (scale, noop, files) = (guest("scale"), guest("noop"), guest("files"));
    let run =
        |task: &str, flags: &[&str]| home.run([&["run", task, "--range", "0..1"], flags].concat());
    for (with, says) in [
        ("text", "double quotes"),
        ("[10, mm]", "column"),
        ("@nowhere", "nowhere"),
        ("@empty", "is empty"),
        ("@bad.json", "not valid JSON"),
        ("@large", "32MiB allowed"),
    ] {
        run(&scale, &["--with", with]).fails_with(2, &[says]);
    }
    run(&scale, &[]).fails_with(3, &["need a shared value", "--with JSON"]);
    run(&noop, &["--with", "1"]).fails_with(3, &["cannot use", "second parameter"]);
    run(&files, &["--with", "1"]).fails_with(3, &["cannot use", "a command reads its arguments"]);
    // What it takes is the task's.
    let value = fs::File::create(home.path().join("value")).expect("a file");
    value.set_len(8 << 20).expect("a size");
    let weigh = guest("weigh");
    run(&weigh, &["--with", "@value", "--memory", "4MiB"]).fails_with(1, &["trap"]);
    run(&weigh, &["--with", "@value", "--fuel", "4M"]).fails_with(1, &["limit(fuel)"]);
    // Of any type, as far as the grid knows; each task says that it is not its own.
    run(&scale, &["--with", "[1]"])
        .fails_with(1, &["rejected", "the value of --with does not fit (u64, String)"]);
    let dry = ["--with", "[10, \"mm\"]", "--dry-run", "--output", "json"];
    let shown: Value = serde_json::from_str(run(&scale, &dry).ok()).expect("JSON");
    assert_eq!(shown["with"], json!(Digest::of(br#"[10, "mm"]"#).to_string()));
}

#[test]
fn a_rerun_has_the_same_value_or_says_that_it_has_changed() {
    let home = Home::new();
    let scale = guest("scale");
    home.write("scale.bin", r#"[10, "mm"]"#);
    let args = ["run", &scale, "--range", "1..=2", "--fuel", "1k"];
    for with in ["@scale.bin", r#"[10, "mm"]"#] {
        home.run(args.into_iter().chain(["--with", with])).fails_with(1, &["limit(fuel)"]);
        let kept = take_kept(&home);
        let header = json_lines(&fs::read_to_string(&kept).expect("text")).remove(0);
        assert_eq!(header["with"]["typed"], json!(with));
        let kept = kept.to_str().expect("a plain name").to_owned();
        let again = |flags: &[&str]| {
            home.run([&["run", "--again", &kept, "--fuel", "100G"], flags].concat())
        };
        assert_eq!(again(&[]).ok(), "10mm\n20mm\n");
        assert_eq!(again(&["--with", "[1, \"\"]"]).ok(), "1\n2\n");
        if with.starts_with('@') {
            home.write("scale.bin", r#"[11, "mm"]"#);
            again(&[]).fails_with(3, &["the value of --with has changed", "--changed"]);
            assert_eq!(again(&["--changed"]).ok(), "11mm\n22mm\n");
            home.write("scale.bin", r#"[10, "mm"]"#);
        }
    }
}

/// How often the scheduler has sent this digest to this worker.
fn sent(grid: &Grid, worker: &str, digest: &str) -> usize {
    let said = grid.scheduler.said();
    let of = |line: &&str| line.contains("sent") && line.contains(worker) && line.contains(digest);
    said.lines().filter(of).count()
}

#[test]
fn a_value_is_sent_to_each_worker_once_and_outlives_the_scheduler() {
    let mut grid = Grid::start(2, 1);
    grid.kill_scheduler();
    grid.restart_scheduler_with(|scheduler| {
        scheduler.env("WASMGRID_LOG", "info,wasmgrid_server=debug");
    });
    for worker in ["w1", "w2"] {
        grid.wait_for_worker(worker, "ready");
    }
    // A megabyte, so that it would show if it travelled with the tasks.
    let value = vec![1; 1 << 20];
    let path = grid.home.write("value.bin", &value);
    let with = format!("@{}", path.display());
    let (weigh, digest) = (guest("weigh"), Digest::of(&value).to_string());
    let run = |grid: &Grid, range: &str| {
        let ran = grid.run(&["run", &weigh, "--range", range, "--with", &with]);
        ran.ok().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let lines = run(&grid, "0..400");
        assert_eq!(lines.len(), 400);
        let expected = |(at, line): (usize, &String)| *line == format!("{at} 1048576 1048576 {at}");
        assert!(lines.iter().enumerate().all(expected), "{:?}", lines.first());
    }
    wait_for("both workers to have run some", || {
        (sent(&grid, "w1", &digest) > 0 && sent(&grid, "w2", &digest) > 0).then_some(()).or_else(
            || {
                run(&grid, "0..100");
                None
            },
        )
    });
    assert_eq!((sent(&grid, "w1", &digest), sent(&grid, "w2", &digest)), (1, 1));

    // An open job of it goes on after a kill, and so does a retry of an ended one.
    let opened = grid.run(&["submit", &weigh, "--open", "--with", &with]).ok().trim().to_owned();
    grid.kill_scheduler();
    grid.restart_scheduler();
    grid.home.write("in", "a\nb\n");
    grid.run(&["job", "append", &opened, "in"]).ok();
    grid.run(&["job", "close", &opened]).ok();
    grid.run(&["job", "wait", &opened]).ok();
    assert_eq!(grid.job(&opened)["with"], json!(digest));
    let results = grid.run(&["job", "results", &opened, "--order", "input"]);
    assert_eq!(results.ok(), "a 1048576 1048576 0\nb 1048576 1048576 1\n");
    let poor = grid.run(&["submit", &weigh, "--range", "0..2", "--with", &with, "--fuel", "1k"]);
    let poor = poor.ok().trim().to_owned();
    grid.run(&["job", "wait", &poor]).fails_with(1, &[]);
    let retried = grid.run(&["job", "retry", &poor, "--failed", "--fuel", "1G"]);
    let retried = retried.ok().trim().to_owned();
    grid.run(&["job", "wait", &retried]).ok();
    assert_eq!(grid.job(&retried)["with"], json!(digest));
}
