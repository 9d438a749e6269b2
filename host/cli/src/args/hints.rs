//! What may have been meant by a command line that makes no sense: what a shell does to patterns, and
//! flags that other programs call otherwise. Added to what the parser says.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{
    Error,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::escape;

/// The flag whose pattern a shell may have replaced.
const FILES: &str = "--files";

/// An error of the parser with a tip for these words, where there is one.
pub fn hinted(mut error: Error, words: &[OsString]) -> Error {
    let is_one_too_many =
        matches!(error.kind(), ErrorKind::ArgumentConflict | ErrorKind::UnknownArgument);
    if is_one_too_many && let Some(tip) = replaced_pattern(words) {
        let tips = vec![StyledStr::from(tip)];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// A tip where names of files follow each other, as a shell has them for a pattern without quotes.
fn replaced_pattern(words: &[OsString]) -> Option<String> {
    let words = words.split(|word| *word == "--").next().unwrap_or_default();
    let is_flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    let is_file = |word: &&OsString| !is_flag(word) && Path::new(word).exists();
    let names = |from: usize| -> Vec<&Path> {
        let rest = words.get(from..).unwrap_or_default();
        rest.iter().take_while(is_file).map(Path::new).collect()
    };
    if let Some(at) = words.iter().position(|word| *word == FILES) {
        let names = names(at + 1);
        let pattern = escape::shell(pattern(&names).as_os_str());
        return (names.len() > 1).then(|| {
            format!(
                "the shell put {} names in the place of a pattern; quote it: {FILES} {pattern}",
                names.len()
            )
        });
    }
    // Behind the program, its command and the task: one file of lines may follow.
    let names = names(3);
    let pattern = escape::shell(pattern(&names).as_os_str());
    (names.len() > 1).then(|| format!("for one task a file, quote the pattern: {FILES} {pattern}"))
}

/// A pattern that fits all of these names: their folder and their ending, where they share them.
fn pattern(names: &[&Path]) -> PathBuf {
    let same = |of: &dyn Fn(&Path) -> Option<OsString>| {
        let first = of(names.first()?)?;
        names.iter().all(|name| of(name).as_ref() == Some(&first)).then_some(first)
    };
    let folder = same(&|name| name.parent().map(|folder| folder.as_os_str().to_owned()));
    let mut last = OsString::from("*");
    if let Some(ending) = same(&|name| name.extension().map(ToOwned::to_owned)) {
        last.push(".");
        last.push(ending);
    }
    Path::new(&folder.unwrap_or_else(|| "**".into())).join(last)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::args::parse_from;

    /// What is said to this line, where `in/` has some files.
    fn said(line: &str) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name).display().to_string();
        for name in ["a.rs", "b.rs", "c.txt", "t.wasm"] {
            fs::write(path(name), "").expect("written");
        }
        let words = line.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => path(name).into(),
            None => OsString::from(word),
        });
        let words: Vec<OsString> = words.collect();
        let said = parse_from(&words).expect_err(line).to_string();
        said.replace(&dir.path().display().to_string(), "in")
    }

    #[test]
    fn a_pattern_that_the_shell_replaced_is_to_be_quoted() {
        for line in [
            "wasmgrid run t.wasm --files @a.rs @b.rs",
            "wasmgrid run t.wasm --files @a.rs @b.rs @b.rs",
        ] {
            let said = said(line);
            assert!(
                said.contains("names in the place of a pattern; quote it: --files 'in/*.rs'"),
                "{said}"
            );
        }
        let said = said("wasmgrid run @t.wasm @a.rs @b.rs @c.txt");
        assert!(said.contains("for one task a file, quote the pattern: --files 'in/*'"), "{said}");
    }

    #[test]
    fn other_mistakes_get_no_such_tip() {
        for line in [
            "wasmgrid run t.wasm --files @a.rs --range 0..3",
            "wasmgrid run t.wasm --filse @a.rs",
            "wasmgrid run t.wasm --files none some more",
        ] {
            let said = said(line);
            assert!(!said.contains("quote"), "{said}");
        }
    }
}
