//! Files that are no WebAssembly, or damaged.

use super::{
    Attack,
    make::{command, wat},
};

pub(super) fn attacks() -> Vec<Attack> {
    let refused = Attack::refused;
    vec![
        refused("an empty file", Vec::new, &["not WebAssembly", "the file is empty", "offset 0"]),
        refused(
            "a shell script",
            || b"#!/bin/sh\nrm -rf /\n".to_vec(),
            &["not WebAssembly", "this is a script", "offset 0"],
        ),
        refused("a native program", elf, &["not WebAssembly", "(ELF)", "wasm32-wasip2"]),
        refused(
            "the text format",
            || b";; a comment\n(module (func (export \"_start\")))\n".to_vec(),
            &["not WebAssembly", "this is the text format", "wasm-tools parse"],
        ),
        refused(
            "noise",
            || b"\xde\xad\xbe\xefand so on".to_vec(),
            &["not WebAssembly", "[de, ad, be, ef]", "offset 0"],
        ),
        refused("a header cut in two", || b"\0asm\x01\0".to_vec(), &["damaged", "offset 0x6"]),
        refused("a module cut in two", truncated, &["damaged or invalid WebAssembly at offset 0x"]),
        refused(
            "a component cut in two",
            || half(&super::make::echo()),
            &["damaged or invalid WebAssembly at offset 0x"],
        ),
        refused(
            "a section that lies about its length",
            // The section of types says that it has 65,535 bytes.
            || [b"\0asm\x01\0\0\0".as_slice(), &[1, 0xff, 0xff, 3, 0]].concat(),
            &["damaged or invalid WebAssembly at offset 0x"],
        ),
        refused(
            "a section that counts more than it has",
            || patched(&wat(r#"(module (func (export "_start") nop nop nop))"#), 10, 8),
            &["damaged or invalid WebAssembly at offset 0x"],
        ),
        refused(
            "a count of four thousand million functions",
            || [b"\0asm\x01\0\0\0".as_slice(), &[3, 5, 0xff, 0xff, 0xff, 0xff, 0xf]].concat(),
            &["at offset 0x"],
        ),
        refused(
            "an unknown version",
            || b"\0asm\x63\0\0\0".to_vec(),
            &["unknown version", "[63, 00, 00, 00]", "offset 4"],
        ),
        refused(
            "an unknown layer",
            || b"\0asm\x0d\0\x02\0".to_vec(),
            &["unknown version", "[0d, 00, 02, 00]", "offset 4"],
        ),
        refused(
            "bodies that do not type-check",
            || patched_body(&wat(r#"(module (func (export "_start") nop nop nop))"#)),
            &["damaged or invalid WebAssembly at offset 0x"],
        ),
    ]
}

/// The start of a program for Linux on x86-64.
fn elf() -> Vec<u8> {
    [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 57]].concat()
}

fn truncated() -> Vec<u8> {
    half(&command("nop", ""))
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take(bytes.len() / 2).collect()
}

/// `bytes` with another byte at `place`.
fn patched(bytes: &[u8], place: usize, byte: u8) -> Vec<u8> {
    let other = |(at, old): (usize, &u8)| if at == place { byte } else { *old };
    bytes.iter().enumerate().map(other).collect()
}

/// The first `nop` made an addition of what is not there.
fn patched_body(bytes: &[u8]) -> Vec<u8> {
    const NOP: u8 = 0x01;
    const I32_ADD: u8 = 0x6a;
    let nops = [NOP; 3];
    let place = bytes.windows(3).position(|window| window == nops).expect("three in a row");
    patched(bytes, place, I32_ADD)
}
