//! What a pattern of `--files` means, as a shell has it. Only folders that the pattern can reach are
//! opened, and one that cannot be listed is left out and said.
//!
//! The names in a folder are matched by the crate `glob`. Its own walk is not used: it knows no
//! braces, and finds no name that is not UTF-8.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirEntry, FileType},
    io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use glob::{MatchOptions, Pattern};

use crate::exit::usage;

/// Patterns that braces may make of one: each walks the folders anew.
const ALTERNATIVES_MAX: usize = 4_096;

/// How names are matched: a name that begins with a dot only by a pattern that does.
const AS_A_SHELL: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What a pattern names.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, sorted by their paths.
    pub files: Vec<PathBuf>,
    /// Folders that may have some and cannot be listed.
    pub unlisted: Vec<Unlisted>,
}

/// A folder that cannot be listed.
#[derive(Debug)]
pub struct Unlisted {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl Found {
    /// Notes a folder that cannot be listed, unless there is none.
    fn leave_out(&mut self, folder: &Path, error: io::Error) {
        if !is_absence(&error) {
            self.unlisted.push(Unlisted { path: opened(folder).to_owned(), error });
        }
    }
}

/// One part of a pattern, between slashes.
#[derive(Debug)]
enum Part {
    /// A name as it is, `.` and `..` too.
    Name(OsString),
    /// `**`: no folder, or some below each other.
    Folders,
    /// Names that fit.
    Fitting(Pattern),
}

/// Finds the files that fit `pattern`.
///
/// # Errors
/// A usage error where it is no pattern.
pub fn find(pattern: &OsStr) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for pattern in alternatives(pattern.as_bytes())? {
        let start = if pattern.starts_with(b"/") { PathBuf::from("/") } else { PathBuf::new() };
        // Behind a last slash there is nothing that a file could be called.
        if !pattern.ends_with(b"/") {
            walk(&start, &parts(&pattern)?, &mut Vec::new(), &mut found);
        }
    }
    found.files.sort_unstable();
    found.files.dedup();
    found.unlisted.sort_by(|a, b| a.path.cmp(&b.path));
    found.unlisted.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

/// A folder, by whatever path: its device and inode.
type Id = (u64, u64);

/// Finds what fits `parts` in a folder; `above` are those that `**` has come through.
fn walk(folder: &Path, parts: &[Part], above: &mut Vec<Id>, found: &mut Found) {
    let Some((part, rest)) = parts.split_first() else { return };
    match part {
        Part::Name(name) if rest.is_empty() => {
            let path = folder.join(name);
            match fs::symlink_metadata(&path) {
                Ok(meta) if !is_folder(&path, meta.file_type()) => found.files.push(path),
                Ok(_) => {}
                Err(error) if is_absence(&error) => {}
                // It may be there: whoever reads it gets the reason.
                Err(_) => found.files.push(path),
            }
        }
        Part::Name(name) => walk(&folder.join(name), rest, above, found),
        Part::Folders => {
            // A link may lead back to where it is.
            let id = match id(folder) {
                Ok(id) if above.contains(&id) => return,
                Ok(id) => id,
                Err(error) => return found.leave_out(folder, error),
            };
            walk(folder, rest, above, found);
            above.push(id);
            for entry in entries(folder, found) {
                let path = folder.join(entry.file_name());
                let is_below = entry.file_type().is_ok_and(|kind| is_folder(&path, kind));
                if is_below && !entry.file_name().as_bytes().starts_with(b".") {
                    walk(&path, parts, above, found);
                }
            }
            above.pop();
        }
        Part::Fitting(pattern) => {
            for entry in entries(folder, found) {
                if !pattern.matches_with(&as_text(entry.file_name().as_bytes()), AS_A_SHELL) {
                    continue;
                }
                let path = folder.join(entry.file_name());
                let is_folder = entry.file_type().is_ok_and(|kind| is_folder(&path, kind));
                if is_folder && !rest.is_empty() {
                    walk(&path, rest, above, found);
                } else if !is_folder && rest.is_empty() {
                    found.files.push(path);
                }
            }
        }
    }
}

/// A pattern that begins with no folder means this one.
fn opened(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

fn id(folder: &Path) -> io::Result<Id> {
    let meta = fs::metadata(opened(folder))?;
    Ok((meta.dev(), meta.ino()))
}

/// What is in a folder; nothing where there is no such folder.
fn entries(folder: &Path, found: &mut Found) -> Vec<DirEntry> {
    let listed = fs::read_dir(opened(folder)).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    listed.unwrap_or_else(|error| {
        found.leave_out(folder, error);
        Vec::new()
    })
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether a path is a folder, or a link to one.
fn is_folder(path: &Path, kind: FileType) -> bool {
    kind.is_dir() || (kind.is_symlink() && path.is_dir())
}

/// The parts of a pattern without braces.
fn parts(pattern: &[u8]) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for part in pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        if part == b"**" {
            if !matches!(parts.last(), Some(Part::Folders)) {
                parts.push(Part::Folders);
            }
        } else if let Some(name) = plain(part) {
            parts.push(Part::Name(name));
        } else {
            parts.push(Part::Fitting(fitting(part)?));
        }
    }
    if matches!(parts.last(), Some(Part::Folders)) {
        parts.push(Part::Fitting(fitting(b"*")?));
    }
    Ok(parts)
}

/// The name that a part without special characters is; a backslash takes the next one's meaning.
fn plain(part: &[u8]) -> Option<OsString> {
    let mut name = Vec::new();
    let mut bytes = part.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return None,
            b'\\' => name.push(*bytes.next().unwrap_or(byte)),
            _ => name.push(*byte),
        }
    }
    Some(OsString::from_vec(name))
}

