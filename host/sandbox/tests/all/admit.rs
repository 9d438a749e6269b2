//! What is a task, and what every other file is told.

use wasmgrid_proto::{Digest, Grant, ModuleInfo, ModuleKind};
use wasmgrid_sandbox::{
    Caps, Refusal,
    admit::{self, Access, access, check_grants},
};

use crate::{
    modules::{OFF, command, echo_component, echo_module, wat},
    texts::embed_sdk_world,
};

fn admit(bytes: &[u8]) -> Result<ModuleInfo, Refusal> {
    admit::admit(bytes, &Caps::default())
}

/// The refusal's text, which must have each of `parts`.
#[track_caller]
fn refused(bytes: &[u8], parts: &[&str]) -> Refusal {
    let refusal = admit(bytes).expect_err("this is no task");
    let text = refusal.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    refusal
}

#[track_caller]
fn refused_text(text: &str, parts: &[&str]) -> Refusal {
    refused(&wat(text), parts)
}

const KINDS: [&str; 3] = ["wasmgrid:task/guest", "wasi:cli/run", "_start"];

#[test]
fn a_preview_1_command_is_a_task() {
    let module = wat(r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")))"#);
    let info = admit(&module).unwrap();
    assert_eq!(info.kind, ModuleKind::Preview1);
    assert_eq!(info.digest, Digest::of(&module));
    assert_eq!(info.size_bytes, module.len() as u64);
    let imports = ["wasi_snapshot_preview1.clock_time_get", "wasi_snapshot_preview1.fd_write"];
    assert_eq!(info.imports, imports);
    assert_eq!(info.exports, ["_start", "memory"]);
}

#[test]
fn a_component_of_the_grids_world_is_a_task() {
    let info = admit(&echo_component()).unwrap();
    assert_eq!(info.kind, ModuleKind::Task);
    assert_eq!(info.exports, ["wasmgrid:task/guest@0.1.0"]);
}

#[test]
fn a_core_module_with_a_components_type_is_what_its_world_says() {
    assert_eq!(admit(&echo_module()).unwrap().kind, ModuleKind::Task);
}

#[test]
fn a_core_module_with_a_components_type_has_its_interfaces_alone() {
    let mut module = wat(r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "wasmgrid:task/guest@0.1.0#run") (param i32 i32) (result i32) unreachable))"#);
    embed_sdk_world(&mut module);
    refused(
        &module,
        &[
            "imports wasi_snapshot_preview1.sched_yield at offset 0x",
            "it becomes a component",
            "--target wasm32-wasip2",
        ],
    );
}

