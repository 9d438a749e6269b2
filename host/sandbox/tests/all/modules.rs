//! Modules made of text for the tests.

pub(crate) use crate::texts::wat;
use crate::texts::{embed_sdk_world, in_sdk_world};

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

/// The least of all preview 1 commands.
pub fn command() -> Vec<u8> {
    wat(r#"(module (memory (export "memory") 1) (func (export "_start")))"#)
}

/// A core module of the SDK's world, with the world in a custom section: its output is its input.
pub fn echo_module() -> Vec<u8> {
    let mut module = echo();
    embed_sdk_world(&mut module);
    module
}

fn echo() -> Vec<u8> {
    wat(r#"(module
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
                (i32.const 16)))"#)
}

/// [`echo_module`] as a component.
pub fn echo_component() -> Vec<u8> {
    in_sdk_world(echo())
}