/// A part with special characters, as the crate writes it: it has no backslash, `[!` alone for what
/// is not in a class, and `**` is not two `*`.
fn fitting(part: &[u8]) -> anyhow::Result<Pattern> {
    let text = as_text(part);
    let mut written = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' if written.ends_with('*') => {}
            '\\' => written.push_str(&Pattern::escape(&chars.next().unwrap_or(c).to_string())),
            '[' => {
                written.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    written.push('!');
                }
            }
            c => written.push(c),
        }
    }
    Pattern::new(&written).map_err(|error| {
        let shown = String::from_utf8_lossy(part);
        usage(format!(
            "invalid pattern {shown:?}: {}; escape `*`, `?`, `[` or `{{` with a backslash",
            error.msg
        ))
    })
}

/// A name as text, each byte that is not UTF-8 as a character that no name has otherwise.
fn as_text(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        let stand_in = |byte: &u8| char::from_u32(0x0010_FF00 + u32::from(*byte));
        text.extend(chunk.invalid().iter().filter_map(stand_in));
    }
    text
}

/// What braces make of a pattern: `a{b,c}` is `ab` and `ac`. Braces without a comma, or without
/// their end, are characters.
fn alternatives(pattern: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut open, mut done) = (vec![pattern.to_vec()], Vec::new());
    while let Some(next) = open.pop() {
        match first_braces(&next) {
            None => done.push(next),
            Some(several) => open.extend(several),
        }
        if open.len() + done.len() > ALTERNATIVES_MAX {
            return Err(usage(format!(
                "the braces of {:?} make more than {ALTERNATIVES_MAX} patterns; give a list of \
                 files with `--files -`",
                String::from_utf8_lossy(pattern)
            )));
        }
    }
    Ok(done)
}

/// The patterns that the first braces make.
fn first_braces(pattern: &[u8]) -> Option<Vec<Vec<u8>>> {
    for open in positions(pattern, b'{') {
        let Some((before, inner)) = pattern.split_at_checked(open) else { continue };
        let Some((parts, after)) = split_braces(inner.get(1..).unwrap_or_default()) else {
            continue;
        };
        if parts.len() > 1 {
            return Some(parts.iter().map(|part| [before, part, after].concat()).collect());
        }
    }
    None
}

