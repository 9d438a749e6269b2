//! The operators that most code is made of, skipped several times as fast as the parser reads
//! them. What is longer than usual, off, malformed or has a structure of its own is left to it.

use wasmparser::{FrameKind, WasmFeatures};

use crate::features::FEATURES;

/// Operators of these are among those skipped.
const NEEDED: WasmFeatures = WasmFeatures::SIGN_EXTENSION
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::TAIL_CALL);
const _: () = assert!(FEATURES.contains(NEEDED));

/// How many bytes of `code` are plain operators. Blocks without a type are opened, up to
/// `most_frames`, and all but the outermost are closed.
pub(super) fn skip(code: &[u8], frames: &mut Vec<FrameKind>, most_frames: usize) -> usize {
    let mut at = 0;
    while let Some(next) = step(code, at, frames, most_frames) {
        at = next;
    }
    at
}

/// The place behind the operator at `at`, where it is a plain one.
#[inline]
fn step(code: &[u8], at: usize, frames: &mut Vec<FrameKind>, most: usize) -> Option<usize> {
    match *code.get(at)? {
        // unreachable, nop, return, drop, select; comparisons and arithmetic; ref.is_null
        0x00 | 0x01 | 0x0f | 0x1a | 0x1b | 0x45..=0xc4 | 0xd1 => Some(at + 1),
        // br, br_if, call, return_call; locals, globals and tables; memory.size, memory.grow and
        // i32.const; ref.func
        0x0c | 0x0d | 0x10 | 0x12 | 0x20..=0x26 | 0x3f..=0x41 | 0xd2 => number::<4>(code, at + 1),
        // Loads and stores of the first memory, whose alignment is one small byte.
        0x28..=0x3e if *code.get(at + 1)? < 0x20 => number::<4>(code, at + 2),
        // i64.const
        0x42 => number::<9>(code, at + 1),
        // f32.const, f64.const
        0x43 => code.get(at + 4).map(|_| at + 5),
        0x44 => code.get(at + 8).map(|_| at + 9),
        // call_indirect
        0x11 => number::<4>(code, number::<4>(code, at + 1)?),
        // block, loop and if without a type
        opens @ 0x02..=0x04 if *code.get(at + 1)? == 0x40 && frames.len() < most => {
            frames.push(match opens {
                0x02 => FrameKind::Block,
                0x03 => FrameKind::Loop,
                _ => FrameKind::If,
            });
            Some(at + 2)
        }
        // end
        0x0b if frames.len() > 1 => {
            frames.pop();
            Some(at + 1)
        }
        _ => None,
    }
}

/// The place behind a LEB128 number of at most `BYTES`: so few that none is out of range.
#[inline]
fn number<const BYTES: usize>(code: &[u8], at: usize) -> Option<usize> {
    let bytes = code.get(at..)?.iter().take(BYTES);
    bytes.zip(at + 1..).find(|(byte, _)| **byte < 0x80).map(|(_, next)| next)
}