#[test]
fn a_command_that_calls_preview_1_shows_its_memory() {
    let importing = |memory: &str| {
        format!(
            r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
                {memory} (func (export "_start")))"#
        )
    };
    assert!(admit(&wat(&importing(r#"(memory (export "memory") 1)"#))).is_ok());
    for (memory, found) in [
        ("(memory 1)", "exports no memory called `memory`"),
        (r#"(memory (export "ram") 1)"#, "exports no memory called `memory`"),
        (r#"(func (export "memory"))"#, "exports a function called `memory`"),
    ] {
        refused_text(&importing(memory), &["not a task", found, "export its memory"]);
    }
    // One that calls nothing needs none.
    assert!(admit(&wat(r#"(module (func (export "_start")))"#)).is_ok());
}

/// A command that imports functions of preview 1.
fn with_functions(functions: &[(&str, &str)]) -> ModuleInfo {
    let imports: String = functions
        .iter()
        .map(|(name, ty)| {
            format!(
                r#"(import "wasi_snapshot_preview1" "{name}" (func (param {ty}) (result i32)))"#
            )
        })
        .collect();
    let text =
        format!(r#"(module {imports} (memory (export "memory") 1) (func (export "_start")))"#);
    admit(&wat(&text)).unwrap()
}

#[test]
fn a_grant_is_taken_by_whoever_can_use_it() {
    let dir = || Grant::Dir { host: "/srv".into(), guest: "/srv".into() };
    let sleeps = with_functions(&[("poll_oneoff", "i32 i32 i32 i32")]);
    let lists = with_functions(&[("fd_readdir", "i32 i32 i32 i64 i32")]);
    let yields = with_functions(&[("sched_yield", "")]);
    assert_eq!(check_grants(&sleeps, &[Grant::Clock]), Ok(()));
    assert_eq!(check_grants(&lists, &[dir()]), Ok(()));
    for grant in [Grant::Clock, Grant::Random, dir()] {
        assert!(check_grants(&yields, &[grant]).is_err());
    }
    assert!(check_grants(&sleeps, &[Grant::Random]).is_err());
    let poll = "wasi_snapshot_preview1.poll_oneoff";
    assert_eq!(access(poll, &[]), Access::Simulated { grant: "clock" });
    assert_eq!(access(poll, &[Grant::Clock]), Access::Granted(vec![Grant::Clock]));
}

#[test]
fn plain_simd_works() {
    let module = r#"(module (memory (export "memory") 1) (func (export "_start")
        (drop (i32x4.add (v128.const i32x4 1 2 3 4) (v128.const i32x4 1 2 3 4)))))"#;
    assert_eq!(admit(&wat(module)).unwrap().kind, ModuleKind::Preview1);
}

#[test]
fn a_file_that_is_no_webassembly_is_told_what_it_is() {
    for (bytes, found) in [
        (&b""[..], "the file is empty"),
        (b"\x7fELF\x02\x01\x01", "a native program (ELF)"),
        (b"#!/bin/sh\necho hello\n", "a script"),
        (b"(module (func))", "the text format; compile it with `wasm-tools parse"),
        (b"\n  ;; a comment\n(component)", "the text format"),
        (b"\x1f\x8b\x08\0", "a compressed file"),
        (b"hello world", "starts with [68, 65, 6c, 6c]"),
    ] {
        let mut parts = vec!["not WebAssembly", found, "offset 0"];
        parts.extend(KINDS);
        refused(bytes, &parts);
    }
}

#[test]
fn an_unknown_version_is_refused() {
    refused(b"\0asm\x02\0\0\0", &["unknown version", "[02, 00, 00, 00]", "offset 4"]);
}

#[test]
fn a_truncated_module_is_refused_with_the_place() {
    let module = command();
    for end in 4..module.len() {
        match admit(&module[..end]) {
            Err(Refusal::Invalid { offset, .. }) => assert!(offset <= end as u64),
            // Cut between sections it is whole, but has no `_start` any more.
            Err(Refusal::NotATask { .. }) => {}
            other => panic!("cut at {end}: {other:?}"),
        }
    }
}

#[test]
fn a_section_that_lies_about_its_length_is_refused_with_the_place() {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend([1, 0xff, 0xff, 0x03, 0]);
    refused(&module, &["invalid WebAssembly", "offset 0xc"]);
}

#[test]
fn a_core_module_that_is_no_command_is_told_the_three_kinds() {
    let mut parts = vec!["not a task", "without _start", "exports add, memory"];
    parts.extend(KINDS);
    refused_text(r#"(module (memory (export "memory") 1) (func (export "add")))"#, &parts);
    refused_text(r#"(module)"#, &["without _start", "exports nothing"]);
    refused_text(
        r#"(module (func (export "_start") (param i32) (result i64) (i64.const 0)))"#,
        &["_start is (i32) -> (i64), not () -> ()"],
    );
    refused_text(
        r#"(module (global (export "_start") i32 (i32.const 0)))"#,
        &["_start is a global, not a function"],
    );
}

#[test]
fn a_component_of_a_foreign_world_is_told_the_three_kinds() {
    let mut parts = vec!["not a task", "a component that exports acme:math/add@1.0.0"];
    parts.extend(KINDS);
    refused_text(
        r#"(component (instance $i) (export "acme:math/add@1.0.0" (instance $i)))"#,
        &parts,
    );
    refused_text("(component)", &["a component that exports nothing"]);
}

#[test]
fn a_component_of_another_version_is_told_the_one_that_fits() {
    refused_text(
        r#"(component (instance $i) (export "wasi:cli/run@0.3.0" (instance $i)))"#,
        &["exports wasi:cli/run@0.3.0, where wasi:cli/run@0.2.x is run here"],
    );
    refused_text(
        r#"(component (instance $i) (export "wasmgrid:task/guest@0.2.0" (instance $i)))"#,
        &["exports wasmgrid:task/guest@0.2.0, where wasmgrid:task/guest@0.1.x is run here"],
    );
}

#[test]
fn a_component_whose_run_has_another_type_is_refused() {
    refused_text(
        r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#,
        &["wasi:cli/run@0.2.0 has no function `run`", "`run: func() -> result`"],
    );
    refused_text(
        r#"(component
            (core module $m (func (export "f") (param i32)))
            (core instance $c (instantiate $m))
            (func $f (param "n" u32) (canon lift (core func $c "f")))
            (instance $i (export "run" (func $f)))
            (export "wasi:cli/run@0.2.0" (instance $i)))"#,
        &["has `run: func(u32)`", "`run: func() -> result`"],
    );
}

#[test]
fn an_unknown_import_of_a_command_is_refused_by_name() {
    let import = |module: &str, name: &str| {
        format!(r#"(module (import "{module}" "{name}" (func)) (func (export "_start")))"#)
    };
    for (module, name, parts) in [
        ("wasi_unstable", "fd_write", ["before preview 1", "2020 or later"]),
        ("env", "emscripten_memcpy", ["under `env`", "wasi-sdk"]),
        ("wbg", "__wbg_log", ["JavaScript", "wasm32-wasip2"]),
        ("wasi:cli/stdin@0.2.0", "get-stdin", ["an interface of a component", "component new"]),
        ("acme", "launch", ["wasi_snapshot_preview1 alone", "the task's input"]),
        ("wasi_snapshot_preview1", "fd_fly", ["has no such function", "wasm32-wasip1"]),
    ] {
        let full = format!("imports {module}.{name} at offset 0x");
        refused_text(&import(module, name), &[&full, parts[0], parts[1]]);
    }
    refused_text(
        &import("wasi_snapshot_preview1", "fd_write"),
        &["its signature is () -> () where preview 1 has (i32, i32, i32, i32) -> (i32)"],
    );
    refused_text(
        r#"(module (import "wasi_snapshot_preview1" "m" (memory 1)) (func (export "_start")))"#,
        &["wasi_snapshot_preview1.m", "functions alone"],
    );
}

/// A command component that imports `name` as well.
fn component_importing(name: &str, item: &str) -> String {
    format!(
        r#"(component
            (import "{name}" {item})
            (core module $m (func (export "f") (result i32) (i32.const 0)))
            (core instance $c (instantiate $m))
            (func $f (result (result)) (canon lift (core func $c "f")))
            (instance $i (export "run" (func $f)))
            (export "wasi:cli/run@0.2.0" (instance $i)))"#
    )
}

#[test]
fn an_unknown_import_of_a_component_is_refused_by_name() {
    for (name, parts) in [
        ("wasi:http/outgoing-handler@0.2.0", ["no network", "the task's input"]),
        ("wasi:keyvalue/store@0.2.0-draft", ["their input and nothing else", "the task's input"]),
        ("wasi:cli/stdin@0.3.0", ["given wasi:cli/stdin@0.2.x", "wasm32-wasip2"]),
        ("wasi:cli/stdin@0.2.0-rc-2023", ["given wasi:cli/stdin@0.2.x", "wasm32-wasip2"]),
        ("wasi:logging/logging@0.2.0", ["given wasi:logging/logging@0.1.0-draft", "version"]),
        ("acme:rocket/launch@1.0.0", ["no grant gives it", "the task's input"]),
    ] {
        let full = format!("imports {name} at offset 0x");
        let text = component_importing(name, "(instance)");
        refused_text(&text, &[&full, parts[0], parts[1]]);
    }
    refused_text(
        &component_importing("launch", "(func)"),
        &["imports launch at offset 0x", "a func by itself"],
    );
}

#[test]
fn every_interface_that_is_provided_may_be_imported() {
    for provided in admit::PROVIDED {
        let version = match provided.version {
            admit::Version::Series(series) => format!("{series}.0"),
            admit::Version::Exact(exact) => exact.to_owned(),
        };
        let name = format!("{}@{version}", provided.path);
        let info = admit(&wat(&component_importing(&name, "(instance)"))).unwrap();
        assert_eq!(info.kind, ModuleKind::Command);
        assert_eq!(info.imports, [name]);
    }
}

#[test]
fn features_that_are_off_are_refused_by_name() {
    let names = [
        ["64-bit memories (memory64)", "build for a wasm32 target"],
        ["64-bit tables (memory64)", "build for a wasm32 target"],
        ["shared memory or atomics (threads)", "not wasm32-wasip1-threads"],
        ["garbage-collected or host references (GC)", "own memory management"],
        ["garbage-collected or host references (GC)", "own memory management"],
        ["exceptions", "-fno-exceptions"],
        ["relaxed SIMD", "plain SIMD works"],
    ];
    for (fields, parts) in OFF.iter().zip(names) {
        let text = format!(r#"(module {fields} (func (export "_start")))"#);
        let refusal = refused_text(&text, &parts);
        assert!(matches!(refusal, Refusal::Feature { .. }), "{refusal:?}");
    }
}

#[test]
fn features_in_a_functions_body_are_refused_by_name_and_place() {
    const MEMORY: &str = "(memory 1)";
    for (fields, parts) in [
        ("(func (local externref))", ["references (GC)", "own memory management"]),
        ("(func (drop (ref.null any)))", ["references (GC)", "own memory management"]),
        ("(func (block (result externref) unreachable) drop)", ["(GC)", "own memory management"]),
        ("(func (drop (ref.i31 (i32.const 0))))", ["(GC)", "own memory management"]),
        ("(func (local (ref null func)) (local (ref func)))", ["function references", "tables"]),
        ("(func (throw_ref (unreachable)))", ["uses exceptions", "-fno-exceptions"]),
        ("(func (try_table))", ["uses exceptions", "-fno-exceptions"]),
        ("(func (atomic.fence))", ["shared memory or atomics (threads)", "without threads"]),
        (
            "(func (drop (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0))))",
            ["relaxed SIMD", "plain SIMD works"],
        ),
        (
            "(func (drop (drop (i64.add128 (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)))))",
            ["feature wide_arithmetic", "build without it"],
        ),
    ] {
        let text = format!(r#"(module {MEMORY} {fields} (func (export "_start")))"#);
        let refusal = refused_text(&text, &parts);
        let Refusal::Feature { offset, .. } = refusal else { panic!("{refusal:?}") };
        assert!((8..wat(&text).len() as u64).contains(&offset), "{offset:#x}");
    }
    // A group of types, of which there may be as many as it says: none is read.
    let group = [b"\0asm\x01\0\0\0\x01\x07\x01\x4e".to_vec(), vec![0x80, 0x80, 0x40, 0x60, 0]];
    refused(&group.concat(), &["references (GC)", "offset 0xb"]);
}

#[test]
fn operators_of_all_features_that_are_on_are_admitted() {
    let module = wat(r#"(module
        (memory (export "memory") 1) (memory 1)
        (table 1 funcref)
        (type $pair (func (result i32 i32)))
        (func $pair (type $pair) (i32.const 1) (i32.const 2))
        (func (export "_start") (local funcref v128)
            (drop (i32.trunc_sat_f32_s (f32.const 1)))
            (drop (i32.extend8_s (i32.const 1)))
            (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))
            (drop (table.grow (ref.null func) (i32.const 0)))
            (drop (select (result funcref) (ref.null func) (ref.func $pair) (i32.const 0)))
            (drop (drop (block (type $pair) (call $pair))))
            (local.set 1 (i8x16.splat (i32.const 7)))
            (i32.store 1 (i32.const 0) (i32.const 0))
            (return_call_indirect (i32.const 0)))
        (elem declare func $pair))"#);
    assert_eq!(admit(&module).unwrap().kind, ModuleKind::Preview1);
}

#[test]
fn a_refusal_shows_no_more_of_a_name_than_can_be_read() {
    let name = "x".repeat(90_000);
    let text = format!(r#"(module (import "{name}" "{name}" (func)) (func (export "_start")))"#);
    let refusal = admit(&wat(&text)).unwrap_err().to_string();
    assert!(refusal.contains("xxx…") && refusal.len() < 1_000, "{}", refusal.len());
}

#[test]
fn what_a_task_is_given_for_an_import_depends_on_its_grants() {
    assert_eq!(access("wasi:io/streams@0.2.0", &[Grant::Clock]), Access::Given);
    assert_eq!(access("wasi:sockets/tcp@0.2.0", &[]), Access::Nothing);
    let empty = Access::Empty { grant: "env:NAME=VALUE" };
    assert_eq!(access("wasi:cli/environment@0.2.0", &[]), empty);
    let clock = "wasi:clocks/wall-clock@0.2.0";
    assert_eq!(access(clock, &[Grant::Random]), Access::Simulated { grant: "clock" });
    assert_eq!(access(clock, &[Grant::Clock]), Access::Granted(vec![Grant::Clock]));
}

#[test]
fn a_grant_the_module_cannot_use_is_refused() {
    let plain = admit(&command()).unwrap();
    assert_eq!(check_grants(&plain, &[]), Ok(()));
    let refusal = check_grants(&plain, &[Grant::Clock]).unwrap_err().to_string();
    assert!(refusal.contains("grants clock") && refusal.contains("wasi:clocks/"), "{refusal}");
    let text = component_importing("wasi:random/random@0.2.0", "(instance)");
    let random = admit(&wat(&text)).unwrap();
    assert_eq!(check_grants(&random, &[Grant::Random]), Ok(()));
    assert!(check_grants(&random, &[Grant::Random, Grant::Clock]).is_err());
}
