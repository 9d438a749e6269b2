//! What the attacks are made of: texts of modules with the imports that most of them use.

use super::texts;

/// The module or component of a text.
pub(super) use super::texts::wat;

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

/// A component of the SDK's world: see [`texts::task`].
pub(super) fn task(body: &str, more: &str) -> Vec<u8> {
    task_with(texts::ALLOCATOR, 1_024, body, more)
}

/// A [`task`] with this body of its allocator, and so many pages of memory.
pub(super) fn task_with(allocator: &str, pages: u32, body: &str, more: &str) -> Vec<u8> {
    texts::task(pages, allocator, body, more)
}

/// A preview 1 command; `body` is of `_start`, `more` are further fields.
pub(super) fn command(body: &str, more: &str) -> Vec<u8> {
    command_with(32, body, more)
}

/// A [`command`] with so many pages of memory.
pub(super) fn command_with(pages: u32, body: &str, more: &str) -> Vec<u8> {
    texts::command(pages, body, more)
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
