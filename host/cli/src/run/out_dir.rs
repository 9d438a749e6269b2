//! `--out-dir`: each result in a file of its own, which appears when it is whole. Not for what a result
//! looks like elsewhere.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Write as _},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Component, Path, PathBuf},
    process,
};

use anyhow::Context as _;
use tempfile::{NamedTempFile, TempPath};
use wasmgrid_proto::Outcome;

use super::{
    ledger::{Input, Place},
    output::Shape,
    render,
    reorder::Shown,
};
use crate::exit::{Exit, WithExit as _, usage};

/// The longest name that file systems take, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Where the files go, and how they are named.
pub struct OutDir {
    folder: PathBuf,
    name: Vec<Part>,
    /// Records and output are one behind the other, with nothing between them.
    raw: bool,
    /// The file in the making, which is in the folder.
    part: PathBuf,
    /// Files of these names may be there: they are of the same run.
    is_resumed: bool,
    /// The last folder that is known to be there.
    made: Option<PathBuf>,
}

/// A part of a name.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// The input's file name.
    Name,
    /// The same without its extension.
    Stem,
    /// The input's path.
    Path,
    /// The task's index.
    Index,
}

impl OutDir {
    /// Of `DIR` or `DIR/PATTERN`, where the pattern begins with the first name that has a placeholder.
    ///
    /// # Errors
    /// A usage error where it is no pattern.
    pub fn parse(text: &OsStr, of_files: bool, raw: bool) -> anyhow::Result<Self> {
        let (folder, pattern) = split(text.as_bytes());
        let name = match pattern {
            [] if of_files => vec![Part::Name],
            [] => vec![Part::Index],
            pattern => parts(pattern).map_err(|wrong| {
                usage(format!("--out-dir {}: {wrong}", Path::new(text).display()))
            })?,
        };
        let of_input = |part: &&Part| matches!(part, Part::Name | Part::Stem | Part::Path);
        if !of_files && name.iter().any(|part| of_input(&part)) {
            return Err(usage(
                "--out-dir: {name}, {stem} and {path} need --files; use {index} for other inputs",
            ));
        }
        let folder = PathBuf::from(OsString::from_vec(folder));
        let part = format!(".wasmgrid-{}.part", process::id());
        let (is_resumed, made) = (false, None);
        Ok(Self { folder, name, raw, part: part.into(), is_resumed, made })
    }

    /// The folder in which everything is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of the file in the making.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// The same folder, where a run goes on that had this file in the making.
    pub fn resumed(self, part: PathBuf) -> Self {
        Self { part, is_resumed: true, ..self }
    }

    /// Fails where two results would have one file, or one that is there. Each comes with its index and
    /// its input, where that is a file.
    ///
    /// # Errors
    /// A usage error that says which; nothing is made or changed.
    pub fn check(&self, inputs: &[(u64, Option<PathBuf>)]) -> anyhow::Result<()> {
        let mut names = Vec::with_capacity(inputs.len());
        for (index, file) in inputs {
            let name = self.name(*index, file.as_deref()).map_err(usage)?;
            let written = self.folder.join(&name);
            if !self.is_resumed && written.symlink_metadata().is_ok() {
                return Err(usage(format!(
                    "the result of {} would be {}, which exists; nothing was done: choose another \
                     --out-dir, or remove the file",
                    shown(*index, file.as_deref()),
                    written.display()
                )));
            }
            names.push((name, *index, file.as_deref()));
        }
        names.sort_unstable();
        let clash = names.windows(2).find_map(|pair| match pair {
            [a, b] if b.0.starts_with(&a.0) => Some((a, b)),
            _ => None,
        });
        let Some((a, b)) = clash else { return Ok(()) };
        let (written, within) = (self.folder.join(&a.0), self.folder.join(&b.0));
        let how = if written == within {
            format!("both be {}", written.display())
        } else {
            format!("be {} and {}, one within the other", written.display(), within.display())
        };
        Err(usage(format!(
            "the results of {} and {} would {how}; nothing was done: name them by {{path}}, or with \
             {{index}}",
            shown(a.1, a.2),
            shown(b.1, b.2),
        )))
    }

    /// Makes the folder.
    ///
    /// # Errors
    /// Where that cannot be.
    pub fn begin(&self) -> anyhow::Result<()> {
        let shown = self.folder.display();
        let made = fs::create_dir_all(self.at(Path::new("")));
        made.with_context(|| format!("failed to create {shown} for --out-dir"))
            .exit(Exit::Usage)?;
        match fs::remove_file(self.at(&self.part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to clear {shown} for --out-dir"))
            }
            _ => Ok(()),
        }
    }

    /// Has all files on the disk.
    ///
    /// # Errors
    /// As the system says.
    pub fn sync(&self) -> anyhow::Result<()> {
        let folder = File::open(self.at(Path::new("")));
        let synced = folder.and_then(|folder| rustix::fs::syncfs(&folder).map_err(Into::into));
        synced.with_context(|| format!("failed to write {}", self.folder.display()))
    }

