//! Text from guests, made safe to show on a terminal.

use std::fmt::Write as _;

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
}
