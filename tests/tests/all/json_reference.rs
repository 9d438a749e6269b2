//! The reference of JSON output names every field that programs may read.

use std::{collections::BTreeSet, fs};

use wasmgrid_tests::repository;

const REFERENCE: &str = "docs/book/src/reference/json.md";
const VIEWS: &str = "host/views/src";

#[test]
fn the_reference_of_json_names_every_field_of_every_view() {
    let reference = fs::read_to_string(repository().join(REFERENCE)).expect("the page is there");
    let words: BTreeSet<&str> =
        reference.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let mut missing = Vec::new();
    let mut found = 0;
    for entry in fs::read_dir(repository().join(VIEWS)).expect("the views are there") {
        let path = entry.expect("listed").path();
        let source = fs::read_to_string(&path).expect("a source");
        for field in serialized_fields(&source) {
            found += 1;
            if !words.contains(field.as_str()) {
                missing.push(format!("{field} of {}", path.display()));
            }
        }
    }
    assert!(found > 100, "only {found} fields were found: how views are written has changed");
    assert!(missing.is_empty(), "{REFERENCE} does not name {missing:#?}");
}

/// The public fields of a file's structs that are serialized, but for those that are flattened.
fn serialized_fields(source: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let (mut derived, mut inside, mut flattened) = (false, false, false);
    for line in source.lines() {
        if line.starts_with("#[derive") {
            derived = line.contains("Serialize");
        } else if line.starts_with("pub struct") {
            inside = derived && line.ends_with('{');
        } else if line == "}" {
            inside = false;
        } else if line.trim() == "#[serde(flatten)]" {
            flattened = true;
        } else if inside && let Some((name, _)) = line.trim().split_once(':') {
            let Some(name) = name.strip_prefix("pub ") else { continue };
            if !std::mem::take(&mut flattened) {
                fields.push(name.to_owned());
            }
        }
    }
    fields
}
