//! The house as ARCHITECTURE.md draws it: who may depend on whom, and which crate alone names
//! each heavy dependency. Read from `cargo metadata`, so that it is what cargo builds.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde::Deserialize;
use wasmgrid_tests::repository;

/// Every crate of the workspace, and the crates of ours it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("wasmgrid", &["wasmgrid-macros"]),
    ("wasmgrid-macros", &[]),
    ("wasmgrid-proto", &[]),
    ("wasmgrid-core", &["wasmgrid-proto"]),
    ("wasmgrid-agent", &["wasmgrid-proto"]),
    ("wasmgrid-failpoints", &[]),
    ("wasmgrid-store", &["wasmgrid-failpoints", "wasmgrid-proto"]),
    ("wasmgrid-sandbox", &["wasmgrid-proto"]),
    ("wasmgrid-net", &["wasmgrid-failpoints", "wasmgrid-proto"]),
    ("wasmgrid-client", &["wasmgrid-failpoints", "wasmgrid-net", "wasmgrid-proto"]),
    (
        "wasmgrid-server",
        &[
            "wasmgrid-core",
            "wasmgrid-failpoints",
            "wasmgrid-net",
            "wasmgrid-proto",
            "wasmgrid-store",
        ],
    ),
    (
        "wasmgrid-worker",
        &[
            "wasmgrid-agent",
            "wasmgrid-failpoints",
            "wasmgrid-net",
            "wasmgrid-proto",
            "wasmgrid-sandbox",
        ],
    ),
    (
        "wasmgrid-sim",
        &["wasmgrid-agent", "wasmgrid-core", "wasmgrid-proto", "wasmgrid-server", "wasmgrid-store"],
    ),
    (
        "wasmgrid-cli",
        &[
            "wasmgrid-client",
            "wasmgrid-failpoints",
            "wasmgrid-gateway",
            "wasmgrid-net",
            "wasmgrid-pages",
            "wasmgrid-proto",
            "wasmgrid-server",
            "wasmgrid-store",
            "wasmgrid-views",
            "wasmgrid-worker",
        ],
    ),
    (
        "wasmgrid-gateway",
        &["wasmgrid-client", "wasmgrid-pages", "wasmgrid-proto", "wasmgrid-views"],
    ),
    ("wasmgrid-views", &["wasmgrid-proto"]),
    ("wasmgrid-pages", &["wasmgrid-proto", "wasmgrid-views"]),
    ("wasmgrid-l2", &[]),
];

/// The crate that may depend on every other: the tests themselves.
const TESTS: &str = "wasmgrid-tests";

/// The start of a dependency's name, and the one crate that may have it, for tests too.
const HEAVY: &[(&str, &str)] = &[
    ("wasmtime", "wasmgrid-sandbox"),
    ("quinn", "wasmgrid-net"),
    ("rustls", "wasmgrid-net"),
    ("tokio-rustls", "wasmgrid-net"),
    ("rusqlite", "wasmgrid-store"),
    ("axum", "wasmgrid-gateway"),
    ("hyper", "wasmgrid-gateway"),
    ("askama", "wasmgrid-pages"),
    ("clap", "wasmgrid-cli"),
    ("anyhow", "wasmgrid-cli"),
];

/// The pure crates: no operating system under them.
const PURE: &[&str] = &["wasmgrid-proto", "wasmgrid-core", "wasmgrid-agent"];

/// What the pure crates may depend on beside each other: no runtime, clock, file or network.
const PURE_MAY: &[&str] = &["blake3", "bytes", "postcard", "serde", "thiserror", "tracing"];

/// What `cargo metadata` tells of a package, as far as it matters here. It is read by hand: the
/// crate that models it would turn on features of what the engine is built with, so that testing
/// one crate and testing all would each build the engine anew.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev` or `build`; nothing for what the library itself needs.
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: String,
}

fn packages() -> Vec<Package> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }

    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(repository())
        .output()
        .expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`cargo metadata` failed:\n{errors}");
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).expect("cargo describes the workspace");
    metadata.packages
}

/// The names a package depends on, without those its tests alone need.
fn built_with(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
        .map(|dependency| dependency.name.as_str())
}

#[test]
fn every_crate_is_in_the_map_and_nothing_else() {
    let packages = packages();
    let mut found: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    found.sort_unstable();
    let mut expected: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).chain([TESTS]).collect();
    expected.sort_unstable();
    assert_eq!(found, expected, "a new crate needs its place in ARCHITECTURE.md and here");
}

