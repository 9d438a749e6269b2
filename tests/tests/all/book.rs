//! The book and the other documents hang together: every page is in the summary, every link leads to
//! a file that is there, and to a heading in it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;
use wasmgrid_tests::repository;

/// The pages of the book.
const BOOK: &str = "docs/book/src";

/// All documents that are kept in the repository.
fn documents() -> Vec<PathBuf> {
    let not_kept = ["target", "node_modules", ".venv", "corpus", "found"];
    let entries = WalkDir::new(repository()).sort_by_file_name().into_iter();
    let kept = entries.filter_entry(|entry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !(name.starts_with('.') || not_kept.contains(&&*name))
    });
    let paths = kept.map(|entry| entry.expect("readable").into_path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A document's lines that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Where a document's links lead.
fn links(text: &str) -> Vec<String> {
    let of_line = |line: &str| {
        // Code between words is no link.
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = plain.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    prose(text).flat_map(of_line).collect()
}

/// The names by which a document's headings are linked.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in documents() {
        let folder = document.parent().expect("in a folder");
        for link in links(&read(&document)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { document.clone() } else { folder.join(file) };
            let leads =
                target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            if !leads {
                wrong.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(count > 200, "{count} links: are they found?");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let book = repository().join(BOOK);
    let listed: BTreeSet<String> = links(&read(&book.join("SUMMARY.md"))).into_iter().collect();
    let pages = documents().into_iter().filter_map(|path| {
        let name = path.strip_prefix(&book).ok()?.to_str()?.to_owned();
        (name != "SUMMARY.md").then_some(name)
    });
    assert_eq!(listed, pages.collect());
}

#[test]
fn links_and_headings_are_found_as_they_are_written() {
    let text =
        "# A `b`: c_d!\nsee [x](y.md#z) and `[no](link)`\n```\n[no](code)\n# none\n```\n[q](#w)\n";
    assert_eq!(links(text), ["y.md#z", "#w"]);
    assert_eq!(anchors(text), BTreeSet::from(["a-b-c_d".to_owned()]));
}
