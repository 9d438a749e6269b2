//! Data as inputs: tables, products, batches of lines, several patterns, and marks before a text.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use serde_json::Value;
use wasmgrid_tests::{Grid, Home, example, guest};

fn run(home: &Home, task: &str, flags: &[&str]) -> String {
    home.run([&["run", task], flags].concat()).ok().to_owned()
}

/// The objects of `--output json`, one a result.
fn objects(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[test]
fn a_row_of_a_table_is_an_object_named_by_the_header() {
    let home = Home::new();
    let noop = guest("noop");
    let table = "name,age,says\r\nada,36,\"a, \"\"b\"\"\"\r\nbob,007,\"two\r\nlines\"\r\n";
    home.write("people.csv", table);
    let rows = [
        r#"{"name":"ada","age":"36","says":"a, \"b\""}"#,
        r#"{"name":"bob","age":"007","says":"two\r\nlines"}"#,
    ];
    assert_eq!(run(&home, &noop, &["--csv", "people.csv"]), rows.join("\n") + "\n");
    let piped = home.run_with_stdin(["run", &noop, "--csv", "-"], table.as_bytes());
    assert_eq!(piped.ok(), rows.join("\n") + "\n");
    // As numbers only where that is asked for, and an empty one is no number.
    home.write("numbers.csv", "id,n\n007,1.50\n008,\n");
    let typed = run(&home, &noop, &["--csv", "numbers.csv", "--csv-numbers", "n"]);
    assert_eq!(typed, "{\"id\":\"007\",\"n\":1.50}\n{\"id\":\"008\",\"n\":null}\n");
}

#[test]
fn what_is_wrong_with_a_table_is_said_with_its_line_before_anything_runs() {
    let home = Home::new();
    let noop = guest("noop");
    for (table, said) in [
        ("", "t.csv has no header"),
        ("a,b\n1,2\n3\n", "t.csv:3: the row has 1 field, and the header names 2"),
        ("a,b\r\n\"1\r\n\",2\r\n\r\n3,4,5\r\n", "t.csv:5: the row has 3 fields"),
        ("a,b,a\n1,2,3\n", "t.csv:1: columns 1 and 3 are both named \"a\""),
        ("a,b\n1,\"2\n3,4\n", "t.csv:2: a quote is opened in this row and never closed"),
    ] {
        home.write("t.csv", table);
        let finished = home.run(["run", &noop, "--csv", "t.csv"]);
        finished.fails_with(2, &[said]);
        assert!(finished.stdout.is_empty(), "something ran: {finished}");
        home.run(["run", &noop, "--csv", "t.csv", "--dry-run"]).fails_with(2, &[said]);
    }
    home.write("t.csv", b"a\n\xff\n");
    home.run(["run", &noop, "--csv", "t.csv"]).fails_with(2, &["t.csv:2: ", "not UTF-8"]);
    home.write("t.csv", "a\nx\n");
    let args = ["run", &noop, "--csv", "t.csv", "--csv-numbers", "b"];
    home.run(args).fails_with(2, &["\"b\"", "the header has a"]);
    home.run(["run", &noop, "--range", "0..2", "--csv-numbers", "a"]).fails_with(2, &["--csv"]);
}

#[test]
fn rows_of_a_pipe_run_as_they_come() {
    let home = Home::new();
    let mut command = home.command(["run", &guest("noop"), "--csv", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let mut results = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    pipe.write_all(b"a,b\n").expect("written");
    for n in 0..3 {
        pipe.write_all(format!("{n},\"x\ny\"\n").as_bytes()).expect("written");
        let result = results.next().expect("a line").expect("read");
        assert_eq!(result, format!(r#"{{"a":"{n}","b":"x\ny"}}"#));
    }
    drop(pipe);
    assert!(results.next().is_none());
    assert!(child.wait().expect("ends").success());
}

#[test]
fn a_grid_of_values_is_their_product_the_last_axis_first() {
    let home = Home::new();
    let noop = guest("noop");
    let flags = ["--grid", "rate=0.1,1e-3", "--grid", "seed=0..=2/2", "--grid", "of=a b,\"7\""];
    let expected: String = ["0.1", "1e-3"]
        .iter()
        .flat_map(|rate| [0, 2].map(|seed| (rate, seed)))
        .flat_map(|(rate, seed)| ["\"a b\"", "\"7\""].map(|of| (rate, seed, of)))
        .map(|(rate, seed, of)| format!("{{\"rate\":{rate},\"seed\":{seed},\"of\":{of}}}\n"))
        .collect();
    assert_eq!(run(&home, &noop, &flags), expected);
    let many = ["--grid", "a=0..300", "--grid", "b=0..100"];
    let results = run(&home, &noop, &many);
    assert_eq!(results.lines().count(), 30_000);
    assert_eq!(results.lines().nth(12_345), Some("{\"a\":123,\"b\":45}"));
    let dry = home.run([&["run", &noop, "--dry-run"][..], &many].concat());
    assert!(dry.ok().contains("30000"), "{dry}");
    for (axis, said) in [
        ("rate", "rate=0.1,0.2"),
        ("rate=1,,2", "empty value"),
        ("rate=0..x", "0..10"),
        ("rate=\"a", "not valid JSON"),
    ] {
        home.run(["run", &noop, "--grid", axis]).fails_with(2, &[said]);
    }
    let twice = ["run", &noop, "--grid", "a=1", "--grid", "a=2"];
    home.run(twice).fails_with(2, &["--grid a= is given twice"]);
}

#[test]
fn batches_are_cut_at_line_ends_and_their_outputs_are_joined_in_order() {
    let home = Home::new();
    let grep = example("grep");
    let text: String = (0..10_000).map(|n| format!("{n} {}\n", "x".repeat(n % 50))).collect();
    home.write("in", text.clone() + "no end x");
    let expected: String = text.lines().map(|line| line.to_owned() + "\n").collect();
    let expected = expected + "no end x\n";
    for size in ["1000", "1", "64KiB", "1B", "64MiB", "100000"] {
        let flags = ["--batch", size, "--lines", "in", "--", ""];
        assert!(run(&home, &grep, &flags) == expected, "--batch {size}");
    }
    // What no batch has makes a task that fails alone; the others go on.
    let some = home.run(["run", &grep, "in", "--batch", "100", "--output", "json", "--", "777"]);
    some.fails_with(1, &["in:1-100"]);
    let results = objects(some.text());
    assert_eq!(results.len(), 101);
    let sizes: Vec<_> = results.iter().filter(|result| result["outcome"] == "ok").collect();
    assert!(!sizes.is_empty());
    let piped = home.run_with_stdin(["run", &grep, "-", "--batch", "2", "--", "b"], b"ab\ncb\nb");
    assert_eq!(piped.ok(), "ab\ncb\nb\n");
}

#[test]
fn batches_of_values_and_of_rows_are_lines_of_json() {
    let home = Home::new();
    let grep = example("grep");
    home.write("values", "{\"a\":1}\r\n\n[2]\n3");
    let values = run(&home, &grep, &["--json", "values", "--batch", "2", "--", ""]);
    assert_eq!(values, "{\"a\":1}\n[2]\n3\n");
    home.write("t.csv", "a,b\n1,\"x\ny\"\n2,z\n3,z\n");
    let rows = run(&home, &grep, &["--csv", "t.csv", "--batch", "2", "--", ""]);
    assert_eq!(
        rows,
        "{\"a\":\"1\",\"b\":\"x\\ny\"}\n{\"a\":\"2\",\"b\":\"z\"}\n{\"a\":\"3\",\"b\":\"z\"}\n"
    );
}

#[test]
fn a_batch_that_makes_no_sense_is_refused_with_what_does() {
    let home = Home::new();
    let grep = example("grep");
    home.write("in", "a\n");
    let of_range = ["run", &grep, "--range", "0..3", "--batch", "2", "--", "1"];
    home.run(of_range).fails_with(2, &["--batch joins lines", "--csv"]);
    home.run(["run", &grep, "--batch", "2", "--", "1"]).fails_with(2, &["`-`"]);
    let of_task = ["run", &guest("noop"), "in", "--batch", "2"];
    home.run(of_task).fails_with(2, &["for commands", "leave --batch out"]);
    for (size, said) in [("0", "at least 1"), ("65MiB", "64 MiB"), ("some", "1MiB"), ("-1", "")] {
        home.run(["run", &grep, "in", "--batch", size, "--", "a"]).fails_with(2, &[said]);
    }
    let long = home.run_with_stdin(
        ["run", &grep, "-", "--batch", "3", "--memory", "1GiB", "--", "a"],
        &[vec![b'a'; 40 << 20], b"\n".to_vec(), vec![b'a'; 40 << 20]].concat(),
    );
    long.fails_with(2, &["stdin:2: the batch that ends here is longer than 64 MiB"]);
}

#[test]
fn kept_batches_and_rows_run_again_as_they_were() {
    let home = Home::new();
    let grep = example("grep");
    home.write("in", "a\nb\nc\nd\n");
    home.write("t.csv", "a,b\n1,2\n3,4\n");
    for (flags, word) in [
        (&["in", "--batch", "2"][..], "x"),
        (&["--csv", "t.csv"], "x"),
        (&["--csv", "t.csv", "--batch", "1"], "x"),
        (&["--grid", "a=1,2"], "x"),
    ] {
        let first = home.run([&["run", &grep], flags, &["--", word]].concat());
        first.fails_with(1, &["2 inputs kept in wasmgrid-"]);
        let entries = fs::read_dir(home.path()).expect("listed").filter_map(Result::ok);
        let kept = entries.map(|entry| entry.path());
        let kept: Vec<_> = kept.filter(|at| at.extension() == Some("failed".as_ref())).collect();
        let name = kept[0].to_str().expect("a plain name");
        let plain = run(&home, &grep, &[flags, &["--", ""]].concat());
        assert_eq!(run(&home, &grep, &["--again", name, "--", ""]), plain, "{flags:?}");
        fs::remove_file(name).expect("removed");
    }
}

#[test]
fn several_patterns_name_each_file_once_in_their_order() {
    let home = Home::new();
    let noop = guest("noop");
    for name in ["a", "b", "c"] {
        home.write(&format!("d/{name}"), name);
    }
    let flags = ["--files", "d/[bc]", "--files", "d/*"];
    assert_eq!(run(&home, &noop, &flags), "b\nc\na\n");
    let listed = ["run", &noop, "--files", "d/c", "--files", "-"];
    assert_eq!(home.run_with_stdin(listed, b"\xef\xbb\xbfd/a\nd/c\n").ok(), "c\na\n");
    home.run(["run", &noop, "--files", "d/a", "--files", "x/*"]).fails_with(2, &["x/*"]);
}

#[test]
fn a_mark_before_a_text_is_no_part_of_its_first_line() {
    let home = Home::new();
    let noop = guest("noop");
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    home.write("lines", marked("one\ntwo\n"));
    home.write("values", marked("{\"a\":1}\n{\"a\":2}\n"));
    home.write("t.csv", marked("a,b\n1,2\n"));
    assert_eq!(run(&home, &noop, &["lines"]), "one\ntwo\n");
    assert_eq!(run(&home, &noop, &["--json", "values"]), "{\"a\":1}\n{\"a\":2}\n");
    assert_eq!(run(&home, &noop, &["--csv", "t.csv"]), "{\"a\":\"1\",\"b\":\"2\"}\n");
    let grep = example("grep");
    assert_eq!(run(&home, &grep, &["lines", "--batch", "2", "--", "o"]), "one\ntwo\n");
    assert_eq!(home.run_with_stdin(["run", &noop, "-"], &marked("x\n")).ok(), "x\n");
    // A file that is an input is bytes.
    let whole = home.run(["run", &noop, "--files", "lines"]);
    assert_eq!(whole.ok_bytes(), marked("one\ntwo\n"));
}

#[test]
fn a_cluster_takes_tables_products_and_batches_too() {
    let grid = Grid::start(1, 2);
    let home = &grid.home;
    let (noop, grep) = (guest("noop"), example("grep"));
    home.write("t.csv", "a\n1\n2\n");
    home.write("in", "a\nb\nc\n");
    let results = |args: &[&str]| {
        let job = home.run([&["submit"], args].concat());
        let job = job.ok().trim().to_owned();
        home.run(["job", "wait", &job]).ok();
        home.run(["job", "results", &job]).ok().to_owned()
    };
    assert_eq!(results(&[&noop, "--csv", "t.csv"]), "{\"a\":\"1\"}\n{\"a\":\"2\"}\n");
    assert_eq!(results(&[&noop, "--grid", "a=1,2"]), "{\"a\":1}\n{\"a\":2}\n");
    assert_eq!(results(&[&grep, "in", "--batch", "2", "--", ""]), "a\nb\nc\n");
    home.run(["submit", &noop, "in", "--batch", "2"]).fails_with(2, &["for commands"]);
    let open = home.run(["submit", &grep, "--open", "--", ""]);
    let open = open.ok().trim();
    let appended = home.run(["job", "append", open, "in", "--batch", "2", "--output", "json"]);
    let appended = objects(appended.ok());
    assert_eq!(appended.iter().filter_map(|run| run["count"].as_u64()).sum::<u64>(), 2);
    home.run(["job", "close", open]).ok();
    home.run(["job", "wait", open]).ok();
    assert_eq!(home.run(["job", "results", open]).ok(), "a\nb\nc\n");
}
