//! The first eight bytes: whether a file is WebAssembly at all, and if not, what it is instead.

use crate::Refusal;

const MAGIC: &[u8] = b"\0asm";

/// Passes what starts like a module or component of a version that is read here.
pub(super) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    if !bytes.starts_with(MAGIC) {
        return Err(Refusal::NotWasm { found: guess(bytes).into() });
    }
    let Some(version) = bytes.get(4..8) else {
        return Err(Refusal::Invalid {
            offset: bytes.len() as u64,
            reason: "the file ends within its header".into(),
        });
    };
    match version {
        [1, 0, 0, 0] | [0x0d, 0, 1, 0] => Ok(()),
        _ => Err(Refusal::UnknownVersion {
            found: format!(
                "{version:02x?}, where [01, 00, 00, 00] is a module and [0d, 00, 01, 00] a component"
            )
            .into(),
        }),
    }
}

/// What a file that is no WebAssembly seems to be.
fn guess(bytes: &[u8]) -> String {
    let found = match bytes {
        [] => "the file is empty",
        [0x7f, b'E', b'L', b'F', ..] => {
            "this is a native program (ELF); build it with `--target wasm32-wasip2`"
        }
        [b'M', b'Z', ..] => "this is a Windows program; build it with `--target wasm32-wasip2`",
        [b'#', b'!', ..] => "this is a script; a task is compiled, a script is not",
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            "this is a compressed file; unpack it first"
        }
        _ if is_text_format(bytes) => {
            "this is the text format; compile it with `wasm-tools parse -o task.wasm`"
        }
        _ => return format!("it starts with {:02x?}", bytes.get(..4).unwrap_or(bytes)),
    };
    found.into()
}

/// Whether the file opens with a `(module` or `(component`, after blanks and comments.
fn is_text_format(bytes: &[u8]) -> bool {
    let mut rest = bytes.trim_ascii_start();
    while rest.starts_with(b";;") {
        let line_end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        rest = rest.get(line_end..).unwrap_or_default().trim_ascii_start();
    }
    rest.starts_with(b"(module") || rest.starts_with(b"(component")
}
