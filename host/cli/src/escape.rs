//! Text from guests, made safe to show on a terminal.

use std::{ffi::OsStr, fmt::Write as _, os::unix::ffi::OsStrExt as _};

/// `text` with control characters written out, but for line ends and tabs: a task's log must not
/// move the cursor, set a title or hide what stands before it.
pub fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\n' && c != '\t') || is_bidi_control(c) {
            // Writing to a string cannot fail.
            let _ = write!(safe, "{}", c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The same on one line, cut after `max` characters.
pub fn line(bytes: &[u8], max: usize) -> String {
    let shown = String::from_utf8_lossy(bytes);
    let mut safe: String = shown.chars().take(max).flat_map(char::escape_debug).collect();
    if shown.chars().nth(max).is_some() {
        safe.push('…');
    }
    safe
}

/// A word as a shell reads it. What would show in another way than it is, or is not UTF-8, is
/// written by its bytes, which bash, zsh, ksh and others read.
pub fn shell(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte);
    let shows = |text: &&str| !text.chars().any(|c| c.is_control() || is_bidi_control(c));
    match str::from_utf8(bytes).ok().filter(shows) {
        Some(text) if !text.is_empty() && bytes.iter().all(plain) => text.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', r"'\''")),
        None => {
            let mut safe = String::from("$'");
            for byte in bytes {
                match byte {
                    b'\'' | b'\\' => safe.extend(['\\', char::from(*byte)]),
                    b' '..=b'~' => safe.push(char::from(*byte)),
                    // Writing to a string cannot fail.
                    _ => drop(write!(safe, "\\{byte:03o}")),
                }
            }
            safe + "'"
        }
    }
}

/// Characters that reorder the text around them.
const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_the_cursor_is_written_out() {
        assert_eq!(text("a\u{1b}[2Jb\r\n\tc"), "a\\u{1b}[2Jb\\u{d}\n\tc");
        assert_eq!(text("\u{202e}abc ü"), "\\u{202e}abc ü");
    }

    #[test]
    fn a_line_is_cut_and_says_so() {
        assert_eq!(line(b"one\ntwo", 5), "one\\nt…");
        assert_eq!(line(b"\xff", 5), "\u{fffd}");
    }

    #[test]
    fn a_word_is_quoted_as_a_shell_reads_it() {
        let shell = |word: &[u8]| shell(OsStr::from_bytes(word));
        assert_eq!(shell(b"my/t-1.wasm"), "my/t-1.wasm");
        assert_eq!(shell(b""), "''");
        assert_eq!(shell(b"it's \xc3\xbc"), r"'it'\''s ü'");
        assert_eq!(shell(b"a\nb'\xff\\"), r"$'a\012b\'\377\\'");
    }
}
