//! Text that comes from outside (from guests, jobs, workers, files' names and other programs), as it
//! is shown on a terminal: it must not move the cursor, set a title, hide what stands before it, or
//! look like a line of ours.

use std::{borrow::Cow, ffi::OsStr, fmt, fmt::Write as _, os::unix::ffi::OsStrExt as _};

pub use wasmgrid_proto::text::misleads;

/// What stands before each further line of a text: no line of ours begins so.
const INDENT: &str = "  | ";

/// A text from outside. It is shown on one line or as an indented block, and in no other way. All that
/// is printed is taken for one (see [`print`](crate::print)), but for JSON and the tasks' outputs,
/// which are exact.
#[derive(Clone, Debug)]
pub struct Outside<'a>(Cow<'a, str>);

/// Lines that are shown as they stand here, each of which is one line whatever is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(Vec<String>);

impl<'a> Outside<'a> {
    /// This text.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// These bytes, as far as they are a text.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Self(String::from_utf8_lossy(bytes))
    }

    /// On one line.
    pub fn line(&self) -> String {
        escaped(&self.0, false)
    }

    /// On one line, cut after `max` of its characters.
    pub fn short_line(&self, max: usize) -> String {
        match self.0.char_indices().nth(max) {
            None => self.line(),
            Some((end, _)) => escaped(self.0.get(..end).unwrap_or_default(), false) + "…",
        }
    }

    /// Its lines, those behind the first marked and further to the right.
    pub fn block(&self) -> Lines {
        let mut lines = self.0.lines();
        let mut block = Lines(vec![escaped(lines.next().unwrap_or_default(), true)]);
        block.0.extend(lines.map(|line| INDENT.to_owned() + &escaped(line, true)));
        block
    }
}

impl Lines {
    /// Adds a line.
    pub fn push(&mut self, line: impl fmt::Display) {
        self.0.push(escaped(&line.to_string(), true));
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "\n" })?;
            f.write_str(line)?;
        }
        Ok(())
    }
}

/// `text` on one line, its tabs as they are where that does no harm.
fn escaped(text: &str, tabs: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' if tabs => safe.push(c),
            '\t' | '\n' | '\r' => safe.extend(c.escape_default()),
            // Writing to a string cannot fail.
            c if misleads(c) => drop(write!(safe, "{}", c.escape_unicode())),
            c => safe.push(c),
        }
    }
    safe
}

/// A word as a shell reads it. What would show in another way than it is, or is not UTF-8, is
/// written by its bytes, which bash, zsh, ksh and others read.
pub fn shell(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte);
    let shows = |text: &&str| !text.chars().any(misleads);
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

/// A document of JSON that means the same and has no character that misleads: outside of texts it
/// has none, so each can be written out as JSON does.
pub fn json(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    for c in document.chars() {
        if misleads(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_the_cursor_is_written_out() {
        let line = |text| Outside::new(text).line();
        assert_eq!(line("a\u{1b}[2Jb\r\n\tc"), "a\\u{1b}[2Jb\\r\\n\\tc");
        assert_eq!(line("\u{202e}abc ü \u{7f}\u{9b}2J"), "\\u{202e}abc ü \\u{7f}\\u{9b}2J");
        assert_eq!(line("\u{2028}\u{85}\u{b}"), "\\u{2028}\\u{85}\\u{b}");
        assert_eq!(Outside::of_bytes(b"\xff\x07").line(), "\u{fffd}\\u{7}");
    }

    #[test]
    fn no_line_of_a_block_begins_where_ours_do() {
        let block = Outside::new("one\r\nwasmgrid: 1 task: 1 ok\n\u{1b}[A\tx\rwasmgrid: y").block();
        let expected = "one\n  | wasmgrid: 1 task: 1 ok\n  | \\u{1b}[A\tx\\rwasmgrid: y";
        assert_eq!(block.to_string(), expected);
        assert_eq!(Outside::new("").block().to_string(), "");
    }

    #[test]
    fn a_line_is_cut_and_says_so() {
        assert_eq!(Outside::of_bytes(b"one\ntwo").short_line(5), "one\\nt…");
        assert_eq!(Outside::new("three").short_line(5), "three");
    }

    #[test]
    fn json_means_the_same_and_moves_no_cursor() {
        let text = "a\u{1b}[2J\u{9b}\u{7f}\u{202e}\u{e0041}ü\n";
        let safe = json(&serde_json::to_string(text).expect("JSON"));
        assert!(!safe.chars().any(misleads), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).expect("JSON"), text);
    }

    #[test]
    fn a_line_among_lines_is_one_line() {
        let mut lines = Lines::default();
        lines.push("a\nb");
        lines.push(7);
        assert_eq!(lines.to_string(), "a\\nb\n7");
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
