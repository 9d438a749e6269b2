//! Programs of other toolchains that use tens of MiB of heap (`tests/programs`): their memory is
//! theirs alone, whatever their allocators take it for. A test whose compiler is not installed says
//! so and ends.

use std::process::Command;

use wasmgrid_tests::{Home, repository};

use crate::languages::built;

/// Builds a program; `None`, with a line that says why, where its compiler is missing.
fn build(home: &Home, program: &str) -> Option<String> {
    let script = repository().join("tests/programs/build.sh");
    built(Command::new("sh").arg(script).arg(program), home, program)
}

/// What holds for a program of any toolchain: it reads its input and writes its output, and each of
/// 32 MiB of its heap's bytes is at the end what it has written there.
fn has_its_heap_to_itself(program: &str) {
    let home = Home::new();
    let Some(module) = build(&home, program) else { return };
    let input = "a line\n".repeat(1_000);
    let ran = home.run_with_stdin(["run", &module, "--memory", "256MiB"], input.as_bytes());
    assert_eq!(ran.ok(), "1000 lines\n0 bytes changed\n");
}

#[test]
fn a_c_program_has_its_heap_to_itself() {
    has_its_heap_to_itself("heap.c");
}

#[test]
fn a_rust_program_of_wasip1_has_its_heap_to_itself() {
    has_its_heap_to_itself("heap.rs");
}

#[test]
fn a_go_program_has_its_heap_to_itself() {
    has_its_heap_to_itself("heap.go");
}

#[test]
fn an_assemblyscript_program_has_its_heap_to_itself() {
    has_its_heap_to_itself("heap.ts");
}

#[test]
fn a_block_of_a_c_program_can_be_written_everywhere() {
    let home = Home::new();
    let Some(module) = build(&home, "poke.c") else { return };
    let ran = home.run(["run", &module, "--range", "0..262136/64"]);
    let expected: String =
        (0..262_136).step_by(64).map(|at| format!("{at}: 7 7 7 7 7 7 7 7\n")).collect();
    assert_eq!(ran.ok(), expected);
}
