//! SPECIFICATION.md is held to: each test it names exists.

use std::{collections::BTreeSet, fs};

use walkdir::WalkDir;
use wasmgrid_tests::repository;

/// The names of all functions in the sources of the repository.
fn functions() -> BTreeSet<String> {
    let sources = WalkDir::new(repository()).into_iter().filter_entry(|entry| {
        let name = entry.file_name().to_string_lossy();
        name != "target" && !(entry.depth() > 0 && name.starts_with('.'))
    });
    sources
        .map(|entry| entry.expect("the checkout can be read"))
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "rs"))
        .flat_map(|entry| {
            let source = fs::read_to_string(entry.path()).expect("a source file");
            source.lines().filter_map(function).map(ToOwned::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// The name of the function that a line declares.
fn function(line: &str) -> Option<&str> {
    let line = line.trim_start();
    // The conformance suite's are public.
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

#[test]
fn every_test_that_the_specification_names_exists() {
    let specification = fs::read_to_string(repository().join("SPECIFICATION.md"));
    let specification = specification.expect("it is there");
    let functions = functions();
    let rows: Vec<&str> = specification.lines().filter(|line| line.starts_with("| ")).collect();
    let named: Vec<&str> = rows
        .iter()
        .filter_map(|row| row.split(" | ").nth(1))
        .flat_map(|held| held.split('`').skip(1).step_by(2))
        .filter(|name| name.contains('_') && !name.contains(['/', ' ', '.']))
        .collect();
    assert!(named.len() > 50, "the table has changed its form: {} names", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !functions.contains(**name)).collect();
    assert!(missing.is_empty(), "no test is called {missing:?}");
}