    /// Writes the file of a task that did; of others there is none.
    ///
    /// # Errors
    /// Where it cannot be written, or is there.
    pub fn write(
        &mut self,
        shown: Shown<'_>,
        input: Option<&Input>,
    ) -> anyhow::Result<Option<PathBuf>> {
        if shown.meta.outcome != Outcome::Ok {
            return Ok(None);
        }
        let file = match input.map(|input| &input.place) {
            Some(Place::File { path }) => Some(path.as_path()),
            _ => None,
        };
        let name = self.name(shown.meta.index, file).map_err(anyhow::Error::msg)?;
        let to = self.folder.join(&name);
        self.write_as(&name, shown).with_context(|| format!("failed to write {}", to.display()))?;
        Ok(Some(to))
    }

    fn write_as(&mut self, name: &Path, shown: Shown<'_>) -> io::Result<()> {
        self.make_folder_of(name)?;
        let part = self.at(&self.part);
        let mut file = File::options().write(true).create_new(true).open(&part)?;
        // From here on it is taken away where it does not become whole.
        let part = TempPath::try_from_path(part)?;
        let has_records = !shown.meta.record_lens.is_empty();
        let shape = if has_records && !self.raw { Shape::Lines } else { Shape::Raw };
        let mut out = io::BufWriter::with_capacity(1 << 16, &mut file);
        render::write_plain(&mut out, shape, shown)?;
        out.flush()?;
        drop(out);
        let whole = NamedTempFile::from_parts(file, part);
        let to = self.at(name);
        let persisted =
            if self.is_resumed { whole.persist(&to) } else { whole.persist_noclobber(&to) };
        persisted.map(drop).map_err(|error| error.error)
    }

    /// Makes the folders between ours and a file; none of them is a link to elsewhere.
    fn make_folder_of(&mut self, name: &Path) -> io::Result<()> {
        let Some(parent) = name.parent() else { return Ok(()) };
        if self.made.as_deref() == Some(parent) {
            return Ok(());
        }
        let mut at = PathBuf::new();
        for component in parent.components() {
            at.push(component);
            let folder = self.at(&at);
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) => {}
                Err(_) if folder.symlink_metadata()?.is_dir() => {}
                Err(_) => {
                    let folder = folder.display();
                    return Err(io::Error::other(format!("{folder} is not a folder of --out-dir")));
                }
            }
        }
        self.made = Some(parent.to_owned());
        Ok(())
    }

    /// A path in the folder, also where that is the one we are in.
    fn at(&self, name: &Path) -> PathBuf {
        let here = self.folder.as_os_str().is_empty();
        if here { Path::new(".").join(name) } else { self.folder.join(name) }
    }

    /// The name of a task's file, from the folder on.
    fn name(&self, index: u64, file: Option<&Path>) -> Result<PathBuf, String> {
        let mut name = Vec::new();
        let of = |part: Option<&OsStr>| {
            let bytes = part.map(|part| part.as_bytes().to_owned());
            bytes.ok_or_else(|| {
                let shown = shown(index, file);
                format!("{shown} has no file name for --out-dir; use {{index}} instead")
            })
        };
        for part in &self.name {
            match part {
                Part::Text(text) => name.extend_from_slice(text),
                Part::Index => name.extend_from_slice(index.to_string().as_bytes()),
                Part::Name => name.extend(of(file.and_then(Path::file_name))?),
                Part::Stem => name.extend(of(file.and_then(Path::file_stem))?),
                Part::Path => {
                    let inner = file.map(inner).unwrap_or_default();
                    name.extend(of(Some(inner.as_os_str()).filter(|inner| !inner.is_empty()))?);
                }
            }
        }
        let name = PathBuf::from(OsString::from_vec(name));
        let leaves = |part: Component<'_>| !matches!(part, Component::Normal(_));
        if name.components().any(leaves) {
            return Err(format!(
                "the result of {} would be {}, which is not within --out-dir; name it by {{name}} or \
                 {{index}}",
                shown(index, file),
                self.folder.join(&name).display()
            ));
        }
        if name.iter().any(|part| part.len() > NAME_BYTES_MAX) {
            let name = name.display();
            let shown = shown(index, file);
            return Err(format!("the result of {shown} would be {name}, a name that is too long"));
        }
        Ok(name)
    }
}

/// An input, for people.
fn shown(index: u64, file: Option<&Path>) -> String {
    file.map_or_else(|| format!("input {index}"), |path| path.display().to_string())
}

/// A path as one within a folder: from the root or from here, and as far out as it is written.
fn inner(path: &Path) -> PathBuf {
    let parts = path.components();
    parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir)).collect()
}

/// The folder before the first name with a placeholder, and what is behind it.
fn split(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let braces = text.iter().position(|byte| matches!(byte, b'{' | b'}'));
    let Some(brace) = braces else { return (text.to_owned(), &[]) };
    let slash = text.iter().take(brace).rposition(|byte| *byte == b'/');
    match slash {
        None => (Vec::new(), text),
        Some(0) => (b"/".to_vec(), text.get(1..).unwrap_or_default()),
        Some(at) => {
            let (folder, pattern) = text.split_at(at);
            (folder.to_owned(), pattern.get(1..).unwrap_or_default())
        }
    }
}