#[test]
fn dependencies_follow_the_arrows() {
    let packages = packages();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| package.name.as_str() != TESTS)
        .flat_map(|package| {
            let allowed = arrows.get(package.name.as_str()).copied().unwrap_or_default();
            built_with(package)
                .filter(|name| name.starts_with("wasmgrid") && !allowed.contains(name))
                .map(|name| format!("{} must not depend on {name}", package.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_heavy_dependency_is_named_by_one_crate() {
    let packages = packages();
    let mut wrong = Vec::new();
    for package in &packages {
        for dependency in &package.dependencies {
            for (start, owner) in HEAVY {
                if dependency.name.starts_with(start) && package.name.as_str() != *owner {
                    wrong.push(format!("{} names {}", package.name, dependency.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "only their owners may: {wrong:#?}");
}

#[test]
fn a_crate_has_one_test_binary_at_most() {
    for package in &packages() {
        let is_test = |target: &&Target| target.kind.iter().any(|kind| kind == "test");
        let binaries = package.targets.iter().filter(is_test).count();
        assert!(binaries <= 1, "{} links {binaries} test binaries", package.name);
    }
}

#[test]
fn every_crate_has_the_workspaces_lints_and_its_dependencies_versions() {
    for package in &packages() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("cargo has read it");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has no lints", package.name);
        let own_version = manifest.lines().find(|line| {
            line.contains("version = \"") || line.split_once(" = \"").is_some_and(is_a_version)
        });
        assert_eq!(own_version, None, "{}: versions stand in the root's Cargo.toml", package.name);
    }
}

fn is_a_version((_, value): (&str, &str)) -> bool {
    value.starts_with(|c: char| c.is_ascii_digit())
}

#[test]
fn the_pure_crates_have_no_operating_system() {
    for package in &packages() {
        let name = package.name.as_str();
        let library =
            package.targets.iter().find(|target| target.kind.iter().any(|kind| kind == "lib"));
        let source = library.map(|target| fs::read_to_string(&target.src_path).expect("readable"));
        let is_no_std = source.is_some_and(|source| source.contains("\n#![no_std]\n"));
        assert!(is_no_std || !PURE.contains(&name), "{name} must be no_std");
    }
}

#[test]
fn the_pure_crates_know_no_runtime() {
    for package in packages().iter().filter(|at| PURE.contains(&at.name.as_str())) {
        let is_pure = |name: &&str| PURE.contains(name) || PURE_MAY.contains(name);
        let other: Vec<_> = built_with(package).filter(|name| !is_pure(name)).collect();
        assert!(other.is_empty(), "{} must not depend on {other:?}", package.name);
    }
}

/// What keeps a crate from printing.
const NO_PRINTING: &str =
    "#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]";

#[test]
fn no_crate_of_host_prints_but_in_one_place() {
    let host = repository().join("host");
    for package in packages().iter().filter(|at| Path::new(&at.manifest_path).starts_with(&host)) {
        let is_root = |target: &&Target| {
            let kinds = target.kind.iter().map(String::as_str);
            target.src_path.contains("/src/") && kinds.into_iter().any(|kind| kind != "test")
        };
        let roots: Vec<_> = package.targets.iter().filter(is_root).collect();
        assert!(!roots.is_empty(), "{} has no source", package.name);
        for root in roots {
            let source = fs::read_to_string(&root.src_path).expect("cargo has found it");
            assert!(source.contains(NO_PRINTING), "{} may print", root.src_path);
        }
    }
}

/// What the files of the driver may import of their own crate: everything else has threads, tasks
/// or the store behind it.
const DRIVER_MAY_NAME: &[&str] = &["error", "members"];

#[test]
fn the_driver_is_a_value_without_runtime_and_services() {
    let source = repository().join("host/server/src");
    let folder = fs::read_dir(source.join("driver")).expect("the driver's folder is there");
    let files = folder.map(|entry| entry.expect("readable").path());
    let files: Vec<_> = files.chain([source.join("driver.rs")]).collect();
    assert!(files.len() > 10, "{} files are no driver", files.len());
    for path in files {
        let text = fs::read_to_string(&path).expect("readable");
        let (path, code) = (path.display(), text.lines().filter(|line| !is_comment(line)));
        let code: Vec<&str> = code.collect();
        for word in ["tokio", "std::thread", "SystemTime", "Instant"] {
            assert!(!code.iter().any(|line| line.contains(word)), "{path} names {word}");
        }
        for name in named_of_crate(&code.join("\n")) {
            assert!(DRIVER_MAY_NAME.contains(&name.as_str()), "{path} names crate::{name}");
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// The modules that a source names as `crate::…`, also within braces.
fn named_of_crate(source: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut names = Vec::new();
    for rest in source.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let mut depth = 0_usize;
        let mut at_name = true;
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_name = true,
                letter if at_name && letter.is_alphabetic() => {
                    names.push(word(list.get(at..).unwrap_or_default()));
                    at_name = false;
                }
                _ => {}
            }
        }
    }
    names
}
