//! Admission of files that nobody meant: it ends with an answer, and takes little memory.

use wasmgrid_sandbox::{Caps, adapt, admit};

use crate::{
    meter::peak_of,
    modules::{command, echo_component, echo_module},
};

/// Files of each kind; the second has a real module of 100 KB in it.
fn modules() -> Vec<Vec<u8>> {
    let adapted = adapt::adapt(&command()).expect("a component").into_owned();
    vec![echo_module(), adapted, echo_component()]
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
