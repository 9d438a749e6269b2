//! The frames of a trap as they are kept: the task's own first. A panic in Rust traps ten frames below
//! the line that is wrong, in code that is the same for every panic.

use std::fmt::Write as _;

/// Rust's libraries, as the names of their functions begin.
const LIBRARIES: &[&str] = &["std", "core", "alloc", "__rustc"];

/// How those of their functions begin that have a name for the linker alone.
const LINKED: &[&str] = &["__rust", "rust_", "_Unwind"];

/// What those of C's are called into which a program in Rust breaks off.
const ENDS: &[&str] = &["abort", "__abort", "abort_internal", "_abort"];

/// The engine's lines, one a frame, the innermost first; without those frames of libraries that are
/// innermost, where anything is left.
pub(super) fn own<'a>(frames: impl Iterator<Item = &'a str>) -> String {
    let frames: Vec<&str> = frames.map(str::trim_start).collect();
    let libraries = frames.iter().take_while(|frame| is_of_a_library(frame)).count();
    let own = frames.get(libraries..).filter(|own| !own.is_empty()).unwrap_or(&frames);
    let mut text = String::new();
    for frame in own {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{frame}");
    }
    text
}

/// Whether a frame, `NUMBER: OFFSET - MODULE!FUNCTION`, is in a function that the task's author did
/// not write.
fn is_of_a_library(frame: &str) -> bool {
    let Some((_, function)) = frame.split_once('!') else { return false };
    // `<T as core::…>::f` is the author's where `T` is.
    let function = function.trim_start_matches(['<', '&']);
    let is_linked = LINKED.iter().any(|start| function.starts_with(start));
    // A crate's name, and perhaps its hash: `core::…` or `core[d123]::…`.
    let end = function.find([':', '[']).unwrap_or(function.len());
    let (name, rest) = function.split_at(end);
    let is_in_library = !rest.is_empty() && LIBRARIES.contains(&name);
    ENDS.contains(&function) || is_linked || is_in_library
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn a_panic_shows_the_frames_of_its_task_first() {
        let frames = [
            "    0:   0x5f - task.wasm!abort",
            "    1:   0x61 - task.wasm!std[d123b7a1]::process::abort",
            "    2:   0x62 - task.wasm!__rustc[d1e2]::__rust_abort",
            "    3:   0x63 - task.wasm!rust_panic",
            "    4:   0x64 - task.wasm!<core::option::Option<u8>>::unwrap",
            "    5:   0x65 - task.wasm!task::halve",
            "    6:   0x66 - task.wasm!core::ops::function::FnOnce::call_once",
        ];
        let expected = "5:   0x65 - task.wasm!task::halve\n\
                        6:   0x66 - task.wasm!core::ops::function::FnOnce::call_once\n";
        assert_eq!(own(frames.into_iter()), expected);
    }

    #[test]
    fn frames_without_names_and_those_of_libraries_alone_stay() {
        let unnamed = ["    0:   0x5f - <unknown>!<wasm function 7>", "    1:   0x5f - m!g"];
        assert_eq!(own(unnamed.into_iter()).lines().count(), 2);
        let library = ["    0:   0x5f - m!abort", "    1:   0x5f - m!std::rt::lang_start"];
        assert_eq!(own(library.into_iter()).lines().count(), 2);
        assert_eq!(own([].into_iter()), "");
    }
}
