//! Tasks and commands made of text, with the imports and helpers that most tests use. The zoo of
//! `tests` takes this file by its path, since what both would depend on would be one more crate.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The module or component of a text.
pub(crate) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's text")
}

/// The body of an allocator that gives each request the memory behind the last.
pub(crate) const ALLOCATOR: &str = "
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at)";

/// A component of the SDK's world, with so many pages of memory and this body of its allocator.
/// `body` is of `run`, with `$in` and `$len`; `more` are fields of its core module. `$ok` returns
/// bytes, `$err` a failure of a kind (0 rejected, 1 retry).
pub(crate) fn task(pages: u32, allocator: &str, body: &str, more: &str) -> Vec<u8> {
    in_sdk_world(wat(&format!(
        r#"(module
            (import "wasmgrid:task/io@0.1.0" "emit" (func $emit (param i32 i32)))
            (import "wasmgrid:task/io@0.1.0" "progress" (func $progress (param i64 i64)))
            (import "wasmgrid:task/io@0.1.0" "cancelled" (func $cancelled (result i32)))
            (import "wasmgrid:task/context@0.1.0" "info" (func $info (param i32)))
            (import "wasmgrid:task/context@0.1.0" "fuel-left" (func $fuel_left (result i64)))
            (import "wasi:logging/logging@0.1.0-draft" "log"
                (func $log (param i32 i32 i32 i32 i32)))
            (memory (export "memory") {pages})
            (global $next (mut i32) (i32.const 65536))
            (func $cabi_realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {allocator})
            (func $ok (param $at i32) (param $len i32) (result i32)
                (i32.store8 (i32.const 16) (i32.const 0))
                (i32.store (i32.const 20) (local.get $at))
                (i32.store (i32.const 24) (local.get $len))
                (i32.const 16))
            (func $err (param $kind i32) (param $at i32) (param $len i32) (result i32)
                (i32.store8 (i32.const 16) (i32.const 1))
                (i32.store8 (i32.const 20) (local.get $kind))
                (i32.store (i32.const 24) (local.get $at))
                (i32.store (i32.const 28) (local.get $len))
                (i32.const 16))
            {more}
            (func $run (export "wasmgrid:task/guest@0.1.0#run") (param $in i32) (param $len i32)
                (result i32)
                {body}))"#
    )))
}

/// A core module of the SDK's world as a component.
pub(crate) fn in_sdk_world(mut module: Vec<u8>) -> Vec<u8> {
    embed_sdk_world(&mut module);
    ComponentEncoder::default()
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .expect("a component of the SDK's world")
}

/// Puts the SDK's world into a custom section of a core module.
pub(crate) fn embed_sdk_world(module: &mut Vec<u8>) {
    let mut resolve = Resolve::default();
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let wit = above.map(|folder| folder.join("guest-sdk/wit")).find(|wit| wit.is_dir());
    let (package, _) = resolve.push_path(wit.expect("a checkout")).expect("the SDK's interface");
    let world = resolve.select_world(&[package], Some("task")).expect("its world");
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
        .expect("the world's encoding");
}

/// A preview 1 command with so many pages of memory; `body` is of `_start`, `more` are further
/// fields.
pub(crate) fn command(pages: u32, body: &str, more: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read"
                (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get"
                (func $clock (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff"
                (func $poll (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (import "wasi_snapshot_preview1" "random_get"
                (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get"
                (func $environ_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_sizes_get"
                (func $args_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_get"
                (func $args (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_prestat_get"
                (func $prestat (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sock_accept"
                (func $accept (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") {pages})
            ;; Writes so many bytes to a stream; gives the errno.
            (func $write (param $fd i32) (param $at i32) (param $len i32) (result i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $len))
                (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            ;; Sleeps so many nanoseconds by the monotonic clock.
            (func $sleep (param $ns i64) (result i32)
                (memory.fill (i32.const 64) (i32.const 0) (i32.const 48))
                (i32.store (i32.const 80) (i32.const 1))
                (i64.store (i32.const 88) (local.get $ns))
                (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))
            {more}
            (func $main (export "_start") {body}))"#
    ))
}

/// Fields of a component: one within it that imports a function of a variant of 240,000 parts, and
/// lowers that so many times. Each of its three levels has the one before it 62 times.
pub fn lowered(times: usize) -> String {
    let mut text = "(component".to_owned();
    let mut below = "u8".to_owned();
    for level in 0..3 {
        let cases: String = (0..62).map(|case| format!("(case \"c{case}\" {below})")).collect();
        text += &format!(
            "(type $t{level} (variant {cases}))
             (import \"v{level}\" (type $n{level} (eq $t{level})))"
        );
        below = format!("$n{level}");
    }
    text += &format!("(import \"f\" (func $f (param \"p\" {below})))");
    text += &"(core func (canon lower (func $f)))".repeat(times);
    text + ")"
}

/// Fields of a component: one within it that is instantiated so many times, each time with a
/// function of a tuple of 2^18 parts.
pub fn instantiated(times: usize) -> String {
    let mut types = "(type $t0 (tuple u8 u8))".to_owned();
    for level in 1..18 {
        let below = level - 1;
        types += &format!("(type $t{level} (tuple $t{below} $t{below}))");
    }
    let import = "(import \"f\" (func $f (param \"p\" $t17)))";
    let instances = "(instance (instantiate $c (with \"f\" (func $f))))".repeat(times);
    format!("(component {types} {import} (component $c {types} {import}) {instances})")
}
