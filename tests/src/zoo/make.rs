//! What the attacks are made of: texts of modules with the imports that most of them use.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::repository;

/// The module or component of a text.
pub(super) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text of an attack is valid")
}

/// A good task: its output is its input.
#[must_use]
pub fn echo() -> Vec<u8> {
    task("(call $ok (local.get $in) (local.get $len))", "")
}

/// One of many good commands, no two of the same digest, that write over some of their memory: what
/// a runner keeps warm of its last modules is full after as many.
#[must_use]
pub fn filler(number: u32) -> Vec<u8> {
    command(
        &format!(
            "(memory.fill (i32.const 0) (i32.const {}) (i32.const 1048576))",
            number % 200 + 1
        ),
        &format!("(global i32 (i32.const {number}))"),
    )
}

/// A component of the SDK's world. `body` is of `run`, with `$in` and `$len`; `more` are fields of
/// its core module. `$ok` returns bytes, `$err` a failure of a kind (0 rejected, 1 retry).
pub(super) fn task(body: &str, more: &str) -> Vec<u8> {
    task_with(ALLOCATOR, 1_024, body, more)
}

/// Gives each request the memory behind the last.
const ALLOCATOR: &str = "
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at)";

/// A [`task`] with this body of its allocator, and so many pages of memory.
pub(super) fn task_with(allocator: &str, pages: u32, body: &str, more: &str) -> Vec<u8> {
    let core = wat(&format!(
        r#"(module
            (import "wasmgrid:task/io@0.1.0" "emit" (func $emit (param i32 i32)))
            (import "wasmgrid:task/io@0.1.0" "progress" (func $progress (param i64 i64)))
            (import "wasmgrid:task/io@0.1.0" "cancelled" (func $cancelled (result i32)))
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
    ));
    in_sdk_world(core)
}

/// A core module of the SDK's world as a component.
fn in_sdk_world(mut core: Vec<u8>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = repository().join("guest-sdk/wit");
    let (package, _) = resolve.push_path(wit).expect("the SDK's interface");
    let world = resolve.select_world(&[package], Some("task")).expect("its world");
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)
        .expect("the world's encoding");
    ComponentEncoder::default()
        .module(&core)
        .and_then(|mut encoder| encoder.encode())
        .expect("a component of the SDK's world")
}

/// A preview 1 command; `body` is of `_start`, `more` are further fields.
pub(super) fn command(body: &str, more: &str) -> Vec<u8> {
    command_with(32, body, more)
}

/// A [`command`] with so many pages of memory.
pub(super) fn command_with(pages: u32, body: &str, more: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get"
                (func $clock (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff"
                (func $poll (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (import "wasi_snapshot_preview1" "random_get"
                (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get"
                (func $environ_sizes (param i32 i32) (result i32)))
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

/// A component that is a command and does nothing; `more` are further fields of it.
pub(super) fn component(more: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
            {more}
            (core module $m (func (export "f") (result i32) (i32.const 0)))
            (core instance $c (instantiate $m))
            (func $f (result (result)) (canon lift (core func $c "f")))
            (instance $i (export "run" (func $f)))
            (export "wasi:cli/run@0.2.0" (instance $i)))"#
    ))
}

/// `body` without end.
macro_rules! for_ever {
    ($body:literal) => {
        concat!("(loop $again ", $body, " (br $again))")
    };
}
pub(super) use for_ever;
