//! Admission of files that nobody meant: it ends with an answer, and takes little memory.

use wasmgrid_sandbox::{Caps, admit};

use crate::{
    meter::peak_of,
    modules::{command, echo_component, echo_module, wat},
};

/// Files of each kind; the second has a module of 100 KB in it.
fn modules() -> Vec<Vec<u8>> {
    vec![echo_module(), large_component(), echo_component()]
}

/// A command component with a few thousand functions, tables and data in it.
fn large_component() -> Vec<u8> {
    let functions: String = (0..4_000)
        .map(|n| {
            format!(
                "(func $f{n} (param i32 i64) (result i32) (local f64) (block (result i32)
                    (i32.add (local.get 0) (i32.const {n}))))"
            )
        })
        .collect();
    let all: String = (0..4_000).map(|n| format!("$f{n} ")).collect();
    wat(&format!(
        r#"(component
            (core module $m {functions}
                (table 4000 funcref) (elem (i32.const 0) {all})
                (memory 1) (data (i32.const 0) "{}")
                (func (export "f") (result i32) (i32.const 0)))
            (core instance $c (instantiate $m))
            (func $f (result (result)) (canon lift (core func $c "f")))
            (instance $i (export "run" (func $f)))
            (export "wasi:cli/run@0.2.0" (instance $i)))"#,
        "x".repeat(10_000)
    ))
}

/// What admission may hold at once for a file: its types and names take more than their bytes,
/// and the validator has some tables of its own.
fn most(file: &[u8]) -> usize {
    40 * file.len() + (1 << 20)
}

#[track_caller]
fn look(file: &[u8]) {
    let (peak, _) = peak_of(|| admit::admit(file, &Caps::default()));
    assert!(peak <= most(file), "{peak} bytes for {}", file.len());
}

/// Numbers that look like chance and are the same on each run (xorshift).
fn chance() -> impl Iterator<Item = usize> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 32).unwrap_or_default()
    })
}

#[test]
fn a_file_cut_off_anywhere_is_answered() {
    // The preview 1 functions are read at the first command.
    look(&command());
    for module in modules() {
        let step = module.len().div_ceil(500);
        for end in (0..module.len()).step_by(step) {
            look(&module[..end]);
        }
    }
}

#[test]
fn a_file_with_flipped_bits_is_answered() {
    look(&command());
    let mut chance = chance();
    let mut next = |below: usize| chance.next().unwrap_or_default() % below;
    for module in modules() {
        for _ in 0..1_500 {
            let mut flipped = module.clone();
            for _ in 0..=next(4) {
                // What has structure stands at the beginning more often than elsewhere.
                let end = if next(2) == 0 { module.len().min(2_000) } else { module.len() };
                flipped[next(end)] ^= 1 << next(8);
            }
            look(&flipped);
        }
    }
}
