//! The host functions against the WIT they are written after: components are made that import
//! every function of it, and have to fit the linker to the last type.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use wasmtime::{
    Engine,
    component::{Component, Linker},
};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, WorldId, WorldItem};

use super::HostState;
use crate::{EngineSettings, admit::PROVIDED, engine};

/// The unstable functions of WASI 0.2 that are provided.
const UNSTABLE: &str = "cli-exit-with-code";

/// The full names of the interfaces that the world imports, each without its version.
fn imports(resolve: &Resolve, world: WorldId) -> Vec<String> {
    let names = resolve.worlds[world].imports.values().filter_map(|item| match item {
        WorldItem::Interface { id, .. } => resolve.id_of(*id),
        _ => None,
    });
    names.map(|name| name.split('@').next().unwrap_or_default().to_owned()).collect()
}

/// A component that imports every function of the world can be linked.
fn assert_links(resolve: &Resolve, world: WorldId) {
    let mut module = dummy_module(resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).expect("a world");
    let encoder = ComponentEncoder::default().module(&module).expect("a module of the world");
    let bytes = { encoder }.encode().expect("a component");
    let config = engine::config(&EngineSettings::default()).expect("settings");
    let engine = Engine::new(&config).expect("an engine");
    let mut linker: Linker<HostState> = Linker::new(&engine);
    super::link(&mut linker).expect("no name twice");
    let component = Component::new(&engine, bytes).expect("a component");
    if let Err(error) = linker.instantiate_pre(&component) {
        panic!("{error:#}");
    }
}

/// The platform that the compiler builds for unless told otherwise.
fn platform() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`rustc -vV` failed:\n{errors}");
    let version = String::from_utf8(output.stdout).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

/// Where the crate that brings the engine's WASI has its WIT. This test needs the crates of this
/// platform alone, which cargo fetched to build it.
fn wasi_wit() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform()]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`cargo metadata` failed:\n{errors}");
    let metadata = String::from_utf8(output.stdout).expect("text");
    let manifests = metadata.split(r#""manifest_path":""#).skip(1);
    let mut folders = manifests.filter_map(|rest| Path::new(rest.split('"').next()?).parent());
    let is_wasi = |folder: &&Path| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let version = name.strip_prefix("wasmtime-wasi").map(|rest| rest.trim_start_matches('-'));
        version.is_some_and(|rest| rest.bytes().all(|byte| !byte.is_ascii_alphabetic()))
    };
    folders.find(is_wasi).expect("the crate wasmtime-wasi").join("src/p2/wit")
}

#[test]
fn every_function_of_wasi_that_a_task_may_import_is_there_with_its_type() {
    let mut resolve = Resolve::default();
    resolve.features.insert(UNSTABLE.to_owned());
    let (package, _) = resolve.push_dir(wasi_wit()).expect("the engine's WIT");
    let world = resolve.select_world(&[package], Some("bindings")).expect("its world");
    let mut imported = imports(&resolve, world);
    imported.sort();
    let mut provided: Vec<&str> = PROVIDED.iter().map(|provided| provided.path).collect();
    provided.retain(|path| path.starts_with("wasi:") && *path != "wasi:logging/logging");
    provided.sort_unstable();
    assert_eq!(imported, provided, "what admission lets in is WASI 0.2 for commands");
    assert_links(&resolve, world);
}

#[test]
fn every_function_of_the_grids_own_interfaces_is_there_with_its_type() {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/wit");
    resolve.push_dir(wit).expect("the SDK's WIT");
    let own: Vec<&str> = PROVIDED
        .iter()
        .map(|provided| provided.path)
        .filter(|path| path.starts_with("wasmgrid:"))
        .collect();
    let imports: String = own.iter().map(|path| format!("import {path}@0.1.0;\n")).collect();
    let text = format!(
        "package test:all;\nworld all {{\n{imports}import wasi:logging/logging@0.1.0-draft;\n}}"
    );
    let package = resolve.push_source("all.wit", &text).expect("a world");
    let world = resolve.select_world(&[package], Some("all")).expect("it");
    assert_eq!(own.len(), 4, "{own:?}");
    assert_links(&resolve, world);
}
