//! Which parts of a crate know which others. A part is a file or a folder beside a crate's root; an
//! arrow goes from it to each other part that it names by a path. `docs/design/imports.txt` has the
//! arrows of every crate in `host`, so that a new one is a decision that somebody reads. [`circles`]
//! has the same between single files.

mod circles;
mod paths;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use wasmgrid_tests::repository;

use self::paths::{Named, named};

const MAP: &str = "docs/design/imports.txt";

/// The crate whose parts must not know each other in a circle.
const LAYERED: &str = "core";

/// From a part of a crate to another one of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
}

#[test]
fn a_new_arrow_between_parts_of_a_crate_is_a_decision() {
    let map = map();
    let path = repository().join(MAP);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, map).expect("the map can be written");
        return;
    }
    let known = fs::read_to_string(&path).expect("the map is there");
    let lines = |text: &str| text.lines().map(String::from).collect::<BTreeSet<_>>();
    let (found, known) = (lines(&map), lines(&known));
    let new: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "{MAP} has other arrows: new are {new:#?}, gone are {gone:#?}; if that is meant, run this \
         test with BLESS=1"
    );
}

#[test]
fn the_core_knows_its_parts_in_one_direction() {
    let mut arrows = arrows(&repository().join("host").join(LAYERED).join("src"));
    loop {
        let before = arrows.len();
        let from: BTreeSet<String> = arrows.iter().map(|arrow| arrow.from.clone()).collect();
        arrows.retain(|arrow| from.contains(&arrow.to));
        if arrows.len() == before {
            break;
        }
    }
    assert!(arrows.is_empty(), "these arrows are in a circle, or lead to one: {arrows:#?}");
}

/// The map as it is kept: a line for each arrow.
fn map() -> String {
    let mut map = String::from(
        "# Which parts of each crate in host/ name which others. Kept by tests/tests/all/imports;\n\
         # BLESS=1 cargo test -p wasmgrid-tests --test all imports:: writes it anew.\n",
    );
    for krate in children(&repository().join("host")) {
        let name = name_of(&krate);
        for Arrow { from, to } in arrows(&krate.join("src")) {
            map.push_str(&format!("{name}: {from} -> {to}\n"));
        }
    }
    map
}

fn arrows(source: &Path) -> BTreeSet<Arrow> {
    let parts: BTreeSet<String> = children(source).iter().map(|path| name_of(path)).collect();
    let roots = ["lib.rs", "main.rs"].map(|root| fs::read_to_string(source.join(root)));
    let roots: String = roots.into_iter().flatten().collect();
    let exports = exports(&code(&roots));
    let mut arrows = BTreeSet::new();
    for file in files(source) {
        let module = module_of(file.strip_prefix(source).expect("it is below"));
        let Some(from) = module.first().filter(|from| *from != "lib" && *from != "main") else {
            continue;
        };
        let text = fs::read_to_string(&file).expect("readable");
        for to in named_of_root(&code(&text), module.len()) {
            // What is no part may be something of one that the root exports.
            let part = if parts.contains(&to) { Some(&to) } else { exports.get(&to) };
            let to = part.map_or("root", String::as_str);
            if to != from {
                arrows.insert(Arrow { from: from.clone(), to: to.into() });
            }
        }
    }
    arrows
}

/// What a crate's root names without their paths, and the parts that these are in.
fn exports(root: &str) -> BTreeMap<String, String> {
    let named = named(root).into_iter().filter(|named| named.path.len() > 1);
    named.filter_map(|named| Some((named.alias?.into(), named.path[0].into()))).collect()
}

/// A file's text without comments and tests, which say nothing of what it is built of.
fn code(text: &str) -> String {
    let tests = text.match_indices("#[cfg(test)]\nmod ").map(|(at, _)| at);
    // A module of tests in a file of its own ends with a semicolon, and the text goes on after it.
    let inline = |at: &usize| text[*at..].lines().nth(1).is_some_and(|line| line.ends_with('{'));
    let upto = tests.into_iter().find(inline).unwrap_or(text.len());
    let lines = text[..upto].lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// What a text names of its crate's root, where its own module is so deep in it.
fn named_of_root(text: &str, depth: usize) -> BTreeSet<String> {
    let of_root = |Named { path, .. }: Named<'_>| {
        let supers = path.iter().take_while(|part| **part == "super").count();
        let above = if path[0] == "crate" { 1 } else { supers };
        let is_of_root = path[0] == "crate" || (supers > 0 && supers == depth);
        path.get(above).filter(|_| is_of_root).map(|part| (*part).to_owned())
    };
    named(text).into_iter().filter_map(of_root).collect()
}

/// Where a file stands in its crate, from the root down.
fn module_of(file: &Path) -> Vec<String> {
    let mut module: Vec<String> = file.with_extension("").iter().map(text).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (folders, files): (Vec<_>, Vec<_>) =
        children(folder).into_iter().partition(|path| path.is_dir());
    let mut files: Vec<_> =
        files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).collect();
    files.extend(folders.iter().flat_map(|folder| self::files(folder)));
    files
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("readable");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_stem().map(text).expect("it has a name")
}

fn text(name: &std::ffi::OsStr) -> String {
    name.to_str().expect("names are text").into()
}

#[test]
fn a_group_in_braces_names_each_of_its_paths() {
    let text = "use crate::{a::{B, C}, d, e::F};\nuse super::super::g; $crate::h; x.crate_::i";
    assert_eq!(named_of_root(text, 2).into_iter().collect::<Vec<_>>(), ["a", "d", "e", "g"]);
    assert!(named_of_root("use super::g;", 2).is_empty(), "that is in its own part");
    let exports = exports("mod a;\npub use a::{B, c::D as E};\nuse f::G;");
    let found: Vec<_> = exports.iter().map(|(name, part)| format!("{part}: {name}")).collect();
    assert_eq!(found, ["a: B", "a: E", "f: G"]);
}