/// Where a character stands that no backslash is before.
fn positions(pattern: &[u8], wanted: u8) -> Vec<usize> {
    let mut found = Vec::new();
    let mut escaped = false;
    for (at, byte) in pattern.iter().enumerate() {
        if *byte == wanted && !escaped {
            found.push(at);
        }
        escaped = *byte == b'\\' && !escaped;
    }
    found
}

/// The parts between commas up to the closing brace, and what is behind it.
fn split_braces(inner: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (mut parts, mut from, mut depth, mut escaped) = (Vec::new(), 0, 0_usize, false);
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            _ if escaped => {}
            b'{' => depth += 1,
            b',' if depth == 0 => {
                parts.push(inner.get(from..at)?);
                from = at + 1;
            }
            b'}' if depth == 0 => {
                parts.push(inner.get(from..at)?);
                return Some((parts, inner.get(at + 1..)?));
            }
            b'}' => depth -= 1,
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Files of these names, and links.
    fn tree(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for name in names {
            let (name, to) = name.split_once("->").map_or((*name, None), |(a, b)| (a, Some(b)));
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("made");
            match to {
                Some(to) => symlink(to, path).expect("made"),
                None => fs::write(path, name).expect("written"),
            }
        }
        dir
    }

    fn found(dir: &Path, pattern: impl AsRef<OsStr>) -> Vec<String> {
        let all = find(dir.join(pattern.as_ref()).as_os_str()).expect("a pattern");
        assert!(all.unlisted.is_empty(), "{:?}", all.unlisted);
        let from = dir.as_os_str().len() + 1;
        let name = |path: &PathBuf| {
            String::from_utf8_lossy(&path.as_os_str().as_bytes()[from..]).into_owned()
        };
        all.files.iter().map(name).collect()
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_go_deeper() {
        let dir = tree(&["a/1.txt", "a/2.txt", "a/b/3.txt", "a/b/4.rs", "c.txt"]);
        assert_eq!(found(dir.path(), "a/*.txt"), ["a/1.txt", "a/2.txt"]);
        assert_eq!(found(dir.path(), "**/*.txt"), ["a/1.txt", "a/2.txt", "a/b/3.txt", "c.txt"]);
        assert_eq!(found(dir.path(), "a/**"), ["a/1.txt", "a/2.txt", "a/b/3.txt", "a/b/4.rs"]);
        assert_eq!(found(dir.path(), "**/b/**/*.rs"), ["a/b/4.rs"]);
        assert_eq!(found(dir.path(), "a**/1*"), ["a/1.txt"]);
        assert_eq!(found(dir.path(), "a/1.txt/"), [""; 0]);
    }

    #[test]
    fn braces_classes_and_question_marks_are_a_shells() {
        let dir = tree(&["a/b/3.txt", "a/b/4.rs", "a/x1", "a/x2", "a/xé", "a/x]", "c/3.txt"]);
        assert_eq!(found(dir.path(), "a/b/{3.txt,4.rs}"), ["a/b/3.txt", "a/b/4.rs"]);
        assert_eq!(found(dir.path(), "{a/b,c}/{3,5{,6}}.*"), ["a/b/3.txt", "c/3.txt"]);
        assert_eq!(found(dir.path(), "a/x[0-1]"), ["a/x1"]);
        assert_eq!(found(dir.path(), "a/x[!0-9]"), ["a/x]", "a/xé"]);
        assert_eq!(found(dir.path(), "a/x[^0-9]"), ["a/x]", "a/xé"]);
        assert_eq!(found(dir.path(), "a/x[]]"), ["a/x]"]);
        assert_eq!(found(dir.path(), "a/x?"), ["a/x1", "a/x2", "a/x]", "a/xé"]);
    }

    #[test]
    fn a_backslash_takes_the_meaning_away() {
        let dir = tree(&["a*b", "axb", "{a,b}", "[1]", "a\\b", "{z}"]);
        assert_eq!(found(dir.path(), "a\\*b"), ["a*b"]);
        assert_eq!(found(dir.path(), "\\{?,b}"), ["{a,b}"]);
        assert_eq!(found(dir.path(), "\\[?]"), ["[1]"]);
        assert_eq!(found(dir.path(), "?\\\\b"), ["a\\b"]);
        assert_eq!(found(dir.path(), "{?}"), ["{z}"]);
    }

    #[test]
    fn dots_and_slashes_too_many_name_the_same_files() {
        let dir = tree(&["a/b/1.txt", "a/2.txt"]);
        for pattern in ["a//b/*.txt", "a/./b/*", "./a/b/*", "a/../a/b/*", "a/b//1.txt"] {
            let files = found(dir.path(), pattern);
            assert!(matches!(&files[..], [one] if one.ends_with("1.txt")), "{pattern}: {files:?}");
        }
    }

    #[test]
    fn hidden_names_are_named_or_left_out() {
        let dir = tree(&[".git/x", ".h", "v", "a/.h", "a/v"]);
        assert_eq!(found(dir.path(), "*"), ["v"]);
        assert_eq!(found(dir.path(), "**"), ["a/v", "v"]);
        assert_eq!(found(dir.path(), ".*"), [".h"]);
        assert_eq!(found(dir.path(), ".git/*"), [".git/x"]);
        assert_eq!(found(dir.path(), "**/.h"), [".h", "a/.h"]);
    }

    #[test]
    fn links_to_folders_are_followed_and_end_where_they_lead_back() {
        let dir = tree(&["a/1", "link->a", "a/loop->../a", "a/up->..", "gone->nowhere"]);
        assert_eq!(found(dir.path(), "*/1"), ["a/1", "link/1"]);
        assert_eq!(found(dir.path(), "link/*"), ["link/1"]);
        assert_eq!(found(dir.path(), "a/*/1"), ["a/loop/1"]);
        // Through each of them, but not back into where it is.
        assert_eq!(found(dir.path(), "**/1"), ["a/1", "link/1"]);
        assert_eq!(found(dir.path(), "a/**/1"), ["a/1"]);
        // What a link leads to shows when it is read.
        assert_eq!(found(dir.path(), "g*"), ["gone"]);
    }

    #[test]
    fn names_that_are_not_utf8_fit_like_others() {
        let dir = tree(&["plain"]);
        let odd = OsStr::from_bytes(b"odd\xff.txt");
        fs::write(dir.path().join(odd), "").expect("written");
        fs::create_dir(dir.path().join(OsStr::from_bytes(b"d\xfe"))).expect("made");
        fs::write(dir.path().join(OsStr::from_bytes(b"d\xfe/x")), "").expect("written");
        for pattern in [&b"*.txt"[..], b"odd?.txt", b"odd\xff.txt", b"odd\xff*", b"odd[\xfe-\xff]*"]
        {
            assert_eq!(found(dir.path(), OsStr::from_bytes(pattern)), ["odd\u{fffd}.txt"]);
        }
        assert_eq!(found(dir.path(), OsStr::from_bytes(b"d\xfe/*")).len(), 1);
        assert_eq!(found(dir.path(), OsStr::from_bytes(b"odd\xfe*")), [""; 0]);
    }

    #[test]
    fn only_what_the_pattern_can_reach_is_opened() {
        let dir = tree(&["1.txt", "a/2.txt"]);
        // A link to itself cannot be listed, whoever asks.
        symlink("self", dir.path().join("self")).expect("made");
        let unlisted = |pattern: &str| {
            let all = find(dir.path().join(pattern).as_os_str()).expect("a pattern");
            (all.files.len(), all.unlisted.len())
        };
        assert_eq!(unlisted("*.txt"), (1, 0));
        assert_eq!(unlisted("self/*"), (0, 1));
        assert_eq!(unlisted("{self,a}/*.txt"), (1, 1));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let error = find(OsStr::new("a[")).expect_err("no pattern").to_string();
        assert!(error.contains("a[") && error.contains("backslash"), "{error}");
        let many = "{a,b}".repeat(20);
        assert!(find(OsStr::new(&many)).is_err());
    }
}