fn parts(pattern: &[u8]) -> Result<Vec<Part>, String> {
    const KNOWN: &str = "{name}, {stem}, {path} or {index}; a brace is {{ or }}";
    let (mut parts, mut text, mut rest) = (Vec::new(), Vec::new(), pattern);
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'{' | b'}' if behind.first() == Some(first) => {
                text.push(*first);
                rest = behind.get(1..).unwrap_or_default();
            }
            b'{' => {
                let end = behind.iter().position(|byte| *byte == b'}');
                let end = end.ok_or_else(|| format!("a brace is not closed; write {KNOWN}"))?;
                let (word, more) = behind.split_at(end);
                rest = more.get(1..).unwrap_or_default();
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(match word {
                    b"name" => Part::Name,
                    b"stem" => Part::Stem,
                    b"path" => Part::Path,
                    b"index" => Part::Index,
                    other => {
                        let other = String::from_utf8_lossy(other);
                        return Err(format!("unknown placeholder {{{other}}}; write {KNOWN}"));
                    }
                });
            }
            b'}' => return Err(format!("unmatched closing brace; write {KNOWN}")),
            other => text.push(*other),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    if parts.iter().all(|part| matches!(part, Part::Text(_))) {
        return Err(format!("all results would go to one file; write {KNOWN}"));
    }
    if pattern.ends_with(b"/") {
        return Err("a file has a name, and this ends with /".into());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(text: &str) -> OutDir {
        OutDir::parse(OsStr::new(text), true, false).expect(text)
    }

    fn to(text: &str, file: &str) -> Result<PathBuf, String> {
        let dir = dir(text);
        dir.name(7, Some(Path::new(file))).map(|name| dir.folder.join(name))
    }

    #[test]
    fn names_are_made_of_the_inputs() {
        for (pattern, file, name) in [
            ("out", "a/b.txt", "out/b.txt"),
            ("out/", "a/b.txt", "out/b.txt"),
            ("out/{stem}.json", "a/b.tar.gz", "out/b.tar.json"),
            ("out/{path}", "./a/b.txt", "out/a/b.txt"),
            ("out/{path}.x", "/a/b.txt", "out/a/b.txt.x"),
            ("o/x-{index}/{name}", "b", "o/x-7/b"),
            ("{stem}.json", "a/b.txt", "b.json"),
            ("/{name}", "b", "/b"),
            ("o/{{{name}}}", "b", "o/{b}"),
        ] {
            assert_eq!(to(pattern, file), Ok(PathBuf::from(name)), "{pattern}");
        }
        let index = OutDir::parse(OsStr::new("out"), false, false).expect("a folder");
        assert_eq!(index.name(3, None), Ok("3".into()));
    }

    #[test]
    fn no_name_leaves_the_folder() {
        for (pattern, file) in [
            ("out/{path}", "../a"),
            ("out/{path}", "a/../../b"),
            ("out/{stem}", "a/..."),
            ("out/{name}/../../x", "a"),
        ] {
            let error = to(pattern, file).expect_err(pattern);
            assert!(error.contains("not within --out-dir"), "{error}");
        }
        assert!(to("out/{name}", "..").is_err());
        assert!(to("out/{name}.x", &"n".repeat(254)).is_err());
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_is() {
        for text in ["o/{nme}", "o/{name", "o/name}", "o/{{x}}", "o/{name}/"] {
            let error = OutDir::parse(OsStr::new(text), true, false).err().expect(text);
            assert_eq!(crate::exit::of(&error), Exit::Usage, "{text}");
        }
        let error = OutDir::parse(OsStr::new("o/{stem}"), false, false).err().expect("no files");
        assert!(error.to_string().contains("{index}"), "{error}");
    }

    #[test]
    fn two_files_of_one_name_are_said() {
        let check = |text: &str, files: &[&str]| {
            let files = files.iter().map(|file| Some(PathBuf::from(file)));
            let inputs: Vec<_> = (0..).zip(files).collect();
            dir(text).check(&inputs).map_err(|error| error.to_string())
        };
        let nowhere = "/nowhere/{stem}";
        assert_eq!(check(nowhere, &["a/x", "a/y"]), Ok(()));
        let error = check(nowhere, &["a/x.c", "b/y", "b/x.h"]).expect_err("clash");
        assert!(error.contains("a/x.c and b/x.h"), "{error}");
        // One would be a folder of the other.
        assert!(check("/nowhere/{path}", &["/a", "a/b"]).is_err());
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("x"), "old").expect("written");
        let there = check(dir.path().to_str().expect("UTF-8"), &["a/x"]).expect_err("there");
        assert!(there.contains("a/x") && there.contains("which exists"), "{there}");
    }
}
