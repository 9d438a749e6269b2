//! Modules out of random numbers: valid WebAssembly of every shape, most of it shaped as a task so
//! that it gets past admission and runs.

use std::{error::Error, path::Path};

use arbitrary::Unstructured;
use wasm_smith::{Component, Config, Module};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Bytes that one module is made of.
const ENTROPY_BYTES: usize = 4 << 10;

/// Somewhat more memory and table elements than the tests allow a task, so that some pass them.
const MEMORY_BYTES: u64 = 8 << 20;
const TABLE_ELEMENTS: u64 = 20_000;

/// What a preview 1 command may import and must export.
const COMMAND_IMPORTS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek" (func (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_fdstat_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))"#;
const COMMAND_EXPORTS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "_start")))"#;

/// The same for a core module of the grid's world. Allocator and task are random: the host is
/// given any pointers and lengths.
const TASK_IMPORTS: &str = r#"(module
    (import "wasmgrid:task/io@0.1.0" "emit" (func (param i32 i32)))
    (import "wasmgrid:task/io@0.1.0" "progress" (func (param i64 i64)))
    (import "wasmgrid:task/io@0.1.0" "cancelled" (func (result i32)))
    (import "wasmgrid:task/context@0.1.0" "info" (func (param i32)))
    (import "wasmgrid:task/context@0.1.0" "fuel-left" (func (result i64)))
    (import "wasi:logging/logging@0.1.0-draft" "log" (func (param i32 i32 i32 i32 i32))))"#;
const TASK_EXPORTS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "wasmgrid:task/guest@0.1.0#run") (param i32 i32) (result i32) unreachable))"#;

/// The module of a seed, and what it was made as.
pub fn module(seed: u64) -> Result<(&'static str, Vec<u8>), Box<dyn Error>> {
    let entropy = entropy(seed);
    let mut entropy = Unstructured::new(&entropy);
    Ok(match seed % 8 {
        0..4 => ("command", shaped(COMMAND_IMPORTS, COMMAND_EXPORTS, &mut entropy)?),
        4 | 5 => ("task", in_world(shaped(TASK_IMPORTS, TASK_EXPORTS, &mut entropy)?)?),
        6 => ("module", Module::new(Config::default(), &mut entropy)?.to_bytes()),
        _ => ("component", Component::new(Config::default(), &mut entropy)?.to_bytes()),
    })
}

/// A module with any of these imports and exactly these exports, of features that tasks have.
fn shaped(
    imports: &str,
    exports: &str,
    entropy: &mut Unstructured<'_>,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let config = Config {
        available_imports: Some(wat::parse_str(imports)?),
        exports: Some(wat::parse_str(exports)?),
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        // With them comes `externref`, which tasks may not have.
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        threads_enabled: false,
        max_memory32_bytes: MEMORY_BYTES,
        max_table_elements: TABLE_ELEMENTS,
        // More would be made less often into something that runs to its end.
        max_imports: 8,
        ..Config::default()
    };
    Ok(Module::new(config, entropy)?.to_bytes())
}

/// The module with the grid's world in a custom section.
fn in_world(mut module: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/wit");
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some("task"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}

/// SplitMix64 (Steele, Lea, Flood 2014) from the seed.
fn entropy(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    });
    words.take(ENTROPY_BYTES / 8).flat_map(u64::to_le_bytes).collect()
}
