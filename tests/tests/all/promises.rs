//! SPECIFICATION.md is held to: each test that it names is a test, and each row names the file of its
//! rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use walkdir::WalkDir;
use wasmgrid_tests::repository;

/// Where each store's promises are: functions that `conformance!` makes tests of.
const CONFORMANCE: &str = "host/store/src/conformance.rs";

/// A row of a table.
struct Row {
    line: usize,
    /// The promise, what checks it, where its rule is.
    cells: Vec<String>,
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(repository().join("SPECIFICATION.md")).expect("it is there");
    let rows = text.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
    let row = |(number, line): (usize, &str)| Row {
        line: number + 1,
        cells: line.trim_matches(['|', ' ']).split(" | ").map(str::to_owned).collect(),
    };
    rows.map(row).filter(|row| row.cells.first().is_some_and(|cell| cell != "promise")).collect()
}

/// What is between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The names of all tests, each with its files.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let sources = WalkDir::new(repository()).into_iter().filter_entry(|entry| {
        let name = entry.file_name().to_string_lossy();
        name != "target" && !(entry.depth() > 0 && name.starts_with('.'))
    });
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in sources {
        let path = entry.expect("the checkout can be read").into_path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            let file = path.strip_prefix(repository()).expect("below it").display().to_string();
            let source = fs::read_to_string(&path).expect("a source file");
            for name in tests_of(&source, file == CONFORMANCE) {
                tests.entry(name).or_default().insert(file.clone());
            }
        }
    }
    tests
}

/// The tests of a source; of a suite each public function is one.
fn tests_of(source: &str, is_suite: bool) -> Vec<String> {
    let (mut names, mut is_test, mut is_open) = (Vec::new(), false, false);
    for line in source.lines().map(str::trim) {
        if is_open || line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            // An attribute may have several lines, such as `#[expect(` … `)]`.
            is_open = !line.ends_with(']');
            continue;
        }
        if line.starts_with("//") {
            continue;
        }
        let name = line.strip_prefix("pub ").filter(|_| is_suite).or(is_test.then_some(line));
        let name = name.map(|line| line.strip_prefix("async ").unwrap_or(line));
        let name = name.and_then(|line| line.strip_prefix("fn ")?.split(['(', '<']).next());
        names.extend(name.map(str::to_owned));
        is_test = false;
    }
    names
}

#[test]
fn every_test_that_the_specification_names_is_one() {
    let (tests, rows) = (tests(), rows());
    let mut missing = Vec::new();
    let mut count = 0;
    for row in &rows {
        let held = row.cells.get(1).map(String::as_str).unwrap_or_default();
        let names =
            quoted(held).filter(|name| name.contains('_') && !name.contains(['/', ' ', '.']));
        for name in names {
            count += 1;
            if !tests.contains_key(name) {
                missing.push(format!("line {}: {name}", row.line));
            }
        }
    }
    assert!(count > 300, "the table has changed its form: {count} names");
    assert!(missing.is_empty(), "these are no tests: {missing:#?}");
}

#[test]
fn every_promise_names_the_file_of_its_rule() {
    for Row { line, cells } in rows() {
        let [_, _, rule] = cells.as_slice() else {
            panic!("line {line} has {} cells", cells.len())
        };
        let files: Vec<&str> = quoted(rule).collect();
        assert!(!files.is_empty(), "line {line} names no file");
        for file in files {
            let path = repository().join(Path::new(file));
            assert!(path.is_file(), "line {line}: there is no file {file}");
            assert!(!file.contains("/tests/"), "line {line}: {file} is a test, and no rule");
        }
    }
}

#[test]
fn a_test_is_known_from_another_function() {
    let source = "#[test]\nfn one() {}\n\n#[tokio::test(flavor = \"multi_thread\")]\n\
                  // Why.\n#[expect(\n    lint,\n    reason = \"it\"\n)]\nasync fn two() {}\n\
                  fn helper() {}\npub fn law<S: Store>() {}\n";
    assert_eq!(tests_of(source, false), ["one", "two"]);
    assert_eq!(tests_of(source, true), ["one", "two", "law"]);
}
