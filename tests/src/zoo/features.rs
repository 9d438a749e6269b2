//! Modules that need what the engine has switched off.

use super::{Attack, Expect, make::wat};

/// A command with these further fields.
macro_rules! with {
    ($fields:literal) => {
        || wat(concat!("(module ", $fields, r#" (func (export "_start")))"#))
    };
}

pub(super) fn attacks() -> Vec<Attack> {
    let refused = Attack::refused;
    vec![
        refused("a 64-bit memory", with!("(memory i64 1)"), &["64-bit memories", "offset 0x"]),
        refused("a 64-bit table", with!("(table i64 1 funcref)"), &["64-bit tables", "offset 0x"]),
        refused("shared memory", with!("(memory 1 1 shared)"), &["threads", "offset 0x"]),
        refused(
            "atomics",
            with!("(memory 1) (func (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))"),
            &["threads", "offset 0x"],
        ),
        refused("structs of GC", with!("(type (struct (field i32)))"), &["(GC)", "offset 0x"]),
        refused("arrays of GC", with!("(type (array (mut i8)))"), &["(GC)", "offset 0x"]),
        refused("host references", with!("(func (param externref))"), &["(GC)", "offset 0x"]),
        refused("exceptions", with!("(tag)"), &["exceptions", "-fno-exceptions", "offset 0x"]),
        refused(
            "exceptions that are caught",
            with!("(tag $t) (func (block $h (try_table (catch_all $h) (throw $t))))"),
            &["exceptions", "offset 0x"],
        ),
        refused(
            "relaxed SIMD",
            with!(
                "(func (param v128 v128) (result v128)
                    (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))"
            ),
            &["relaxed SIMD", "plain SIMD works", "offset 0x"],
        ),
        refused(
            "typed function references",
            with!("(type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))"),
            &["function references", "offset 0x"],
        ),
        Attack::new(
            "plain SIMD, which works",
            with!(
                r#"(memory (export "memory") 1) (func (drop (i32x4.add
                    (v128.const i32x4 1 2 3 4) (v128.const i32x4 1 2 3 4))))"#
            ),
            Expect::output(""),
        ),
    ]
}
