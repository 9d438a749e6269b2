//! Modules made of text for the tests.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Fields of modules, each with a feature that is off.
pub const OFF: [&str; 7] = [
    "(memory i64 1)",
    "(table i64 1 funcref)",
    "(memory 1 1 shared)",
    "(type (struct))",
    "(func (param externref))",
    "(tag)",
    "(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))",
];

/// The module or component of a text.
pub fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's text")
}

/// The least of all preview 1 commands.
pub fn command() -> Vec<u8> {
    wat(r#"(module (memory (export "memory") 1) (func (export "_start")))"#)
}

/// A core module of the SDK's world, with the world in a custom section: its output is its input.
pub fn echo_module() -> Vec<u8> {
    in_sdk_world(wat(r#"(module
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 4096))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "wasmgrid:task/guest@0.1.0#run") (param i32 i32) (result i32)
                (i32.store8 (i32.const 16) (i32.const 0))
                (i32.store (i32.const 20) (local.get 0))
                (i32.store (i32.const 24) (local.get 1))
                (i32.const 16)))"#))
}

/// A core module with the SDK's world in a custom section.
fn in_sdk_world(mut module: Vec<u8>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/wit");
    let (package, _) = resolve.push_path(wit).expect("the SDK's interface");
    let world = resolve.select_world(&[package], Some("task")).expect("its world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("the world's encoding");
    module
}

/// [`echo_module`] as a component.
pub fn echo_component() -> Vec<u8> {
    encode(&echo_module())
}

/// A core module of the SDK's world as a component.
pub fn task_component(module: &[u8]) -> Vec<u8> {
    encode(&in_sdk_world(module.to_vec()))
}

fn encode(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default()
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .expect("a component of the SDK's world")
}
